//! When text goes out before the server has agreed to take it, and by which command.

use super::*;

const OFFERS: &str = "S: 220 hi
    C: EHLO me.example
    S: 250-hi
    S: 250-PIPELINING
    S: 250-SIZE 1000
    S: 250 CHUNKING
    ";

/// A first message, which nothing is known of yet.
const FIRST: &str = "C: MAIL FROM:<s@x> SIZE=15
    C: RCPT TO:<a@x>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 354 go
    C: ...
    ";

/// The same message, sent with its envelope.
const WHOLE: &str = "C: MAIL FROM:<s@x> SIZE=15
    C: RCPT TO:<a@x>
    C: BDAT 15 LAST
    C: A: b
    C:
    C: ..
    C: c
    C: RSET
    ";

const QUIT: &str = "C: QUIT
    S: 221 bye";

const TEXT: &[u8] = b"A: b\n\n..\nc";

/// Sends these texts one after the other, each to a@x; what comes of each.
fn send(dialogue: &[&str], texts: &[&[u8]]) -> Vec<&'static str> {
    let server = Server::play(&dialogue.concat());
    let came = run(async {
        let mut session = open(server.address).await.unwrap();
        let mut came = Vec::new();
        for text in texts {
            let delivery = deliver_over(&mut session, &["a@x"], text).await;
            assert!(delivery.fault.is_none(), "{:?}", delivery.fault);
            came.extend(verdicts(&delivery));
        }
        session.close().await;
        came
    });
    assert!(server.heard().ends_with("QUIT\r\n"));
    came
}

#[test]
fn a_message_goes_whole_behind_one_that_was_taken() {
    let taken = "S: 250 taken\n";
    let replies = "S: 250 ok\nS: 250 ok\nS: 250 taken\nS: 250 ok\n";
    let dialogue = [OFFERS, FIRST, taken, WHOLE, replies, WHOLE, replies, QUIT];
    assert_eq!(send(&dialogue, &[TEXT; 3]), ["sent"; 3]);
}

#[test]
fn a_message_behind_one_that_was_refused_waits_for_its_envelope() {
    let refused = "S: 554 5.6.0 spam\nC: RSET\nS: 250 ok\n";
    let taken = "S: 250 taken\n";
    let dialogue = [OFFERS, FIRST, refused, FIRST, taken, QUIT];
    assert_eq!(send(&dialogue, &[TEXT; 2]), ["never", "sent"]);
    // Whether its text was refused or its envelope.
    for replies in [
        "S: 250 ok\nS: 250 ok\nS: 554 5.6.0 spam\n",
        "S: 250 ok\nS: 550 5.1.1 no\nS: 250 taken\n",
        "S: 550 5.1.8 no\nS: 503 5.5.1 no\nS: 503 5.5.1 no\n",
    ] {
        let (taken, reset) = ("S: 250 taken\n", "S: 250 ok\n");
        let dialogue = [OFFERS, FIRST, taken, WHOLE, replies, reset, FIRST, taken, QUIT];
        assert_eq!(send(&dialogue, &[TEXT; 3]), ["sent", "never", "sent"], "{replies}");
    }
}

#[test]
fn text_with_a_line_that_could_be_a_command_waits_for_354() {
    let command = "C: MAIL FROM:<s@x> SIZE=20
        C: RCPT TO:<a@x>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: A: b
        C:
        C: rset
        C: MAIL
        C: .
        S: 250 taken
        ";
    let text = b"A: b\n\nrset\nMAIL\n";
    let dialogue = [OFFERS, FIRST, "S: 250 taken\n", command, QUIT];
    assert_eq!(send(&dialogue, &[TEXT, text]), ["sent"; 2]);
    assert_eq!(send(&[OFFERS, command, QUIT], &[text]), ["sent"]);
}
