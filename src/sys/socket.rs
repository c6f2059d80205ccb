//! Waiting for the other end of a connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// Has a read on this socket end with `WouldBlock` after `limit`.
///
/// # Errors
/// ENOTSOCK for everything else.
pub(crate) fn limit_waiting(socket: &impl AsFd, limit: Duration) -> io::Result<()> {
    let seconds = limit.as_secs().try_into().unwrap_or(i64::MAX);
    setsockopt(socket, sockopt::ReceiveTimeout, &TimeVal::new(seconds, 0))?;
    Ok(())
}
