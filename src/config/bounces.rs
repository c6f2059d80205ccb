//! Who gets delivery reports, and how much of the original they return.

use super::{Control, Error};
use crate::mail::report::Quote;
use crate::mail::{Address, Recipients, ReversePath};

/// What `bounceto`, `doublebounceto`, `adminaddr` and `bouncelines` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounces {
    /// Who gets reports instead of the sender.
    to: Option<Address>,
    /// Who gets reports on mail with the null sender.
    double_to: Vec<Address>,
    /// `bouncelines`; a negative number is the whole original.
    pub(crate) quote: Quote,
}

impl Bounces {
    pub(crate) fn read(control: &Control) -> Result<Self, Error> {
        let mut double_to = control.addresses("doublebounceto")?;
        if double_to.is_empty() {
            double_to = control.addresses("adminaddr")?;
        }
        let lines = control.integer("bouncelines")?.unwrap_or(0);
        Ok(Self { to: control.address("bounceto")?, double_to, quote: Quote::lines(lines) })
    }

    /// Who is told about mail from `sender`; `None` where nobody is named for mail that nobody
    /// wants to hear back from.
    pub(crate) fn recipients(&self, sender: &ReversePath) -> Option<Recipients> {
        let to = match sender {
            ReversePath::Null => self.double_to.clone(),
            ReversePath::Mailbox(sender) => vec![self.to.as_ref().unwrap_or(sender).clone()],
        };
        Recipients::new(to).ok()
    }
}
