//! Ends what a thread of ours waits for in the kernel.

use std::os::unix::thread::JoinHandleExt as _;
use std::thread::JoinHandle;

use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// What it is nudged with; it means nothing else to us.
const NUDGE: Signal = Signal::SIGURG;

/// From now on a thread can be nudged. Must be called inside a runtime that may catch signals.
///
/// # Errors
/// Those of sigaction(2).
pub(crate) fn feel_nudges() -> std::io::Result<()> {
    // Whoever listens once is never deaf again.
    signal(SignalKind::from_raw(NUDGE as i32)).map(drop)
}

/// Ends a wait of the thread that a signal can end, and has no effect on anything else it does.
pub(crate) fn nudge<T>(thread: &JoinHandle<T>) {
    #[allow(
        clippy::unnecessary_cast,
        reason = "a number to std, and not everywhere to the C library"
    )]
    let _ = pthread_kill(thread.as_pthread_t() as _, NUDGE);
}
