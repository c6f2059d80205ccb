//! The text of a message: how it follows its envelope, and the reply that decides over it.

use super::{Round, Transaction};
use crate::mail::{Reply, judge};
use crate::transport::smtp::body::{Body, Dots};
use crate::transport::smtp::session::limit;
use crate::transport::smtp::survey::Survey;
use crate::transport::smtp::turns::{Batch, Heard};
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
    /// The text, where it may go by BDAT: with PIPELINING alone, since RSET has to go out behind it.
    pub(super) fn chunk(&mut self, survey: Survey) -> Result<Option<Harmless>, Fault> {
        let offers = self.session.capabilities();
        if !offers.chunking || !offers.pipelining || survey.size > CHUNK || !self.session.trusts() {
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
        round: &mut Round,
    ) -> Result<(), Fault> {
        let wanted = !round.accepted.is_empty();
        let is_chunk = matches!(following, Following::Whole(_));
        if !wanted {
            self.session.answered();
        }
        let reply = match following {
            Following::Whole(_) => self.chunk_reply(wanted).await?,
            Following::Data => {
                let reply = self.session.reply(limit::DATA).await?;
                if !wanted && reply.code == 354 {
                    // RFC 2920 §3.1: a message that nobody takes still has to be ended.
                    self.session.enter(Phase::Data);
                    let mut end = Batch::default();
                    end.command(".");
                    self.session.write(&end).await?;
                    self.final_reply("the final dot").await?;
                    return self.session.expect_no_more();
                }
                self.data(reply, round).await?
            }
            Following::Nothing if round.refused => return self.session.expect_no_more(),
            Following::Nothing if !wanted => {
                self.reset().await;
                return Ok(());
            }
            Following::Nothing => {
                let reply = self.session.command_within("DATA", limit::DATA).await?;
                self.data(reply, round).await?
            }
        };
        self.session.expect_no_more()?;
        self.session.answered();
        if wanted && let Some(trust) = Trust::earned(self.mail, &reply) {
            self.session.trust(trust);
        }
        let must_reset = !is_chunk && (!wanted || !reply.is_positive());
        self.tell(round);
        self.verdicts.decide(&round.accepted, &judge(reply));
        if must_reset {
            self.reset().await;
        }
        Ok(())
    }

    /// The reply to a chunk. That to the RSET behind it shows that it was that: where a reply too many has displaced it,
    /// a refusal stands there, or nothing, and the message may have been taken or not.
    async fn chunk_reply(&mut self, wanted: bool) -> Result<Reply, Fault> {
        self.session.enter(Phase::Data);
        let reply = self.final_reply("BDAT").await?;
        if !reply.is_positive() && !self.session.is_open() {
            return Ok(reply);
        }
        match self.session.hear(limit::COMMAND).await {
            Ok(Heard::Answer(reset)) if reset.is_positive() => Ok(reply),
            // Who refuses a text may go; and of one that nobody was to get there is nothing to be known.
            _ if !reply.is_positive() || !wanted => {
                self.session.end();
                Ok(reply)
            }
            heard => {
                // What comes behind would be in doubt each time.
                self.session.avoid_chunks();
                Err(match heard {
                    Ok(Heard::Answer(reset)) => self.out_of_step("the RSET behind BDAT", &reset),
                    Ok(Heard::Unasked(early)) => self.out_of_step("what was not out", &early),
                    Err(fault) => fault,
                })
            }
        }
    }

    /// Goes on from the reply to DATA: the message, its final dot, and the reply to that.
    async fn data(&mut self, reply: Reply, round: &mut Round) -> Result<Reply, Fault> {
        if reply.code != 354 {
            let reply = self.verdict(reply, "DATA")?;
            if reply.is_positive() {
                return Err(self.out_of_step("DATA", &reply));
            }
            return Ok(reply);
        }
        // 354 answers nothing but DATA: whatever came before it stands in its place.
        self.tell(round);
        self.session.enter(Phase::Data);
        let mut body = Body::new(self.mail, self.changes, Dots::Stuffed);
        let mut batch = Batch::default();
        loop {
            batch.clear();
            // An error leaves here: without the dot, the server cannot take half for the whole.
            let more = batch.text(|block| body.next(block));
            let more = more.map_err(|error| self.unreadable(&error))?;
            if !more {
                batch.end_message(b".\r\n");
            }
            let whole = self.session.write(&batch).await?;
            if !more || !whole || self.session.is_failing() {
                return self.final_reply("the final dot").await;
            }
        }
    }

    /// The reply that decides over the message. One that came while the message was still going out can only refuse:
    /// nothing that follows can then be accepted, and the session cannot go on in the middle of a message.
    async fn final_reply(&mut self, to: &str) -> Result<Reply, Fault> {
        match self.session.hear(limit::FINAL_DOT).await? {
            Heard::Answer(reply) => self.verdict(reply, to),
            Heard::Unasked(early) => self.early(early),
        }
    }

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
            // Of one that is not sent unasked DATA costs no round trip more, and its 354 tells more.
            (None, _) | (_, None) => Self::Data,
            (Some(text), Some(trust)) => trust.allows(mail, text).map_or(Self::Data, Self::Whole),
        }
    }

    pub(super) fn append_to(&self, batch: &mut Batch) {
        match self {
            Self::Nothing => {}
            Self::Data => batch.command("DATA"),
            Self::Whole(text) => text.append_to(batch),
        }
    }
}
