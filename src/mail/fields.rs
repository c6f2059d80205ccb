//! The header fields that mean something to us, and what is done with each.

/// What a field is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// As it is printed.
    pub(crate) name: &'static str,
    pub(crate) field: FieldName,
    pub(crate) content: Content,
    /// One of those that a person who sends a message on puts before it (RFC 5322 §3.6.6).
    pub(crate) resent: bool,
    /// Not passed on.
    pub(crate) removed: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Kept as it is.
    Text,
    /// Read, qualified and printed again.
    Addresses,
    /// The same, and they are recipients.
    Recipients,
}

/// The fields that `prepare` asks for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldName {
    From,
    To,
    Cc,
    Date,
    MessageId,
    ReturnPath,
    Other,
}

impl Known {
    /// The field of this name, in any case.
    pub(crate) fn find(name: &[u8]) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

const fn known(name: &'static str, field: FieldName) -> Known {
    Known { name, field, content: Content::Text, resent: false, removed: false }
}

const fn addresses(name: &'static str, field: FieldName) -> Known {
    Known { content: Content::Addresses, ..known(name, field) }
}

const fn recipients(name: &'static str, field: FieldName) -> Known {
    Known { content: Content::Recipients, ..known(name, field) }
}

const fn resent(known: Known) -> Known {
    Known { resent: true, ..known }
}

const fn removed(known: Known) -> Known {
    Known { removed: true, ..known }
}

use FieldName::{Cc, Date, From, MessageId, Other, ReturnPath, To};

const KNOWN: &[Known] = &[
    addresses("Sender", Other),
    addresses("From", From),
    addresses("Reply-To", Other),
    addresses("Return-Receipt-To", Other),
    addresses("Errors-To", Other),
    removed(addresses("Return-Path", ReturnPath)),
    resent(addresses("Resent-Sender", Other)),
    resent(addresses("Resent-From", From)),
    resent(addresses("Resent-Reply-To", Other)),
    recipients("To", To),
    recipients("Cc", Cc),
    recipients("Apparently-To", Other),
    removed(recipients("Bcc", Other)),
    resent(recipients("Resent-To", To)),
    resent(recipients("Resent-Cc", Cc)),
    removed(resent(recipients("Resent-Bcc", Other))),
    known("Date", Date),
    known("Message-Id", MessageId),
    resent(known("Resent-Date", Date)),
    resent(known("Resent-Message-Id", MessageId)),
    removed(known("Content-Length", Other)),
];
