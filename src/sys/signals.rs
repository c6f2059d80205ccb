//! Signals that would end us where an error says more.

use nix::sys::signal::{SigSet, Signal};

/// From now on a file that grows past the caller's limit (`ulimit -f`) is an error of the write, which
/// has a name and leaves nothing behind. Programs that we start inherit that.
pub(crate) fn outlive_file_limit() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    let _ = signals.thread_block();
}
