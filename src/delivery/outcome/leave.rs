//! How deliveries hear that the daemon ends: whoever waits for a word on a message that is out writes down that it may
//! have been taken, and all others are let go as they are.

use std::cell::Cell;
use std::future::pending;

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(in crate::delivery) struct Leave {
    taken: Cell<bool>,
    told: Notify,
}

impl Leave {
    /// Deliveries end now.
    pub(in crate::delivery) fn take(&self) {
        self.taken.set(true);
        self.told.notify_waiters();
    }

    pub(in crate::delivery) fn is_taken(&self) -> bool {
        self.taken.get()
    }

    /// Returns when deliveries are to end.
    pub(in crate::delivery) async fn called(&self) {
        let told = self.told.notified();
        if !self.taken.get() {
            told.await;
        }
    }

    /// The same for whoever may never hear of it.
    pub(super) async fn called_by(one: Option<&Self>) {
        match one {
            Some(leave) => leave.called().await,
            None => pending().await,
        }
    }
}
