//! What may stand behind the `=` of an option. An error is a flaw to be put behind `NAME: `.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::control::time_span;
use crate::mail::{Mechanism, Protocol, Secret};

/// A host name or address, without the brackets of an IPv6 address.
pub(in crate::config) fn host(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the host is empty".to_owned());
    }
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(inner) = inner {
        return match inner.strip_prefix("IPv6:").unwrap_or(inner).parse::<IpAddr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(format!("{text:?} is not an address in brackets; a name has none")),
        };
    }
    let foreign = |c: char| c.is_control() || c.is_whitespace() || "/\\[]<>@,;\"'=".contains(c);
    if text.starts_with('-') || text.contains(foreign) {
        return Err(format!("{text:?} is not a host"));
    }
    // fe80::1%eth0
    let address = text.split('%').next().unwrap_or_default();
    if text.contains(':') && address.parse::<Ipv6Addr>().is_err() {
        return Err(match text.split_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => {
                format!("{text:?} is not a host; write {host} smtp port={port}")
            }
            _ => format!("{text:?} is not an IPv6 address"),
        });
    }
    Ok(text.to_owned())
}

/// The name is that of a file in the protocol folder, and of nothing else. The error is to be put behind the word's number.
pub(in crate::config) fn protocol(name: &str) -> Result<Protocol, String> {
    match name {
        "smtp" => Ok(Protocol::Smtp),
        "qmqp" => Ok(Protocol::Qmqp),
        _ if name.is_empty()
            || name.starts_with(['.', '-'])
            || name.contains(|c: char| matches!(c, '/' | '=') || c.is_control()) =>
        {
            Err("is not a protocol".to_owned())
        }
        _ => Ok(Protocol::External(name.to_owned())),
    }
}

/// nullmailer: blanks before the number and a sign are taken, and 0 or nothing is the default.
pub(super) fn port(text: &str) -> Result<Option<u16>, String> {
    let number = text.trim_start();
    match number.parse::<u16>() {
        _ if number.is_empty() => Ok(None),
        Ok(0) => Ok(None),
        Ok(port) => Ok(Some(port)),
        // Not shown: `-pass=x` is -p with a value.
        Err(_) => Err("takes a number up to 65535".to_owned()),
    }
}

/// NUL divides the fields of SASL PLAIN, and a control character has no place in a name.
pub(super) fn text(text: &str) -> Result<String, String> {
    match text.find(char::is_control) {
        Some(_) => Err("holds a control character".to_owned()),
        None => Ok(text.to_owned()),
    }
}

pub(super) fn password(text: &str) -> Result<Secret, String> {
    match text.find(['\0', '\n', '\r']) {
        Some(_) => Err("holds a line end or a NUL".to_owned()),
        None => Ok(Secret::new(text.as_bytes().to_vec())),
    }
}

pub(super) fn nonempty(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text) }
}

pub(super) fn path(name: &str) -> Result<PathBuf, String> {
    text(nonempty(name)?).map(PathBuf::from)
}

pub(super) fn mechanisms(list: &str) -> Result<Vec<Mechanism>, String> {
    let mut found = Vec::new();
    for word in list.split(',').map(str::trim) {
        let mechanism = Mechanism::by_name(word).ok_or_else(|| {
            let all: Vec<_> =
                Mechanism::ALL.iter().map(|known| known.name().to_ascii_lowercase()).collect();
            format!("{word:?} is not one of {}", all.join(", "))
        })?;
        if !found.contains(&mechanism) {
            found.push(mechanism);
        }
    }
    Ok(found)
}

pub(super) fn tls_min(version: &str) -> Result<bool, String> {
    match version {
        "1.2" => Ok(false),
        "1.3" => Ok(true),
        "1.0" | "1.1" => Err(format!("{version} is broken and is not spoken; 1.2 or 1.3")),
        _ => Err(format!("{version:?} is neither 1.2 nor 1.3")),
    }
}

/// `sha256:` and 64 hex digits, with or without the colons that `openssl x509 -fingerprint` puts in.
pub(super) fn pin(text: &str) -> Result<[u8; 32], String> {
    let flaw = || format!("{text:?} is not sha256: and 64 hex digits");
    let digits = text.strip_prefix("sha256:").ok_or_else(flaw)?;
    let digits: Vec<u8> = digits
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()
        .ok_or_else(flaw)?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect();
    if digits.len() == 64 { bytes.try_into().map_err(|_| flaw()) } else { Err(flaw()) }
}

pub(super) fn positive_time(text: &str) -> Result<Duration, String> {
    match time_span(text) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err(format!("{text:?} is not a time: write seconds, or units as in 5m")),
    }
}

pub(super) fn count<N: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<N, String> {
    match text.parse::<N>() {
        Ok(number) if number != N::default() => Ok(number),
        _ => Err(format!("{text:?} is not a number from 1 upwards")),
    }
}
