//! What a session runs over: a socket, TLS over one, or a server made up for a test.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::tls::TlsStream;

pub(in crate::transport) enum Io {
    Plain(TcpStream),
    Tls(TlsStream),
    /// Taken out for a handshake that has not succeeded.
    Gone,
    #[cfg(any(test, fuzzing))]
    Memory(Box<dyn Stream>),
}

/// A connection that is none, to a server made up for a test.
#[cfg(any(test, fuzzing))]
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

#[cfg(any(test, fuzzing))]
impl Stream for tokio::io::DuplexStream {}

impl Io {
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        #[cfg(any(test, fuzzing))]
        if let Self::Memory(memory) = self {
            return memory.peer();
        }
        self.tcp().and_then(|tcp| tcp.peer_addr().ok())
    }

    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        #[cfg(any(test, fuzzing))]
        if matches!(self, Self::Memory(_)) {
            return Some(IpAddr::from([127, 0, 0, 1]));
        }
        self.tcp().and_then(|tcp| tcp.local_addr().ok()).map(|address| address.ip())
    }

    /// Protocol and cipher suite; `None` without TLS.
    pub(super) fn tls(&self) -> Option<String> {
        match self {
            Self::Tls(tls) => Some(tls.describe()),
            _ => None,
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.tcp()),
            Self::Gone => None,
            #[cfg(any(test, fuzzing))]
            Self::Memory(_) => None,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => Pin::new(memory).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => Pin::new(memory).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => Pin::new(memory).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => Pin::new(memory).poll_shutdown(cx),
        }
    }
}
