//! nullmailer-smtpd

use crate::exit::{Exit, Failure};
use crate::role::Call;

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Unavailable, format!("{} is not built yet", call.name)))
}
