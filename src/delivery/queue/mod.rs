//! What waits: which messages there are, when each is due, and whose turn it is.
//!
//! Pure: it knows names and times, opens nothing, and is told the time.

mod arrivals;
mod index;
mod schedule;

pub(super) use arrivals::{Arrivals, QUIET};
pub(super) use index::{Age, Index, Lane, Taken};
pub(super) use schedule::{RetrySchedule, hash};
