//! newaliases, and the other names of sendmail that have nothing to do here: exit 0.
//!
//! Debian's policy 11.6 wants the command to exist; there is no alias database to rebuild.

use crate::exit::{Exit, Failure};
use crate::role::Call;

#[expect(clippy::unnecessary_wraps, reason = "the form of every program")]
pub(crate) fn run(_: Call) -> Result<Exit, Failure> {
    Ok(Exit::Ok)
}
