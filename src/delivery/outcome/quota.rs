//! No storm of bounces: `bouncelimit`. Pure: time comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// At most so many an hour, counted in hours that begin with the first.
#[derive(Debug, Default)]
pub(super) struct Quota {
    hour: Option<Instant>,
    used: u64,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Quota {
    /// Uses one of `limit`, or says when there are new ones.
    pub(super) fn take(&mut self, limit: u64, now: Instant) -> Result<(), Instant> {
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

    /// What was taken last was not used: it begins no hour either.
    pub(super) fn give_back(&mut self) {
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
    fn when_the_hour_is_over_there_are_new_ones() {
        let start = Instant::now();
        let mut quota = Quota::default();
        let takes = [start, start, start, start + HOUR - Duration::from_secs(1), start + HOUR]
            .map(|now| quota.take(2, now));
        let later = Err(start + HOUR);
        assert_eq!(takes, [Ok(()), Ok(()), later, later, Ok(())]);
    }
}
