//! What a program is left by whoever starts it: closed streams, limits, a umask, signals, a huge environment.
//!
//! The set-uid copy has the same in `setuid`; here it is the caller's own mail that is at stake.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::house::{House, Ran, has, is_root, run};
use crate::socket::Open;

const MAIL: &str = "a@b.c\nd@e.f\n\nSubject: x\n\nbody\n";
const MESSAGE: &str = "Subject: x\n\nbody\n";

/// Runs the program after the shell has done `prepare`.
fn after(prepare: &str, house: &House, program: &[&str], input: &str) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{prepare}; exec \"$@\""), "sh"]);
    shell.arg(house.path("bin").join(program[0])).args(&program[1..]);
    shell.env_clear().env("PATH", "/usr/bin:/bin").env("NULLMAILER_TEST_PREFIX", house.path(""));
    run(&mut shell, input)
}

const CLOSED: [&str; 7] = [
    "exec >&-",
    "exec 2>&-",
    "exec >&- 2>&-",
    "exec <&-",
    "exec <&- >&-",
    "exec <&- 2>&-",
    "exec <&- >&- 2>&-",
];

#[test]
fn no_file_takes_the_place_of_a_closed_stream() {
    for closed in CLOSED {
        let house = House::new();
        let queued = after(closed, &house, &["nullmailer-queue"], MAIL);
        let sent = after(closed, &house, &["sendmail", "-f", "a@b.c", "d@e.f"], MESSAGE);
        sent.success();
        // Without a stdin sendmail has an empty message, as with one that is empty.
        if closed.contains('<') {
            queued.exit(65);
            assert!(!house.only_queued().message.contains("body"));
        } else {
            queued.success();
            assert_eq!(house.queued().len(), 2);
            assert!(house.queued().iter().all(|one| one.message.ends_with("\n\nbody\n")));
        }
        assert_eq!(house.names("tmp"), [""; 0], "{closed}");
    }
}

#[test]
fn a_daemon_without_streams_writes_its_log_into_no_file_of_the_spool() {
    for closed in CLOSED {
        let house = House::new();
        house.control("pausetime", "0").control("remotes", "127.0.0.1 smtp --port=1\n");
        house.run("nullmailer-queue", [""; 0], MAIL).success();
        let before = fs::read(house.path("queue/queue").join(house.only_queued().id)).unwrap();
        after(closed, &house, &["nullmailer-send"], "").success();
        let after = fs::read(house.path("queue/queue").join(house.only_queued().id)).unwrap();
        assert_eq!(before, after, "{closed}");
        assert_eq!(fs::read(house.path("queue/lock")).unwrap(), b"", "{closed}");
        for journal in house.names("status") {
            let text = fs::read_to_string(house.path("queue/status").join(journal)).unwrap();
            assert!(!text.contains("Rescanning"), "{closed}: {text}");
        }
    }
}

#[test]
fn a_umask_that_takes_everything_leaves_the_daemon_its_mail() {
    let house = House::new();
    after("umask 777", &house, &["nullmailer-queue"], MAIL).success();
    let mode = |path| fs::metadata(house.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(format!("queue/queue/{}", house.only_queued().id)), 0o600);
    assert_eq!([mode("queue/queue".into()), mode("queue/tmp".into())], [0o700, 0o700]);
}

#[test]
fn a_file_that_may_not_grow_is_a_clear_error_and_leaves_nothing() {
    let house = House::new();
    let large = format!("{MAIL}{}", "x".repeat(300_000));
    let ran = after("ulimit -f 1", &house, &["nullmailer-queue"], &large);
    ran.exit(75).complains("File too large");
    let ran = after("ulimit -f 1", &house, &["sendmail", "d@e.f"], &large);
    ran.exit(75).complains("File too large");
    assert_eq!((house.queued(), house.names("tmp")), (vec![], vec![]));
}

#[test]
fn four_descriptors_are_too_few_and_that_is_said() {
    let house = House::new();
    for program in [&["nullmailer-queue"][..], &["sendmail", "d@e.f"]] {
        let ran = after("ulimit -n 4", &house, program, MAIL);
        ran.exit(75).complains("Too many open files");
    }
    assert_eq!((house.queued(), house.names("tmp")), (vec![], vec![]));
}

#[test]
fn however_few_descriptors_there_are_each_program_does_its_work_or_says_in_one_line_why_not() {
    for descriptors in 4..=26 {
        let house = House::new();
        house.control("remotes", "127.0.0.1 smtp port=1\n").control("pausetime", "0");
        let limit = format!("ulimit -n {descriptors}");
        let with_program = format!("{limit}; export NULLMAILER_QUEUE=/bin/cat");
        let mut queued = 0;
        for (prepare, program) in [
            (&limit, &["nullmailer-queue"][..]),
            (&limit, &["sendmail", "d@e.f"]),
            (&limit, &["sendmail", "-odi", "d@e.f"]),
            (&with_program, &["sendmail", "d@e.f"]),
            (&limit, &["nullmailer-send"]),
        ] {
            let ran = after(prepare, &house, program, MAIL);
            let lines = ran.stderr.lines().count();
            let expected = usize::from(ran.code != Some(0));
            assert_eq!(lines, expected, "{descriptors} {program:?}: {:?} {}", ran.code, ran.stderr);
            assert!(
                matches!(ran.code, Some(0 | 71 | 75)),
                "{descriptors} {program:?}: {:?} {}",
                ran.code,
                ran.stderr
            );
            queued += usize::from(ran.code == Some(0) && prepare == &limit);
            // The daemon queues nothing.
            if program == ["nullmailer-send"] {
                assert_eq!(ran.code == Some(0), descriptors >= 24, "{descriptors}: {}", ran.stderr);
                queued -= usize::from(ran.code == Some(0));
            }
        }
        assert_eq!((house.queued().len(), house.names("tmp")), (queued, vec![]));
    }
}

/// Runs the program as a child of one that ignores what becomes of its children, as sh cannot.
fn ignored(house: &House, program: &[&str], queue_program: &str) -> Ran {
    let script = "import os, signal, sys\n\
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
        os.execv(sys.argv[1], sys.argv[1:])";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(house.path("bin").join(program[0])).args(&program[1..]);
    python.env("NULLMAILER_TEST_PREFIX", house.path("")).env("NULLMAILER_QUEUE", queue_program);
    run(&mut python, MESSAGE)
}

#[test]
fn who_ignores_his_children_learns_what_the_queue_program_said() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let sendmail = ["sendmail", "-f", "a@b.c", "d@e.f"];
    ignored(&house, &sendmail, "/bin/cat").success();
    ignored(&house, &sendmail, "/bin/false")
        .exit(75)
        .complains("/bin/false failed with exit code 1");
}

#[test]
fn a_daemon_of_one_who_ignores_his_children_sees_its_mail_delivered() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    house.control("pausetime", "0").control("remotes", "host.dom dummy\n");
    let mut write = Command::new("sh");
    write.args(["-c", "cat >\"$0\" && chmod +x \"$0\""]).arg(house.path("protocols/dummy"));
    run(&mut write, "#!/bin/sh\necho taken\n").success();
    house.run("nullmailer-queue", [""; 0], MAIL).success();
    let log = ignored(&house, &["nullmailer-send"], "").success().stdout;
    assert!(house.queued().is_empty(), "{log}");
}

#[test]
fn over_the_socket_a_user_is_served_or_told_why_not() {
    if !is_root() {
        return;
    }
    let open = Open::new();
    let large = format!("Subject: x\n\n{}\n", "x\n".repeat(300_000));
    let as_user = |prepare: &str, message: &str| {
        let shell = ["sh", "-c", &format!("{prepare}; exec \"$@\""), "sh"];
        open.as_user(65534, &shell, &["sendmail", "-f", "a@b.c", "d@e.f"], message)
    };
    // A large message is held in a file until it is whole.
    as_user("ulimit -f 1", &large).exit(75).complains("File too large");
    as_user("ulimit -n 4", &large).exit(75).complains("Too many open files");
    as_user("ulimit -n 3", MESSAGE);
    open.nothing_left();
    let huge = "big=$(head -c 120000 /dev/zero | tr '\\0' x); for n in 1 2 3 4 5 6 7 8; do export BIG$n=$big; done";
    for prepare in [huge, "umask 777", "exec >&- 2>&-", "trap '' HUP PIPE"] {
        as_user(prepare, MESSAGE).success();
    }
    assert_eq!(open.house.queued().len(), 4);
}
