//! The words of the trade: what an address, an envelope, a reply or an outcome is.
//!
//! Used by every other room. Pure: no files, sockets, clock, environment or processes here.

mod address;
mod address_list;
mod author;
mod body;
mod date;
pub(crate) mod downgrade;
mod encoded_word;
mod envelope;
mod fields;
mod fold;
mod header;
mod helo;
#[cfg(test)]
pub(crate) mod linear;
mod mask;
mod outcome;
mod prepare;
mod printable;
mod remote;
mod reply;
pub(crate) mod report;
mod request;
mod secret;
pub(crate) mod smtp_server;
mod stamp;

pub(crate) use address::{Address, AddressError};
pub(crate) use address_list::{AddressList, Canonical};
pub(crate) use author::Author;
pub(crate) use body::{Typed, UnixLines};
pub(crate) use date::{received_date, rfc5322_date};
pub(crate) use envelope::{Envelope, NoRecipients, Recipients, ReversePath};
pub(crate) use header::{Header, HeaderError};
pub(crate) use helo::Helo;
pub(crate) use mask::Mask;
pub(crate) use outcome::{Outcome, Reason, judge};
pub(crate) use prepare::{Flags, Orders, Prepared, Unusable, prepare};
pub(crate) use printable::{Printable, Quoted, is_hidden};
pub(crate) use remote::{
    Family, Login, Mechanism, Protocol, Remote, SecretSource, Security, Tls, Verify,
};
pub(crate) use reply::{EnhancedCode, Reply};
pub(crate) use request::{DeliveryRequest, EnvelopeId, Notify, Ret, Xtext};
pub(crate) use secret::Secret;
pub(crate) use stamp::Moment;
