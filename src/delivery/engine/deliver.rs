//! One message whose turn it is, from its file to what follows.

use std::time::Duration;

use tokio::time::Instant;

use super::Core;
use crate::delivery::outcome::{Attempt, Book, Ledger, Next, Settler, without_a_turn};
use crate::delivery::queue::Taken;
use crate::delivery::remote::{Plan, Underway};
use crate::spool::{self, QueueId, Unusable};

/// What is kept of a message that could not be finished, until its next turn.
#[derive(Default)]
pub(super) struct Note {
    /// Verdicts that could not be written down, or whose report is owed. Only that is done again: who
    /// was served must not be served once more.
    ledger: Option<Ledger>,
    /// Set where the next turn is for a report that is owed: when those who wait are tried again.
    pub(super) again: Option<Instant>,
    /// What was last said to be in its way.
    pub(super) complaint: Option<String>,
}

impl Note {
    /// Something is still to be written down or reported, of what is known already.
    pub(super) fn is_owed(&self) -> bool {
        self.ledger.is_some()
    }
}

pub(super) struct Errand {
    pub(super) taken: Taken<Note>,
    /// Set where the message has a turn; else it is too old to wait for one.
    pub(super) underway: Option<Underway>,
}

pub(super) struct Finished {
    pub(super) id: QueueId,
    pub(super) next: Result<Next, String>,
    /// The `bouncelimit` that it went by.
    pub(super) limit: u64,
    /// So long ago the attempt was whose verdicts were written down only now.
    pub(super) waited: Duration,
    /// To be kept if the message stays.
    pub(super) note: Option<Box<Note>>,
    /// It counts as under way until the engine has seen that it is not: a remote whose messages end in one
    /// moment has not been idle.
    pub(super) underway: Option<Underway>,
}

/// `None` if it was let go as it was.
pub(super) async fn deliver(core: &Core, plan: &Plan, errand: Errand) -> Option<Finished> {
    tokio::select! {
        // What has to be written down of it comes before that.
        biased;
        finished = to_the_end(core, plan, errand) => Some(finished),
        () = core.leave.called() => None,
    }
}

async fn to_the_end(core: &Core, plan: &Plan, errand: Errand) -> Finished {
    let Errand { taken, mut underway } = errand;
    let Taken { id, lane, age, mut note } = taken;
    let limit = plan.settings.bounce_limit;
    let entry = match core.spool.entry(&id) {
        Ok(entry) => entry,
        Err(why) => {
            let next = unusable(core, &id, &why);
            return Finished { id, next, limit, waited: Duration::ZERO, note, underway };
        }
    };
    let time = (core.clock)().unix();
    let kept = note.as_ref().and_then(|note| note.ledger.as_ref()).filter(|one| one.is_of(&entry));
    let again = note.as_ref().and_then(|note| note.again);
    let is_settling = kept.is_some() && again.is_none_or(|again| again > Instant::now());
    // What cannot be removed would be sent again and again.
    if !is_settling && let Err(error) = core.spool.check_writable() {
        let next = Err(error.to_string());
        return Finished { id, next, limit, waited: Duration::ZERO, note, underway };
    }
    let kept = note.as_mut().and_then(|note| note.ledger.take()).filter(|one| one.is_of(&entry));
    let mut ledger = kept.unwrap_or_else(|| Ledger::open(&entry, time));
    let book = Book { spool: &core.spool, log: &core.log, entry: &entry };
    if !is_settling {
        ledger.reopen(time);
        if let Some(note) = &mut note {
            note.again = None;
        }
        let (log, book, leave) = (&core.log, Some(book), Some(&core.leave));
        let attempt = Attempt { plan, log, entry: &entry, age, book, leave };
        if underway.is_some() {
            attempt.run(plan.routes_of(lane), &mut ledger, &mut underway).await;
        } else {
            without_a_turn(plan.routes_of(lane), &mut ledger);
        }
    }
    let settler = Settler { plan, bouncer: &core.bouncer, book };
    let next =
        settler.settle(&mut ledger, age.at(Instant::now())).map_err(|error| error.to_string());
    let waited = u64::try_from(time.saturating_sub(ledger.time)).unwrap_or(0);
    let waited = if is_settling { Duration::from_secs(waited) } else { Duration::ZERO };
    if matches!(next, Ok(Next::Owed { .. }) | Err(_)) {
        note.get_or_insert_default().ledger = Some(ledger);
    } else if let Some(note) = &mut note {
        note.complaint = None;
    }
    Finished { id, next, limit, waited, note, underway }
}

/// Writes down what was not written yet of a message whose daemon stops.
pub(super) fn leave(core: &Core, id: &QueueId, note: Note) {
    let Some(mut ledger) = note.ledger else { return };
    let Ok(entry) = core.spool.entry(id) else { return };
    if ledger.is_of(&entry) {
        let book = Book { spool: &core.spool, log: &core.log, entry: &entry };
        let error = ledger.leave(&book).err().map(|error| error.to_string());
        if let Some(error) = error.filter(|error| Some(error) != note.complaint.as_ref()) {
            core.log.trouble(Some(id), &error);
        }
    }
}

/// What follows for a name that cannot be delivered.
fn unusable(core: &Core, id: &QueueId, why: &Unusable) -> Result<Next, String> {
    let sentence = |error: spool::Error| error.to_string();
    match why {
        Unusable::Gone => Ok(Next::Gone),
        Unusable::Error(error) => Err(error.to_string()),
        Unusable::NameTaken => {
            let name = core.spool.rename_apart(id).map_err(sentence)?;
            core.log.renamed(id, &name);
            core.renamed.borrow_mut().push(name.as_str().into());
            Ok(Next::Gone)
        }
        Unusable::Malformed(_) => {
            core.log.unusable(id, why);
            if let Some(name) = core.spool.set_aside_unusable(id).map_err(sentence)? {
                core.log.lies_in_failed(id, &name);
            }
            Ok(Next::Gone)
        }
    }
}
