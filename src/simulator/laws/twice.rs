//! Nobody gets a second copy but where it cannot be known whether there was a first.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Breach, Judge, Law, View};
use crate::simulator::news::{News, State};
use crate::simulator::plan::{MINUTE, SECOND};
use crate::simulator::record::{Copy, What};

/// A text that a server had whole, for one recipient.
struct Whole {
    at: Duration,
    link: usize,
    /// Where the reply to it ends, once it is said.
    end: Option<u64>,
}

#[derive(Default)]
pub(super) struct Twice {
    texts: BTreeMap<(usize, String), Vec<Whole>>,
    /// When it was last logged that a recipient waits or has failed.
    lines: BTreeMap<(usize, String), Duration>,
}

impl Judge for Twice {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        match what {
            What::Text { link, message, addresses } => {
                for address in addresses {
                    self.repeated(*message, address, view, found);
                    let whole = Whole { at: view.at, link: *link, end: None };
                    self.texts.entry((*message, address.clone())).or_default().push(whole);
                }
            }
            What::Taken { link, message, addresses, end } => {
                for address in addresses {
                    self.answered(*message, address, *link, *end);
                    twice(*message, address, view, found);
                }
            }
            What::Said { link, addresses, end, .. } => {
                for ((_, address), texts) in &mut self.texts {
                    if let Some(last) = texts.last_mut().filter(|_| addresses.contains(address))
                        && last.link == *link
                    {
                        last.end.get_or_insert(*end);
                    }
                }
            }
            What::Logged(line) => {
                if let Some(News::Verdict {
                    id, to, state: State::Deferred | State::Failed, ..
                }) = News::read(line)
                    && let Some(message) = view.facts.by_id.get(id)
                {
                    self.lines.insert((*message, to.to_owned()), view.at);
                }
            }
            _ => {}
        }
    }
}

impl Twice {
    fn answered(&mut self, message: usize, address: &str, link: usize, end: u64) {
        let texts = self.texts.get_mut(&(message, address.to_owned()));
        if let Some(last) = texts.and_then(|texts| texts.last_mut()).filter(|one| one.link == link)
        {
            last.end = Some(end);
        }
    }

    /// The text is whole once more at a server.
    fn repeated(&self, message: usize, address: &str, view: View<'_>, found: &mut Vec<Breach>) {
        let facts = view.facts;
        let key = (message, address.to_owned());
        let Some(last) = self.texts.get(&key).and_then(|texts| texts.last()) else { return };
        let link = &facts.links[last.link];
        if last.end.is_some_and(|end| link.wire.has_read(end)) || link.life != facts.daemon.life {
            return;
        }
        let closed = link.closed.unwrap_or(view.at);
        let pause = facts.shortest_pause() * 9 / 10;
        let again = closed + pause.saturating_sub(SECOND / 100);
        if view.at < again && facts.daemon.flushed < last.at {
            let text = format!(
                "m{message} for {address} may have been taken at #{} and was repeated {:?} after",
                last.link,
                view.at.saturating_sub(closed)
            );
            found.push(Breach::new(Law::Repeat, view.at, text));
        } else if self.lines.get(&key).is_none_or(|at| *at < last.at) {
            let text = format!("m{message} for {address} was repeated without a line in the log");
            found.push(Breach::new(Law::Repeat, view.at, text));
        }
    }
}

fn twice(message: usize, address: &str, view: View<'_>, found: &mut Vec<Breach>) {
    let recipients = &view.facts.messages[message].recipients;
    let Some(recipient) = recipients.iter().find(|one| one.address == address) else { return };
    let (_, before) = recipient.copies.split_last().expect("the copy is among them");
    let ends = &view.facts.daemon.ends;
    // A reply that the daemon had no time to look at was not read.
    let unseen = |copy: &Copy| ends.iter().any(|end| copy.wire.was_read_at(*end));
    // What cannot be written down is tried again each minute, and lost with the daemon.
    let mended = view.facts.unjammed;
    let unwritten = |copy: &Copy| {
        copy.at <= mended && ends.iter().any(|end| (copy.at..mended + MINUTE).contains(end))
    };
    let is_known = |copy: &&Copy| copy.was_told() && !unseen(copy) && !unwritten(copy);
    if let Some(copy) = before.iter().find(is_known) {
        let text = format!("m{message} for {address} was taken at #{} and was told so", copy.link);
        found.push(Breach::new(Law::Twice, view.at, text));
    }
}
