//! Names that were made in the queue without a word of whether what is behind them is whole: when
//! it is taken for a message.
//!
//! The engine's alone. It knows names and times; whether a file is empty it is told.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tokio::time::Instant;

/// Nobody who writes into the queue by hand takes longer over a message.
const WRITING: Duration = Duration::from_secs(10);
/// From open(2) to the first write(2).
const MOMENT: Duration = Duration::from_millis(5);
/// The kernel tells of a name and of the trigger this close to each other.
const LATE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Names that were made, and since when they were known to be empty.
    made: BTreeMap<OsString, Option<Instant>>,
    /// When the trigger was last pulled.
    pulled: Option<Instant>,
    due: Option<Instant>,
}

impl Arrivals {
    /// These were made, and those of all that somebody writes to will be told of when they are
    /// whole.
    pub(super) fn add(&mut self, made: Vec<OsString>, written: &[OsString], now: Instant) {
        for name in made {
            self.made.entry(name).or_default();
        }
        for name in written {
            self.made.remove(name);
        }
        if !self.made.is_empty() {
            // The word that a name was made may come after the trigger that was pulled for it; who
            // is writing has begun a moment later.
            let late = self.pulled.is_some_and(|pulled| now < pulled + LATE);
            self.due = Some(now + if late { MOMENT } else { WRITING });
        }
    }

    /// The trigger was pulled: what was made by now can be taken.
    pub(super) fn pull(&mut self, now: Instant) {
        self.pulled = Some(now);
    }

    /// When [`Arrivals::take`] is to be called although nobody pulls the trigger.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is taken for whole. Whoever links a message into the queue pulls the trigger when it is
    /// there: what was made by then, and nobody writes to, is whole. Where nothing is in it yet
    /// somebody is about to write, and is given the time, once.
    pub(super) fn take(
        &mut self,
        now: Instant,
        is_empty: impl Fn(&OsStr) -> bool,
    ) -> Vec<OsString> {
        let mut whole = Vec::new();
        for (name, since) in std::mem::take(&mut self.made) {
            let since = since.unwrap_or(now);
            if now < since + WRITING && is_empty(&name) {
                self.made.insert(name, Some(since));
            } else {
                whole.push(name);
            }
        }
        self.due = self.made.values().flatten().min().map(|at| *at + WRITING);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<OsString> {
        names.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_trigger_takes_what_was_made_but_for_what_is_empty_or_being_written() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.add(names(&["whole", "empty", "open"]), &names(&["open"]), now);
        arrivals.pull(now);
        assert_eq!(arrivals.take(now, |name| name == "empty"), names(&["whole"]));
        assert_eq!(arrivals.due(), Some(now + WRITING));
    }

    #[test]
    fn an_empty_file_has_its_time_from_when_it_was_first_to_be_taken_however_often_it_is_seen() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.add(names(&["empty"]), &[], now);
        for second in 0..10 {
            let now = now + Duration::from_secs(second);
            arrivals.add(names(&["empty"]), &[], now);
            assert!(arrivals.take(now, |_| true).is_empty());
        }
        assert_eq!(arrivals.due(), Some(now + WRITING));
        assert_eq!(arrivals.take(now + WRITING, |_| true), names(&["empty"]));
        assert_eq!(arrivals.due(), None);
    }

    #[test]
    fn a_name_without_a_trigger_waits_for_a_writer_and_one_behind_its_trigger_does_not() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.add(names(&["a"]), &[], now);
        assert_eq!(arrivals.due(), Some(now + WRITING));
        arrivals.pull(now);
        assert_eq!(arrivals.take(now, |_| false), names(&["a"]));
        arrivals.add(names(&["b"]), &[], now);
        assert_eq!(arrivals.due(), Some(now + MOMENT));
    }
}
