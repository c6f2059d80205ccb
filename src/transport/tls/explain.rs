//! What went wrong with TLS, in one sentence that says what an administrator can do.

use std::fmt::{self, Write as _};
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, Error, InvalidMessage, OtherError,
};

/// The server's certificate is none of the pinned ones.
#[derive(Debug)]
pub(super) struct PinMismatch(pub(super) [u8; 32]);

impl fmt::Display for PinMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::error::Error for PinMismatch {}

/// The sentence for a handshake that failed. `trusted` says what the certificate was to be verified
/// against.
pub(super) fn explain(error: &io::Error, trusted: &str) -> String {
    match tls_error(error) {
        Some(tls) => sentence(tls, trusted),
        // With our hello unread the kernel resets where the server closes.
        None if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ) =>
        {
            "the server closed the connection without a word about TLS".to_owned()
        }
        None => format!("cannot agree on TLS: {error}"),
    }
}

/// The sentence for an error of a later read; `None` where TLS is not to blame.
///
/// With TLS 1.3 a server's refusal of *our* certificate comes with the first read after the
/// handshake.
pub(crate) fn explain_read(error: &io::Error) -> Option<String> {
    tls_error(error).map(|tls| sentence(tls, "anything"))
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn sentence(error: &Error, trusted: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error, trusted),
        Error::InvalidCertRevocationList(error) => crl(error),
        Error::AlertReceived(alert) => alert_received(*alert),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the server does not speak TLS from the first byte on this port; \
             use starttls, or the port for TLS (465)"
            .to_owned(),
        Error::PeerIncompatible(error) => format!(
            "the server and we have no TLS version or cipher in common ({error:?}); \
             it needs TLS 1.2 with ECDHE, or TLS 1.3"
        ),
        error => error.to_string(),
    }
}

fn certificate(error: &CertificateError, trusted: &str) -> String {
    match error {
        CertificateError::Expired => "the server's certificate has expired; have it renewed".into(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired on {}; have it renewed", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate is not valid before {}; is this machine's clock right?",
            date(*not_before)
        ),
        CertificateError::UnknownIssuer => format!(
            "the server's certificate comes from nobody in {trusted}; \
             name a file that has its issuer, or itself, with x509cafile"
        ),
        CertificateError::Revoked => {
            "the server's certificate is revoked by the CRL; have it replaced".into()
        }
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            format!("the CRL is out of date since {}; fetch a new x509crlfile", date(*next_update))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            wrong_name(&expected.to_str(), presented)
        }
        CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers (extended key usage); have it replaced"
                .into()
        }
        CertificateError::BadSignature => {
            "the signature on the server's certificate is wrong or too weak \
             (RSA below 2048 bits); have it replaced"
                .into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the signature on the server's certificate is of a kind that is no longer trusted, \
             such as SHA-1; have it replaced"
                .into()
        }
        CertificateError::Other(other) => other_certificate(other, trusted),
        error => format!("the server's certificate cannot be used: {error}"),
    }
}

fn other_certificate(OtherError(error): &OtherError, trusted: &str) -> String {
    if let Some(seen) = error.downcast_ref::<PinMismatch>() {
        return format!("the server's certificate is {seen}, which no tls-pin allows");
    }
    match error.downcast_ref() {
        Some(webpki::Error::CaUsedAsEndEntity) => format!(
            "the server's certificate is a CA's own and is not in {trusted}; \
             name a file that has it with x509cafile"
        ),
        Some(webpki::Error::UnsupportedCertVersion) => {
            "the server's certificate is of X.509 version 1; have it replaced by one of version 3"
                .into()
        }
        _ => format!("the server's certificate cannot be used: {error}"),
    }
}

/// `presented` are words of rustls': `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
fn wrong_name(expected: &str, presented: &[String]) -> String {
    const SHOWN: usize = 5;
    if presented.is_empty() {
        return format!(
            "the server's certificate has no subjectAltName, so it is not for {expected}; \
             have it replaced, or name a file that holds just this certificate with x509cafile"
        );
    }
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let mut names = presented.iter().take(SHOWN).map(bare).collect::<Vec<_>>().join(", ");
    if presented.len() > SHOWN {
        let _ = write!(names, " and {} more", presented.len() - SHOWN);
    }
    format!(
        "the server's certificate is for {names} and not for {expected}; \
         use a name it is for as the host or as tls-name"
    )
}

fn crl(error: &CertRevocationListError) -> String {
    format!("the CRL cannot be used: {error:?}; fetch a new x509crlfile")
}

fn alert_received(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion => {
            "the server speaks neither TLS 1.2 nor the version that tls-min asks for; \
             it needs an update"
                .to_owned()
        }
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the server and we have no cipher or key exchange in common; \
             it needs TLS 1.2 with ECDHE, or TLS 1.3"
                .to_owned()
        }
        Alert::CertificateRequired => {
            "the server wants a client certificate; give one with x509certfile".to_owned()
        }
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::UnsupportedCertificate
        | Alert::AccessDenied => format!(
            "the server refuses our client certificate ({alert:?}); \
             look at x509certfile, which needs the whole chain"
        ),
        Alert::UnrecognisedName => {
            "the server does not know itself by the name we ask for; give another with tls-name"
                .to_owned()
        }
        _ => format!("the server broke off the TLS handshake ({alert:?})"),
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => {
            let time = time.to_zoned(jiff::tz::TimeZone::UTC);
            format!("{} {:02}:{:02} UTC", time.date(), time.hour(), time.minute())
        }
        Err(_) => "an unknown day".to_owned(),
    }
}
