//! Waiting for the other end of a connection.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt};
use nix::sys::stat::{Mode, umask};
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

/// Connects to the socket at `path`, within `limit` even where many wait to be let in.
///
/// # Errors
/// `WouldBlock` when the time is over; those of connect(2).
pub(crate) fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let seconds = limit.as_secs().max(1).try_into().unwrap_or(i64::MAX);
    setsockopt(&stream, sockopt::SendTimeout, &TimeVal::new(seconds, 0))?;
    nix::sys::socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream.into())
}

/// A socket at `path` that anyone may connect to, in the place of one that was left behind.
///
/// # Errors
/// `AlreadyExists` where something else is there, which is neither removed nor followed.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket")),
        Err(_) => {}
    }
    // Not chmod(2), which would follow a link that the owner of the folder puts there meanwhile.
    let before = umask(Mode::from_bits_truncate(0o111));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
