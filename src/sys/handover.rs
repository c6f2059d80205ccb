//! The socket that a service manager opened for us: sd_listen_fds(3).
//!
//! Called by the daemon before it opens anything, so that descriptor 3 is what it was given.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

use nix::errno::Errno;
use nix::fcntl::{F_SETFD, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getsockname, getsockopt, sockopt,
};

/// Behind stdin, stdout and stderr.
const FIRST: RawFd = 3;

/// Takes the one socket that `LISTEN_PID` and `LISTEN_FDS` speak of; programs that we start do not inherit it,
/// and waiting for a client does not block.
///
/// # Errors
/// What descriptor 3 is, where it is no Unix stream socket that listens.
pub(crate) fn take_listener() -> Result<UnixListener, String> {
    let refused = |what: &str| format!("descriptor {FIRST} is {what}");
    // What is closed is nobody's to own.
    if let Err(Errno::EBADF) = getsockname::<SockaddrStorage>(FIRST) {
        return Err(refused("closed"));
    }
    let handed = sd_listen_fds::get().unwrap_or_default();
    let Some((_, socket)) = handed.into_iter().next() else {
        return Err("this system hands no socket over".to_owned());
    };
    let socket = socket.into_std();
    match kind(&socket) {
        None => {}
        Some(what) => return Err(refused(what)),
    }
    let usable = || -> io::Result<UnixListener> {
        fcntl(&socket, F_SETFD(FdFlag::FD_CLOEXEC))?;
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    usable().map_err(|error| format!("descriptor {FIRST}: {error}"))
}

/// What it is, unless it is what we need.
fn kind(socket: &OwnedFd) -> Option<&'static str> {
    let Ok(address) = getsockname::<SockaddrStorage>(socket.as_raw_fd()) else {
        return Some("no socket");
    };
    let stream = getsockopt(socket, sockopt::SockType) == Ok(SockType::Stream);
    match address.family() {
        Some(AddressFamily::Unix) if !stream => Some("a Unix socket, but no stream"),
        Some(AddressFamily::Unix) if getsockopt(socket, sockopt::AcceptConn) == Ok(true) => None,
        Some(AddressFamily::Unix) => Some("a Unix stream socket that does not listen"),
        Some(AddressFamily::Inet | AddressFamily::Inet6) if stream => Some("a TCP socket"),
        Some(AddressFamily::Inet | AddressFamily::Inet6) => Some("an Internet socket"),
        _ => Some("a socket of another kind"),
    }
}
