//! Anonymous TLS, in builds that have it: what arrives, and what is said about servers without it.

use std::fs;

use crate::house::House;
use crate::smarthost::{Certificates, Dialogue, Sink};
use crate::smtp::smtp;

const ANONYMOUS: [&str; 2] = ["--insecure", "--tls-anon-auth"];
const MAIL: &str = "s@x.example\na@x.example\n\nSubject: x\n\nbody\n";
const NONE: &str = "the server has no anonymous TLS; let it have anonymous ciphers (aNULL)";

#[test]
fn a_server_that_shows_a_certificate_only_is_refused_and_gets_nothing() {
    let (house, certificates) = (House::new(), Certificates::new());
    for (way, sink) in [
        ("--starttls", Sink::new().starttls(&certificates)),
        ("--tls", Sink::new().implicit_tls(&certificates)),
    ] {
        let port = format!("--port={}", sink.port());
        let options = [&[port.as_str(), way], &ANONYMOUS[..]].concat();
        smtp(&house, &options, MAIL).exit(16).complains(NONE);
        assert!(sink.messages().is_empty());
        // It is the anonymity that it has not.
        smtp(&house, &options[..3], MAIL).success();
        assert!(sink.only_message().secure);
    }
}

#[test]
fn a_message_arrives_whole_over_anonymous_tls() {
    let body = ".line of text\n".repeat(100_000);
    let mail = format!("s@x.example\na@x.example\n\nSubject: x\n\n{body}");
    for suite in ["ADH-AES256-GCM-SHA384", "AECDH-AES256-SHA"] {
        let server = Certificates::none(suite);
        for offers in [&[][..], &["PIPELINING", "CHUNKING"]] {
            for (way, sink) in [
                ("--starttls", Sink::new().offers(offers).starttls(&server)),
                ("--tls", Sink::new().offers(offers).implicit_tls(&server)),
            ] {
                let port = format!("--port={}", sink.port());
                let options = [&[port.as_str(), way], &ANONYMOUS[..]].concat();
                smtp(&House::new(), &options, &mail).success();
                let received = sink.only_message();
                assert!(received.secure && received.text() == format!("Subject: x\n\n{body}"));
                assert_eq!(sink.commands().last().unwrap(), "QUIT");
            }
        }
    }
}

#[test]
fn the_daemon_logs_in_over_it_and_says_which_cipher() {
    let server = Certificates::none("ADH-AES256-GCM-SHA384");
    let sink = Sink::new().offers(&["AUTH PLAIN"]).starttls(&server);
    let house = House::new();
    let remote = format!(
        "127.0.0.1 smtp port={} starttls insecure tls-anon-auth user=us pass=secret",
        sink.port()
    );
    house.control("remotes", &remote).control("pausetime", "0");
    house.run("nullmailer-queue", [""; 0], "s@x.example\na@x.example\n\nSubject: x\n\n").success();
    let ran = house.run("nullmailer-send", [""; 0], "").success();
    assert!(ran.stdout.contains("TLSv1.2 ADH-AES256-GCM-SHA384"), "{}", ran.stdout);
    assert!(sink.only_message().secure);
    assert!(fs::read_dir(house.path("queue/queue")).unwrap().next().is_none());
}

#[test]
fn no_server_makes_anonymous_tls_hang_or_deliver_in_clear() {
    let server = Certificates::none("AECDH");
    for (way, says, dialogue) in [
        ("--tls", "closed the connection", "> close"),
        ("--tls", "timed out", "> wait"),
        ("--tls", "use starttls", "S: 220 hi\n> wait"),
        (
            "--tls",
            "cannot agree on anonymous TLS: ",
            "S~ \\x16\\x03\\x03\\0\\x04\\xff\\xff\\xff\\xff\n> wait",
        ),
        ("--tls", "timed out", "> tls\n> hang"),
        ("--tls", "closed the connection", "> tls\n> cut"),
        ("--tls", "554 5.3.2 not you", "> tls\nS: 554 5.3.2 not you"),
        ("--starttls", "does not offer STARTTLS", "S: 220 hi\nC: EHLO *\nS: 250 hi\n> nothing"),
        (
            "--starttls",
            "after its STARTTLS reply",
            "S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250 forged\n> nothing",
        ),
        (
            "--starttls",
            "closed the connection",
            "S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n> close",
        ),
    ] {
        let host = Dialogue::secure(dialogue, Some(&server));
        let port = format!("--port={}", host.port());
        let options = [&[port.as_str(), "--timeout=1", way], &ANONYMOUS[..]].concat();
        let ran = smtp(&House::new(), &options, MAIL);
        assert!(ran.code.is_some_and(|code| (1..32).contains(&code)), "{dialogue}: {:?}", ran.code);
        ran.complains(says);
        assert_eq!(host.played().departed, None, "{dialogue}");
    }
}
