//! nullmailer-send: from the queue to the smarthost, and what follows.

use std::collections::HashMap;
use std::fs;
use std::io::Write;

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::{Answer, Certificates, Sink};

fn house(remotes: &str) -> House {
    let house = House::new();
    house.control("remotes", remotes);
    house
}

fn queue(house: &House, recipients: &[&str], message: &str) {
    let envelope = format!("root@h.example\n{}\n\n", recipients.join("\n"));
    house.run("nullmailer-queue", [""; 0], envelope + message).success();
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Runs through the queue once and ends.
fn once(house: &House) -> String {
    house.control("pausetime", "0");
    house.run("nullmailer-send", [""; 0], "").success().stdout
}

#[test]
fn what_arrives_is_what_was_queued_however_the_connection_is_secured() {
    let message = "Subject: x\n\n.\n..dots\nno end of line: \u{e9}";
    let certificates = Certificates::new();
    for (sink, options) in [
        (Sink::new(), ""),
        (Sink::new().starttls(&certificates), "starttls"),
        (Sink::new().implicit_tls(&certificates), "tls"),
    ] {
        let house = house("");
        house.control("ca.pem", &certificates.authority);
        let ca = house.path("conf/ca.pem");
        let trust =
            if options.is_empty() { String::new() } else { format!("x509cafile={}", ca.display()) };
        house.control("remotes", &sink.remote(&format!("{options} {trust}")));
        queue(&house, &["a@x.example"], message);
        let stored =
            fs::read_to_string(house.path("queue/queue").join(&house.only_queued().id)).unwrap();
        let log = once(&house);
        let got = sink.only_message();
        assert_eq!(got.secure, !options.is_empty());
        assert_eq!((got.sender.as_str(), got.helo.as_str()), ("root@h.example", "f.q.d.n"));
        let (_, expected) = stored.split_once("\n\n").unwrap();
        assert_eq!(got.text(), format!("{expected}\n"), "{log}");
        assert!(house.names("queue").is_empty() && house.names("status").is_empty());
    }
}

#[test]
fn what_sendmail_is_given_arrives_over_every_kind_of_connection_and_login() {
    let certificates = Certificates::new();
    let login = base64(b"\0me\0secret");
    for options in ["", "starttls", "tls"] {
        for auth in [false, true] {
            let sink = Sink::new().offers(&["AUTH PLAIN LOGIN"]).answers("AUTH*", "235 2.7.0 ok");
            let sink = match options {
                "starttls" => sink.starttls(&certificates),
                "tls" => sink.implicit_tls(&certificates),
                _ => sink,
            };
            let house = house("");
            house.control("ca.pem", &certificates.authority);
            let ca = format!("x509cafile={}", house.path("conf/ca.pem").display());
            let words = [
                options,
                if options.is_empty() { "" } else { &ca },
                if auth { "user=me pass=secret" } else { "" },
            ];
            house.control("remotes", &sink.remote(&words.join(" ")));
            let message = "To: a@x.example\nSubject: x\n\nhi\n";
            house.run("sendmail", ["-t"], message).success();
            let stored = house.path("queue/queue").join(house.only_queued().id);
            let stored = fs::read_to_string(stored).unwrap();
            let log = once(&house);
            let got = sink.only_message();
            assert_eq!(got.secure, !options.is_empty(), "{log}");
            assert_eq!(got.text(), stored.split_once("\n\n").unwrap().1);
            assert!(got.text().contains("\nSubject: x\n") && got.text().ends_with("\n\nhi\n"));
            let said = sink.commands().contains(&format!("AUTH PLAIN {login}"));
            assert_eq!(said, auth, "{options}: {:?}", sink.commands());
        }
    }
}

#[test]
fn a_refused_login_is_logged_as_ours_to_mend_and_delays_the_mail() {
    let sink =
        Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "535 5.7.8 wrong password\u{1b}[31m");
    let house = house(&sink.remote("user=me pass=secret"));
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let log = once(&house);
    let line = log.lines().find(|line| line.starts_with("remote-failed")).unwrap();
    assert!(line.contains(&format!("remote=127.0.0.1 port={}", sink.port())), "{line}");
    assert!(line.contains("login: server said 535 5.7.8 wrong password"), "{line}");
    assert!(!log.contains("secret") && !log.contains('\u{1b}'), "{log}");
    assert_eq!((house.queued().len(), house.names("failed").len()), (1, 0));
}

#[test]
fn a_password_that_is_refused_is_not_tried_again_for_the_next_message() {
    let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "535 5.7.8 wrong password");
    let house = house(&sink.remote("user=me pass=secret"));
    for _ in 0..5 {
        queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    }
    once(&house);
    let tried = sink.commands().iter().filter(|command| command.starts_with("AUTH")).count();
    assert_eq!((tried, house.queued().len()), (1, 5));
}

#[test]
fn each_recipient_has_a_verdict_of_its_own() {
    let sink = Sink::new()
        .answers("RCPT TO:<busy@*", "450 4.2.0 later")
        .answers("RCPT TO:<gone@*", "550 5.1.1 no such mailbox");
    let house = house(&sink.remote(""));
    queue(&house, &["good@x.example", "busy@x.example", "gone@x.example"], "Subject: x\n\nhi\n");
    let daemon = Daemon::start(&house);
    let got = sink.wait_for(2);
    // The bounce may have come after the first run through the queue, or during it.
    daemon.wait_for_line_behind("to=<root@h.example>", "Delivery complete, 1 message(s) remain.");
    assert_eq!(got[0].recipients, ["good@x.example"]);

    let bounce = &got[1];
    assert_eq!(
        (bounce.sender.as_str(), &*bounce.recipients),
        ("", &["root@h.example".to_owned()][..])
    );
    let text = bounce.text();
    assert!(
        text.contains("\nFinal-Recipient: rfc822; gone@x.example\nAction: failed\nStatus: 5.1.1\n"),
        "{text}"
    );
    assert!(!text.contains("busy@") && !text.contains("good@"), "{text}");

    let left = house.run("mailq", [""; 0], "").success().stdout;
    assert!(left.ends_with("  to <busy@x.example>\n") && left.lines().count() == 2, "{left}");

    // The one that waits is tried again, alone, and then the message is over.
    sink.accept_everything();
    house.run("nullmailer", ["flush"], "").success();
    let got = sink.wait_for(3);
    assert_eq!(got[2].recipients, ["busy@x.example"]);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    assert!(house.names("queue").is_empty());
    assert_eq!(house.names("failed").len(), 1);
}

#[test]
fn a_hundred_messages_go_over_one_session() {
    let sink = Sink::new().offers(&["PIPELINING"]);
    let house = house(&sink.remote("connections=1"));
    for _ in 0..100 {
        queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    }
    once(&house);
    assert_eq!((sink.messages().len(), sink.connections()), (100, 1));
}

#[test]
fn a_message_that_comes_while_the_daemon_waits_goes_out_at_once() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    let daemon = Daemon::start(&house);
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    sink.wait_for(1);
    // One that is moved into the queue by hand does too.
    fs::write(house.path("queue/tmp/by-hand"), "\na@x.example\n\nSubject: y\n\n").unwrap();
    fs::rename(house.path("queue/tmp/by-hand"), house.path("queue/queue/by-hand")).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(house.path("queue/trigger"))
        .unwrap()
        .write_all(b"\0")
        .unwrap();
    assert_eq!(sink.wait_for(2)[1].text(), "Subject: y\n\n");
    assert!(daemon.stop().success());
}

#[test]
fn a_message_that_is_still_being_written_into_the_queue_is_not_sent_by_half() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    let _daemon = Daemon::start(&house);
    // What is there when the daemon starts is taken as it is.
    queue(&house, &["c@x.example"], "Subject: x\n\n");
    sink.wait_for(1);
    let mut file = fs::File::create(house.path("queue/queue/by-hand")).unwrap();
    file.write_all(b"\na@x.example\n\nSubject: x\n\n").unwrap();
    // Another message comes and goes, so the daemon has seen the name.
    queue(&house, &["b@x.example"], "Subject: y\n\n");
    sink.wait_for(2);
    file.write_all(b"the end\n").unwrap();
    drop(file);
    let got = sink.wait_for(3);
    let by_hand = got.iter().find(|one| one.recipients == ["a@x.example"]).unwrap();
    assert!(by_hand.text().ends_with("the end\n"), "{}", by_hand.text());
}

#[test]
fn a_file_that_is_made_in_the_queue_and_written_to_later_is_given_the_time() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    let _daemon = Daemon::start(&house);
    // What is there when the daemon starts is taken as it is.
    queue(&house, &["c@x.example"], "Subject: x\n\n");
    sink.wait_for(1);
    let mut file = fs::File::create(house.path("queue/queue/by-hand")).unwrap();
    // The trigger that is pulled for another message is no word about this one.
    queue(&house, &["b@x.example"], "Subject: y\n\n");
    sink.wait_for(2);
    file.write_all(b"\na@x.example\n\nSubject: x\n\nhi\n").unwrap();
    drop(file);
    assert_eq!(sink.wait_for(3)[2].recipients, ["a@x.example"]);
    assert!(house.names("failed").is_empty());
}

#[test]
fn a_killed_daemon_loses_nothing_and_repeats_at_most_one() {
    let sink = Sink::new();
    let house = house(&sink.remote("connections=1"));
    for n in 0..200 {
        queue(&house, &["a@x.example"], &format!("Subject: {n}\n\nhi\n"));
    }
    let daemon = Daemon::start(&house);
    sink.wait_for(70);
    daemon.crash();
    let cut = sink.messages().len();
    assert!(cut < 200, "the daemon was done before it was killed");
    once(&house);
    let mut copies: HashMap<String, usize> = HashMap::new();
    for message in sink.messages() {
        let text = message.text();
        let subject = text.lines().find(|line| line.starts_with("Subject: ")).unwrap();
        *copies.entry(subject.to_owned()).or_default() += 1;
    }
    assert_eq!(copies.len(), 200);
    assert!(copies.values().sum::<usize>() <= 201, "{copies:?}");
    assert!(house.names("queue").is_empty());
}

#[test]
fn the_size_of_a_message_costs_no_memory() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    let daemon = Daemon::start(&house);
    queue(&house, &["a@x.example"], "Subject: small\n\nhi\n");
    sink.wait_for(1);
    let small = daemon.peak_memory();
    let line = "x".repeat(72) + "\n";
    queue(
        &house,
        &["a@x.example"],
        &format!("Subject: large\n\n{}", line.repeat(100_000_000 / 73)),
    );
    let got = sink.wait_for(2);
    assert!(got[1].data.len() > 100_000_000);
    let grown = daemon.peak_memory() - small;
    assert!(grown < 8 * 1024, "{grown} KiB more for 100 MB");
}

#[test]
fn an_injector_holds_no_more_of_a_large_message_than_of_a_small_one() {
    let house = house("");
    let mut command = house.command("nullmailer-inject");
    let mut child = command.arg("a@x.example").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Subject: large\n\n").unwrap();
    let megabyte = ("x".repeat(63) + "\n").repeat(1 << 14);
    // What a pipe cannot hold was read when the write is over.
    stdin.write_all(megabyte.as_bytes()).unwrap();
    let small = crate::daemon::peak_memory(child.id());
    for _ in 0..100 {
        stdin.write_all(megabyte.as_bytes()).unwrap();
    }
    let grown = crate::daemon::peak_memory(child.id()) - small;
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(grown < 1024, "{grown} KiB more for 100 MB");
    assert!(house.only_queued().message.len() > 100 << 20);
}

#[test]
fn a_session_that_fails_delays_mail_and_never_bounces_it() {
    for (pattern, reply, phase) in
        [("CONNECT", "554 5.3.2 not today", "greeting"), ("EHLO*", "550 5.7.1 go away", "EHLO")]
    {
        let sink = Sink::new().answers(pattern, reply).answers("HELO*", reply);
        let house = house(&sink.remote(""));
        queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
        let log = once(&house);
        assert!(log.contains(&format!("{phase}: server said {}", &reply[..3])), "{log}");
        assert!(log.contains("remote-failed remote=127.0.0.1 port="), "{log}");
        assert_eq!(house.queued().len(), 1, "{log}");
        assert!(house.names("failed").is_empty());
    }
}

#[test]
fn the_next_remote_is_tried_where_the_first_is_down() {
    let mut down = Sink::new();
    let line = down.remote("");
    down.stop();
    let up = Sink::new();
    let house = house(&(line + &up.remote("")));
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let log = once(&house);
    assert_eq!(up.only_message().recipients, ["a@x.example"]);
    assert!(log.contains("connect: "), "{log}");
    assert!(house.names("queue").is_empty());
}

#[test]
fn a_message_that_hangs_does_not_hold_up_the_others() {
    let sink = Sink::new().answers("MAIL FROM:<slow@*", Answer::Hang);
    let house = house(&sink.remote(""));
    house
        .run("nullmailer-queue", [""; 0], "slow@h.example\na@x.example\n\nSubject: slow\n\n")
        .success();
    for _ in 0..19 {
        queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    }
    let _daemon = Daemon::start(&house);
    assert_eq!(sink.wait_for(19).len(), 19);
}

#[test]
fn the_bounce_of_a_bounce_goes_nowhere() {
    let sink = Sink::new().answers("RCPT*", "550 5.1.1 no");
    let house = house(&sink.remote(""));
    house.run("nullmailer-queue", [""; 0], "\na@x.example\n\nSubject: x\n\n").success();
    let log = once(&house);
    assert!(log.contains("Not generating double bounce for "), "{log}");
    assert!(house.names("queue").is_empty());
    assert_eq!(house.names("failed").len(), 1);
}

#[test]
fn mail_that_is_too_old_is_bounced_when_it_fails_again() {
    let sink = Sink::new().answers("RCPT TO:<a@*", "450 4.7.1 greylisted");
    let house = house(&sink.remote(""));
    house.control("queuelifetime", "1h");
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let file = fs::File::options()
        .append(true)
        .open(house.path("queue/queue").join(&house.only_queued().id))
        .unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3700);
    file.set_modified(old).unwrap();
    once(&house);
    // The clock may have been wrong when it came: failing once is not enough.
    assert_eq!((house.queued().len(), house.names("failed").len()), (1, 0));
    let log = once(&house);
    assert!(log.contains(" to=<a@x.example> delay=37"), "{log}");
    assert!(log.contains(" reply=\"5.4.7 delivery time expired"), "{log}");
    assert_eq!(house.names("failed").len(), 1);
    let bounce = house.only_queued();
    assert_eq!(
        (bounce.sender.as_str(), &*bounce.recipients),
        ("", &["root@h.example".to_owned()][..])
    );
    assert!(bounce.message.contains("\nStatus: 5.4.7\n"), "{}", bounce.message);
    assert!(bounce.message.contains("450 4.7.1 greylisted"), "{}", bounce.message);
}

#[test]
fn a_file_that_is_no_message_is_set_aside_and_the_others_go_out() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    for (name, content) in [("empty", &b""[..]), ("torn", b"a@b\nc@d"), ("nobody", b"a@b\n\nx")] {
        fs::write(house.path("queue/queue").join(name), content).unwrap();
    }
    fs::create_dir(house.path("queue/queue/folder")).unwrap();
    let log = once(&house);
    assert_eq!(sink.messages().len(), 1);
    assert_eq!(house.names("failed"), ["empty", "folder", "nobody", "torn"]);
    assert!(log.contains("unusable id=torn why=\"ends within its envelope\""), "{log}");
    assert!(log.contains("unusable id=nobody why=\"line 2: no recipients\""), "{log}");
}

#[test]
fn a_configuration_that_cannot_be_used_keeps_the_mail_and_is_named() {
    for (name, content, line) in [
        ("pausetime", "soon", "pausetime:1: \"soon\" is not a duration"),
        ("remotes", "127.0.0.1 smtp prot=25", "remotes:1: "),
        ("remotes", "127.0.0.1 smtp 'pass=x", "remotes:1: a quote does not end"),
        ("helohost", "a b", "helohost:1: "),
    ] {
        let house = house("");
        house.control(name, content);
        queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
        let daemon = Daemon::start(&house);
        daemon.wait_for_line(line);
        assert!(daemon.stop().success());
        assert_eq!(house.queued().len(), 1);
    }
}

#[test]
fn a_configuration_that_is_mended_frees_the_mail() {
    let sink = Sink::new();
    let house = house("127.0.0.1 smtp nonsense");
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("remotes:1: ");
    house.control("remotes", &sink.remote(""));
    daemon.signal(Signal::SIGHUP);
    sink.wait_for(1);
}

#[test]
fn without_remotes_the_mail_stays() {
    let house = house("");
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let log = once(&house);
    assert!(log.contains("No remote hosts listed for delivery"), "{log}");
    assert_eq!(house.queued().len(), 1);
}

#[test]
fn a_second_daemon_on_the_spool_is_refused() {
    let house = house("");
    let _daemon = Daemon::start(&house);
    house
        .run("nullmailer-send", [""; 0], "")
        .exit(75)
        .complains("another nullmailer-send is running");
}

#[test]
fn the_daemon_ends_after_the_delivery_that_runs() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let daemon = Daemon::start(&house);
    sink.wait_for(1);
    assert!(daemon.stop().success());
    sink.wait_for_command("QUIT");
}

#[test]
fn a_spool_that_cannot_be_used_is_named() {
    let house = house("");
    let mut command = house.command("nullmailer-send");
    command.env("NULLMAILER_SPOOL_DIR", "/nonexistent/spool");
    crate::house::run(&mut command, "").exit(73).complains("/nonexistent/spool");
}

#[test]
fn sigalrm_and_anything_but_nul_on_the_trigger_retry_everything_now() {
    let sink = Sink::new().answers("RCPT*", "450 4.2.0 later");
    let house = house(&sink.remote(""));
    queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    let daemon = Daemon::start(&house);
    daemon.wait_for_lines("deferred id=", 1);
    daemon.signal(Signal::SIGALRM);
    daemon.wait_for_lines("deferred id=", 2);
    sink.accept_everything();
    let mut trigger = fs::OpenOptions::new().write(true).open(house.path("queue/trigger")).unwrap();
    trigger.write_all(b"1\n").unwrap();
    sink.wait_for(1);
}

#[test]
fn mail_that_is_too_old_when_it_is_first_seen_is_tried_like_any_other() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    house.control("queuelifetime", "1h").control("pausetime", "1h");
    // More than are looked after at once when they have no turn.
    for _ in 0..600 {
        queue(&house, &["a@x.example"], "Subject: x\n\nhi\n");
    }
    for id in house.names("queue") {
        let file = fs::File::options().append(true).open(house.path("queue/queue").join(id));
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        file.unwrap().set_modified(old).unwrap();
    }
    let daemon = Daemon::start(&house);
    assert_eq!(sink.wait_for(600).len(), 600);
    daemon.stop();
    assert!(house.queued().is_empty());
}
