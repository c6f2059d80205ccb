//! Mail does not wait without a reason.
//!
//! For each message the law knows until when it may wait, from what is true at the moment: since when the
//! daemon knows of it, when its own pause and that of a remote are over at the longest, since when every
//! server is well. While one of these reasons lasts, nothing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Breach, Judge, Law, View};
use crate::simulator::config::Config;
use crate::simulator::facts::Facts;
use crate::simulator::plan::{HOUR, MINUTE, SECOND};
use crate::simulator::post::Message;
use crate::simulator::record::{Clock, What};

#[derive(Default)]
pub(super) struct Waiting {
    /// Messages that somebody waits for.
    open: BTreeSet<usize>,
    /// For each, how many may be before it: the most there were since it was last offered to a remote.
    before: BTreeMap<usize, (u32, u32)>,
    /// Those that were complained of, and which law it was by.
    told: BTreeSet<(usize, Law)>,
}

/// Between two turns of mail that was tried before there are no more than so many of new mail.
const TURNS: u32 = 8;
/// No more messages are on their way to one remote.
const SIDE_BY_SIDE: u32 = 6;
/// For the dialogue itself, and for each message that may be before it.
const DIALOGUE: Duration = Duration::from_secs(5);
/// A message that is too old is looked for once a minute, and read once more a minute later.
const SWEEPS: Duration = Duration::from_secs(200);
/// The longest that a server can keep a message which it does not answer, without `sendtimeout`.
const HANGING: Duration = Duration::from_secs(3600);

impl Judge for Waiting {
    fn before(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        let facts = view.facts;
        if !facts.daemon.runs || facts.daemon.stops {
            return;
        }
        self.open.retain(|number| {
            let message = &facts.messages[*number];
            !message.is_settled() && !message.aside
        });
        let waiting = Waiters::count(facts, &self.open);
        for number in &self.open {
            let message = &facts.messages[*number];
            let ahead = waiting.ahead_of(facts, message);
            let entry = self.before.entry(*number).or_default();
            *entry = if entry.0 == message.offers {
                (entry.0, entry.1.max(ahead))
            } else {
                (message.offers, ahead)
            };
            let deadlines = [
                tried_by(facts, message, entry.1),
                given_up_by(facts, message),
                told_by(facts, message, waiting.all),
            ];
            for (by, law) in deadlines.into_iter().flatten() {
                if by < view.at && self.told.insert((*number, law)) {
                    let text = format!("m{number} has waited since {}", Clock(by));
                    found.push(Breach::new(law, view.at, text));
                }
            }
        }
    }

    fn see(&mut self, what: &What, _view: View<'_>, _found: &mut Vec<Breach>) {
        if let What::Queued { message, .. } = what {
            self.open.insert(*message);
        }
    }
}

struct Waiters {
    all: u32,
    /// Those that stand in the line of what was tried: they were, or have a journal, or were found to be old.
    again: u32,
}

impl Waiters {
    fn count(facts: &Facts, open: &BTreeSet<usize>) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let is_seen = |message: &Message| message.offers > 0 || message.warned || message.asks;
        let again = open.iter().filter(|number| is_seen(&facts.messages[**number])).count();
        Self { all: number(open.len()), again: number(again) }
    }

    /// New mail goes before what was tried, where both wait for their turn.
    fn ahead_of(&self, facts: &Facts, message: &Message) -> u32 {
        let is_paced = !facts.longest(Config::between).is_zero();
        if is_paced && message.offers > 0 {
            // Who was about to be offered when a session failed counts as tried.
            self.all.min(self.again + SIDE_BY_SIDE * facts.daemon.setbacks)
        } else {
            self.all
        }
    }
}

/// When a message is tried at the latest, and the law that says so; `None` while there is a reason to wait.
fn tried_by(facts: &Facts, message: &Message, ahead: u32) -> Option<(Duration, Law)> {
    // A report that is owed has its own hour.
    if !message.wants_a_server() || facts.is_held(message) {
        return None;
    }
    let own = match message.offers {
        0 => Duration::ZERO,
        // Whoever waited for a session that hung was only then done with all of its remotes.
        offers => {
            let troubles = facts.servers.iter().map(|server| server.troubled_until);
            let last = troubles.max().map_or(message.last, |at| at.max(message.last));
            last + facts.longest(|config| config.longest_pause(offers))
        }
    };
    let due = message.known?.max(own).max(facts.daemon.since);
    let is_paced = message.offers > 0 && !facts.longest(Config::between).is_zero();
    let law = if is_paced { Law::Starving } else { Law::Waiting };
    Some((turn_by(facts, due, ahead)?, law))
}

/// When a message that is due has its turn, with so many ahead of it.
fn turn_by(facts: &Facts, due: Duration, ahead: u32) -> Option<Duration> {
    let can_be_had = all_well_since(facts)?.max(rest_is_over(facts)?);
    let due = due.max(can_be_had).max(files_are_right_since(facts)?);
    let turns = facts.longest(Config::between) * TURNS * (ahead + 1);
    Some(due + turns + DIALOGUE + SECOND * ahead)
}

/// Since when every server that mail may go to is well and nothing hangs there.
fn all_well_since(facts: &Facts) -> Option<Duration> {
    let adopted = facts.adopted.min(facts.configs.len() - 1);
    let current = &facts.configs[adopted..];
    let servers = current.iter().flat_map(|(_, config)| &config.remotes).map(|line| line.server);
    let mut since = facts.configs.last()?.0;
    for server in servers {
        since = since.max(facts.servers[server].well_since()?);
    }
    Some(since)
}

/// Since when the daemon can read its control files and write its spool: what it cannot, it tries again a
/// minute later.
fn files_are_right_since(facts: &Facts) -> Option<Duration> {
    let (at, config) = facts.configs.last()?;
    if config.broken || facts.jams > 0 {
        return None;
    }
    let was_broken = facts.configs.iter().rev().nth(1).is_some_and(|(_, config)| config.broken);
    let mended = if was_broken { *at + MINUTE } else { Duration::ZERO };
    let written = if facts.unjammed.is_zero() { facts.unjammed } else { facts.unjammed + MINUTE };
    Some(mended.max(written) + SECOND)
}

/// When a remote that may have failed is tried again, at the latest.
fn rest_is_over(facts: &Facts) -> Option<Duration> {
    let over = |server: usize| {
        let server = &facts.servers[server];
        if server.failures == 0 {
            return server.recovered;
        }
        let pause = |failures| facts.longest(|config| config.longest_pause(failures));
        let rest = server.failed + pause(server.failures);
        // New mail has it tried one pause after its failure.
        match facts.daemon.pulled.filter(|pulled| *pulled > server.failed) {
            Some(pulled) => rest.min(pulled.max(server.failed + pause(1))),
            None => rest,
        }
    };
    facts.config().remotes.iter().map(|line| over(line.server)).min()
}

/// When a message that nobody takes is given up at the latest.
fn given_up_by(facts: &Facts, message: &Message) -> Option<(Duration, Law)> {
    if message.offers == 0 || message.last < facts.daemon.since || !message.wants_a_server() {
        return None;
    }
    let right = files_are_right_since(facts)?;
    let lifetime = facts.longest(|config| config.lifetime);
    let pause = facts.longest(|config| config.max_pause.max(config.pause)) * 11 / 10;
    let hang = facts.longest(|config| config.send_timeout.unwrap_or(HANGING)) + HANGING / 2;
    let hangs = facts.links.iter().any(|link| link.troubled);
    // It has to be tried twice, however old it is.
    let over = (message.queued + lifetime).max(message.first).max(facts.daemon.since).max(right);
    let by = over + pause + SWEEPS;
    Some((if hangs { by + hang } else { by }, Law::GivingUp))
}

/// When the sender of a message that was refused is told of it at the latest.
fn told_by(facts: &Facts, message: &Message, ahead: u32) -> Option<(Duration, Law)> {
    let is_owed = message.recipients.iter().any(|one| one.refused && !one.reported);
    if !is_owed || message.sender.is_empty() || message.silent || message.last < facts.daemon.since
    {
        return None;
    }
    let limits = facts.configs.iter().map(|(_, config)| config.bounce_limit.unwrap_or(100));
    let limit = usize::try_from(limits.min()?).ok().filter(|limit| *limit > 0)?;
    // There is room an hour after the first of the last ones.
    let mut told = facts.told.iter().rev().filter(|(sender, _)| *sender == message.sender);
    let room = told.nth(limit - 1).map_or(Duration::ZERO, |(_, told)| *told + HOUR);
    // Others of its recipients may still be under way.
    let attempt = facts.daemon.idle.filter(|idle| *idle >= message.last)?;
    Some((turn_by(facts, room.max(attempt) + MINUTE, ahead)?, Law::Telling))
}
