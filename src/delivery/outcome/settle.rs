//! What follows from an attempt: the journal, the bounce, the end of a message.
//!
//! The order is what keeps mail safe. Who was served is written down first; a bounce is in the
//! queue before its recipient counts as failed; the message goes last. A crash in between costs a
//! second bounce, never silence, and never a second copy.

use std::time::Duration;

use tokio::time::Instant;

use super::bounce::{Bouncer, Told};
use super::ledger::{Book, Ledger};
use super::line::Line;
use crate::delivery::remote::Plan;
use crate::log::Bounce;
use crate::spool;

/// What the engine does next with the message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Next {
    /// It left the queue.
    Gone,
    /// Some recipients wait; so many attempts have failed in a row. With `taken`, some may have the
    /// message, and it must not go out again before its pause is over.
    Later { failures: u32, taken: bool },
    /// No remote looked at it: it is due as soon as one can.
    PutBack,
    /// The sender is not told yet of some who have failed, and the ledger must be kept until there is
    /// room for that.
    Owed { room: Instant, beside: Beside },
}

/// How the others stand of a message whose report is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Beside {
    /// There are none.
    Nobody,
    /// They wait; so many attempts have failed in a row.
    Later { failures: u32 },
    /// They wait, and no remote looked at them.
    PutBack,
}

/// The rooms that settling works with.
pub(in crate::delivery) struct Settler<'a> {
    pub(in crate::delivery) plan: &'a Plan,
    pub(in crate::delivery) bouncer: &'a Bouncer,
    pub(in crate::delivery) book: Book<'a>,
}

/// A report that could not be queued is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

impl Settler<'_> {
    /// Writes down what a ledger says of a message of this `age`.
    ///
    /// # Errors
    /// Something could not be written. The ledger must be kept and settled again: who was served must
    /// not be served once more.
    pub(in crate::delivery) fn settle(
        &self,
        ledger: &mut Ledger,
        age: Duration,
    ) -> Result<Next, spool::Error> {
        let Book { log, entry, .. } = self.book;
        let first = entry.history.verdicts.is_empty();
        // A clock that was wrong when the mail came, or is now, must not give it up at once: it fails
        // twice before.
        if self.plan.schedule.is_too_old(age) && !first {
            ledger.give_up(|recipient, reason| {
                log.refused_here(&entry.id, recipient, age.as_secs(), reason);
            });
        }
        ledger.remove(&self.book)?;
        if ledger.is_removed() {
            return Ok(Next::Gone);
        }
        let failures = entry.history.attempts.saturating_add(u32::from(ledger.is_new_attempt()));
        ledger.write_sent(&self.book)?;
        let (room, bounce) = self.tell(ledger);
        let waits = ledger.waits();
        let over = room.is_none() && !waits;
        if over {
            if ledger.lines().is_empty() && !entry.has_failed() {
                log.nobody_left(&entry.id);
            }
            log.moving_to_failed(&entry.id);
        }
        if let Some(bounce) = bounce {
            log.bounce(&entry.id, bounce);
        }
        ledger.write_failed(&self.book)?;
        ledger.write_untold(&self.book)?;
        ledger.write_waiting(&self.book)?;
        if self.plan.settings.delay_warning.is_some_and(|limit| age >= limit) {
            self.warn(ledger)?;
        }
        let failures = failures.max(1);
        Ok(match room {
            Some(room) if !waits => Next::Owed { room, beside: Beside::Nobody },
            Some(room) if ledger.is_tried() => {
                Next::Owed { room, beside: Beside::Later { failures } }
            }
            Some(room) => Next::Owed { room, beside: Beside::PutBack },
            None if waits && ledger.is_tried() => {
                Next::Later { failures, taken: ledger.may_have_been_taken() }
            }
            None if waits => Next::PutBack,
            None => {
                ledger.set_aside(&self.book)?;
                Next::Gone
            }
        })
    }

    /// Tells the sender who has failed. Comes back with a time if that is not done with, to try again
    /// then, for those recipients must not be marked before; and with what there is to be logged.
    fn tell(&self, ledger: &mut Ledger) -> (Option<Instant>, Option<Bounce>) {
        let Book { log, entry, .. } = self.book;
        let failed = ledger.untold();
        if failed.is_empty() {
            return (None, None);
        }
        match self.bouncer.bounce(&self.plan.settings, entry, &failed, ledger.time) {
            Ok(Told::Done(bounce)) => {
                ledger.was_told();
                (None, Some(bounce))
            }
            Ok(Told::NoRoom(until)) => {
                if ledger.has_newly_failed() {
                    log.bounce_waits(&entry.id);
                }
                (Some(until), None)
            }
            Err(error) => {
                log.trouble(Some(&entry.id), &format_args!("cannot bounce: {error}"));
                (Some(Instant::now() + AGAIN), None)
            }
        }
    }

    fn warn(&self, ledger: &Ledger) -> Result<(), spool::Error> {
        let Book { log, entry, .. } = self.book;
        let waiting: Vec<&Line> = ledger.lines().iter().filter(|line| line.is_waiting()).collect();
        if waiting.is_empty() || entry.history.warned {
            return Ok(());
        }
        match self.bouncer.warn(&self.plan.settings, log, entry, &waiting, ledger.time) {
            Ok(true) => ledger.write_warned(&self.book),
            Ok(false) => Ok(()),
            Err(error) => {
                log.trouble(Some(&entry.id), &format_args!("cannot warn: {error}"));
                Ok(())
            }
        }
    }
}
