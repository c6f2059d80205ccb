//! How many messages to send side by side. Pure: time comes in as an argument.
//!
//! One session serves a small backlog best. More are opened only as the backlog asks: when it
//! would take long to work off, or when nothing has moved for a while because a message hangs.

use std::time::Duration;

use tokio::time::Instant;

/// The number of deliveries at once, as it grows and falls back.
#[derive(Debug)]
pub(super) struct Width {
    now: usize,
    /// The smoothed time that one message takes.
    each: Duration,
    /// When a message was last done with, or the width last changed.
    moved: Instant,
    /// Whether a message was done with since the width last grew: what shows what that brought.
    seen: bool,
}

/// A backlog that takes longer than this to work off deserves another session.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long without one message done, and the next one goes past.
const STALL: Duration = Duration::from_millis(250);

impl Width {
    pub(super) fn new(now: Instant) -> Self {
        Self { now: 1, each: Duration::ZERO, moved: now, seen: false }
    }

    /// One message took `time` from its start to its end.
    pub(super) fn done(&mut self, time: Duration, now: Instant) {
        self.each = if self.each.is_zero() { time } else { (self.each * 7 + time) / 8 };
        self.moved = now;
        self.seen = true;
    }

    /// Nothing is running: the next message starts afresh.
    pub(super) fn rest(&mut self, now: Instant) {
        self.now = 1;
        self.moved = now;
    }

    /// How many may run now, with `backlog` waiting and at most `limit` wanted.
    pub(super) fn allowed(&mut self, backlog: usize, limit: usize, now: Instant) -> usize {
        let waiting = u32::try_from(backlog).unwrap_or(u32::MAX);
        let width = u32::try_from(self.now).unwrap_or(u32::MAX);
        let long = self.each.saturating_mul(waiting) / width > PATIENCE;
        let stalled = now.saturating_duration_since(self.moved) >= STALL;
        if backlog > 0 && self.now < limit && (stalled || long && self.seen) {
            self.now += 1;
            self.moved = now;
            self.seen = false;
        }
        self.now.min(limit)
    }

    /// When to ask again although nothing happened.
    pub(super) fn next_look(&self, backlog: usize, limit: usize) -> Option<Instant> {
        (backlog > 0 && self.now < limit).then(|| self.moved + STALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn a_small_backlog_is_served_by_one_session() {
        let start = Instant::now();
        let mut width = Width::new(start);
        for n in 1..100 {
            let now = start + n * 2 * MILLI;
            width.done(2 * MILLI, now);
            assert_eq!(width.allowed(100, 4, now), 1);
        }
    }

    #[test]
    fn a_long_backlog_opens_sessions_to_the_limit_and_no_further() {
        let start = Instant::now();
        let mut width = Width::new(start);
        let mut now = start;
        for _ in 0..20 {
            now += 20 * MILLI;
            width.done(20 * MILLI, now);
            width.allowed(10_000, 4, now);
        }
        assert_eq!(width.allowed(10_000, 4, now), 4);
        width.rest(now);
        assert_eq!(width.allowed(0, 4, now), 1);
    }

    #[test]
    fn a_message_that_hangs_is_overtaken() {
        let start = Instant::now();
        let mut width = Width::new(start);
        assert_eq!(width.allowed(19, 4, start + MILLI), 1);
        assert_eq!(width.next_look(19, 4), Some(start + STALL));
        assert_eq!(width.allowed(19, 4, start + STALL), 2);
    }

    #[test]
    fn with_one_connection_allowed_there_is_one() {
        let start = Instant::now();
        let mut width = Width::new(start);
        assert_eq!(width.allowed(1000, 1, start + 10 * STALL), 1);
        assert_eq!(width.next_look(1000, 1), None);
    }
}
