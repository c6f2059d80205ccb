//! What inject does to a message: completes its header, and finds its sender and recipients.
//!
//! Pure: the clock, the host names and the environment come in as values.

use std::fmt;

use super::address_list::{AddressList, Canonical};
use super::author::{Author, Style};
use super::fields::{Content, FieldName, Known};
use super::header::{Field, Header};
use super::{Address, AddressError, NoRecipients, Recipients, ReversePath, fold};

/// What the caller asked for, and what missing fields are made of.
pub(crate) struct Orders<'a> {
    /// Recipients from the command line.
    pub(crate) arguments: Vec<Address>,
    /// Whether the header names recipients too.
    pub(crate) from_header: bool,
    /// The sender, where the command line gives one; a Return-Path then says nothing.
    pub(crate) sender: Option<ReversePath>,
    pub(crate) flags: Flags,
    pub(crate) author: &'a Author,
    pub(crate) canonical: Canonical<'a>,
    /// The value of a Date field.
    pub(crate) date: &'a dyn Fn() -> String,
    /// The value of a Message-Id field.
    pub(crate) message_id: &'a dyn Fn() -> String,
}

/// The letters of `NULLMAILER_FLAGS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five letters, each on or off")]
pub(crate) struct Flags {
    /// `c`: the name of a generated From stands in a comment.
    pub(crate) comment_style: bool,
    /// `f`: From fields are replaced.
    pub(crate) replace_from: bool,
    /// `i`: Message-Id is replaced.
    pub(crate) replace_message_id: bool,
    /// `s`: Return-Path fields are dropped unread.
    pub(crate) ignore_return_path: bool,
    /// `t`: a message without To and Cc gets a To with all recipients.
    pub(crate) to_for_all: bool,
}

/// A message that is ready to be submitted, but for its body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) sender: ReversePath,
    pub(crate) recipients: Recipients,
    /// With the blank line behind it.
    pub(crate) head: Vec<u8>,
}

/// Why a message cannot be sent as it is.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// At least one.
    Fields(Vec<FieldFlaw>),
    Sender(AddressError),
    NoRecipients,
}

/// A field that does not hold what it must.
#[derive(Debug)]
pub(crate) struct FieldFlaw {
    line: usize,
    field: String,
    flaw: String,
}

impl Flags {
    /// nullmailer: letters that are not known mean nothing.
    pub(crate) fn parse(letters: &str) -> Self {
        Self {
            comment_style: letters.contains('c'),
            replace_from: letters.contains('f'),
            replace_message_id: letters.contains('i'),
            ignore_return_path: letters.contains('s'),
            to_for_all: letters.contains('t'),
        }
    }
}

/// Completes the header and takes from it who the message is from and for.
pub(crate) fn prepare(header: &Header, orders: Orders<'_>) -> Result<Prepared, Unusable> {
    let mut work = Work {
        orders,
        head: Vec::new(),
        recipients: Vec::new(),
        return_path: None,
        resent: false,
        seen: Seen::default(),
        flaws: Vec::new(),
    };
    for field in &header.fields {
        work.take(field);
    }
    work.finish()
}

/// The fields that the finished header has, once for the message and once as Resent-.
#[derive(Default)]
struct Seen([Vec<FieldName>; 2]);

impl Seen {
    fn has(&self, resent: bool, field: FieldName) -> bool {
        self.0[usize::from(resent)].contains(&field)
    }

    fn note(&mut self, resent: bool, field: FieldName) {
        if field != FieldName::Other && !self.has(resent, field) {
            self.0[usize::from(resent)].push(field);
        }
    }
}

struct Work<'a> {
    orders: Orders<'a>,
    head: Vec<u8>,
    /// Those of the header.
    recipients: Vec<Address>,
    return_path: Option<ReversePath>,
    /// A Resent- field was seen: the others no longer say who sends and who gets it.
    resent: bool,
    seen: Seen,
    flaws: Vec<FieldFlaw>,
}

impl Work<'_> {
    fn take(&mut self, field: &Field) {
        if field.name().is_empty() {
            return;
        }
        let Some(known) = Known::find(field.name()) else { return self.keep(field) };
        if known.resent && !self.resent {
            self.resent = true;
            self.recipients.clear();
            self.return_path = None;
        }
        let flags = self.orders.flags;
        let unread = match known.field {
            FieldName::From => flags.replace_from && !known.resent,
            FieldName::MessageId => flags.replace_message_id && !known.resent,
            FieldName::ReturnPath => flags.ignore_return_path,
            _ => false,
        };
        if unread {
            return;
        }
        if known.content != Content::Text {
            return self.take_addresses(field, known);
        }
        // nullmailer: an empty Date or Message-Id is there and stays.
        self.seen.note(known.resent, known.field);
        if !known.removed {
            self.keep(field);
        }
    }

    fn keep(&mut self, field: &Field) {
        self.head.extend_from_slice(&field.text);
        self.head.push(b'\n');
    }

    fn take_addresses(&mut self, field: &Field, known: &Known) {
        let list = match AddressList::parse(field.value(), self.orders.canonical) {
            Ok(list) => list,
            Err(flaw) => return self.flaws.push(FieldFlaw::new(field, &flaw)),
        };
        if list.text.is_empty() {
            return;
        }
        self.seen.note(known.resent, known.field);
        if known.content == Content::Recipients
            && self.orders.from_header
            && known.resent == self.resent
        {
            match list
                .addresses
                .iter()
                .map(|one| Address::parse(one))
                .collect::<Result<Vec<_>, _>>()
            {
                Ok(addresses) => self.recipients.extend(addresses),
                Err(flaw) => self.flaws.push(FieldFlaw::new(field, &flaw)),
            }
        }
        if known.field == FieldName::ReturnPath && !self.resent {
            self.take_return_path(field, &list);
        }
        if !known.removed {
            fold::push_field(&mut self.head, known.name, &list.text, &list.folds);
        }
    }

    /// nullmailer: a Return-Path with several addresses, or none, says nothing.
    fn take_return_path(&mut self, field: &Field, list: &AddressList) {
        self.return_path = match (list.addresses.as_slice(), list.nulls) {
            ([], 1) => Some(ReversePath::Null),
            ([one], 0) => match Address::parse(one) {
                Ok(address) => Some(ReversePath::Mailbox(address)),
                Err(flaw) => return self.flaws.push(FieldFlaw::new(field, &flaw)),
            },
            _ => return,
        };
    }

    fn finish(mut self) -> Result<Prepared, Unusable> {
        if !self.flaws.is_empty() {
            return Err(Unusable::Fields(self.flaws));
        }
        let sender = match self.orders.sender.take().or(self.return_path.take()) {
            Some(sender) => sender,
            None => ReversePath::Mailbox(self.orders.author.sender().map_err(Unusable::Sender)?),
        };
        let arguments = std::mem::take(&mut self.orders.arguments);
        let recipients =
            Recipients::new(arguments.into_iter().chain(std::mem::take(&mut self.recipients)))
                .map_err(|NoRecipients| Unusable::NoRecipients)?;
        self.complete(&recipients)?;
        self.head.push(b'\n');
        Ok(Prepared { sender, recipients, head: self.head })
    }

    /// Adds the fields that are missing, in the original's order.
    fn complete(&mut self, recipients: &Recipients) -> Result<(), Unusable> {
        let resent = self.resent;
        let prefix = if resent { "Resent-" } else { "" };
        let mut add = |name: &str, value: &str| {
            self.head.extend_from_slice(format!("{prefix}{name}: {value}\n").as_bytes());
        };
        if !self.seen.has(resent, FieldName::Date) {
            add("Date", &(self.orders.date)());
        }
        if !self.seen.has(resent, FieldName::MessageId) {
            add("Message-Id", &(self.orders.message_id)());
        }
        if !self.seen.has(resent, FieldName::From) {
            let style = if self.orders.flags.comment_style { Style::Comment } else { Style::Angle };
            add("From", &self.orders.author.from(style).map_err(Unusable::Sender)?);
        }
        let addressed =
            |seen: &Seen, of| seen.has(of, FieldName::To) || seen.has(of, FieldName::Cc);
        if self.orders.flags.to_for_all && !addressed(&self.seen, resent) {
            let (text, folds) = fold::join(recipients.iter().map(Address::as_str));
            fold::push_field(&mut self.head, &format!("{prefix}To"), text.as_bytes(), &folds);
            self.seen.note(resent, FieldName::To);
        }
        if !addressed(&self.seen, false) {
            self.head.extend_from_slice(b"Cc: recipient list not shown: ;\n");
        }
        Ok(())
    }
}

impl FieldFlaw {
    fn new(field: &Field, flaw: &dyn fmt::Display) -> Self {
        Self { line: field.line, field: field.to_string(), flaw: flaw.to_string() }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(flaws) => {
                for (at, flaw) in flaws.iter().enumerate() {
                    write!(f, "{}{flaw}", if at == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::Sender(error) => write!(f, "cannot use sender: {error}"),
            Self::NoRecipients => NoRecipients.fmt(f),
        }
    }
}

impl fmt::Display for FieldFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use header line {}, {}: {}", self.line, self.field, self.flaw)
    }
}
