//! A mailbox as the SMTP envelope has it (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::fmt;

use super::printable::Quoted;

/// An address that can stand between `<` and `>` in MAIL and RCPT.
///
/// It is UTF-8, has a local part and a domain, holds no control character, no blank and no `<`
/// or `>` outside a quoted string, and fits one command line. More is not checked: whether
/// `a..b@x` exists is for the smarthost to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(Box<str>);

/// Why a text is not an [`Address`]; each says it with the text quoted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddressError {
    text: String,
    flaw: Flaw,
}

#[derive(Debug, PartialEq, Eq)]
enum Flaw {
    NotUtf8,
    TooLong,
    Control,
    NoDomain,
    NoLocalPart,
    Bare(char),
    OpenQuote,
}

impl Address {
    /// The longest address that is taken, in bytes. RFC 5321 §4.5.3.1.3 asks for 256 at least; VERP
    /// and SRS addresses grow beyond, and a command line with parameters still fits 1000.
    pub(crate) const MAX: usize = 900;

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, AddressError> {
        let error = |flaw| AddressError { text: String::from_utf8_lossy(bytes).into_owned(), flaw };
        let text = str::from_utf8(bytes).map_err(|_| error(Flaw::NotUtf8))?;
        if text.len() > Self::MAX {
            return Err(error(Flaw::TooLong));
        }
        // A CR or LF would end the RCPT line and start a command of its own.
        if text.chars().any(char::is_control) {
            return Err(error(Flaw::Control));
        }
        let (local_part, domain) = text.rsplit_once('@').ok_or_else(|| error(Flaw::NoDomain))?;
        if domain.is_empty() {
            return Err(error(Flaw::NoDomain));
        }
        if local_part.is_empty() {
            return Err(error(Flaw::NoLocalPart));
        }
        check_local_part(local_part).map_err(error)?;
        match domain.chars().find(|c| matches!(c, ' ' | '<' | '>' | '"' | '\\')) {
            Some(c) => Err(error(Flaw::Bare(c))),
            None => Ok(Self(text.into())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn domain(&self) -> &str {
        self.0.rsplit_once('@').expect("parse() saw an @").1
    }

    /// As it stands, with quotes if it has any.
    pub(crate) fn local_part(&self) -> &str {
        self.0.rsplit_once('@').expect("parse() saw an @").0
    }

    /// Whether it is made of atoms and dots alone, wherever the dots are: `a..b@x` is.
    pub(crate) fn is_dotted_atoms(&self) -> bool {
        let specials = ['(', ')', '[', ']', ',', ';', ':', '\\', '"', '@'];
        !self.local_part().contains(specials) && !self.domain().contains(specials)
    }

    /// False means that it can only be sent with SMTPUTF8 (RFC 6531).
    pub(crate) fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

fn check_local_part(local_part: &str) -> Result<(), Flaw> {
    let mut quoted = false;
    let mut chars = local_part.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => {
                chars.next().ok_or(Flaw::OpenQuote)?;
            }
            ' ' | '<' | '>' if !quoted => return Err(Flaw::Bare(c)),
            _ => {}
        }
    }
    if quoted { Err(Flaw::OpenQuote) } else { Ok(()) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(&self.text).fmt(f)?;
        match self.flaw {
            Flaw::NotUtf8 => f.write_str(" is not UTF-8"),
            Flaw::TooLong => write!(f, " is longer than {} bytes", Address::MAX),
            Flaw::Control => f.write_str(" holds a control character"),
            Flaw::NoDomain => f.write_str(" has no domain"),
            Flaw::NoLocalPart => f.write_str(" has nothing before its @"),
            Flaw::Bare(c) => write!(f, " holds a {c:?} outside quotes"),
            Flaw::OpenQuote => f.write_str(" has a quote that does not end"),
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_end_the_command_it_stands_in() {
        for hostile in ["a@b\r\nDATA", "a@b>", "a>@b", "a b@c", "a@b c", "a\0@b", "a@\u{85}b"] {
            assert!(Address::parse(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn what_the_smarthost_may_judge_is_left_to_it() {
        for odd in [
            "root@localhost",
            "a..b@x",
            ".a@x",
            "\"john doe\"@x",
            "\"a>\\\"b\"@x",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@x.",
            "a@b@c.d",
            "jö@bücher.example",
            "a@under_score",
            "#@[]",
        ] {
            assert_eq!(Address::parse(odd.as_bytes()).unwrap().as_str(), odd);
        }
    }

    #[test]
    fn an_address_is_whole_or_it_is_none() {
        for broken in ["", "a", "a@", "@b", "\"a@b", "a\\@b"] {
            assert!(Address::parse(broken.as_bytes()).is_err(), "{broken:?}");
        }
        assert!(Address::parse(b"\xe9@x").unwrap_err().to_string().contains("not UTF-8"));
        let long = format!("{}@x", "a".repeat(Address::MAX));
        assert!(Address::parse(long.as_bytes()).unwrap_err().to_string().len() < 200);
    }
}
