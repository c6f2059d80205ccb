//! Other processes.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Kills a process group that we started, leader and descendants. One that is gone is no error.
pub(crate) fn kill_group(leader: u32) {
    if let Ok(leader) = i32::try_from(leader)
        // 0 and 1 mean other things to killpg(2).
        && leader > 1
    {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
}
