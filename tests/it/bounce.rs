//! Bounces of the daemon: what the sender reads, as it arrives over SMTP.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::house::{House, has, run};
use crate::report::{assert_lines, read};
use crate::smarthost::Sink;

/// Queues a message and delivers until the bounce, if there is one, has arrived too.
fn deliver(sink: &Sink, controls: &[(&str, &str)], envelope: &str, message: &str) -> House {
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    for (name, content) in controls {
        house.control(name, content);
    }
    house.run("nullmailer-queue", [""; 0], format!("{envelope}\n{message}")).success();
    for _ in 0..2 {
        house.run("nullmailer-send", [""; 0], "").success();
    }
    house
}

/// The only message that arrived from the null sender.
#[track_caller]
fn bounce(sink: &Sink) -> String {
    let mut bounces: Vec<_> =
        sink.messages().into_iter().filter(|message| message.sender.is_empty()).collect();
    assert_eq!(bounces.len(), 1);
    let bounce = bounces.remove(0);
    assert_eq!(bounce.recipients, ["root@h.example"]);
    bounce.text()
}

const FROM_AND_TO: &str = "root@h.example\nok@x.example\ngone@x.example\nfull@y.example\n";

#[test]
fn one_bounce_says_for_each_recipient_what_was_said_about_it() {
    if !has("python3") {
        return;
    }
    let sink = Sink::new()
        .offers(&["8BITMIME", "ENHANCEDSTATUSCODES"])
        .answers("RCPT TO:<gone@*", "550-5.1.1 r\u{e9}fus\u{e9}\r\n550 5.1.1 \u{1b}[31mgone")
        .answers("RCPT TO:<full@*", "552 quota exceeded at 127.0.0.1");
    let house = deliver(&sink, &[], FROM_AND_TO, "Subject: t\n\n.one\n");
    assert_lines(
        &read(&bounce(&sink)),
        &[
            "to: 'root@h.example'",
            "subject: 't'",
            "body: ''",
            "Reporting-MTA: 'x-local-hostname; f.q.d.n'",
            "1.Final-Recipient: 'rfc822; gone@x.example'",
            "1.Action: 'failed'",
            "1.Status: '5.1.1'",
            "1.Remote-MTA: 'dns; 127.0.0.1'",
            r"1.Diagnostic-Code: 'SMTP; 550 5.1.1 r\\x{E9}fus\\x{E9} 5.1.1 \\u{1b}[31mgone'",
            "2.Final-Recipient: 'rfc822; full@y.example'",
            // The number in the text is an address, not a status.
            "2.Status: '5.0.0'",
            "2.Diagnostic-Code: 'SMTP; 552 quota exceeded at 127.0.0.1'",
        ],
    );
    assert_eq!(house.names("failed").len(), 1);
}

#[test]
fn a_bounce_returns_what_the_administrator_or_the_sender_wants() {
    if !has("python3") {
        return;
    }
    for (parameters, lines, body) in [
        ("", "0", "''"),
        ("", "1", "'.one\\n'"),
        ("", "-1", "'.one\\ntwo\\n'"),
        (" RET=HDRS", "-1", "''"),
        (" RET=FULL", "0", "'.one\\ntwo\\n'"),
        (" ENVID=job+207", "0", "''"),
    ] {
        let sink = Sink::new().answers("RCPT TO:<gone@*", "550 5.1.1 no");
        let envelope = format!("root@h.example{parameters}\ngone@x.example\n");
        deliver(&sink, &[("bouncelines", lines)], &envelope, "Subject: t\n\n.one\ntwo\n");
        let found = read(&bounce(&sink));
        assert_lines(&found, &[&format!("body: {body}")]);
        assert_eq!(
            found.contains("Original-Envelope-Id: 'job 7'"),
            parameters.contains("ENVID"),
            "{found}"
        );
    }
}

#[test]
fn a_sender_that_does_not_want_to_know_is_not_told() {
    let sink = Sink::new().answers("RCPT TO:<gone@*", "550 5.1.1 no");
    let envelope = "root@h.example NOTIFY=NEVER\ngone@x.example\n";
    let house = deliver(&sink, &[], envelope, "Subject: t\n\n");
    assert!(sink.messages().is_empty());
    assert!(house.names("queue").is_empty());
    assert_eq!(house.names("failed").len(), 1);
}

#[test]
fn mail_that_became_too_old_says_so_and_what_the_last_trouble_was() {
    if !has("python3") {
        return;
    }
    let sink = Sink::new().answers("RCPT TO:<gone@*", "450 4.2.0 busy, come again");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    house.control("queuelifetime", "1h");
    let mail = "root@h.example\ngone@x.example\n\nSubject: t\n\n";
    house.run("nullmailer-queue", [""; 0], mail).success();
    let file = house.path("queue/queue").join(house.only_queued().id);
    run(Command::new("touch").arg("-d@1795382142").arg(file), "").success();
    // A clock that a test depends on would be this machine's: any time after that one will do.
    // It fails, fails again and is given up, and the bounce goes out.
    for _ in 0..3 {
        house.run("nullmailer-send", [""; 0], "").success();
    }
    let found = read(&bounce(&sink));
    assert_lines(
        &found,
        &[
            "1.Action: 'failed'",
            "1.Status: '5.4.7'",
            "Arrival-Date: 'Sun, 22 Nov 2026 21:15:42 +0000'",
        ],
    );
    assert!(found.contains("4.2.0 busy, come again"), "{found}");
}

#[test]
fn a_protocol_program_speaks_in_the_bounce_under_its_own_name() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let program = house.path("protocols/dummy");
    std::fs::create_dir_all(house.path("protocols")).unwrap();
    std::fs::write(&program, "#!/bin/sh\necho 'no 127.0.0.1'\necho '5.2.1 mailbox off'\nexit 33\n")
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    house.control("remotes", "host.example dummy\n").control("pausetime", "0");
    let mail = "root@h.example\na@x.example\n\nSubject: t\n\nbody\n";
    house.run("nullmailer-queue", [""; 0], mail).success();
    house.run("nullmailer-send", [""; 0], "").success();
    let bounce = house.only_queued();
    assert_eq!((bounce.sender.as_str(), bounce.recipients[0].as_str()), ("", "root@h.example"));
    assert_lines(
        &read(&bounce.message),
        &[
            "1.Status: '5.2.1'",
            "1.Remote-MTA: 'dns; host.example'",
            "1.Diagnostic-Code: 'DUMMY; no 127.0.0.1/5.2.1 mailbox off'",
            "subject: 't'",
            "body: ''",
        ],
    );
}

#[test]
fn the_sender_hears_of_a_delay_once_and_when_it_would_end() {
    if !has("python3") {
        return;
    }
    let sink = Sink::new().answers("RCPT TO:<busy@*", "450 4.2.0 busy, come again");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    house.control("delaywarning", "1h").control("queuelifetime", "7d");
    let mail = "root@h.example\nbusy@x.example\n\nSubject: t\n\n";
    house.run("nullmailer-queue", [""; 0], mail).success();
    let file = house.path("queue/queue").join(house.only_queued().id);
    run(Command::new("touch").args(["-d", "2 hours ago"]).arg(file), "").success();
    for _ in 0..3 {
        house.run("nullmailer-send", [""; 0], "").success();
    }
    let found = read(&bounce(&sink));
    assert_lines(&found, &["1.Action: 'delayed'", "1.Status: '4.2.0'", "subject: 't'"]);
    assert!(found.contains("1.Will-Retry-Until: '"), "{found}");
    assert!(found.contains("There is nothing that you need to do now."), "{found}");
    assert_eq!(house.only_queued().recipients, ["busy@x.example"]);
}

#[test]
fn mail_that_goes_in_circles_is_bounced_and_a_bounce_that_does_is_not() {
    let house = House::new();
    house.control("remotes", "127.0.0.1 smtp port=1").control("maxhops", "3");
    let hops = |count| "received: by x\n\tfolded\n".repeat(count);
    // Our own field counts too, and what stands in the body does not.
    for (sender, count, failed) in [("a@b.c", 2, 0), ("a@b.c", 3, 1), ("", 3, 1)] {
        let message =
            format!("{sender}\nd@e.f\n\n{}\nReceived: body\nReceived: body\n", hops(count));
        house.run("nullmailer-queue", [""; 0], message).success();
        house.control("pausetime", "0");
        let ran = house.run("nullmailer-send", [""; 0], "").success();
        assert_eq!(house.names("failed").len(), failed, "{sender} {count}: {}", ran.stdout);
        let queued = house.queued();
        let bounced = failed > 0 && !sender.is_empty();
        assert_eq!(queued.len(), usize::from(bounced || failed == 0), "{queued:#?}");
        for mail in queued {
            assert_eq!(mail.message.contains("Status: 5.4.6"), bounced, "{}", mail.message);
            std::fs::remove_file(house.path("queue/queue").join(mail.id)).unwrap();
        }
        for name in house.names("failed") {
            std::fs::remove_file(house.path("queue/failed").join(name)).unwrap();
        }
    }
}

#[test]
fn a_limit_of_no_hops_is_an_error_and_bounces_nothing() {
    let house = House::new();
    house.control("remotes", "127.0.0.1 smtp port=1").control("maxhops", "0");
    house.control("pausetime", "0");
    house.run("nullmailer-queue", [""; 0], "a@b.c\nd@e.f\n\nx\n").success();
    let ran = house.run("nullmailer-send", [""; 0], "");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("conf/maxhops:1: is not above 0"), "{said}");
    house.only_queued();
}
