//! Sessions kept open per remote, for the next message.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::transport::Session;

/// The sessions with one remote: never more than its `connections` at once.
#[derive(Debug)]
pub(super) struct Pool {
    permits: Semaphore,
    idle: RefCell<Vec<Idle>>,
    /// `messages`: what a session carries at most.
    per_session: u32,
}

#[derive(Debug)]
struct Idle {
    session: Session,
    carried: u32,
    since: Instant,
}

/// An idle session is closed after this.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// The right to one session with the remote.
pub(super) struct Slot<'a> {
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(connections: u16, per_session: Option<u32>) -> Self {
        Self {
            permits: Semaphore::new(connections.max(1).into()),
            idle: RefCell::default(),
            per_session: per_session.unwrap_or(u32::MAX),
        }
    }

    /// Waits for the right to a session.
    pub(super) async fn slot(&self) -> Slot<'_> {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        Slot { pool: self, _permit: permit }
    }

    /// When the next idle session should be closed.
    pub(super) fn next_close(&self) -> Option<Instant> {
        self.idle.borrow().iter().map(|idle| idle.since + IDLE_LIMIT).min()
    }

    /// Takes out the sessions that were idle too long by `now`; all of them without a `now`.
    pub(super) fn take_idle(&self, now: Option<Instant>) -> Vec<Session> {
        let mut idle = self.idle.borrow_mut();
        let over = |one: &mut Idle| now.is_none_or(|now| one.since + IDLE_LIMIT <= now);
        idle.extract_if(.., over).map(|one| one.session).collect()
    }
}

impl Slot<'_> {
    /// The session used last, and how many messages it has carried.
    pub(super) fn reuse(&self) -> Option<(Session, u32)> {
        self.pool.idle.borrow_mut().pop().map(|idle| (idle.session, idle.carried))
    }

    /// Keeps a session for the next message; gives it back if it has done its share.
    pub(super) fn keep(&self, session: Session, carried: u32, now: Instant) -> Option<Session> {
        if carried >= self.pool.per_session {
            return Some(session);
        }
        self.pool.idle.borrow_mut().push(Idle { session, carried, since: now });
        None
    }
}
