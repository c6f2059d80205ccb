//! Worlds that nobody wrote: every one of them must be lawful.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::laws::Law;
use super::random;
use super::world::{self, Outcome};

/// What is simulated where nothing else is asked for.
const SEEDS: Range<u64> = 0..4;
/// So many failures are shown whole.
const SHOWN: usize = 3;

/// What came of many worlds.
#[derive(Default)]
struct Tally {
    worlds: u64,
    messages: usize,
    connections: usize,
    crashes: usize,
    lasted: Duration,
    unlawful: u64,
    /// For each law, the worlds that broke it, and how.
    broken: BTreeMap<Law, Vec<(u64, String)>>,
    shown: Vec<String>,
}

impl Tally {
    fn simulate(&mut self, seed: u64) {
        let outcome = world::play(random::plan(seed));
        self.worlds += 1;
        self.messages += outcome.messages;
        self.connections += outcome.servers.len();
        self.crashes += outcome.crashes();
        self.lasted += outcome.lasted;
        if !outcome.breaches.is_empty() {
            self.unlawful += 1;
            self.accuse(seed, &outcome);
        }
    }

    fn accuse(&mut self, seed: u64, outcome: &Outcome) {
        let mut is_new = false;
        for breach in &outcome.breaches {
            let worlds = self.broken.entry(breach.law).or_default();
            is_new |= worlds.is_empty();
            if worlds.last().is_none_or(|(last, _)| *last != seed) {
                worlds.push((seed, breach.to_string()));
            }
        }
        if is_new && self.shown.len() < SHOWN {
            self.shown.push(outcome.to_string());
        }
    }

    fn report(&self) -> String {
        let Self { worlds, messages, connections, crashes, lasted, unlawful, .. } = self;
        let hours = lasted.as_secs() / 3600;
        let mut text = self.shown.join("\n");
        let _ = writeln!(
            text,
            "{worlds} worlds, {hours} virtual hours, {messages} messages, {connections} connections, \
             {crashes} crashes; {unlawful} worlds broke a law"
        );
        for (law, worlds) in &self.broken {
            let _ = writeln!(text, "{law:?}: {}", worlds.len());
            for (seed, breach) in worlds.iter().take(SHOWN) {
                let _ = writeln!(text, "  seed {seed}: {breach}");
            }
        }
        text
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn seeds() -> Range<u64> {
    let Some(text) = variable("SIMULATE_SEEDS") else { return SEEDS };
    let number = |text: &str| text.parse().expect("SIMULATE_SEEDS is FROM..TO");
    let (from, to) = text.split_once("..").expect("SIMULATE_SEEDS is FROM..TO");
    number(from)..number(to)
}

/// `SIMULATE_SEEDS=FROM..TO` simulates these, `SIMULATE_SECONDS=SECONDS` fresh ones for so long,
/// and `SIMULATE_TRACE=1` prints the whole of a world that broke a law.
#[test]
fn whatever_happens_no_law_is_broken() {
    let mut tally = Tally::default();
    if let Some(seconds) = variable("SIMULATE_SECONDS") {
        let seconds = seconds.parse().expect("SIMULATE_SECONDS is a number of seconds");
        let (begun, time) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH));
        let first = u64::try_from(time.unwrap_or_default().as_millis()).unwrap_or_default() << 16;
        let mut seed = first;
        while begun.elapsed() < Duration::from_secs(seconds) {
            tally.simulate(seed);
            seed += 1;
        }
    } else {
        seeds().for_each(|seed| tally.simulate(seed));
    }
    let report = tally.report();
    println!("{report}");
    assert!(tally.unlawful == 0, "{report}");
}

/// Where the runtime is seeded, the trace of a seed is the same each time.
#[cfg(tokio_unstable)]
#[test]
fn a_seed_plays_the_same_world_again() {
    for seed in SEEDS {
        let [one, other] = [(); 2].map(|()| world::play(random::plan(seed)));
        assert!(one.trace().eq(other.trace()), "seed {seed}");
    }
}
