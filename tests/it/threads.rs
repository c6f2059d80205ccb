//! A user, or a cgroup, that may have no thread or process more: whoever needs one says so and is to be tried again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::daemon::Daemon;
use crate::house::{House, copy_binary, is_root, run};
use crate::smarthost::Sink;
use crate::socket::{MAIL, wire};

/// A house of a user of that number, whom no other test has.
fn owned(uid: u32) -> House {
    let house = House::new();
    fs::create_dir(house.path("own")).unwrap();
    for name in ["nullmailer-send", "nullmailer-queue", "sendmail"] {
        copy_binary(&house.path("own").join(name));
    }
    house.control("pausetime", "1h");
    for path in ["", "conf", "queue"] {
        chown(house.path(path), Some(uid), Some(uid)).unwrap();
        fs::set_permissions(house.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    house
}

/// The program as that user, who may have so many threads and processes.
fn limited(house: &House, uid: u32, threads: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()];
    command.args(ids).args(["prlimit", &format!("--nproc={threads}:100")]);
    command.arg(house.path("own").join(program));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.env("NULLMAILER_TEST_PREFIX", house.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn readable(house: &House, uid: u32) {
    for file in fs::read_dir(house.path("conf")).unwrap() {
        chown(file.unwrap().path(), Some(uid), Some(uid)).unwrap();
    }
}

/// From now on the daemon of that user may have more of them.
fn allow_more(daemon: &Daemon, uid: u32) {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]);
    command.args(["prlimit", "--nproc=100:", &format!("--pid={}", daemon.id())]);
    run(&mut command, "").success();
}

fn talk(socket: &Path) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = UnixStream::connect(socket).unwrap();
    let _ = stream.write_all(&wire(MAIL));
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8(heard).unwrap()
}

#[test]
fn a_daemon_without_a_thread_delivers_and_takes_mail_in_once_it_has_one() {
    if !is_root() {
        return;
    }
    let uid = 54_331;
    let (sink, house) = (Sink::new(), owned(uid));
    house.control("remotes", &sink.remote(""));
    readable(&house, uid);
    run(&mut limited(&house, uid, 100, "nullmailer-queue"), MAIL).success();
    let daemon = Daemon::spawn(limited(&house, uid, 1, "nullmailer-send"));
    daemon.wait_for_line("cannot take mail in: cannot start a thread: Resource temporarily");
    assert_eq!(sink.wait_for(1).len(), 1);
    allow_more(&daemon, uid);
    let heard = talk(&house.path("queue/submit"));
    assert!(heard.starts_with("ready\nqueued "), "{heard}");
    assert_eq!(sink.wait_for(2).len(), 2);
    let log = daemon.stop_with_log();
    assert_eq!(log.iter().filter(|line| line.contains("cannot take mail in")).count(), 1);
}

#[test]
fn a_client_without_a_thread_is_told_to_come_later() {
    if !is_root() {
        return;
    }
    let uid = 54_332;
    let house = owned(uid);
    // A name, which takes a thread to look up.
    house.control("remotes", "mail.example smtp\n");
    readable(&house, uid);
    // The loop, those who let clients in and close after them, and no more.
    let daemon = Daemon::spawn(limited(&house, uid, 3, "nullmailer-send"));
    for _ in 0..3 {
        assert_eq!(talk(&house.path("queue/submit")), "busy\n");
    }
    daemon.wait_for_line("cannot take mail in: cannot start a thread: Resource temporarily");
    run(&mut limited(&house, uid, 100, "nullmailer-queue"), MAIL).success();
    daemon.wait_for_line("\"mail.example\": cannot start a thread");
    daemon.wait_for_line("Delivery complete, 1 message(s) remain.");
    allow_more(&daemon, uid);
    assert!(talk(&house.path("queue/submit")).starts_with("ready\nqueued "));
    assert!(daemon.stop().success());
}

#[test]
fn a_queue_program_that_cannot_be_run_or_heard_for_want_of_a_process_is_75() {
    if !is_root() {
        return;
    }
    let uid = 54_333;
    let house = owned(uid);
    readable(&house, uid);
    for threads in [1, 2, 3] {
        let mut command = limited(&house, uid, threads, "sendmail");
        command.arg("d@e.f").env("NULLMAILER_QUEUE", house.path("own/nullmailer-queue"));
        run(&mut command, "x\n").exit(75).complains("Resource temporarily unavailable");
    }
    let mut command = limited(&house, uid, 100, "sendmail");
    command.arg("d@e.f").env("NULLMAILER_QUEUE", house.path("own/nullmailer-queue"));
    run(&mut command, "x\n").success();
    assert_eq!(house.queued().len(), 1);
}
