//! Bad input: each gets one line on stderr, its own exit code, and leaves nothing behind.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::house::{House, Ran, is_root, run};
use crate::smtp::smtp;

fn nothing_left(house: &House) {
    assert_eq!(house.queued(), []);
    assert_eq!(house.names("tmp"), [""; 0]);
}

#[test]
fn binary_garbage_is_no_message() {
    // The first bytes of an ELF file, a PNG, a gzip, and a line before a NUL.
    for garbage in
        [&b"\x7fELF\x02\x01\x01\0\0"[..], b"\x89PNG\r\n\x1a\n\0\0\0", b"\x1f\x8b\x08\0", b"x\ny\0"]
    {
        for args in [&["a@b.c"][..], &["-t", "a@b.c"], &["-i", "a@b.c"]] {
            let house = House::new();
            house.run("sendmail", args, garbage).exit(65).complains("binary data");
            nothing_left(&house);
        }
    }
    let house = House::new();
    house.run("sendmail", ["a@b.c"], "Subject: attached\n\n\0\x01\x02\n").success();
    assert!(house.only_queued().message.ends_with("\n\n\0\x01\x02\n"));
}

#[test]
fn a_nul_in_the_header_is_refused_with_its_line() {
    let house = House::new();
    let ran = house.run("sendmail", ["a@b.c"], "Subject: x\nX: a\0b\n\n");
    ran.exit(65).complains("cannot use header line 2: it holds a NUL");
    nothing_left(&house);
}

#[test]
fn a_header_field_without_end_is_refused_and_not_held() {
    let house = House::new();
    let input = format!("To: a@b.c\nX: {}", "x".repeat(1 << 21));
    let ran = house.run("sendmail", ["-t"], input);
    ran.exit(65).complains("cannot use header line 2: the header is longer than 1048576 bytes");
    nothing_left(&house);
}

#[test]
fn nobody_to_send_to_is_said_before_anything_is_written() {
    let house = House::new();
    for (program, args, input) in [
        ("sendmail", &["-t"][..], "Subject: x\n\nbody\n"),
        ("sendmail", &["-t"], "To: undisclosed-recipients:;\n\n"),
        ("sendmail", &["-t"], "To: <>\n\n"),
        ("sendmail", &[], ""),
        ("sendmail", &[""], "To: a@b.c\n\n"),
        ("nullmailer-inject", &["-a"], "To: a@b.c\n\n"),
    ] {
        house.run(program, args, input).exit(64).complains("no recipients");
    }
    nothing_left(&house);
    assert!(!house.path("queue/queue").exists());
}

/// A stdin that breaks off: the other end is closed with data unread, which reads as an error.
fn broken(house: &House, args: &[&str], input: &str) -> Ran {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(input.as_bytes()).unwrap();
    (&theirs).write_all(b"never read").unwrap();
    drop(ours);
    let mut command = house.command("sendmail");
    let output = command.args(args).stdin(OwnedFd::from(theirs)).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_stdin_that_breaks_off_in_header_or_body_queues_nothing() {
    for input in ["", "To: a@b.c\nSubj", "To: a@b.c\n\n", "To: a@b.c\n\nhalf a mess"] {
        let house = House::new();
        broken(&house, &["-t", "a@b.c"], input).exit(66).complains("cannot read the message: ");
        nothing_left(&house);
    }
}

#[test]
fn a_stdin_that_cannot_be_read_is_named() {
    let house = House::new();
    let mut command = house.command("sendmail");
    let output = command.arg("a@b.c").stdin(File::open("/").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(66));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Is a directory"));
    nothing_left(&house);
}

#[test]
fn a_disk_that_is_full_is_named_and_the_half_is_removed() {
    let house = House::new();
    let limited = "ulimit -f 8; exec \"$0\" -t";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", limited]).arg(house.path("bin/sendmail"));
    command.env("NULLMAILER_TEST_PREFIX", house.path(""));
    let input = format!("To: a@b.c\n\n{}", "x\n".repeat(100_000));
    run(&mut command, input).exit(75).complains("/queue/tmp");
    nothing_left(&house);
}

#[test]
fn a_process_that_is_killed_in_the_middle_leaves_nothing() {
    let house = House::new();
    let nameless = File::options()
        .write(true)
        .custom_flags(nix::libc::O_TMPFILE)
        .open(house.path("queue"))
        .is_ok();
    let mut child = house.command("sendmail").arg("-t").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"To: a@b.c\n\n").unwrap();
    // Far more than a pipe and two buffers hold: when it is written, most of it was read.
    stdin.write_all(&vec![b'x'; 1 << 20]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(house.queued(), []);
    // A file system without nameless files keeps the half until the daemon clears it.
    assert!(!nameless || house.names("tmp").is_empty());
}

#[test]
fn a_spool_that_is_gone_or_closed_is_named() {
    let house = House::new();
    for (spool, code) in [("/nonexistent/spool", 73), ("/dev/null", 73), ("/proc/self", 73)] {
        let mut command = house.command("sendmail");
        command.env("NULLMAILER_SPOOL_DIR", spool);
        run(command.arg("a@b.c"), "x\n").exit(code).complains(spool);
    }
    fs::create_dir_all(house.path("queue/queue")).unwrap();
    fs::set_permissions(house.path("queue/queue"), fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere.
    if File::create(house.path("queue/queue/probe")).is_err() {
        house.run("sendmail", ["a@b.c"], "x\n").exit(75).complains("/queue/queue");
    }
    fs::set_permissions(house.path("queue/queue"), fs::Permissions::from_mode(0o700)).unwrap();
    let _ = fs::remove_file(house.path("queue/queue/probe"));
    nothing_left(&house);
}

#[test]
fn a_spool_on_a_read_only_file_system_leaves_the_mail_to_the_caller() {
    let mount = "mount --bind queue queue && mount -o remount,ro,bind queue && exec \"$@\"";
    let call = |house: &House, program: &str, args: &[&str], input: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", mount, "sh"]).arg(house.path("bin").join(program));
        unshare.args(args).current_dir(house.path("")).env_clear();
        unshare.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        run(unshare.env("NULLMAILER_TEST_PREFIX", house.path("")), input)
    };
    if !is_root() {
        return;
    }
    let calls: [(&str, &[&str], &str); 4] = [
        ("nullmailer-queue", &[], "a@b.c\nd@e.f\n\nx\n"),
        ("nullmailer-inject", &["d@e.f"], "x\n"),
        ("sendmail", &["d@e.f"], "x\n"),
        ("sendmail", &["-odi", "d@e.f"], "x\n"),
    ];
    for whole in [true, false] {
        let house = House::new();
        house.control("remotes", "127.0.0.1 smtp --port=1");
        if whole {
            house.run("nullmailer-queue", [""; 0], "a@b.c\nd@e.f\n\nx\n").success();
        }
        for (program, args, input) in calls {
            let ran = call(&house, program, args, input).exit(75).complains("ead-only file");
            assert!(ran.stderr.contains("/queue/queue"), "{}", ran.stderr);
        }
        assert_eq!(house.names("queue").len(), usize::from(whole));
    }
}

#[test]
fn a_file_in_the_place_of_the_queue_is_named_for_what_it_is() {
    let house = House::new();
    let path = house.path("queue/queue");
    fs::create_dir_all(house.path("queue")).unwrap();
    File::create(&path).unwrap();
    let said = format!("cannot write {}: not a directory", path.display());
    house.run("sendmail", ["a@b.c"], "x\n").exit(73).complains(&said);
    let said = said.replace("write", "read");
    house.run("nullmailer-send", [""; 0], "").exit(73).complains(&said);
}

/// A call by somebody who may not write the spool: nobody, where the tests run as root.
fn by_nobody(house: &House, no_new_privileges: bool) -> Ran {
    let open = |path: &str, mode| {
        fs::set_permissions(house.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in ["", "conf", "bin", "sbin", "queue"] {
        open(path, 0o755);
    }
    for file in fs::read_dir(house.path("conf")).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    for folder in ["queue", "tmp", "failed", "status"] {
        fs::create_dir_all(house.path("queue").join(folder)).unwrap();
        open(&format!("queue/{folder}"), 0o555);
    }
    let mut setpriv = Command::new("setpriv");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    if no_new_privileges {
        setpriv.arg("--no-new-privs");
    }
    // The test's own copy: the binary may lie where nobody may go.
    let copy = house.path("bin/copy");
    fs::create_dir_all(&copy).unwrap();
    open("bin/copy", 0o755);
    let copy = copy.join("sendmail");
    let mut cp = Command::new("cp");
    run(cp.arg("-L").arg(house.path("bin/sendmail")).arg(&copy), "").success();
    setpriv.arg(copy).arg("a@b.c").env("NULLMAILER_TEST_PREFIX", house.path(""));
    run(&mut setpriv, "x\n")
}

#[test]
fn somebody_who_may_not_write_the_spool_is_told_what_is_missing() {
    let house = House::new();
    by_nobody(&house, true).exit(75).complains("there is no set-uid nullmailer-queue");

    // One that is set-uid and always fails, so that its exit code tells that it ran.
    let queue = house.path("sbin/nullmailer-queue");
    fs::remove_file(&queue).unwrap();
    fs::write(&queue, "#!/bin/sh\nexit 75\n").unwrap();
    fs::set_permissions(&queue, fs::Permissions::from_mode(0o4755)).unwrap();
    by_nobody(&house, true).exit(75).complains("NoNewPrivileges keeps nullmailer-queue");
    by_nobody(&house, false).exit(75).complains("nullmailer-queue failed with exit code 75");
}

#[test]
fn a_control_file_that_cannot_be_used_is_named_with_its_line() {
    let house = House::new();
    house.control("maxheadersize", "big");
    let ran = house.run("sendmail", ["a@b.c"], "x\n");
    ran.exit(78).complains("conf/maxheadersize:1: ");
    house.control("maxheadersize", "").control("adminaddr", "nobody");
    house.run("sendmail", ["a@b.c"], "x\n").exit(78).complains("conf/adminaddr:1: ");
    nothing_left(&house);
}

#[test]
fn an_address_with_a_control_character_or_too_long_never_reaches_the_queue() {
    let house = House::new();
    let long = format!("{}@b.c", "a".repeat(1000));
    for bad in ["\"a\nb\"@c.d", "a@b\u{7f}", "\"\r\n\"@b.c", long.as_str(), "a@b>c"] {
        let ran = house.run("sendmail", [bad], "x\n");
        assert!(ran.code == Some(65) && ran.stderr.lines().count() == 1, "{bad:?}: {}", ran.stderr);
    }
    nothing_left(&house);
}

#[test]
fn a_large_message_is_streamed_and_a_long_line_is_too() {
    let house = House::new();
    let line = "y".repeat(4 << 20);
    let input = format!("To: a@b.c\n\n{line}\r\n{line}");
    house.run("sendmail", ["-t"], input).success();
    let message = house.only_queued().message;
    assert!(message.ends_with(&format!("\n\n{line}\n{line}")));
}

/// A password without quotes, behind the wrong name or in the wrong place: its words, of which none is to be shown.
#[test]
fn no_error_about_a_remote_shows_a_word_that_could_be_a_password() {
    for line in [
        "h.example smtp user=u pass=correct hunter2",
        "h.example smtp user=u pas=hunter2",
        "h.example smtp user=u hunter2",
        "h.example smtp user=u password hunter2",
        "h.example smtp user=u hunter2=correct",
        "h.example smtp user=u --hunter2",
        "h.example smtp user=u -hunter2",
        "h.example smtp user=u -phunter2",
        "h.example smtp user=u passcmd=echo hunter2",
        "h.example smtp user=u pass=hunter2 passfile=x",
        "h.example smtp user=u pass=\"hunter2",
        "h.example smtp tls=hunter2 user=u",
        "h.example qmqp hunter2",
        "h.example pass=hunter2",
        "h.example hunter2=x",
        "h.example 'hunter2/x'",
        "pass=hunter2 smtp",
        "'hunter2 x' smtp",
        "\"hunter2",
        "h.example dummy '' hunter2",
    ] {
        let house = House::new();
        house.control("remotes", line).control("pausetime", "0");
        house.run("nullmailer-queue", [""; 0], "s@x.y\na@x.y\n\nSubject: x\n\nx\n").success();
        let log = house.run("nullmailer-send", [""; 0], "").success();
        let health = house.run("nullmailer", ["health"], "");
        let said = [log.stdout, log.stderr, health.stdout, health.stderr].concat();
        assert!(said.contains("/conf/remotes:1: "), "{line}: {said}");
        assert!(!said.contains("hunter2"), "{line}: {said}");
        if let Some(options) =
            line.strip_prefix("h.example smtp ").filter(|rest| !rest.contains('"'))
        {
            let given: Vec<_> = options
                .split(' ')
                .map(|word| format!("--{}", word.trim_start_matches('-')))
                .collect();
            let given: Vec<_> = given.iter().map(String::as_str).collect();
            let ran = smtp(&house, &given, "s@x.y\na@x.y\n\nSubject: x\n\nx\n");
            assert!(!ran.stderr.contains("hunter2") && ran.code != Some(0), "{}", ran.stderr);
        }
    }
}

/// Characters that nobody would see, or that turn the text around, in a name that the mail user made and in a reply.
#[test]
fn no_line_of_the_log_holds_what_would_not_be_seen() {
    let hidden = ['\u{202e}', '\u{200b}', '\u{180e}', '\u{115f}', '\u{3164}', '\u{e0041}'];
    let text: String = hidden.iter().collect();
    for format in ["classic", "json"] {
        let sink =
            crate::smarthost::Sink::new().answers("RCPT*", &*format!("550 5.1.1 no{text}one"));
        let house = House::new();
        house.control("remotes", &sink.remote("")).control("pausetime", "0");
        house.control("logformat", format);
        house.run("nullmailer-queue", [""; 0], "s@x.y\na@x.y\n\nSubject: x\n\nx\n").success();
        let queue = house.path("queue/queue");
        let id = house.only_queued().id;
        fs::rename(queue.join(&id), queue.join(format!("{id}{text}"))).unwrap();
        let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
        assert!(!log.contains(hidden), "{format}: {log:?}");
        let shown =
            if format == "json" { r"\u202e\u200b\u180e" } else { r"\u{202e}\u{200b}\u{180e}" };
        assert!(log.contains(&format!("{id}{shown}")) && log.contains("one"), "{format}: {log}");
    }
}
