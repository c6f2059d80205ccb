//! The mail of a world: what was handed in, and the reports that the daemon wrote about it.
//!
//! Every recipient has an address of its own, so that whoever sees it (a server, a log line, a report)
//! knows which recipient of which message is meant.

use std::time::Duration;

use super::news::{News, State};
use super::plan::{Fate, Letter, host};
use super::record::Copy;

/// `bounceto`.
pub(super) const POSTMASTER: &str = "postmaster@own.example";

/// A message that is mail: whoever handed it in was told so.
#[allow(clippy::struct_excessive_bools, reason = "each of these is true of it or not")]
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    /// Its Message-Id.
    pub(super) mark: String,
    pub(super) queued: Duration,
    pub(super) sender: String,
    pub(super) recipients: Vec<Recipient>,
    /// Nobody is to hear of its failure.
    pub(super) silent: bool,
    /// Its sender has asked for something: it has a journal before it is tried.
    pub(super) asks: bool,
    pub(super) report: Option<Report>,
    /// Whose mail it reports on.
    pub(super) about: String,
    /// When the daemon knows of it at the latest.
    pub(super) known: Option<Duration>,
    /// How often it was offered to a remote, when first, and when something was last heard of it.
    pub(super) offers: u32,
    pub(super) first: Duration,
    pub(super) last: Duration,
    /// Its sender was warned.
    pub(super) warned: bool,
    /// The server that it was last offered to, while it is not known what came of that.
    bound_for: Option<String>,
    /// The daemon has said that it sets it aside.
    pub(super) aside: bool,
    /// The daemon has said that its sender is told later, and did not offer it to a server since.
    pub(super) owed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Recipient {
    pub(super) address: String,
    pub(super) copies: Vec<Copy>,
    /// The daemon has said that a server refuses it.
    pub(super) refused: bool,
    /// A report of its failure is mail.
    pub(super) reported: bool,
    pub(super) reported_at: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Failure,
    Warning,
}

impl Message {
    /// What a file in the queue holds.
    pub(super) fn read(text: &str, id: String, queued: Duration) -> Self {
        let (envelope, body) = text.split_once("\n\n").expect("there is an envelope");
        let mut lines = envelope.lines();
        let sender = lines.next().expect("there is a sender");
        let recipient = |address: &str| Recipient {
            address: address.to_owned(),
            copies: Vec::new(),
            refused: false,
            reported: false,
            reported_at: None,
        };
        let report = body.contains("message/delivery-status").then(|| {
            if body.contains("\nAction: delayed") { Report::Warning } else { Report::Failure }
        });
        Self {
            id,
            mark: mark(body),
            queued,
            sender: sender.to_owned(),
            recipients: lines.map(recipient).collect(),
            silent: false,
            asks: false,
            report,
            about: String::new(),
            known: None,
            offers: 0,
            first: Duration::MAX,
            last: queued,
            warned: false,
            bound_for: None,
            aside: false,
            owed: false,
        }
    }

    /// The daemon has said something of it.
    pub(super) fn hear(&mut self, news: News<'_>, at: Duration) {
        match news {
            News::Offered { host, .. } => {
                self.last = at;
                self.offers += 1;
                self.first = self.first.min(at);
                self.owed = false;
                self.bound_for = Some(host.to_owned());
            }
            News::Verdict { to, state, .. } => {
                self.last = at;
                self.bound_for = None;
                let mut recipients = self.recipients.iter_mut();
                if let Some(one) = recipients.find(|one| one.address == to) {
                    one.refused |= state == State::Failed;
                }
            }
            News::Owed { .. } => self.owed = true,
            News::Warned { .. } => self.warned = true,
            News::Aside { .. } => self.aside = true,
            News::Configured | News::Complete | News::RemoteFailed { .. } | News::Anomaly => {}
        }
    }

    /// Its delivery ended with the daemon.
    pub(super) fn leave(&mut self) {
        self.bound_for = None;
    }

    pub(super) fn is_bound_for(&self, server: usize) -> bool {
        self.bound_for.as_ref().is_some_and(|name| *name == host(server))
    }

    /// Somebody of it waits for a server.
    pub(super) fn wants_a_server(&self) -> bool {
        let done = |one: &Recipient| one.refused || one.reported || one.is_served();
        !self.owed && !self.recipients.iter().all(done)
    }

    /// Nobody of it waits: all are served, or their failure was reported.
    pub(super) fn is_settled(&self) -> bool {
        self.recipients.iter().all(|one| one.reported || one.is_served())
    }
}

impl Recipient {
    /// The client was told that a server has a copy.
    pub(super) fn is_served(&self) -> bool {
        self.copies.iter().any(Copy::was_told)
    }
}

/// The Message-Id of a message, which begins with its header.
pub(super) fn mark(text: &str) -> String {
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let field = lines.find_map(|line| line.strip_prefix("Message-Id: "));
    field.unwrap_or_default().to_owned()
}

pub(super) fn sender(letter: usize) -> String {
    format!("s{letter}@own.example")
}

pub(super) fn recipient(letter: usize, nth: usize) -> String {
    format!("r{nth}.m{letter}@to.example")
}

/// The letter of a recipient and which of them it is.
pub(super) fn place(address: &str) -> Option<(usize, usize)> {
    let local = address.strip_suffix("@to.example")?.strip_prefix('r')?;
    let (nth, letter) = local.split_once(".m")?;
    Some((letter.parse().ok()?, nth.parse().ok()?))
}

/// The fate of an address among the letters that were sent.
pub(super) fn fate(letters: &[Letter], address: &str) -> Fate {
    if let Some((letter, nth)) = place(address) {
        return letters[letter].recipients[nth];
    }
    let letter = address.strip_suffix("@own.example").and_then(|local| local.strip_prefix('s'));
    letter
        .and_then(|letter| letter.parse::<usize>().ok())
        .map_or(Fate::fine(), |at| letters[at].echo)
}

/// The recipients that a text names.
pub(super) fn named(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices("@to.example").filter_map(|(at, suffix)| {
        let from = text[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        place(&text[from.map_or(0, |from| from + 1)..at + suffix.len()])
    })
}

/// A letter as it is handed in.
pub(super) fn text(number: usize, lines: usize) -> String {
    let head = format!("Message-Id: <m{number}@own.example>\nSubject: m{number}\n\n");
    head + &"A line of a message, as long as such lines are.\n".repeat(lines)
}
