//! What we call ourselves in EHLO (RFC 5321 §4.1.1.1, §4.1.3).

use std::fmt;
use std::net::IpAddr;

/// The argument of EHLO and HELO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Helo {
    /// A name of letters, digits, dots and dashes.
    Name(String),
    /// The session's own address: what a machine without a proper name should say.
    AddressLiteral,
}

impl Helo {
    /// `configured` is the control file `helohost`, taken at its word where it is safe to send;
    /// else `me`, if it is a full domain name. A container's id or a name with an underscore is
    /// none: servers refuse them.
    ///
    /// # Errors
    /// The flaw, where `configured` cannot be sent.
    pub(crate) fn choose(configured: Option<&str>, me: &str) -> Result<Self, &'static str> {
        match configured {
            Some(name) if is_literal(name) || is_host_name(name) => Ok(Self::Name(name.to_owned())),
            Some(_) => Err("is neither a host name nor an address literal"),
            None if is_host_name(me) && me.trim_end_matches('.').contains('.') => {
                Ok(Self::Name(me.to_owned()))
            }
            None => Ok(Self::AddressLiteral),
        }
    }

    /// The argument for a session from `local`.
    pub(crate) fn for_session(&self, local: IpAddr) -> impl fmt::Display {
        match (self, local) {
            (Self::Name(name), _) => name.clone(),
            (Self::AddressLiteral, IpAddr::V4(address)) => format!("[{address}]"),
            (Self::AddressLiteral, IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => format!("[{address}]"),
                None => format!("[IPv6:{address}]"),
            },
        }
    }
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 255 && name.trim_end_matches('.').split('.').all(label)
}

fn is_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner
        .is_some_and(|inner| inner.strip_prefix("IPv6:").unwrap_or(inner).parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_servers_refuse_gives_way_to_the_address() {
        for me in ["4f3c9a7be21d", "localhost", "my_host.example.org", "-a.b", ""] {
            assert_eq!(Helo::choose(None, me), Ok(Helo::AddressLiteral), "{me}");
        }
        assert_eq!(Helo::choose(None, "h.example"), Ok(Helo::Name("h.example".to_owned())));
    }

    #[test]
    fn helohost_is_taken_at_its_word_where_it_is_safe() {
        for name in ["localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]", "h.example"] {
            assert_eq!(Helo::choose(Some(name), "me.example"), Ok(Helo::Name(name.to_owned())));
        }
        for name in ["a b", "a\r\nQUIT", "[x]", "under_score.example"] {
            assert!(Helo::choose(Some(name), "me.example").is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_address_literal_says_which_family_it_is() {
        let helo = |ip: &str| Helo::AddressLiteral.for_session(ip.parse().unwrap()).to_string();
        assert_eq!(helo("192.0.2.1"), "[192.0.2.1]");
        assert_eq!(helo("::1"), "[IPv6:::1]");
        assert_eq!(helo("::ffff:192.0.2.1"), "[192.0.2.1]");
    }
}
