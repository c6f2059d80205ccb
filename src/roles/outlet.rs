//! The daemon's stdout, as its log has it: whoever reads it, and stops reading, holds up no mail.
//!
//! Called by `send`. What cannot be written now is kept, up to a limit, and written by a task as soon as there is room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::sys;

/// What is kept for a reader that is slow; an event that is longer is kept where it is the only one.
const KEPT: usize = 1 << 20;
/// How often a reader that is slow is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// How long the end of the daemon waits for it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Writes each text as a whole, sooner or later, or not at all: then it is an error of the kind `WouldBlock`.
#[derive(Clone, Default)]
pub(super) struct Outlet {
    kept: Rc<RefCell<VecDeque<u8>>>,
    some: Rc<Notify>,
}

impl Outlet {
    /// Writes what is kept when there is room for it.
    pub(super) async fn empty(self) {
        loop {
            self.some.notified().await;
            while !self.drain(Duration::ZERO) {
                sleep(LOOK).await;
            }
        }
    }

    /// Waits a moment for whoever reads what is left.
    pub(super) fn finish(&self) {
        let end = Instant::now() + LAST_WORDS;
        while !self.drain(end.saturating_duration_since(Instant::now())) && Instant::now() < end {}
    }

    /// Whether nothing is kept any more.
    fn drain(&self, wait: Duration) -> bool {
        let mut kept = self.kept.borrow_mut();
        while !kept.is_empty() {
            match sys::write_within(&io::stdout(), kept.as_slices().0, wait) {
                Ok(length) => drop(kept.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody will ever read it.
                Err(_) => kept.clear(),
            }
        }
        // What a burst took is given back.
        kept.shrink_to(0);
        true
    }
}

impl Write for Outlet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.drain(Duration::ZERO) && self.kept.borrow().len() + text.len() > KEPT {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.kept.borrow_mut().extend(text);
        if !self.drain(Duration::ZERO) {
            self.some.notify_one();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
