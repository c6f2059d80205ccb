//! Limits hold: those that the administrator set, and those of good manners.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Breach, Judge, Law, View};
use crate::simulator::config::{Config, Line};
use crate::simulator::facts::Facts;
use crate::simulator::news::News;
use crate::simulator::plan::{HOUR, SECOND, host};
use crate::simulator::post::Report;
use crate::simulator::record::What;

/// `connections` and `messages`.
pub(super) struct Connections;

impl Judge for Connections {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        let facts = view.facts;
        match what {
            What::Dialled { link } => {
                let (server, life) = (facts.server_of(*link), facts.daemon.life);
                let links = facts.links.iter();
                let open = links
                    .filter(|one| one.server == server && one.life == life && one.closed.is_none())
                    .count();
                // What the disk says may not have been read.
                let most = limit(facts, facts.adopted, server, |line| Some(line.most()));
                if most.is_some_and(|most| open > most) {
                    let text = format!("{open} connections with {}", host(server));
                    found.push(Breach::new(Law::Connections, view.at, text));
                }
            }
            What::Text { link, .. } => {
                let (server, carried) = (facts.server_of(*link), facts.links[*link].carried.len());
                let most = limit(facts, 0, server, |line| line.messages);
                if most.is_some_and(|most| carried > most) {
                    let text = format!("{carried} messages in session #{link}");
                    found.push(Breach::new(Law::MessagesPerSession, view.at, text));
                }
            }
            _ => {}
        }
    }
}

/// The highest limit on a server from a configuration on; `None` where one of them has none.
fn limit(
    facts: &Facts,
    from: usize,
    server: usize,
    of: impl Fn(&Line) -> Option<usize>,
) -> Option<usize> {
    let configs = facts.configs[from.min(facts.configs.len() - 1)..].iter();
    let lines: Vec<_> = configs.filter_map(|(_, config)| config.line(server)).collect();
    // One that is gone keeps the limit that it had.
    let before = || facts.configs.iter().rev().find_map(|(_, config)| config.line(server));
    let lines = if lines.is_empty() { before().into_iter().collect() } else { lines };
    let limits: Option<Vec<_>> = lines.into_iter().map(of).collect();
    limits?.into_iter().max()
}

/// `ratelimit`: so much time from one message to the next, for each remote.
#[derive(Default)]
pub(super) struct Rate {
    /// When a message last had its turn, and which configuration was in use.
    last: BTreeMap<String, (Duration, usize)>,
}

impl Judge for Rate {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        let line = match what {
            What::Begun => {
                self.last.clear();
                return;
            }
            What::Logged(line) => line,
            _ => return,
        };
        let Some(News::Offered { host: name, .. }) = News::read(line) else { return };
        let facts = view.facts;
        if let Some((before, adopted)) = self.last.get(name) {
            let between =
                facts.configs[*adopted..].iter().map(|(_, config)| config.between()).min();
            let passed = view.at.saturating_sub(*before);
            if passed + SECOND / 100 < between.unwrap_or_default() {
                let text = format!("{passed:?} between two messages for {name}");
                found.push(Breach::new(Law::Rate, view.at, text));
            }
        }
        self.last.insert(name.to_owned(), (view.at, facts.adopted));
    }
}

/// `bouncelimit`: so many reports an hour to each sender, counted in hours that begin with the first of them.
#[derive(Default)]
pub(super) struct Bounces {
    failures: BTreeMap<String, Quota>,
    warnings: BTreeMap<String, Quota>,
}

#[derive(Default)]
struct Quota {
    hour: Option<Duration>,
    used: u64,
}

impl Judge for Bounces {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        match what {
            What::Begun => *self = Self::default(),
            What::Queued { message, .. } => {
                let message = &view.facts.messages[*message];
                let quotas = match message.report {
                    Some(Report::Failure) => &mut self.failures,
                    Some(Report::Warning) => &mut self.warnings,
                    None => return,
                };
                let quota = quotas.entry(message.about.clone()).or_default();
                let limits = |config: &Config| config.bounce_limit.unwrap_or(100);
                let limit = view.facts.configs.iter().map(|(_, config)| limits(config)).max();
                if quota.hour.is_none_or(|hour| view.at >= hour + HOUR) {
                    quota.hour = Some(view.at);
                    quota.used = 0;
                }
                quota.used += 1;
                if Some(quota.used) > limit {
                    let text = format!("{} reports in an hour", quota.used);
                    found.push(Breach::new(Law::Bounces, view.at, text));
                }
            }
            _ => {}
        }
    }
}

/// The daemon says no more than it has to, and ends when it is told to.
#[derive(Default)]
pub(super) struct Rest {
    second: u64,
    lines: u32,
    stopping: Option<Duration>,
}

/// Lines of the log in one second.
const LINES: u32 = 5000;
/// Ten seconds, and what servers take to be said goodbye to.
const STOP: Duration = Duration::from_secs(13);

impl Judge for Rest {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        match what {
            What::Logged(line) => {
                if view.at.as_secs() != self.second {
                    (self.second, self.lines) = (view.at.as_secs(), 0);
                }
                self.lines += 1;
                if self.lines == LINES {
                    let text = format!("{LINES} lines in a second, the last: {line}");
                    found.push(Breach::new(Law::Spin, view.at, text));
                }
            }
            What::Stopping => self.stopping = self.stopping.or(Some(view.at)),
            What::Begun | What::Crashed => self.stopping = None,
            What::Stopped => {
                let took = self.stopping.take().map(|at| view.at.saturating_sub(at));
                if let Some(took) = took.filter(|took| *took > STOP) {
                    let text = format!("it took {took:?} to stop");
                    found.push(Breach::new(Law::Stop, view.at, text));
                }
            }
            _ => {}
        }
    }
}
