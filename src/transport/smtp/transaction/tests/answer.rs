//! When a message may have been taken although nobody said so.

use super::*;

/// An envelope for a and b, one command at a time.
const ENVELOPE: &str = "S: 220 hi
    C: EHLO *
    S: 250 hi
    C: MAIL *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    ";

/// The fault that the server's end brings.
fn fault(dialogue: &str, text: &[u8]) -> Fault {
    let server = Server::play(dialogue);
    let fault = run(async {
        let mut session = open(server.address).await.unwrap();
        let delivery = deliver_over(&mut session, &["a@x", "b@x"], text).await;
        let fault = delivery.fault.expect(dialogue);
        assert_eq!(session.may_have_taken(), fault.may_have_been_taken(), "{dialogue}");
        session.close().await;
        fault
    });
    server.heard();
    fault
}

#[test]
fn it_may_have_been_taken_once_it_is_out_whole_and_until_it_is_answered() {
    for (rest, phase) in [
        ("C: DATA", Phase::Envelope),
        ("C: DATA\nS: 421 bye", Phase::Envelope),
        ("C: DATA\nS: 354 go\nC: ...", Phase::Answer),
        ("C: DATA\nS: 354 go\nC: ...\nS: 250-tak", Phase::Answer),
        ("C: DATA\nS: 354 go\nC: ...\nS: 354 go", Phase::Answer),
        ("C: DATA\nS: 354 go\nC: ...\nS: HTTP/1.1 400", Phase::Answer),
        // It said that it has not.
        ("C: DATA\nS: 354 go\nC: ...\nS: 421 bye", Phase::Data),
    ] {
        let fault = fault(&format!("{ENVELOPE}{rest}"), b"A: b\n\nc\n");
        assert_eq!(fault.phase, phase, "{rest}: {fault}");
        let said = fault.reason().to_string().ends_with("; the message may have been taken");
        assert_eq!(said, phase == Phase::Answer, "{rest}: {fault}");
    }
}

#[test]
fn half_a_message_is_never_taken() {
    // More than the socket buffers take: the client cannot be done when the server goes.
    let long = b"x\n".repeat(10_000_000);
    let fault = fault(&format!("{ENVELOPE}C: DATA\nS: 354 go\nS: 354 go"), &long);
    assert_eq!(fault.phase, Phase::Data, "{fault}");
}

#[test]
fn a_chunk_may_have_been_taken_whether_its_envelope_was_answered_or_not() {
    let offers = "S: 220 hi
        C: EHLO *
        S: 250-hi
        S: 250-PIPELINING
        S: 250 CHUNKING
        ";
    let taken = "C: MAIL *
        C: RCPT *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: A: b
        C:
        C: c
        C: .
        S: 250 taken
        ";
    let whole = "C: MAIL *
        C: RCPT *
        C: RCPT *
        C: BDAT *
        C: A: b
        C:
        C: c
        C: RSET
        ";
    for (replies, phase) in [
        ("", Phase::Answer),
        ("S: 250 ok", Phase::Answer),
        ("S: 250 ok\nS: 550 no\nS: 250 ok", Phase::Answer),
        // It will not come to the chunk, or nobody was to get it.
        ("S: 421 bye", Phase::Envelope),
        ("S: 550 no\nS: 503 no\nS: 503 no", Phase::Data),
        ("S: 250 ok\nS: 550 no\nS: 550 no", Phase::Data),
        // Whether this is the answer to the chunk is not known without that to RSET.
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 taken", Phase::Answer),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 554 no", Phase::Answer),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 421 bye", Phase::Answer),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 421 bye", Phase::Data),
    ] {
        let server = Server::play(&format!("{offers}{taken}{whole}{replies}"));
        run(async {
            let mut session = open(server.address).await.unwrap();
            for _ in 0..2 {
                let delivery = deliver_over(&mut session, &["a@x", "b@x"], b"A: b\n\nc\n").await;
                if let Some(fault) = delivery.fault {
                    assert_eq!(fault.phase, phase, "{replies}: {fault}");
                    return session.close().await;
                }
            }
            panic!("{replies} is no fault");
        });
        server.heard();
    }
}

#[test]
fn a_message_that_was_answered_leaves_nothing_behind_for_the_next() {
    let server = Server::play(&format!(
        "{ENVELOPE}C: DATA
         S: 354 go
         C: ...
         S: 250 taken
         C: MAIL *"
    ));
    run(async {
        let mut session = open(server.address).await.unwrap();
        let first = deliver_over(&mut session, &["a@x", "b@x"], b"A: b\n\nc\n").await;
        assert_eq!(verdicts(&first), ["sent", "sent"]);
        let second = deliver_over(&mut session, &["a@x", "b@x"], b"A: b\n\nc\n").await;
        assert_eq!(second.fault.unwrap().phase, Phase::Envelope);
        session.close().await;
    });
    server.heard();
}
