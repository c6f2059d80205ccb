//! Programs that we start: each is a process group of its own, knows nothing of our settings, and none outlives our
//! interest in it.
//!
//! Used for `passcmd` and for external protocol programs.

use std::ffi::OsStr;
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

/// What a program inherits of our environment; all that begins with `LC_` besides. The rest is ours: control files, with
/// other remotes' passwords among them, and the socket that was handed to us. `CREDENTIALS_DIRECTORY` is the name of a
/// folder, where a `passcmd` may look for its own.
const INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "CREDENTIALS_DIRECTORY"];

fn is_inherited(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"LC_") || INHERITED.iter().any(|kept| kept.as_bytes() == name)
}

/// A running program. Dropping it kills the program with all that it started, except what has
/// left its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Its process id, and that of its group, until it has been waited for.
    group: Option<u32>,
}

impl Running {
    /// Starts it with these variables, and little else of our environment.
    pub(super) fn start(
        command: &mut Command,
        variables: &[(&str, &str)],
    ) -> std::io::Result<Self> {
        sys::keep_exits()?;
        let inherited = std::env::vars_os().filter(|(name, _)| is_inherited(name));
        command.env_clear().envs(inherited).envs(variables.iter().copied());
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
