//! What stands where a file should: a FIFO, a socket, a folder or a device under the name of each file that the
//! programs read. It is one clear line, nothing waits for it, and the daemon still hears its signals.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::{Certificates, Sink};

const MAIL: &str = "a@b.c\nd@x.example\n\nSubject: x\n\nbody\n";
const FLAW: &str = "it is not a regular file";

type Plant = fn(&Path);
const KINDS: &[(&str, Plant)] = &[
    ("FIFO", |path| mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap()),
    ("socket", |path| drop(UnixListener::bind(path).unwrap())),
    ("folder", |path| fs::create_dir(path).unwrap()),
    ("device", |path| symlink("/dev/zero", path).unwrap()),
];

fn put(plant: Plant, path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
    plant(path);
}

/// Runs a daemon over a queue of one message, which stays; returns what it has logged.
#[track_caller]
fn daemon(house: &House, line: &str) -> Vec<String> {
    let daemon = Daemon::start(house);
    daemon.wait_for_line(line);
    let log = daemon.stop_with_log();
    assert_eq!(house.names("queue").len(), 1, "{log:#?}");
    log
}

#[test]
fn a_control_file_that_is_none_is_one_line_for_each_program() {
    for (kind, plant) in KINDS {
        for (program, name) in [
            ("nullmailer-queue", "adminaddr"),
            ("nullmailer-queue", "maxmessagesize"),
            ("nullmailer-inject", "defaultdomain"),
            ("sendmail", "me"),
            ("nullmailer-smtpd", "me"),
        ] {
            let house = House::new();
            put(*plant, &house.path("conf").join(name));
            let args = ["d@x.example"].into_iter().filter(|_| program != "nullmailer-smtpd");
            let line = format!("conf/{name}: {FLAW}");
            house.run(program, args, MAIL).exit(78).complains(&line);
            assert!(house.names("queue").is_empty(), "{kind} {program} {name}");
        }
    }
}

#[test]
fn a_control_file_that_is_none_leaves_the_daemon_its_signals() {
    for (kind, plant) in KINDS {
        for name in ["remotes", "pausetime", "me"] {
            let house = House::new();
            house.control("remotes", "127.0.0.1 smtp --port=1");
            house.run("nullmailer-queue", [""; 0], MAIL).success();
            put(*plant, &house.path("conf").join(name));
            let log = daemon(&house, &format!("conf/{name}: {FLAW}"));
            assert!(log.len() < 20, "{kind} {name} {log:#?}");
        }
    }
}

#[test]
fn a_certificate_or_password_that_is_none_delays_mail_with_a_line_that_names_it() {
    let certificates = Certificates::new();
    for option in ["x509cafile", "x509crlfile", "x509certfile", "x509keyfile", "passfile"] {
        for (kind, plant) in KINDS {
            let sink = Sink::new().offers(&["AUTH PLAIN"]).starttls(&certificates);
            let house = House::new();
            house.control("ca.pem", &certificates.authority).control("pausetime", "1h");
            let planted = house.path("conf/planted");
            put(*plant, &planted);
            let more = match option {
                "x509cafile" => String::new(),
                "x509certfile" => "x509cafile=ca.pem x509keyfile=ca.pem".to_owned(),
                "x509keyfile" => "x509cafile=ca.pem x509certfile=ca.pem".to_owned(),
                "passfile" => "x509cafile=ca.pem user=u".to_owned(),
                _ => "x509cafile=ca.pem".to_owned(),
            };
            house.control("remotes", &sink.remote(&format!("starttls {more} {option}=planted")));
            house.run("nullmailer-queue", [""; 0], MAIL).success();
            let log = daemon(&house, &format!("{}: {FLAW}", planted.display()));
            assert!(log.len() < 20, "{kind} {option} {log:#?}");
            assert_eq!(sink.messages().len(), 0);
        }
    }
}

#[test]
fn a_lock_that_is_no_file_is_one_line_and_no_daemon_starts() {
    for (kind, plant) in &KINDS[..3] {
        let house = House::new();
        put(*plant, &house.path("queue/lock"));
        let line = format!("queue/lock: {FLAW}");
        house.run("nullmailer-send", [""; 0], "").exit(75).complains(&line);
        let sink = Sink::new();
        house.control("remotes", &sink.remote(""));
        house.run("sendmail", ["-odi", "d@x.example"], "x\n").success();
        assert_eq!(sink.messages().len(), 1, "{kind}");
    }
}

#[test]
fn what_is_no_file_in_the_queue_or_among_the_journals_holds_no_mail_up() {
    for (kind, plant) in KINDS {
        let sink = Sink::new();
        let house = House::new();
        house.control("remotes", &sink.remote("")).control("pausetime", "1h");
        house.run("nullmailer-queue", [""; 0], MAIL).success();
        house.run("nullmailer-queue", [""; 0], MAIL).success();
        let id = house.names("queue").remove(0);
        put(*plant, &house.path("queue/queue/planted"));
        put(*plant, &house.path("queue/status").join(&id));
        let log = daemon(&house, &format!("status/{id}: "));
        assert_eq!((house.names("queue"), sink.messages().len()), (vec![id], 1), "{kind} {log:#?}");
        assert_eq!(house.names("failed"), ["planted"], "{kind} {log:#?}");
    }
}

#[test]
fn a_name_that_no_message_can_have_is_told_once_and_listed_and_others_go_out() {
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    house.run("nullmailer-queue", [""; 0], MAIL).success();
    let put = |name: &OsStr| {
        fs::write(house.path("new"), MAIL).unwrap();
        fs::rename(house.path("new"), house.path("queue/queue").join(name)).unwrap();
    };
    put(OsStr::new("before\tit"));
    put(OsStr::new(".hidden\t"));
    let daemon = Daemon::start(&house);
    put(OsStr::new("while\nit"));
    put(OsStr::from_bytes(b"runs\xff"));
    daemon.wait_for_line("queue/runs");
    house.run("nullmailer", ["flush"], "").success();
    house.run("nullmailer-queue", [""; 0], MAIL).success();
    assert_eq!(sink.wait_for(2).len(), 2);
    let log = daemon.stop_with_log();
    for name in [r"before\\tit", r"while\\nit", "runs\u{fffd}"] {
        let told = log.iter().filter(|line| line.contains(name)).count();
        assert_eq!(told, 1, "{name} {log:#?}");
    }
    assert!(!log.iter().any(|line| line.contains("hidden")), "{log:#?}");
    let list = house.run("mailq", [""; 0], "").success();
    assert_eq!(list.stdout, "");
    assert_eq!(
        list.stderr,
        "mailq: cannot list queue/before\\tit: its name holds a control character; rename it\n\
         mailq: cannot list queue/runs\u{fffd}: its name is not UTF-8; rename it\n\
         mailq: cannot list queue/while\\nit: its name holds a control character; rename it\n"
    );
    assert_eq!(house.names("queue").len(), 4);
}
