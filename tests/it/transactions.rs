//! What may be sent before the server has answered, and what becomes of a message whose answer is lost.

use std::sync::{Arc, Mutex};

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::{Dialogue, Listener, Stream};

fn queue(house: &House, sender: &str, body: &str) {
    let input = format!("{sender}\na@x.example\n\nSubject: x\n\n{body}\n");
    house.run("nullmailer-queue", [""; 0], input).success();
}

fn remote(host: &Dialogue, options: &str) -> String {
    format!("127.0.0.1 smtp --port={} {options}\n", host.port())
}

/// A server that offers what a chunk needs, and a first message of s@x.example that it takes.
const FIRST: &str = "S: 220 hi
    C: EHLO *
    S: 250-hi
    S: 250-PIPELINING
    S: 250 CHUNKING
    C: MAIL FROM:<s@x.example>
    C: RCPT *
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 354 go
    > text
    S: 250 taken
    ";

#[test]
fn a_message_that_may_have_been_taken_is_not_repeated_at_once() {
    let host = Dialogue::play(&format!(
        "{FIRST}C: MAIL *
         C: RCPT *
         C: BDAT *
         > chunk
         C: RSET
         > close"
    ));
    let house = House::new();
    house.control("remotes", &remote(&host, ""));
    let daemon = Daemon::start(&house);
    queue(&house, "s@x.example", "one");
    daemon.wait_for_line("Sent file.");
    queue(&house, "s@x.example", "two");
    daemon.wait_for_line("Sending failed: ");
    let log = daemon.stop_with_log();
    let journal = house.path("queue/status").join(house.only_queued().id);
    let journal = std::fs::read_to_string(journal).unwrap();
    assert_eq!(host.played().departed, None);
    let of = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!((of("Starting delivery: "), of("Sent file.")), (2, 1), "{log:#?}");
    for said in [log.join("\n"), journal] {
        assert!(said.contains("the message may have been taken"), "{said}");
    }
}

/// A server that takes text for commands where it can: it offers CHUNKING, answers a chunk that it does not want by 503
/// and does not read it. It takes `taken` messages from s@x.example and refuses their sender from then on. If it does not
/// know BDAT after all, it wants no chunk. Every line that it took for a command is kept.
fn literal(taken: usize, knows_bdat: bool) -> (Listener, Arc<Mutex<Vec<String>>>) {
    let executed = Arc::new(Mutex::new(Vec::new()));
    let commands = executed.clone();
    let serve = move |_: usize, mut stream: Stream| {
        let say = |stream: &mut Stream, reply: &str| {
            let _ = stream.send(format!("{reply}\r\n").as_bytes());
        };
        let (mut accepted, mut in_transaction, mut recipients) = (0, false, 0);
        say(&mut stream, "220 hi");
        while let Some(line) = stream.line() {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            commands.lock().unwrap().push(line.clone());
            let verb = line.split(char::is_whitespace).next().unwrap().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => "250-hi\r\n250-PIPELINING\r\n250 CHUNKING",
                "MAIL" if line.contains("<s@x.example>") && accepted >= taken => "451 4.7.1 later",
                "MAIL" => {
                    (in_transaction, recipients) = (true, 0);
                    "250 ok"
                }
                "RCPT" if in_transaction => {
                    recipients += 1;
                    "250 ok"
                }
                "BDAT" if recipients > 0 && knows_bdat => {
                    let count = line.split(' ').nth(1).unwrap().parse().unwrap();
                    if stream.bytes(count).is_none() {
                        return;
                    }
                    accepted += 1;
                    (in_transaction, recipients) = (false, 0);
                    "250 taken"
                }
                "DATA" if recipients > 0 => {
                    say(&mut stream, "354 go");
                    while stream.line().is_some_and(|line| line != b".") {}
                    accepted += 1;
                    (in_transaction, recipients) = (false, 0);
                    "250 taken"
                }
                "RSET" => {
                    (in_transaction, recipients) = (false, 0);
                    "250 ok"
                }
                "RCPT" | "BDAT" | "DATA" => "503 5.5.1 no",
                "QUIT" => "221 bye",
                _ => "500 5.5.2 what",
            };
            say(&mut stream, reply);
        }
    };
    (Listener::start(serve), executed)
}

#[test]
fn text_is_never_read_as_commands() {
    for (taken, knows_bdat) in [(0, true), (1, true), (1, false)] {
        for mail in ["MAIL FROM", " \tmail from", "Mail\tFrom", "\u{b}MAIL FROM", "M\0AIL FROM"] {
            let (server, executed) = literal(taken, knows_bdat);
            let house = House::new();
            house.control("remotes", &format!("127.0.0.1 smtp --port={}\n", server.port()));
            let daemon = Daemon::start(&house);
            let body = format!("RSET\n{mail}:<ceo@x.example>\nRCPT TO:<b@x.example>\nDATA");
            for _ in 0..taken {
                queue(&house, "s@x.example", &body);
                daemon.wait_for_line("Sent file.");
            }
            queue(&house, "s@x.example", &body);
            daemon.wait_for_line("Sending failed: ");
            daemon.stop();
            let executed = executed.lock().unwrap();
            let is_ours = |line: &&String| line.contains("FROM:<s@x.example>");
            assert_eq!(executed.iter().filter(is_ours).count(), taken + 1, "{executed:#?}");
            assert!(!executed.iter().any(|line| line.contains("ceo@")), "{executed:#?}");
        }
    }
}

#[test]
fn a_sender_whose_mail_was_taken_costs_one_round_trip_a_message() {
    let host = Dialogue::play(&format!(
        "{FIRST}C: MAIL FROM:<s@x.example>
         C: RCPT *
         C: BDAT *
         > chunk
         C: RSET
         S: 250 ok
         S: 250 ok
         S: 250 taken
         S: 250 ok
         C: MAIL FROM:<t@x.example>
         C: RCPT *
         C: DATA
         S: 250 ok
         S: 250 ok
         S: 354 go
         > text
         S: 250 taken
         C: QUIT"
    ));
    let house = House::new();
    house.control("remotes", &remote(&host, ""));
    let daemon = Daemon::start(&house);
    for (count, sender) in [(1, "s@x.example"), (2, "s@x.example"), (3, "t@x.example")] {
        queue(&house, sender, "Hello,\n\nthe disk is full.");
        daemon.wait_for_lines("Sent file.", count);
    }
    daemon.stop();
    assert_eq!(host.played().departed, None);
}

/// What a server says with a reply too many somewhere, to the second message of a session, which goes whole.
#[test]
fn no_reply_too_many_passes_for_the_answer_to_a_message() {
    for (replies, seen) in [
        // Behind MAIL, RCPT or the chunk itself; and what refuses the message in the place of what answers RSET.
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 554 5.6.0 spam\nS: 250 ok", "RSET behind BDAT"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 554 5.6.0 spam", "RSET behind BDAT"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 421 4.3.2 bye", "RSET behind BDAT"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\n> close", "server closed the connection"),
        ("S: 250 ok\nS: 250 ok\nS: 354 go", "server answered BDAT with 354 go"),
        (
            "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 554 5.6.0 spam",
            "server sent unasked: 554",
        ),
        ("S: 250 ok\nS: 250 ok\nS: 250 taken\nS: 250 ok\nS: 250 ok", "server sent unasked: 250 ok"),
        (
            "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS~ 55",
            "server sent part of a reply unasked",
        ),
        // A refusal may be another's too: nobody is told that the message was refused.
        ("S: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 taken\nS: 250 ok", "server sent unasked: 250 ok"),
        ("S: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 taken\nS: 250 ok", "server sent unasked: 250 ok"),
    ] {
        let host = Dialogue::play(&format!(
            "{FIRST}C: MAIL *
             C: RCPT *
             C: BDAT *
             > chunk
             C: RSET
             {replies}
             > nothing"
        ));
        let house = House::new();
        house.control("remotes", &remote(&host, ""));
        let daemon = Daemon::start(&house);
        queue(&house, "s@x.example", "one");
        daemon.wait_for_line("Sent file.");
        queue(&house, "s@x.example", "two");
        daemon.wait_for_line("Sending failed: ");
        let log = daemon.stop_with_log();
        assert_eq!(host.played().departed, None, "{replies}");
        assert!(log.iter().any(|line| line.contains(seen)), "{replies}: {log:#?}");
        assert_eq!(log.iter().filter(|line| line.contains("Sent file.")).count(), 1, "{replies}");
        house.only_queued();
    }
}

/// The same of DATA, where 354 is in step with nothing else.
#[test]
fn no_reply_too_many_passes_for_the_answer_to_the_final_dot() {
    for (replies, may_have) in [
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go", false),
        ("S: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go", false),
        ("S: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 taken", false),
        ("S: 250 ok\nS: 250 ok\nS: 354 go\nC: ...\nS: 250 ok\nS: 554 5.6.0 spam", true),
        ("S: 250 ok\nS: 250 ok\nS: 354 go\nC: ...\nS: 554 5.6.0 spam\nS: 250 ok", true),
    ] {
        let host = Dialogue::play(&format!(
            "S: 220 hi
             C: EHLO *
             S: 250-hi
             S: 250 PIPELINING
             C: MAIL *
             C: RCPT *
             C: DATA
             {replies}
             > nothing"
        ));
        let house = House::new();
        house.control("remotes", &remote(&host, ""));
        let daemon = Daemon::start(&house);
        queue(&house, "s@x.example", "one");
        daemon.wait_for_line("Sending failed: ");
        let log = daemon.stop_with_log();
        assert_eq!(host.played().departed, None, "{replies}");
        let said = log.iter().any(|line| line.contains("the message may have been taken"));
        assert_eq!(said, may_have, "{replies}: {log:#?}");
        house.only_queued();
    }
}
