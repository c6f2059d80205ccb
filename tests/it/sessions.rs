//! What the sessions of one daemon share, what they must not, and what one session does again.

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::{Certificates, Sink};

fn queue(house: &House, recipients: &[&str]) {
    let input = format!("root@h.example\n{}\n\nSubject: x\n\nhi\n", recipients.join("\n"));
    house.run("nullmailer-queue", [""; 0], input).success();
}

/// Both ways to TLS, and a house that trusts the sink's authority.
fn secured() -> [(Sink, House, String, String); 2] {
    ["tls", "starttls"].map(|way| {
        let certificates = Certificates::new();
        let sink = match way {
            "tls" => Sink::new().implicit_tls(&certificates),
            _ => Sink::new().starttls(&certificates),
        };
        let house = House::new();
        house.control("ca.pem", &certificates.authority);
        let ca = house.path("conf/ca.pem");
        (sink, house, format!("{way} messages=1 x509cafile={}", ca.display()), certificates.pin)
    })
}

#[test]
fn a_later_session_of_the_daemon_resumes_tls() {
    for (sink, house, options, _) in secured() {
        house.control("remotes", &sink.remote(&options));
        let daemon = Daemon::start(&house);
        for (count, resumed) in [(1, false), (2, true), (3, true)] {
            queue(&house, &["a@x.example"]);
            let last = sink.wait_for(count).pop().unwrap();
            assert_eq!((last.connection, last.resumed), (count - 1, resumed), "{options}");
        }
        daemon.stop();
    }
}

#[test]
fn what_one_remote_agreed_on_is_not_taken_up_for_another() {
    // A session that nobody verified must not spare a remote that verifies the verification.
    for (first, second) in [
        ("insecure", ""),
        ("tls-pin=PIN", ""),
        ("insecure", "tls-pin=PIN"),
        ("", "insecure"),
        ("", "tls-name=localhost"),
        ("", "tls-min=1.3"),
    ] {
        for (sink, house, options, pin) in secured() {
            // The first remote puts b off, so the second one is asked in the same attempt.
            let one = sink.remote(&format!("{options} {}", first.replace("PIN", &pin)));
            let two = sink.remote(&format!("{options} {}", second.replace("PIN", &pin)));
            house.control("remotes", &format!("{one}{two}"));
            let sink = sink.answers_once("RCPT TO:<b@*", "450 4.2.0 later");
            let daemon = Daemon::start(&house);
            queue(&house, &["a@x.example", "b@x.example"]);
            let got = sink.wait_for(2);
            let (a, b) = (&got[0], &got[1]);
            assert_eq!((&*a.recipients[0], &*b.recipients[0]), ("a@x.example", "b@x.example"));
            assert_eq!((a.connection, a.resumed), (0, false), "{first} {second}");
            assert_eq!((b.connection, b.resumed), (1, false), "{first} {second}");
            // The server's tickets are good ones: the first remote takes one of its own up.
            queue(&house, &["c@x.example"]);
            assert!(sink.wait_for(3)[2].resumed, "{first} {second}");
            daemon.stop();
        }
    }
}

#[test]
fn recipients_beyond_what_the_server_takes_get_the_message_in_another_transaction() {
    for offers in [&[][..], &["PIPELINING"], &["PIPELINING", "CHUNKING"], &["CHUNKING"]] {
        for reply in ["452 4.5.3 too many recipients", "552 5.5.3 too many recipients", "552"] {
            let sink = Sink::new().offers(offers).answers_once("RCPT TO:<b@*", reply);
            let house = House::new();
            house.control("remotes", &sink.remote("")).control("pausetime", "0");
            queue(&house, &["a@x.example", "b@x.example"]);
            let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
            let got: Vec<_> =
                sink.messages().into_iter().map(|one| (one.connection, one.recipients)).collect();
            let wanted = ["a@x.example", "b@x.example"].map(|one| (0, vec![one.to_owned()]));
            assert_eq!(got, wanted, "{offers:?} {reply}: {log}");
            assert!(house.names("queue").is_empty() && house.names("failed").is_empty(), "{log}");
        }
    }
}

#[test]
fn a_first_recipient_that_is_refused_with_552_is_full_and_not_one_too_many() {
    let sink = Sink::new().answers("RCPT TO:<a@*", "552 5.2.2 mailbox full");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    queue(&house, &["a@x.example", "b@x.example"]);
    let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
    assert_eq!(sink.messages()[0].recipients, ["b@x.example"], "{log}");
    assert_eq!(house.names("failed").len(), 1, "{log}");
}

#[test]
fn what_was_asked_of_delivery_is_said_to_a_server_with_dsn_and_to_no_other() {
    for offers in [&["DSN"][..], &[]] {
        let sink = Sink::new().offers(offers);
        let house = House::new();
        house.control("remotes", &sink.remote("")).control("pausetime", "0");
        let input = "a@b.c NOTIFY=FAILURE,DELAY RET=HDRS ENVID=x+2By\nd+e@x.example\n\n\nhi\n";
        house.run("nullmailer-queue", [""; 0], input).success();
        house.run("nullmailer-send", [""; 0], "").success();
        let commands = sink.commands();
        let said = |command: &str| commands.iter().any(|one| one == command);
        if offers.is_empty() {
            assert!(said("MAIL FROM:<a@b.c>") && said("RCPT TO:<d+e@x.example>"), "{commands:?}");
        } else {
            let rcpt = "RCPT TO:<d+e@x.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;d+2Be@x.example";
            assert!(said("MAIL FROM:<a@b.c> RET=HDRS ENVID=x+2By"), "{commands:?}");
            assert!(said(rcpt), "{commands:?}");
        }
    }
}
