//! What became of one recipient in one attempt.

use std::fmt;

use super::{EnhancedCode, Reply};

/// The verdict on one recipient of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// The smarthost took responsibility; never send to this recipient again.
    Sent(Reply),
    /// Not now: keep the recipient and try again.
    Deferred(Reason),
    /// Refused for good: bounce.
    Failed(Reason),
}

/// Why a recipient was not served: in the server's words, or in ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Remote(Reply),
    Local { status: EnhancedCode, text: String },
}

/// What a reply to RCPT, or to the message for those who were accepted, means for a recipient: the
/// table of RFC 5321 §4.2.1. 2yz done, 5yz refused, all else not now.
///
/// Replies of the session (greeting, EHLO, STARTTLS, login) are not judged: they say nothing about
/// the mail, make a `transport::Fault`, and only ever delay it.
pub(crate) fn judge(reply: Reply) -> Outcome {
    match reply.code {
        200..=299 => Outcome::Sent(reply),
        500..=599 => Outcome::Failed(Reason::Remote(reply)),
        _ => Outcome::Deferred(Reason::Remote(reply)),
    }
}

impl Reason {
    pub(crate) fn local(status: EnhancedCode, text: impl fmt::Display) -> Self {
        Self::Local { status, text: text.to_string() }
    }

    pub(crate) fn status(&self) -> EnhancedCode {
        match self {
            Self::Remote(reply) => reply.status(),
            Self::Local { status, .. } => *status,
        }
    }
}

/// One line, without control characters.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(reply) => reply.fmt(f),
            Self::Local { status, text } => write!(f, "{status} {}", super::Printable(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_recipient_fails_and_a_busy_one_waits() {
        assert!(matches!(judge(Reply::new(550, "no")), Outcome::Failed(_)));
        assert!(matches!(judge(Reply::new(450, "later")), Outcome::Deferred(_)));
    }

    #[test]
    fn a_code_that_makes_no_sense_is_never_taken_for_success() {
        for code in [0, 199, 354, 600] {
            assert!(matches!(judge(Reply::new(code, "?")), Outcome::Deferred(_)));
        }
    }
}
