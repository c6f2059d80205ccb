//! The messages of the model: what tells them apart, and what is known of them.

use std::collections::BTreeSet;
use std::io;

use crate::mail::{Address, DeliveryRequest, EnhancedCode, Outcome, Reason, Reply};
use crate::spool::Entry;

/// Every message has so many.
pub(super) const RECIPIENTS: usize = 3;

/// A message that is not done with.
#[derive(Default)]
pub(super) struct Message {
    pub(super) request: DeliveryRequest,
    pub(super) sent: BTreeSet<usize>,
    /// They may be tried again or not: that is the administrator's.
    pub(super) refused: BTreeSet<usize>,
    pub(super) touched: bool,
    pub(super) restored: bool,
    /// Nothing ties it to its journal any more, or that may have gone while it was away: who was served may be served
    /// again.
    pub(super) untied: bool,
}

pub(super) fn recipient(nth: usize) -> Address {
    Address::parse(format!("{nth}@x.example").as_bytes()).unwrap()
}

/// No two of one length: files of one size that were written in one moment cannot be told apart.
pub(super) fn text(number: u32) -> String {
    let to: Vec<String> = (0..RECIPIENTS).map(|nth| recipient(nth).to_string()).collect();
    let (to, body) = (to.join("\n"), "x".repeat(number as usize));
    format!("s@x.example\n{to}\n\nSubject: {number}\n\n{body}\n")
}

pub(super) fn number(text: &str) -> u32 {
    let subject = text.split_once("\nSubject: ").unwrap().1;
    subject.split('\n').next().unwrap().parse().unwrap()
}

pub(super) fn sent() -> Outcome {
    Outcome::Sent(Reply::new(250, "ok"))
}

pub(super) fn deferred() -> Outcome {
    Outcome::Deferred(Reason::local(EnhancedCode::new(4, 0, 0), "later"))
}

pub(super) fn refused() -> Outcome {
    Outcome::Failed(Reason::local(EnhancedCode::new(5, 0, 0), "no"))
}

pub(super) fn number_of(entry: &Entry) -> u32 {
    // Behind the envelope, and with the line before it for what number() looks for.
    number(&format!("\n{}", io::read_to_string(entry.reader()).unwrap()))
}
