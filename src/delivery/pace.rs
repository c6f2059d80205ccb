//! No more messages than a remote wants: `ratelimit`. Pure: time comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Messages evenly spread, so that no window of the server's own sees more than its share.
#[derive(Debug)]
pub(super) struct Pace {
    between: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// Leaves `between` from one message to the next; zero is no limit.
    pub(super) fn new(between: Duration) -> Self {
        Self { between, next: None }
    }

    /// Takes the next turn and says when it is.
    pub(super) fn turn(&mut self, now: Instant) -> Instant {
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = Some(turn + self.between);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly_and_none_is_saved_up() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut pace = Pace::new(2 * second);
        assert_eq!(pace.turn(start), start);
        assert_eq!(pace.turn(start), start + 2 * second);
        assert_eq!(pace.turn(start + second), start + 4 * second);
        let later = start + 100 * second;
        assert_eq!(pace.turn(later), later);
        assert_eq!(pace.turn(later), later + 2 * second);
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!((pace.turn(start), pace.turn(start)), (start, start));
    }
}
