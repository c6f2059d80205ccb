//! No more messages than a remote wants: `ratelimit`. Pure: time comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Messages evenly spread, so that no window of the server's own sees more than its share.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
}

impl Pace {
    /// Takes a turn now, `between` after the last one; zero is no limit. Else when to ask again.
    pub(super) fn turn(&mut self, between: Duration, now: Instant) -> Result<(), Instant> {
        if let Some(next) = self.next(between).filter(|next| *next > now) {
            return Err(next);
        }
        self.last = Some(now);
        Ok(())
    }

    /// The end of what the last turn takes.
    pub(super) fn next(&self, between: Duration) -> Option<Instant> {
        self.last.map(|last| last + between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly_and_none_is_saved_up() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut pace = Pace::default();
        assert_eq!(pace.turn(2 * second, start), Ok(()));
        assert_eq!(pace.turn(2 * second, start + second), Err(start + 2 * second));
        assert_eq!(pace.turn(2 * second, start + 2 * second), Ok(()));
        let later = start + 100 * second;
        assert_eq!(pace.turn(2 * second, later), Ok(()));
        assert_eq!(pace.turn(2 * second, later), Err(later + 2 * second));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.turn(Duration::ZERO, start), Ok(()));
        assert_eq!(pace.turn(Duration::ZERO, start), Ok(()));
    }
}
