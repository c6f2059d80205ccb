//! What the kernel would let us do.

use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

/// Whether this process, with its effective ids, may make and remove names in the folder.
pub(crate) fn may_write(dir: &Path) -> bool {
    faccessat(AT_FDCWD, dir, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS).is_ok()
}
