//! Signals that would end us where an error says more, or that a caller keeps from us.

use std::io;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, Signal};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// From now on a file that grows past the caller's limit (`ulimit -f`) is an error of the write, which
/// has a name and leaves nothing behind. Programs that we start inherit that.
pub(crate) fn outlive_file_limit() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    let _ = signals.thread_block();
}

/// From now on the exit of a program that we start is kept until it is waited for, even if our caller
/// ignores his children's and has left us that: a message that was taken must not be called refused.
pub(crate) fn keep_exits() -> io::Result<()> {
    // Whoever listens once is never deaf again.
    let listen = || signal(SignalKind::child()).map(drop);
    if Handle::try_current().is_ok() {
        return listen();
    }
    let runtime = runtime()?;
    let _inside = runtime.enter();
    listen()
}

/// A runtime on this thread, which may catch signals.
///
/// # Errors
/// Those of epoll(7) and socketpair(2). Where tokio finds no descriptors for signals it panics, so there have to be
/// as many as it takes.
pub(crate) fn runtime() -> io::Result<Runtime> {
    let taken = [UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?];
    drop(taken);
    Builder::new_current_thread().enable_all().build()
}
