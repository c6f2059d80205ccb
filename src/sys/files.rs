//! Opens files by name that somebody else may have put there: control files, certificates, passwords.
//!
//! Called by every room but the spool, which opens its files in its own folders. The plain opens of std would wait for
//! the other end of a FIFO, and read a device without an end; `clippy.toml` forbids them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK};

/// Opens a regular file for reading; it never waits. Symbolic links are followed: an administrator may set them.
///
/// # Errors
/// Those of open(2), and one for what is no regular file.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_NOCTTY).open(path);
    regular(file.map_err(no_file)?)
}

/// Reads a regular file, no further than one byte beyond `limit`.
pub(crate) fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file, if it is one.
pub(super) fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Says of a socket or a folder that could not be opened what is said of everything else that is no file.
pub(super) fn no_file(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENXIO | Errno::EISDIR | Errno::EOPNOTSUPP) => not_regular(),
        _ => error,
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

/// A FIFO to be planted somewhere.
#[cfg(test)]
pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o622))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        make_fifo(&path("fifo")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("fifo", path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        for name in ["fifo", "socket", "folder", "link", "device"] {
            let error = open_file(&path(name)).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file", "{name}");
        }
    }

    #[test]
    fn a_link_of_the_administrator_is_followed_and_no_more_is_read_than_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "0123456789").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_file(&link, 3).unwrap(), b"0123");
    }
}
