//! The stream under a session: what lettre reads from and all bytes go out through.
//!
//! It frames replies itself ([`super::framing`]), matches each with a command ([`super::turns`]), keeps it as our own
//! [`Reply`], and hands lettre exactly one at a time, as one line that its parser cannot misread. So lettre's buffer never
//! holds a byte that came before TLS, and no decision rests on lettre's idea of a reply.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, future};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::framing::Framer;
use super::io::Io;
use super::turns::{Batch, Heard, Turns};
use crate::mail::{Mask, Reply};
use crate::transport::tls::{self, TlsStream};

/// A connection, shared by a session and the lettre connection inside it, and by nobody else.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Inner>>);

struct Inner {
    io: Io,
    peer: Option<SocketAddr>,
    framer: Framer,
    turns: Turns,
    /// What lettre has not yet read of the one reply it was given.
    to_lettre: Vec<u8>,
    /// The reply that lettre was given, for the session to take.
    reply: Option<Reply>,
    gate: Gate,
    /// No more can be read.
    ended: bool,
    /// Why reading or writing ended, in words.
    broke: Option<String>,
}

/// What becomes of bytes that are to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Lettre's own EHLO, while it is shown a greeting and a reply made up for it.
    Swallow,
}

impl Wire {
    pub(super) fn new(io: Io) -> Self {
        let peer = io.peer();
        Self(Arc::new(Mutex::new(Inner {
            io,
            peer,
            framer: Framer::default(),
            turns: Turns::default(),
            to_lettre: Vec::new(),
            reply: None,
            gate: Gate::Open,
            ended: false,
            broke: None,
        })))
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.inner().peer
    }

    /// Has what `hide` adds to the mask taken out of every reply from now on.
    pub(super) fn mask(&self, hide: impl FnOnce(&mut Mask)) {
        hide(self.inner().framer.mask());
    }

    /// A text of the server's, or with one in it, as it may be kept.
    pub(super) fn masked(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.inner().framer.mask().apply(text.as_bytes())).into_owned()
    }

    /// Notes that the server speaks first.
    pub(super) fn expect_greeting(&self) {
        self.inner().turns.greeting();
    }

    /// Notes that one command of so many bytes, line end included, is about to be written.
    pub(super) fn expect_answer(&self, length: usize) {
        self.inner().turns.announce_command(length);
    }

    /// The next reply, read past lettre.
    pub(super) async fn next(&self) -> io::Result<Heard> {
        future::poll_fn(|cx| self.inner().poll_next(cx)).await
    }

    /// From here to [`Wire::end_replay`], lettre reads a greeting and an EHLO reply of our
    /// making, and what it writes goes nowhere: connecting is our business.
    pub(super) fn begin_replay(&self) {
        let mut inner = self.inner();
        inner.gate = Gate::Swallow;
        inner.to_lettre.extend_from_slice(b"220 -\r\n250 -\r\n");
    }

    /// False if lettre did not read the replay to its end: then its order of speaking has changed.
    pub(super) fn end_replay(&self) -> bool {
        let mut inner = self.inner();
        inner.gate = Gate::Open;
        inner.to_lettre.is_empty()
    }

    /// The reply that lettre has just read, in our words.
    pub(super) fn take_reply(&self) -> Option<Reply> {
        self.inner().reply.take()
    }

    /// Why the connection is of no more use, if it is.
    pub(super) fn broke(&self) -> Option<String> {
        self.inner().broke.clone()
    }

    /// Writes past lettre: batches and message text. Listens all the while, and stops at the end of what can be read and
    /// at a reply that answers nothing: the text that is left must not follow it. True if all is out.
    pub(super) async fn write(&self, batch: &Batch) -> io::Result<bool> {
        let (bytes, mut at) = (batch.bytes(), 0);
        self.inner().turns.announce(batch);
        // Writes that never wait give the runtime no chance to see what has arrived.
        tokio::task::yield_now().await;
        future::poll_fn(|cx| {
            let mut inner = self.inner();
            loop {
                // What has come by now cannot answer what the next piece ends.
                while inner.may_hear() && inner.poll_arrivals(cx).is_ready() {}
                if !inner.may_hear() {
                    return Poll::Ready(Ok(false));
                }
                if at == bytes.len() {
                    ready!(inner.poll_flush(cx))?;
                    return Poll::Ready(Ok(true));
                }
                at += ready!(inner.poll_write(cx, &bytes[at..]))?;
            }
        })
        .await
    }

    /// A reply that answers nothing: looks without waiting.
    ///
    /// # Errors
    /// Part of one is there; or the server closed the connection or broke the protocol.
    pub(super) async fn early_reply(&self) -> io::Result<Option<Reply>> {
        tokio::task::yield_now().await;
        future::poll_fn(|cx| {
            let mut inner = self.inner();
            let looked = match inner.turns.unasked() {
                None => inner.poll_arrivals(cx),
                Some(_) => Poll::Ready(Ok(())),
            };
            Poll::Ready(match looked {
                Poll::Ready(Err(error)) => Err(error),
                _ if inner.turns.unasked().is_none() && !inner.framer.is_idle() => {
                    Err(inner.broken("server sent part of a reply unasked".to_owned()))
                }
                _ => Ok(inner.turns.unasked().cloned()),
            })
        })
        .await
    }

    /// A reply that answers nothing and has arrived by now.
    pub(super) fn unasked(&self) -> Option<Reply> {
        self.inner().turns.unasked().cloned()
    }

    /// The beginning of a reply has arrived.
    pub(super) fn has_part(&self) -> bool {
        !self.inner().framer.is_idle()
    }

    /// A message is out whole, and it is not known what became of it.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.inner().turns.is_in_doubt()
    }

    /// What became of the message is known, or nobody was to get it.
    pub(super) fn resolve(&self) {
        self.inner().turns.resolve();
    }

    /// True if every command was answered, and every byte that has arrived was part of an answer that was taken.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.turns.is_idle()
            && inner.framer.is_idle()
            && inner.to_lettre.is_empty()
            && inner.reply.is_none()
    }

    /// Takes the plain connection out for a TLS handshake; `None` if it is not plain.
    pub(super) fn take_plain(&self) -> Option<TcpStream> {
        let mut inner = self.inner();
        match std::mem::replace(&mut inner.io, Io::Gone) {
            Io::Plain(tcp) => Some(tcp),
            other => {
                inner.io = other;
                None
            }
        }
    }

    pub(super) fn resume(&self, tls: TlsStream) {
        self.inner().io = Io::Tls(tls);
    }

    /// Protocol and cipher suite; `None` without TLS.
    pub(super) fn tls(&self) -> Option<String> {
        self.inner().io.tls()
    }

    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        self.inner().io.local_ip()
    }

    /// Ends TLS properly, so that the server need not take the end for an attack. Never hangs.
    pub(super) async fn shut(mut self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.shutdown()).await;
    }

    /// Never held over an await; a panic under it leaves nothing half done.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether an answer can still come.
    fn may_hear(&self) -> bool {
        !self.ended && self.turns.unasked().is_none()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Heard>> {
        loop {
            if let Some(heard) = self.turns.next() {
                return Poll::Ready(Ok(heard));
            }
            if let Err(error) = ready!(self.poll_arrivals(cx)) {
                // What came before that is heard first.
                return Poll::Ready(self.turns.next().ok_or(error));
            }
        }
    }

    /// Reads what has arrived, and matches all of it.
    fn poll_arrivals(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Err(self.broken(String::new())));
        }
        let mut bytes = [0; 4096];
        let mut buffer = ReadBuf::new(&mut bytes);
        let cause = match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                self.framer.feed(buffer.filled());
                match self.frame() {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(flaw) => flaw,
                }
            }
            Ok(()) => "server closed the connection".to_owned(),
            // A TLS peer that ends without close_notify has closed the connection, no more.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "server closed the connection".to_owned()
            }
            // With TLS 1.3 the server's word on our certificate comes after the handshake.
            Err(error) => {
                tls::explain_read(&error).unwrap_or_else(|| format!("cannot read: {error}"))
            }
        };
        self.ended = true;
        Poll::Ready(Err(self.broken(cause)))
    }

    fn frame(&mut self) -> Result<(), String> {
        while let Some(reply) = self.framer.next()? {
            self.turns.take(reply);
        }
        if !self.framer.is_idle() {
            self.turns.take_part();
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        let written = match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        };
        if let Ok(count) = written {
            self.turns.wrote(count);
        }
        Poll::Ready(written.map_err(|error| self.broken(format!("cannot write: {error}"))))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        if flushed.is_ok() {
            self.turns.flushed();
        }
        Poll::Ready(flushed.map_err(|error| self.broken(format!("cannot write: {error}"))))
    }

    /// Keeps the first cause: what follows a break says less.
    fn broken(&mut self, cause: String) -> io::Error {
        io::Error::other(self.broke.get_or_insert(cause).clone())
    }
}

/// One whole reply, as lettre's parser wants it: its second digit knows 0 to 5 only.
fn for_lettre(reply: &Reply) -> Vec<u8> {
    let (class, middle, last) = (reply.code / 100, reply.code / 10 % 10, reply.code % 10);
    format!("{class}{}{last} -\r\n", middle.min(5)).into_bytes()
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        if inner.to_lettre.is_empty() {
            let reply = match ready!(inner.poll_next(cx))? {
                Heard::Answer(reply) => reply,
                Heard::Unasked(reply) => {
                    return Poll::Ready(Err(inner.broken(format!("server sent unasked: {reply}"))));
                }
            };
            inner.to_lettre = for_lettre(&reply);
            inner.reply = Some(reply);
        }
        // Up to one line end: of the replay too lettre gets one reply a read.
        let line = inner.to_lettre.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
        let length = line.min(buffer.remaining());
        buffer.put_slice(&inner.to_lettre[..length]);
        inner.to_lettre.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        if inner.gate == Gate::Swallow {
            return Poll::Ready(Ok(bytes.len()));
        }
        // As in `Wire::write`: before the command is out whole, nothing can answer it.
        let _ = inner.poll_arrivals(cx);
        inner.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().io).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.peer()).finish()
    }
}
