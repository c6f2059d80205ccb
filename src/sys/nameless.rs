//! Files that have no name until they are given one, and are gone with their last descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;

/// open(2): make a file without a name in the folder that is opened.
#[cfg(target_os = "linux")]
pub(super) const O_TMPFILE: Option<OFlag> = Some(OFlag::O_TMPFILE);
#[cfg(not(target_os = "linux"))]
pub(super) const O_TMPFILE: Option<OFlag> = None;

const DESCRIPTORS: &str = "/proc/self/fd";

/// Whether [`name_file`] can work: without /proc only root could name such a file.
pub(super) fn can_name_files() -> bool {
    Path::new(DESCRIPTORS).exists()
}

/// The file again, to read it from its start.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    File::open(format!("{DESCRIPTORS}/{}", file.as_raw_fd()))
}

/// Gives the file its name in the folder; fails rather than take that of another one.
pub(super) fn name_file(file: &File, folder: impl AsFd, name: &OsStr) -> io::Result<()> {
    let source = format!("{DESCRIPTORS}/{}", file.as_raw_fd());
    linkat(AT_FDCWD, source.as_str(), folder, name, AtFlags::AT_SYMLINK_FOLLOW)?;
    Ok(())
}
