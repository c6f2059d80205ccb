//! The sessions of one remote that are kept open for the next message.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::site::{Idle, Owner, Place, Site};
use crate::delivery::RetrySchedule;
use crate::transport::Session;

/// Sessions that were opened under one reading of the configuration, within what their site allows:
/// never more than its `connections` at once, those that say goodbye included.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) site: Rc<Site>,
    owner: Owner,
    /// `messages`: what a session carries at most.
    per_session: u32,
    /// A session was kept.
    kept: Notify,
    /// The configuration has changed: no session is kept for another message, and none is opened.
    retired: Cell<bool>,
    retires: Notify,
}

/// An idle session is closed after this.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// The right to one session with the remote.
pub(in crate::delivery) struct Slot {
    pool: Rc<Pool>,
    place: Place,
}

impl Pool {
    pub(super) fn new(site: Rc<Site>, per_session: Option<u32>) -> Rc<Self> {
        Rc::new(Self {
            owner: site.owner(),
            site,
            per_session: per_session.unwrap_or(u32::MAX),
            kept: Notify::new(),
            retired: Cell::default(),
            retires: Notify::new(),
        })
    }

    /// Has sessions closed from now on when their message is done, and nobody wait for one any more.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.retires.notify_waiters();
    }

    /// Returns when the configuration has changed.
    pub(super) async fn retirement(&self) {
        let retires = self.retires.notified();
        if !self.retired.get() {
            retires.await;
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    pub(super) fn has_idle(&self) -> bool {
        self.site.has_idle(self.owner)
    }

    /// Waits for the right to a session. `None` if the configuration has changed.
    pub(super) async fn slot(self: &Rc<Self>) -> Option<Slot> {
        tokio::select! {
            biased;
            () = self.retirement() => None,
            place = self.site.place() => Some(Slot { pool: Rc::clone(self), place }),
        }
    }

    /// When the next idle session should be closed.
    pub(super) fn next_close(&self) -> Option<Instant> {
        self.site.idle_since(self.owner).map(|since| since + IDLE_LIMIT)
    }

    /// Takes out the sessions that were idle too long by `now`, all of them without a `now`, to be
    /// closed in their slots.
    pub(super) fn take_idle(self: &Rc<Self>, now: Option<Instant>) -> Vec<(Slot, Session)> {
        let over = |one: &Idle| now.is_none_or(|now| one.since + IDLE_LIMIT <= now);
        let over = self.site.take_idle(self.owner, over).into_iter();
        over.map(|idle| (self.occupied(), idle.session)).collect()
    }

    /// The slot of a session that was idle.
    fn occupied(self: &Rc<Self>) -> Slot {
        let mut place = self.site.place_beyond();
        place.begin();
        Slot { pool: Rc::clone(self), place }
    }
}

impl Slot {
    /// The session used last, and how many messages it has carried.
    pub(in crate::delivery) fn reuse(&mut self) -> Option<(Session, u32)> {
        let idle = self.pool.site.reuse(self.pool.owner)?;
        self.place.begin();
        Some((idle.session, idle.carried))
    }

    pub(in crate::delivery) fn has_idle(&self) -> bool {
        self.pool.has_idle()
    }

    /// Returns when a session of another slot was kept.
    pub(in crate::delivery) async fn kept(&self) {
        self.pool.kept.notified().await;
    }

    /// A session is about to be opened in this slot. Idle ones that were opened under another configuration
    /// are closed first, where there would be one more than there may be.
    pub(in crate::delivery) async fn dial(&mut self) {
        while let Some(idle) = self.pool.site.in_the_way() {
            self.pool.occupied().close(idle.session).await;
        }
        self.place.dial();
    }

    /// A session was opened in this slot.
    pub(in crate::delivery) fn opened(&mut self) {
        self.place.opened();
    }

    /// The server refused a session in this slot. If others are open, it is well and wants no more
    /// of them: how many there are. `None` if there are no others.
    pub(in crate::delivery) fn refused(
        &mut self,
        schedule: &RetrySchedule,
        now: Instant,
    ) -> Option<usize> {
        self.place.refused(schedule, now)
    }

    /// The session is gone.
    pub(in crate::delivery) fn lost(&mut self) {
        self.place.end();
    }

    /// Keeps a session for the next message, or says goodbye if it has done its share.
    pub(in crate::delivery) fn keep(mut self, session: Session, carried: u32, now: Instant) {
        let pool = &self.pool;
        if pool.retired.get() || !session.is_reusable() || carried >= pool.per_session {
            tokio::task::spawn_local(self.close(session));
            return;
        }
        self.place.end();
        pool.site.keep(Idle { owner: pool.owner, session, carried, since: now });
        pool.kept.notify_waiters();
    }

    /// Says goodbye; until that is done the slot is taken.
    pub(in crate::delivery) async fn close(self, session: Session) {
        session.close().await;
        drop(self);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.site.take_idle(self.owner, |_| true));
    }
}
