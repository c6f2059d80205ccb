//! Closes what clients leave behind, on a thread of its own.
//!
//! Closing a socket closes the descriptors that were passed to it and never received, and closing one of those may wait
//! for as long as its maker chose: a TCP socket with SO_LINGER does. A signal ends such a wait, so `room` nudges the
//! thread until it goes on.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::sys;

/// So many may wait to be closed before nobody else is let in.
const HEAP: u64 = 64;

/// Where a client's stream ends, whoever has it last.
#[derive(Clone)]
pub(super) struct Bin {
    heap: Sender<UnixStream>,
    /// How many were thrown in, and how many of them are closed.
    thrown: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

/// The thread that empties a [`Bin`].
pub(super) struct Broom {
    thread: JoinHandle<()>,
    closed: Arc<AtomicU64>,
    /// What was closed when it was last looked at.
    seen: u64,
}

/// # Errors
/// There is no thread to be had.
pub(super) fn start() -> io::Result<(Bin, Broom)> {
    let (heap, waiting) = channel::<UnixStream>();
    let closed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&closed);
    let work = move || {
        for stream in waiting {
            drop(stream);
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let thread = Builder::new().name("broom".to_owned()).spawn(work).map_err(no_thread)?;
    let bin = Bin { heap, thrown: Arc::default(), closed: Arc::clone(&closed) };
    Ok((bin, Broom { thread, closed, seen: 0 }))
}

pub(super) fn no_thread(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot start a thread: {error}"))
}

impl Bin {
    /// Ends the connection, which the client sees at once.
    pub(super) fn throw(&self, stream: Arc<UnixStream>) {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        self.release(stream);
    }

    /// Has it closed if nobody else holds it. Never waits.
    pub(super) fn release(&self, stream: Arc<UnixStream>) {
        let Some(stream) = Arc::into_inner(stream) else { return };
        self.thrown.fetch_add(1, Ordering::Relaxed);
        if let Err(unsent) = self.heap.send(stream) {
            // Better a descriptor too many than to wait.
            std::mem::forget(unsent);
        }
    }

    fn waiting(&self) -> u64 {
        self.thrown.load(Ordering::Relaxed).saturating_sub(self.closed.load(Ordering::Relaxed))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= HEAP
    }
}

impl Broom {
    /// Has it go on with the next one if it has not since the last nudge.
    pub(super) fn nudge(&mut self) {
        let closed = self.closed.load(Ordering::Relaxed);
        if closed == std::mem::replace(&mut self.seen, closed) {
            sys::nudge(&self.thread);
        }
    }
}
