//! The text of a message: how it follows its envelope, and the reply that decides over it.

use super::{Round, Transaction};
use crate::mail::{Reply, judge};
use crate::transport::smtp::body::{Body, Dots};
use crate::transport::smtp::session::{Part, limit};
use crate::transport::smtp::survey::Survey;
use crate::transport::smtp::unasked::{Harmless, Trust, Unasked};
use crate::transport::{Fault, Mail, Phase};

/// The longest text that goes by BDAT: one block. A longer one gains nothing over DATA.
const CHUNK: u64 = 64 * 1024;

/// How the text follows its envelope in the same batch.
pub(super) enum Following<'a> {
    Nothing,
    /// Not before the server has said 354.
    Data,
    Whole(Unasked<'a>),
}

impl Transaction<'_> {
    /// The text, where it may go by BDAT.
    pub(super) fn chunk(&mut self, survey: Survey) -> Result<Option<Harmless>, Fault> {
        if !self.session.capabilities().chunking || survey.size > CHUNK {
            return Ok(None);
        }
        let mut body = Body::new(self.mail, self.changes, Dots::AsTheyAre);
        let mut text = Vec::new();
        while body.next(&mut text).map_err(|error| self.unreadable(&error))? {}
        Ok(Harmless::check(text))
    }

    /// Sends what has not been sent of the text, and settles all who were accepted.
    pub(super) async fn text(
        &mut self,
        following: Following<'_>,
        chunk: Option<&Harmless>,
        round: &Round,
    ) -> Result<(), Fault> {
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
            Following::Nothing => {
                if let Some(text) = chunk {
                    self.session.enter(Phase::Data);
                    self.session.expect_silence().await?;
                    self.session.write(&text.bdat(), Part::Last).await?;
                    self.final_reply("BDAT").await?
                } else {
                    let reply = self.session.command_within("DATA", limit::DATA).await?;
                    self.data(reply).await?
                }
            }
        };
        self.session.answered();
        let positive = reply.is_positive();
        if wanted && let Some(trust) = Trust::earned(self.mail, &reply) {
            self.session.trust(trust);
        }
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
}

impl<'a> Following<'a> {
    pub(super) fn choose(
        chunk: Option<&'a Harmless>,
        trust: Option<&Trust>,
        mail: &Mail<'_>,
    ) -> Self {
        match (chunk, trust) {
            (None, _) => Self::Data,
            (Some(text), Some(trust)) => {
                trust.allows(mail, text).map_or(Self::Nothing, Self::Whole)
            }
            (Some(_), None) => Self::Nothing,
        }
    }

    pub(super) fn part(&self) -> Part {
        match self {
            Self::Nothing | Self::Data => Part::Some,
            Self::Whole(_) => Part::Last,
        }
    }

    pub(super) fn append_to(&self, batch: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Data => batch.extend_from_slice(b"DATA\r\n"),
            Self::Whole(text) => batch.extend_from_slice(&text.bdat()),
        }
    }
}
