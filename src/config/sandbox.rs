//! `sandbox`: whether the daemon confines itself.

use super::{Control, Error};

/// What the administrator wants of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// As far as the kernel can.
    #[default]
    Auto,
    /// Not starting is better than running without.
    Require,
    Off,
}

impl Sandbox {
    pub(crate) fn read(control: &Control) -> Result<Self, Error> {
        let words = [("auto", Self::Auto), ("require", Self::Require), ("off", Self::Off)];
        control.choice("sandbox", &words)
    }
}
