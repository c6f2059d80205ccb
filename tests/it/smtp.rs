//! The stand-alone smtp program: its contract, and what arrives at the other end.

use std::fs::File;
use std::io::{Seek, Write};

use command_fds::{CommandFdExt, FdMapping};

use crate::house::{House, Ran, run};
use crate::smarthost::{Certificates, Dialogue, Sink};

/// Runs `smtp --host=127.0.0.1 OPTIONS` with a queue file on descriptor 3.
pub fn smtp(house: &House, options: &[&str], queue_file: impl AsRef<[u8]>) -> Ran {
    let mut file: File = tempfile::NamedTempFile::new().unwrap().reopen().unwrap();
    file.write_all(queue_file.as_ref()).unwrap();
    file.rewind().unwrap();
    let mut command = house.command("nullmailer");
    command.arg("smtp").arg("--host=127.0.0.1").args(options).env("HELOHOST", "me.example");
    command.fd_mappings(vec![FdMapping { parent_fd: file.into(), child_fd: 3 }]).unwrap();
    run(&mut command, "")
}

fn port(port: u16) -> String {
    format!("--port={port}")
}

const MAIL: &str = "s@x.example\na@x.example\n\nSubject: x\n\nbody\n";

#[test]
fn a_message_arrives_byte_for_byte_with_every_line_end_crlf() {
    for offers in [&[][..], &["PIPELINING"], &["PIPELINING", "CHUNKING"], &["CHUNKING"]] {
        for text in ["", "A: b\n\nc", "A: b\n\n.\n..\n.c\n\n\n", "A: b\r\n\r\nc\r\n"] {
            let sink = Sink::new().offers(offers);
            let mail = format!("s@x.example\na@x.example\n\n{text}");
            smtp(&House::new(), &[&port(sink.port())], mail).success();
            let received = sink.only_message();
            assert_eq!(received.sender, "s@x.example");
            assert_eq!(received.recipients, ["a@x.example"]);
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            assert_eq!(received.text(), text.replace("\r\n", "\n") + end, "{offers:?}");
            assert_eq!(received.helo, "me.example");
            assert_eq!(sink.commands().last().unwrap(), "QUIT");
        }
    }
}

#[test]
fn a_long_message_arrives_whole_however_it_is_sent() {
    let body = ".line of text that is a little longer\n".repeat(50_000);
    let mail = format!("s@x.example\na@x.example\n\nSubject: x\n\n{body}");
    for offers in [&[][..], &["PIPELINING", "CHUNKING"], &["CHUNKING"]] {
        let sink = Sink::new().offers(offers);
        smtp(&House::new(), &[&port(sink.port())], &mail).success();
        assert!(sink.only_message().text() == format!("Subject: x\n\n{body}"), "{offers:?}");
    }
}

#[test]
fn over_tls_the_same_arrives_and_the_server_is_verified() {
    let (house, certificates) = (House::new(), Certificates::new());
    house.control("ca.pem", &certificates.authority);
    let authority = format!("--x509cafile={}", house.path("conf/ca.pem").display());
    for (way, sink) in [
        ("--starttls", Sink::new().offers(&["PIPELINING", "CHUNKING"]).starttls(&certificates)),
        ("--tls", Sink::new().offers(&["PIPELINING"]).implicit_tls(&certificates)),
    ] {
        let body = ".line\n".repeat(100_000);
        let mail = format!("s@x.example\na@x.example\n\nSubject: x\n\n{body}");
        let port = port(sink.port());
        smtp(&house, &[&port, way], &mail).exit(16).complains("x509cafile");
        assert!(sink.messages().is_empty());
        smtp(&house, &[&port, way, &authority], &mail).success();
        let received = sink.only_message();
        assert!(received.secure && received.text() == format!("Subject: x\n\n{body}"));
    }
}

#[test]
fn a_server_for_7_bits_gets_7_bits_and_another_gets_what_was_written() {
    let text = "Subject: Gr\u{fc}\u{df}e\nFrom: J\u{f6}rg <s@x.example>\nContent-Type: text/plain; charset=utf-8\n\
                Content-Transfer-Encoding: 8bit\n\n.\u{fc}\n";
    let mail = format!("s@x.example\na@x.example\n\n{text}");
    for more in [&[][..], &["PIPELINING", "CHUNKING"], &["CHUNKING"]] {
        let sink = Sink::new().offers(more);
        smtp(&House::new(), &[&port(sink.port())], &mail).success();
        assert_eq!(
            sink.only_message().text(),
            "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\nFrom: =?UTF-8?B?SsO2cmc=?= <s@x.example>\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n.=C3=BC\n"
        );
        let sink = Sink::new().offers(&[more, &["8BITMIME", "SMTPUTF8"]].concat());
        smtp(&House::new(), &[&port(sink.port())], &mail).success();
        let received = sink.only_message();
        assert_eq!(received.text(), text);
        assert_eq!(received.parameters, "BODY=8BITMIME SMTPUTF8");
    }
}

#[test]
fn an_address_in_unicode_needs_a_server_for_it() {
    let mail = "s@x.example\nj\u{f6}@x.example\n\nSubject: x\n\n";
    let sink = Sink::new().offers(&["8BITMIME"]);
    smtp(&House::new(), &[&port(sink.port())], mail).exit(35).complains("5.6.7 ");
    assert!(!sink.commands().iter().any(|command| command.starts_with("MAIL")));
    let sink = Sink::new().offers(&["8BITMIME", "SMTPUTF8"]);
    smtp(&House::new(), &[&port(sink.port())], mail).success();
    assert_eq!(sink.only_message().recipients, ["j\u{f6}@x.example"]);
}

#[test]
fn success_says_what_the_server_said() {
    let sink = Sink::new().answers(".", "250-2.0.0 taken\n250 as 12345");
    let ran = smtp(&House::new(), &[&port(sink.port())], MAIL).success();
    assert_eq!(ran.stdout, "250 2.0.0 taken as 12345\n");
    assert_eq!(ran.stderr, "smtp: Succeeded: 250 2.0.0 taken as 12345\n");
}

#[test]
fn while_one_recipient_is_refused_nobody_gets_the_message() {
    let mail = "s@x\na@x\nb@x\nc@x\n\nSubject: x\n\nbody\n";
    for offers in [&[][..], &["PIPELINING", "CHUNKING"]] {
        for (reply, code) in [("550 5.1.1 gone", 35), ("450 4.2.0 busy", 16)] {
            let sink = Sink::new().offers(offers).answers("RCPT TO:<b@x>*", reply);
            let ran = smtp(&House::new(), &[&port(sink.port())], mail).exit(code);
            assert!(ran.stderr.contains(reply), "{}", ran.stderr);
            assert!(sink.messages().is_empty());
        }
    }
}

#[test]
fn the_host_names_itself_as_helohost_says_and_not_at_all_without() {
    let house = House::new();
    let mut command = house.command("nullmailer");
    command.args(["smtp", "--host=127.0.0.1", "--port=1"]);
    run(&mut command, "").exit(1).complains("HELOHOST is not set");
}

#[test]
fn a_failed_connection_has_the_original_programs_codes() {
    let house = House::new();
    let mut sink = Sink::new();
    let port = port(sink.port());
    sink.stop();
    smtp(&house, &[&port], MAIL).exit(7).complains("connect: Connection refused");
    smtp(&house, &[&port, "--host=no-such-host.invalid"], MAIL).exit(2);
    smtp(&house, &[&port, "--source=192.0.2.1"], MAIL).exit(19).complains("192.0.2.1");
    smtp(&house, &[&port, "--source=::1"], MAIL).exit(19).complains("no address family in common");
}

#[test]
fn a_message_file_that_is_no_queue_file_is_not_sent() {
    let sink = Sink::new();
    for broken in ["", "s@x\n\nbody\n", "s@x\na\n\nbody\n"] {
        smtp(&House::new(), &[&port(sink.port())], broken).exit(13);
    }
    assert_eq!(sink.connections(), 0);
}

#[test]
fn a_session_is_played_as_written() {
    let host = Dialogue::play(include_str!("../dialogues/plain.smtp"));
    smtp(&House::new(), &[&port(host.port())], MAIL).success();
    assert_eq!(host.played().departed, None);
}

#[test]
fn a_host_with_several_addresses_is_reached_over_the_one_that_answers() {
    // localhost is ::1 as well wherever there is IPv6; nobody listens there.
    let sink = Sink::new();
    let house = House::new();
    let port = port(sink.port());
    smtp(&house, &["--host=localhost", &port], MAIL).success();
    smtp(&house, &["--host=localhost", "--ipv4", "--source=127.0.0.2", &port], MAIL).success();
    assert_eq!(sink.messages().len(), 2);
    smtp(&house, &["--ipv6", &port], MAIL).exit(2).complains("has no IPv6 address");
}

#[test]
fn a_message_on_a_pipe_is_sent_too() {
    let sink = Sink::new();
    let house = House::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = house.command("nullmailer");
    command.args(["smtp", "--host=127.0.0.1", &port(sink.port())]).env("HELOHOST", "me.example");
    command.fd_mappings(vec![FdMapping { parent_fd: reader.into(), child_fd: 3 }]).unwrap();
    writer.write_all(MAIL.as_bytes()).unwrap();
    drop(writer);
    run(&mut command, "").success();
    assert_eq!(sink.only_message().text(), "Subject: x\n\nbody\n");
}

#[test]
fn recipients_beyond_what_a_server_takes_are_for_the_caller_to_send_apart() {
    // One verdict for all: without all of them there is none, and the caller tries again.
    let sink = Sink::new().answers("RCPT TO:<b@x>*", "452 4.5.3 too many recipients");
    smtp(&House::new(), &[&port(sink.port())], "s@x\na@x\nb@x\n\nSubject: x\n\n").exit(16);
    assert!(sink.messages().is_empty());
}

#[test]
fn an_address_that_looks_odd_goes_out_as_it_is() {
    let long = format!("{}@x.example", "l".repeat(65));
    let odd = [
        "root@localhost",
        "a..b@x",
        ".a@x",
        "\"\"@x",
        "\"john doe\"@x",
        "\"a>\\\"b\"@x",
        "Mixed.Case@X.Example",
        "a@x.",
        "a@-dash.x",
        "a@[IPv6:::1]",
        &long,
    ];
    let sink = Sink::new();
    let mail = format!("s..s@x\n{}\n\nSubject: x\n\n", odd.join("\n"));
    smtp(&House::new(), &[&port(sink.port())], mail).success();
    let sent: Vec<_> = odd.iter().map(|address| format!("RCPT TO:<{address}>")).collect();
    let commands = sink.commands();
    assert!(commands.iter().any(|command| command == "MAIL FROM:<s..s@x>"), "{commands:?}");
    let said: Vec<_> = commands.into_iter().filter(|command| command.starts_with("RCPT")).collect();
    assert_eq!(said, sent);
}
