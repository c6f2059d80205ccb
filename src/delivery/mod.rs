//! The engine: who goes when, where, and what follows.
//!
//! Used by `roles/send` (the daemon) and by whoever delivers in the foreground. It runs on one
//! thread; a message is with one deliverer at a time; memory does not grow with messages beyond
//! the index of `queue`. On its shelves: `engine` is the loop, `queue` what waits, `remote` where mail
//! goes, `outcome` what becomes of it.

mod engine;
mod foreground;
mod outcome;
mod queue;
mod remote;

pub(crate) use engine::{Engine, Query, RemoteStatus, Status, Wake};
pub(crate) use foreground::{Handed, deliver_now};
pub(crate) use outcome::Bouncer;
use queue::RetrySchedule;
