//! The server's side of SMTP (RFC 5321), as far as it is talk: what each command is answered, what
//! a transaction has gathered, and where the data ends. No input or output of its own.
//!
//! Called by `roles/smtpd`.

mod command;
mod data;
mod line;

use std::borrow::Cow;

use command::Command;
pub(crate) use data::{DataReader, TooLarge};
pub(crate) use line::Line;

use super::{Address, Canonical, Recipients, ReversePath};

/// One conversation.
pub(crate) struct Conversation<'a> {
    me: &'a str,
    /// The largest message taken, in bytes.
    limit: u64,
    canonical: Canonical<'a>,
    sender: Option<ReversePath>,
    recipients: Vec<Address>,
    mistakes: u32,
}

/// An answer without its last CR LF; between lines it has them.
pub(crate) type Answer = Cow<'static, str>;

/// What follows a line of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Say(Answer),
    /// Say it, then read the data.
    Data(Answer, ReversePath, Recipients),
    /// Say it, and that was all.
    Close(Answer),
}

/// RFC 5321 §4.5.3.1.8 asks for 100 at least.
const MAX_RECIPIENTS: usize = 1000;
/// A client that makes more is none.
const MAX_MISTAKES: u32 = 20;

impl<'a> Conversation<'a> {
    pub(crate) fn new(me: &'a str, limit: u64, canonical: Canonical<'a>) -> Self {
        Self { me, limit, canonical, sender: None, recipients: Vec::new(), mistakes: 0 }
    }

    pub(crate) fn greeting(&self) -> Answer {
        format!("220 {} ESMTP nullmailer-smtpd", self.me).into()
    }

    /// Takes what the client sent in.
    pub(crate) fn take(&mut self, line: Line<'_>) -> Step {
        let command = match line {
            Line::Command(text) => Command::parse(text, self.canonical),
            Line::TooLong => Err("500 5.5.6 line too long"),
            Line::Control => Err("500 5.5.2 a command is text without control characters"),
            // What follows may be a command that somebody smuggled in: it is not looked at.
            Line::BareLf => return Step::Close("500 5.5.2 a line ends in CR LF".into()),
        };
        let answer = match command {
            Ok(Command::Data) => return self.data(),
            Ok(Command::Quit) => return Step::Close("221 2.0.0 goodbye".into()),
            Ok(command) => self.answer(command),
            Err(refusal) => refusal.into(),
        };
        if answer.starts_with("500") || answer.starts_with("503") {
            self.mistakes += 1;
            if self.mistakes > MAX_MISTAKES {
                return Step::Close("421 4.7.0 too many mistakes".into());
            }
        }
        Step::Say(answer)
    }

    /// The transaction is over, with or without a message.
    pub(crate) fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }

    fn answer(&mut self, command: Command) -> Answer {
        match command {
            Command::Helo => {
                self.reset();
                format!("250 {}", self.me).into()
            }
            Command::Ehlo => {
                self.reset();
                format!(
                    "250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES",
                    self.me, self.limit
                )
                .into()
            }
            Command::Mail { size, .. } if size > self.limit => too_large(self.limit),
            Command::Mail { sender, .. } => {
                self.reset();
                self.sender = Some(sender);
                "250 2.1.0 sender accepted".into()
            }
            Command::Rcpt(_) if self.sender.is_none() => "503 5.5.1 MAIL comes first".into(),
            Command::Rcpt(_) if self.recipients.len() >= MAX_RECIPIENTS => {
                "452 4.5.3 too many recipients".into()
            }
            Command::Rcpt(recipient) => {
                self.recipients.push(recipient);
                "250 2.1.5 recipient accepted".into()
            }
            Command::Rset => {
                self.reset();
                "250 2.3.0 forgotten".into()
            }
            Command::Noop => "250 2.3.0 done".into(),
            Command::Vrfy => "252 2.5.2 send it and see".into(),
            Command::Help => {
                "214 2.0.0 HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT (RFC 5321)".into()
            }
            Command::Data | Command::Quit => unreachable!("take() has answered them"),
        }
    }

    fn data(&mut self) -> Step {
        let Some(sender) = self.sender.clone() else {
            return Step::Say("503 5.5.1 MAIL comes first".into());
        };
        match Recipients::new(self.recipients.iter().cloned()) {
            Ok(recipients) => {
                self.reset();
                Step::Data("354 end the message with CR LF . CR LF".into(), sender, recipients)
            }
            Err(super::NoRecipients) => Step::Say("503 5.5.1 RCPT comes first".into()),
        }
    }
}

pub(crate) fn too_large(limit: u64) -> Answer {
    format!("552 5.3.4 a message may have {limit} bytes").into()
}

#[cfg(test)]
mod tests;
