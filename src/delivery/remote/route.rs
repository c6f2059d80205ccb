//! A remote as deliveries see it: what it is, how it fares, and what is under way to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::concurrency::Width;
use super::health::{Health, Opening, Standing};
use super::pool::{Pool, Slot};
use super::site::Site;
use super::stir::Stir;
use crate::mail::{EnhancedCode, Reason, Remote};
use crate::transport::Session;

/// A remote, and how it fares.
#[derive(Debug)]
pub(in crate::delivery) struct Route {
    pub(in crate::delivery) remote: Remote,
    pub(in crate::delivery) health: Health,
    pool: Rc<Pool>,
    width: RefCell<Width>,
    /// Messages that set out for it, or came to it from another.
    underway: Rc<Cell<usize>>,
    stir: Stir,
}

/// A message counts for the remote that it is with.
#[derive(Debug)]
#[must_use]
pub(in crate::delivery) struct Underway {
    count: Rc<Cell<usize>>,
    /// It has set out with its turn (`ratelimit`).
    has_turn: bool,
}

impl Underway {
    /// Whether it has set out for this remote with a turn; it is used up then.
    pub(in crate::delivery) fn take_turn(&mut self, route: &Route) -> bool {
        Rc::ptr_eq(&self.count, &route.underway) && std::mem::take(&mut self.has_turn)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

/// Why a message that has not set out yet goes by the next configuration.
fn changed() -> Reason {
    Reason::local(EnhancedCode::new(4, 3, 2), "remotes has changed")
}

impl Route {
    pub(super) fn new(
        remote: &Remote,
        site: Rc<Site>,
        health: Health,
        stir: &Stir,
        now: Instant,
    ) -> Self {
        Self {
            remote: remote.clone(),
            health,
            pool: Pool::new(site, remote.messages),
            width: RefCell::new(Width::new(now)),
            underway: Rc::default(),
            stir: stir.clone(),
        }
    }

    pub(super) fn site(&self) -> Rc<Site> {
        Rc::clone(&self.pool.site)
    }

    /// Has no session of it used for another message; returns those to close.
    pub(super) fn retire(&self) -> Vec<(Slot, Session)> {
        self.pool.retire();
        self.pool.take_idle(None)
    }

    /// How it stands for a message: a remote at rest that has an idle session needs no other.
    pub(in crate::delivery) fn standing(&self, now: Instant) -> Standing {
        if self.pool.has_idle() { Standing::Open } else { self.health.standing(now) }
    }

    /// Why a message has to pass it by; `None` if it may stay.
    pub(in crate::delivery) fn resting(&self) -> Option<Reason> {
        if self.pool.is_retired() {
            return Some(changed());
        }
        (self.standing(Instant::now()) == Standing::Resting).then(|| self.health.reason())
    }

    /// Asks to open a session. Under a configuration that is no longer in use none is opened: what has not set
    /// out yet goes by the one that is.
    pub(in crate::delivery) fn begin(&self, now: Instant) -> Opening {
        match self.resting() {
            Some(reason) => Opening::No(reason),
            // A login that is refused must not be tried side by side.
            None => self.health.begin(self.remote.login.is_some(), now),
        }
    }

    /// Whether one more of `backlog` messages may set out for it.
    pub(in crate::delivery) fn admits(&self, backlog: usize, now: Instant) -> bool {
        if self.standing(now) != Standing::Open || self.pool.site.next_turn(now).is_some() {
            return false;
        }
        let underway = self.underway.get();
        if underway == 0 {
            self.width.borrow_mut().rest(now);
        }
        let limit = self.pool.site.width();
        underway < self.width.borrow_mut().allowed(backlog, limit, now)
    }

    /// Whether it is open and has its next turn later.
    pub(in crate::delivery) fn is_paced(&self, now: Instant) -> bool {
        self.standing(now) == Standing::Open && self.pool.site.next_turn(now).is_some()
    }

    /// When to ask [`Route::admits`] again although nothing happened.
    pub(in crate::delivery) fn next_look(&self, backlog: usize, now: Instant) -> Option<Instant> {
        let is_open = self.standing(now) == Standing::Open;
        if let Some(turn) = self.pool.site.next_turn(now).filter(|_| is_open && backlog > 0) {
            return Some(turn);
        }
        let waits = self.underway.get() > 0 && is_open;
        let limit = self.pool.site.width();
        waits.then(|| self.width.borrow().next_look(backlog, limit)).flatten()
    }

    /// When [`Route::standing`] or the number of sessions that the server lets us have may change
    /// although nothing happens.
    pub(in crate::delivery) fn next_change(&self) -> [Option<Instant>; 2] {
        [self.health.next_change(), self.pool.site.next_widening()]
    }

    /// Allows one session more where the server did not take as many as there may be.
    pub(in crate::delivery) fn widen(&self, now: Instant) {
        self.pool.site.widen(now);
    }

    /// Counts a message as under way to it, with its turn.
    pub(in crate::delivery) fn set_out(&self, now: Instant) -> Underway {
        let has_turn = self.pool.site.turn(now).is_ok();
        let mut underway = self.enter();
        underway.has_turn = has_turn;
        underway
    }

    fn enter(&self) -> Underway {
        self.underway.set(self.underway.get() + 1);
        Underway { count: Rc::clone(&self.underway), has_turn: false }
    }

    /// The same for a message that another remote could not take, and has room again now.
    pub(in crate::delivery) fn enter_from_another(&self) -> Underway {
        self.stir.notify_one();
        self.enter()
    }

    /// One message took `time` from when it set out to its end.
    pub(in crate::delivery) fn done(&self, time: Duration, now: Instant) {
        self.width.borrow_mut().done(time, now);
    }

    /// Waits for the right to a session and for a turn (`ratelimit`), without holding the one while
    /// it waits for the other. A turn that one `has` already is good for a session that is free now.
    /// Why not, if the remote fails meanwhile.
    pub(in crate::delivery) async fn slot(&self, has_turn: bool) -> Result<Slot, Reason> {
        let is_its_turn = has_turn && self.pool.site.is_free();
        loop {
            if let Some(reason) = self.resting() {
                return Err(reason);
            }
            let slot = self.pool.slot().await.ok_or_else(changed)?;
            // It may have failed for another message while this one waited.
            if let Some(reason) = self.resting() {
                return Err(reason);
            }
            if is_its_turn {
                return Ok(slot);
            }
            match self.pool.site.turn(Instant::now()) {
                Ok(()) => return Ok(slot),
                Err(next) => {
                    drop(slot);
                    let _ = timeout_at(next, self.pool.retirement()).await;
                }
            }
        }
    }

    /// Returns when the configuration has changed.
    pub(in crate::delivery) async fn retirement(&self) {
        self.pool.retirement().await;
    }

    /// When an idle session should be closed.
    pub(in crate::delivery) fn next_close(&self) -> Option<Instant> {
        self.pool.next_close()
    }

    /// Sessions to close: idle too long by `now`, or all without a `now`.
    pub(in crate::delivery) fn take_idle(&self, now: Option<Instant>) -> Vec<(Slot, Session)> {
        self.pool.take_idle(now)
    }
}
