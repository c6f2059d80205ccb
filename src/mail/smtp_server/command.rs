//! What a client asks for (RFC 5321 §4.1).

use super::super::{Address, Canonical, ReversePath};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Helo,
    Ehlo,
    Mail {
        sender: ReversePath,
        /// 0 if it is not told (RFC 1870).
        size: u64,
    },
    Rcpt(Address),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// A refusal as it is sent.
type Refusal = &'static str;

impl Command {
    /// Reads a line. A bare user name is at the host that `canonical` says.
    pub(super) fn parse(line: &str, canonical: Canonical<'_>) -> Result<Self, Refusal> {
        let (verb, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let argument = argument.trim_matches([' ', '\t']);
        let given = |command| {
            if argument.is_empty() { Err("501 5.5.2 an argument is missing") } else { Ok(command) }
        };
        match verb.to_ascii_uppercase().as_str() {
            "HELO" => given(Self::Helo),
            "EHLO" => given(Self::Ehlo),
            "MAIL" => mail(argument, canonical),
            "RCPT" => rcpt(argument, canonical),
            "DATA" if argument.is_empty() => Ok(Self::Data),
            "DATA" => Err("501 5.5.2 DATA takes no argument"),
            "RSET" => Ok(Self::Rset),
            "NOOP" => Ok(Self::Noop),
            "VRFY" => Ok(Self::Vrfy),
            "HELP" => Ok(Self::Help),
            "QUIT" => Ok(Self::Quit),
            _ => Err("500 5.5.1 command not known"),
        }
    }
}

fn mail(argument: &str, canonical: Canonical<'_>) -> Result<Command, Refusal> {
    let (path, parameters) =
        path(argument, "FROM:").ok_or("501 5.5.2 write MAIL FROM:<ADDRESS>")?;
    let sender = if path.is_empty() {
        ReversePath::Null
    } else {
        let refused = |_| "501 5.1.7 not an address of a sender";
        ReversePath::Mailbox(address(path, canonical).map_err(refused)?)
    };
    let mut size = 0;
    for parameter in parameters.split([' ', '\t']).filter(|word| !word.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
            ("SIZE", digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                // More digits than a number has are still a size.
                size = digits.parse().unwrap_or(if digits.is_empty() { 0 } else { u64::MAX });
            }
            ("BODY", "7BIT" | "8BITMIME") | ("SMTPUTF8", "") => {}
            ("SIZE" | "BODY" | "SMTPUTF8", _) => {
                return Err("501 5.5.4 a parameter has no such value");
            }
            _ => return Err("555 5.5.4 a parameter is not known"),
        }
    }
    Ok(Command::Mail { sender, size })
}

fn rcpt(argument: &str, canonical: Canonical<'_>) -> Result<Command, Refusal> {
    let (path, parameters) = path(argument, "TO:").ok_or("501 5.5.2 write RCPT TO:<ADDRESS>")?;
    let refused = |_| "501 5.1.3 not an address of a recipient";
    let recipient = address(path, canonical).map_err(refused)?;
    if parameters.trim().is_empty() {
        Ok(Command::Rcpt(recipient))
    } else {
        Err("555 5.5.4 a parameter is not known")
    }
}

/// The path and what follows it. nullmailer: the angle brackets may be left out.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let start = argument.get(..keyword.len()).filter(|word| word.eq_ignore_ascii_case(keyword))?;
    let argument = argument[start.len()..].trim_start_matches([' ', '\t']);
    let (text, closing) = match argument.strip_prefix('<') {
        Some(text) => (text, '>'),
        None if argument.is_empty() => return None,
        None => (argument, ' '),
    };
    let (mut quoted, mut escaped) = (false, false);
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == closing && !quoted && !escaped;
        quoted ^= *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    match end {
        Some((at, _)) => Some((&text[..at], &text[at + 1..])),
        None if closing == ' ' => Some((text, "")),
        None => None,
    }
}

fn address(path: &str, canonical: Canonical<'_>) -> Result<Address, super::super::AddressError> {
    // RFC 5321 §4.1.1.3: a source route is dropped.
    let path = match path.split_once(':') {
        Some((route, path)) if route.starts_with('@') => path,
        _ => path,
    };
    // RFC 5321 §4.1.1.3 asks for `<postmaster>`; any user of this machine is as good.
    if !path.is_empty() && !path.contains('@') {
        return Address::parse(format!("{path}@{}", canonical("")).as_bytes());
    }
    Address::parse(path.as_bytes())
}
