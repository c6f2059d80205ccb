//! Whose turn it is: messages are taken while their remotes admit one more, and come back when they are
//! done with.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::deliver::{Errand, Finished, Note, deliver};
use super::{Ends, Engine, REST};
use crate::delivery::outcome::{Beside, Next};
use crate::delivery::queue::Taken;
use crate::delivery::remote::{Plan, Route};
use crate::spool::QueueId;

/// So many overdue messages are seen to at once.
const SWEEP: usize = 50;
/// What is overdue may still have its turn for this long.
const LENIENCE: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn start_deliveries(&mut self) {
        let now = Instant::now();
        if self.index.wake(now) {
            self.became_due(now);
        }
        if self.stop_by.is_some() {
            return;
        }
        if self.stale && self.index.has_backlog() {
            self.reload(false);
        }
        let Some(plan) = self.plan.clone() else { return };
        plan.routes.iter().for_each(|route| route.widen(now));
        for lane in plan.lanes() {
            while let Some(route) = plan.target(lane, now)
                && route.admits(self.index.backlog(lane), now)
                && self.is_alone()
                && let Some(taken) = self.index.take(lane)
            {
                self.start(&plan, route, taken, now);
            }
        }
    }

    /// Messages wait for nothing but their turn (`ratelimit`): all that runs may have ended, and the pass has not.
    pub(super) fn has_a_turn_to_come(&self) -> bool {
        let now = Instant::now();
        self.plan.as_ref().is_some_and(|plan| {
            plan.lanes().any(|lane| {
                self.index.backlog(lane) > 0
                    && plan.target(lane, now).is_some_and(|route| route.is_paced(now))
            })
        })
    }

    fn start(&mut self, plan: &Rc<Plan>, route: &Rc<Route>, taken: Taken<Note>, now: Instant) {
        self.begin_pass();
        let errand = Errand { taken, underway: Some(route.set_out(now)) };
        let (core, plan, route) = (Rc::clone(&self.core), Rc::clone(plan), Rc::clone(route));
        self.running.spawn_local(async move {
            let finished = deliver(&core, &plan, errand).await;
            let ended = Instant::now();
            route.done(ended - now, ended);
            finished
        });
    }

    /// While a message waits for its turn it still grows old: what has to be said of that needs no
    /// remote, and no turn.
    pub(super) fn sweep(&mut self, now: Instant) {
        if !self.is_alone() {
            return;
        }
        let Some(plan) = self.plan.clone() else {
            self.next_sweep = Some(now + REST);
            return;
        };
        let warning = plan.settings.delay_warning;
        let lifetime = plan.settings.lifetime.saturating_add(LENIENCE);
        let is_served = |lane| plan.target(lane, now).is_some();
        let (overdue, next) = self.index.overdue(lifetime, warning, SWEEP, is_served, now);
        self.next_sweep = if overdue.len() == SWEEP {
            Some(now)
        } else {
            // Those whose warning was given, and who were too young to be given up, come once more.
            let next = next.map(|wait| wait.max(Duration::from_secs(1)));
            Some(now + next.map_or(REST, |wait| wait.min(REST)))
        };
        for id in overdue {
            let Some(taken) = self.index.take_this(&id) else { continue };
            self.begin_pass();
            let (core, plan) = (Rc::clone(&self.core), Rc::clone(&plan));
            let errand = Errand { taken, underway: None };
            self.running.spawn_local(async move { deliver(&core, &plan, errand).await });
        }
    }

    /// For a run that ends when everything was tried: true if something was found too old for another.
    pub(super) fn sweep_at_the_end(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.stop_by.is_none() && self.next_sweep.is_some_and(|by| by <= now);
        if is_due && self.index.has_backlog() {
            self.sweep(now);
        }
        !self.running.is_empty()
    }

    /// Messages have become due: nullmailer reads the control files again each time the queue is run.
    pub(super) fn became_due(&mut self, now: Instant) {
        self.stale = true;
        let by = now + LENIENCE;
        self.next_sweep = Some(self.next_sweep.map_or(by, |next| next.min(by)));
    }

    /// Has the sweep come in time for a message of this age.
    pub(super) fn sweep_by(&mut self, age: Duration, now: Instant) {
        let Some(plan) = &self.plan else { return };
        let limit = plan.settings.lifetime.saturating_add(LENIENCE);
        let limit = plan.settings.delay_warning.map_or(limit, |warning| warning.min(limit));
        // One that is too old already may still have its turn for as long as there are sweeps between.
        let wait = limit.saturating_sub(age);
        let comes_late = wait.is_zero() && self.ends == Ends::Stopped;
        let by = now + if comes_late { REST } else { wait.min(REST) };
        self.next_sweep = Some(self.next_sweep.map_or(by, |next| next.min(by)));
    }

    pub(super) fn finish(&mut self, finished: Finished) {
        let Finished { id, next, limit, waited, note, underway } = finished;
        let had_no_turn = underway.is_none();
        drop(underway);
        let now = Instant::now();
        match next {
            Ok(Next::Gone) => {
                self.index.forget(&id);
                // Nobody else may tell of these: what has another name now, and another file that got this
                // one.
                let mut names = self.core.renamed.take();
                names.push(id.as_str().into());
                self.appeared(&names);
            }
            Ok(Next::PutBack) => {
                // It has failed once without a turn; the second time is after a pause, as with one.
                if had_no_turn && self.is_too_old(&id, now) {
                    self.index.spare(&id, now + self.pause(&id, 1, now));
                }
                self.index.put_back(&id);
            }
            Ok(Next::Later { failures, taken }) => {
                let flushed = self.index.take_flushed(&id) && !taken;
                // A report that was owed was no attempt.
                let before = note.and_then(|note| note.again).filter(|before| *before > now);
                let wait = match before {
                    _ if flushed => Duration::ZERO,
                    Some(before) => before - now,
                    None => self.pause(&id, failures, now).saturating_sub(waited),
                };
                self.index.defer(&id, wait, now);
            }
            Ok(Next::Owed { room, beside }) => {
                let raised =
                    self.plan.as_ref().is_some_and(|plan| plan.settings.bounce_limit > limit);
                let room = if raised { now } else { room };
                self.keep_owed(&id, note.unwrap_or_default(), room, beside, now);
            }
            Err(error) => {
                let mut note = note.unwrap_or_default();
                self.complain(&id, error, &mut note);
                self.index.keep(&id, note);
                self.index.defer(&id, REST, now);
            }
        }
    }

    /// Keeps a message whose report is owed until there is room for that, or until the others have their
    /// next turn.
    fn keep_owed(
        &mut self,
        id: &QueueId,
        mut note: Box<Note>,
        room: Instant,
        beside: Beside,
        now: Instant,
    ) {
        let before = note.again.filter(|before| *before > now);
        note.again = match beside {
            Beside::Nobody => None,
            Beside::Later { failures } => {
                before.or_else(|| Some(now + self.pause(id, failures, now)))
            }
            Beside::PutBack => Some(now),
        };
        let due = note.again.map_or(room, |again| again.min(room));
        self.index.keep(id, note);
        if beside == Beside::PutBack {
            self.index.put_back(id);
        } else {
            let wait = due.saturating_duration_since(now).max(Duration::from_secs(1));
            self.index.defer(id, wait, now);
        }
    }

    /// Says what is in the way of a message, once.
    fn complain(&self, id: &QueueId, error: String, note: &mut Note) {
        if note.complaint.as_ref() != Some(&error) {
            self.core.log.trouble(Some(id), &error);
            note.complaint = Some(error);
        }
    }

    /// How long the message waits, but not beyond the moment at which it is too old.
    fn pause(&self, id: &QueueId, failures: u32, now: Instant) -> Duration {
        let Some(plan) = &self.plan else { return REST };
        let pause = plan.schedule.pause_after(failures, id.as_str());
        if plan.settings.is_one_shot() {
            return pause;
        }
        let left = plan.settings.lifetime.saturating_sub(self.index.age(id, now));
        pause.min(left.saturating_add(Duration::from_secs(1))).max(pause.min(plan.schedule.pause))
    }

    /// Whether the spool is still ours to deliver, which is asked before anything is begun. If it is not, what is
    /// under way is the last: another daemon has the queue, and would send all of it too.
    pub(super) fn is_alone(&mut self) -> bool {
        if self.lost.is_none()
            && let Err(error) = self.lock.check()
        {
            self.core.log.trouble(None, &error);
            self.lost = Some(error);
            self.stop();
        }
        self.lost.is_none()
    }

    fn is_too_old(&self, id: &QueueId, now: Instant) -> bool {
        let age = self.index.age(id, now);
        self.plan.as_ref().is_some_and(|plan| plan.schedule.is_too_old(age))
    }

    fn begin_pass(&mut self) {
        if !self.passing {
            self.passing = true;
            self.core.log.starting(self.index.len());
        }
    }

    pub(super) fn end_pass(&mut self) {
        if self.passing {
            self.passing = false;
            self.core.log.complete(self.index.len());
        }
    }
}
