//! Remembers who was served while others of the same message are still being seen to.
//!
//! One attempt may take several transactions and several remotes, and long. Whoever was served is in
//! the journal as soon as the reply is read, before anything is logged and before a later transaction
//! begins, so that a crash sends no second copy; and a time limit that ends the attempt forgets nobody.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::log::Log;
use crate::mail::{Address, Outcome};
use crate::spool::{Entry, Event, Spool};

/// For one attempt.
#[derive(Default)]
pub(super) struct Ledger<'a> {
    /// `None` for a message that is not in the queue: a crash is its caller's to see.
    journal: Option<Journal<'a>>,
    served: RefCell<HashMap<Address, Served>>,
}

struct Journal<'a> {
    spool: &'a Spool,
    log: &'a Log,
    entry: &'a Entry,
    /// When the attempt began.
    time: i64,
}

struct Served {
    outcome: Outcome,
    /// It is in the journal.
    written: bool,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(spool: &'a Spool, log: &'a Log, entry: &'a Entry, time: i64) -> Self {
        let journal = Some(Journal { spool, log, entry, time });
        Self { journal, served: RefCell::default() }
    }

    /// Takes in those who are new; when nobody is left, the message goes. What cannot be written is
    /// said and holds nothing up: it is tried again when the attempt is over.
    pub(super) fn take<'b>(&self, served: impl Iterator<Item = Event<'b>>) {
        let mut known = self.served.borrow_mut();
        let new: Vec<_> = served.filter(|event| !known.contains_key(event.recipient)).collect();
        if new.is_empty() {
            return;
        }
        let written = self.journal.as_ref().is_some_and(|journal| {
            let served = |one: &Address| {
                known.contains_key(one) || new.iter().any(|event| event.recipient == one)
            };
            journal.is_last(served) && journal.remove() || journal.write(&new)
        });
        let new = new.iter().map(|event| {
            (event.recipient.clone(), Served { outcome: event.outcome.clone(), written })
        });
        known.extend(new);
    }

    pub(super) fn outcome(&self, recipient: &Address) -> Option<Outcome> {
        self.served.borrow().get(recipient).map(|served| served.outcome.clone())
    }

    pub(super) fn is_written(&self, recipient: &Address) -> bool {
        self.served.borrow().get(recipient).is_some_and(|served| served.written)
    }
}

impl Journal<'_> {
    /// Whether all recipients have the message, those of earlier attempts included.
    fn is_last(&self, served: impl Fn(&Address) -> bool) -> bool {
        self.entry.envelope.recipients.iter().all(|one| self.entry.is_served(one) || served(one))
    }

    /// What is wrong if it cannot be removed is said when that is tried again, with the rest.
    fn remove(&self) -> bool {
        self.spool.remove(&self.entry.id).is_ok()
    }

    fn write(&self, events: &[Event<'_>]) -> bool {
        self.spool
            .record(&self.entry.id, self.time, false, events)
            .inspect_err(|error| self.log.trouble(Some(&self.entry.id), error))
            .is_ok()
    }
}
