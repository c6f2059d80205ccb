//! What is said of a recipient is the best reason that there is: a server's word on it before what
//! became of a session, and by the name of the server that said it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::{Breach, Judge, Law, View};
use crate::simulator::news::News;
use crate::simulator::plan::{Phase, host};
use crate::simulator::record::{Said, What};
use crate::simulator::world::EPOCH;

#[derive(Default)]
pub(super) struct Reasons {
    /// Words that no journal was asked about yet.
    fresh: BTreeSet<usize>,
    /// Texts without an answer since: whoever may have the message has a better reason to wait.
    maybe: BTreeSet<String>,
}

impl Judge for Reasons {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        match what {
            What::Said { addresses, .. } if view.facts.jams == 0 => {
                self.fresh.insert(view.facts.words.len() - 1);
                self.maybe.retain(|one| !addresses.contains(one));
            }
            What::Text { addresses, .. } => self.maybe.extend(addresses.iter().cloned()),
            // The client may have sent all of a text that the server has not read.
            What::Troubled { link, phase: Phase::Text, .. } => {
                self.maybe.extend(view.facts.links[*link].asked.iter().cloned());
            }
            // What cannot be written is written later.
            What::Crashed | What::Stopped | What::Jammed(_) => self.fresh.clear(),

            What::Logged(line) => match News::read(line) {
                Some(News::Complete) => self.compare(view, found),
                Some(News::Verdict { to, remote, reply, .. }) => {
                    found.extend(misquoted(to, remote, reply, view));
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Reasons {
    /// Nothing is under way: what journals say last was learnt in the last attempt.
    fn compare(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        let words = std::mem::take(&mut self.fresh);
        for word in words {
            let said = &view.facts.words[word];
            // Where an answer does not come in time nobody knows whom those before it are about.
            let is_cut = view.facts.links[said.link].troubled;
            // 421 is about the session.
            if said.code == 421 || is_cut || !view.facts.has_read(said) {
                continue;
            }
            let later = view.facts.words[word + 1..].iter();
            for address in said.addresses.iter().filter(|one| !self.maybe.contains(*one)) {
                // Another server may have said something after it, of the sender or of it.
                let is_of_it =
                    |other: &Said| other.addresses.is_empty() || other.addresses.contains(address);
                if later.clone().any(is_of_it) {
                    continue;
                }
                if let Some(text) = displaced(word, said, address, view) {
                    found.push(Breach::new(Law::Reasons, view.at, text));
                    return;
                }
            }
        }
    }
}

/// What the journal has in the place of a word of the same attempt.
fn displaced(word: usize, said: &Said, address: &str, view: View<'_>) -> Option<String> {
    let facts = view.facts;
    let (letter, _) = crate::simulator::post::place(address)?;
    let message = &facts.messages[(*facts.letters.get(letter)?)?];
    let journal = fs::read_to_string(view.world.file("status").join(&message.id)).ok()?;
    let line = journal.lines().rev().find(|line| line.split('\t').nth(2) == Some(address))?;
    let mut fields = line.split('\t');
    let time = fields.next()?.parse::<u64>().ok()?.saturating_sub(EPOCH);
    let (state, remote) = (fields.next()?, fields.nth(1)?);
    // The line is of the attempt that the word was said in, or of an earlier one.
    let is_of_it = Duration::from_secs(time) <= said.at;
    let server = host(facts.server_of(said.link));
    let quotes = line.ends_with(&format!(" w{word}"));
    let given_up = state == "failed" && line.contains("delivery time expired");
    (is_of_it && state != "sent" && !given_up && !(quotes && remote == server))
        .then(|| format!("{server} said w{word} of {address}, and the journal says: {line}"))
}

/// A server's word that is given to another, or said of somebody else.
fn misquoted(to: &str, remote: &str, reply: &str, view: View<'_>) -> Option<Breach> {
    let word: usize = reply.rsplit_once(" w")?.1.parse().ok()?;
    let said = view.facts.words.get(word)?;
    let server = host(view.facts.server_of(said.link));
    let is_of_it = said.addresses.is_empty() || said.addresses.iter().any(|one| one == to);
    let text = || format!("{server} said w{word}, and not {remote} of {to}");
    (remote != server || !is_of_it).then(|| Breach::new(Law::Reasons, view.at, text()))
}
