//! Anonymous TLS, by the system's OpenSSL: encrypted, and nobody shows a certificate.
//!
//! For remotes with `tls-anon-auth`. Only suites without authentication are offered, so that what
//! the log says of the session is what was asked for. TLS 1.3 has none of them.

use std::io;
use std::pin::Pin;

use openssl::error::ErrorStack;
use openssl::ssl::{
    Error, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef,
    SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// Not the ones that do not encrypt, which are anonymous too.
const SUITES: &str = "HIGH+aNULL:!eNULL:@STRENGTH";

/// Reasons in OpenSSL's errors (`sslerr.h`); 1000 and above are the alerts of RFC 5246.
const WRONG_VERSION_NUMBER: i32 = 267;
const UNEXPECTED_EOF: i32 = 294;
const ALERT_HANDSHAKE_FAILURE: i32 = 1040;
const ALERT_PROTOCOL_VERSION: i32 = 1070;
const ALERT_INSUFFICIENT_SECURITY: i32 = 1071;

/// What every handshake begins with.
#[derive(Clone)]
pub(crate) struct Client(SslContext);

impl Client {
    pub(super) fn new() -> Result<Self, String> {
        context().map(Self).map_err(|error| format!("cannot set up OpenSSL: {error}"))
    }

    /// The error is one sentence for the administrator.
    pub(super) async fn handshake(&self, tcp: TcpStream) -> Result<SslStream<TcpStream>, String> {
        let ssl = Ssl::new(&self.0).and_then(|ssl| SslStream::new(ssl, tcp));
        let mut stream = ssl.map_err(|error| format!("cannot set up OpenSSL: {error}"))?;
        match Pin::new(&mut stream).connect().await {
            Ok(()) => Ok(stream),
            Err(error) => Err(explain(&error)),
        }
    }
}

fn context() -> Result<SslContext, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
    // Every higher level rules anonymous suites out.
    context.set_security_level(0);
    context.set_cipher_list(SUITES)?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_verify(SslVerifyMode::NONE);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    // A server that renegotiates would make a write wait for a read.
    context.set_options(SslOptions::NO_RENEGOTIATION);
    // tokio may come with the rest of a write in another place, and takes part of it for progress.
    context.set_mode(
        SslMode::AUTO_RETRY | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE,
    );
    Ok(context.build())
}

/// `TLSv1.2 ADH-AES256-GCM-SHA384`.
pub(super) fn describe(ssl: &SslRef) -> String {
    let suite = ssl.current_cipher().map(|cipher| format!(" {}", cipher.name()));
    format!("{}{}", ssl.version_str(), suite.unwrap_or_default())
}

/// An error of a read after the handshake, in few words.
pub(super) fn read_error(error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error;
    };
    match reason(tls) {
        Some((UNEXPECTED_EOF, _)) => io::ErrorKind::UnexpectedEof.into(),
        Some((_, words)) => io::Error::other(words),
        None => error,
    }
}

fn explain(error: &Error) -> String {
    let closed = || "the server closed the connection without a word about TLS".to_owned();
    if let Some(system) = error.io_error() {
        return match system.kind() {
            // With our hello unread the kernel resets where the server closes.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => closed(),
            _ => format!("cannot agree on TLS: {system}"),
        };
    }
    match reason(error) {
        None | Some((UNEXPECTED_EOF, _)) => closed(),
        Some((ALERT_HANDSHAKE_FAILURE | ALERT_INSUFFICIENT_SECURITY, _)) => {
            "the server has no anonymous TLS; let it have anonymous ciphers (aNULL), \
             or leave out tls-anon-auth: insecure takes any certificate"
                .to_owned()
        }
        Some((ALERT_PROTOCOL_VERSION, _)) => {
            "the server does not speak TLS 1.2, and anonymous TLS needs it; \
             leave out tls-anon-auth: insecure takes any certificate"
                .to_owned()
        }
        Some((WRONG_VERSION_NUMBER, _)) => {
            "the server does not speak TLS from the first byte on this port; \
             use starttls, or the port for TLS (465)"
                .to_owned()
        }
        Some((_, words)) => format!("cannot agree on anonymous TLS: {words}"),
    }
}

/// The first of OpenSSL's own errors: its number, and its words.
fn reason(error: &Error) -> Option<(i32, &'static str)> {
    let first = error.ssl_error()?.errors().first()?;
    Some((first.reason_code(), first.reason().unwrap_or("unknown error")))
}
