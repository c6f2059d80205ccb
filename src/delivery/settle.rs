//! What follows from an attempt: the journal, the bounce, the end of a message.
//!
//! The order is what keeps mail safe. Who was served is written down first; a bounce is in the
//! queue before its recipient counts as failed; the message goes last. A crash in between costs a
//! second bounce, never silence, and never a second copy.

use std::time::Duration;

use super::attempt::{Attempt, Verdict};
use super::bounce::Bouncer;
use super::plan::Plan;
use crate::log::{Bounce, Log};
use crate::mail::{EnhancedCode, Outcome, Reason};
use crate::spool::{self, Entry, Spool};

/// What the engine does next with the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It left the queue.
    Gone,
    /// Some recipients wait; so many attempts have failed in a row.
    Later { failures: u32 },
    /// No remote looked at it: it is due as soon as one can.
    PutBack,
}

/// The rooms that settling works with.
pub(super) struct Settler<'a> {
    pub(super) plan: &'a Plan,
    pub(super) log: &'a Log,
    pub(super) spool: &'a Spool,
    pub(super) bouncer: &'a Bouncer,
}

impl Settler<'_> {
    /// Writes down the attempt that began at `time` for a message of this `age`.
    pub(super) fn settle(
        &self,
        entry: &Entry,
        attempt: &mut Attempt,
        time: i64,
        age: Duration,
    ) -> Result<Next, spool::Error> {
        // A clock that was wrong when the mail came, or is now, must not give it up at once: it fails
        // twice before.
        if self.plan.schedule.is_too_old(age) && !entry.history.verdicts.is_empty() {
            give_up(&mut attempt.verdicts);
        }
        let (sent, rest): (Vec<_>, Vec<_>) =
            attempt.verdicts.iter().partition(|one| matches!(one.outcome, Outcome::Sent(_)));
        let (failed, waiting): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|one| matches!(one.outcome, Outcome::Failed(_)));
        let over = waiting.is_empty();
        if over && failed.is_empty() && !entry.has_failed() {
            self.spool.remove(&entry.id)?;
            return Ok(Next::Gone);
        }
        let unwritten: Vec<_> = sent.into_iter().filter(|one| !one.written).collect();
        self.record(entry, time, attempt.tried, &unwritten)?;
        let owed = !attempt.bounced && !failed.is_empty();
        let answer = if owed { self.bounce(entry, &failed, time) } else { None };
        let bounced = answer.is_some() || !owed;
        attempt.bounced = bounced;
        if over && bounced {
            self.log.moving_to_failed(&entry.id);
        }
        if let Some(answer) = answer {
            self.log.bounce(&entry.id, answer);
        }
        if bounced {
            self.record(entry, time, false, &failed)?;
        }
        self.record(entry, time, false, &waiting)?;
        if self.plan.settings.delay_warning.is_some_and(|limit| age >= limit) {
            self.warn(entry, &waiting, time)?;
        }
        if over && bounced {
            self.spool.set_aside(&entry.id)?;
            return Ok(Next::Gone);
        }
        let failures = entry.history.attempts.saturating_add(u32::from(attempt.tried));
        Ok(if attempt.tried || !bounced {
            Next::Later { failures: failures.max(1) }
        } else {
            Next::PutBack
        })
    }

    /// `None` if the report could not be queued: its recipients are then still to be tried.
    fn bounce(&self, entry: &Entry, failed: &[&Verdict], time: i64) -> Option<Bounce> {
        self.bouncer
            .bounce(&self.plan.settings, entry, failed, time)
            .inspect_err(|error| {
                self.log.trouble(Some(&entry.id), &format_args!("cannot bounce: {error}"));
            })
            .ok()
    }

    fn warn(&self, entry: &Entry, waiting: &[&Verdict], time: i64) -> Result<(), spool::Error> {
        if waiting.is_empty() || entry.history.warned {
            return Ok(());
        }
        match self.bouncer.warn(&self.plan.settings, self.log, entry, waiting, time) {
            Ok(true) => self.spool.record_warning(&entry.id, time),
            Ok(false) => Ok(()),
            Err(error) => {
                self.log.trouble(Some(&entry.id), &format_args!("cannot warn: {error}"));
                Ok(())
            }
        }
    }

    fn record(
        &self,
        entry: &Entry,
        time: i64,
        attempt: bool,
        verdicts: &[&Verdict],
    ) -> Result<(), spool::Error> {
        if verdicts.is_empty() && !attempt {
            return Ok(());
        }
        let events: Vec<_> = verdicts.iter().map(|one| one.event()).collect();
        self.spool.record(&entry.id, time, attempt, &events)
    }
}

/// Its time is over: who still waits has failed.
fn give_up(verdicts: &mut [Verdict]) {
    for verdict in verdicts {
        if let Outcome::Deferred(reason) = &verdict.outcome {
            // RFC 3463 §3.5: delivery time expired, and now for good.
            let text = format!("delivery time expired; the last reason was: {reason}");
            verdict.outcome = Outcome::Failed(Reason::local(EnhancedCode::new(5, 4, 7), text));
        }
    }
}
