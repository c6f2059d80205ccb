//! Nothing is lost: neither a recipient, nor the word about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use super::{Breach, Judge, Law, View};
use crate::simulator::facts::Facts;
use crate::simulator::news::{News, State};
use crate::simulator::post::{Message, Recipient, Report};
use crate::simulator::record::What;

/// Counts what there is whenever no daemon is at work.
#[derive(Default)]
pub(super) struct Silence {
    ids: BTreeSet<String>,
    /// Messages that are done with, or were complained of.
    done: BTreeSet<usize>,
}

impl Judge for Silence {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        match what {
            What::Queued { message, .. } => {
                let one = &view.facts.messages[*message];
                if !self.ids.insert(one.id.clone()) {
                    let text = format!("{} is the name of two messages", one.id);
                    found.push(Breach::new(Law::Names, view.at, text));
                }
                if one.report == Some(Report::Failure) {
                    found.extend(too_early(view));
                }
            }
            What::Stopped | What::Crashed if view.facts.jams == 0 => self.count(view, found),
            _ => {}
        }
    }

    fn end(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        self.count(view, found);
        for (number, message) in view.facts.messages.iter().enumerate() {
            if view.world.file("queue").join(&message.id).exists() {
                let text = format!("m{number} waits although all has been well for long");
                found.push(Breach::new(Law::Waiting, view.at, text));
            }
        }
    }
}

impl Silence {
    fn count(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        for (number, message) in view.facts.messages.iter().enumerate() {
            if self.done.contains(&number) {
                continue;
            }
            let is_queued = view.world.file("queue").join(&message.id).exists();
            let journal = fs::read_to_string(view.world.file("status").join(&message.id));
            let journal = journal.unwrap_or_default();
            let flaws = message.recipients.iter().filter_map(|recipient| {
                let flaw = lost(message, recipient, is_queued, &journal, view)?;
                Some(format!("{} of m{number} ({}) {flaw}", recipient.address, message.id))
            });
            let before = found.len();
            found.extend(flaws.map(|flaw| Breach::new(Law::Silence, view.at, flaw)));
            if !is_queued || found.len() > before {
                self.done.insert(number);
            }
        }
    }
}

/// What is wrong with how a recipient stands.
fn lost(
    message: &Message,
    recipient: &Recipient,
    is_queued: bool,
    journal: &str,
    view: View<'_>,
) -> Option<&'static str> {
    let served = recipient.is_served();
    if served || recipient.reported {
        return None;
    }
    let mut lines = journal.lines().filter_map(|line| {
        let mut fields = line.split('\t').skip(1);
        let state = fields.next()?;
        (fields.next()? == recipient.address).then_some(state)
    });
    let state = lines.next_back();
    let nobody_asks = message.sender.is_empty() || message.silent;
    if is_queued {
        return match state {
            Some("sent") => Some("counts as served, and is not"),
            Some("failed") if !nobody_asks => Some("counts as failed, and nobody was told"),
            _ => None,
        };
    }
    let names = fs::read_dir(view.world.file("failed")).into_iter().flatten().flatten();
    let is_of = |name: &str| {
        name.strip_prefix(message.id.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_kept =
        names.filter_map(|file| file.file_name().into_string().ok()).any(|name| is_of(&name));
    match (is_kept, nobody_asks) {
        (true, true) => None,
        (true, false) => Some("has failed, and its sender was not told"),
        (false, _) => Some("is gone"),
    }
}

/// A report of failure on somebody whom no server refused and whose time is not over.
fn too_early(view: View<'_>) -> Vec<Breach> {
    let facts = view.facts;
    let lifetime =
        facts.configs.iter().map(|(_, config)| config.lifetime).min().unwrap_or_default();
    let refuses = |facts: &Facts| facts.servers.iter().any(|server| server.ever_refused_mail);
    let mut found = Vec::new();
    for message in facts.messages.iter().filter(|message| message.report.is_none()) {
        for recipient in message.recipients.iter().filter(|one| one.reported) {
            let refused = facts
                .words
                .iter()
                .any(|word| word.code >= 500 && word.addresses.contains(&recipient.address));
            // The time of a file is in whole seconds.
            let is_old = view.at + Duration::from_secs(1) >= message.queued + lifetime;
            if !refused && !is_old && !refuses(facts) && recipient.reported_at == Some(view.at) {
                let text = format!("{} was given up too early", recipient.address);
                found.push(Breach::new(Law::GivingUp, view.at, text));
            }
        }
    }
    found
}

/// Counts the lines that say `sent`.
#[derive(Default)]
pub(super) struct LogLines {
    sent: BTreeMap<(usize, String), usize>,
    said: BTreeSet<(usize, String)>,
}

impl Judge for LogLines {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        let What::Logged(line) = what else { return };
        let (id, to) = match News::read(line) {
            Some(News::Anomaly) => {
                found.push(Breach::new(Law::Log, view.at, line.clone()));
                return;
            }
            Some(News::Verdict { id, to, state: State::Sent, .. }) => (id, to),
            _ => return,
        };
        let Some(&message) = view.facts.by_id.get(id) else { return };
        let told = told_copies(&view.facts.messages[message], to);
        let key = (message, to.to_owned());
        let lines = self.sent.entry(key.clone()).or_default();
        *lines += 1;
        if *lines > told && self.said.insert(key) {
            let text = format!("{lines} lines for {told} deliveries: {line}");
            found.push(Breach::new(Law::Log, view.at, text));
        }
    }

    fn end(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        for (number, message) in view.facts.messages.iter().enumerate() {
            for recipient in &message.recipients {
                let told = recipient.copies.iter().filter(|copy| {
                    let ends = &view.facts.daemon.ends;
                    let late = copy.at + Duration::from_secs(10);
                    copy.was_told() && !ends.iter().any(|end| (copy.at..late).contains(end))
                });
                let told = told.count();
                let lines =
                    self.sent.get(&(number, recipient.address.clone())).copied().unwrap_or(0);
                if lines < told {
                    let text =
                        format!("{lines} lines for {told} deliveries of {}", recipient.address);
                    found.push(Breach::new(Law::Log, view.at, text));
                }
            }
        }
    }
}

fn told_copies(message: &Message, address: &str) -> usize {
    let mut recipients = message.recipients.iter();
    let recipient = recipients.find(|one| one.address == address);
    recipient.map_or(0, |one| one.copies.iter().filter(|copy| copy.was_told()).count())
}
