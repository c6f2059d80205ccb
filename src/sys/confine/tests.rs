//! Tries what is forbidden, in a process that has confined itself.
#![allow(clippy::disallowed_types, reason = "tests are the outside")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Allowed, confine};

/// Says to the helper below where it may play; whoever runs it by hand runs nothing.
const HOUSE: &str = "CONFINED_HOUSE";

/// Runs the helper in a process of its own, and returns what it printed.
fn confined(house: &Path, port: u16, programs: bool) -> String {
    let test = std::env::current_exe().unwrap();
    let name = "sys::confine::tests::tries_what_is_forbidden";
    let output = Command::new(test)
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env(HOUSE, format!("{}:{port}:{programs}", house.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn refused<T>(what: &str, result: io::Result<T>) {
    // A link or a move to where less is allowed is refused as one to another file system.
    let refusals = [io::ErrorKind::PermissionDenied, io::ErrorKind::CrossesDevices];
    let kind = result.err().map(|error| error.kind());
    assert!(kind.is_some_and(|kind| refusals.contains(&kind)), "{what}: {kind:?}");
}

fn allowed<T>(what: &str, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn tries_what_is_forbidden() {
    let Ok(house) = std::env::var(HOUSE) else { return };
    let [house, port, programs] = house.split(':').collect::<Vec<_>>().try_into().unwrap();
    let (house, programs) = (PathBuf::from(house), programs == "true");
    let port: u16 = port.parse().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (spool, outside) = (house.join("spool"), house.join("outside"));
    let reads = if programs { vec!["/".into()] } else { vec![house.join("conf")] };
    let writes = vec![spool.clone()];
    let ports = (!programs).then(|| [port].into());
    let held = confine(&Allowed { reads, writes, ports, programs });
    println!("{held:?}");

    allowed("write a file", fs::write(spool.join("tmp/x"), "x"));
    allowed("link it", fs::hard_link(spool.join("tmp/x"), spool.join("queue/x")));
    allowed("move it", fs::rename(spool.join("queue/x"), spool.join("failed/x")));
    allowed("read it", fs::read(spool.join("failed/x")));
    allowed("remove it", fs::remove_file(spool.join("failed/x")));
    crate::sys::make_fifo(&spool.join("trigger")).unwrap();
    allowed("read a control file", fs::read(house.join("conf/me")));
    allowed("connect", TcpStream::connect(("127.0.0.1", port)));
    allowed("start a thread", std::thread::Builder::new().spawn(|| ())).join().unwrap();

    if held.files {
        refused("write outside", OpenOptions::new().write(true).open(outside.join("file")));
        refused("create outside", File::create(outside.join("new")));
        refused("remove outside", fs::remove_file(outside.join("file")));
        refused("move out", fs::rename(spool.join("tmp/x"), outside.join("moved")));
        refused("link in", fs::hard_link(outside.join("file"), spool.join("queue/in")));
        refused("make a folder", fs::create_dir(outside.join("folder")));
        assert_eq!(fs::read(outside.join("file")).is_ok(), programs, "read outside");
        assert_eq!(fs::read_dir(&outside).is_ok(), programs, "list outside");
    }
    let elsewhere = other.local_addr().unwrap();
    if held.ports {
        refused("connect to another port", TcpStream::connect(elsewhere));
        refused("bind a port", TcpListener::bind(("127.0.0.1", 4444)));
    } else {
        allowed("connect to another port", TcpStream::connect(elsewhere));
    }
    if held.holds.iter().any(|one| one.starts_with("seccomp")) {
        use nix::errno::Errno;
        use nix::{mount, sched, sys, unistd};
        assert_eq!(sys::ptrace::traceme(), Err(Errno::EPERM));
        assert_eq!(sched::unshare(sched::CloneFlags::CLONE_FS), Err(Errno::EPERM));
        assert_eq!(mount::umount("/"), Err(Errno::EPERM));
        assert_eq!(unistd::chroot("/"), Err(Errno::EPERM));
        let same = unistd::setuid(unistd::getuid());
        assert_eq!(same.is_ok(), programs);
    }
    let program = Command::new("/bin/true").status();
    assert_eq!(program.is_ok(), programs || !held.no_programs, "{program:?}");
    // Whoever gets as far as a process of its own is no freer there.
    if programs && held.files {
        let shell = format!("echo x >{}", outside.join("file").display());
        let shell = Command::new("/bin/sh").args(["-c", &shell]).output().unwrap();
        assert!(!shell.status.success());
    }
}

fn house() -> tempfile::TempDir {
    let house = tempfile::tempdir().unwrap();
    for folder in ["spool/tmp", "spool/queue", "spool/failed", "outside", "conf"] {
        fs::create_dir_all(house.path().join(folder)).unwrap();
    }
    for file in ["outside/file", "conf/me"] {
        fs::write(house.path().join(file), "x").unwrap();
    }
    house
}

#[test]
fn what_is_said_to_hold_holds_in_the_process_that_said_it() {
    let (house, server) = (house(), TcpListener::bind("127.0.0.1:0").unwrap());
    for programs in [false, true] {
        let port = server.local_addr().unwrap().port();
        let said = confined(house.path(), port, programs);
        assert!(said.contains("Confined {") && said.contains("1 passed"), "{said}");
        let _ = fs::remove_file(house.path().join("spool/trigger"));
    }
    assert_eq!(fs::read(house.path().join("outside/file")).unwrap(), b"x");
}
