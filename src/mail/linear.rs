//! For tests of every room: that work grows with its size and not with the square of it.
#![allow(
    clippy::disallowed_methods,
    reason = "the kernel is asked for the time that a thread has worked"
)]

use std::time::{Duration, Instant};

const TIMES: u32 = 8;

/// So often is it measured before the work is held to be anything but linear: a machine that has other things to do
/// slows one measure down, and what is quadratic fails all.
const ROUNDS: usize = 8;

/// Does the work for `few` and for eight times as many: what is linear takes eight times as long, what is quadratic 64
/// times.
pub(crate) fn assert_linear(few: usize, mut work: impl FnMut(usize)) {
    let begun = Instant::now();
    let mut took = |count| {
        let before = worked(begun);
        work(count);
        worked(begun).saturating_sub(before)
    };
    let mut rounds = (0..ROUNDS).map(|_| {
        let short = took(few).max(Duration::from_millis(1));
        (short, took(few * TIMES as usize))
    });
    let mut seen = Vec::new();
    let is_linear = rounds.any(|(short, long)| {
        seen.push((short, long));
        long < short * TIMES * 3
    });
    assert!(is_linear, "{TIMES} times as many, and each time too long: {seen:?}");
}

/// How long this thread has had a processor, if the system tells; else how late it is.
fn worked(begun: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| begun.elapsed(), Duration::from_nanos)
}

/// So many addresses, each different.
pub(crate) fn addresses(count: usize) -> Vec<super::Address> {
    let text = (0..count).map(|number| format!("user{number}@x.example"));
    text.map(|text| super::Address::parse(text.as_bytes()).expect("it is one")).collect()
}
