//! The options of a remote: the table of them, and what they mean together.
//!
//! Used for a line of `remotes` and for the stand-alone protocol programs alike. An option is
//! `NAME` or `NAME=VALUE`, with or without `--`; the last of several wins. What comes out is free
//! of contradictions; what is wrong is said with the option's name and never with a password, nor with a word that could be
//! one or a part of one: it is counted instead.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;
mod values;

use crate::mail::{
    Family, Login, Mechanism, Protocol, Remote, Secret, SecretSource, Security, Tls, Verify,
};
use values::{
    count, mechanisms, nonempty, password, path, pin, port, positive_time, text, tls_min,
};
pub(super) use values::{host, protocol};

/// One option: its name, what its value is called (`None` for a flag), what it is for.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
    set: fn(&mut Draft, &str) -> Result<(), String>,
}

/// What has been asked for so far.
#[allow(clippy::struct_excessive_bools, reason = "each flag was given or not")]
#[derive(Default)]
struct Draft {
    host: Option<String>,
    port: Option<u16>,
    source: Option<String>,
    ipv4: bool,
    ipv6: bool,
    user: Option<String>,
    pass: Option<Secret>,
    pass_file: Option<PathBuf>,
    pass_command: Option<String>,
    /// auth-login or auth-external: the original has one setting for both.
    forced: Option<Mechanism>,
    mechanisms: Option<Vec<Mechanism>>,
    cleartext: bool,
    implicit: bool,
    starttls: bool,
    insecure: bool,
    anonymous: bool,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    tls: Tls,
    step_limit: Option<Duration>,
    connections: Option<u16>,
    messages: Option<u32>,
}

macro_rules! flag {
    ($name:literal, $help:literal, |$draft:ident| $set:expr) => {
        Known {
            name: $name,
            value: None,
            help: $help,
            set: |$draft, _| {
                $set;
                Ok(())
            },
        }
    };
}

macro_rules! value {
    ($name:literal = $value:literal, $help:literal, |$draft:ident, $text:ident| $set:expr) => {
        Known {
            name: $name,
            value: Some($value),
            help: $help,
            set: |$draft, $text| {
                $set;
                Ok(())
            },
        }
    };
}

/// In the order of the manual page.
pub(crate) const KNOWN: &[Known] = &[
    value!("host" = "HOST", "the remote's name or address", |d, v| d.host = Some(host(v)?)),
    value!("port" = "PORT", "port to connect to", |d, v| d.port = port(v)?),
    value!("user" = "NAME", "user to log in as", |d, v| d.user = Some(text(v)?)),
    value!("pass" = "PASSWORD", "its password", |d, v| d.pass = Some(password(v)?)),
    value!("passfile" = "FILE", "file whose first line is the password", |d, v| {
        d.pass_file = Some(path(v)?);
    }),
    value!("passcmd" = "COMMAND", "shell command that prints the password", |d, v| {
        d.pass_command = Some(text(nonempty(v)?)?);
    }),
    value!("source" = "HOST", "local name or address to connect from", |d, v| {
        d.source = Some(host(v)?);
    }),
    value!("auth" = "LIST", "login mechanisms to use, best first", |d, v| {
        d.mechanisms = Some(mechanisms(v)?);
    }),
    flag!("auth-login", "log in by LOGIN", |d| d.forced = Some(Mechanism::Login)),
    flag!("auth-external", "log in by client certificate", |d| {
        d.forced = Some(Mechanism::External);
    }),
    flag!("auth-cleartext", "log in over an unencrypted connection too", |d| d.cleartext = true),
    flag!("tls", "TLS from the first byte", |d| d.implicit = true),
    flag!("ssl", "the same as tls", |d| d.implicit = true),
    flag!("starttls", "TLS by STARTTLS", |d| d.starttls = true),
    value!("x509certfile" = "FILE", "client certificate and its chain", |d, v| {
        d.cert_file = Some(path(v)?);
    }),
    value!("x509keyfile" = "FILE", "its key; the same file unless given", |d, v| {
        d.key_file = Some(path(v)?);
    }),
    value!("x509cafile" = "FILE", "certificates to trust", |d, v| d.tls.ca_file = Some(path(v)?)),
    value!("x509crlfile" = "FILE", "revoked certificates", |d, v| d.tls.crl_file = Some(path(v)?)),
    flag!("x509fmtder", "these files are DER, not PEM", |d| d.tls.der = true),
    flag!("insecure", "accept any certificate", |d| d.insecure = true),
    flag!("tls-anon-auth", "TLS without certificates", |d| d.anonymous = true),
    value!("tls-min" = "1.2|1.3", "oldest TLS version to speak", |d, v| {
        d.tls.only_13 = tls_min(v)?;
    }),
    value!("tls-name" = "NAME", "name in the certificate, where it is not the host", |d, v| {
        d.tls.name = Some(host(v)?);
    }),
    value!("tls-pin" = "sha256:HEX", "fingerprint of the only certificate to accept", |d, v| {
        d.tls.pins.push(pin(v)?);
    }),
    flag!("ipv4", "connect by IPv4 only", |d| d.ipv4 = true),
    flag!("ipv6", "connect by IPv6 only", |d| d.ipv6 = true),
    value!("timeout" = "TIME", "longest wait for any one step", |d, v| {
        d.step_limit = Some(positive_time(v)?);
    }),
    value!("connections" = "N", "sessions at once", |d, v| d.connections = Some(count(v)?)),
    value!("messages" = "N", "messages a session", |d, v| d.messages = Some(count(v)?)),
];

/// Whether the option of this name takes a value; `None` if there is no such option.
pub(crate) fn takes_value(name: &str) -> Option<bool> {
    KNOWN.iter().find(|known| known.name == name).map(|known| known.value.is_some())
}

/// The known option that a word is, or seems to be meant as: `name`, with or without a value.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    let (name, _) = split(word).ok()?;
    // A few letters are near to everything.
    let is_near = |known: &&Known| {
        strsim::osa_distance(known.name, name) <= if known.name.len() < 6 { 1 } else { 2 }
    };
    let exact = KNOWN.iter().find(|known| known.name == name);
    exact.or_else(|| KNOWN.iter().find(is_near)).map(|known| known.name)
}

/// Reads the words of one remote, which stand behind so many others. `host` may also be among them, and wins there.
pub(super) fn parse(
    host: Option<String>,
    protocol: Protocol,
    words: &[String],
    before: usize,
) -> Result<Remote, String> {
    let mut draft = Draft { host, ..Draft::default() };
    let mut after_password = false;
    for (word, number) in words.iter().zip(before + 1..) {
        let (name, value) = split(word)?;
        match KNOWN.iter().find(|known| known.name == name) {
            // nullmailer: these two do nothing here.
            None if matches!(word.as_str(), "-" | "--") => {}
            None if name == "help" || word == "-h" => {}
            // It could be the rest of a password.
            None if after_password => {
                return Err("pass: a password with blanks needs quotes".to_owned());
            }
            None => {
                return Err(match meant(word) {
                    Some(known) => format!("unknown option {name}, {known} is the nearest"),
                    None => format!(
                        "word {number} is no option; it is not shown, as it could be a password"
                    ),
                });
            }
            Some(Known { value: None, set, .. }) => {
                if value.is_some() {
                    return Err(format!("{name}: takes no value"));
                }
                set(&mut draft, "")?;
            }
            Some(Known { value: Some(called), set, .. }) => {
                let value = value.ok_or_else(|| format!("{name}: write {name}={called}"))?;
                set(&mut draft, value).map_err(|flaw| format!("{name}: {flaw}"))?;
            }
        }
        after_password |= matches!(name, "pass" | "passcmd");
    }
    draft.finish(protocol)
}

/// `--name=value`, `name=value`, `-pVALUE`; the value of a flag is `None`.
fn split(word: &str) -> Result<(&str, Option<&str>), String> {
    let long = match word.strip_prefix("--") {
        Some(long) => long,
        None if word == "-p" => "port",
        None if word.starts_with("-p") => return Ok(("port", Some(&word[2..]))),
        None => word,
    };
    if word.is_empty() {
        return Err("an option is empty".to_owned());
    }
    Ok(match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    })
}

impl Draft {
    /// What the options mean together.
    fn finish(mut self, protocol: Protocol) -> Result<Remote, String> {
        let host = self.host.take().ok_or("host: there is none")?;
        // nullmailer: tls wins over starttls.
        let security = match (self.implicit, self.starttls) {
            (true, _) => Security::Implicit,
            (false, true) => Security::StartTls,
            (false, false) => Security::Plain,
        };
        if protocol == Protocol::Qmqp {
            match (security, self.port) {
                (Security::StartTls, _) => {
                    return Err("starttls: QMQP has no such thing".to_owned());
                }
                (Security::Implicit, None) => {
                    return Err(
                        "port: QMQP over TLS has no port of its own, write port=PORT".to_owned()
                    );
                }
                _ => {}
            }
        }
        let family = match (self.ipv4, self.ipv6) {
            (true, true) => return Err("ipv4 and ipv6: at most one of them".to_owned()),
            (true, false) => Family::Ipv4,
            (false, true) => Family::Ipv6,
            (false, false) => Family::Any,
        };
        let tls = self.tls(security)?;
        // nullmailer: QMQP takes a user and a password, and has no use for them.
        let login = if protocol == Protocol::Qmqp { None } else { self.login()? };
        Ok(Remote {
            port: self.port,
            source: self.source,
            family,
            security,
            tls,
            login,
            step_limit: self.step_limit,
            connections: self.connections,
            messages: self.messages,
            ..Remote::new(host, protocol)
        })
    }

    fn tls(&mut self, security: Security) -> Result<Tls, String> {
        let mut tls = std::mem::take(&mut self.tls);
        if security == Security::Plain {
            // These promise something. The original's own options are idle without TLS, and
            // configurations that carry them along go on working.
            for (given, name) in [
                (tls.only_13, "tls-min"),
                (tls.name.is_some(), "tls-name"),
                (!tls.pins.is_empty(), "tls-pin"),
                (self.anonymous, "tls-anon-auth"),
            ] {
                if given {
                    return Err(format!("{name}: needs tls or starttls"));
                }
            }
        }
        if self.insecure && !tls.pins.is_empty() {
            return Err("tls-pin: contradicts insecure, which accepts any certificate".to_owned());
        }
        if self.anonymous {
            self.check_anonymous(&tls)?;
        }
        tls.verify = match (self.insecure, self.anonymous) {
            (true, true) => Verify::Anonymous,
            (true, false) => Verify::Nothing,
            (false, _) => Verify::Full,
        };
        tls.identity = match (self.cert_file.take(), self.key_file.take()) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(both), None) => Some((both.clone(), both)),
            (None, Some(_)) => return Err("x509keyfile: needs x509certfile".to_owned()),
            (None, None) => None,
        };
        Ok(tls)
    }

    fn check_anonymous(&self, tls: &Tls) -> Result<(), String> {
        if !self.insecure {
            return Err(
                "tls-anon-auth: must be used with insecure, to say that you know what you are doing"
                    .to_owned(),
            );
        }
        let files = [&self.cert_file, &self.key_file, &tls.ca_file, &tls.crl_file];
        if files.into_iter().any(Option::is_some) || tls.name.is_some() {
            return Err("tls-anon-auth: has no use for x509 files or tls-name".to_owned());
        }
        if tls.only_13 {
            return Err("tls-anon-auth: there is none in TLS 1.3".to_owned());
        }
        if cfg!(not(feature = "tls-anon-auth")) {
            return Err(
                "tls-anon-auth: this build has no anonymous TLS; give the server a certificate \
                        and use insecure, or install a build with the feature tls-anon-auth"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn login(&mut self) -> Result<Option<Login>, String> {
        let mechanisms = match (self.mechanisms.take(), self.forced) {
            (Some(_), Some(Mechanism::External)) => {
                return Err("auth-external: contradicts auth; write auth=external".to_owned());
            }
            (Some(_), Some(_)) => {
                return Err("auth-login: contradicts auth; write auth=login".to_owned());
            }
            (Some(list), None) => list,
            (None, Some(forced)) => vec![forced],
            (None, None) => Vec::new(),
        };
        let secret = match (self.pass.take(), self.pass_file.take(), self.pass_command.take()) {
            (None, None, None) => SecretSource::None,
            (Some(pass), None, None) => SecretSource::Inline(pass),
            (None, Some(file), None) => SecretSource::File(file),
            (None, None, Some(command)) => SecretSource::Command(command),
            _ => return Err("pass, passfile and passcmd: at most one of them".to_owned()),
        };
        let cleartext = self.cleartext;
        // nullmailer: auth-external wins over a user and a password.
        if mechanisms == [Mechanism::External] {
            let user = if self.forced.is_some() { None } else { self.user.take() };
            let user = user.unwrap_or_default();
            return Ok(Some(Login { user, secret: SecretSource::None, mechanisms, cleartext }));
        }
        match (self.user.take(), secret) {
            (Some(_), SecretSource::None) => {
                Err("user: needs a password: pass, passfile or passcmd".to_owned())
            }
            (Some(user), secret) => Ok(Some(Login { user, secret, mechanisms, cleartext })),
            (None, SecretSource::None) if mechanisms.is_empty() => Ok(None),
            (None, _) => Err("user: there is none to log in with".to_owned()),
        }
    }
}
