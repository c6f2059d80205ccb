//! The verdicts of one attempt: who is served, refused, or waits, and for which reason.
//!
//! Made of the recipients that wait, told of each verdict by the transport as soon as it is known, read
//! by all others. Whoever is served is in the journal before anything is logged and before the next
//! transaction begins, so that a crash sends no second copy and a time limit forgets nobody. The ledger
//! alone writes journals, removes messages and sets them aside.

use super::line::{By, Line, Recorded, Weight};
use crate::log::Log;
use crate::mail::{Address, EnhancedCode, Outcome, Reason, Remote};
use crate::spool::{self, Entry, Event, Identity, Spool};

/// Where the ledger of a message in the queue is written down.
#[derive(Clone, Copy)]
pub(in crate::delivery) struct Book<'a> {
    pub(in crate::delivery) spool: &'a Spool,
    pub(in crate::delivery) log: &'a Log,
    pub(in crate::delivery) entry: &'a Entry,
}

pub(in crate::delivery) struct Ledger {
    /// Which file it is about, whatever its name.
    file: Identity,
    /// When the attempt began, seconds since 1970.
    pub(in crate::delivery) time: i64,
    lines: Vec<Line>,
    /// Those who are not served yet; one more where an earlier attempt has failed for somebody.
    unserved: usize,
    tried: Tried,
    /// All are served, and the message is removed.
    removed: bool,
}

/// Whether a remote looked at the message: else nothing was learnt about it, only about the remotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    No,
    Yes,
    /// And the journal has it.
    Written,
}

impl Ledger {
    /// Opens a ledger for those who wait, at `time` in seconds since 1970.
    pub(in crate::delivery) fn open(entry: &Entry, time: i64) -> Self {
        let line = |recipient: Address| {
            let past = entry.history.verdicts.get(&recipient);
            let past = past.map(|past| (past.remote.clone(), Reason::recall(&past.text)));
            Line::new(recipient, past)
        };
        let lines: Vec<_> = entry.pending().into_iter().map(line).collect();
        Self {
            file: entry.identity,
            time,
            unserved: lines.len() + usize::from(entry.has_failed()),
            lines,
            tried: Tried::No,
            removed: false,
        }
    }

    /// Whether it is about this very file.
    pub(in crate::delivery) fn is_of(&self, entry: &Entry) -> bool {
        self.file.is_same_file(&entry.identity)
    }

    /// Begins an attempt, with a ledger that could not be settled too: who waits may be offered once more.
    pub(in crate::delivery) fn reopen(&mut self, time: i64) {
        self.time = time;
        self.tried = Tried::No;
        for line in self.lines.iter_mut().filter(|line| line.is_waiting()) {
            line.weight = line.weight.min(Weight::Past);
        }
    }

    pub(in crate::delivery) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(super) fn line(&self, at: usize) -> &Line {
        &self.lines[at]
    }

    pub(in crate::delivery) fn is_tried(&self) -> bool {
        self.tried != Tried::No
    }

    /// A remote looked at the message, and the journal does not know yet.
    pub(super) fn is_new_attempt(&self) -> bool {
        self.tried == Tried::Yes
    }

    /// Those who have failed and are to be told of.
    pub(in crate::delivery) fn untold(&self) -> Vec<&Line> {
        self.lines.iter().filter(|line| line.is_failed() && !line.told).collect()
    }

    /// All are served and the message is gone.
    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Whether anybody waits.
    pub(in crate::delivery) fn waits(&self) -> bool {
        self.lines.iter().any(Line::is_waiting)
    }

    /// Whether somebody may have the message and nobody knows.
    pub(super) fn may_have_been_taken(&self) -> bool {
        self.lines.iter().any(|line| line.is_waiting() && line.weight == Weight::Taken)
    }

    /// The places of those who may be offered to one more remote. A message that may have been taken
    /// is offered to nobody before its pause is over.
    pub(super) fn offered(&self) -> Vec<usize> {
        let offered = |line: &Line| line.is_waiting() && line.weight < Weight::Taken;
        (0..self.lines.len()).filter(|at| offered(&self.lines[*at])).collect()
    }

    /// A transaction begins for these.
    pub(super) fn ask(&mut self, places: &[usize]) {
        for at in places {
            self.lines[*at].asked = true;
        }
    }

    /// Whether the transaction that asked for these was told nothing about any of them.
    pub(super) fn unanswered(&self, places: &[usize]) -> bool {
        places.iter().all(|at| self.lines[*at].asked)
    }

    /// Takes in what a remote said of some recipients; who is served is written down.
    pub(super) fn take(
        &mut self,
        places: impl Iterator<Item = usize> + Clone,
        outcome: &Outcome,
        remote: &Remote,
        book: Option<&Book<'_>>,
    ) {
        self.was_tried();
        let by = By::of(remote);
        for at in places.clone() {
            let line = &mut self.lines[at];
            let was_sent = line.is_sent();
            line.put(outcome.clone(), Weight::Word, &by);
            self.unserved -= usize::from(line.is_sent() && !was_sent);
        }
        if let (Outcome::Sent(_), Some(book)) = (outcome, book) {
            self.write_served(places, book);
        }
    }

    /// A session broke: what it means for those who were asked for in vain.
    pub(super) fn broke(
        &mut self,
        places: &[usize],
        reason: &Reason,
        taken: bool,
        remote: &Remote,
    ) {
        let weight = if taken { Weight::Taken } else { Weight::Fault };
        let by = By::of(remote);
        for at in places {
            if self.lines[*at].asked {
                self.lines[*at].put(Outcome::Deferred(reason.clone()), weight, &by);
            }
        }
    }

    /// A session that ended without a word is not counted: another one is tried.
    pub(super) fn try_again(&mut self, places: &[usize]) {
        for at in places {
            self.lines[*at].asked = false;
        }
    }

    /// A remote looked at the message, whatever came of it.
    pub(super) fn was_tried(&mut self) {
        if self.tried == Tried::No {
            self.tried = Tried::Yes;
        }
    }

    /// No session could be had with a remote: it rests, or was found wanting just now.
    pub(super) fn passed_by(
        &mut self,
        places: &[usize],
        reason: &Reason,
        rests: bool,
        remote: &Remote,
    ) {
        let weight = if rests { Weight::Resting } else { Weight::Fault };
        let by = By::of(remote);
        for at in places {
            self.lines[*at].put(Outcome::Deferred(reason.clone()), weight, &by);
        }
    }

    /// Nobody of those who wait will get it; each of them is told to `say`.
    pub(super) fn refuse_all(&mut self, reason: &Reason, say: impl Fn(&Address, &Reason)) {
        self.was_tried();
        for line in self.lines.iter_mut().filter(|line| line.is_waiting()) {
            say(&line.recipient, reason);
            line.outcome = Outcome::Failed(reason.clone());
            line.by = None;
            line.recorded = Recorded::No;
        }
    }

    /// Its time is over: who still waits has failed, and is told to `say`.
    pub(super) fn give_up(&mut self, say: impl Fn(&Address, &Reason)) {
        for line in &mut self.lines {
            if let Outcome::Deferred(reason) = &line.outcome {
                // RFC 3463 §3.5: delivery time expired, and now for good.
                let text = format!("delivery time expired; the last reason was: {reason}");
                let reason = Reason::local(EnhancedCode::new(5, 4, 7), text);
                say(&line.recipient, &reason);
                line.outcome = Outcome::Failed(reason);
                line.recorded = Recorded::No;
            }
        }
    }

    /// Those who have failed by now are told of, or not to be.
    pub(super) fn was_told(&mut self) {
        self.lines.iter_mut().filter(|line| line.is_failed()).for_each(|line| line.told = true);
    }

    /// Whether somebody has failed of whom it was not said that the report has to wait.
    pub(super) fn has_newly_failed(&self) -> bool {
        self.untold().iter().any(|line| line.recorded != Recorded::AsOwed)
    }
}

/// What is written down.
impl Ledger {
    /// Who was served while others wait; when nobody is left, the message goes. What cannot be written
    /// is said and holds nothing up: it is tried again when the attempt is over.
    fn write_served(&mut self, places: impl Iterator<Item = usize> + Clone, book: &Book<'_>) {
        // What is wrong if it cannot be removed is said when that is tried again.
        if self.unserved == 0 && book.spool.remove(book.entry).is_ok() {
            self.removed = true;
            return;
        }
        let events: Vec<_> = places.clone().map(|at| self.lines[at].event()).collect();
        match book.spool.record(book.entry, self.time, false, &events) {
            Ok(()) => places.for_each(|at| self.lines[at].recorded = Recorded::Yes),
            Err(error) => book.log.trouble(Some(&book.entry.id), &error),
        }
    }

    /// Removes a message that all have.
    pub(super) fn remove(&mut self, book: &Book<'_>) -> Result<(), spool::Error> {
        if self.unserved == 0 && !self.lines.is_empty() && !self.removed {
            book.spool.remove(book.entry)?;
            self.removed = true;
        }
        Ok(())
    }

    /// Writes down what must not be forgotten when the daemon stops.
    pub(in crate::delivery) fn leave(&mut self, book: &Book<'_>) -> Result<(), spool::Error> {
        self.remove(book)?;
        if self.removed { Ok(()) } else { self.write_sent(book) }
    }

    /// Writes down who was served and that the message was tried.
    pub(super) fn write_sent(&mut self, book: &Book<'_>) -> Result<(), spool::Error> {
        self.write(book, Line::is_sent)
    }

    /// Writes down who has failed and is told of.
    pub(super) fn write_failed(&mut self, book: &Book<'_>) -> Result<(), spool::Error> {
        self.write(book, |line| line.is_failed() && line.told)
    }

    /// Writes down why those have failed whom nobody can be told of yet: until then they count as waiting.
    pub(super) fn write_untold(&mut self, book: &Book<'_>) -> Result<(), spool::Error> {
        let new =
            |line: &&mut Line| line.is_failed() && !line.told && line.recorded != Recorded::AsOwed;
        let lines: Vec<_> = self.lines.iter_mut().filter(new).collect();
        let waiting: Vec<_> = lines.iter().map(|line| line.as_waiting()).collect();
        let events = lines.iter().zip(&waiting);
        let events: Vec<_> =
            events.map(|(line, outcome)| Event { outcome, ..line.event() }).collect();
        if !events.is_empty() {
            book.spool.record(book.entry, self.time, false, &events)?;
            for line in lines {
                line.recorded = Recorded::AsOwed;
            }
        }
        Ok(())
    }

    /// Writes down who waits, and why if that is new.
    pub(super) fn write_waiting(&mut self, book: &Book<'_>) -> Result<(), spool::Error> {
        self.write(book, |line| line.is_waiting() && line.weight != Weight::Past)
    }

    fn write(
        &mut self,
        book: &Book<'_>,
        which: impl Fn(&Line) -> bool,
    ) -> Result<(), spool::Error> {
        let attempt = self.is_new_attempt();
        let new = |line: &&Line| line.recorded != Recorded::Yes && which(line);
        let events: Vec<_> = self.lines.iter().filter(new).map(Line::event).collect();
        if events.is_empty() && !attempt {
            return Ok(());
        }
        book.spool.record(book.entry, self.time, attempt, &events)?;
        if attempt {
            self.tried = Tried::Written;
        }
        self.lines
            .iter_mut()
            .filter(|line| which(line))
            .for_each(|line| line.recorded = Recorded::Yes);
        Ok(())
    }

    /// Writes down that the sender knows who waits.
    pub(super) fn write_warned(&self, book: &Book<'_>) -> Result<(), spool::Error> {
        book.spool.record_warning(book.entry, self.time)
    }

    /// Moves a message to `failed/` for which nothing is left to do.
    pub(super) fn set_aside(&self, book: &Book<'_>) -> Result<(), spool::Error> {
        debug_assert!(!self.waits() && self.untold().is_empty(), "somebody has had no answer");
        if let Some(name) = book.spool.set_aside(book.entry)? {
            book.log.lies_in_failed(&book.entry.id, &name);
        }
        Ok(())
    }

    /// What the journal of a message should say that was offered before it was queued.
    pub(in crate::delivery) fn events(&self, which: impl Fn(&Line) -> bool) -> Vec<Event<'_>> {
        self.lines.iter().filter(|line| which(line)).map(Line::event).collect()
    }
}
