//! Programs that we start: each is a process group of its own, knows nothing of our settings, and none outlives our
//! interest in it.
//!
//! Used for `passcmd` and for external protocol programs.

use std::ffi::OsStr;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::sys;

/// For what is left in the pipe when a program has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Those whose exit somebody waits for.
static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn started<T>(look: impl FnOnce(&mut Vec<u32>) -> T) -> T {
    look(&mut STARTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether the process is a program of ours whose exit somebody waits for.
pub(crate) fn is_started(pid: u32) -> bool {
    started(|pids| pids.contains(&pid))
}

/// What a program inherits of our environment; all that begins with `LC_` or `XDG_` besides. The rest is ours: control files, with
/// other remotes' passwords among them, and the socket that was handed to us. `CREDENTIALS_DIRECTORY` is the name of a
/// folder, where a `passcmd` may look for its own.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "TMPDIR",
    "CREDENTIALS_DIRECTORY",
    // Where keyrings, password stores, certificates and tickets are found.
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "KRB5CCNAME",
];

fn is_inherited(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let is_group = name.starts_with(b"LC_") || name.starts_with(b"XDG_");
    is_group || INHERITED.iter().any(|kept| kept.as_bytes() == name)
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
        #[allow(clippy::disallowed_methods, reason = "it is handed on, not read")]
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

    /// Waits for the program itself, and kills what it leaves running. Its output, a pipe, is read to the end, so that a
    /// full pipe does not stop it; `kept` gets the first `most` bytes. Who has left the group may hold the pipe for as
    /// long as he likes: he is not waited for, and what the program wrote before it ended is there.
    pub(super) async fn finish(
        &mut self,
        kept: &mut Vec<u8>,
        most: usize,
    ) -> std::io::Result<ExitStatus> {
        let stdout = self.child.stdout.take().expect("it was asked to be a pipe");
        let mut drained = pin!(drain(stdout, kept, most));
        let mut ended = pin!(self.wait());
        tokio::select! {
            status = &mut ended => {
                let _ = timeout(LAST_WORDS, drained).await;
                status
            }
            () = &mut drained => ended.await,
        }
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
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

async fn drain(mut stdout: ChildStdout, kept: &mut Vec<u8>, most: usize) {
    // It may be a password.
    let mut block = Zeroizing::new(vec![0; 4 * 1024]);
    while let Ok(length @ 1..) = stdout.read(&mut block).await {
        let room = most - kept.len();
        kept.extend_from_slice(&block[..length.min(room)]);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
