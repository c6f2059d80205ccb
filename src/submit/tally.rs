//! How many refusals are told one by one: whoever can make the daemon write a line must not be able to
//! fill a disk with lines.
//!
//! Called by `desk` alone. Pure: it is told the time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Lines for one user, and for all, in a minute.
const EACH: u64 = 10;
const ALL: u64 = 100;
const MINUTE: Duration = Duration::from_secs(60);
/// Users whose share is known: a user may have thousands of numbers for himself.
const KNOWN: usize = 1000;

#[derive(Debug)]
pub(super) struct Tally {
    begun: Instant,
    told: u64,
    untold: u64,
    of: HashMap<u32, u64>,
}

/// What was not told of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Untold {
    pub(super) count: u64,
    /// Who had the most, told and untold.
    pub(super) uid: u32,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, told: 0, untold: 0, of: HashMap::new() }
    }

    /// Whether this one is told; if not, it is counted.
    pub(super) fn tells(&mut self, uid: u32, now: Instant) -> bool {
        // What is untold has to be fetched first.
        if self.untold == 0 && now >= self.begun + MINUTE {
            *self = Self::new(now);
        }
        let known = self.of.len() < KNOWN || self.of.contains_key(&uid);
        let mine = known.then(|| self.of.entry(uid).or_default());
        let tells = self.told < ALL && mine.as_ref().is_some_and(|count| **count < EACH);
        if let Some(count) = mine {
            *count += 1;
        }
        if tells {
            self.told += 1;
        } else {
            self.untold += 1;
        }
        tells
    }

    /// When to ask for what was not told; never where there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.untold > 0).then(|| self.begun + MINUTE)
    }

    /// What was not told, and begins anew.
    pub(super) fn take(&mut self, now: Instant) -> Option<Untold> {
        let (count, uid) = (self.untold, self.of.iter().max_by_key(|(_, count)| **count)?.0);
        let untold = (count > 0).then_some(Untold { count, uid: *uid });
        *self = Self::new(now);
        untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_told_ten_times_a_minute_and_leaves_the_others_theirs() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        assert_eq!(tally.due(), None);
        assert_eq!((0..5000).filter(|_| tally.tells(7, now)).count(), 10);
        assert!(tally.tells(8, now));
        assert_eq!(tally.due(), Some(now + MINUTE));
        assert_eq!(tally.take(now + MINUTE), Some(Untold { count: 4990, uid: 7 }));
        assert!(tally.tells(7, now + MINUTE));
        assert_eq!((tally.due(), tally.take(now + MINUTE)), (None, None));
    }

    #[test]
    fn who_has_a_million_numbers_is_told_a_hundred_times_a_minute_and_takes_no_memory() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        assert_eq!((0..1_000_000).filter(|uid| tally.tells(*uid, now)).count(), 100);
        assert!(tally.of.len() <= KNOWN);
        assert_eq!(tally.take(now).unwrap().count, 999_900);
    }

    #[test]
    fn a_minute_in_which_all_was_told_passes_without_a_word() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        for nth in 0..100 {
            assert!(tally.tells(7, now + nth * MINUTE), "{nth}");
        }
        assert_eq!(tally.due(), None);
    }
}
