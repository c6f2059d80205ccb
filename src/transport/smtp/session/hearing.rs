//! Reading replies, and noticing those that answer nothing.

use std::time::Duration;

use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use super::{Session, State, limit};
use crate::mail::Reply;
use crate::transport::smtp::turns::Heard;
use crate::transport::{Cause, Fault};

impl Session {
    /// Reads the answer to the oldest command that has none.
    pub(in crate::transport::smtp) async fn reply(
        &mut self,
        limit: Duration,
    ) -> Result<Reply, Fault> {
        match self.hear(limit).await? {
            Heard::Answer(reply) => Ok(reply),
            Heard::Unasked(reply) => Err(self.unasked(reply)),
        }
    }

    /// Reads one reply, whatever it answers.
    pub(in crate::transport::smtp) async fn hear(
        &mut self,
        limit: Duration,
    ) -> Result<Heard, Fault> {
        let limit = if self.failing { limit.min(limit::PARTING) } else { limit };
        match timeout(self.within(limit), self.wire.next()).await {
            Ok(Ok(heard)) => {
                if matches!(&heard, Heard::Answer(reply) if reply.code == 421) {
                    self.state = State::Over;
                }
                Ok(match heard {
                    heard if !self.keeps_replies() => heard,
                    Heard::Answer(reply) => Heard::Answer(self.masked(reply)),
                    Heard::Unasked(reply) => Heard::Unasked(self.masked(reply)),
                })
            }
            Ok(Err(error)) => Err(self.broke(&error.to_string())),
            Err(_) => {
                // A reply too few: what came was perhaps said of the next command each time.
                self.out_of_step = true;
                Err(self.fault(Cause::TimedOut))
            }
        }
    }

    /// The fault that a reply answers nothing. 421 needs no question (RFC 5321 §3.8).
    fn unasked(&mut self, reply: Reply) -> Fault {
        if reply.code == 421 {
            return self.fault(Cause::Said(reply));
        }
        self.out_of_step(&format!("server sent unasked: {reply}"))
    }

    /// The fault that a reply does not stand where it should: so may those before it.
    pub(in crate::transport::smtp) fn out_of_step(&mut self, sentence: &str) -> Fault {
        self.out_of_step = true;
        self.broke(sentence)
    }

    /// Whether answers may have stood in each other's place.
    pub(in crate::transport::smtp) fn is_out_of_step(&self) -> bool {
        self.out_of_step
    }

    /// Every answer that was due is in: one more would mean that some of them were not what they were taken for. In a
    /// session that is over there is none to be expected.
    ///
    /// # Errors
    /// There is one more, or the beginning of one.
    pub(in crate::transport::smtp) fn expect_no_more(&mut self) -> Result<(), Fault> {
        match self.wire.unasked() {
            _ if !self.is_open() => {}
            // What it says is of the session, and comes after all of it.
            Some(reply) if reply.code == 421 => self.end(),
            Some(reply) => return Err(self.unasked(reply)),
            None if self.wire.has_part() => {
                return Err(self.out_of_step("server sent part of a reply unasked"));
            }
            None => {}
        }
        Ok(())
    }

    pub(super) fn heard(
        &mut self,
        heard: Result<
            Result<Response, lettre::transport::smtp::Error>,
            tokio::time::error::Elapsed,
        >,
    ) -> Result<Reply, Fault> {
        let Ok(result) = heard else { return Err(self.fault(Cause::TimedOut)) };
        let understood = match &result {
            Ok(_) => true,
            // A reply of 4yz or 5yz is an error to lettre.
            Err(error) => error.status().is_some(),
        };
        match self.wire.take_reply() {
            Some(reply) if understood => {
                if reply.code == 421 {
                    self.state = State::Over;
                }
                Ok(if self.keeps_replies() { self.masked(reply) } else { reply })
            }
            _ => {
                let cause = self.wire.broke();
                Err(self.broke(&cause.unwrap_or_else(|| "reply lost".to_owned())))
            }
        }
    }

    /// A reply to nothing would be taken for the answer to what is asked next, and a refusal
    /// then for an acceptance.
    pub(in crate::transport::smtp) async fn expect_silence(&mut self) -> Result<(), Fault> {
        match self.wire.early_reply().await {
            Ok(None) => Ok(()),
            Ok(Some(reply)) => Err(self.unasked(reply)),
            Err(error) => Err(self.broke(&error.to_string())),
        }
    }
}
