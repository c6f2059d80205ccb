//! A connection that TLS secures, whichever library does it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[cfg(feature = "tls-anon-auth")]
use super::anonymous;

/// After the handshake. A read that finds the connection closed without TLS's own end fails with
/// `UnexpectedEof`.
#[derive(Debug)]
pub(crate) enum TlsStream {
    Rustls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    #[cfg(feature = "tls-anon-auth")]
    Anonymous(Box<tokio_openssl::SslStream<TcpStream>>),
}

impl TlsStream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Rustls(tls) => tls.get_ref().0,
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(tls) => tls.get_ref(),
        }
    }

    /// Protocol and cipher suite, as OpenSSL and RFC 8446 spell them.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rustls(tls) => describe(tls.get_ref().1),
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(tls) => anonymous::describe(tls.ssl()),
        }
    }
}

fn describe(connection: &rustls::ClientConnection) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().map(|suite| format!(" {:?}", suite.suite()));
    format!("{version}{}", suite.unwrap_or_default().replace("TLS13_", "TLS_"))
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Rustls(tls) => Pin::new(tls).poll_read(cx, buffer),
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(tls) => {
                Pin::new(tls).poll_read(cx, buffer).map_err(anonymous::read_error)
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Rustls(tls) => Pin::new(tls).poll_write(cx, bytes),
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Rustls(tls) => Pin::new(tls).poll_flush(cx),
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Rustls(tls) => Pin::new(tls).poll_shutdown(cx),
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
