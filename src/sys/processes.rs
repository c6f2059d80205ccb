//! Other processes.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
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

/// What [`reap_orphan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    One,
    /// One that somebody here waits for stands before it.
    Ours,
    Nothing,
}

/// Takes the exit of one child away that nobody waits for: process 1 inherits every orphan.
///
/// The exit of a child that `is_ours` is left to whoever started it.
pub(crate) fn reap_orphan(is_ours: impl Fn(u32) -> bool) -> Reaped {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    // Looked at first, without taking it away.
    let first = waitid(Id::All, flags | WaitPidFlag::WNOWAIT);
    let Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) = first else {
        return Reaped::Nothing;
    };
    if u32::try_from(pid.as_raw()).is_ok_and(is_ours) {
        return Reaped::Ours;
    }
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    Reaped::One
}

/// Whether a process of this number is there, whosever it is. Other containers have numbers of their own.
pub(crate) fn is_alive(pid: u32) -> bool {
    i32::try_from(pid)
        .is_ok_and(|pid| pid > 0 && !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)))
}
