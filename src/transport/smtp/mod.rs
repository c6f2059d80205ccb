//! SMTP as a relaying client speaks it (RFC 5321): the only importer of lettre.
//!
//! What is lettre's and what is ours: lettre writes a command and reads until a reply is whole,
//! over a stream of ours that frames replies, secures itself and decides what lettre may see. What
//! a reply means, what is sent and when is decided here.

mod auth;
mod body;
mod capabilities;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod io;
mod plan;
mod session;
mod survey;
mod transaction;
mod turns;
mod unasked;
mod wire;

#[cfg(test)]
pub(super) mod dialogue;

pub(crate) use capabilities::Capabilities;
pub(super) use io::Io;
#[cfg(test)]
pub(crate) use io::Stream;
pub(crate) use session::{Doubt, Session, limit, within};
pub(crate) use transaction::{Share, deliver};
