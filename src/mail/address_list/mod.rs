//! Lists of addresses (RFC 5322 §3.4 and §4.4, RFC 6532): read, qualified, printed again.
//!
//! Called by `prepare` for header fields and by the roles for addresses on a command line. It
//! reads what nullmailer's own parser reads, to the same text and the same addresses; beyond
//! that it knows domain literals, `<>` and folded comments, and keeps quotes that are needed.

mod lexer;
mod parser;
mod print;

use std::fmt;

pub(crate) use print::local_part;

/// A list as it goes back into a header, and the addresses in it for the envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressList {
    /// On one line, but for folds inside a quoted name; without the name of the field.
    pub(crate) text: Vec<u8>,
    /// In the form for the envelope; not yet checked to be an [`super::Address`].
    pub(crate) addresses: Vec<Vec<u8>>,
    /// How often `<>` stands in the list.
    pub(crate) nulls: usize,
    /// Where `text` may be broken: the places of the blanks behind its outermost commas.
    pub(crate) folds: Vec<usize>,
}

/// What completes a host name: the name as written, empty for none at all, to the full one.
pub(crate) type Canonical<'a> = &'a dyn Fn(&str) -> String;

/// Why a text is not a list of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListFlaw {
    /// A character that cannot stand where it stands, or the end.
    Unexpected(Option<u8>),
    OpenComment,
    OpenQuote,
    OpenLiteral,
    OpenAngle,
    OpenGroup,
    NoDomain,
    NotUtf8,
}

impl AddressList {
    /// Reads a list; one that holds nothing but blanks is empty.
    pub(crate) fn parse(input: &[u8], canonical: Canonical<'_>) -> Result<Self, ListFlaw> {
        if input.contains(&0) {
            return Err(ListFlaw::Unexpected(Some(0)));
        }
        parser::Parser::new(input, canonical).list()
    }
}

impl fmt::Display for ListFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unexpected(None) => f.write_str("an address is missing at the end"),
            Self::Unexpected(Some(byte)) if byte.is_ascii_graphic() => {
                write!(f, "'{}' cannot stand where it does", char::from(byte))
            }
            Self::Unexpected(Some(byte)) => write!(f, "byte {byte:#04x} cannot stand in a list"),
            Self::OpenComment => f.write_str("a '(' is never closed"),
            Self::OpenQuote => f.write_str("a '\"' is never closed"),
            Self::OpenLiteral => f.write_str("a '[' is never closed"),
            Self::OpenAngle => f.write_str("no '>' follows the address behind '<'"),
            Self::OpenGroup => f.write_str("no ';' ends the group"),
            Self::NoDomain => f.write_str("no domain follows an '@'"),
            Self::NotUtf8 => f.write_str("a domain is not UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests;
