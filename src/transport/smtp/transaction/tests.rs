//! What a server sees and what comes of it, over loopback.

mod answer;
mod many;
mod unasked;

use super::super::dialogue::{Delivery, Server, deliver, deliver_mail, deliver_over, open, run};
use super::*;
use crate::mail::{Address, DeliveryRequest, ReversePath};

/// `sent`, `later` or `never`, for each recipient.
fn verdicts(delivery: &Delivery) -> Vec<&'static str> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Sent(_) => "sent",
        Outcome::Deferred(_) => "later",
        Outcome::Failed(_) => "never",
    };
    delivery.outcomes.iter().map(word).collect()
}

fn play(dialogue: &str, recipients: &[&str], text: &[u8]) -> (Delivery, String) {
    let server = Server::play(dialogue);
    let delivery = run(deliver(server.address, recipients, text));
    (delivery, server.heard())
}

#[test]
fn each_recipient_has_its_own_verdict() {
    let (delivery, _) = play(
        "S: 220 hi
         C: EHLO me.example
         S: 250 hi
         C: MAIL FROM:<s@x>
         S: 250 ok
         C: RCPT TO:<a@x>
         S: 550 5.1.1 gone
         C: RCPT TO:<b@x>
         S: 250 ok
         C: RCPT TO:<c@x>
         S: 450 later
         C: DATA
         S: 354 go
         C: ...
         S: 250 taken
         C: QUIT
         S: 221 bye",
        &["a@x", "b@x", "c@x"],
        b"A: b\n\n.\nc",
    );
    assert_eq!(verdicts(&delivery), ["never", "sent", "later"]);
    assert!(delivery.fault.is_none());
}

#[test]
fn with_pipelining_the_envelope_and_data_are_one_batch_and_replies_stay_in_step() {
    let (delivery, heard) = play(
        "S: 220 hi
         C: EHLO me.example
         S: 250-hi
         S: 250 PIPELINING
         C: MAIL FROM:<s@x>
         C: RCPT TO:<a@x>
         C: RCPT TO:<b@x>
         C: DATA
         S: 250 ok
         S: 550 no
         S: 250 ok
         S: 354 go
         C: ...
         S: 250 taken
         C: QUIT
         S: 221 bye",
        &["a@x", "b@x"],
        b"A: b\n\nc\n",
    );
    assert_eq!(verdicts(&delivery), ["never", "sent"]);
    assert!(heard.contains("DATA\r\nA: b\r\n\r\nc\r\n.\r\nQUIT"), "{heard}");
}

#[test]
fn a_message_nobody_takes_is_ended_by_a_lone_dot() {
    let (delivery, heard) = play(
        "S: 220 hi
         C: EHLO *
         S: 250-hi
         S: 250 PIPELINING
         C: MAIL *
         C: RCPT *
         C: DATA
         S: 250 ok
         S: 550 no
         S: 354 go
         C: .
         S: 250 taken
         C: QUIT
         S: 221 bye",
        &["a@x"],
        b"A: b\n\nc\n",
    );
    assert_eq!(verdicts(&delivery), ["never"], "{heard}");
}

#[test]
fn recipients_beyond_what_the_server_takes_go_in_another_transaction() {
    let (delivery, _) = play(
        "S: 220 hi
         C: EHLO *
         S: 250 hi
         C: MAIL *
         S: 250 ok
         C: RCPT TO:<a@x>
         S: 250 ok
         C: RCPT TO:<b@x>
         S: 452 4.5.3 too many
         C: DATA
         S: 354 go
         C: ...
         S: 250 taken
         C: MAIL *
         S: 250 ok
         C: RCPT TO:<b@x>
         S: 250 ok
         C: RCPT TO:<c@x>
         S: 250 ok
         C: DATA
         S: 354 go
         C: ...
         S: 554 no
         C: RSET
         S: 250 ok
         C: QUIT
         S: 221 bye",
        &["a@x", "b@x", "c@x"],
        b"A: b\n\nc\n",
    );
    assert_eq!(verdicts(&delivery), ["sent", "never", "never"]);
}

#[test]
fn a_reply_that_comes_before_the_message_is_complete_never_accepts_it() {
    // More than the socket buffers take: the client cannot be done before the reply is there.
    let long = b"x\n".repeat(10_000_000);
    let (delivery, heard) = play(
        "S: 220 hi
         C: EHLO *
         S: 250 hi
         C: MAIL *
         S: 250 ok
         C: RCPT *
         S: 250 ok
         C: DATA
         S: 354 go
         S: 250 taken",
        &["a@x"],
        &long,
    );
    assert_eq!(verdicts(&delivery), ["later"]);
    assert!(!heard.contains("\r\n.\r\n") && !heard.contains("QUIT"));
    assert!(delivery.fault.is_some());
}

#[test]
fn a_421_ends_the_session_and_delays_whoever_has_no_verdict() {
    let (delivery, heard) = play(
        "S: 220 hi
         C: EHLO *
         S: 250-hi
         S: 250 PIPELINING
         C: MAIL *
         C: RCPT *
         C: RCPT *
         C: DATA
         S: 250 ok
         S: 550 no
         S: 421 4.3.2 going down",
        &["a@x", "b@x"],
        b"A: b\n\nc\n",
    );
    assert_eq!(verdicts(&delivery), ["never", "later"]);
    assert!(!heard.contains("QUIT"));
}

#[test]
fn several_messages_share_a_session_and_one_that_is_refused_leaves_nothing_behind() {
    let server = Server::play(
        "S: 220 hi
         C: EHLO *
         S: 250-hi
         S: 250 PIPELINING
         C: MAIL *
         C: RCPT *
         C: DATA
         S: 250 ok
         S: 550 no
         S: 503 what
         C: RSET
         S: 250 ok
         C: MAIL *
         C: RCPT *
         C: DATA
         S: 250 ok
         S: 250 ok
         S: 354 go
         C: ...
         S: 250 taken
         C: MAIL *
         C: RCPT *
         C: DATA
         S: 250 ok
         S: 250 ok
         S: 354 go
         C: ...
         S: 250 taken
         C: QUIT
         S: 221 bye",
    );
    run(async {
        let mut session = open(server.address).await.unwrap();
        for (recipient, verdict) in [("a@x", "never"), ("b@x", "sent"), ("c@x", "sent")] {
            let delivery = deliver_over(&mut session, &[recipient], b"A: b\n\nc\n").await;
            assert_eq!(verdicts(&delivery), [verdict]);
            assert!(session.is_reusable());
        }
        session.close().await;
    });
    assert!(server.heard().ends_with("QUIT\r\n"));
}

#[test]
fn many_recipients_go_in_batches_and_the_text_with_the_last() {
    let recipients: Vec<String> = (0..250).map(|n| format!("{n}@x")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let mut dialogue = "S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 PIPELINING\nC: MAIL *\n".to_owned();
    for (commands, replies, end) in [(99, 100, ""), (100, 100, ""), (51, 51, "C: DATA\n")] {
        dialogue += &("C: RCPT *\n".repeat(commands) + end + &"S: 250 ok\n".repeat(replies));
    }
    dialogue += "S: 354 go\nC: ...\nS: 250 taken\nC: QUIT\nS: 221 bye";
    let (delivery, _) = play(&dialogue, &recipients, b"A: b\n\nc\n");
    assert!(verdicts(&delivery).iter().all(|verdict| *verdict == "sent"));
}

#[test]
fn a_message_that_cannot_be_read_to_its_end_is_not_ended() {
    let server = Server::play(
        "S: 220 hi
         C: EHLO *
         S: 250 hi",
    );
    run(async {
        let mut session = open(server.address).await.unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let mail = Mail {
            sender: &ReversePath::Null,
            recipients: &[Address::parse(b"a@x").unwrap()],
            request: &DeliveryRequest::default(),
            file: &file,
            offset: 0,
            size: 200,
        };
        let delivery = deliver_mail(&mut session, &mail).await;
        assert_eq!(verdicts(&delivery), ["later"]);
        assert_eq!(delivery.fault.unwrap().phase, Phase::Message);
        session.close().await;
    });
    assert_eq!(server.heard(), "EHLO me.example\r\n");
}

#[test]
fn a_delivery_that_is_given_up_closes_without_another_word() {
    let envelope = "S: 220 hi
         C: EHLO *
         S: 250 hi
         C: MAIL *
         S: 250 ok
         C: RCPT *
         S: 250 ok
         C: DATA
         ";
    for rest in ["> hang", "S: 354 go\n> hang"] {
        let server = Server::play(&format!("{envelope}{rest}"));
        run(async {
            let mut session = open(server.address).await.unwrap();
            let delivery = deliver_over(&mut session, &["a@x"], b"A: b\n\nc\n");
            let limit = std::time::Duration::from_millis(500);
            assert!(tokio::time::timeout(limit, delivery).await.is_err());
            assert!(!session.is_reusable());
            session.close().await;
        });
        let heard = server.heard();
        assert!(heard.starts_with("EHLO ") && !heard.contains("QUIT"), "{heard}");
    }
}

#[test]
fn a_verdict_is_told_when_it_is_decided_whatever_becomes_of_the_rest() {
    let server = Server::play(
        "S: 220 hi
         C: EHLO *
         S: 250 hi
         C: MAIL *
         S: 250 ok
         C: RCPT *
         S: 250 ok
         C: RCPT *
         S: 550 no
         C: DATA
         S: 354 go
         > hang",
    );
    run(async {
        let mut session = open(server.address).await.unwrap();
        let (told, heard) = (std::cell::RefCell::new(Vec::new()), tokio::sync::Notify::new());
        let file = tempfile::tempfile().unwrap();
        let mail = Mail {
            sender: &ReversePath::Null,
            recipients: &["a@x", "b@x"].map(|text| Address::parse(text.as_bytes()).unwrap()),
            request: &DeliveryRequest::default(),
            file: &file,
            offset: 0,
            size: 0,
        };
        let report = |which: &[usize], outcome: &Outcome| {
            told.borrow_mut().push((which.to_vec(), matches!(outcome, Outcome::Failed(_))));
            heard.notify_one();
        };
        tokio::select! {
            ended = super::deliver(&mut session, &mail, Share::Each, &report) => panic!("{ended:?}"),
            () = heard.notified() => {}
        }
        assert_eq!(told.into_inner(), [(vec![1], true)]);
        session.close().await;
    });
    server.heard();
}
