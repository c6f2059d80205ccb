//! Files that have no name until they are given one, and are gone with their last descriptor.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};

/// open(2): make a file without a name in the folder that is opened.
#[cfg(target_os = "linux")]
pub(crate) const O_TMPFILE: Option<i32> = Some(nix::libc::O_TMPFILE);
#[cfg(not(target_os = "linux"))]
pub(crate) const O_TMPFILE: Option<i32> = None;

const DESCRIPTORS: &str = "/proc/self/fd";

/// Whether [`name_file`] can work: without /proc only root could name such a file.
pub(crate) fn can_name_files() -> bool {
    Path::new(DESCRIPTORS).exists()
}

/// The file again, to read it from its start.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    File::open(format!("{DESCRIPTORS}/{}", file.as_raw_fd()))
}

/// Gives the file its name; fails rather than take that of another one.
pub(crate) fn name_file(file: &File, name: &Path) -> io::Result<()> {
    let source = format!("{DESCRIPTORS}/{}", file.as_raw_fd());
    nix::unistd::linkat(AT_FDCWD, source.as_str(), AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW)?;
    Ok(())
}
