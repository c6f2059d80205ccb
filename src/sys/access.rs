//! What the kernel would let us do.

use std::path::Path;
use std::{fs, io};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

/// Whether this process, with its effective ids, may make and remove names in the folder.
///
/// # Errors
/// It may not, or the folder is none.
pub(crate) fn check_folder(dir: &Path) -> io::Result<()> {
    match faccessat(AT_FDCWD, dir, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        Ok(()) => Ok(()),
        // Nobody may search a file.
        Err(_) if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        Err(errno) => Err(errno.into()),
    }
}
