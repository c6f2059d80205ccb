//! What a fuzzer feeds: reply framing, and a whole session against whatever a server may send.
//!
//! The same functions run in our own tests over bytes that proptest makes up.

mod lying;

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(crate) use lying::lying;

use super::framing::Framer;
use super::{Io, Session, Share, deliver};
use crate::mail::{Address, DeliveryRequest, Helo, Outcome, Protocol, Remote, ReversePath};
use crate::transport::{Collected, Mail};

/// Replies come out the same whether the bytes come at once or one by one; neither panics.
pub(crate) fn framing(bytes: &[u8]) {
    let whole = frame(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let (single, whole) = (frame(&single), whole);
    // An endless line is noticed early or late; the replies before it are the same.
    assert_eq!(single.0, whole.0);
    assert_eq!(single.1.is_some(), whole.1.is_some());
}

fn frame(chunks: &[&[u8]]) -> (Vec<crate::mail::Reply>, Option<String>) {
    let (mut framer, mut replies) = (Framer::default(), Vec::new());
    for chunk in chunks {
        framer.feed(chunk);
        loop {
            match framer.next() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(flaw) => return (replies, Some(flaw)),
            }
        }
    }
    (replies, None)
}

/// What the server sends; at each byte of this value it first waits to be spoken to.
pub(crate) const WAIT: u8 = 0xff;

const MESSAGE: &[u8] = b"Subject: x\n\n.body\n";

/// Two messages to two recipients each. Whatever the server sends: an end, no panic, nothing sent
/// but commands and whole messages, and nobody counts as served who was not.
pub(crate) fn session(server: &[u8]) {
    // Where both wait for the other the clock jumps to the end of the limit.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets needs nothing of the system");
    let (near, far) = tokio::io::duplex(1 << 16);
    let (deliveries, heard) =
        runtime.block_on(async { tokio::join!(client(near, &[MESSAGE; 2]), play(server, far)) });
    let text = String::from_utf8(heard).expect("all that was to be sent is ASCII");
    let ends = text.matches("\r\n..body\r\n.\r\n").count()
        + text.matches(" LAST\r\nSubject: x\r\n\r\n.body\r\n").count();
    let served = |outcomes: &&Vec<Outcome>| {
        outcomes.iter().any(|outcome| matches!(outcome, Outcome::Sent(_)))
    };
    assert!(deliveries.iter().filter(served).count() <= ends, "{text:?}");
    for outcome in deliveries.iter().flatten() {
        if let Outcome::Sent(reply) = outcome {
            assert!(reply.is_positive(), "{reply:?}");
        }
    }
    assert!(
        !text.contains("\n.QUIT") && !text.replace("\r\n", "").contains(['\r', '\n']),
        "{text:?}"
    );
}

/// Sends these to a@x and b@x, as far as the session goes.
async fn client(io: DuplexStream, messages: &[&[u8]]) -> Vec<Vec<Outcome>> {
    let remote = Remote {
        step_limit: Some(Duration::from_secs(2)),
        ..Remote::new("server.example", Protocol::Smtp)
    };
    let helo = Helo::Name("me.example".to_owned());
    let mut deliveries = Vec::new();
    let Ok(mut session) = Session::open(Io::Memory(Box::new(io)), &remote, &helo, None).await
    else {
        return deliveries;
    };
    let recipients = ["a@x", "b@x"].map(|text| Address::parse(text.as_bytes()).expect("is one"));
    for message in messages {
        if !session.is_reusable() {
            break;
        }
        let file = message_file(message);
        let mail = Mail {
            sender: &ReversePath::Null,
            recipients: &recipients,
            request: &DeliveryRequest::default(),
            file: &file,
            offset: 0,
            size: message.len() as u64,
        };
        let collected = Collected::of(&mail);
        let report = |which: &[usize], outcome: &Outcome| collected.take(which, outcome);
        let fault = deliver(&mut session, &mail, Share::Each, &report).await.err();
        let outcomes = collected.finish(fault.as_ref());
        assert_eq!(outcomes.len(), recipients.len(), "each recipient is told of");
        deliveries.push(outcomes);
    }
    session.close().await;
    deliveries
}

fn message_file(message: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("there is a folder for temporary files");
    file.write_all(message).expect("it can be written");
    file
}

/// Plays the server and notes what the client says; ends when both have said all.
async fn play(server: &[u8], mut io: DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    for (turn, said) in server.split(|byte| *byte == WAIT).enumerate() {
        if turn > 0 {
            let mut bytes = vec![0; 1 << 16];
            match io.read(&mut bytes).await {
                Ok(0) | Err(_) => return heard,
                Ok(count) => heard.extend_from_slice(&bytes[..count]),
            }
        }
        if io.write_all(said).await.is_err() {
            break;
        }
    }
    let _ = io.shutdown().await;
    let _ = io.read_to_end(&mut heard).await;
    heard
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that have a chance of getting somewhere.
    fn plausible() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            6 => Just(&b"\xff250 ok\r\n"[..]),
            2 => Just(&b"\xff354 go\r\n"[..]),
            1 => Just(&b"\xff550 no\r\n"[..]),
            1 => Just(&b"\xff452 many\r\n"[..]),
            1 => Just(&b"250 ok\r\n"[..]),
            1 => Just(&b"250-PIPELINING\r\n250-CHUNKING\r\n250 ok\r\n"[..]),
            1 => Just(&b"\xff250-x\r\n250-CHUNKING\r\n250 SIZE\r\n"[..]),
            1 => Just(&b"\xff250-x\r\n250 PIPELINING\r\n"[..]),
            1 => Just(&b"421 bye\r\n"[..]),
            1 => Just(&b"\r\n"[..]),
            1 => Just(&b"\xff"[..]),
        ];
        let start = prop_oneof![
            Just(&b"220 hi\r\n"[..]),
            Just(&b"220 hi\r\n\xff250-x\r\n250 PIPELINING\r\n\xff250 ok\r\n250 ok\r\n"[..]),
            Just(&b"220 hi\r\n\xff250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n\xff"[..]),
            Just(&b""[..]),
        ];
        (start, prop::collection::vec(word, 0..24))
            .prop_map(|(start, words)| [start, &words.concat()].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_server_breaks_a_session(server in plausible()) {
            session(&server);
        }

        #[test]
        fn no_lie_of_a_server_makes_a_message_served_that_it_did_not_take(choices: Vec<u8>) {
            lying(&choices);
        }

        #[test]
        fn no_bytes_break_a_session(server: Vec<u8>) {
            session(&server);
        }

        #[test]
        fn no_bytes_break_framing(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(b'2'), Just(b'5'), Just(b'0'), Just(b'-'), Just(b' '), Just(b'\r'), Just(b'\n')], 0..200)
        ) {
            framing(&bytes);
        }
    }

    #[test]
    fn lies_that_were_believed_once_are_not() {
        // A reply too few, so that nothing is left for RSET and a refusal stands in the place of another's or of MAIL's.
        lying(&[44, 0, 7, 0, 0, 249, 152, 118, 1, 61]);
        lying(&[248, 129, 7, 97, 64, 120, 130, 149]);
    }

    #[test]
    fn the_oracle_sees_messages_that_were_taken() {
        session(b"220 hi\r\n\xff250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n\xff250 ok\r\n250 ok\r\n250 ok\r\n250 taken\r\n");
        session(b"220 hi\r\n\xff250 x\r\n\xff250 ok\r\n\xff250 ok\r\n\xff550 no\r\n\xff354 go\r\n\xff250 taken\r\n");
    }
}
