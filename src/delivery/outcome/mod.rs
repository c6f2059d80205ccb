//! What becomes of a message: the attempt, the ledger of its verdicts, and what follows from them.

mod attempt;
mod bounce;
mod leave;
mod ledger;
mod line;
mod quota;
mod settle;

pub(super) use attempt::{Attempt, without_a_turn};
pub(crate) use bounce::Bouncer;
pub(super) use bounce::Told;
pub(super) use leave::Leave;
pub(super) use ledger::{Book, Ledger};
pub(super) use line::Line;
pub(super) use settle::{Beside, Next, Settler};
