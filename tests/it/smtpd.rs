//! nullmailer-smtpd and `sendmail -bs`: whole sessions through the real binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::house::{House, Ran, run};

/// What each answer begins with, line by line.
fn codes(ran: &Ran) -> Vec<&str> {
    assert!(ran.stdout.ends_with("\r\n") && !ran.stdout.replace("\r\n", "").contains('\n'));
    ran.stdout.lines().map(|line| line.get(..4).unwrap_or(line)).collect()
}

fn smtpd(house: &House, session: &str) -> Ran {
    house.run("nullmailer-smtpd", ["ignored"; 1], session.replace('\n', "\r\n")).success()
}

#[test]
fn a_session_queues_its_messages_and_clears_between_them() {
    let house = House::new();
    let ran = smtpd(
        &house,
        "EHLO x\nMAIL FROM:<no@b>\nRCPT TO:<no@c>\nRSET\n\
         MAIL FROM:<a@b.c>\nRCPT TO:<d@e.f>\nRCPT TO:<g@h.i>\nDATA\nSubject: x\n\n..dot\n...\nlast\n.\n\
         DATA\nMAIL FROM:<> SIZE=10\nRCPT TO:<j@k.l>\nDATA\n.\nQUIT\nNOOP\n",
    );
    let expected = [
        "220 ", "250-", "250-", "250-", "250-", "250-", "250 ", "250 ", "250 ", "250 ", "250 ",
        "250 ", "250 ", "354 ", "250 ", "503 ", "250 ", "250 ", "354 ", "250 ", "221 ",
    ];
    assert_eq!(codes(&ran), expected, "{}", ran.stdout);
    let queued = house.queued();
    assert_eq!(queued.len(), 2);
    assert_eq!(queued[0].sender, "a@b.c");
    assert_eq!(queued[0].recipients, ["d@e.f", "g@h.i"]);
    assert_eq!(queued[0].message, "Subject: x\n\n.dot\n..\nlast\n");
    assert_eq!((queued[1].sender.as_str(), queued[1].message.as_str()), ("", ""));
}

#[test]
fn ehlo_offers_what_is_understood() {
    let house = House::new();
    house.control("maxmessagesize", "123456");
    let ran = smtpd(&house, "EHLO x\nQUIT\n");
    assert_eq!(
        ran.stdout,
        "220 f.q.d.n ESMTP nullmailer-smtpd\r\n250-f.q.d.n\r\n250-PIPELINING\r\n250-SIZE 123456\r\n\
         250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n221 2.0.0 goodbye\r\n"
    );
}

const START: &str = "MAIL FROM:<a@b.c>\nRCPT TO:<d@e.f>\nDATA\n";

#[test]
fn an_input_that_ends_before_the_last_dot_queues_nothing() {
    for end in ["", "Subject: x\n", "Subject: x\n.", "x", ".\r"] {
        let house = House::new();
        let ran = smtpd(&house, &format!("{START}{end}"));
        assert_eq!(codes(&ran), ["220 ", "250 ", "250 ", "354 "], "{end:?}");
        assert!(house.queued().is_empty() && house.names("tmp").is_empty(), "{end:?}");
    }
}

#[test]
fn nothing_can_be_smuggled_behind_a_false_end_of_data() {
    let smuggled = "MAIL FROM:<evil@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nevil\r\n";
    for false_end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r\n\0.\r\n"] {
        let house = House::new();
        let start = START.replace('\n', "\r\n");
        let session = format!("{start}good{false_end}{smuggled}.\r\nQUIT\r\n");
        house.run("nullmailer-smtpd", [""; 0], session).success();
        let queued = house.only_queued();
        assert_eq!(queued.sender, "a@b.c");
        assert!(queued.message.contains("evil@b.c"), "{false_end:?}");
    }
}

#[test]
fn a_bare_line_feed_in_a_command_ends_the_session() {
    let house = House::new();
    let session = "MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\nRCPT TO:<evil@e.f>\r\nDATA\r\nx\r\n.\r\n";
    let ran = house.run("nullmailer-smtpd", [""; 0], session).success();
    assert_eq!(codes(&ran), ["220 ", "250 ", "500 "]);
    let ran = house.run("nullmailer-smtpd", [""; 0], "NO\rOP\r\nQUIT\r\n").success();
    assert_eq!(codes(&ran), ["220 ", "500 ", "221 "]);
    assert!(house.queued().is_empty());
}

#[test]
fn a_message_that_is_too_large_is_refused_and_the_session_goes_on() {
    let house = House::new();
    house.control("maxmessagesize", "1000");
    let big = "x".repeat(70).clone() + "\n";
    let session = format!("{START}{}.\n{START}small\n.\nQUIT\n", big.repeat(100));
    let ran = smtpd(&house, &session);
    let expected = ["220 ", "250 ", "250 ", "354 ", "552 ", "250 ", "250 ", "354 ", "250 ", "221 "];
    assert_eq!(codes(&ran), expected);
    assert_eq!(house.only_queued().message, "small\n");
    assert!(house.names("tmp").is_empty());
}

#[test]
fn a_queue_that_cannot_be_written_is_a_temporary_failure() {
    let house = House::new();
    let mut command = house.command("nullmailer-smtpd");
    command.env("NULLMAILER_SPOOL_DIR", "/nonexistent/spool");
    let session = format!("{START}x\n.\nQUIT\n").replace('\n', "\r\n");
    let ran = run(&mut command, session).success();
    assert_eq!(codes(&ran), ["220 ", "250 ", "250 ", "354 ", "451 ", "221 "]);
    assert!(ran.stderr.contains("/nonexistent/spool") && !ran.stdout.contains("/nonexistent"));
    house.control("minfree", "9000000000000000");
    let ran = smtpd(&house, &format!("{START}x\n.\nQUIT\n"));
    assert_eq!(codes(&ran), ["220 ", "250 ", "250 ", "354 ", "452 ", "221 "]);
    assert!(ran.stderr.contains("minfree"), "{}", ran.stderr);
}

#[test]
fn another_queue_program_that_fails_is_a_temporary_failure() {
    let house = House::new();
    let mut command = house.command("nullmailer-smtpd");
    command.env("NULLMAILER_QUEUE", "/bin/false");
    let body = "x\n".repeat(100_000);
    let session = format!("{START}{body}.\nQUIT\n").replace('\n', "\r\n");
    let ran = run(&mut command, session).success();
    assert_eq!(codes(&ran), ["220 ", "250 ", "250 ", "354 ", "451 ", "221 "]);
}

#[test]
fn a_configuration_that_cannot_be_used_is_said_to_the_client_and_on_stderr() {
    let house = House::new();
    house.control("maxmessagesize", "much");
    let ran = house.run("nullmailer-smtpd", [""; 0], "").exit(78).complains("maxmessagesize:1");
    assert!(ran.stdout.starts_with("421 4.3.5 "));
}

/// A client that waits for each answer before it goes on, as Symfony's transport does.
#[test]
fn sendmail_speaks_smtp_over_pipes_one_command_at_a_time() {
    let house = House::new();
    let mut child = house.command("sendmail").arg("-bs").stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for (line, code) in [
        ("", "220 "),
        ("EHLO [127.0.0.1]\r\n", "250 "),
        ("MAIL FROM:<a@b.c>\r\n", "250 "),
        ("RCPT TO:<d@e.f>\r\n", "250 "),
        ("DATA\r\n", "354 "),
        ("Subject: x\r\n\r\nhi\r\n.\r\n", "250 "),
        ("NOOP\r\n", "250 "),
        ("RSET\r\n", "250 "),
        ("QUIT\r\n", "221 "),
    ] {
        input.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        while answer.get(3..4) != Some(" ") {
            answer.clear();
            assert_ne!(output.read_line(&mut answer).unwrap(), 0, "no answer to {line:?}");
        }
        assert!(answer.starts_with(code), "{line:?}: {answer}");
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(house.only_queued().message, "Subject: x\n\nhi\n");
}

#[test]
fn under_inetd_one_socket_is_stdin_stdout_and_stderr_and_only_answers_go_there() {
    let house = House::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let mut command = house.command("nullmailer-smtpd");
    command
        .env("NULLMAILER_QUEUE", "/bin/false")
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs);
    let mut child = command.spawn().unwrap();
    // It holds copies of the other end of the socket.
    drop(command);
    let session = format!("{START}x\n.\n").replace('\n', "\r\n");
    ours.write_all(session.as_bytes()).unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    ours.read_to_string(&mut answers).unwrap();
    assert!(child.wait().unwrap().success());
    let codes: Vec<_> = answers.lines().map(|line| &line[..4]).collect();
    assert_eq!(codes, ["220 ", "250 ", "250 ", "354 ", "451 "], "{answers}");
}
