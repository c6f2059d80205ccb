//! What a journal says, once it is read.

use std::collections::HashMap;

use crate::mail::{Address, DeliveryRequest};

/// What the journal knows of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) request: DeliveryRequest,
    /// Attempts that ended with a verdict on this message.
    pub(crate) attempts: u32,
    /// When the last of them began, seconds since 1970.
    pub(crate) last_attempt: Option<i64>,
    /// The sender was told that its mail waits.
    pub(crate) warned: bool,
    /// The last word on each recipient.
    pub(crate) verdicts: HashMap<Address, Verdict>,
    /// Lines that made no sense, a torn last one not counted.
    pub(crate) ignored: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    pub(crate) remote: String,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sent,
    Deferred,
    /// Refused, and the bounce for it is queued.
    Failed,
}

impl History {
    /// Whether the recipient still waits for delivery.
    pub(crate) fn is_pending(&self, recipient: &Address) -> bool {
        self.verdicts.get(recipient).is_none_or(|verdict| verdict.state == State::Deferred)
    }

    pub(super) fn take(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split('\t');
        let first = fields.next()?;
        if first == "request" {
            self.request = DeliveryRequest::parse(fields.next()?.as_bytes()).ok()?;
            return Some(());
        }
        let time: i64 = first.parse().ok()?;
        let state = match fields.next()? {
            "attempt" => {
                self.attempts = self.attempts.saturating_add(1);
                self.last_attempt = Some(time);
                return Some(());
            }
            "warned" => {
                self.warned = true;
                return Some(());
            }
            "missed" => return Some(()),
            "sent" => State::Sent,
            "deferred" => State::Deferred,
            "failed" => State::Failed,
            _ => return None,
        };
        let recipient = Address::parse(fields.next()?.as_bytes()).ok()?;
        let (remote, text) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        self.verdicts.insert(recipient, Verdict { state, remote, text });
        Some(())
    }
}
