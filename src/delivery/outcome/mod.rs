//! What becomes of a message: the attempt, the ledger of its verdicts, and what follows from them.

mod attempt;
mod bounce;
mod ledger;
mod quota;
mod settle;

pub(super) use attempt::Attempt;
pub(crate) use bounce::Bouncer;
pub(super) use bounce::Told;
pub(super) use ledger::{Book, Ledger};
pub(super) use settle::{Next, Settler};
