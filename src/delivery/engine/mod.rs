//! The loop: wakes, takes what is due, and lets so many deliveries run side by side.

mod deliver;
mod learn;
#[cfg(test)]
mod tests;
mod timers;
mod turns;
mod wakes;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use self::deliver::{Finished, Note};
pub(crate) use self::wakes::{Query, RemoteStatus, Status, Wake};
use super::outcome::{Bouncer, Leave};
use super::queue::{Arrivals, Index, hash};
use super::remote::{Plan, Route, Sites, Stir};
use crate::config::Control;
use crate::log::{Clock, Log};
use crate::spool::{self, Lock, OddName, Spool};
use crate::submit::Submitter;
use crate::transport::Reach;

/// Delivers a queue. One at a time per spool: it holds its lock.
pub(crate) struct Engine {
    lock: Lock,
    /// Why nothing is begun any more: another daemon may be at work.
    lost: Option<spool::Error>,
    core: Rc<Core>,
    plan: Option<Rc<Plan>>,
    sites: Sites,
    stir: Stir,
    /// Makes jitter this machine's own.
    salt: u64,
    reach: Reach,
    index: Index<Note>,
    running: JoinSet<Option<Finished>>,
    /// Sessions that say goodbye.
    closing: JoinSet<()>,
    /// Deliveries go on, and "Starting delivery" was logged for them.
    passing: bool,
    ends: Ends,
    /// Names that appear in the queue are told by [`Wake::Appeared`].
    watched: bool,
    /// Something came or became due since the configuration was last read.
    stale: bool,
    /// Set where the queue could not be read: when to try again.
    rescan_by: Option<Instant>,
    arrivals: Arrivals,
    /// Names that no message can have, of which was told.
    odd: BTreeSet<OddName>,
    /// When to look for mail that grew too old while it waited for its turn.
    next_sweep: Option<Instant>,
    next_tidying: Instant,
    /// When to look again for what lies in `failed/` too long.
    next_cleaning: Instant,
    /// Set when we were told to stop: what still runs then is let go.
    stop_by: Option<Instant>,
    /// What was wrong with lines of `remotes` when they were last read.
    wrong: Vec<String>,
    /// Set while the configuration cannot be used: when to look again.
    look_again: Option<Instant>,
}

/// What every delivery uses.
struct Core {
    spool: Spool,
    log: Log,
    bouncer: Bouncer,
    clock: Clock,
    control: Control,
    kernel_name: Option<String>,
    protocols: PathBuf,
    leave: Leave,
    /// Names that we have made in the queue ourselves.
    renamed: RefCell<Vec<OsString>>,
}

/// When [`Engine::run`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Stopped,
    /// `pausetime` is zero: everything is tried once.
    Tried,
    /// Nothing is due.
    Idle,
}

/// How long a broken configuration, or a message we could not read, rests.
const REST: Duration = Duration::from_secs(60);
/// So many journals are read at once, which takes a millisecond.
const JOURNALS: usize = 100;
/// What runs when we are told to stop has this long to end.
const GRACE: Duration = Duration::from_secs(7);

impl Engine {
    pub(crate) fn new(
        lock: Lock,
        log: Log,
        submitter: Submitter,
        clock: Clock,
        zone: TimeZone,
    ) -> Self {
        let spool = lock.spool().clone();
        let salt = hash(submitter.kernel_name.as_deref().unwrap_or_default().as_bytes())
            ^ u64::from(submitter.stamp.pid)
            ^ submitter.stamp.seconds << 32;
        let core = Core {
            control: submitter.directories.control(),
            kernel_name: submitter.kernel_name.clone(),
            protocols: submitter.directories.protocols.clone(),
            bouncer: Bouncer::new(spool.clone(), submitter, clock, zone),
            spool,
            log,
            clock,
            leave: Leave::default(),
            renamed: RefCell::default(),
        };
        Self {
            lock,
            lost: None,
            core: Rc::new(core),
            plan: None,
            sites: Sites::default(),
            stir: Stir::default(),
            salt,
            reach: Reach::default(),
            index: Index::default(),
            running: JoinSet::new(),
            closing: JoinSet::new(),
            passing: false,
            ends: Ends::Stopped,
            watched: false,
            stale: false,
            rescan_by: None,
            arrivals: Arrivals::default(),
            odd: BTreeSet::new(),
            next_sweep: None,
            next_tidying: Instant::now() + Duration::from_secs(3600),
            next_cleaning: Instant::now(),
            stop_by: None,
            wrong: Vec::new(),
            look_again: None,
        }
    }

    /// Promises that every name which appears in the queue from now on comes as a
    /// [`Wake::Appeared`], so that a trigger costs no look at the whole queue.
    pub(crate) fn is_watched(&mut self) {
        self.watched = true;
    }

    /// Says what the sandbox, which was closed before, leaves to remotes.
    pub(crate) fn is_confined(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// Ends [`Engine::run`] as soon as nothing is due: for a run without a daemon.
    pub(crate) fn end_when_idle(&mut self) {
        self.ends = Ends::Idle;
    }

    /// Delivers until told to stop, or in one-shot mode until everything was tried once.
    ///
    /// Must run inside a `LocalSet`.
    ///
    /// # Errors
    /// The lock of the spool was lost: what was under way has ended, and nothing else was begun.
    pub(crate) async fn run(mut self, mut wakes: Receiver<Wake>) -> Result<(), spool::Error> {
        for line in self.core.spool.repair(self.now()) {
            self.core.log.repaired(&line);
        }
        self.reload(true);
        self.clean(Instant::now());
        self.rescan();
        self.stale = false;
        self.core.log.ready(self.index.len());
        loop {
            self.start_deliveries();
            let waits = self.index.has_unread() || self.has_a_turn_to_come();
            if self.running.is_empty() && (self.stop_by.is_some() || !waits) {
                if self.ends != Ends::Stopped && self.sweep_at_the_end() {
                    continue;
                }
                self.end_pass();
                if self.stop_by.is_some() || self.ends != Ends::Stopped {
                    break;
                }
            }
            if self.stop_by.is_some_and(|by| by <= Instant::now()) {
                break;
            }
            let timer = self.next_timer();
            let at = timer.map_or_else(Instant::now, |(at, _)| at);
            let stir = self.stir.clone();
            tokio::select! {
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    // A delivery that panicked ends the process: panics abort.
                    if let Ok(Some(finished)) = done {
                        self.finish(finished);
                    }
                }
                wake = wakes.recv() => {
                    self.wake(wake.unwrap_or(Wake::Stop));
                }
                () = sleep_until(at), if timer.is_some() => {
                    if let Some((_, timer)) = timer {
                        self.fire(timer);
                    }
                }
                () = stir.notified() => {}
                Some(_) = self.closing.join_next(), if !self.closing.is_empty() => {}
                () = yield_now(), if self.index.has_unread() => self.read_journals(JOURNALS),
            }
        }
        self.wind_down().await
    }

    fn now(&self) -> i64 {
        (self.core.clock)().unix()
    }

    fn routes(&self) -> impl Iterator<Item = &Rc<Route>> {
        self.plan.iter().flat_map(|plan| plan.routes.iter())
    }

    /// Says goodbye to servers: where a session was idle too long by `now`, or everywhere.
    fn close_idle(&mut self, now: Option<Instant>) {
        let Some(plan) = self.plan.clone() else { return };
        for (slot, session) in plan.routes.iter().flat_map(|route| route.take_idle(now)) {
            self.closing.spawn_local(slot.close(session));
        }
    }

    /// Uses another configuration, or none, for whatever begins from now on. What is under way ends
    /// under the one it began with.
    fn follow(&mut self, plan: Option<Plan>) {
        let next = plan.map(Rc::new);
        if let Some(before) = std::mem::replace(&mut self.plan, next.clone()) {
            for (slot, session) in before.retire(next.as_deref()) {
                self.closing.spawn_local(slot.close(session));
            }
        }
    }

    /// Lets go of what still runs, says goodbye to the servers, and writes down what is still owed.
    async fn wind_down(mut self) -> Result<(), spool::Error> {
        self.core.log.stopped(self.index.len());
        self.core.leave.take();
        while let Some(done) = self.running.join_next().await {
            if let Ok(Some(finished)) = done {
                self.finish(finished);
            }
        }
        self.close_idle(None);
        for (id, note) in self.index.take_notes() {
            deliver::leave(&self.core, &id, *note);
        }
        while self.closing.join_next().await.is_some() {}
        self.lost.map_or(Ok(()), Err)
    }
}
