//! What reaches the engine from outside, and what it does about it.

use std::ffi::OsString;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Engine, GRACE};
use crate::mail::Reason;

/// What wakes the engine from outside.
#[derive(Debug)]
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
    /// A question. Who no longer waits for the answer gets none.
    Ask(Query, oneshot::Sender<Status>),
    /// Finish what runs and end.
    Stop,
}

/// What the engine can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// How the queue and the remotes stand.
    Status,
}

/// How the queue and the remotes stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Messages that could be tried now.
    pub(crate) due: usize,
    /// Messages that wait for their own clock.
    pub(crate) later: usize,
    /// Messages that are being delivered.
    pub(crate) running: usize,
    pub(crate) remotes: Vec<RemoteStatus>,
}

/// How one remote stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteStatus {
    pub(crate) host: String,
    /// For a remote that is unwell: why, and how long it still rests.
    pub(crate) trouble: Option<(Reason, Duration)>,
}

impl Engine {
    pub(super) fn wake(&mut self, wake: Wake) {
        let now = Instant::now();
        match wake {
            Wake::NewMail => {
                self.core.log.trigger_pulled();
                self.new_mail();
                if self.watched {
                    self.arrivals.pull(now);
                    let spool = &self.core.spool;
                    let whole = self.arrivals.take_all(now, |name| spool.is_being_written(name));
                    self.appeared(&whole);
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
                // Whoever asks for it wants to hear once more what is in the way.
                self.index.notes().for_each(|note| note.complaint = None);
                self.reload(false);
                self.rescan();
                for route in self.routes() {
                    route.health.flush(now);
                }
            }
            Wake::Reload => {
                self.core.log.reloading();
                self.reload(true);
                self.core.log.ready(self.index.len());
            }
            Wake::Ask(query, answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.answer(query, now));
            }
            Wake::Stop => {
                self.core.log.stopping();
                self.stop();
            }
        }
    }

    /// Begins nothing any more; what runs has a while to end.
    pub(super) fn stop(&mut self) {
        self.stop_by.get_or_insert(Instant::now() + GRACE);
    }

    fn answer(&self, query: Query, now: Instant) -> Status {
        match query {
            Query::Status => {
                let (due, later, running) = self.index.counts();
                let remotes = self.routes().map(|route| RemoteStatus {
                    host: route.remote.host.clone(),
                    trouble: route
                        .health
                        .rests_until()
                        .map(|until| (route.health.reason(), until.saturating_duration_since(now))),
                });
                Status { due, later, running, remotes: remotes.collect() }
            }
        }
    }
}
