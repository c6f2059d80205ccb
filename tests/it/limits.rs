//! What keeps a machine and its smarthost from harm: sizes, room, rates, storms, old files.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::Sink;
use crate::socket::{MAIL, Open, wire};

fn queue(house: &House, input: &str) -> crate::house::Ran {
    house.run("nullmailer-queue", [""; 0], input)
}

/// Runs through the queue once and ends.
fn once(house: &House) -> String {
    house.control("pausetime", "0");
    house.run("nullmailer-send", [""; 0], "").success().stdout
}

fn make_old(house: &House, age: Duration) {
    let path = house.path("queue/queue").join(&house.only_queued().id);
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn a_message_beyond_maxmessagesize_is_refused_and_leaves_nothing() {
    let house = House::new();
    house.control("maxmessagesize", "100");
    queue(&house, &format!("a@b.c\nd@e.f\n\n{}", "x".repeat(101)))
        .exit(65)
        .complains("larger than maxmessagesize, 100 bytes");
    queue(&house, &format!("a@b.c\nd@e.f\n\n{}", "x".repeat(100))).success();
    assert_eq!((house.queued().len(), house.names("tmp").len()), (1, 0));
}

#[test]
fn the_number_of_recipients_takes_no_memory_on_the_way_in() {
    let open = Open::new();
    // 1 MiB is the most that is taken: some 150,000 short addresses.
    let recipients = "aa@b.c\n".repeat(149_000);
    let mail = wire(&format!("a@b.c\n{recipients}\nx\n"));
    assert!(open.talk(&wire(MAIL)).contains("queued "));
    let before = open.daemon.peak_memory();
    // All at once, and none of them whole before each has said nearly all.
    let (most, end) = mail.split_at(mail.len() - 2);
    let mut clients: Vec<_> = (0..20).map(|_| open.connect()).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.write_all(most).unwrap());
        }
    });
    for mut client in clients {
        client.write_all(end).unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert!(heard.starts_with("ready\nqueued "), "{heard}");
    }
    let grown = open.daemon.peak_memory() - before;
    assert!(grown < 12 * 1024, "{grown} KiB more for 20 envelopes of 1 MiB");
    let whole = format!("\n{recipients}\n");
    let file = open.house.path("queue/queue").join(open.house.names("queue").last().unwrap());
    assert!(fs::read_to_string(file).unwrap().contains(&whole));
}

#[test]
fn without_minfree_left_new_mail_is_turned_away_for_now() {
    let house = House::new();
    house.control("minfree", &(1_u64 << 62).to_string());
    queue(&house, "a@b.c\nd@e.f\n\nx")
        .exit(75)
        .complains("less room is left than minfree asks for");
    assert!(house.queued().is_empty());
}

#[test]
fn the_sender_is_told_once_that_mail_waits() {
    let sink = Sink::new().answers("RCPT TO:<d@*", "450 4.7.1 greylisted");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("delaywarning", "4h");
    queue(&house, "a@b.c\nd@e.f\n\nSubject: x\n\n").success();
    assert!(!once(&house).contains("delay-warning"));

    make_old(&house, Duration::from_secs(5 * 3600));
    let log = once(&house);
    assert!(log.contains("delay-warning id="), "{log}");
    let warning = house.queued().into_iter().find(|one| one.sender.is_empty()).unwrap();
    assert_eq!(warning.recipients, ["a@b.c"]);
    for field in ["\nAction: delayed\n", "\nStatus: 4.7.1\n", "\nWill-Retry-Until: "] {
        assert!(warning.message.contains(field), "{}", warning.message);
    }
    assert!(!once(&house).contains("delay-warning"), "the sender was told twice");
}

#[test]
fn nobody_is_warned_who_did_not_ask_for_it() {
    let sink = Sink::new().answers("RCPT TO:<d@*", "450 4.7.1 greylisted");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("delaywarning", "4h");
    for envelope in ["a@b.c NOTIFY=FAILURE\nd@e.f\n\n", "\nd@e.f\n\n"] {
        queue(&house, &format!("{envelope}Subject: x\n\n")).success();
        make_old(&house, Duration::from_secs(5 * 3600));
        once(&house);
        let id = house.only_queued().id;
        fs::remove_file(house.path("queue/queue").join(id)).unwrap();
    }
}

#[test]
fn a_sender_that_wants_to_hear_nothing_hears_nothing() {
    let sink = Sink::new().answers("RCPT*", "550 5.1.1 no");
    let house = House::new();
    house.control("remotes", &sink.remote(""));
    queue(&house, "a@b.c NOTIFY=NEVER\nd@e.f\n\nSubject: x\n\n").success();
    let log = once(&house);
    assert!(log.contains("no-bounce id="), "{log}");
    assert_eq!((house.queued().len(), house.names("failed").len()), (0, 1));
}

#[test]
fn no_more_than_bouncelimit_are_bounced_at_once_and_yet_every_sender_is_told() {
    let sink = Sink::new().answers("RCPT TO:<d@*", "550 5.1.1 no");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("bouncelimit", "2");
    for _ in 0..5 {
        queue(&house, "a@b.c\nd@e.f\n\nSubject: x\n\n").success();
    }
    // Each run begins an hour of its own.
    for (bounced, owed) in [(2, 3), (2, 1), (1, 0)] {
        let log = once(&house);
        assert_eq!(log.matches("Generating bounce for ").count(), bounced, "{log}");
        assert_eq!(log.matches("bouncelimit is reached").count(), owed, "{log}");
        assert_eq!(house.names("failed").len() + owed, 5);
    }
    once(&house);
    assert_eq!(sink.wait_for(5).len(), 5);
    assert!(house.queued().is_empty());
}

#[test]
fn one_user_whose_mail_is_refused_again_and_again_takes_no_bounce_from_another() {
    let sink = Sink::new().answers("RCPT TO:<d@*", "550 5.1.1 no");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("bouncelimit", "2");
    for _ in 0..5 {
        queue(&house, "storm@b.c\nd@e.f\n\nSubject: x\n\n").success();
    }
    queue(&house, "quiet@b.c\nd@e.f\n\nSubject: y\n\n").success();
    let log = once(&house);
    assert_eq!(log.matches("bouncelimit is reached").count(), 3, "{log}");
    once(&house);
    let told = sink.wait_for(3);
    let to_quiet = told.iter().filter(|mail| mail.recipients == ["quiet@b.c"]).count();
    assert_eq!(to_quiet, 1);
}

#[test]
fn a_bounce_that_is_owed_goes_out_as_soon_as_bouncelimit_is_raised() {
    let sink = Sink::new().answers("RCPT TO:<d@*", "550 5.1.1 no");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("bouncelimit", "1");
    for _ in 0..4 {
        queue(&house, "a@b.c\nd@e.f\n\nSubject: x\n\n").success();
    }
    let daemon = Daemon::start(&house);
    daemon.wait_for_lines("bouncelimit is reached", 3);
    house.control("bouncelimit", "10");
    daemon.signal(Signal::SIGHUP);
    assert_eq!(sink.wait_for(4).len(), 4);
    daemon.stop();
    assert!(house.queued().is_empty());
}

#[test]
fn what_lies_in_failed_too_long_is_removed_only_where_that_is_asked_for() {
    let house = House::new();
    queue(&house, "a@b.c\nd@e.f\n\nSubject: x\n\n").success();
    let id = house.only_queued().id;
    fs::rename(house.path("queue/queue").join(&id), house.path("queue/failed").join(&id)).unwrap();
    once(&house);
    assert_eq!(house.names("failed"), [id.as_str()]);
    // It counts from the move to failed/, which was just now.
    house.control("failedlifetime", "30days");
    once(&house);
    assert_eq!(house.names("failed"), [id.as_str()]);
}
