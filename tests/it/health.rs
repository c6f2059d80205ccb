//! `nullmailer health`: one line and 0 or 1, and nobody notices.

use std::fs::{File, FileTimes, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::daemon::Daemon;
use crate::house::{House, Ran, copy_binary, is_root, run};

const MESSAGE: &str = "From: me@h.example\nSubject: x\n\nhi\n";

fn health(house: &House, args: &[&str]) -> Ran {
    let ran = run(house.command("nullmailer").arg("health").args(args), "");
    assert_eq!(ran.stdout.lines().count() + ran.stderr.lines().count(), 1, "{}", ran.stderr);
    ran
}

/// Queues a message that has waited for so long.
fn queue(house: &House, age: Duration) {
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    let file = house.path("queue/queue").join(house.names("queue").last().unwrap());
    let time = FileTimes::new().set_modified(SystemTime::now() - age);
    File::options().write(true).open(file).unwrap().set_times(time).unwrap();
}

#[test]
fn without_a_daemon_it_is_unhealthy() {
    let house = House::new();
    health(&house, &[]).exit(1).complains("nullmailer: unhealthy: no daemon listens on ");
    let daemon = Daemon::start(&house);
    health(&house, &[]).success();
    daemon.crash();
    health(&house, &[]).exit(1).complains("no daemon listens on ");
}

#[test]
fn mail_that_waits_too_long_is_unhealthy() {
    let house = House::new();
    let _daemon = Daemon::start(&house);
    let empty = health(&house, &[]).success().stdout;
    assert_eq!(empty, "a daemon runs, the queue is empty\n");
    queue(&house, Duration::from_secs(3 * 3600));
    queue(&house, Duration::from_secs(0));
    let line = health(&house, &[]).success().stdout;
    assert!(
        line.starts_with("a daemon runs, 2 message(s) in the queue, the oldest for 3h"),
        "{line}"
    );
    health(&house, &["--max-age=4h"]).success();
    health(&house, &["--max-age=2h"]).exit(1).complains(", more than 2h");
    house.control("queuelifetime", "1h").control("maxpause", "30m");
    health(&house, &[]).exit(1).complains(", more than 1h 30m");
    health(&house, &["--max-age=soon"]).exit(64).complains("--max-age");
}

#[test]
fn a_spool_that_takes_no_mail_is_unhealthy() {
    let house = House::new();
    let _daemon = Daemon::start(&house);
    house.control("minfree", &u64::MAX.to_string());
    health(&house, &[]).exit(1).complains("minfree");
    house.control("minfree", &i64::MAX.to_string());
    health(&house, &[]).exit(1).complains("/queue/queue has less room than minfree");
}

#[test]
fn a_spool_that_cannot_be_written_is_unhealthy() {
    let house = House::new();
    let _daemon = Daemon::start(&house);
    let mut command = house.command("nullmailer");
    command.arg("health");
    if nix::unistd::geteuid().is_root() {
        // Root may write everything; the build may lie where nobody else may look.
        let program = house.path("nullmailer");
        copy_binary(&program);
        set_permissions(house.path(""), Permissions::from_mode(0o755)).unwrap();
        command = Command::new(program);
        command.arg("health").uid(65_534).env_clear().env("NULLMAILER_TEST_PREFIX", house.path(""));
    }
    set_permissions(house.path("queue/queue"), Permissions::from_mode(0o500)).unwrap();
    run(&mut command, "").exit(1).complains("unhealthy: cannot write ");
    set_permissions(house.path("queue/queue"), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_daemon_notices_nothing_of_it() {
    let house = House::new();
    let daemon = Daemon::start(&house);
    for _ in 0..5 {
        health(&house, &[]).success();
    }
    let log = daemon.stop_with_log();
    let seen = log.iter().filter(|line| line.contains("rigger") || line.contains("health")).count();
    assert_eq!((seen, log.last().map(String::as_str)), (0, Some("stopped queued=0")), "{log:#?}");
}

#[test]
fn a_daemon_whose_loop_does_not_turn_is_unhealthy() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let daemon = Daemon::start(&house);
    health(&house, &[]).success();
    // Its first thread alone stands still: the one that has the loop.
    let first = Pid::from_raw(daemon.id().try_into().unwrap());
    ptrace::seize(first, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(first).unwrap();
    waitpid(first, Some(WaitPidFlag::__WALL)).unwrap();
    health(&house, &[]).exit(1).complains("unhealthy: nullmailer-send stands still");
    ptrace::detach(first, None).unwrap();
    health(&house, &[]).success();
}

#[test]
fn a_daemon_that_stands_still_as_a_whole_is_unhealthy() {
    let house = House::new();
    let daemon = Daemon::start(&house);
    daemon.freeze();
    health(&house, &[]).exit(1).complains("/submit: it does not answer");
    daemon.signal(Signal::SIGCONT);
    health(&house, &[]).success();
}

#[test]
fn a_service_manager_that_watches_is_shown_that_the_loop_turns() {
    let house = House::new();
    let path = house.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let next = || {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    // A time that is another process's, or none, is not ours to keep.
    for (pid, micros, watched) in [("", "20000", true), ("1", "20000", false), ("", "0", false)] {
        let mut command = house.command("nullmailer-send");
        command.env("NOTIFY_SOCKET", &path);
        command.env("WATCHDOG_PID", pid).env("WATCHDOG_USEC", micros);
        let daemon = Daemon::spawn(command);
        let mut told: Vec<_> = (0..if watched { 5 } else { 1 }).map(|_| next()).collect();
        assert!(daemon.stop().success());
        while told.last().unwrap() != "STOPPING=1" {
            told.push(next());
        }
        let alive = told.iter().filter(|line| *line == "WATCHDOG=1").count();
        assert_eq!(alive >= 4, watched, "{pid} {micros}: {told:?}");
        assert_eq!(alive == 0, !watched, "{pid} {micros}: {told:?}");
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let house = House::new();
    let _daemon = Daemon::start(&house);
    let mut command = house.command("nullmailer");
    let ran = run(command.arg("health").env("NULLMAILER_REMOTE", "x"), "").success();
    ran.complains("NULLMAILER_REMOTE: no such variable, NULLMAILER_REMOTES is the nearest");
}
