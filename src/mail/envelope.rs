//! Who a message is from and whom it is for.

use std::fmt;

use super::{Address, AddressError, DeliveryRequest};

/// The argument of MAIL FROM. `<>` is not an empty string: it means that nobody wants to hear
/// back (RFC 5321 §4.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReversePath {
    Null,
    Mailbox(Address),
}

impl ReversePath {
    /// Reads the sender line of a queue file: empty is the null reverse-path.
    ///
    /// So is `#@[]`, the mark that nullmailer-dsn puts on a double bounce; it never goes out.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, AddressError> {
        match bytes {
            b"" | b"#@[]" => Ok(Self::Null),
            _ => Address::parse(bytes).map(Self::Mailbox),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Mailbox(address) => address.as_str(),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// At least one recipient, in the order given, exact duplicates dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipients(Vec<Address>);

/// There was nobody to send to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRecipients;

impl Recipients {
    pub(crate) fn new(addresses: impl IntoIterator<Item = Address>) -> Result<Self, NoRecipients> {
        let mut seen = std::collections::HashSet::new();
        let mut kept: Vec<Address> = Vec::new();
        for address in addresses {
            if seen.insert(address.clone()) {
                kept.push(address);
            }
        }
        if kept.is_empty() { Err(NoRecipients) } else { Ok(Self(kept)) }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Address> {
        self.0.iter()
    }

    pub(crate) fn as_slice(&self) -> &[Address] {
        &self.0
    }
}

impl fmt::Display for NoRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no recipients")
    }
}

impl std::error::Error for NoRecipients {}

/// An admitted envelope: made by `submit::admission`, or by reading a message of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) sender: ReversePath,
    pub(crate) recipients: Recipients,
    pub(crate) request: DeliveryRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn recipients_keep_their_order_and_lose_exact_duplicates_only() {
        let given = ["b@x", "a@x", "b@x", "B@x"].map(address);
        let kept: Vec<_> =
            Recipients::new(given).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["b@x", "a@x", "B@x"]);
    }

    #[test]
    fn nobody_is_not_a_list_of_recipients() {
        assert_eq!(Recipients::new([]), Err(NoRecipients));
    }

    #[test]
    fn the_mark_of_a_double_bounce_never_becomes_an_address() {
        assert_eq!(ReversePath::parse(b"#@[]"), Ok(ReversePath::Null));
    }

    #[test]
    fn many_recipients_take_no_longer_for_each() {
        use crate::mail::linear::{addresses, assert_linear};
        assert_linear(5_000, |count| {
            let twice = addresses(count).into_iter().chain(addresses(count));
            assert_eq!(Recipients::new(twice).unwrap().as_slice().len(), count);
        });
    }
}
