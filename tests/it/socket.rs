//! Mail that comes over the daemon's socket, from those who may and those who mean harm.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use crate::daemon::Daemon;
use crate::house::{House, Ran, is_root, run};

/// A house whose spool somebody else may only reach through the socket.
pub struct Open {
    pub house: House,
    pub daemon: Daemon,
}

impl Open {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    pub fn with(prepare: impl FnOnce(&House)) -> Self {
        Self::started(prepare, Daemon::start)
    }

    pub fn started(prepare: impl FnOnce(&House), start: impl FnOnce(&House) -> Daemon) -> Self {
        let house = House::new();
        let open = |path: PathBuf, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir_all(house.path("own")).unwrap();
        for name in ["sendmail", "nullmailer-queue"] {
            fs::copy(crate::house::binary(), house.path("own").join(name)).unwrap();
        }
        prepare(&house);
        for file in fs::read_dir(house.path("conf")).unwrap() {
            open(file.unwrap().path(), 0o644);
        }
        for path in ["", "conf", "bin", "sbin", "own", "queue"] {
            open(house.path(path), 0o755);
        }
        let daemon = start(&house);
        Self { house, daemon }
    }

    pub fn socket(&self) -> PathBuf {
        self.house.path("queue/submit")
    }

    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// Says all of it, hears all of it.
    pub fn talk(&self, text: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be answered, and closed, before all is said.
        let _ = stream.write_all(text);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8(heard).unwrap()
    }

    /// Runs a program as another user, who may not write the spool.
    pub fn as_user(&self, uid: u32, options: &[&str], program: &[&str], input: &str) -> Ran {
        let mut setpriv = Command::new("setpriv");
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()];
        setpriv.args(ids).args(options);
        setpriv.arg(self.house.path("own").join(program[0])).args(&program[1..]);
        setpriv.env_clear().env("PATH", "/usr/bin:/bin");
        setpriv.env("NULLMAILER_TEST_PREFIX", self.house.path(""));
        run(&mut setpriv, input)
    }

    pub fn nothing_left(&self) {
        assert_eq!(self.house.queued(), []);
        assert_eq!(self.house.names("tmp"), [""; 0]);
    }
}

pub fn wire(message: &str) -> Vec<u8> {
    format!("nullmailer-submit 1\n{}\n{message}0\n", message.len()).into_bytes()
}

pub const MAIL: &str = "a@b.c\nd@e.f\n\nSubject: x\n\nbody\n";

#[test]
fn a_whole_message_is_queued_and_its_id_is_the_answer() {
    let open = Open::new();
    let answer = open.talk(&wire(MAIL));
    let queued = open.house.only_queued();
    assert_eq!(answer, format!("ready\nqueued {}\n", queued.id));
    assert_eq!(
        (queued.sender.as_str(), queued.message.as_str()),
        ("a@b.c", "Subject: x\n\nbody\n")
    );
    assert_eq!(open.socket().metadata().unwrap().mode() & 0o777, 0o666);
    open.daemon.wait_for_line(&format!("submitted id={}", queued.id));
}

#[test]
fn a_message_that_breaks_off_anywhere_is_not_queued() {
    let open = Open::new();
    let whole = wire(MAIL);
    for cut in 0..whole.len() {
        open.talk(&whole[..cut]);
    }
    open.nothing_left();
}

#[test]
fn garbage_and_endless_envelopes_are_refused_and_leave_nothing() {
    let open = Open::with(|house| {
        house.control("maxmessagesize", "1000");
    });
    let recipients = format!("a@b.c\n{}", "d@e.f\n".repeat(300_000));
    let large = format!("{MAIL}{}", "x".repeat(4000));
    for (said, answer) in [
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "failed 66 "),
        (vec![b'1'; 1 << 16], "failed 66 "),
        (b"nullmailer-submit 1\n-5\n".to_vec(), "failed 66 "),
        (wire(&"a".repeat(1 << 16)), "failed 65 "),
        (wire(&recipients), "failed 65 "),
        (wire("a@b.c\n\n"), "failed 64 no recipients"),
        (wire("a@b.c\nd@e.f\r\n\n"), "failed 65 cannot use recipient"),
        (wire(&large), "failed 65 the message is larger than maxmessagesize, 1000 bytes"),
    ] {
        let heard = open.talk(&said);
        assert!(heard.starts_with(&format!("ready\n{answer}")), "{answer}: {heard}");
        assert_eq!(heard.lines().count(), 2, "{heard}");
    }
    open.nothing_left();
    assert!(open.talk(&wire(MAIL)).contains("queued "));
}

#[test]
fn two_users_and_a_process_without_new_privileges_submit_as_themselves() {
    if !is_root() {
        return;
    }
    let open = Open::new();
    for (uid, options, program) in [
        (65534, &[][..], &["sendmail", "d@e.f"][..]),
        (54321, &["--no-new-privs"], &["sendmail", "-t"]),
        (54321, &["--no-new-privs"], &["nullmailer-queue"]),
    ] {
        let input = if program.len() == 1 { MAIL } else { "To: d@e.f\n\nbody\n" };
        open.as_user(uid, options, program, input).success();
        let queued = open.house.only_queued();
        let file = open.house.path("queue/queue").join(&queued.id);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!(" invoked by uid {uid});\n")), "{text}");
        let meta = file.metadata().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o600));
        open.daemon.wait_for_line(&format!("submitted id={} uid={uid} ", queued.id));
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_large_message_comes_whole_and_a_bad_one_has_its_exit_code() {
    if !is_root() {
        return;
    }
    let open = Open::new();
    let body = "y\n".repeat(1 << 20);
    open.as_user(54321, &[], &["sendmail", "-t"], &format!("To: d@e.f\n\n{body}")).success();
    assert!(open.house.only_queued().message.ends_with(&format!("\n\n{body}")));
    let ran = open.as_user(54321, &[], &["nullmailer-queue"], "a@b\n@c\n\n");
    ran.exit(65).complains("cannot use recipient: \"@c\"");
}

#[test]
fn submitusers_says_who_may_and_the_others_hear_it() {
    if !is_root() {
        return;
    }
    let open = Open::with(|house| {
        house.control("submitusers", "nobody, 54321");
    });
    for uid in [65534, 54321, 0] {
        open.as_user(uid, &[], &["sendmail", "d@e.f"], "x\n").success();
    }
    let ran = open.as_user(54322, &[], &["sendmail", "d@e.f"], "x\n");
    ran.exit(77).complains("cannot queue for uid 54322: submitusers does not name it");
    assert_eq!(open.house.queued().len(), 3);
}

#[test]
fn a_thousand_clients_that_say_nothing_keep_nobody_else_out() {
    if !is_root() {
        return;
    }
    let open = Open::new();
    let silent = "import os, socket, sys\nos.setgroups([]); os.setgid(54322); os.setuid(54322)\n\
        held, busy = [], 0\n\
        for _ in range(1000):\n s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n \
        held.append(s)\n busy += s.recv(9) == b'busy\\n'\nprint(busy, flush=True)\nsys.stdin.read()\n";
    if !crate::house::has("python3") {
        return;
    }
    let mut command = Command::new("prlimit");
    command.args(["--nofile=4096", "python3", "-c", silent]).arg(open.socket());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut crowd = command.spawn().unwrap();
    let mut turned_away = String::new();
    let mut stdout = std::io::BufReader::new(crowd.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut turned_away).unwrap();
    assert_eq!(turned_away, "980\n");
    open.as_user(54321, &[], &["sendmail", "d@e.f"], "x\n").success();
    assert_eq!(open.house.queued().len(), 1);
    open.daemon.wait_for_line("crowded uid=54322");
    drop(crowd.stdin.take());
    crowd.wait().unwrap();
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_anything_else_is_left_alone() {
    let open = Open::new();
    let Open { house, daemon } = open;
    // As if it were killed: nobody removes the socket.
    drop(daemon);
    assert!(house.path("queue/submit").metadata().unwrap().file_type().is_socket());
    drop(Daemon::start(&house));

    let (path, target) = (house.path("queue/submit"), house.path("target"));
    fs::write(&target, "precious").unwrap();
    for link in [true, false] {
        fs::remove_file(&path).unwrap();
        if link {
            symlink(&target, &path).unwrap();
        } else {
            fs::hard_link(&target, &path).unwrap();
        }
        let daemon = Daemon::start(&house);
        daemon.wait_for_line("submit: it is no socket");
        drop(daemon);
        assert_eq!(fs::symlink_metadata(&path).unwrap().is_symlink(), link);
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }
}

#[test]
fn without_a_daemon_the_sender_is_told_which_socket_is_dead() {
    if !is_root() {
        return;
    }
    let mut open = Open::new();
    // The next one cannot listen, and is another's.
    let elsewhere = House::new();
    open.daemon = Daemon::start(&elsewhere);
    let ran = open.as_user(54321, &[], &["sendmail", "d@e.f"], "x\n");
    ran.exit(75).complains("queue/submit: Connection refused");
    open.nothing_left();
}

#[test]
fn where_nobody_answers_the_set_uid_copy_is_taken() {
    if !is_root() {
        return;
    }
    let elsewhere = House::new();
    let open = Open::started(|_| (), |_| Daemon::start(&elsewhere));
    let _held = UnixListener::bind(open.socket()).unwrap();
    fs::set_permissions(open.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    // Set-uid as far as a script can be; its exit code tells that it ran. Written by another process: one that is
    // forked here meanwhile would keep it open, and then it cannot be run.
    let queue = open.house.path("sbin/nullmailer-queue");
    fs::remove_file(&queue).unwrap();
    let mut write = Command::new("sh");
    write.args(["-c", "cat >\"$0\" && chmod 4755 \"$0\""]).arg(&queue);
    run(&mut write, "#!/bin/sh\ncat >/dev/null\nexit 65\n").success();
    let ran = open.as_user(54321, &[], &["sendmail", "d@e.f"], "x\n");
    ran.exit(65).complains("nullmailer-queue failed with exit code 65");
}
