//! The engine: who goes when, where, and what follows.
//!
//! Used by `roles/send` (the daemon) and by whoever delivers in the foreground. It runs on one
//! thread; a message is with one deliverer at a time; memory does not grow with messages beyond
//! the [`index`].

mod arrivals;
mod attempt;
mod bounce;
mod engine;
mod foreground;
mod health;
mod index;
mod ledger;
mod pace;
mod plan;
mod pool;
mod quota;
mod schedule;
mod settle;
mod width;

pub(crate) use bounce::Bouncer;
pub(crate) use engine::{Engine, Wake};
pub(crate) use foreground::{Handed, deliver_now};
pub(crate) use schedule::RetrySchedule;
