//! Which reply answers which command: one turn for each command, in the order in which they go out (RFC 2920 §3.1).
//! Pure.
//!
//! `wire` notes here what is written and what arrives. A reply is matched when it arrives, not when somebody asks for it:
//! it answers the oldest command without an answer, if all of that was out before the reply began, and else nothing. A
//! reply that answers nothing shows that some answer before it may have stood in the place of another.

use std::collections::VecDeque;

use crate::mail::Reply;

/// Commands that are written at once, each with its turn.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    turns: Vec<Turn>,
}

/// One command that wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// How many bytes have been written once this command is out.
    end: u64,
    /// It ends a message that somebody is to get.
    ends_message: bool,
}

impl Batch {
    /// Adds a command with its line end.
    pub(super) fn command(&mut self, line: &str) {
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self.turn(false);
    }

    /// Adds text that is not the end of its message.
    pub(super) fn text<T>(&mut self, add: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        add(&mut self.bytes)
    }

    /// Adds the end of a message: its dot, or its last chunk with the command for that.
    pub(super) fn end_message(&mut self, end: &[u8]) {
        self.bytes.extend_from_slice(end);
        self.turn(true);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.turns.clear();
    }

    fn turn(&mut self, ends_message: bool) {
        self.turns.push(Turn { end: self.bytes.len() as u64, ends_message });
    }
}

/// A reply, and what it is to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It answers the oldest command that had none.
    Answer(Reply),
    /// It answers nothing that was out when it came.
    Unasked(Reply),
}

/// The turns of one connection.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Without an answer, oldest first.
    waiting: VecDeque<Turn>,
    /// Answers that nobody has asked for yet.
    answers: VecDeque<Reply>,
    /// The first reply that answers nothing. What comes behind it means nothing either.
    unasked: Option<Reply>,
    /// The reply that is arriving began before there was anything to answer.
    premature: bool,
    /// Bytes that the connection took to be sent, and how many of these it no longer holds itself.
    written: u64,
    flushed: u64,
    /// A message is out whole, and nobody has said what became of it.
    in_doubt: bool,
}

impl Turns {
    /// The server speaks first.
    pub(super) fn greeting(&mut self) {
        self.waiting.push_back(Turn { end: self.written, ends_message: false });
    }

    /// All of these are about to be written.
    pub(super) fn announce(&mut self, batch: &Batch) {
        let begin = self.written;
        let turns = batch.turns.iter().map(|turn| Turn { end: begin + turn.end, ..*turn });
        self.waiting.extend(turns);
    }

    /// One command of so many bytes is about to be written.
    pub(super) fn announce_command(&mut self, length: usize) {
        self.waiting.push_back(Turn { end: self.written + length as u64, ends_message: false });
    }

    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count as u64;
        self.in_doubt |=
            self.waiting.iter().any(|turn| turn.ends_message && turn.end <= self.written);
    }

    pub(super) fn flushed(&mut self) {
        self.flushed = self.written;
    }

    /// Takes a whole reply that has arrived.
    pub(super) fn take(&mut self, reply: Reply) {
        if self.unasked.is_some() {
            return;
        }
        if !std::mem::take(&mut self.premature) && self.is_due() {
            self.waiting.pop_front();
            self.answers.push_back(reply);
        } else {
            self.unasked = Some(reply);
        }
    }

    /// A part of a reply has arrived.
    pub(super) fn take_part(&mut self) {
        self.premature |= !self.is_due();
    }

    /// The oldest command without an answer is out whole. A connection that holds bytes back itself (TLS) may still hold
    /// the end of a message; that a command's few bytes left it is shown by those behind them.
    fn is_due(&self) -> bool {
        self.waiting.front().is_some_and(|turn| {
            turn.end <= if turn.ends_message { self.flushed } else { self.written }
        })
    }

    /// The next reply in order: answers first.
    pub(super) fn next(&mut self) -> Option<Heard> {
        let answer = self.answers.pop_front().map(Heard::Answer);
        answer.or_else(|| self.unasked.clone().map(Heard::Unasked))
    }

    /// A reply that answers nothing.
    pub(super) fn unasked(&self) -> Option<&Reply> {
        self.unasked.as_ref()
    }

    /// Nothing waits for an answer, and no answer for us.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.answers.is_empty() && self.unasked.is_none()
    }

    /// A message is out whole, and it is not known what became of it.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// What became of the message is known, or nobody was to get it.
    pub(super) fn resolve(&mut self) {
        self.in_doubt = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16) -> Reply {
        Reply::new(code, "x")
    }

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.command("MAIL");
        batch.end_message(b"BDAT 1 LAST\r\nx");
        batch.command("RSET");
        batch
    }

    #[test]
    fn a_reply_answers_the_oldest_command_that_is_out() {
        let (mut turns, batch) = (Turns::default(), batch());
        turns.announce(&batch);
        turns.wrote(batch.bytes().len());
        turns.flushed();
        for code in [250, 550, 251] {
            turns.take(reply(code));
            assert_eq!(turns.next(), Some(Heard::Answer(reply(code))));
        }
        assert!(turns.is_idle());
        turns.take(reply(250));
        assert_eq!(turns.next(), Some(Heard::Unasked(reply(250))));
        assert!(!turns.is_idle());
    }

    #[test]
    fn nothing_answers_what_is_not_out_whole() {
        let batch = batch();
        for written in 0..batch.bytes().len() {
            let mut turns = Turns::default();
            turns.announce(&batch);
            turns.wrote(written);
            // What a connection holds back itself is not out, where a message depends on it.
            let ends = [6, 20, 26];
            let due = usize::from(written >= ends[0]);
            for _ in 0..3 {
                turns.take(reply(250));
            }
            let answers = std::iter::from_fn(|| match turns.next() {
                Some(Heard::Answer(_)) => Some(()),
                _ => None,
            });
            assert_eq!(answers.count(), due, "{written}");
            assert_eq!(turns.unasked(), Some(&reply(250)));
            assert_eq!(turns.is_in_doubt(), written >= ends[1], "{written}");
        }
    }

    #[test]
    fn a_reply_that_began_too_early_answers_nothing_when_it_is_whole() {
        let mut turns = Turns::default();
        turns.take_part();
        turns.announce_command(6);
        turns.wrote(6);
        turns.take(reply(250));
        assert_eq!(turns.next(), Some(Heard::Unasked(reply(250))));
    }
}
