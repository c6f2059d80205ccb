//! What the engine learns between deliveries: the configuration, and which messages there are.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::plan::Plan;
use super::{Ends, Engine, REST};
use crate::config::{Settings, exposed};
use crate::spool::{QueueId, Waiting};
use crate::transport::Dialer;

impl Engine {
    /// nullmailer: new mail starts the pause anew.
    pub(super) fn new_mail(&mut self) {
        if !self.passing {
            self.reload(false);
        }
        if let Some(plan) = &self.plan {
            for route in &plan.routes {
                route.health.borrow_mut().new_mail(plan.settings.pause);
            }
        }
    }

    /// nullmailer: the control files are read again each time the queue is run.
    pub(super) fn refresh(&mut self) {
        self.reload(false);
        // Where every new name is told, the queue holds no surprise.
        if !self.watched {
            self.rescan();
        }
    }

    /// Reads the configuration. What is known of the remotes stays as long as it stays the same.
    pub(super) fn reload(&mut self, say: bool) {
        self.look_again = None;
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
                self.close_idle(None);
                self.plan = None;
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
            self.close_idle(None);
            self.plan = Some(Rc::new(Plan::new(settings, dialer)));
        }
    }

    /// Learns of messages by their names.
    pub(super) fn appeared(&mut self, names: &[OsString]) {
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
        if !found.is_empty() {
            self.learn(found);
        }
    }

    /// Puts new messages into the index: due at once, unless they were tried before we came.
    fn learn(&mut self, found: Vec<Waiting>) {
        let (now, time) = (Instant::now(), self.now());
        self.index.reserve(found.len(), found.iter().filter(|waiting| waiting.tried).count());
        for waiting in found {
            let age = time.saturating_sub(waiting.arrival);
            let age = Duration::from_secs(age.try_into().unwrap_or(0));
            self.index.learn(waiting.id, age, waiting.tried, now);
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
                let pause = plan.schedule.pause_after(history.attempts, seed(id));
                let since = u64::try_from(time.saturating_sub(last)).unwrap_or(0);
                pause.saturating_sub(Duration::from_secs(since))
            }
            _ => Duration::ZERO,
        }
    }
}

/// A number that stays with the message, for its jitter.
pub(super) fn seed(id: &QueueId) -> u64 {
    // FNV-1a.
    id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{self, Write};

    use jiff::tz::TimeZone;
    use tokio::runtime::Builder;
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;
    use crate::config::Directories;
    use crate::log::{Addresses, Format, Log, Manager, Sink};
    use crate::mail::Moment;
    use crate::role::Privilege;
    use crate::spool::{Spool, Stamp};
    use crate::submit::Submitter;

    #[derive(Clone, Default)]
    struct Lines(Rc<RefCell<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// How often the queue was read in ten minutes in which nobody said anything.
    fn scans(watched: bool) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let prefix = ("NULLMAILER_TEST_PREFIX".into(), dir.path().into());
        let directories = Directories::find(Privilege::None, [prefix]);
        std::fs::create_dir(&directories.config).unwrap();
        std::fs::write(directories.config.join("me"), "f.q.d.n").unwrap();
        std::fs::write(directories.config.join("remotes"), "relay.example").unwrap();
        let spool = Spool::open(&directories.spool).unwrap();
        let clock = || Moment { seconds: 1, micros: 2, pid: 3 };
        let lines = Lines::default();
        let log = Log {
            sink: Sink::Stream(RefCell::new(Box::new(lines.clone()))),
            format: Format::default(),
            addresses: Addresses::default(),
            salt: std::hash::RandomState::new(),
            clock,
            manager: Manager::default(),
        };
        let stamp = Stamp { seconds: 1, pid: 3 };
        let submitter =
            Submitter { directories, kernel_name: None, stamp, uid: 0, queue_program: None };
        let mut engine = Engine::new(spool, log, submitter, clock, TimeZone::UTC);
        if watched {
            engine.is_watched();
        }
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (wakes, inbox) = mpsc::channel(1);
            let running = tokio::task::spawn_local(engine.run(inbox));
            sleep(Duration::from_secs(605)).await;
            drop(wakes);
            running.await.unwrap();
        });
        let text = String::from_utf8(lines.0.take()).unwrap();
        text.matches("Rescanning queue.").count()
    }

    #[test]
    fn where_names_are_not_told_the_queue_is_read_each_minute() {
        assert_eq!((scans(true), scans(false)), (1, 11));
    }
}
