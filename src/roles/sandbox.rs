//! Closes the daemon's sandbox: what it may still do is made of where it works and of what its remotes need now.
//!
//! docs/security.md says why each thing is in the list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{Control, Directories, Sandbox, remotes};
use crate::exit::{Exit, Failure};
use crate::log::Log;
use crate::mail::Remote;
use crate::spool::Spool;
use crate::sys::{self, Allowed};
use crate::transport::{self, Reach};

/// What the system's name look-up, its time zones and its shared libraries are made of.
const SYSTEM: &[&str] = &[
    "/etc",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
];

/// Files of theirs that may be links to somewhere else.
const LINKS: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// A port that an administrator may turn to without a restart: those of the protocols, and of DNS over TCP.
const PORTS: &[u16] = &[25, 53, 465, 587, 628, 2525];

/// Where programs that are not ours may write besides the spool, as under the unit that we ship.
const SCRATCH: &[&str] = &["/tmp", "/var/tmp", "/dev", "/run"];

/// Confines this process, from here to its end, as `sandbox` wants it. The limits that hold for remotes come back.
pub(super) fn close(directories: &Directories, spool: &Spool, log: &Log) -> Result<Reach, Failure> {
    let control = directories.control();
    let wanted = Sandbox::read(&control)?;
    if wanted == Sandbox::Off {
        log.sandbox("nothing", "it is off");
        return Ok(Reach::default());
    }
    let (remotes, wrong) = remotes::read(&control);
    let mut allowed = allowed(&control, spool, &remotes);
    // Which ports are needed is not known yet. What is wrong with the lines is the engine's to say.
    if remotes.is_empty() || !wrong.is_empty() {
        allowed.ports = None;
    }
    let confined = sys::confine(&allowed);
    let lacks = confined.lacks.join(", ");
    if wanted == Sandbox::Require && !lacks.is_empty() {
        return Err(Failure::new(Exit::OsErr, format_args!("cannot close the sandbox: {lacks}")));
    }
    let holds = confined.holds.join(", ");
    log.sandbox(if holds.is_empty() { "nothing" } else { &holds }, &lacks);
    let folders = allowed.reads.iter().chain(&allowed.writes);
    Ok(Reach {
        ports: allowed.ports.filter(|_| confined.ports),
        folders: confined
            .files
            .then(|| folders.filter_map(|folder| folder.canonicalize().ok()).collect()),
        no_programs: confined.no_programs,
    })
}

fn allowed(control: &Control, spool: &Spool, remotes: &[Remote]) -> Allowed {
    let mut writes = spool.folders();
    // Theirs is to be what an administrator writes into passcmd, and what a protocol needs.
    if remotes.iter().any(|remote| transport::program(remote).is_some()) {
        writes.extend(SCRATCH.iter().map(PathBuf::from));
        return Allowed { reads: vec!["/".into()], writes, ports: None, programs: true };
    }
    let mut reads: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    for file in control.files() {
        around(&file, &mut reads);
    }
    for file in LINKS.iter().map(Path::new).chain(remotes.iter().flat_map(transport::files)) {
        around(file, &mut reads);
    }
    let mut ports: BTreeSet<u16> = PORTS.iter().copied().collect();
    ports.extend(remotes.iter().filter_map(Remote::effective_port));
    Allowed { reads, writes, ports: Some(ports), programs: false }
}

/// The folder of a file, and the folder of what it is a link to: a file that is renewed is another one
/// of the same name. At the root it is the file alone.
fn around(file: &Path, reads: &mut Vec<PathBuf>) {
    for path in [Some(file.to_owned()), file.canonicalize().ok()].into_iter().flatten() {
        let folder = path.parent().filter(|folder| folder.file_name().is_some());
        let one = folder.map_or(path.clone(), Path::to_owned);
        if !reads.contains(&one) {
            reads.push(one);
        }
    }
}
