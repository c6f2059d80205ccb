//! The fault table: what the daemon makes of a remote that breaks, at each point where it can.
//!
//! Whatever a session breaks with, the mail is delayed and nothing is lost; whatever a server says
//! of the mail or a recipient decides about that and nothing else.

use crate::daemon::Daemon;
use crate::house::{House, Ran};
use crate::smarthost::{Answer, Certificates, Sink};

const RECIPIENTS: [&str; 2] = ["a@x.example", "b@x.example"];

/// The points where a server can break, by the command it answers.
const PHASES: [(&str, &str); 7] = [
    ("greeting", "CONNECT"),
    ("hello", "EHLO*"),
    ("mail", "MAIL*"),
    ("first recipient", "RCPT TO:<a@*"),
    ("data", "DATA"),
    ("middle of data", "BODY"),
    ("end of data", "."),
];

/// The same before the envelope, with [`secured`].
const SECURED: [(&str, &str); 3] =
    [("starttls", "STARTTLS"), ("handshake", "HANDSHAKE"), ("login", "AUTH*")];

/// Has the house log in at the sink over STARTTLS.
fn secured(sink: Sink, options: &str) -> (Sink, House) {
    let certificates = Certificates::new();
    let sink = sink.offers(&["AUTH PLAIN"]).starttls(&certificates);
    let house = House::new();
    house.control("ca.pem", &certificates.authority).control("pausetime", "0");
    let ca = house.path("conf/ca.pem");
    let options = format!("starttls x509cafile={} user=u pass=p {options}", ca.display());
    house.control("remotes", &sink.remote(&options));
    (sink, house)
}

/// Nobody got the message, nobody has a bounce, everybody waits.
#[track_caller]
fn assert_delayed(house: &House, log: &str) {
    assert_eq!(waiting(house), RECIPIENTS, "{log}");
    assert!(house.names("failed").is_empty(), "{log}");
}

fn house(remotes: &str) -> House {
    let house = House::new();
    house.control("remotes", remotes).control("pausetime", "0");
    house
}

fn queue(house: &House, recipients: &[&str]) {
    let input = format!("root@h.example\n{}\n\nSubject: x\n\nhi\n", recipients.join("\n"));
    house.run("nullmailer-queue", [""; 0], input).success();
}

fn once(house: &House) -> Ran {
    house.run("nullmailer-send", [""; 0], "").success()
}

/// Who still waits, as mailq lists them.
fn waiting(house: &House) -> Vec<String> {
    let list = house.run("mailq", [""; 0], "").success().stdout;
    let lines = list.lines().filter_map(|line| line.strip_prefix("  to <")?.strip_suffix('>'));
    lines.map(str::to_owned).collect()
}

fn offers() -> [&'static [&'static str]; 3] {
    [&[], &["PIPELINING"], &["PIPELINING", "CHUNKING"]]
}

#[test]
fn a_remote_that_closes_loses_and_bounces_nothing() {
    for offer in offers() {
        for (phase, pattern) in PHASES {
            // There is no such command then.
            if offer.contains(&"CHUNKING") && ["DATA", "BODY"].contains(&pattern) {
                continue;
            }
            let sink = Sink::new().offers(offer).answers(pattern, Answer::Close);
            let house = house(&sink.remote(""));
            queue(&house, &RECIPIENTS);
            let log = once(&house).stdout;
            assert_delayed(&house, &format!("{offer:?} {phase}: {log}"));
            sink.accept_everything();
            once(&house);
            assert_eq!(sink.only_message().recipients, RECIPIENTS, "{offer:?} {phase}");
        }
    }
    for (phase, pattern) in SECURED {
        let (sink, house) = secured(Sink::new().answers(pattern, Answer::Close), "");
        queue(&house, &RECIPIENTS);
        let log = once(&house).stdout;
        assert_delayed(&house, &format!("{phase}: {log}"));
        sink.accept_everything();
        once(&house);
        assert!(sink.only_message().secure, "{phase}");
    }
}

#[test]
fn a_remote_that_hangs_is_left_when_the_limit_is_over() {
    for (phase, pattern) in PHASES {
        let sink = Sink::new().answers(pattern, Answer::Hang);
        let house = house(&sink.remote("timeout=1"));
        queue(&house, &RECIPIENTS);
        let log = once(&house).stdout;
        assert!(log.contains("timed out"), "{phase}: {log}");
        assert_delayed(&house, &format!("{phase}: {log}"));
    }
    for (phase, pattern) in SECURED {
        let (_sink, house) = secured(Sink::new().answers(pattern, Answer::Hang), "timeout=1");
        queue(&house, &RECIPIENTS);
        let log = once(&house).stdout;
        assert!(log.contains("timed out"), "{phase}: {log}");
        assert_delayed(&house, &format!("{phase}: {log}"));
    }
}

#[test]
fn what_a_remote_does_at_the_goodbye_changes_nothing() {
    for answer in [Answer::Close, Answer::Hang, "554 5.0.0 no".into()] {
        let sink = Sink::new().answers("QUIT", answer.clone());
        let house = house(&sink.remote(""));
        queue(&house, &RECIPIENTS);
        let log = once(&house).stdout;
        assert_eq!(sink.only_message().recipients, RECIPIENTS, "{answer:?}: {log}");
        assert!(house.names("queue").is_empty() && house.names("failed").is_empty(), "{log}");
    }
}

#[test]
fn a_session_that_is_refused_delays_the_mail_whatever_the_code() {
    for reply in ["451 4.3.0 not now", "554 5.7.0 never"] {
        for (phase, patterns) in [("greeting", ["CONNECT"; 2]), ("hello", ["EHLO*", "HELO*"])] {
            let sink = Sink::new().answers(patterns[0], reply).answers(patterns[1], reply);
            let house = house(&sink.remote(""));
            queue(&house, &RECIPIENTS);
            let log = once(&house).stdout;
            assert!(log.contains(&format!("server said {}", &reply[..3])), "{phase}: {log}");
            assert_delayed(&house, &format!("{phase}: {log}"));
        }
        for (phase, pattern) in SECURED {
            let (_sink, house) = secured(Sink::new().answers(pattern, reply), "");
            queue(&house, &RECIPIENTS);
            let log = once(&house).stdout;
            // In the place of a handshake it is no answer of a server.
            let named =
                pattern == "HANDSHAKE" || log.contains(&format!("server said {}", &reply[..3]));
            assert!(named, "{phase}: {log}");
            assert_delayed(&house, &format!("{phase}: {log}"));
        }
    }
}

#[test]
fn who_was_served_before_sendtimeout_is_not_served_again() {
    for offer in offers() {
        let sink = Sink::new()
            .offers(offer)
            .answers_once("RCPT TO:<b@*", "452 4.5.3 too many recipients")
            .answers("RCPT TO:<b@*", Answer::Hang);
        let house = house(&sink.remote(""));
        house.control("sendtimeout", "1");
        queue(&house, &RECIPIENTS);
        once(&house);
        assert_eq!(waiting(&house), ["b@x.example"], "{offer:?}");
        sink.accept_everything();
        once(&house);
        let got: Vec<_> = sink.messages().into_iter().map(|one| one.recipients).collect();
        assert_eq!(got, [["a@x.example"], ["b@x.example"]], "{offer:?}");
    }
}

#[test]
fn who_was_served_is_written_down_before_the_next_remote_is_asked() {
    let first = Sink::new().answers("RCPT TO:<b@*", "450 4.2.0 later");
    let second = Sink::new().answers("EHLO*", Answer::Hang);
    let house = house(&format!("{}{}", first.remote(""), second.remote("")));
    house.control("pausetime", "60");
    queue(&house, &RECIPIENTS);
    let daemon = Daemon::start(&house);
    second.wait_for_command("EHLO*");
    assert_eq!(waiting(&house), ["b@x.example"]);
    daemon.crash();
}

#[test]
fn sendtimeout_ends_what_no_other_limit_ends() {
    for (command, said) in [
        ("DATA", "sendtimeout is over\n"),
        (".", "sendtimeout is over; the message may have been taken\n"),
    ] {
        let sink = Sink::new().answers(command, Answer::Hang);
        let house = house(&sink.remote(""));
        house.control("sendtimeout", "1");
        queue(&house, &RECIPIENTS);
        let log = once(&house).stdout;
        assert!(log.contains(said), "{command}: {log}");
        assert_eq!(waiting(&house), RECIPIENTS);
    }
}

#[test]
fn a_refusal_for_now_delays_those_it_is_about() {
    for offer in offers() {
        for (phase, pattern, left) in [
            ("mail", "MAIL*", &RECIPIENTS[..]),
            ("first recipient", "RCPT TO:<a@*", &RECIPIENTS[..1]),
            ("data", "DATA", &RECIPIENTS[..]),
            ("end of data", ".", &RECIPIENTS[..]),
        ] {
            if offer.contains(&"CHUNKING") && phase == "data" {
                continue;
            }
            let sink = Sink::new().offers(offer).answers(pattern, "451 4.3.0 not now");
            let house = house(&sink.remote(""));
            queue(&house, &RECIPIENTS);
            let log = once(&house).stdout;
            assert_eq!(waiting(&house), left, "{offer:?} {phase}: {log}");
            assert!(house.names("failed").is_empty(), "{offer:?} {phase}: {log}");
        }
    }
}

#[test]
fn a_refusal_for_good_bounces_those_it_is_about() {
    for offer in offers() {
        for (phase, pattern, refused) in [
            ("mail", "MAIL FROM:<root@*", &RECIPIENTS[..]),
            ("first recipient", "RCPT TO:<a@*", &RECIPIENTS[..1]),
            ("data", "DATA", &RECIPIENTS[..]),
            ("end of data", ".", &RECIPIENTS[..]),
        ] {
            if offer.contains(&"CHUNKING") && phase == "data" {
                continue;
            }
            let sink = Sink::new().offers(offer).answers_once(pattern, "554 5.6.0 never");
            let house = house(&sink.remote(""));
            queue(&house, &RECIPIENTS);
            let log = once(&house).stdout;
            // The bounce is new mail; one-shot mode leaves it or sends it.
            once(&house);
            let messages = sink.messages();
            let bounce = messages.iter().find(|one| one.sender.is_empty());
            let text = bounce.unwrap_or_else(|| panic!("{offer:?} {phase}: {log}")).text();
            for recipient in RECIPIENTS {
                let reported = text.contains(&format!("\nFinal-Recipient: rfc822; {recipient}\n"));
                assert_eq!(reported, refused.contains(&recipient), "{offer:?} {phase}: {text}");
            }
            assert!(text.contains("\nDiagnostic-Code: SMTP; 554 5.6.0 never\n"), "{text}");
            assert!(house.names("queue").is_empty(), "{offer:?} {phase}: {log}");
            assert_eq!(house.names("failed").len(), 1, "{offer:?} {phase}: {log}");
        }
    }
}

#[test]
fn goodbye_at_any_moment_is_no_verdict_on_the_mail() {
    for (phase, pattern) in PHASES {
        let sink = Sink::new().answers(pattern, "421 4.3.2 shutting down");
        let house = house(&sink.remote(""));
        queue(&house, &RECIPIENTS);
        let log = once(&house).stdout;
        assert!(house.names("failed").is_empty(), "{phase}: {log}");
        let left = waiting(&house);
        assert!(left.contains(&RECIPIENTS[0].to_owned()), "{phase}: {left:?} {log}");
    }
}

#[test]
fn a_remote_that_fails_is_not_tried_again_for_each_message() {
    let sink = Sink::new().answers("CONNECT", "554 5.3.2 go away");
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    for _ in 0..20 {
        queue(&house, &RECIPIENTS);
    }
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("Delivery complete, 20 message(s) remain.");
    assert_eq!(sink.connections(), 1);
    // The administrator may ask, and one message answers for all.
    sink.accept_everything();
    house.run("nullmailer", ["flush"], "").success();
    assert_eq!(sink.wait_for(20).len(), 20);
    daemon.wait_for_line("remote-works remote=127.0.0.1");
}

#[test]
fn a_remote_that_wants_no_second_session_gets_all_over_the_first() {
    let sink = Sink::new()
        .answers("MAIL*", Answer::Hold)
        .answers_once("CONNECT", "220 sink.example ESMTP")
        .answers("CONNECT", "421 4.7.0 too many connections");
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    for _ in 0..20 {
        queue(&house, &RECIPIENTS);
    }
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("remote-crowded remote=127.0.0.1 sessions=1 error=");
    sink.accept("MAIL*");
    assert!(sink.wait_for(20).iter().all(|one| one.connection == 0));
    assert_eq!(sink.connections(), 2);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
}

#[test]
fn one_connection_means_one_until_the_server_has_said_goodbye() {
    let sink = Sink::new();
    let house = house(&sink.remote("connections=1 messages=1"));
    for _ in 0..20 {
        queue(&house, &RECIPIENTS);
    }
    once(&house);
    assert_eq!(sink.wait_for(20).len(), 20);
    assert_eq!((sink.connections(), sink.most_at_once()), (20, 1));
}

#[test]
fn a_message_is_said_to_have_failed_when_its_bounce_is_queued() {
    let sink = Sink::new().answers("RCPT TO:<a@*", "550 5.1.1 no such mailbox");
    let house = house(&sink.remote(""));
    queue(&house, &RECIPIENTS[..1]);
    std::fs::remove_dir(house.path("queue/tmp")).unwrap();
    std::fs::write(house.path("queue/tmp"), "in the way").unwrap();
    let log = once(&house).stdout;
    assert!(log.contains("cannot bounce: "), "{log}");
    assert!(!log.contains("Moving message ") && !log.contains("Generating bounce"), "{log}");
    assert_eq!(waiting(&house), RECIPIENTS[..1]);

    std::fs::remove_file(house.path("queue/tmp")).unwrap();
    std::fs::create_dir(house.path("queue/tmp")).unwrap();
    let log = once(&house).stdout;
    let words: Vec<_> =
        log.lines().filter(|line| line.contains("failed") || line.contains("bounce")).collect();
    let at = |start: &str| words.iter().position(|line| line.starts_with(start));
    let order = [
        at("failed id="),
        at("Sending failed: "),
        at("Moving message "),
        at("Generating bounce for "),
    ];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{log}");
    assert_eq!((house.names("queue").len(), house.names("failed").len()), (1, 1));
}

#[test]
fn two_remotes_that_are_down_keep_the_mail_until_one_is_up() {
    let first = Sink::new().answers("CONNECT", "421 4.3.2 not yet");
    let second = Sink::new().answers("EHLO*", "550 no").answers("HELO*", "550 no");
    let house = house(&(first.remote("") + &second.remote("")));
    queue(&house, &RECIPIENTS);
    once(&house);
    assert_eq!(waiting(&house), RECIPIENTS);
    second.accept_everything();
    once(&house);
    assert_eq!(second.only_message().recipients, RECIPIENTS);
    assert!(first.messages().is_empty());
}

#[test]
fn over_three_attempts_each_recipient_is_served_once() {
    let all = ["a@x.example", "b@x.example", "c@x.example"];
    let sink = Sink::new()
        .answers_once("RCPT TO:<b@*", "450 4.7.1 greylisted")
        .answers_once("RCPT TO:<c@*", "450 4.7.1 greylisted")
        .answers_once("RCPT TO:<c@*", "451 4.3.0 busy");
    let house = house(&sink.remote(""));
    queue(&house, &all);
    for left in [&all[1..], &all[2..], &[]] {
        once(&house);
        assert_eq!(waiting(&house), left);
    }
    let served: Vec<_> = sink.messages().into_iter().flat_map(|one| one.recipients).collect();
    assert_eq!(served, all);
}

#[test]
fn what_the_first_remote_refuses_for_now_the_next_one_may_take() {
    let first = Sink::new().answers("RCPT TO:<b@*", "450 4.2.0 later");
    let second = Sink::new();
    let house = house(&(first.remote("") + &second.remote("")));
    queue(&house, &RECIPIENTS);
    once(&house);
    assert_eq!(first.only_message().recipients, ["a@x.example"]);
    assert_eq!(second.only_message().recipients, ["b@x.example"]);
    assert!(waiting(&house).is_empty());
}

#[test]
fn a_session_that_the_server_closed_while_idle_costs_no_attempt() {
    let sink = Sink::new().answers_once("MAIL FROM:<second@*", Answer::Close);
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    queue(&house, &RECIPIENTS);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    house.run("nullmailer-queue", [""; 0], "second@h.example\na@x.example\n\nx\n").success();
    assert_eq!(sink.wait_for(2)[1].connection, 1);
}

#[test]
fn a_remote_that_says_goodbye_to_every_message_is_left_in_peace() {
    let sink = Sink::new().answers("MAIL*", "421 4.3.2 shutting down");
    let house = house(&sink.remote("connections=1"));
    house.control("pausetime", "1h");
    for _ in 0..20 {
        queue(&house, &RECIPIENTS);
    }
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("Delivery complete, 20 message(s) remain.");
    assert_eq!(sink.connections(), 3);
}

#[test]
fn a_queue_that_is_put_in_the_place_of_another_is_watched_too() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    queue(&house, &RECIPIENTS);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    std::fs::rename(house.path("queue/queue"), house.path("queue/old")).unwrap();
    std::fs::create_dir(house.path("queue/queue")).unwrap();
    queue(&house, &RECIPIENTS);
    assert_eq!(sink.wait_for(2).len(), 2);
}

#[test]
fn a_configuration_that_breaks_while_mail_becomes_due_is_told_once_a_minute_at_most() {
    let sink = Sink::new().answers("RCPT*", "450 4.2.0 later");
    let house = house(&sink.remote(""));
    house.control("pausetime", "1");
    queue(&house, &RECIPIENTS);
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("Delivery complete, 1 message(s) remain.");
    house.control("helohost", "not a name");
    daemon.wait_for_line("helohost:1: ");
    // The message is due all the while; the daemon has nothing to do but to wait.
    queue(&house, &RECIPIENTS);
    daemon.wait_for_line("Trigger pulled.");
    let log = daemon.stop_with_log();
    let told = log.iter().filter(|line| line.contains("helohost:1: ")).count();
    assert!(told <= 3, "{told} times: {:#?}", &log[log.len() - 5..]);
}

#[test]
fn a_line_of_remotes_that_became_wrong_is_told() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    queue(&house, &RECIPIENTS);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    house.control("remotes", &(sink.remote("") + "other.example smtp nonsense\n"));
    queue(&house, &RECIPIENTS);
    daemon.wait_for_line("remotes:2: ");
    assert_eq!(sink.wait_for(2).len(), 2);
}

#[test]
fn a_lock_that_leads_elsewhere_is_not_followed() {
    let house = house("");
    let spool = house.path("queue");
    house.run("nullmailer-send", [""; 0], "").success();
    std::fs::remove_file(spool.join("lock")).unwrap();
    std::os::unix::fs::symlink(house.path("conf/me"), spool.join("lock")).unwrap();
    house.run("nullmailer-send", [""; 0], "").exit(75).complains("cannot open ");
    std::fs::remove_file(spool.join("lock")).unwrap();
    std::fs::hard_link(house.path("conf/me"), spool.join("lock")).unwrap();
    house.run("nullmailer-send", [""; 0], "").exit(75).complains("has another name");
}

#[test]
fn a_bounce_is_sent_once_however_often_its_message_cannot_be_moved_away() {
    let sink = Sink::new().answers("RCPT TO:<a@*", "550 5.1.1 no such mailbox");
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    std::fs::remove_dir(house.path("queue/failed")).unwrap();
    std::fs::write(house.path("queue/failed"), "in the way").unwrap();
    queue(&house, &RECIPIENTS[..1]);
    daemon.wait_for_lines("trouble id=", 1);
    for times in 2..=3 {
        house.run("nullmailer", ["flush"], "").success();
        daemon.wait_for_lines("trouble id=", times);
    }
    std::fs::remove_file(house.path("queue/failed")).unwrap();
    std::fs::create_dir(house.path("queue/failed")).unwrap();
    house.run("nullmailer", ["flush"], "").success();
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    let log = daemon.stop_with_log();
    let bounces = log.iter().filter(|line| line.starts_with("Generating bounce for ")).count();
    assert_eq!(bounces, 1, "{log:#?}");
    assert_eq!(house.names("failed").len(), 1);
}
