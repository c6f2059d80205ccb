//! A remote as the administrator asked for it: one line of `remotes`, or one call of `smtp`.
//!
//! `config::remotes` makes them and lets no contradiction through; `transport` does what they say.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// Where mail goes and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// The host as written: a name, an IPv4 address, an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) protocol: Protocol,
    /// `None` is the protocol's own: 25 or 465 for SMTP, 628 for QMQP.
    pub(crate) port: Option<u16>,
    /// `source`: a local name or address to connect from.
    pub(crate) source: Option<String>,
    pub(crate) family: Family,
    pub(crate) security: Security,
    pub(crate) tls: Tls,
    pub(crate) login: Option<Login>,
    /// `timeout`: at most this for any one step, where it is shorter than RFC 5321's own limit.
    pub(crate) step_limit: Option<Duration>,
    /// `connections`: sessions at once; at least 1.
    pub(crate) connections: Option<u16>,
    /// `messages`: messages a session; at least 1.
    pub(crate) messages: Option<u32>,
    /// For an external protocol program: the words behind the protocol, without a leading `--`.
    /// What they mean is its affair, and any of them may be a password.
    pub(crate) options: Vec<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    Qmqp,
    /// A program of this name in the protocol folder: a plain file name.
    External(String),
}

/// `ipv4`, `ipv6`, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    #[default]
    Any,
    Ipv4,
    Ipv6,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Security {
    #[default]
    Plain,
    /// TLS must follow STARTTLS; there is no going on without.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// How the server is verified and what we show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) verify: Verify,
    /// `x509cafile`; `None` is the system's file, and compiled-in roots where there is none.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) crl_file: Option<PathBuf>,
    /// `x509certfile` and `x509keyfile`, which may be the same file.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// `x509fmtder`: the four files are DER, not PEM.
    pub(crate) der: bool,
    /// `tls-name`: verify and ask for this name instead of the host.
    pub(crate) name: Option<String>,
    /// `tls-min=1.3`.
    pub(crate) only_13: bool,
    /// `tls-pin`: SHA-256 of the server certificate's DER; any one of them is trusted as it is.
    pub(crate) pins: Vec<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    #[default]
    Full,
    /// `insecure`: encrypted, to anyone.
    Nothing,
    /// `tls-anon-auth` with `insecure`: no certificates at all.
    Anonymous,
}

/// Who we say we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// Empty for EXTERNAL.
    pub(crate) user: String,
    pub(crate) secret: SecretSource,
    /// The mechanisms to use, best first; empty is the default order by what the server offers.
    pub(crate) mechanisms: Vec<Mechanism>,
    /// `auth-cleartext`: also over an unencrypted connection that leaves the machine.
    pub(crate) cleartext: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// EXTERNAL needs none.
    None,
    Inline(Secret),
    /// `passfile`: its first line, read at each login.
    File(PathBuf),
    /// `passcmd`: the first line that this shell command prints, run at each login.
    Command(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Login,
    CramMd5,
    ScramSha256,
    External,
    Xoauth2,
    OauthBearer,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 7] = [
        Self::Plain,
        Self::Login,
        Self::CramMd5,
        Self::ScramSha256,
        Self::External,
        Self::Xoauth2,
        Self::OauthBearer,
    ];

    /// As servers write it in their EHLO reply.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::External => "EXTERNAL",
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

impl Remote {
    /// A remote without any option.
    pub(crate) fn new(host: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            host: host.into(),
            protocol,
            port: None,
            source: None,
            family: Family::Any,
            security: Security::Plain,
            tls: Tls::default(),
            login: None,
            step_limit: None,
            connections: None,
            messages: None,
            options: Vec::new(),
        }
    }

    /// The port that will be used, if the protocol has one at all.
    pub(crate) fn effective_port(&self) -> Option<u16> {
        self.port.or(match (&self.protocol, self.security) {
            (Protocol::Smtp, Security::Implicit) => Some(465),
            (Protocol::Smtp, _) => Some(25),
            (Protocol::Qmqp, _) => Some(628),
            (Protocol::External(_), _) => None,
        })
    }
}

impl Protocol {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Smtp => "smtp",
            Self::Qmqp => "qmqp",
            Self::External(name) => name,
        }
    }
}
