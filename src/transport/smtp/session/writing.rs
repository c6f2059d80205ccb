//! Writing a batch or a message, and knowing whether all of it is out.

use tokio::time::timeout;

use super::{Session, limit};
use crate::transport::smtp::turns::Batch;
use crate::transport::{Cause, Fault};

impl Session {
    /// Writes commands or part of a message. That it cannot be written whole is not the end: the server may have said
    /// why, so the replies are still read, and tell. False where a reply that answers nothing is why.
    pub(in crate::transport::smtp) async fn write(&mut self, batch: &Batch) -> Result<bool, Fault> {
        match timeout(self.within(limit::BLOCK), self.wire.write(batch)).await {
            Ok(Ok(whole)) => Ok(whole),
            Ok(Err(_)) => {
                self.end();
                self.failing = true;
                Ok(true)
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
        self.wire.is_in_doubt()
    }

    /// What became of the message is known, or nobody was to get it.
    pub(in crate::transport::smtp) fn answered(&mut self) {
        self.wire.resolve();
    }
}
