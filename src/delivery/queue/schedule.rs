//! When a message is tried next, and when it is too old. Pure: time comes in as an argument.

use std::time::Duration;

/// The clock of one message, or of a remote at rest: `pausetime` after its first failure, doubling to
/// `maxpause`, with a tenth of jitter so that what failed together does not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetrySchedule {
    /// Makes the jitter this machine's own: a fleet that failed together must not come back together.
    pub(crate) salt: u64,
    pub(crate) pause: Duration,
    pub(crate) max_pause: Duration,
    /// `queuelifetime`: strictly older than this is too old.
    pub(crate) lifetime: Duration,
}

impl RetrySchedule {
    /// The pause after the `failures`-th failure in a row (from 1) of what goes by this name: the same
    /// name at the same count always gets the same pause.
    pub(crate) fn pause_after(&self, failures: u32, name: &str) -> Duration {
        // nullmailer: a maxpause below pausetime leaves the first pause as it is.
        let pause = match failures.saturating_sub(1) {
            0 => self.pause,
            doublings => 2_u32
                .checked_pow(doublings)
                .and_then(|factor| self.pause.checked_mul(factor))
                .map_or(self.max_pause, |pause| pause.min(self.max_pause)),
        };
        // In thousandths: 900 to 1100.
        let seed = hash(name.as_bytes()) ^ self.salt;
        let share = 900 + u32::try_from(scatter(seed, failures) % 201).expect("at most 200");
        pause.checked_mul(share).map_or(pause, |scaled| scaled / 1000)
    }

    pub(crate) fn is_too_old(&self, age: Duration) -> bool {
        age > self.lifetime
    }
}

/// FNV-1a.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A well-mixed number from a seed and a count (the finaliser of SplitMix64).
fn scatter(seed: u64, count: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(pause: u64, max_pause: u64) -> RetrySchedule {
        RetrySchedule {
            salt: 0,
            pause: Duration::from_secs(pause),
            max_pause: Duration::from_secs(max_pause),
            lifetime: Duration::from_secs(604_800),
        }
    }

    #[test]
    fn the_pause_doubles_to_its_maximum() {
        let schedule = schedule(60, 300);
        for (failures, base) in [(1, 60), (2, 120), (3, 240), (4, 300), (5, 300), (u32::MAX, 300)] {
            let pause = schedule.pause_after(failures, "7");
            let base = Duration::from_secs(base);
            assert!(base * 9 / 10 <= pause && pause <= base * 11 / 10, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn machines_that_failed_together_do_not_come_back_together() {
        let pauses: std::collections::BTreeSet<_> = (0..50)
            .map(|salt| RetrySchedule { salt, ..schedule(60, 300) }.pause_after(1, "relay"))
            .collect();
        assert!(pauses.len() > 20, "{pauses:?}");
    }

    #[test]
    fn a_message_is_too_old_only_beyond_its_lifetime() {
        let schedule = schedule(60, 300);
        assert!(!schedule.is_too_old(Duration::from_secs(604_800)));
        assert!(schedule.is_too_old(Duration::from_secs(604_801)));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_maxpause_and_its_jitter(
            pause in 1_u64..1_000_000, max in 1_u64..10_000_000, failures in 1_u32.., name in "[a-z]{0,9}",
        ) {
            let taken = schedule(pause, max).pause_after(failures, &name);
            let limit = if failures == 1 { pause } else { max };
            prop_assert!(taken <= Duration::from_secs(limit) * 11 / 10);
            prop_assert!(taken > Duration::ZERO);
        }

        #[test]
        fn without_a_pause_there_is_none(failures: u32, name in "[a-z]{0,9}") {
            prop_assert_eq!(schedule(0, 86_400).pause_after(failures.min(32), &name), Duration::ZERO);
        }
    }
}
