//! TLS: not built yet. What `smtp` and `dialer` call.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::mail::Remote;

#[derive(Debug)]
pub(crate) struct TlsClient(std::convert::Infallible);

/// Reads the files that the remote names. An error is one sentence.
pub(crate) fn client(_remote: &Remote) -> Result<TlsClient, String> {
    Err("TLS is not built yet".to_owned())
}

impl TlsClient {
    /// Secures a connection. An error is one sentence.
    #[allow(clippy::unused_async, reason = "the handshake will wait")]
    pub(crate) async fn handshake(&self, _tcp: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        match self.0 {}
    }
}
