//! What the daemon makes of strange files and strange clocks, of what a sender asked for, and what
//! it shows of addresses.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::Sink;

fn house(sink: &Sink) -> House {
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    house
}

fn queue(house: &House, envelope: &str) -> String {
    house.run("nullmailer-queue", [""; 0], format!("{envelope}\n\nSubject: x\n\nhi\n")).success();
    house.only_queued().id
}

fn once(house: &House) -> String {
    house.run("nullmailer-send", [""; 0], "").success().stdout
}

/// When it was queued, in seconds from 1970.
fn dated(house: &House, id: &str, seconds: u64) {
    let file = fs::File::options().append(true).open(house.path("queue/queue").join(id)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// The years 1970 and 2100.
const LONG_AGO: u64 = 1000;
const FAR_AWAY: u64 = 4_102_444_800;

#[test]
fn a_pipe_or_a_link_in_the_queue_is_set_aside_and_holds_nothing_up() {
    let sink = Sink::new();
    let house = house(&sink);
    queue(&house, "root@h.example\na@x.example");
    let other = house.path("conf/other");
    fs::write(&other, "root@h.example\nb@x.example\n\nx\n").unwrap();
    mkfifo(&house.path("queue/queue/pipe"), Mode::from_bits_truncate(0o600)).unwrap();
    symlink(&other, house.path("queue/queue/link")).unwrap();
    let log = once(&house);
    assert_eq!(sink.only_message().recipients, ["a@x.example"]);
    assert_eq!(house.names("failed"), ["link", "pipe"]);
    assert_eq!(log.matches("unusable id=").count(), 2, "{log}");
    assert!(other.exists());
}

#[test]
fn a_journal_that_is_garbage_is_ignored_with_one_line() {
    let sink = Sink::new();
    let house = house(&sink);
    house.control("pausetime", "1h");
    let id = queue(&house, "root@h.example\na@x.example");
    fs::write(house.path("queue/status").join(&id), b"\xff\xfe\x00\ngarbage\n1000\tsent\n")
        .unwrap();
    let daemon = Daemon::start(&house);
    assert_eq!(sink.wait_for(1)[0].recipients, ["a@x.example"]);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    let log = daemon.stop_with_log();
    assert_eq!(log.iter().filter(|line| line.contains("make no sense")).count(), 1, "{log:#?}");
}

#[test]
fn a_clock_that_is_years_off_bounces_nothing_at_once() {
    for moment in [LONG_AGO, FAR_AWAY] {
        let sink = Sink::new().answers("RCPT*", "450 4.2.0 later");
        let house = house(&sink);
        let id = queue(&house, "root@h.example\na@x.example");
        dated(&house, &id, moment);
        let log = once(&house);
        assert_eq!(house.only_queued().id, id, "{moment}: {log}");
        assert!(house.names("failed").is_empty(), "{moment}: {log}");
    }
}

#[test]
fn a_clock_that_was_years_off_at_the_last_attempt_delays_by_one_pause_at_most() {
    for moment in [LONG_AGO, FAR_AWAY] {
        let sink = Sink::new();
        let house = house(&sink);
        house.control("pausetime", "1");
        let id = queue(&house, "root@h.example\na@x.example");
        dated(&house, &id, moment);
        let journal = format!("{moment}\tattempt\n{moment}\tdeferred\ta@x.example\th\t450 later\n");
        fs::write(house.path("queue/status").join(&id), journal).unwrap();
        let _daemon = Daemon::start(&house);
        assert_eq!(sink.wait_for(1)[0].recipients, ["a@x.example"]);
    }
}

#[test]
fn who_asked_to_hear_of_success_or_delay_alone_hears_of_no_failure() {
    for notify in ["SUCCESS", "DELAY"] {
        let sink = Sink::new().answers("RCPT*", "550 5.1.1 no such mailbox");
        let house = house(&sink);
        queue(&house, &format!("root@h.example NOTIFY={notify}\na@x.example"));
        let log = once(&house);
        assert!(log.contains("no-bounce id="), "{notify}: {log}");
        assert_eq!((house.names("queue").len(), house.names("failed").len()), (0, 1), "{notify}");
    }
}

#[test]
fn ratelimit_leaves_room_between_messages() {
    let sink = Sink::new();
    let house = house(&sink);
    house.control("ratelimit", "4/second");
    for n in 0..3 {
        let mail = format!("root@h.example\n{n}@x.example\n\nx\n");
        house.run("nullmailer-queue", [""; 0], mail).success();
    }
    let begun = Instant::now();
    once(&house);
    assert_eq!(sink.messages().len(), 3);
    // No more than the least that it may take: how fast this machine is does not matter.
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_session_that_is_idle_is_closed_politely() {
    let sink = Sink::new();
    let house = house(&sink);
    house.control("pausetime", "1h");
    queue(&house, "root@h.example\na@x.example");
    let _daemon = Daemon::start(&house);
    sink.wait_for(1);
    sink.wait_for_command("QUIT");
}

#[test]
fn what_lies_in_failed_longer_than_failedlifetime_is_removed() {
    let house = house(&Sink::new());
    let id = queue(&house, "root@h.example\na@x.example");
    fs::rename(house.path("queue/queue").join(&id), house.path("queue/failed").join(&id)).unwrap();
    house.control("failedlifetime", "1");
    let begun = Instant::now();
    while !house.names("failed").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        once(&house);
    }
}

#[test]
fn the_log_shows_no_more_of_addresses_than_it_may() {
    for (shown, domain) in [("hashed", true), ("none", false)] {
        for format in ["classic", "json"] {
            let sink = Sink::new();
            let house = house(&sink);
            house.control("logaddresses", shown).control("logformat", format);
            let envelope = "secret@h.example\nhidden@x.example\n\nMessage-Id: <secret.1@h.example>";
            queue(&house, envelope);
            let log = once(&house);
            assert!(!log.contains("secret") && !log.contains("hidden"), "{shown}: {log}");
            assert_eq!(log.contains("@x.example"), domain, "{shown}: {log}");
        }
    }
}

#[test]
fn the_log_shows_no_more_of_addresses_in_what_a_server_says() {
    let said = [
        "<hidden@x.example>: no such user",
        "hidden@x.example... User unknown",
        "\"hidden person\"@x.example is no more",
        "hidden.pers\u{f6}n@x.example",
        "'hidden@x.example'",
        "user=hidden@[127.0.0.1], hidden@",
        "see http://spf.example/why?id=hidden%40x.example;ip=::1",
    ];
    for shown in ["hashed", "none", "full"] {
        for (command, code) in
            [("CONNECT", "554"), ("EHLO*", "521"), ("MAIL*", "451"), ("RCPT*", "550"), (".", "450")]
        {
            let text = format!("{code}-5.7.1 {}\n", said[0]) + &said[1..6].join("\n");
            let text = text.replace('\n', &format!("\n{code}-")) + &format!("\n{code} {}", said[6]);
            let sink = Sink::new().answers(command, text.as_str());
            let house = house(&sink);
            house.control("logaddresses", shown);
            queue(&house, "root@h.example\nhidden@x.example");
            let log = once(&house);
            assert!(log.contains("no such user"), "{command}: {log}");
            assert_eq!(log.contains("hidden"), shown == "full", "{shown} {command}: {log}");
            assert_eq!(log.contains("x.example"), shown != "none", "{shown} {command}: {log}");
        }
    }
}

#[test]
fn as_json_the_log_is_one_object_a_line() {
    let sink = Sink::new().answers("RCPT*", "550 5.1.1 \"no\"\u{1b}[31m such\\mailbox");
    let house = house(&sink);
    house.control("logformat", "json");
    queue(&house, "root@h.example\na@x.example");
    let log = once(&house);
    let whole = |line: &str| line.starts_with("{\"time\":\"") && line.ends_with('}');
    assert!(log.lines().all(whole), "{log}");
    assert!(!log.contains('\u{1b}') && log.contains(r#"\"no\""#), "{log}");
    assert!(
        log.contains(r#""event":"failed""#) && log.contains(r#""to":"<a@x.example>""#),
        "{log}"
    );
}
