//! TLS to a remote: rustls, set up from the remote's options, and sentences about what went wrong.
//! Anonymous TLS, which rustls has not, is OpenSSL's, in builds with the feature `tls-anon-auth`.
//!
//! `transport` makes one [`TlsClient`] for a remote and keeps it while it talks to it, so that
//! later sessions resume. Reads the certificate files of the options, nothing else.

#[cfg(feature = "tls-anon-auth")]
mod anonymous;
mod der;
mod explain;
mod files;
mod stream;
#[cfg(test)]
mod tests;
mod trust;
mod verifier;

use std::fmt;
use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) use explain::explain_read;
pub(crate) use stream::TlsStream;

use crate::mail::{Remote, Tls, Verify};
use trust::Trust;

/// Everything a handshake with one remote needs.
#[derive(Clone)]
pub(crate) enum TlsClient {
    Rustls {
        connector: TlsConnector,
        name: ServerName<'static>,
        /// What is trusted, in words.
        trusted: Arc<str>,
    },
    #[cfg(feature = "tls-anon-auth")]
    Anonymous(anonymous::Client),
}

/// Reads the remote's files and sets TLS up. The error is one sentence for the administrator.
pub(crate) fn client(remote: &Remote) -> Result<TlsClient, String> {
    let tls = &remote.tls;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (verifier, trusted): (Arc<dyn rustls::client::danger::ServerCertVerifier>, _) =
        match tls.verify {
            Verify::Anonymous => return anonymous(),
            Verify::Nothing => (Arc::new(verifier::Anyone), "anything".into()),
            Verify::Full if !tls.pins.is_empty() => {
                (Arc::new(verifier::Pinned::new(&tls.pins, &provider)), "tls-pin".into())
            }
            Verify::Full => {
                let trust = Trust::read(tls)?;
                let words = trust.words.clone();
                (Arc::new(verifier::Full::new(trust, &provider)?), words)
            }
        };
    let mut config = config(tls, provider, verifier)?;
    config.enable_sni = true;
    let name = tls.name.as_deref().unwrap_or(&remote.host);
    Ok(TlsClient::Rustls {
        connector: TlsConnector::from(Arc::new(config)),
        name: server_name(name)?,
        trusted,
    })
}

#[cfg(feature = "tls-anon-auth")]
fn anonymous() -> Result<TlsClient, String> {
    anonymous::Client::new().map(TlsClient::Anonymous)
}

#[cfg(not(feature = "tls-anon-auth"))]
fn anonymous() -> Result<TlsClient, String> {
    Err("this build has no anonymous TLS".to_owned())
}

fn config(
    tls: &Tls,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>,
) -> Result<ClientConfig, String> {
    let versions = if tls.only_13 { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("ring speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((cert_file, key_file)) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = files::certificates(cert_file, tls.der)?;
    let key = files::private_key(key_file, tls.der)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("the key in {} is not that of {}", key_file.display(), cert_file.display())
        }
        error => format!("cannot use certificate {}: {error}", cert_file.display()),
    })
}

/// An address is verified as an address: its certificate must list it, a DNS name does not count.
fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    // fe80::1%eth0
    let plain = name.split('%').next().unwrap_or_default();
    ServerName::try_from(plain.to_owned())
        .map_err(|_| format!("{name:?} cannot stand in a certificate; write tls-name=NAME"))
}

impl TlsClient {
    /// Does the handshake and verifies the server. The error is one sentence for the administrator.
    pub(crate) async fn handshake(&self, tcp: TcpStream) -> Result<TlsStream, String> {
        match self {
            Self::Rustls { connector, name, trusted } => {
                match connector.connect(name.clone(), tcp).await {
                    Ok(secured) => Ok(TlsStream::Rustls(Box::new(secured))),
                    Err(error) => Err(explain::explain(&error, trusted)),
                }
            }
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(client) => {
                let secured = client.handshake(tcp).await?;
                Ok(TlsStream::Anonymous(Box::new(secured)))
            }
        }
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustls { name, .. } => {
                f.debug_struct("Rustls").field("name", name).finish_non_exhaustive()
            }
            #[cfg(feature = "tls-anon-auth")]
            Self::Anonymous(_) => f.write_str("Anonymous"),
        }
    }
}
