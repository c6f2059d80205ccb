//! What a file system is: how much room it has, and whether it lasts.

use std::io;
use std::path::Path;

/// Bytes that we may still write below `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    #[allow(clippy::useless_conversion, reason = "32-bit systems count in u32")]
    let free = u64::from(stat.blocks_available()) * u64::from(stat.fragment_size());
    Ok(free)
}

/// The kind of the file system at `path`, where what it holds is gone with the machine or the container: it
/// is in memory, or it is the top layer of an image.
#[cfg(target_os = "linux")]
pub(crate) fn passing_kind(path: &Path) -> Option<&'static str> {
    use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};
    match statfs(path).ok()?.filesystem_type() {
        TMPFS_MAGIC => Some("tmpfs"),
        OVERLAYFS_SUPER_MAGIC => Some("overlay"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn passing_kind(_: &Path) -> Option<&'static str> {
    None
}
