//! The loop: wakes, takes what is due, and lets so many deliveries run side by side.

mod learn;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use self::learn::seed;
use super::arrivals::Arrivals;
use super::attempt::{Attempt, attempt};
use super::bounce::Bouncer;
use super::index::Index;
use super::ledger::Ledger;
use super::plan::Plan;
use super::settle::{Next, Settler};
use super::width::Width;
use crate::config::Control;
use crate::log::{Clock, Log};
use crate::spool::{QueueId, Spool, Unusable};
use crate::submit::Submitter;
use crate::transport::Reach;

/// What wakes the engine from outside.
#[derive(Clone, Debug)]
pub(crate) enum Wake {
    /// The trigger was pulled: there is new mail.
    NewMail,
    /// These names have appeared in the queue: messages, what may become one, and what somebody
    /// is writing.
    Appeared { whole: Vec<OsString>, made: Vec<OsString>, written: Vec<OsString> },
    /// The queue is to be read: more has appeared than can be told.
    Rescan,
    /// Nobody tells any more what appears in the queue.
    Unwatched,
    /// Everything is to be tried now.
    Flush,
    /// The configuration is to be read again.
    Reload,
    /// Finish what runs and end.
    Stop,
}

/// Delivers a queue. One at a time per spool: the caller holds its lock.
pub(crate) struct Engine {
    core: Rc<Core>,
    plan: Option<Rc<Plan>>,
    reach: Reach,
    index: Index,
    width: Width,
    running: JoinSet<Finished>,
    /// Sessions that say goodbye.
    closing: JoinSet<()>,
    /// Deliveries go on, and "Starting delivery" was logged for them.
    passing: bool,
    ends: Ends,
    /// Names that appear in the queue are told by [`Wake::Appeared`].
    watched: bool,
    /// Set where the queue could not be read: when to try again.
    rescan_by: Option<Instant>,
    arrivals: Arrivals,
    /// When to look again for mail that grew too old while no remote could be tried.
    next_sweep: Instant,
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
    /// Attempts whose outcome could not be written down. Only the writing is tried again: who was
    /// served must not be served once more.
    owed: RefCell<HashMap<QueueId, Attempt>>,
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

struct Finished {
    id: QueueId,
    next: Result<Next, String>,
    took: Duration,
}

/// How long a broken configuration, or a message we could not read, rests.
const REST: Duration = Duration::from_secs(60);
/// So many overdue messages are seen to at once.
const SWEEP: usize = 50;
/// So many journals are read at once, which takes a millisecond.
const JOURNALS: usize = 100;
/// `failed/` is looked through this often.
const CLEANING: Duration = Duration::from_secs(3600);
/// What runs when we are told to stop has this long to end.
const GRACE: Duration = Duration::from_secs(7);

impl Engine {
    pub(crate) fn new(
        spool: Spool,
        log: Log,
        submitter: Submitter,
        clock: Clock,
        zone: TimeZone,
    ) -> Self {
        let core = Core {
            control: submitter.directories.control(),
            kernel_name: submitter.kernel_name.clone(),
            protocols: submitter.directories.protocols.clone(),
            bouncer: Bouncer::new(spool.clone(), submitter, clock, zone),
            spool,
            log,
            clock,
            owed: RefCell::default(),
        };
        Self {
            core: Rc::new(core),
            plan: None,
            reach: Reach::default(),
            index: Index::default(),
            width: Width::new(Instant::now()),
            running: JoinSet::new(),
            closing: JoinSet::new(),
            passing: false,
            ends: Ends::Stopped,
            watched: false,
            rescan_by: None,
            arrivals: Arrivals::default(),
            next_sweep: Instant::now(),
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
    pub(crate) async fn run(mut self, mut wakes: Receiver<Wake>) {
        for line in self.core.spool.repair(self.now()) {
            self.core.log.repaired(&line);
        }
        self.reload(true);
        self.clean(Instant::now());
        self.rescan();
        self.core.log.ready(self.index.len());
        loop {
            self.start_deliveries();
            if self.running.is_empty() && (self.stop_by.is_some() || !self.index.has_unread()) {
                self.end_pass();
                if self.stop_by.is_some() || self.ends != Ends::Stopped {
                    break;
                }
            }
            if self.stop_by.is_some_and(|by| by <= Instant::now()) {
                break;
            }
            let wait = self.next_wake();
            tokio::select! {
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    // A delivery that panicked ends the process: panics abort.
                    if let Ok(finished) = done {
                        self.finish(finished);
                    }
                }
                wake = wakes.recv() => {
                    self.wake(wake.unwrap_or(Wake::Stop));
                }
                () = sleep_until(wait.unwrap_or_else(Instant::now)), if wait.is_some() => {
                    self.on_time();
                }
                () = yield_now(), if self.index.has_unread() => self.read_journals(JOURNALS),
            }
        }
        self.wind_down().await;
    }

    fn now(&self) -> i64 {
        (self.core.clock)().unix()
    }

    fn wake(&mut self, wake: Wake) {
        let now = Instant::now();
        match wake {
            Wake::NewMail => {
                self.core.log.trigger_pulled();
                self.new_mail();
                if self.watched {
                    self.arrivals.pull(now);
                    self.take_arrivals(now);
                } else {
                    self.rescan();
                }
            }
            Wake::Appeared { whole, made, written } => {
                self.arrivals.add(made, &written, now);
                if !whole.is_empty() {
                    self.new_mail();
                    self.appeared(&whole);
                }
            }
            Wake::Rescan => self.rescan(),
            Wake::Unwatched => {
                self.watched = false;
                self.rescan();
            }
            Wake::Flush => {
                self.read_journals(usize::MAX);
                self.index.flush();
                self.reload(false);
                self.rescan();
                if let Some(plan) = &self.plan {
                    for route in &plan.routes {
                        route.health.borrow_mut().flush(now);
                    }
                }
            }
            Wake::Reload => {
                self.core.log.reloading();
                self.reload(true);
                self.core.log.ready(self.index.len());
            }
            Wake::Stop => {
                self.core.log.stopping();
                self.stop_by.get_or_insert(now + GRACE);
            }
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        self.close_idle(Some(now));
        if self.arrivals.due().is_some_and(|due| due <= now) {
            self.new_mail();
            self.take_arrivals(now);
        }
        while self.closing.try_join_next().is_some() {}
        self.clean(now);
        let due = self.index.next_due().is_some_and(|due| due <= now)
            || self.look_again.is_some_and(|again| again <= now)
            || self.passing_blocked(now);
        if self.rescan_by.is_some_and(|by| by <= now) {
            self.rescan();
        }
        if due && !self.passing {
            self.refresh();
        } else if self.look_again.is_some_and(|again| again <= now) {
            self.reload(false);
        }
    }

    fn take_arrivals(&mut self, now: Instant) {
        let whole = self.arrivals.take(now, |name| self.core.spool.is_begun(name));
        self.appeared(&whole);
    }

    fn clean(&mut self, now: Instant) {
        let lifetime = self.plan.as_ref().and_then(|plan| plan.settings.failed_lifetime);
        let Some(lifetime) = lifetime.filter(|_| self.next_cleaning <= now) else { return };
        self.next_cleaning = now + CLEANING;
        let removed = self.core.spool.expire_failed(lifetime.as_secs(), self.now());
        if removed > 0 {
            self.core.log.expired(removed);
        }
    }

    /// Mail waits, nothing runs, and a remote may be tried again.
    fn passing_blocked(&self, now: Instant) -> bool {
        self.index.backlog() > 0 && self.plan.as_ref().is_some_and(|plan| plan.is_open(now))
    }

    fn start_deliveries(&mut self) {
        let now = Instant::now();
        self.index.wake(now);
        let Some(plan) = self.plan.clone().filter(|plan| !plan.routes.is_empty()) else { return };
        if self.stop_by.is_some() {
            return;
        }
        if self.running.is_empty() {
            self.width.rest(now);
        }
        plan.widen(now);
        while plan.is_open(now) {
            let allowed = self.width.allowed(self.index.backlog(), plan.limit(), now);
            if self.running.len() >= allowed {
                return;
            }
            let Some(id) = self.index.take(now) else { return };
            self.start(&plan, id, now);
        }
        self.sweep(&plan, now);
    }

    /// While no remote can be tried, mail still grows old: what has to be said of that is said by
    /// an attempt that finds no remote.
    fn sweep(&mut self, plan: &Rc<Plan>, now: Instant) {
        if self.next_sweep > now || !self.may_sweep(plan) {
            return;
        }
        let (lifetime, warning) = (plan.settings.lifetime, plan.settings.delay_warning);
        let overdue = self.index.overdue(lifetime, warning, SWEEP, now);
        if overdue.len() < SWEEP {
            self.next_sweep = now + REST;
        }
        for id in overdue {
            if self.index.take_this(&id) {
                self.start(plan, id, now);
            }
        }
    }

    /// While something runs, a sweep waits for what comes of it.
    fn may_sweep(&self, plan: &Plan) -> bool {
        self.index.backlog() > 0 && !plan.routes.is_empty() && self.running.is_empty()
    }

    fn start(&mut self, plan: &Rc<Plan>, id: QueueId, now: Instant) {
        if !self.passing {
            self.passing = true;
            self.core.log.starting(self.index.len());
        }
        let age = self.index.age(&id, now);
        let (core, plan) = (Rc::clone(&self.core), Rc::clone(plan));
        self.running.spawn_local(async move {
            let next = deliver(&core, &plan, &id, age).await;
            Finished { id, next, took: now.elapsed() }
        });
    }

    fn finish(&mut self, finished: Finished) {
        let (id, now) = (&finished.id, Instant::now());
        self.width.done(finished.took, now);
        match finished.next {
            Ok(Next::Gone) => self.index.forget(id),
            Ok(Next::PutBack) => self.index.put_back(id),
            Ok(Next::Later { failures }) => {
                let pause = |plan: &Rc<Plan>| plan.schedule.pause_after(failures, seed(id));
                let wait = self.plan.as_ref().map_or(REST, pause);
                self.index.defer(id, wait, now);
            }
            Err(error) => {
                self.core.log.trouble(Some(id), &error);
                self.index.defer(id, REST, now);
            }
        }
    }

    fn end_pass(&mut self) {
        if self.passing {
            self.passing = false;
            self.core.log.complete(self.index.len());
        }
    }

    /// When there is something to do although nobody wakes us.
    fn next_wake(&self) -> Option<Instant> {
        if self.stop_by.is_some() {
            return self.stop_by;
        }
        let now = Instant::now();
        let plan = self.plan.as_ref();
        let backlog = self.index.backlog();
        let times = [
            self.look_again,
            self.rescan_by,
            self.arrivals.due(),
            self.index.next_due(),
            plan.and_then(|plan| plan.next_close()),
            plan.filter(|plan| self.may_sweep(plan) && !plan.is_open(now)).map(|_| self.next_sweep),
            plan.and_then(|plan| plan.settings.failed_lifetime).map(|_| self.next_cleaning),
            plan.filter(|_| backlog > 0).and_then(|plan| plan.next_try(now)),
            plan.filter(|plan| !self.running.is_empty() && plan.is_open(now))
                .and_then(|plan| self.width.next_look(backlog, plan.limit())),
        ];
        times.into_iter().flatten().min()
    }

    /// Says goodbye to servers: where a session was idle too long by `now`, or everywhere.
    fn close_idle(&mut self, now: Option<Instant>) {
        if let Some(plan) = &self.plan {
            for (slot, session) in plan.routes.iter().flat_map(|route| route.pool.take_idle(now)) {
                self.closing.spawn_local(slot.close(session));
            }
        }
    }

    /// Lets go of what still runs, and says goodbye to the servers.
    async fn wind_down(mut self) {
        self.core.log.stopped(self.index.len());
        self.running.abort_all();
        self.close_idle(None);
        while self.closing.join_next().await.is_some() {}
    }
}

/// One message, from its file to what follows.
async fn deliver(core: &Core, plan: &Plan, id: &QueueId, age: Duration) -> Result<Next, String> {
    let entry = match core.spool.entry(id) {
        Ok(entry) => entry,
        Err(Unusable::Gone) => return Ok(Next::Gone),
        Err(Unusable::Error(error)) => return Err(error.to_string()),
        Err(why @ Unusable::Malformed(_)) => {
            core.log.unusable(id, &why);
            core.spool.set_aside(id).map_err(|error| error.to_string())?;
            return Ok(Next::Gone);
        }
    };
    let time = (core.clock)().unix();
    let owed = core.owed.borrow_mut().remove(id);
    let mut attempt = if let Some(owed) = owed {
        owed
    } else {
        // What cannot be removed would be sent again and again.
        core.spool.check_writable().map_err(|error| error.to_string())?;
        let ledger = Ledger::new(&core.spool, &core.log, &entry, time);
        attempt(plan, &core.log, &entry, entry.pending(), age, &ledger).await
    };
    let settler = Settler { plan, log: &core.log, spool: &core.spool, bouncer: &core.bouncer };
    settler.settle(&entry, &mut attempt, time, age).map_err(|error| {
        core.owed.borrow_mut().insert(id.clone(), attempt);
        error.to_string()
    })
}
