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

    /// Reads back what [`fmt::Display`] has written, as far as it can be told from one line.
    pub(crate) fn recall(text: &str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        if let Some(code) = first.parse().ok().filter(|code| (200..600).contains(code)) {
            return Self::Remote(Reply { code, lines: vec![rest.to_owned()] });
        }
        match EnhancedCode::parse(text) {
            Some(status) => Self::local(status, rest),
            None => Self::local(EnhancedCode::new(4, 0, 0), text),
        }
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
    fn a_reason_is_the_same_after_it_was_written_and_read_back() {
        let reasons = [
            Reason::Remote(Reply::new(450, "4.2.2 mailbox is full")),
            Reason::local(EnhancedCode::new(4, 4, 1), "connect: Connection refused"),
        ];
        for reason in reasons {
            assert_eq!(Reason::recall(&reason.to_string()), reason);
        }
        assert_eq!(Reason::recall("what?").to_string(), "4.0.0 what?");
    }

    #[test]
    fn a_code_that_makes_no_sense_is_never_taken_for_success() {
        for code in [0, 199, 354, 600] {
            assert!(matches!(judge(Reply::new(code, "?")), Outcome::Deferred(_)));
        }
    }
}
