//! The door to the network: how a message gets to a remote and what the remote said.
//!
//! Used by `delivery` (sessions kept and reused) and by the stand-alone protocol programs (one
//! message each). It knows nothing of the queue: it is handed an open file and gives verdicts.
#![allow(clippy::disallowed_types, reason = "the transport door")]

mod children;
mod connect;
mod dialer;
mod external;
mod fault;
mod look_up;
mod qmqp;
mod reach;
#[cfg(test)]
pub(crate) mod simulated;
mod smtp;
mod tls;
mod verdicts;

use std::fs::File;

pub(crate) use children::is_started;
pub(crate) use dialer::{Dialer, Peer, Session};
pub(crate) use fault::{Cause, Fault, Phase};
pub(crate) use reach::{Reach, files, program};
#[cfg(fuzzing)]
pub(crate) use smtp::fuzz;
pub(crate) use verdicts::{Collected, Report};

use crate::mail::{Address, DeliveryRequest, ReversePath};

/// A message to be transmitted, for some or all of its recipients.
#[derive(Debug)]
pub(crate) struct Mail<'a> {
    pub(crate) sender: &'a ReversePath,
    /// Those still waiting; never empty.
    pub(crate) recipients: &'a [Address],
    pub(crate) request: &'a DeliveryRequest,
    /// The queue file. Reads use positions of their own: its cursor means nothing.
    pub(crate) file: &'a File,
    /// Where in `file` the message begins, behind the envelope.
    pub(crate) offset: u64,
    /// Bytes from `offset` to the end of the file, as stored.
    pub(crate) size: u64,
}
