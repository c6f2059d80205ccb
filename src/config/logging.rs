//! How and where the daemon logs: `logto`, `logformat`, `logaddresses`.

use super::{Control, Error};
use crate::log::{Addresses, Format};

/// What the three files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logging {
    pub(crate) target: Target,
    pub(crate) format: Format,
    pub(crate) addresses: Addresses,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Target {
    #[default]
    Stdout,
    Syslog,
    Journal,
}

impl Logging {
    pub(crate) fn read(control: &Control) -> Result<Self, Error> {
        Ok(Self {
            target: control.choice(
                "logto",
                &[
                    ("stdout", Target::Stdout),
                    ("syslog", Target::Syslog),
                    ("journal", Target::Journal),
                ],
            )?,
            format: control
                .choice("logformat", &[("classic", Format::Classic), ("json", Format::Json)])?,
            addresses: control.choice(
                "logaddresses",
                &[
                    ("full", Addresses::Full),
                    ("hashed", Addresses::Hashed),
                    ("none", Addresses::None),
                ],
            )?,
        })
    }
}
