//! Sessions kept open per remote, for the next message, and how many there may be.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::RetrySchedule;
use crate::transport::Session;

/// The sessions with one remote: never more than its `connections` at once, those that say goodbye
/// included, and no more than the server lets us have.
#[derive(Debug)]
pub(super) struct Pool(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    idle: RefCell<Vec<Idle>>,
    /// `messages`: what a session carries at most.
    per_session: u32,
    /// `connections`.
    most: usize,
    /// How many of those there are permits for.
    width: Cell<usize>,
    /// Sessions that are at work or say goodbye.
    live: Cell<usize>,
    crowded: Cell<Option<Crowded>>,
}

/// The server did not let us have one session more.
#[derive(Clone, Copy, Debug)]
struct Crowded {
    times: u32,
    /// When one more may be asked for.
    again: Instant,
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
pub(super) struct Slot {
    pool: Rc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
    live: bool,
}

impl Pool {
    pub(super) fn new(connections: u16, per_session: Option<u32>) -> Self {
        let most = usize::from(connections.max(1));
        Self(Rc::new(Shared {
            permits: Arc::new(Semaphore::new(most)),
            idle: RefCell::default(),
            per_session: per_session.unwrap_or(u32::MAX),
            most,
            width: Cell::new(most),
            live: Cell::default(),
            crowded: Cell::default(),
        }))
    }

    /// How many sessions there may be now.
    pub(super) fn width(&self) -> usize {
        self.0.width.get()
    }

    /// When one more session than the server took may be asked for.
    pub(super) fn next_widening(&self) -> Option<Instant> {
        self.0.crowded.get().filter(|_| self.width() < self.0.most).map(|crowded| crowded.again)
    }

    /// Allows one more session than the server took, if it is time to ask again.
    pub(super) fn widen(&self, now: Instant) {
        if self.next_widening().is_some_and(|again| again <= now) {
            self.0.width.set(self.width() + 1);
            self.0.permits.add_permits(1);
        }
    }

    /// Waits for the right to a session.
    pub(super) async fn slot(&self) -> Slot {
        let permits = Arc::clone(&self.0.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        Slot { pool: Rc::clone(&self.0), permit: Some(permit), live: false }
    }

    /// When the next idle session should be closed.
    pub(super) fn next_close(&self) -> Option<Instant> {
        self.0.idle.borrow().iter().map(|idle| idle.since + IDLE_LIMIT).min()
    }

    /// Takes out the sessions that were idle too long by `now`, all of them without a `now`, to be
    /// closed in their slots.
    pub(super) fn take_idle(&self, now: Option<Instant>) -> Vec<(Slot, Session)> {
        let mut idle = self.0.idle.borrow_mut();
        let over = |one: &mut Idle| now.is_none_or(|now| one.since + IDLE_LIMIT <= now);
        let over = idle.extract_if(.., over);
        over.map(|one| {
            // Somebody may have taken the last one just now; then there is one session more for a moment.
            let permit = Arc::clone(&self.0.permits).try_acquire_owned().ok();
            let mut slot = Slot { pool: Rc::clone(&self.0), permit, live: false };
            slot.begin();
            (slot, one.session)
        })
        .collect()
    }
}

impl Slot {
    /// The session used last, and how many messages it has carried.
    pub(super) fn reuse(&mut self) -> Option<(Session, u32)> {
        let idle = self.pool.idle.borrow_mut().pop()?;
        self.begin();
        Some((idle.session, idle.carried))
    }

    /// A session was opened in this slot.
    pub(super) fn opened(&mut self) {
        self.begin();
        // As many as it may ever have refused.
        if self.pool.live.get() == self.pool.most {
            self.pool.crowded.set(None);
        }
    }

    /// The server refused a session in this slot. If others are open, it is well and wants no more
    /// of them: how many it has; the slot is worth nothing then. `None` if there are no others.
    pub(super) fn refused(&mut self, schedule: &RetrySchedule, now: Instant) -> Option<usize> {
        let others = self.pool.live.get();
        if others == 0 {
            return None;
        }
        let times = self.pool.crowded.get().map_or(1, |crowded| crowded.times.saturating_add(1));
        let again = now + schedule.pause_after(times, 0);
        self.pool.crowded.set(Some(Crowded { times, again }));
        if let Some(permit) = self.permit.take() {
            permit.forget();
            // Who is about to open one will learn the same; nobody else is to try.
            let spare = self.pool.width.get().saturating_sub(others + 1);
            let spare = self.pool.permits.forget_permits(spare);
            self.pool.width.set(self.pool.width.get() - 1 - spare);
        }
        Some(others)
    }

    /// The session is gone.
    pub(super) fn lost(&mut self) {
        if std::mem::take(&mut self.live) {
            self.pool.live.set(self.pool.live.get() - 1);
        }
    }

    /// Keeps a session for the next message, or says goodbye if it has done its share.
    pub(super) fn keep(mut self, session: Session, carried: u32, now: Instant) {
        if !session.is_reusable() || carried >= self.pool.per_session {
            tokio::task::spawn_local(self.close(session));
            return;
        }
        self.lost();
        self.pool.idle.borrow_mut().push(Idle { session, carried, since: now });
    }

    /// Says goodbye; until that is done the slot is taken.
    pub(super) async fn close(self, session: Session) {
        session.close().await;
        drop(self);
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.live, true) {
            self.pool.live.set(self.pool.live.get() + 1);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lost();
    }
}
