//! For tests of every room: that work grows with its size and not with the square of it.
#![allow(
    clippy::disallowed_methods,
    reason = "the kernel is asked for the time that a thread has worked"
)]

use std::time::{Duration, Instant};

const TIMES: u32 = 8;

/// Does the work for `few` and for eight times as many: what is linear takes eight times as long, what is quadratic 64
/// times. Between them is room for a machine that has other things to do.
pub(crate) fn assert_linear(few: usize, mut work: impl FnMut(usize)) {
    let begun = Instant::now();
    let mut fastest = |count| {
        let took = |_| {
            let before = worked(begun);
            work(count);
            worked(begun).saturating_sub(before)
        };
        (0..3).map(took).min().expect("three times")
    };
    let short = fastest(few).max(Duration::from_millis(1));
    let long = fastest(few * TIMES as usize);
    assert!(
        long < short * TIMES * 3,
        "{short:?} for {few}, and {long:?} for {TIMES} times as many"
    );
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
