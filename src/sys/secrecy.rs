//! Keeps what is in our memory there.

use nix::sys::resource::{Resource, setrlimit};

/// From now on a crash leaves no core file, and no other process of this user may look into our memory. Programs
/// that we start have no core files either, and are otherwise as always.
pub(crate) fn keep_memory_private() {
    // Neither is worth a failure: less than the limit can always be had.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}
