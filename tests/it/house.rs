//! A throw-away installation: folders, links to the binary, control files, and calls of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The names that the binary is linked under, in `bin/` and `sbin/` alike.
const NAMES: &[&str] = &[
    "nullmailer",
    "nullmailer-send",
    "nullmailer-queue",
    "nullmailer-inject",
    "nullmailer-dsn",
    "nullmailer-smtpd",
    "sendmail",
    "mailq",
    "newaliases",
];

/// A house laid out for `NULLMAILER_TEST_PREFIX`; everything in it goes when it is dropped.
pub struct House {
    dir: tempfile::TempDir,
}

/// What a program did.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A message as it lies in `queue/`.
#[derive(Debug, PartialEq, Eq)]
pub struct Queued {
    pub id: String,
    pub sender: String,
    pub recipients: Vec<String>,
    /// Without the Received line that queueing adds.
    pub message: String,
}

impl House {
    /// A house with `me` = `f.q.d.n` and `defaultdomain` = `q.d.n`, as the original's tests have it.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = Self { dir };
        for folder in ["conf", "bin", "sbin", "protocols", "queue"] {
            fs::create_dir(house.path(folder)).unwrap();
        }
        for name in NAMES {
            for folder in ["bin", "sbin"] {
                symlink(binary(), house.path(folder).join(name)).unwrap();
            }
        }
        house.control("me", "f.q.d.n").control("defaultdomain", "q.d.n");
        house
    }

    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Writes a control file, readable by its owner only.
    pub fn control(&self, name: &str, content: &str) -> &Self {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path("conf").join(name))
            .unwrap();
        file.write_all(content.as_bytes()).unwrap();
        self
    }

    /// A call of the program with an environment that holds this house and nothing else.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(program));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("NULLMAILER_TEST_PREFIX", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end with `input` on stdin.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
        input: impl AsRef<[u8]>,
    ) -> Ran {
        run(self.command(program).args(args), input)
    }

    /// The messages in `queue/`, in the order of their recipients: names of one second have no order.
    pub fn queued(&self) -> Vec<Queued> {
        let queue = self.path("queue/queue");
        let names = self.names("queue").into_iter();
        let mut messages: Vec<_> = names.map(|id| Queued::read(&queue, id)).collect();
        messages.sort_by(|a, b| a.recipients.cmp(&b.recipients));
        messages
    }

    /// The only message in `queue/`.
    pub fn only_queued(&self) -> Queued {
        let mut queued = self.queued();
        assert_eq!(queued.len(), 1, "{queued:#?}");
        queued.remove(0)
    }

    /// The names in a folder of the spool, sorted; none for a folder that is not there.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("queue").join(folder)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Queued {
    fn read(queue: &Path, id: String) -> Self {
        let text = String::from_utf8_lossy(&fs::read(queue.join(&id)).unwrap()).into_owned();
        let (envelope, rest) = text.split_once("\n\n").expect("an envelope ends in a blank line");
        let mut lines = envelope.split('\n').map(str::to_owned);
        let sender = lines.next().unwrap();
        let (received, message) = match rest.match_indices('\n').nth(1) {
            Some((at, _)) => rest.split_at(at + 1),
            None => panic!("no Received line: {rest:?}"),
        };
        assert!(received.starts_with("Received: (nullmailer pid "), "{received}");
        Self { id, sender, recipients: lines.collect(), message: message.to_owned() }
    }
}

impl Ran {
    #[track_caller]
    pub fn success(self) -> Self {
        self.exit(0)
    }

    #[track_caller]
    pub fn exit(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// It said exactly one line on stderr, and that line has `part` in it.
    #[track_caller]
    pub fn complains(self, part: &str) -> Self {
        assert_eq!(self.stderr.lines().count(), 1, "stderr: {}", self.stderr);
        assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        self
    }
}

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_nullmailer"))
}

/// Copies the program, to be run with other rights than the build folder has.
///
/// cp(1) writes it: a descriptor of ours would be in every child that another test starts at that moment,
/// and a file that somebody writes cannot be run (ETXTBSY).
#[track_caller]
pub fn copy_binary(to: &Path) {
    run(Command::new("cp").arg(binary()).arg(to), "").success();
}

/// Whether there is a program that some tests check with. In CI there must be: a check that is
/// passed over everywhere is none.
#[track_caller]
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !found {
        eprintln!("not checked: {program} is not installed");
    }
    found
}

/// Only root can be two users. In CI it has to be.
#[track_caller]
pub fn is_root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert!(root || std::env::var_os("CI").is_none(), "CI has to run this as root");
    root
}

/// Runs a command to its end with `input` on stdin. A program that does not read it all is no error.
pub fn run(command: &mut Command, input: impl AsRef<[u8]>) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_owned();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}
