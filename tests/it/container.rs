//! The daemon as the only process of a container: process 1 of a namespace of its own, as any user.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::Daemon;
use crate::house::{House, copy_binary, has, run};
use crate::smarthost::Sink;

const MESSAGE: &str = "From: me@h.example\nSubject: x\n\nhi\n";
const NOBODY: u32 = 65_534;

/// The daemon as process 1; `None` where the system lets nobody make such a namespace.
pub fn process_one(house: &House) -> Option<Command> {
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--pid", "--fork", "--kill-child", program]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    if !has("unshare") || !unshare("true").status().unwrap().success() {
        assert!(std::env::var_os("CI").is_none(), "there are no namespaces");
        eprintln!("not checked: there are no namespaces");
        return None;
    }
    let program = house.path("bin/nullmailer-send");
    let mut command = unshare(program.to_str().unwrap());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("NULLMAILER_TEST_PREFIX", house.path(""));
    Some(command)
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn without_remotes_process_one_does_not_start() {
    let house = House::new();
    let Some(mut command) = process_one(&house) else { return };
    let ran = run(&mut command, "").exit(78);
    let file = house.path("conf/remotes").display().to_string();
    ran.complains(&format!(
        "nullmailer-send: {file}: holds nothing, and NULLMAILER_REMOTES is not set"
    ));
    house.control("remotes", "h smtp prot=1");
    run(&mut command, "").exit(78).complains(&format!("{file}:1: unknown option prot"));
    command.env("NULLMAILER_REMOTES_FILE", "/nowhere");
    run(&mut command, "").exit(78).complains("cannot read /nowhere (NULLMAILER_REMOTES_FILE): ");
}

/// Waits until nobody is left, living or not.
#[track_caller]
fn wait_for_no_children(pid: u32) {
    let late = Instant::now() + Duration::from_secs(60);
    while !children(pid).is_empty() {
        assert!(Instant::now() < late, "there are zombies: {:?}", children(pid));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn process_one_takes_the_exits_of_orphans() {
    let house = House::new();
    let program = house.path("protocols/orphans");
    // A session of its own, so that nobody ends it with the program that began it.
    let script = "#!/bin/sh\nsetsid sh -c 'sleep 0.05' >/dev/null 2>&1 3>&- &\necho ok\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    house.control("remotes", "nowhere.example orphans");
    let Some(command) = process_one(&house) else { return };
    let daemon = Daemon::spawn(command);
    for _ in 0..20 {
        house.run("sendmail", ["a@x.example"], MESSAGE).success();
    }
    daemon.wait_for_lines("Sent file.", 20);
    wait_for_no_children(children(daemon.id())[0]);
}

#[test]
fn process_one_leaves_an_exit_to_whoever_waits_for_it() {
    let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "235 2.7.0 ok");
    let house = House::new();
    // Its exit comes first; it is looked at when nobody holds its output any more.
    let command = "setsid sh -c 'exec sleep 0.3' 2>&1 & echo word; exit 0";
    house.control("remotes", &sink.remote(&format!("user=u passcmd=\"{command}\"")));
    let Some(command) = process_one(&house) else { return };
    let daemon = Daemon::spawn(command);
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    daemon.wait_for_line("Delivery complete, ");
    assert_eq!(sink.messages().len(), 1);
    wait_for_no_children(children(daemon.id())[0]);
}

#[test]
fn process_one_ends_after_the_transaction_and_reads_its_files_again() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let sink = Sink::new();
        let house = House::new();
        house.control("remotes", &format!("nowhere.invalid smtp port={}", sink.port()));
        let Some(command) = process_one(&house) else { return };
        let daemon = Daemon::spawn(command);
        let one = Pid::from_raw(children(daemon.id())[0].try_into().unwrap());
        house.control("remotes", &sink.remote(""));
        kill(one, Signal::SIGHUP).unwrap();
        daemon.wait_for_line("configured remotes=127.0.0.1");
        house.run("sendmail", ["a@x.example"], MESSAGE).success();
        daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
        kill(one, signal).unwrap();
        daemon.wait_for_line("stopped queued=0");
        assert!(daemon.wait().success());
    }
}

#[test]
fn a_spool_of_somebody_else_is_an_error_that_says_what_to_do() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let house = House::new();
    let root = house.path("queue");
    fs::set_permissions(house.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    // The build may lie where nobody else may look.
    let program = house.path("nullmailer-send");
    copy_binary(&program);
    fs::set_permissions(house.path("conf/me"), fs::Permissions::from_mode(0o644)).unwrap();
    let daemon = || {
        let mut command = Command::new(&program);
        command.uid(NOBODY).env_clear().env("NULLMAILER_TEST_PREFIX", house.path(""));
        run(&mut command, "").exit(77).stderr
    };
    let mend = format!("chown -R {NOBODY} {}, or run it as uid 0", root.display());
    let line = daemon();
    assert!(
        line.contains(&format!("belongs to uid 0 and this runs as uid {NOBODY}: {mend}")),
        "{line}"
    );
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    let line = daemon();
    assert!(line.contains(&mend) && line.lines().count() == 1, "{line}");
    // The spool itself is theirs, and what was made in it is not.
    std::os::unix::fs::chown(&root, Some(NOBODY), None).unwrap();
    let line = daemon();
    assert!(line.contains(&mend) && line.lines().count() == 1, "{line}");
}

#[test]
fn a_spool_in_memory_is_warned_of_in_one_line() {
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else { return };
    let house = House::new();
    house.control("pausetime", "0");
    fs::remove_dir(house.path("queue")).unwrap();
    symlink(memory.path(), house.path("queue")).unwrap();
    let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
    let cautions: Vec<_> = log.lines().filter(|line| line.starts_with("caution")).collect();
    let end = "is on tmpfs: what waits there goes with it\"";
    assert!(cautions.len() == 1 && cautions[0].ends_with(end), "{log}");
}
