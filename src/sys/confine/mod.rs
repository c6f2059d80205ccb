//! The kernel's own limits on this process and all that it starts: Landlock for files and TCP, seccomp for system
//! calls. Called once by the daemon, before it has a second thread; nothing undoes it.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls;
#[cfg(all(target_os = "linux", not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod calls {
    pub(super) fn restrict(_: bool) -> Result<(), String> {
        Err("no seccomp: the numbers of this machine's system calls are not known".to_owned())
    }
}
#[cfg(target_os = "linux")]
mod files;

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What stays possible.
#[derive(Debug)]
pub(crate) struct Allowed {
    /// Files and folders to read, with all below them. What is not there counts for nothing.
    pub(crate) reads: Vec<PathBuf>,
    /// Folders below which files are read, written, made, moved and removed.
    pub(crate) writes: Vec<PathBuf>,
    /// TCP ports to connect to; `None` is any.
    pub(crate) ports: Option<BTreeSet<u16>>,
    /// Whether other programs may be run; what may be read may then be executed too.
    pub(crate) programs: bool,
}

/// What holds from now on.
#[derive(Debug, Default)]
pub(crate) struct Confined {
    /// The folders are a limit.
    pub(crate) files: bool,
    /// The ports are a limit.
    pub(crate) ports: bool,
    /// No program can be run.
    pub(crate) no_programs: bool,
    /// All of it in words, for the log.
    pub(crate) holds: Vec<String>,
    /// What could not be had, and why.
    pub(crate) lacks: Vec<String>,
}

/// Confines this process as far as the kernel can.
#[cfg(target_os = "linux")]
pub(crate) fn confine(allowed: &Allowed) -> Confined {
    let mut confined = Confined::default();
    // In this order: the filter takes away what the other one needs.
    match files::restrict(allowed) {
        Ok(abi) => {
            confined.files = true;
            confined.ports = files::knows_tcp(abi) && allowed.ports.is_some();
            confined.holds.push(files::describe(abi, confined.ports));
        }
        Err(why) => confined.lacks.push(why),
    }
    match calls::restrict(allowed.programs) {
        Ok(()) => {
            confined.no_programs = !allowed.programs;
            let words = if allowed.programs { "seccomp" } else { "seccomp (no programs)" };
            confined.holds.push(words.to_owned());
        }
        Err(why) => confined.lacks.push(why),
    }
    confined
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn confine(_: &Allowed) -> Confined {
    let lacks = vec!["neither Landlock nor seccomp on this system".to_owned()];
    Confined { lacks, ..Confined::default() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
