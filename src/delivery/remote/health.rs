//! Whether a remote is well.
//!
//! A failure of session scope (no address, no connection, a bad certificate, a refused login) says
//! nothing about mail, so it is the remote that rests, not each message: no reconnect per message,
//! and at most one login attempt per pause. Time comes in as an argument.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::stir::Stir;
use crate::delivery::RetrySchedule;
use crate::mail::{EnhancedCode, Reason};

/// What is known of one remote; copies share it.
#[derive(Clone, Debug)]
pub(in crate::delivery) struct Health(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What the jitter of its rests is made of.
    name: String,
    state: RefCell<State>,
    /// A trial has ended.
    ended: Notify,
    stir: Stir,
}

#[derive(Debug)]
struct State {
    known: Known,
    /// When the session that is being opened alone was begun.
    trial: Option<Instant>,
    /// Messages in a row that broke a session of theirs; a single one says more about the message.
    broken: u32,
}

#[derive(Debug)]
enum Known {
    /// No session was opened yet.
    Nothing,
    Well,
    Trouble(Trouble),
}

#[derive(Debug)]
struct Trouble {
    failures: u32,
    last: Instant,
    again: Instant,
    reason: Reason,
}

/// How a remote stands for a message that would set out for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Standing {
    /// A session may be opened.
    Open,
    /// The very first session is being opened: wait for what comes of it.
    Trying,
    /// It failed, and its pause is not over or one message is trying it again.
    Resting,
}

/// Whether one more session may be opened.
#[derive(Debug)]
pub(in crate::delivery) enum Opening {
    Go(Trial),
    /// Another one is being opened, alone: ask again when it has ended, or at this time.
    Wait(Option<Instant>),
    No(Reason),
}

/// A session that is being opened. It has to end one of three ways; dropping it leaves the remote as it
/// was before.
#[derive(Debug)]
#[must_use]
pub(in crate::delivery) struct Trial {
    health: Health,
    begun: Instant,
    alone: bool,
}

/// So many messages in a row that break their sessions make the remote unwell.
const BROKEN_LIMIT: u32 = 3;
/// While the first session takes longer than this, mail may go to another remote.
const PATIENCE: Duration = Duration::from_secs(10);

impl Health {
    pub(super) fn new(name: String, stir: Stir) -> Self {
        let state = RefCell::new(State { known: Known::Nothing, trial: None, broken: 0 });
        Self(Rc::new(Shared { name, state, ended: Notify::new(), stir }))
    }

    /// Whether anybody else has it.
    pub(super) fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Whether what is known of it matters to whoever asks next.
    pub(super) fn remembers(&self, now: Instant) -> bool {
        self.rests_until().is_some_and(|until| now < until)
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let state = self.0.state.borrow();
        match (&state.known, state.trial) {
            (Known::Well, _) | (Known::Nothing, None) => Standing::Open,
            (Known::Nothing, Some(begun)) if now < begun + PATIENCE => Standing::Trying,
            (Known::Trouble(trouble), None) if trouble.again <= now => Standing::Open,
            _ => Standing::Resting,
        }
    }

    /// Why no session is to be opened now.
    pub(in crate::delivery) fn reason(&self) -> Reason {
        match &self.0.state.borrow().known {
            Known::Trouble(trouble) => trouble.reason.clone(),
            _ => Reason::local(EnhancedCode::new(4, 4, 1), "the first session is being opened"),
        }
    }

    /// Until when it rests; `None` for a remote that is not known to be unwell.
    pub(in crate::delivery) fn rests_until(&self) -> Option<Instant> {
        match &self.0.state.borrow().known {
            Known::Trouble(trouble) => Some(trouble.again),
            _ => None,
        }
    }

    /// When [`Health::standing`] changes although nothing happens.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let state = self.0.state.borrow();
        match (&state.known, state.trial) {
            (Known::Trouble(trouble), None) => Some(trouble.again),
            (Known::Nothing, Some(begun)) => Some(begun + PATIENCE),
            _ => None,
        }
    }

    /// Asks to open a session. After a failure, and before there ever was one, one session is opened
    /// alone; with `alone` it is so always, for a login that is refused must not be tried side by side.
    pub(in crate::delivery) fn begin(&self, alone: bool, now: Instant) -> Opening {
        let standing = self.standing(now);
        if standing == Standing::Resting {
            return Opening::No(self.reason());
        }
        let mut state = self.0.state.borrow_mut();
        let alone = alone || !matches!(state.known, Known::Well);
        if let Some(begun) = state.trial.filter(|_| alone) {
            let is_first = matches!(state.known, Known::Nothing);
            return Opening::Wait(is_first.then(|| begun + PATIENCE));
        }
        if alone {
            state.trial = Some(now);
        }
        Opening::Go(Trial { health: self.clone(), begun: now, alone })
    }

    /// Returns when a session that was being opened alone has ended, however it did.
    pub(in crate::delivery) async fn trial_ended(&self) {
        self.0.ended.notified().await;
    }

    /// What began at `begun` could not open a session: it rests for `pausetime`, doubling to `maxpause`.
    ///
    /// Sessions that fail side by side are one failure.
    pub(in crate::delivery) fn failed(
        &self,
        reason: Reason,
        schedule: &RetrySchedule,
        begun: Instant,
        now: Instant,
    ) {
        let mut state = self.0.state.borrow_mut();
        let failures = match &state.known {
            Known::Trouble(trouble) if begun < trouble.last => return,
            Known::Trouble(trouble) => trouble.failures.saturating_add(1),
            Known::Nothing | Known::Well => 1,
        };
        let again = now + schedule.pause_after(failures, &self.0.name);
        state.known = Known::Trouble(Trouble { failures, last: now, again, reason });
        drop(state);
        self.0.stir.notify_one();
    }

    /// A session broke in the middle of a message.
    pub(in crate::delivery) fn broke(
        &self,
        reason: Reason,
        schedule: &RetrySchedule,
        now: Instant,
    ) {
        let broken = self.0.state.borrow().broken + 1;
        self.0.state.borrow_mut().broken = broken % BROKEN_LIMIT;
        if broken == BROKEN_LIMIT {
            self.failed(reason, schedule, now, now);
        }
    }

    /// A message got its answer.
    pub(in crate::delivery) fn answered(&self) {
        self.0.state.borrow_mut().broken = 0;
    }

    /// New mail has come: nullmailer starts its pause anew. The remote is tried again no sooner
    /// than one `pausetime` after the last failure.
    pub(in crate::delivery) fn new_mail(&self, pause: Duration) {
        if let Known::Trouble(trouble) = &mut self.0.state.borrow_mut().known {
            trouble.again = trouble.again.min(trouble.last + pause);
        }
    }

    /// The administrator wants it tried now.
    pub(in crate::delivery) fn flush(&self, now: Instant) {
        if let Known::Trouble(trouble) = &mut self.0.state.borrow_mut().known {
            trouble.again = trouble.again.min(now);
        }
    }
}

impl Trial {
    /// The session is open. True when the remote was unwell before.
    pub(in crate::delivery) fn opened(self) -> bool {
        let before = std::mem::replace(&mut self.health.0.state.borrow_mut().known, Known::Well);
        matches!(before, Known::Trouble(_))
    }

    /// There is no session, and the remote rests.
    pub(in crate::delivery) fn failed(
        self,
        reason: Reason,
        schedule: &RetrySchedule,
        now: Instant,
    ) {
        self.health.failed(reason, schedule, self.begun, now);
    }

    /// The server wants no more sessions than it has, which says nothing against it.
    pub(in crate::delivery) fn crowded(self) {
        drop(self);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.alone {
            self.health.0.state.borrow_mut().trial = None;
            self.health.0.ended.notify_waiters();
            self.health.0.stir.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Reply;

    const SCHEDULE: RetrySchedule = RetrySchedule {
        salt: 0,
        pause: Duration::from_secs(60),
        max_pause: Duration::from_secs(3600),
        lifetime: Duration::from_secs(604_800),
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn reason() -> Reason {
        Reason::Remote(Reply::new(535, "5.7.8 no"))
    }

    fn health() -> (Health, Instant) {
        (Health::new("relay".to_owned(), Stir::default()), Instant::now())
    }

    fn begin(health: &Health, now: Instant) -> Trial {
        match health.begin(false, now) {
            Opening::Go(trial) => trial,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_remote_that_failed_rests_longer_each_time() {
        let (health, now) = health();
        begin(&health, now).failed(reason(), &SCHEDULE, now);
        assert_eq!(health.standing(now + 50 * SECOND), Standing::Resting);
        assert_eq!(health.standing(now + 70 * SECOND), Standing::Open);
        let now = now + 70 * SECOND;
        begin(&health, now).failed(reason(), &SCHEDULE, now);
        assert_eq!(health.standing(now + 100 * SECOND), Standing::Resting);
    }

    #[test]
    fn sessions_that_fail_side_by_side_are_one_failure() {
        let (health, begun) = health();
        begin(&health, begun).opened();
        let trials: Vec<_> = (0..4).map(|_| begin(&health, begun)).collect();
        for (n, trial) in (1..).zip(trials) {
            trial.failed(reason(), &SCHEDULE, begun + n * SECOND);
        }
        assert_eq!(health.standing(begun + 70 * SECOND), Standing::Open);
    }

    #[test]
    fn new_mail_shortens_the_rest_to_one_pause_and_no_further() {
        let (health, now) = health();
        for _ in 0..9 {
            health.failed(reason(), &SCHEDULE, now, now);
        }
        health.new_mail(SCHEDULE.pause);
        assert_eq!(health.standing(now + 59 * SECOND), Standing::Resting);
        assert_eq!(health.standing(now + 60 * SECOND), Standing::Open);
    }

    #[test]
    fn one_message_that_breaks_its_sessions_does_not_make_the_remote_unwell() {
        let (health, now) = health();
        health.broke(reason(), &SCHEDULE, now);
        health.answered();
        for _ in 0..BROKEN_LIMIT {
            begin(&health, now).opened();
            assert_eq!(health.standing(now), Standing::Open);
            health.broke(reason(), &SCHEDULE, now);
        }
        assert_eq!(health.standing(now), Standing::Resting);
    }

    #[test]
    fn the_first_session_is_opened_alone_and_after_a_while_others_need_not_wait_for_it() {
        let (health, now) = health();
        let trial = begin(&health, now);
        assert!(matches!(health.begin(false, now), Opening::Wait(_)));
        assert_eq!(health.standing(now), Standing::Trying);
        assert_eq!(health.standing(now + PATIENCE), Standing::Resting);
        trial.opened();
        let _side_by_side = [begin(&health, now), begin(&health, now)];
        assert!(matches!(health.begin(true, now), Opening::Go(_)));
    }

    #[test]
    fn a_login_is_tried_by_one_session_at_a_time_even_where_the_remote_is_well() {
        let (health, now) = health();
        begin(&health, now).opened();
        let Opening::Go(trial) = health.begin(true, now) else { panic!() };
        assert!(matches!(health.begin(true, now), Opening::Wait(_)));
        drop(trial);
        assert!(matches!(health.begin(true, now), Opening::Go(_)));
    }

    #[test]
    fn a_trial_that_is_dropped_or_ends_crowded_leaves_the_remote_as_it_was() {
        let (health, now) = health();
        begin(&health, now).failed(reason(), &SCHEDULE, now);
        health.flush(now);
        let before = health.rests_until();
        for crowded in [true, false] {
            let trial = begin(&health, now);
            assert_eq!(health.standing(now), Standing::Resting);
            assert!(matches!(health.begin(false, now), Opening::No(_)));
            if crowded {
                trial.crowded();
            }
        }
        assert_eq!((health.standing(now), health.rests_until()), (Standing::Open, before));
        assert!(begin(&health, now).opened() && !begin(&health, now).opened());
    }
}
