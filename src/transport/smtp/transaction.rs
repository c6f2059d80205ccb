//! One message over one session: MAIL, RCPT, the text, and a verdict for each recipient.
//!
//! With PIPELINING the envelope and DATA go in one round trip, with CHUNKING besides so does a
//! short message whole. Without, one command at a time. Verdicts are `mail::judge`'s.

#[cfg(test)]
mod tests;

use super::body::{Body, Dots};
use super::plan::Plan;
use super::session::{Part, Session, limit};
use super::survey::Survey;
use crate::mail::downgrade::Changes;
use crate::mail::{EnhancedCode, Outcome, Reason, Reply, judge};
use crate::transport::verdicts::Verdicts;
use crate::transport::{Cause, Fault, Mail, Phase, Report};

/// What is sent before a reply is read must fit the buffers between us and the server, else both
/// sides wait for the other to read (RFC 2920 §3.1).
const BATCH_COMMANDS: usize = 100;
const BATCH_BYTES: usize = 8 * 1024;
/// The longest text that follows its envelope unasked: one block.
const WHOLE: u64 = 64 * 1024;
/// A BDAT chunk, or somewhat more: long enough that its reply is no cost and a window of them fills a
/// long line, short enough to be held in memory.
const CHUNK: usize = 1024 * 1024;
/// Room for the longest BDAT command, which is known after its chunk.
const COMMAND: usize = 32;
/// BDAT chunks whose replies have not been read.
const WINDOW: usize = 8;
/// What is written at once: four TLS records, as much as rustls buffers.
pub(super) const WRITE: usize = 64 * 1024;

/// Sends a message; the session is ready for the next one unless something broke.
pub(crate) async fn deliver(
    session: &mut Session,
    mail: &Mail<'_>,
    share: Share,
    report: Report<'_>,
) -> Result<(), Fault> {
    session.enter(Phase::Envelope);
    let verdicts = Verdicts::new(mail, report);
    let mut transaction =
        Transaction { session, mail, share, changes: Changes::default(), verdicts };
    let ended = transaction.run().await;
    let Transaction { session, verdicts, .. } = transaction;
    if ended.is_ok() {
        session.settle();
    }
    verdicts.end(ended)
}

/// Who gets the message when the server does not take every recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Those it takes.
    Each,
    /// Nobody.
    AllOrNone,
}

struct Transaction<'a> {
    session: &'a mut Session,
    mail: &'a Mail<'a>,
    share: Share,
    changes: Changes,
    verdicts: Verdicts<'a>,
}

/// How far one envelope has come.
#[derive(Default)]
struct Round {
    accepted: Vec<usize>,
    /// RFC 5321 §4.5.3.1.10: more than the server takes at once; to go in another transaction.
    again: Vec<usize>,
    /// MAIL was refused: nothing after it counts.
    refused: bool,
}

/// How the text follows its envelope in the same batch.
enum Following {
    Nothing,
    Data,
    Whole(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Step {
    Mail,
    Rcpt(usize),
}

impl Transaction<'_> {
    async fn run(&mut self) -> Result<(), Fault> {
        let survey = Survey::of(self.mail).map_err(|error| self.unreadable(&error))?;
        let mut plan = Plan::make(self.mail, self.session.capabilities(), survey);
        self.changes = plan.changes;
        if let Some((who, refusal)) = plan.refused.take() {
            self.verdicts.decide(&who, &refusal);
        }
        let mut waiting = self.verdicts.open();
        if self.share == Share::AllOrNone && waiting.len() < self.mail.recipients.len() {
            self.hold_back();
            waiting.clear();
        }
        while !waiting.is_empty() {
            self.session.enter(Phase::Envelope);
            waiting = self.round(&plan, survey, &waiting).await?;
            if !waiting.is_empty() && !self.session.is_open() {
                return Err(self.session.broke("server ended the session"));
            }
        }
        Ok(())
    }

    /// One envelope and the text, for as many as the server takes; returns those it has yet to be
    /// asked for.
    async fn round(
        &mut self,
        plan: &Plan,
        survey: Survey,
        waiting: &[usize],
    ) -> Result<Vec<usize>, Fault> {
        let pipelining = self.session.capabilities().pipelining;
        let mut commands = Vec::with_capacity(waiting.len() + 1);
        commands.push(Step::Mail);
        commands.extend(waiting.iter().map(|which| Step::Rcpt(*which)));
        let mut rest = commands.as_slice();
        let mut round = Round::default();
        let mut following = Following::Nothing;
        while !rest.is_empty() && !round.refused && round.again.is_empty() {
            let (batch, length) = self.batch(plan, rest, pipelining);
            let (steps, unsent) = rest.split_at(length);
            rest = unsent;
            let mut bytes = batch.into_bytes();
            // To send it to none, all replies have to be read first.
            let unasked = self.share == Share::Each || waiting.len() == 1;
            if pipelining && rest.is_empty() && unasked {
                following = self.following(survey)?;
                following.append_to(&mut bytes);
            }
            self.session.expect_silence().await?;
            self.session.write(&bytes, following.part()).await?;
            for step in steps {
                self.envelope_reply(*step, waiting, &mut round).await?;
            }
        }
        if !round.refused {
            let unasked = rest.iter().filter_map(|step| match step {
                Step::Rcpt(which) => Some(*which),
                Step::Mail => None,
            });
            round.again.extend(unasked);
        }
        if self.share == Share::AllOrNone && round.accepted.len() < waiting.len() {
            round.accepted.clear();
            round.again.clear();
            self.hold_back();
        }
        self.text(following, &round).await?;
        Ok(round.again)
    }

    /// For those who would have been served but for another.
    fn hold_back(&mut self) {
        let text = "held back: another recipient was not accepted";
        let reason = Reason::local(EnhancedCode::new(4, 5, 0), text);
        self.verdicts.decide(&self.verdicts.open(), &Outcome::Deferred(reason));
    }

    /// As many commands as may be sent before a reply is read, and how many they are.
    fn batch(&self, plan: &Plan, commands: &[Step], pipelining: bool) -> (String, usize) {
        let mut batch = String::new();
        let mut count = 0;
        for command in commands {
            let line = match command {
                Step::Mail => plan.mail_command(self.mail),
                Step::Rcpt(which) => plan.rcpt_command(self.mail, *which),
            };
            let full = count >= BATCH_COMMANDS || batch.len() + line.len() > BATCH_BYTES;
            if count > 0 && (!pipelining || full) {
                break;
            }
            batch.push_str(&line);
            batch.push_str("\r\n");
            count += 1;
        }
        (batch, count)
    }

    fn following(&mut self, survey: Survey) -> Result<Following, Fault> {
        if !self.session.capabilities().chunking {
            return Ok(Following::Data);
        }
        if survey.size > WHOLE {
            // Sent only once somebody wants it.
            return Ok(Following::Nothing);
        }
        let mut body = Body::new(self.mail, self.changes, Dots::AsTheyAre);
        let mut text = Vec::new();
        while body.next(&mut text).map_err(|error| self.unreadable(&error))? {}
        Ok(Following::Whole(text))
    }

    /// Reads the reply to one command of the envelope.
    async fn envelope_reply(
        &mut self,
        step: Step,
        waiting: &[usize],
        round: &mut Round,
    ) -> Result<(), Fault> {
        let reply = self.session.reply(limit::COMMAND).await?;
        match step {
            Step::Mail => {
                let reply = self.verdict(reply, "MAIL")?;
                if !reply.is_positive() {
                    round.refused = true;
                    self.verdicts.decide(waiting, &judge(reply));
                }
            }
            // What is said to a RCPT behind a refused MAIL says nothing of the recipient.
            Step::Rcpt(_) if round.refused && reply.code != 421 => {}
            Step::Rcpt(which) => {
                let reply = self.verdict(reply, "RCPT")?;
                match reply.code {
                    200..=299 => round.accepted.push(which),
                    452 | 552 if !round.accepted.is_empty() && self.share == Share::Each => {
                        round.again.push(which);
                    }
                    _ => self.verdicts.decide(&[which], &judge(reply)),
                }
            }
        }
        Ok(())
    }

    /// Sends what has not been sent of the text, and settles all who were accepted.
    async fn text(&mut self, following: Following, round: &Round) -> Result<(), Fault> {
        let wanted = !round.accepted.is_empty();
        if !wanted {
            self.session.answered();
        }
        let reply = match following {
            Following::Whole(_) => {
                self.session.enter(Phase::Data);
                self.final_reply("BDAT").await?
            }
            Following::Data => {
                let reply = self.session.reply(limit::DATA).await?;
                if !wanted && reply.code == 354 {
                    // RFC 2920 §3.1: a message that nobody takes still has to be ended.
                    self.session.enter(Phase::Data);
                    self.session.write(b".\r\n", Part::Some).await?;
                    self.final_reply("the final dot").await?;
                    return Ok(());
                }
                self.data(reply).await?
            }
            Following::Nothing if round.refused => return Ok(()),
            Following::Nothing if !wanted => {
                self.reset().await;
                return Ok(());
            }
            Following::Nothing if self.session.capabilities().chunking => self.chunks().await?,
            Following::Nothing => {
                let reply = self.session.command_within("DATA", limit::DATA).await?;
                self.data(reply).await?
            }
        };
        self.session.answered();
        let positive = reply.is_positive();
        self.verdicts.decide(&round.accepted, &judge(reply));
        if !wanted || !positive {
            self.reset().await;
        }
        Ok(())
    }

    /// Goes on from the reply to DATA: the message, its final dot, and the reply to that.
    async fn data(&mut self, reply: Reply) -> Result<Reply, Fault> {
        if reply.code != 354 {
            let reply = self.verdict(reply, "DATA")?;
            if reply.is_positive() {
                return Err(self.out_of_step("DATA", &reply));
            }
            return Ok(reply);
        }
        self.session.enter(Phase::Data);
        let mut body = Body::new(self.mail, self.changes, Dots::Stuffed);
        let mut block = Vec::new();
        loop {
            block.clear();
            // An error leaves here: without the dot, the server cannot take half for the whole.
            let more = body.next(&mut block).map_err(|error| self.unreadable(&error))?;
            let part = if more { Part::Some } else { Part::Last };
            if !more {
                block.extend_from_slice(b".\r\n");
            }
            if let Some(early) = self.session.write_watching(&block, part).await? {
                return self.early(early);
            }
            if !more {
                return self.final_reply("the final dot").await;
            }
        }
    }

    /// The message in chunks of a known size (RFC 3030), some ahead of their replies.
    async fn chunks(&mut self) -> Result<Reply, Fault> {
        self.session.enter(Phase::Data);
        let window = if self.session.capabilities().pipelining { WINDOW } else { 1 };
        let mut body = Body::new(self.mail, self.changes, Dots::AsTheyAre);
        let (mut chunk, mut unanswered) = (Vec::with_capacity(COMMAND + CHUNK + 2 * WRITE), 0);
        self.session.expect_silence().await?;
        loop {
            chunk.clear();
            chunk.resize(COMMAND, 0);
            let mut more = true;
            while more && chunk.len() < CHUNK {
                more = body.next(&mut chunk).map_err(|error| self.unreadable(&error))?;
            }
            let command = bdat(chunk.len() - COMMAND, !more);
            let begin = COMMAND - command.len();
            chunk[begin..COMMAND].copy_from_slice(command.as_bytes());
            let mut blocks = chunk[begin..].chunks(WRITE).peekable();
            while let Some(block) = blocks.next() {
                let last = !more && blocks.peek().is_none();
                self.session.write(block, if last { Part::Last } else { Part::Some }).await?;
            }
            unanswered += 1;
            let ahead = if more && !self.session.is_failing() { window - 1 } else { 0 };
            while unanswered > ahead {
                let reply = self.final_reply("BDAT").await?;
                unanswered -= 1;
                if !reply.is_positive() {
                    // Chunks behind a refused one are refused too; the reasons are not. A server
                    // that leaves instead has said what it thinks of the message.
                    for _ in 0..unanswered {
                        if self.final_reply("BDAT").await.is_err() {
                            break;
                        }
                    }
                    return Ok(reply);
                }
                if !more && unanswered == 0 {
                    return Ok(reply);
                }
            }
        }
    }

    /// The reply that decides over the message. Once writing has failed it can only refuse: what
    /// is positive then was said of what came before.
    async fn final_reply(&mut self, to: &str) -> Result<Reply, Fault> {
        loop {
            let reply = self.session.reply(limit::FINAL_DOT).await?;
            let reply = self.verdict(reply, to)?;
            if !reply.is_positive() || !self.session.is_failing() {
                return Ok(reply);
            }
        }
    }

    /// A reply that came while the message was still going out. A refusal stands, for nothing that
    /// follows can be accepted; the session cannot go on in the middle of a message.
    fn early(&mut self, reply: Reply) -> Result<Reply, Fault> {
        let reply = self.verdict(reply, "part of the message")?;
        if reply.is_positive() {
            return Err(self.out_of_step("part of the message", &reply));
        }
        self.session.end();
        Ok(reply)
    }

    /// A reply that can be judged. 421 ends the session whatever it answers (RFC 5321 §3.8); 530
    /// says that we should have logged in (RFC 4954 §6), which is no word against the mail.
    fn verdict(&mut self, reply: Reply, to: &str) -> Result<Reply, Fault> {
        match reply.code {
            421 | 530 => Err(self.session.fault(Cause::Said(reply))),
            200..=299 | 400..=599 => Ok(reply),
            _ => Err(self.out_of_step(to, &reply)),
        }
    }

    fn out_of_step(&mut self, to: &str, reply: &Reply) -> Fault {
        self.session.broke(&format!("server answered {to} with {reply}"))
    }

    /// Leaves a transaction that did not end with its message. Every verdict is in by then, so a
    /// server that goes instead is no fault; the session is over all the same.
    async fn reset(&mut self) {
        if self.session.is_open()
            && !self.session.command("RSET").await.is_ok_and(|reply| reply.is_positive())
        {
            self.session.end();
        }
    }

    fn unreadable(&mut self, error: &std::io::Error) -> Fault {
        self.session.enter(Phase::Message);
        self.session.fault(Cause::System(error.kind(), error.to_string()))
    }
}

impl Following {
    fn part(&self) -> Part {
        match self {
            Self::Nothing | Self::Data => Part::Some,
            Self::Whole(_) => Part::Last,
        }
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Data => bytes.extend_from_slice(b"DATA\r\n"),
            Self::Whole(text) => {
                bytes.extend_from_slice(bdat(text.len(), true).as_bytes());
                bytes.extend_from_slice(text);
            }
        }
    }
}

fn bdat(length: usize, last: bool) -> String {
    format!("BDAT {length}{}\r\n", if last { " LAST" } else { "" })
}
