//! The remotes: whether each is well, the sessions with it, and how much goes to it at once.

mod concurrency;
mod health;
mod pace;
mod plan;
mod pool;
mod route;
mod site;
mod stir;

pub(super) use health::{Opening, Trial};
pub(super) use plan::{Plan, Sites};
pub(super) use pool::Slot;
pub(super) use route::{Route, Underway};
pub(super) use stir::Stir;
