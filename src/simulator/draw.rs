//! Numbers drawn from a seed: the same seed, the same numbers, on every machine.

use std::time::Duration;

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// `label` keeps the streams of one seed apart: what is drawn for one server does not depend on how
    /// much was drawn for another.
    pub(super) fn new(seed: u64, label: u64) -> Self {
        let mut draw = Self(seed ^ label.wrapping_mul(0xd6e8_feb8_6659_fd93));
        draw.next();
        draw
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `limit`, without it.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).expect("it is below a length")].clone()
    }

    /// From `low` to `high`, every order of magnitude as likely as another.
    pub(super) fn span(&mut self, low: Duration, high: Duration) -> Duration {
        let mut ceiling = low.max(Duration::from_millis(1));
        let doublings = (high.as_millis() / ceiling.as_millis()).max(1).ilog2();
        ceiling *= 1 << self.below(u64::from(doublings) + 1);
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let drawn = self.between(millis(ceiling), millis(ceiling) * 2);
        Duration::from_millis(drawn).min(high)
    }
}
