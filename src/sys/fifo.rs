//! The trigger's kind of file.

use std::io;
use std::path::Path;

use nix::sys::stat::Mode;

/// Makes a FIFO, as far as the umask lets it one that anyone may write to and its owner may read.
///
/// # Errors
/// Those of mkfifo(2); `AlreadyExists` when the name is taken.
pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o622))?)
}
