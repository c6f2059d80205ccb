//! How much room a file system has.

use std::io;
use std::path::Path;

/// Bytes that we may still write below `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    #[allow(clippy::useless_conversion, reason = "32-bit systems count in u32")]
    let free = u64::from(stat.blocks_available()) * u64::from(stat.fragment_size());
    Ok(free)
}
