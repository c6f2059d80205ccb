//! What the engine does although nobody wakes it: one table of timers.

use std::time::Duration;

use tokio::time::Instant;

use super::{Ends, Engine};

/// Each has one deadline, and firing it moves that on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// What still runs when we were told to stop is let go.
    Grace,
    /// A message becomes due.
    Due,
    /// A name in the queue counts as a whole message.
    Arrival,
    /// A remote may be tried again, or asked for one session more.
    Remote,
    /// A delivery has hung so long that the next one goes past.
    Concurrency,
    /// A session was idle too long.
    Idle,
    /// A message that waits for its turn is too old, or old enough for a warning.
    Overdue,
    /// The queue could not be read, or nobody tells of what appears in it.
    Rescan,
    /// The configuration could not be used.
    Configuration,
    /// What others left in the spool is put right.
    Tidy,
    /// What lies in `failed/` too long goes.
    Clean,
}

/// The spool is looked through this often for what others left.
const TIDY: Duration = Duration::from_secs(3600);
/// `failed/` is looked through this often.
const CLEANING: Duration = Duration::from_secs(3600);

impl Timer {
    const ALL: [Self; 11] = [
        Self::Grace,
        Self::Due,
        Self::Arrival,
        Self::Remote,
        Self::Concurrency,
        Self::Idle,
        Self::Overdue,
        Self::Rescan,
        Self::Configuration,
        Self::Tidy,
        Self::Clean,
    ];
}

impl Engine {
    /// The timer that fires first, and when.
    pub(super) fn next_timer(&self) -> Option<(Instant, Timer)> {
        let now = Instant::now();
        let times = Timer::ALL.into_iter().filter_map(|timer| {
            let at = self.deadline(timer, now)?;
            Some((at, timer))
        });
        times.min_by_key(|(at, _)| *at)
    }

    fn deadline(&self, timer: Timer, now: Instant) -> Option<Instant> {
        let plan = self.plan.as_ref();
        if self.stop_by.is_some() && timer != Timer::Grace {
            return None;
        }
        match timer {
            Timer::Grace => self.stop_by,
            Timer::Due => self.index.next_due(),
            Timer::Arrival => self.arrivals.due(),
            // One that is past has nothing more to say.
            Timer::Remote => plan
                .filter(|_| self.index.has_backlog())
                .into_iter()
                .flat_map(|plan| plan.routes.iter().flat_map(|route| route.next_change()))
                .flatten()
                .filter(|at| *at > now)
                .min(),
            Timer::Concurrency => {
                let lanes =
                    plan.into_iter().flat_map(|plan| plan.lanes().map(move |lane| (plan, lane)));
                lanes
                    .filter_map(|(plan, lane)| {
                        plan.target(lane, now)?.next_look(self.index.backlog(lane), now)
                    })
                    .min()
            }
            Timer::Idle => plan?.routes.iter().filter_map(|route| route.next_close()).min(),
            Timer::Overdue => self.next_sweep.filter(|_| self.index.has_backlog()),
            Timer::Rescan => self.rescan_by,
            Timer::Configuration => self.look_again,
            Timer::Tidy => Some(self.next_tidying).filter(|_| self.ends == Ends::Stopped),
            Timer::Clean => plan?.settings.failed_lifetime.map(|_| self.next_cleaning),
        }
    }

    pub(super) fn fire(&mut self, timer: Timer) {
        let now = Instant::now();
        match timer {
            Timer::Due => {
                if !self.watched && !self.passing {
                    self.rescan();
                }
                if self.index.wake(now) {
                    self.became_due(now);
                }
            }
            Timer::Arrival => {
                self.new_mail();
                let mut arrivals = std::mem::take(&mut self.arrivals);
                let whole = arrivals.take_due(now, |name| self.is_begun(name));
                self.arrivals = arrivals;
                self.appeared(&whole);
            }
            Timer::Remote => self.stale = true,
            // The loop looks at these by itself.
            Timer::Grace | Timer::Concurrency => {}
            Timer::Idle => self.close_idle(Some(now)),
            Timer::Overdue => self.sweep(now),
            Timer::Rescan => self.rescan(),
            Timer::Configuration => self.reload(false),
            Timer::Tidy | Timer::Clean if !self.is_alone() => {}
            Timer::Tidy => {
                self.next_tidying = now + TIDY;
                for line in self.core.spool.tidy(self.now()) {
                    self.core.log.repaired(&line);
                }
            }
            Timer::Clean => self.clean(now),
        }
    }

    /// Removes what lies in `failed/` too long.
    pub(super) fn clean(&mut self, now: Instant) {
        let lifetime = self.plan.as_ref().and_then(|plan| plan.settings.failed_lifetime);
        let Some(lifetime) = lifetime else { return };
        self.next_cleaning = now + CLEANING;
        let removed = self.core.spool.expire_failed(lifetime.as_secs(), self.now());
        if removed > 0 {
            self.core.log.expired(removed);
        }
    }
}
