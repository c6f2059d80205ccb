//! The word on one recipient: the best that was heard so far, whose it is, and what was done about it.

use std::rc::Rc;

use crate::mail::{Address, EnhancedCode, Outcome, Protocol, Reason, Remote};
use crate::spool::Event;

/// The word on one recipient that counts so far.
#[derive(Debug)]
pub(in crate::delivery) struct Line {
    pub(super) recipient: Address,
    pub(super) outcome: Outcome,
    pub(super) weight: Weight,
    /// The remote whose word it is; `None` where none could be asked.
    pub(super) by: Option<Rc<By>>,
    /// A transaction is under way whose word on the recipient is not known yet.
    pub(super) asked: bool,
    /// It has failed, and the report on that is queued, or there is to be none.
    pub(super) told: bool,
    pub(super) recorded: Recorded,
}

/// Whether the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    No,
    /// The journal says why, and that the recipient waits: it has failed, and nobody could be told yet.
    AsOwed,
    Yes,
}

/// What to call a remote.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct By {
    pub(super) host: String,
    pub(super) protocol: Protocol,
}

/// How much a reason to wait says. What says more is never replaced by what says less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// There is nobody to ask.
    Nothing,
    /// A remote is resting.
    Resting,
    /// What an earlier attempt came to.
    Past,
    /// A session broke, or could not be had.
    Fault,
    /// The server's word on the recipient.
    Word,
    /// The text was out and no answer came: the recipient may have the message.
    Taken,
}

impl By {
    pub(super) fn of(remote: &Remote) -> Rc<Self> {
        Rc::new(Self { host: remote.host.clone(), protocol: remote.protocol.clone() })
    }
}

impl Line {
    pub(super) fn new(recipient: Address, past: Option<(String, Reason)>) -> Self {
        let (reason, weight, by) = if let Some((host, reason)) = past {
            let by = (!host.is_empty()).then(|| Rc::new(By { host, protocol: Protocol::Smtp }));
            (reason, Weight::Past, by)
        } else {
            let reason = Reason::local(EnhancedCode::new(4, 3, 5), "no remote to send to");
            (reason, Weight::Nothing, None)
        };
        let outcome = Outcome::Deferred(reason);
        Self { recipient, outcome, weight, by, asked: false, told: false, recorded: Recorded::No }
    }

    pub(super) fn host(&self) -> Option<&str> {
        self.by.as_ref().map(|by| by.host.as_str())
    }

    pub(super) fn protocol(&self) -> &Protocol {
        self.by.as_ref().map_or(&Protocol::Smtp, |by| &by.protocol)
    }

    pub(in crate::delivery) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    pub(in crate::delivery) fn is_sent(&self) -> bool {
        matches!(self.outcome, Outcome::Sent(_))
    }

    pub(in crate::delivery) fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    pub(in crate::delivery) fn is_waiting(&self) -> bool {
        matches!(self.outcome, Outcome::Deferred(_))
    }

    /// The same reason for one who still waits.
    pub(super) fn as_waiting(&self) -> Outcome {
        match &self.outcome {
            Outcome::Failed(reason) => Outcome::Deferred(reason.clone()),
            other => other.clone(),
        }
    }

    pub(super) fn event(&self) -> Event<'_> {
        Event {
            recipient: &self.recipient,
            remote: self.host().unwrap_or_default(),
            outcome: &self.outcome,
        }
    }

    /// Takes a word that says at least as much as the one that counts. One that is final always counts.
    pub(super) fn put(&mut self, outcome: Outcome, weight: Weight, by: &Rc<By>) {
        self.asked = false;
        if !matches!(outcome, Outcome::Deferred(_)) || self.weight <= weight && self.is_waiting() {
            self.outcome = outcome;
            self.weight = weight;
            self.by = Some(Rc::clone(by));
            self.recorded = Recorded::No;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Reply;

    fn later(code: u16) -> Outcome {
        Outcome::Deferred(Reason::Remote(Reply::new(code, "later")))
    }

    fn by(host: &str) -> Rc<By> {
        By::of(&Remote::new(host, Protocol::Smtp))
    }

    #[test]
    fn what_says_more_is_not_replaced_by_what_says_less() {
        let mut line = Line::new(Address::parse(b"a@x").unwrap(), None);
        for (weight, host, counts) in [
            (Weight::Resting, "rests", "rests"),
            (Weight::Fault, "broke", "broke"),
            (Weight::Resting, "rests", "broke"),
            (Weight::Word, "spoke", "spoke"),
            (Weight::Fault, "broke", "spoke"),
            (Weight::Word, "spoke last", "spoke last"),
            (Weight::Taken, "fell silent", "fell silent"),
            (Weight::Word, "spoke", "fell silent"),
        ] {
            line.put(later(450), weight, &by(host));
            assert_eq!(line.host(), Some(counts));
        }
    }

    #[test]
    fn a_final_word_counts_and_nothing_counts_after_it() {
        let mut line = Line::new(Address::parse(b"a@x").unwrap(), None);
        line.put(later(450), Weight::Taken, &by("a"));
        line.put(Outcome::Sent(Reply::new(250, "ok")), Weight::Word, &by("b"));
        line.put(later(450), Weight::Taken, &by("c"));
        assert!(line.is_sent() && line.host() == Some("b"));
    }
}
