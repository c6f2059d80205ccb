//! What a process is left by whoever starts it: a umask, descriptors, limits.
//!
//! Called by `lib` before anything else is done; nothing of ours is open by then.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::close;

use super::keep_memory_private;

/// From now on what we make is ours to use: a umask takes rights from others, never from its owner.
pub(crate) fn own_what_we_make() {
    let asked = umask(Mode::S_IRWXG | Mode::S_IRWXO);
    umask(asked & (Mode::S_IRWXG | Mode::S_IRWXO));
}

/// For a set-uid process, whose caller means harm: what it makes is for its owner alone, it leaves no core
/// file, and of the caller's descriptors it keeps stdin, stdout and stderr.
pub(crate) fn shed_inheritance() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    keep_memory_private();
    close_strays();
}

const FIRST_STRAY: i32 = 3;

fn close_strays() {
    // Makes room to list the others, should the caller have left none.
    let _ = close(FIRST_STRAY);
    let strays = listed().unwrap_or_else(|| {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard.min(65_536));
        (FIRST_STRAY..i32::try_from(limit).unwrap_or(i32::MAX)).collect()
    });
    for stray in strays {
        // The list was open itself while it was made.
        let _ = close(stray);
    }
}

/// `None` where the system does not tell.
fn listed() -> Option<Vec<i32>> {
    let names = fs::read_dir("/proc/self/fd").ok()?;
    let numbers = names.flatten().filter_map(|one| one.file_name().to_str()?.parse().ok());
    Some(numbers.filter(|number| *number >= FIRST_STRAY).collect())
}
