//! The stream under a session: what lettre reads from and all bytes go out through.
//!
//! It frames replies itself ([`super::framing`]), keeps each as our own [`Reply`], and hands
//! lettre exactly one at a time, as one line that its parser cannot misread. So lettre's buffer never
//! holds a byte that came before TLS, and no decision rests on lettre's idea of a reply.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, future};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::framing::Framer;
use super::io::Io;
use crate::mail::Reply;
use crate::transport::tls::{self, TlsStream};

/// A connection, shared by a session and the lettre connection inside it, and by nobody else.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Inner>>);

struct Inner {
    io: Io,
    peer: Option<SocketAddr>,
    framer: Framer,
    /// What lettre has not yet read of the one reply it was given.
    to_lettre: Vec<u8>,
    /// The reply that lettre was given, for the session to take.
    reply: Option<Reply>,
    gate: Gate,
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
            to_lettre: Vec::new(),
            reply: None,
            gate: Gate::Open,
            broke: None,
        })))
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.inner().peer
    }

    /// Waits for a reply past lettre, while something is being written.
    pub(super) async fn unasked_reply(&self) -> io::Result<Reply> {
        future::poll_fn(|cx| self.inner().poll_reply(cx)).await
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

    /// Writes past lettre: batches and message text.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }

    /// A reply that is there although nothing was asked: looks without waiting.
    ///
    /// # Errors
    /// The server closed the connection or broke the protocol.
    pub(super) async fn early_reply(&self) -> io::Result<Option<Reply>> {
        // Writes that never wait give the runtime no chance to see what has arrived.
        tokio::task::yield_now().await;
        future::poll_fn(|cx| {
            let reply = match self.inner().poll_reply(cx) {
                Poll::Ready(reply) => reply.map(Some),
                Poll::Pending => Ok(None),
            };
            Poll::Ready(reply)
        })
        .await
    }

    /// True if every byte that has arrived was part of a reply that was taken.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.framer.is_idle() && inner.to_lettre.is_empty() && inner.reply.is_none()
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
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Reply>> {
        let mut bytes = [0; 4096];
        loop {
            match self.framer.next() {
                Ok(Some(reply)) => return Poll::Ready(Ok(reply)),
                Ok(None) => {}
                Err(flaw) => return Poll::Ready(Err(self.broken(flaw))),
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.framer.feed(buffer.filled());
                }
                Poll::Ready(Ok(())) => {
                    return Poll::Ready(
                        Err(self.broken("server closed the connection".to_owned())),
                    );
                }
                // A TLS peer that ends without close_notify has closed the connection, no more.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(
                        Err(self.broken("server closed the connection".to_owned())),
                    );
                }
                Poll::Ready(Err(error)) => {
                    // With TLS 1.3 the server's word on our certificate comes after the handshake.
                    let cause = tls::explain_read(&error);
                    let cause = cause.unwrap_or_else(|| format!("cannot read: {error}"));
                    return Poll::Ready(Err(self.broken(cause)));
                }
            }
        }
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
            match inner.poll_reply(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(reply)) => {
                    inner.to_lettre = for_lettre(&reply);
                    inner.reply = Some(reply);
                }
            }
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
        let written = Pin::new(&mut inner.io).poll_write(cx, bytes);
        written.map_err(|error| inner.broken(format!("cannot write: {error}")))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        let flushed = Pin::new(&mut inner.io).poll_flush(cx);
        flushed.map_err(|error| inner.broken(format!("cannot write: {error}")))
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
