//! The trigger's kind of file.

use std::io;
use std::path::Path;

use nix::sys::stat::Mode;

/// Makes a FIFO that anyone may write to and only its owner may read (0622).
///
/// # Errors
/// Those of mkfifo(2) and chmod(2); `AlreadyExists` when the name is taken.
pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(0o622);
    nix::unistd::mkfifo(path, mode)?;
    // The umask took bits away.
    nix::sys::stat::fchmodat(
        nix::fcntl::AT_FDCWD,
        path,
        mode,
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )?;
    Ok(())
}
