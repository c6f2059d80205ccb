//! Writing a batch or a message, and knowing whether all of it is out.

use tokio::time::timeout;

use super::{Session, limit};
use crate::mail::Reply;
use crate::transport::{Cause, Fault};

/// Whether a message is out whole once this is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::smtp) enum Part {
    /// A command, or text that more follows.
    Some,
    /// The end of the text: its dot, or the last octet of the last chunk.
    Last,
}

impl Session {
    /// Writes a batch or part of a message. That it cannot be written is not the end: the server may
    /// have said why, so the replies are still read, and tell.
    pub(in crate::transport::smtp) async fn write(
        &mut self,
        bytes: &[u8],
        part: Part,
    ) -> Result<(), Fault> {
        match timeout(self.within(limit::BLOCK), self.wire.write(bytes)).await {
            Ok(Ok(())) => {
                self.wrote(part);
                Ok(())
            }
            Ok(Err(_)) => {
                self.end();
                self.failing = true;
                Ok(())
            }
            Err(_) => Err(self.fault(Cause::TimedOut)),
        }
    }

    /// Writes part of a message that is to be answered only at its end; what the server says
    /// before that is handed back.
    pub(in crate::transport::smtp) async fn write_watching(
        &mut self,
        bytes: &[u8],
        part: Part,
    ) -> Result<Option<Reply>, Fault> {
        let (within, watched) = (self.within(limit::BLOCK), self.wire.clone());
        let race = async {
            if let Some(early) = watched.early_reply().await? {
                return Ok(Some(early));
            }
            tokio::select! {
                // Written means done, whatever has come by then: it may be the answer.
                biased;
                written = self.wire.write(bytes) => written.map(|()| None),
                early = watched.unasked_reply() => early.map(Some),
            }
        };
        match timeout(within, race).await {
            Ok(Ok(None)) => {
                self.wrote(part);
                Ok(None)
            }
            Ok(Ok(early)) => Ok(early),
            Ok(Err(_)) => {
                self.end();
                self.failing = true;
                self.reply(limit::PARTING).await.map(Some)
            }
            Err(_) => Err(self.fault(Cause::TimedOut)),
        }
    }

    /// True once writing has failed: what is read from then on may explain it, not make up for it.
    pub(in crate::transport::smtp) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Whether a message is out whole and nothing was said against it.
    pub(crate) fn may_have_taken(&self) -> bool {
        self.unanswered
    }

    /// The answer to the message is in, or nobody was to get it.
    pub(in crate::transport::smtp) fn answered(&mut self) {
        self.unanswered = false;
    }

    /// What is not whole on the wire is never taken: once writing has failed, nothing is.
    fn wrote(&mut self, part: Part) {
        self.unanswered |= part == Part::Last && !self.failing;
    }
}
