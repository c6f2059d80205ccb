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
    /// Uses one of `limit`, or says that there is none left.
    pub(super) fn take(&mut self, limit: u64, now: Instant) -> bool {
        if self.hour.is_none_or(|hour| now.saturating_duration_since(hour) >= HOUR) {
            self.hour = Some(now);
            self.used = 0;
        }
        if self.used >= limit {
            return false;
        }
        self.used += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_hour_is_over_there_are_new_ones() {
        let start = Instant::now();
        let mut quota = Quota::default();
        assert!(quota.take(2, start) && quota.take(2, start) && !quota.take(2, start));
        assert!(!quota.take(2, start + HOUR - Duration::from_secs(1)));
        assert!(quota.take(2, start + HOUR));
    }
}
