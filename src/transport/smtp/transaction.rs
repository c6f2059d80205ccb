//! One message over one session: MAIL, RCPT, the text, and a verdict for each recipient.
//!
//! With PIPELINING the envelope and DATA go in one round trip, and a whole message where `unasked` allows it.
//! Without, one command at a time. Verdicts are `mail::judge`'s.

#[cfg(test)]
mod tests;
mod text;

use std::collections::VecDeque;

use text::Following;

use super::plan::Plan;
use super::session::{Session, limit};
use super::survey::Survey;
use super::turns::Batch;
use super::unasked::Harmless;
use crate::mail::downgrade::Changes;
use crate::mail::{EnhancedCode, Outcome, Reason, Reply, judge};
use crate::transport::verdicts::Verdicts;
use crate::transport::{Cause, Fault, Mail, Phase, Report};

/// What is sent before a reply is read must fit the buffers between us and the server, else both
/// sides wait for the other to read (RFC 2920 §3.1).
const BATCH_COMMANDS: usize = 100;
const BATCH_BYTES: usize = 8 * 1024;
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
    /// Not told before it is sure that each answer was to the command it was taken for.
    refusals: Vec<(usize, Outcome)>,
    /// RFC 5321 §4.5.3.1.10: more than the server takes at once; to go in another transaction.
    again: Vec<usize>,
    /// MAIL was refused: nothing after it counts.
    refused: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Mail,
    Rcpt(usize),
}

impl Transaction<'_> {
    async fn run(&mut self) -> Result<(), Fault> {
        let survey = Survey::of(self.mail).await;
        let survey = survey.map_err(|error| self.unreadable(&error))?;
        let mut plan = Plan::make(self.mail, self.session.capabilities(), survey);
        self.changes = plan.changes;
        if let Some((who, refusal)) = plan.refused.take() {
            self.verdicts.decide(&who, &refusal);
        }
        let mut waiting = VecDeque::from(self.verdicts.open());
        if self.share == Share::AllOrNone && waiting.len() < self.mail.recipients.len() {
            let open = self.verdicts.open();
            self.verdicts.decide(&open, &held_back());
            waiting.clear();
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let chunk = self.chunk(survey)?;
        loop {
            self.session.enter(Phase::Envelope);
            let mut round = Round::default();
            let ended = self.round(&plan, chunk.as_ref(), &mut waiting, &mut round).await;
            self.tell(&mut round);
            ended?;
            if waiting.is_empty() {
                return Ok(());
            }
            if !self.session.is_open() {
                return Err(self.session.broke("server ended the session"));
            }
        }
    }

    /// One envelope and the text, for as many of those who wait as the server takes; leaves those it has yet
    /// to be asked for.
    async fn round(
        &mut self,
        plan: &Plan,
        chunk: Option<&Harmless>,
        waiting: &mut VecDeque<usize>,
        round: &mut Round,
    ) -> Result<(), Fault> {
        let pipelining = self.session.capabilities().pipelining;
        let trust = self.session.take_trust();
        let all = waiting.len();
        // To send it to none, all replies have to be read first.
        let may_follow = pipelining && (self.share == Share::Each || all == 1);
        let mut following = Following::Nothing;
        let mut next = Some(Step::Mail);
        while let Some(first) = next.take() {
            let (mut batch, steps) = self.batch(plan, first, waiting, pipelining);
            if may_follow && waiting.is_empty() {
                following = Following::choose(chunk, trust.as_ref(), self.mail);
                following.append_to(&mut batch);
            }
            self.session.expect_silence().await?;
            self.session.write(&batch).await?;
            for step in steps {
                self.envelope_reply(step, round).await?;
            }
            if !round.refused && round.again.is_empty() {
                next = waiting.pop_front().map(Step::Rcpt);
            }
        }
        round.again.drain(..).rev().for_each(|which| waiting.push_front(which));
        if round.refused {
            waiting.clear();
        }
        if self.share == Share::AllOrNone && round.accepted.len() < all {
            round.accepted.clear();
            // Whoever is refused is told that; all others, this.
            let others = self.verdicts.open().into_iter().map(|which| (which, held_back()));
            round.refusals.extend(others);
        }
        self.text(following, round).await
    }

    /// Tells of the recipients that were refused, unless an answer may have been taken for another's.
    fn tell(&mut self, round: &mut Round) {
        for (which, outcome) in round.refusals.drain(..) {
            if !self.session.is_out_of_step() {
                self.verdicts.decide(&[which], &outcome);
            }
        }
    }

    /// As many commands as may be sent before a reply is read, `first` and then those who wait; they wait no more.
    fn batch(
        &self,
        plan: &Plan,
        first: Step,
        waiting: &mut VecDeque<usize>,
        pipelining: bool,
    ) -> (Batch, Vec<Step>) {
        let line = |step| match step {
            Step::Mail => plan.mail_command(self.mail),
            Step::Rcpt(which) => plan.rcpt_command(self.mail, which),
        };
        let (mut batch, mut steps) = (Batch::default(), vec![first]);
        batch.command(&line(first));
        while pipelining && steps.len() < BATCH_COMMANDS {
            let Some(step) = waiting.front().copied().map(Step::Rcpt) else { break };
            let line = line(step);
            if batch.bytes().len() + line.len() > BATCH_BYTES {
                break;
            }
            batch.command(&line);
            steps.push(step);
            waiting.pop_front();
        }
        (batch, steps)
    }

    /// Reads the reply to one command of the envelope.
    async fn envelope_reply(&mut self, step: Step, round: &mut Round) -> Result<(), Fault> {
        let reply = self.session.reply(limit::COMMAND).await?;
        match step {
            Step::Mail => {
                let reply = self.verdict(reply, "MAIL")?;
                if !reply.is_positive() {
                    round.refused = true;
                    let refused = judge(reply);
                    let all = self.verdicts.open().into_iter();
                    round.refusals.extend(all.map(|which| (which, refused.clone())));
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
                    _ => round.refusals.push((which, judge(reply))),
                }
            }
        }
        Ok(())
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
        self.session.out_of_step(&format!("server answered {to} with {reply}"))
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

/// For those who would have been served but for another.
fn held_back() -> Outcome {
    let text = "held back: another recipient was not accepted";
    Outcome::Deferred(Reason::local(EnhancedCode::new(4, 5, 0), text))
}
