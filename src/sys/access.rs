//! What the kernel would let us do.

use std::path::Path;
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::resource::{Resource, getrlimit};
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

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// Whether this process, or the system, has no descriptor left.
pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}
