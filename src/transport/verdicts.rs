//! The verdicts of one message: each recipient gets exactly one, and the caller hears it at once.
//!
//! Used by every protocol of this room, so that "exactly one" is kept in one place.

use std::cell::RefCell;

use super::{Fault, Mail};
use crate::mail::{EnhancedCode, Outcome, Reason};

/// Told each verdict on a recipient the moment it is decided: the places in [`Mail::recipients`] of those
/// whom one reply decided, and what was decided. What comes after it may take long, or be cut short; a
/// fault of the session is no verdict.
pub(crate) type Report<'a> = &'a dyn Fn(&[usize], &Outcome);

/// Who has a verdict already.
pub(super) struct Verdicts<'a> {
    report: Report<'a>,
    decided: Vec<bool>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(mail: &Mail<'_>, report: Report<'a>) -> Self {
        Self { report, decided: vec![false; mail.recipients.len()] }
    }

    /// Gives `outcome` to those of `which` who have no verdict yet.
    pub(super) fn decide(&mut self, which: &[usize], outcome: &Outcome) {
        let is_new = |which: &usize| !std::mem::replace(&mut self.decided[*which], true);
        let new: Vec<usize> = which.iter().copied().filter(is_new).collect();
        if !new.is_empty() {
            (self.report)(&new, outcome);
        }
    }

    /// Those without a verdict, in their order.
    pub(super) fn open(&self) -> Vec<usize> {
        let places = self.decided.iter().enumerate();
        places.filter(|(_, decided)| !**decided).map(|(which, _)| which).collect()
    }

    /// Ends the delivery: unless a fault has cut it short, everybody has a verdict.
    pub(super) fn end(mut self, ended: Result<(), Fault>) -> Result<(), Fault> {
        let open = self.open();
        if ended.is_ok() && !open.is_empty() {
            let text = "the session ended without a word on the recipient";
            let reason = Reason::local(EnhancedCode::new(4, 4, 2), text);
            self.decide(&open, &Outcome::Deferred(reason));
        }
        ended
    }

    /// Ends the delivery where a protocol has one verdict for all.
    pub(super) fn end_alike(mut self, ended: Result<Outcome, Fault>) -> Result<(), Fault> {
        let ended = ended.map(|outcome| self.decide(&self.open(), &outcome));
        self.end(ended)
    }
}

/// Keeps the verdicts for a caller who looks at them when all are in.
#[derive(Debug)]
pub(crate) struct Collected(RefCell<Vec<Option<Outcome>>>);

impl Collected {
    pub(crate) fn of(mail: &Mail<'_>) -> Self {
        Self(RefCell::new(vec![None; mail.recipients.len()]))
    }

    /// To be called by a [`Report`].
    pub(crate) fn take(&self, which: &[usize], outcome: &Outcome) {
        let mut all = self.0.borrow_mut();
        for which in which {
            all[*which] = Some(outcome.clone());
        }
    }

    /// In the order of [`Mail::recipients`]. The fault that has cut the delivery short delays whoever
    /// has no verdict.
    pub(crate) fn finish(self, fault: Option<&Fault>) -> Vec<Outcome> {
        let delayed = || fault.map(|fault| Outcome::Deferred(fault.reason()));
        self.0.into_inner().into_iter().filter_map(|one| one.or_else(delayed)).collect()
    }
}
