//! No storm of bounces: `bouncelimit`, for each sender. Pure: time comes in as an argument.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::mail::ReversePath;

/// One quota for each sender, so that none uses up another's.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// Kept for the hour that it counts, under a hash of the sender: two that have the same share one.
    of: HashMap<u64, Quota>,
    hasher: RandomState,
    /// With so many, those whose hour is over are looked for.
    full: usize,
}

/// At most so many an hour, counted in hours that begin with the first.
#[derive(Debug, Default)]
struct Quota {
    hour: Option<Instant>,
    used: u64,
}

const HOUR: Duration = Duration::from_secs(3600);
/// Fewer are not worth a look.
const FEW: usize = 1000;

impl Quotas {
    /// Uses one of this sender's `limit`, or says when there are new ones.
    pub(super) fn take(
        &mut self,
        sender: &ReversePath,
        limit: u64,
        now: Instant,
    ) -> Result<(), Instant> {
        if self.of.len() >= self.full.max(FEW) {
            self.of.retain(|_, quota| quota.hour.is_some_and(|hour| now < hour + HOUR));
            self.full = 2 * self.of.len();
        }
        self.of.entry(self.key(sender)).or_default().take(limit, now)
    }

    /// What was taken last for this sender was not used: it begins no hour either.
    pub(super) fn give_back(&mut self, sender: &ReversePath) {
        let key = self.key(sender);
        if let Some(quota) = self.of.get_mut(&key) {
            quota.give_back();
        }
    }

    /// However the domain is written.
    fn key(&self, sender: &ReversePath) -> u64 {
        self.hasher.hash_one(sender.to_string().to_ascii_lowercase())
    }
}

impl Quota {
    fn take(&mut self, limit: u64, now: Instant) -> Result<(), Instant> {
        let hour = self.hour.filter(|hour| now < *hour + HOUR).unwrap_or_else(|| {
            self.used = 0;
            now
        });
        self.hour = Some(hour);
        if self.used >= limit {
            return Err(hour + HOUR);
        }
        self.used += 1;
        Ok(())
    }

    fn give_back(&mut self) {
        self.used = self.used.saturating_sub(1);
        if self.used == 0 {
            self.hour = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_is_there_for_another() {
        let (mut quota, now) = (Quota::default(), Instant::now());
        assert_eq!(quota.take(1, now), Ok(()));
        quota.give_back();
        let later = now + HOUR / 2;
        assert_eq!(quota.take(1, later), Ok(()));
        assert_eq!(quota.take(1, now + HOUR), Err(later + HOUR));
    }

    #[test]
    fn nobody_uses_up_what_another_has_and_an_hour_that_is_over_is_forgotten() {
        let sender =
            |name: u32| ReversePath::parse(format!("u{name}@x.example").as_bytes()).unwrap();
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        for name in 0..1500 {
            assert_eq!(quotas.take(&sender(name), 1, now), Ok(()));
        }
        let other = ReversePath::parse(b"U7@X.Example").unwrap();
        assert_eq!(quotas.take(&other, 1, now), Err(now + HOUR));
        quotas.give_back(&other);
        assert_eq!(quotas.take(&sender(7), 1, now), Ok(()));
        let later = now + HOUR;
        for name in 0..1500 {
            assert_eq!(quotas.take(&sender(2000 + name), 1, later), Ok(()));
        }
        assert!(quotas.of.len() < 3000, "{}", quotas.of.len());
    }

    #[test]
    fn when_the_hour_is_over_there_are_new_ones() {
        let start = Instant::now();
        let mut quota = Quota::default();
        let takes = [start, start, start, start + HOUR - Duration::from_secs(1), start + HOUR]
            .map(|now| quota.take(2, now));
        let later = Err(start + HOUR);
        assert_eq!(takes, [Ok(()), Ok(()), later, later, Ok(())]);
    }
}
