//! What the engine learns between deliveries: the configuration, and which messages there are.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tokio::time::Instant;

use super::deliver::Note;
use super::{Ends, Engine, REST};
use crate::config::{Settings, exposed};
use crate::delivery::queue::{Lane, QUIET};
use crate::delivery::remote::Plan;
use crate::spool::{Found, OddName, QueueId, Waiting};
use crate::transport::Dialer;

/// So many names that no message can have are told of; whoever mends those hears of the rest at the next start.
const ODD: usize = 100;

impl Engine {
    /// nullmailer: new mail starts the pause anew, and has the control files read again.
    pub(super) fn new_mail(&mut self) {
        self.stale = true;
        if let Some(plan) = &self.plan {
            plan.routes.iter().for_each(|route| route.health.new_mail(plan.schedule.pause));
        }
    }

    /// Reads the configuration. What is known of a remote stays as long as its line stays the same.
    pub(super) fn reload(&mut self, say: bool) {
        (self.look_again, self.stale) = (None, false);
        let read = Settings::read(&self.core.control, self.core.kernel_name.as_deref());
        if self.ends != Ends::Idle {
            let one_shot = match &read {
                Ok((settings, _)) => settings.is_one_shot(),
                Err(_) => {
                    self.core.control.duration("pausetime").ok() == Some(Some(Duration::ZERO))
                }
            };
            self.ends = if one_shot { Ends::Tried } else { Ends::Stopped };
        }
        let (settings, wrong) = match read {
            Ok(read) => read,
            Err(error) => {
                self.core.log.config_error(&error);
                self.follow(None);
                self.look_again = Some(Instant::now() + REST);
                return;
            }
        };
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        let changed = self.plan.as_ref().is_none_or(|plan| plan.settings != settings);
        if say || changed || wrong != self.wrong {
            for error in &wrong {
                self.core.log.config_error(error);
            }
        }
        self.wrong = wrong;
        if settings.remotes.is_empty() {
            self.core.log.no_remotes();
            self.look_again = Some(Instant::now() + REST);
        } else if changed || say {
            self.core.log.configured(&settings.remotes);
            for line in exposed(&self.core.control, &settings.remotes) {
                self.core.log.caution(&line);
            }
        }
        if changed {
            let dialer = Dialer::new(settings.helo.clone(), self.core.protocols.clone())
                .within(self.reach.clone());
            let before = self.plan.clone();
            let limit = |plan: &Plan| plan.settings.bounce_limit;
            let more_room =
                before.as_deref().is_some_and(|plan| settings.bounce_limit > limit(plan));
            let (sites, stir) = (&mut self.sites, &self.stir);
            let plan = Plan::new(settings, dialer, before.as_deref(), sites, stir, self.salt);
            self.follow(Some(plan));
            if more_room {
                self.index.hurry(Note::is_owed);
            }
        }
    }

    /// Learns of messages by their names.
    pub(super) fn appeared(&mut self, names: &[OsString]) {
        self.pass_over(names.iter().filter_map(|name| OddName::parse(name)));
        let ids = names.iter().filter_map(|name| QueueId::parse(name));
        let new = ids.filter(|id| !self.index.knows(id));
        let found = new.filter_map(|id| self.core.spool.stat(id)).collect();
        self.learn(found);
    }

    /// Learns of messages that came since.
    pub(super) fn rescan(&mut self) {
        self.core.log.rescanning();
        // Where names are not told, a trigger that was not heard must not be the end of it.
        let alone = !self.watched && self.ends == Ends::Stopped;
        self.rescan_by = alone.then(|| Instant::now() + REST);
        let found = match self.core.spool.scan(|id| self.index.knows(id)) {
            Ok(found) => found,
            Err(error) => {
                self.core.log.trouble(None, &error);
                self.rescan_by = Some(Instant::now() + REST);
                return;
            }
        };
        let Found { mut waiting, odd } = found;
        self.pass_over(odd);
        waiting.retain(|one| !self.is_being_written(one));
        if !waiting.is_empty() {
            self.learn(waiting);
        }
    }

    /// It was written a moment ago.
    fn is_fresh(&self, found: &Waiting) -> bool {
        let age = u64::try_from(self.now().saturating_sub(found.arrival)).unwrap_or(0);
        age <= QUIET.as_secs()
    }

    /// Whether a file that waited is empty, or grows.
    pub(super) fn is_begun(&self, name: &OsStr) -> bool {
        let found = QueueId::parse(name).and_then(|id| self.core.spool.stat(id));
        found.is_some_and(|found| found.is_empty || found.may_grow && self.is_fresh(&found))
    }

    /// What somebody may still be writing is taken when it was left alone for a while, or its writer has closed it. A run
    /// that ends when everything was tried takes what there is.
    fn is_being_written(&mut self, found: &Waiting) -> bool {
        let name = OsStr::new(found.id.as_str());
        let is_new = self.arrivals.has(name) || self.is_fresh(found);
        let waits = self.ends == Ends::Stopped && found.may_grow && is_new;
        if waits {
            self.arrivals.wait(name.to_owned(), Instant::now());
        } else {
            self.arrivals.remove(name);
        }
        waits
    }

    /// Says of names that no message can have that what has them stays where it is: once, of so many.
    fn pass_over(&mut self, odd: impl IntoIterator<Item = OddName>) {
        for name in odd {
            if self.odd.len() < ODD && !self.odd.contains(&name) {
                self.core.log.trouble(None, &format_args!("cannot deliver {name}"));
                self.odd.insert(name);
            }
        }
    }

    /// Puts new messages into the index: due at once, unless they were tried before we came.
    fn learn(&mut self, found: Vec<Waiting>) {
        let (now, time) = (Instant::now(), self.now());
        // However it was found, it goes by what the control files say now.
        self.stale |= !found.is_empty();
        // Every message may take every remote.
        let lane = Lane::default();
        self.index.reserve(lane, found.len(), found.iter().filter(|one| one.tried).count());
        for waiting in found {
            let age = time.saturating_sub(waiting.arrival);
            let age = Duration::from_secs(age.try_into().unwrap_or(0));
            self.sweep_by(age, now);
            self.index.learn(waiting.id, lane, age, waiting.tried, now);
        }
    }

    /// Reads the journals of some messages that were tried before we came. What is due of them, and
    /// new mail, does not wait for the rest.
    pub(super) fn read_journals(&mut self, most: usize) {
        let (now, time) = (Instant::now(), self.now());
        for _ in 0..most {
            let Some(id) = self.index.next_unread() else { break };
            let wait = self.remaining_pause(&id, time);
            self.index.defer(&id, wait, now);
        }
    }

    /// How much of its pause a message still has to wait that was tried before we came.
    fn remaining_pause(&self, id: &QueueId, time: i64) -> Duration {
        let Some(plan) = self.plan.as_ref().filter(|plan| !plan.settings.is_one_shot()) else {
            return Duration::ZERO;
        };
        let Ok(history) = self.core.spool.history(id) else { return Duration::ZERO };
        if history.ignored > 0 {
            let lines = history.ignored;
            let flaw = format_args!("{lines} line(s) of its journal make no sense");
            self.core.log.trouble(Some(id), &flaw);
        }
        match history.last_attempt {
            // A clock that went back must not make it wait longer than its pause.
            Some(last) if history.attempts > 0 => {
                let pause = plan.schedule.pause_after(history.attempts, id.as_str());
                let since = u64::try_from(time.saturating_sub(last)).unwrap_or(0);
                pause.saturating_sub(Duration::from_secs(since))
            }
            _ => Duration::ZERO,
        }
    }
}
