//! QMQP: one message a connection, in netstrings, and one verdict for all recipients
//! (<https://cr.yp.to/proto/qmqp.html>).
//!
//! Opened by `dialer`, over TLS too. The message goes out as it is stored, with LF line ends.

use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use std::{fmt, future};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::smtp::limit;
use super::verdicts::Verdicts;
use super::{Cause, Fault, Mail, Peer, Phase, Report};
use crate::mail::{Outcome, Reason, Reply};

const BLOCK: usize = 64 * 1024;
/// The longest answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

/// TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Stream for T {}

/// A connection that has carried no message yet, or one.
#[derive(Debug)]
pub(super) struct Session {
    stream: Option<Box<dyn Stream>>,
    peer: Peer,
    step_limit: Option<Duration>,
    /// The message is out whole, and its answer is not in.
    unanswered: bool,
}

/// The answer: a letter, then text.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Taken(String),
    Later(String),
    Refused(String),
}

impl Session {
    pub(super) fn new(stream: Box<dyn Stream>, peer: Peer, step_limit: Option<Duration>) -> Self {
        Self { stream: Some(stream), peer, step_limit, unanswered: false }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the message is out whole and nothing was said against it.
    pub(super) fn may_have_taken(&self) -> bool {
        self.unanswered
    }

    /// Sends the message. The connection is then closed, whatever came of it.
    pub(super) async fn deliver(
        &mut self,
        mail: &Mail<'_>,
        report: Report<'_>,
    ) -> Result<(), Fault> {
        let verdicts = Verdicts::new(mail, report);
        let answer = self.transact(mail).await;
        let peer = self.peer.address;
        verdicts.end_alike(match answer {
            Ok(answer) => Ok(answer.outcome()),
            Err((phase, cause)) => Err(Fault { phase, peer, cause }),
        })
    }

    async fn transact(&mut self, mail: &Mail<'_>) -> Result<Answer, (Phase, Cause)> {
        let lost = || (Phase::Data, Cause::Broke("connection has had its message".to_owned()));
        let mut stream = self.stream.take().ok_or_else(lost)?;
        let within = |limit: Duration| self.step_limit.map_or(limit, |own| own.min(limit));
        let mut heard = Vec::new();
        let written = write(&mut stream, mail, within(limit::BLOCK), &mut heard).await;
        self.unanswered = written.is_ok();
        let wait = match &written {
            Ok(()) => within(limit::FINAL_DOT),
            Err((Phase::Message, _)) => return Err(written.expect_err("it is one")),
            // The server may have said why.
            Err(_) => limit::PARTING,
        };
        let answer = match timeout(wait, read(&mut stream, heard)).await {
            Ok(answer) => answer,
            Err(_) => Err((Phase::Answer, Cause::TimedOut)),
        };
        self.unanswered &= answer.is_err();
        // Takes leave of TLS; the answer is here, whatever becomes of it.
        let _ = timeout(limit::PARTING, stream.shutdown()).await;
        match (written, answer) {
            (Ok(()), answer) => answer,
            // It has not had the message: it cannot have taken it.
            (Err(_), Ok(said @ (Answer::Later(_) | Answer::Refused(_)))) => Ok(said),
            (Err(fault), _) => Err(fault),
        }
    }
}

impl Answer {
    fn outcome(self) -> Outcome {
        match self {
            Self::Taken(text) => Outcome::Sent(Reply::without_code(2, &text)),
            Self::Later(text) => Outcome::Deferred(Reason::Remote(Reply::without_code(4, &text))),
            Self::Refused(text) => Outcome::Failed(Reason::Remote(Reply::without_code(5, &text))),
        }
    }
}

/// Writes the message; the server has no word to say before it is out whole, and what it says all the same is `heard`.
async fn write(
    stream: &mut Box<dyn Stream>,
    mail: &Mail<'_>,
    limit: Duration,
    heard: &mut Vec<u8>,
) -> Result<(), (Phase, Cause)> {
    let mut envelope = b",".to_vec();
    netstring(&mut envelope, mail.sender.as_str());
    for recipient in mail.recipients {
        netstring(&mut envelope, recipient.as_str());
    }
    let head = format!("{}:", mail.size);
    // The comma behind the message counts, the one behind everything does not.
    let whole = head.len() as u64 + mail.size + envelope.len() as u64;
    envelope.push(b',');
    send(stream, format!("{whole}:{head}").as_bytes(), limit).await?;
    let mut block = vec![0; BLOCK];
    let (mut at, end) = (mail.offset, mail.offset + mail.size);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        let block = &mut block[..length];
        // The rest of the message is then missing, and the server drops what it has.
        mail.file.read_exact_at(block, at).map_err(|error| {
            (Phase::Message, Cause::Broke(format!("cannot read the message: {error}")))
        })?;
        at += length as u64;
        send(stream, block, limit).await?;
    }
    listen(stream, heard).await;
    if !heard.is_empty() {
        let sentence = "server answered before the message was out";
        return Err((Phase::Data, Cause::Broke(sentence.to_owned())));
    }
    send(stream, &envelope, limit).await
}

/// Reads what is there, without waiting. What breaks shows again when the answer is read.
async fn listen(stream: &mut Box<dyn Stream>, heard: &mut Vec<u8>) {
    // Writes that never wait give the runtime no chance to see what has arrived.
    tokio::task::yield_now().await;
    let mut bytes = [0; 512];
    let mut buffer = ReadBuf::new(&mut bytes);
    future::poll_fn(|cx| {
        let _ = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        Poll::Ready(())
    })
    .await;
    heard.extend_from_slice(buffer.filled());
}

fn netstring(out: &mut Vec<u8>, text: &str) {
    write!(out, "{}:{text},", text.len()).expect("a Vec takes all");
}

async fn send(
    stream: &mut Box<dyn Stream>,
    bytes: &[u8],
    limit: Duration,
) -> Result<(), (Phase, Cause)> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    match timeout(limit, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            Err((Phase::Data, Cause::System(error.kind(), format!("cannot write: {error}"))))
        }
        Err(_) => Err((Phase::Data, Cause::TimedOut)),
    }
}

/// Reads the answer, a netstring, of which this much is here. It is the only thing to be said: more would leave open which
/// is meant.
async fn read(stream: &mut Box<dyn Stream>, mut bytes: Vec<u8>) -> Result<Answer, (Phase, Cause)> {
    let broke = |sentence: String| (Phase::Answer, Cause::Broke(sentence));
    loop {
        match parse(&bytes) {
            Ok(Some((answer, []))) => return Ok(answer),
            Ok(Some(_)) => return Err(broke("server sent more than an answer".to_owned())),
            Ok(None) => {}
            Err(flaw) => return Err(broke(flaw)),
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(broke("server closed the connection".to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(broke("server closed the connection".to_owned()));
            }
            Err(error) => {
                let sentence = super::tls::explain_read(&error);
                return Err(broke(sentence.unwrap_or_else(|| format!("cannot read: {error}"))));
            }
        }
    }
}

/// The answer and what stands behind it; `Ok(None)` while the netstring is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, &[u8])>, String> {
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    let foreign = || format!("server does not speak QMQP: {:?}", shown());
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = || str::from_utf8(&bytes[..digits]).ok()?.parse::<usize>().ok();
    let length = match bytes.get(digits) {
        // More digits than any length of ours has.
        _ if digits > 9 => return Err(foreign()),
        None => return Ok(None),
        Some(b':') => length().filter(|length| *length <= ANSWER_MAX).ok_or_else(foreign)?,
        Some(_) => return Err(foreign()),
    };
    let rest = &bytes[digits + 1..];
    if rest.len() <= length {
        return Ok(None);
    }
    let (content, end) = rest.split_at(length);
    if end[0] != b',' {
        return Err(foreign());
    }
    let text = || String::from_utf8_lossy(&content[1..]).into_owned();
    match content.first() {
        Some(b'K') => Ok(Some((Answer::Taken(text()), &end[1..]))),
        Some(b'Z') => Ok(Some((Answer::Later(text()), &end[1..]))),
        Some(b'D') => Ok(Some((Answer::Refused(text()), &end[1..]))),
        _ => Err(foreign()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let whole = b"14:Kok 1234 qp 56,";
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
        }
        let ok = Answer::Taken("ok 1234 qp 56".to_owned());
        assert_eq!(parse(whole), Ok(Some((ok, &b""[..]))));
        assert_eq!(parse(b"1:Z,more"), Ok(Some((Answer::Later(String::new()), &b"more"[..]))));
        let odd = Answer::Refused("\u{fffd}\n".to_owned());
        assert_eq!(parse(b"3:D\xff\n,"), Ok(Some((odd, &b""[..]))));
    }

    #[test]
    fn what_is_no_answer_is_none_whatever_it_begins_with() {
        for foreign in [
            &b"220 mail ESMTP\r\n"[..],
            b"0:,",
            b"2:ok,",
            b"2:Kok",
            b":K,",
            b"-1:K,",
            b"99999999999999999999",
            b"65537:K",
            b"HTTP/1.1 400",
        ] {
            assert!(parse(foreign).is_err(), "{:?}", String::from_utf8_lossy(foreign));
        }
    }
}
