//! Programs that we start: each is a process group of its own, and none outlives our interest in it.
//!
//! Used for `passcmd` and for external protocol programs.

use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};

use tokio::process::{Child, Command};

use crate::sys;

/// Those whose exit somebody waits for.
static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn started<T>(look: impl FnOnce(&mut Vec<u32>) -> T) -> T {
    look(&mut STARTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether the process is a program of ours whose exit somebody waits for.
pub(crate) fn is_started(pid: u32) -> bool {
    started(|pids| pids.contains(&pid))
}

/// What tells of the daemon's own socket: sd_listen_fds(3).
const OURS: &[&str] = &["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// A running program. Dropping it kills the program with all that it started, except what has
/// left its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Its process id, and that of its group, until it has been waited for.
    group: Option<u32>,
}

impl Running {
    pub(super) fn start(command: &mut Command) -> std::io::Result<Self> {
        sys::keep_exits()?;
        for name in OURS {
            command.env_remove(name);
        }
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id();
        started(|pids| pids.extend(group));
        Ok(Self { child, group })
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for the program itself; what it leaves running is killed.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.kill();
        status
    }

    fn kill(&mut self) {
        if let Some(leader) = self.group.take() {
            sys::kill_group(leader);
            started(|pids| pids.retain(|pid| *pid != leader));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
