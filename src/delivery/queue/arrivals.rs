//! Decides when a name that appeared in `queue/` is a complete message.
//!
//! A program that renames a file into the queue, or closes one it wrote there, leaves no doubt, and its
//! names do not come here. This is for names that were linked, or made by somebody who may still write.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tokio::time::Instant;

/// Nobody who writes into the queue by hand takes longer over a message.
const WRITING: Duration = Duration::from_secs(10);
/// Whoever is writing has written something within this time.
pub(in crate::delivery) const QUIET: Duration = Duration::from_secs(2);
/// From open(2) to the first write(2).
const MOMENT: Duration = Duration::from_millis(5);
/// The kernel tells of a name and of the trigger this close to each other.
const LATE: Duration = Duration::from_secs(1);

/// Names that wait for a word that they are whole. Each has a deadline of its own, which no later
/// arrival moves.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Arrivals {
    made: HashMap<OsString, Made>,
    by_due: BTreeSet<(Instant, OsString)>,
    /// When the trigger was last pulled.
    pulled: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    due: Instant,
    /// Found empty when it was first to be taken; it is taken at `due` whatever it holds then.
    empty: bool,
}

impl Arrivals {
    /// Adds the names that were made. A name in `written` is told of once more when its writer has
    /// closed it.
    pub(in crate::delivery) fn add(
        &mut self,
        made: Vec<OsString>,
        written: &[OsString],
        now: Instant,
    ) {
        // The word that a name was made may come after the trigger that was pulled for it; a program
        // that is still writing has begun a moment later.
        let late = self.pulled.is_some_and(|pulled| now < pulled + LATE);
        let due = now + if late { MOMENT } else { WRITING };
        for name in made {
            if !self.made.contains_key(&name) {
                self.put(name, Made { due, empty: false });
            }
        }
        for name in written {
            self.remove(name);
        }
    }

    /// Adds a name that was found, of whose file it is not known whether it is whole.
    pub(in crate::delivery) fn wait(&mut self, name: OsString, now: Instant) {
        if !self.made.contains_key(&name) {
            self.put(name, Made { due: now + QUIET, empty: false });
        }
    }

    /// Whether a name waits here.
    pub(in crate::delivery) fn has(&self, name: &OsStr) -> bool {
        self.made.contains_key(name)
    }

    /// Notes that the trigger was pulled. A program pulls it after its link: what was made by now can
    /// be taken.
    pub(in crate::delivery) fn pull(&mut self, now: Instant) {
        self.pulled = Some(now);
    }

    /// When [`Arrivals::take_due`] has something to do.
    pub(in crate::delivery) fn due(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Takes all names, after a trigger, but for those that somebody may still be writing.
    pub(in crate::delivery) fn take_all(
        &mut self,
        now: Instant,
        may_grow: impl Fn(&OsStr) -> bool,
    ) -> Vec<OsString> {
        let names = std::mem::take(&mut self.by_due);
        self.take(names.into_iter().map(|(_, name)| name), now, may_grow)
    }

    /// Takes the names whose time is over by `now`.
    pub(in crate::delivery) fn take_due(
        &mut self,
        now: Instant,
        is_empty: impl Fn(&OsStr) -> bool,
    ) -> Vec<OsString> {
        let mut names = Vec::new();
        while self.due().is_some_and(|due| due <= now) {
            names.extend(self.by_due.pop_first().map(|(_, name)| name));
        }
        self.take(names.into_iter(), now, is_empty)
    }

    /// A file with nothing in it has a writer that is about to begin: it is given the time, once.
    fn take(
        &mut self,
        names: impl Iterator<Item = OsString>,
        now: Instant,
        is_empty: impl Fn(&OsStr) -> bool,
    ) -> Vec<OsString> {
        let mut whole = Vec::new();
        for name in names {
            let Some(made) = self.made.remove(&name) else { continue };
            let wait = if made.empty { made.due } else { now + WRITING };
            if now < wait && is_empty(&name) {
                self.put(name, Made { due: wait, empty: true });
            } else {
                whole.push(name);
            }
        }
        whole
    }

    fn put(&mut self, name: OsString, made: Made) {
        self.by_due.insert((made.due, name.clone()));
        self.made.insert(name, made);
    }

    /// The name needs no word any more.
    pub(in crate::delivery) fn remove(&mut self, name: &OsStr) {
        if let Some((name, made)) = self.made.remove_entry(name) {
            self.by_due.remove(&(made.due, name));
        }
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
        assert_eq!(arrivals.take_all(now, |name| name == "empty"), names(&["whole"]));
        assert_eq!(arrivals.due(), Some(now + WRITING));
    }

    #[test]
    fn an_empty_file_has_its_time_from_when_it_was_first_to_be_taken_however_often_it_is_seen() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.add(names(&["empty"]), &[], now);
        for second in 0..10 {
            let now = now + Duration::from_secs(second);
            arrivals.add(names(&["empty"]), &[], now);
            assert!(arrivals.take_all(now, |_| true).is_empty());
        }
        assert_eq!(arrivals.due(), Some(now + WRITING));
        assert_eq!(arrivals.take_due(now + WRITING, |_| true), names(&["empty"]));
        assert_eq!(arrivals.due(), None);
    }

    #[test]
    fn a_name_without_a_trigger_waits_for_a_writer_and_one_behind_its_trigger_does_not() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.add(names(&["a"]), &[], now);
        assert_eq!(arrivals.due(), Some(now + WRITING));
        arrivals.pull(now);
        assert_eq!(arrivals.take_all(now, |_| false), names(&["a"]));
        arrivals.add(names(&["b"]), &[], now);
        assert_eq!(arrivals.due(), Some(now + MOMENT));
    }

    #[test]
    fn no_name_waits_longer_because_others_keep_coming() {
        let (mut arrivals, start) = (Arrivals::default(), Instant::now());
        for second in 0..30 {
            let now = start + Duration::from_secs(second);
            arrivals.add(vec![second.to_string().into()], &[], now);
            let due = arrivals.take_due(now, |_| false);
            let expected = second.checked_sub(WRITING.as_secs()).map(|made| made.to_string());
            assert_eq!(due, expected.map(OsString::from).into_iter().collect::<Vec<_>>());
        }
    }
}
