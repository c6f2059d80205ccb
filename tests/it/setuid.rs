//! The set-uid copy, in the hands of a caller who means harm.
//!
//! A real one: it belongs to a mail user, another user runs it, and the folders are the compiled-in ones, in a
//! mount namespace of each test's own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{Ran, copy_binary, has, is_root, run};

/// The owner of the spool and of the copy; its caller is 65534.
const MAIL_USER: u32 = 65533;
const MAIL: &str = "a@b.c\nd@e.f\n\nSubject: x\n\nbody\n";

/// Puts our folders in the place of the system's; set-uid files have effect among our programs.
const ENTER: &str = r#"set -e
dir=$1; shift
mount --bind /etc "$dir/etc"
mount -t tmpfs -o mode=755 none /etc
ln -s "$dir"/etc/* /etc/
rm -f /etc/nullmailer; mkdir /etc/nullmailer; mount --bind "$dir/conf" /etc/nullmailer
mount -t tmpfs -o mode=755 none /var/spool
mkdir /var/spool/nullmailer; mount --bind "$dir/spool" /var/spool/nullmailer
mount --bind "$dir/programs" "$dir/programs"
mount -o remount,bind,suid,exec "$dir/programs"
cd "$dir/programs"
exec "$@"
"#;

/// Becomes the caller, does what `PREPARE` says, and executes the copy.
const CALL: &str = r#"
import ctypes, os, resource, signal, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
# Python ignores some, and a shell has what it runs in the background ignore others.
for one in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    if signal.getsignal(one) == signal.SIG_IGN: signal.signal(one, signal.SIG_DFL)
program, args, environment = sys.argv[1], sys.argv[2:], {"PATH": "/usr/bin:/bin"}
PREPARE
os.execve(program, args, environment)
"#;

struct Machine {
    dir: tempfile::TempDir,
    /// Python itself: what is found by its name may be a script.
    python: String,
}

impl Machine {
    /// `None` for who may not make one; CI may.
    fn new() -> Option<Self> {
        if !is_root() || !has("unshare") || !has("python3") {
            return None;
        }
        if !Command::new("unshare").args(["--mount", "true"]).status().unwrap().success() {
            assert!(std::env::var_os("CI").is_none(), "there are no namespaces");
            eprintln!("not checked: there are no namespaces");
            return None;
        }
        let mut which = Command::new("python3");
        let python = run(which.args(["-c", "import sys; print(sys.executable)"]), "").stdout;
        let machine = Self { dir: tempfile::tempdir().unwrap(), python: python.trim().to_owned() };
        fs::set_permissions(machine.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["conf", "spool", "etc", "programs"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        fs::write(machine.path("conf/me"), "f.q.d.n\n").unwrap();
        let copy = machine.path("programs/copy");
        copy_binary(&copy);
        for path in [&machine.path("spool"), &copy] {
            chown(path, Some(MAIL_USER), Some(MAIL_USER)).unwrap();
        }
        fs::set_permissions(copy, fs::Permissions::from_mode(0o4755)).unwrap();
        Some(machine)
    }

    fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(below)
    }

    /// A command within, still as root.
    fn inside(&self, command: &[&str]) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(self.path("")).args(command);
        unshare
    }

    /// Calls the copy with these arguments, of which the first is the name; `prepare` is Python.
    fn call(&self, prepare: &str, args: &[&str], input: &str) -> Ran {
        let script = CALL.replace("PREPARE", prepare);
        let call = [&[&self.python, "-c", &script, "copy"], args].concat();
        run(&mut self.inside(&call), input)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("spool").join(folder)) else { return Vec::new() };
        entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// What is queued, each whole, and out of everybody else's sight.
    #[track_caller]
    fn queued(&self) -> Vec<String> {
        let read = |name: String| {
            let path = self.path("spool/queue").join(name);
            let meta = fs::metadata(&path).unwrap();
            assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, MAIL_USER));
            let text = fs::read_to_string(path).unwrap();
            let (head, body) = text.split_at(text.find("\n\n").unwrap() + 2);
            assert_eq!(head, "a@b.c\nd@e.f\n\n");
            let (received, message) = body.split_at(body.find("Subject").unwrap());
            assert!(received.contains(" invoked by uid 65534);"), "{received}");
            message.to_owned()
        };
        self.names("queue").into_iter().map(read).collect()
    }

    #[track_caller]
    fn has_queued(&self, count: usize) {
        assert_eq!(self.queued(), vec!["Subject: x\n\nbody\n"; count]);
        assert_eq!(self.names("tmp"), [""; 0]);
    }
}

#[test]
fn whatever_the_umask_a_message_belongs_to_the_mail_user_alone() {
    let Some(machine) = Machine::new() else { return };
    for (nth, umask) in ["0o022", "0", "0o777"].into_iter().enumerate() {
        machine.call(&format!("os.umask({umask})"), &["nullmailer-queue"], MAIL).success();
        machine.has_queued(nth + 1);
    }
}

#[test]
fn it_is_queue_and_mailq_and_nothing_else_under_any_name() {
    let Some(machine) = Machine::new() else { return };
    let others = [
        "sendmail",
        "/usr/sbin/sendmail",
        "send-mail",
        "nullmailer-send",
        "nullmailer-inject",
        "nullmailer-dsn",
        "nullmailer-smtpd",
        "newaliases",
        "smtp",
        "qmqp",
        "mailq/../sendmail",
    ];
    for name in others {
        machine.call("", &[name], MAIL).exit(77).complains("with set-uid rights");
    }
    for word in ["queue", "mailq", "send", "flush", "health", "--version", "-h"] {
        machine.call("", &["nullmailer", word], MAIL).exit(77).complains("with set-uid rights");
    }
    for name in ["copy", "Mailq", "mailq ", "-mailq", "queue", "\u{1b}[2J", "mailq/.."] {
        let ran = machine.call("", &[name], MAIL).exit(64).complains("not a name of this program");
        assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    }
    // Python itself refuses these two.
    for args in ["None", "b'', None"] {
        let exec = format!("ctypes.CDLL(None).execv(b'copy', (ctypes.c_char_p * 2)({args}))");
        machine.call(&exec, &[], MAIL).exit(64).complains("not a name of this program");
    }
    machine.has_queued(0);
}

#[test]
fn it_takes_no_options() {
    let Some(machine) = Machine::new() else { return };
    for args in [&["nullmailer-queue", "--help"][..], &["nullmailer-queue", "-C", "/etc/shadow"]] {
        assert_eq!(machine.call("", args, MAIL).success().stdout, "");
    }
    machine.has_queued(2);
    let list = machine.call("", &["mailq", "--version", "/etc/shadow"], "").success().stdout;
    assert_eq!(list.matches(" bytes from <a@b.c>\n  to <d@e.f>\n").count(), 2, "{list}");
}

/// What a caller might hope that it believes.
const HOSTILE: &str = r#"
for one in ("TEST_PREFIX", "CONFIG_DIR", "SPOOL_DIR"): environment["NULLMAILER_" + one] = "/tmp"
environment.update(NULLMAILER_QUEUE="/bin/true", NULLMAILER_ADMINADDR="evil@x.y", NULLMAILER_ALLMAILFROM="evil@x.y",
    TZ=":/etc/shadow", TZDIR="/root", TMPDIR="/evil", HOME="/root", RUST_BACKTRACE="full", LD_PRELOAD="/evil.so",
    LD_LIBRARY_PATH="/evil", LOCALDOMAIN="evil", MALLOC_TRACE="/tmp/evil", GCONV_PATH="/evil",
    LISTEN_PID=str(os.getpid()), LISTEN_FDS="evil")
environment.update({"BIG%d" % n: "x" * 100000 for n in range(8)})
args += ["-" * 100000] * 4
"#;

#[test]
fn it_reads_no_environment_however_large() {
    let Some(machine) = Machine::new() else { return };
    let ran = machine.call(HOSTILE, &["nullmailer-queue"], MAIL).success();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    machine.has_queued(1);
    let list = machine.call(HOSTILE, &["mailq"], "").success();
    let plain = machine.call("", &["mailq"], "").success();
    assert_eq!((list.stdout, list.stderr), (plain.stdout, plain.stderr));
}

#[test]
fn it_closes_what_its_caller_left_open() {
    let Some(machine) = Machine::new() else { return };
    // Its caller hears the end of the pipe while it still waits for mail.
    let leave = r#"
signal.alarm(60)
for fill in (False, True):
    ours, theirs = os.pipe()
    stdin, mail = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(stdin, 0)
        for one in (stdin, mail, ours): os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))
        for _ in range(250): os.dup(theirs) if len(os.listdir("/proc/self/fd")) < 256 else None
        os.dup2(theirs, 255)
        if fill:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        os.execve(program, args, environment)
    os.close(theirs); os.close(stdin)
    assert os.read(ours, 1) == b""
    os.write(mail, sys.stdin.buffer.peek()); os.close(mail)
    assert os.waitpid(child, 0)[1] == 0
sys.exit(0)
"#;
    machine.call(leave, &["nullmailer-queue"], MAIL).success();
    machine.has_queued(2);
}

#[test]
fn no_file_takes_the_place_of_a_closed_stdin_stdout_or_stderr() {
    let Some(machine) = Machine::new() else { return };
    let mut whole = 0;
    for closed in ["1", "2", "1, 2", "0", "0, 1", "0, 2", "0, 1, 2"] {
        let close = format!("for one in ({closed},): os.close(one)");
        let ran = machine.call(&close, &["nullmailer-queue"], MAIL);
        if closed.starts_with('0') {
            ran.exit(65);
        } else {
            ran.success();
            whole += 1;
        }
        machine.call(&close, &["mailq"], "").success();
        machine.has_queued(whole);
    }
}

#[test]
fn a_limit_of_its_caller_is_a_clear_error_and_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    let limit = |what: &str, most: u64| {
        format!("resource.setrlimit(resource.RLIMIT_{what}, ({most}, {most}))")
    };
    let large = format!("{MAIL}{}", "x".repeat(300_000));
    let ran = machine.call(&limit("NOFILE", 4), &["nullmailer-queue"], MAIL);
    ran.exit(75).complains("Too many open files");
    for most in [0, 1, 100, 65_536] {
        let ran = machine.call(&limit("FSIZE", most), &["nullmailer-queue"], &large);
        ran.exit(75).complains("File too large");
    }
    machine.call(&limit("NOFILE", 3), &["nullmailer-queue"], MAIL);
    machine.has_queued(0);
    // The loader notices, or the allocator, or nobody: nothing is half there.
    let enough = |megabytes: &u64| {
        machine.call(&limit("AS", megabytes << 20), &["nullmailer-queue"], MAIL).code == Some(0)
    };
    let queued = [1, 4, 6, 8, 12, 16, 64].iter().filter(|megabytes| enough(megabytes)).count();
    machine.has_queued(queued);
}

/// Runs it under strace, which root may without taking its rights away: what it did, and its own calls.
fn traced(machine: &Machine, prepare: &str, args: &[&str], options: &[&str]) -> (Ran, String) {
    let script = CALL.replace("PREPARE", prepare);
    let path = machine.path("trace");
    let strace = ["strace", "-f", "-o", path.to_str().unwrap()];
    let call = [&machine.python, "-c", &script, "./copy"];
    let ran = run(&mut machine.inside(&[&strace, options, &call, args].concat()), MAIL);
    let trace = fs::read_to_string(path).unwrap();
    let (_, own) = trace.split_once("execve(\"./copy\"").expect("it was started");
    (ran, own.split_once('\n').unwrap().1.to_owned())
}

#[test]
fn it_executes_nothing_and_opens_nothing_that_its_caller_names() {
    let Some(machine) = Machine::new() else { return };
    if !has("strace") {
        return;
    }
    for name in ["nullmailer-queue", "mailq"] {
        let calls = ["-e", "trace=process,%file,socket,connect"];
        let (ran, trace) = traced(&machine, HOSTILE, &[name], &calls);
        ran.success();
        for call in ["exec", "fork(", "clone", "socket(", "connect(", "O_CREAT", "unlink", "rename"]
        {
            assert!(!trace.contains(call), "{call}: {trace}");
        }
        for named in ["/root", "\"/tmp", "shadow", "evil"] {
            assert!(!trace.contains(named), "{named}: {trace}");
        }
        assert!(trace.contains("\"/var/spool/nullmailer\", O_RDONLY|O_CLOEXEC|O_PATH"), "{trace}");
    }
    machine.has_queued(1);
}

#[test]
fn a_signal_at_any_point_leaves_all_of_a_message_or_nothing() {
    let Some(machine) = Machine::new() else { return };
    if !has("strace") {
        return;
    }
    machine.call("", &["nullmailer-queue"], MAIL).success();
    let mut before = 1;
    for point in ["prctl:", "write:", "fsync:", "linkat:", "fsync:when=2"] {
        for signal in ["TERM", "INT", "KILL", "ALRM"] {
            let (call, when) = point.split_once(':').unwrap();
            let when = if when.is_empty() { "when=1" } else { when };
            let inject = format!("--inject={call}:signal={signal}:{when}");
            let (ran, trace) = traced(&machine, "", &["nullmailer-queue"], &[&inject]);
            assert!(trace.contains(&format!("killed by SIG{signal}")), "{inject}: {trace}");
            let queued = machine.queued();
            assert!(queued.iter().all(|message| message == "Subject: x\n\nbody\n"), "{inject}");
            assert!(queued.len() - before <= 1 && ran.code != Some(0), "{inject}");
            before = queued.len();
        }
    }
    // What a start of the daemon removes.
    assert!(machine.names("tmp").iter().all(|name| name.bytes().all(|b| b.is_ascii_digit())));
}
