//! Writes to a stream whose reader may have stopped reading.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that is ready has room for so much (PIPE_BUF), and so has a socket.
const SAFE: usize = 4096;

/// Writes some of it, or waits for so long and writes nothing.
///
/// # Errors
/// `WouldBlock` when there is no room; those of write(2), where nobody reads any more.
pub(crate) fn write_within(out: &impl AsFd, bytes: &[u8], wait: Duration) -> io::Result<usize> {
    let mut ready = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
    match poll(&mut ready, wait) {
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) => Ok(nix::unistd::write(out, &bytes[..bytes.len().min(SAFE)])?),
        Err(errno) => Err(errno.into()),
    }
}
