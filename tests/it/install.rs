//! contrib/install.sh: what it lays out, what it finds wrong, what it leaves alone.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{Ran, binary, run};

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn installed() -> Self {
        let root = Self::new();
        root.install(&[]).success();
        root
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn install(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("sh");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/install.sh"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DESTDIR", self.0.path())
            .env("BINARY", binary());
        run(&mut command, "")
    }

    /// Every name below the root, with what it is.
    fn list(&self) -> String {
        let mut find = Command::new("find");
        find.arg(self.0.path()).args(["-printf", "%P %y %m %l\n"]);
        let mut lines: Vec<_> =
            run(&mut find, "").success().stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_name_that_the_program_knows_is_installed_and_runs_it() {
    let root = Root::installed();
    // The program lists its names when it is called by none of them.
    let stranger = root.path("stranger");
    symlink(binary(), &stranger).unwrap();
    let refusal = run(&mut Command::new(&stranger), "").exit(64).stderr;
    let (_, names) = refusal.split_once("not a name of this program (").unwrap();
    let known: BTreeSet<&str> = names.trim_end().trim_end_matches(')').split(", ").collect();
    let folders = ["usr/bin", "usr/sbin", "usr/libexec/nullmailer"];
    let mut installed = BTreeSet::new();
    for folder in folders {
        for entry in fs::read_dir(root.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::read(&path).unwrap(), fs::read(binary()).unwrap(), "{path:?}");
            installed.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(installed, known.into_iter().map(str::to_owned).collect());
    let mut mailq = Command::new(root.path("usr/bin/mailq"));
    mailq.env("NULLMAILER_SPOOL_DIR", root.path("var/spool/nullmailer"));
    run(&mut mailq, "").success();
}

#[test]
fn the_debian_package_has_what_is_installed() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let (_, assets) = manifest.split_once("\n[package.metadata.deb]\n").unwrap();
    let root = Root::installed();
    let mut find = Command::new("find");
    find.arg(root.path("usr")).args(["!", "-type", "d", "-printf", "%P\n"]);
    for path in run(&mut find, "").success().stdout.lines() {
        let (folder, _) = path.rsplit_once('/').unwrap();
        // Debian's protocol programs are below lib, and libexec leads there; pages go by folder.
        let packaged = match folder {
            "libexec/nullmailer" => path.replace("libexec", "lib"),
            "share/man/man1" | "share/man/man7" | "share/man/man8" => format!("{folder}/"),
            _ => path.to_owned(),
        };
        assert!(assets.contains(&format!("\"usr/{packaged}\"")), "{path} is not packaged");
    }
}

#[test]
fn the_spool_is_private_and_its_trigger_is_for_everybody() {
    let root = Root::installed();
    for folder in ["queue", "tmp", "failed", "status"] {
        assert_eq!(mode(&root.path("var/spool/nullmailer").join(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(&root.path("var/spool/nullmailer")), 0o755);
    let trigger = root.path("var/spool/nullmailer/trigger");
    assert_eq!(mode(&trigger), 0o622);
    assert!(fs::metadata(&trigger).unwrap().file_type().is_fifo());
}

#[test]
fn a_second_run_changes_nothing() {
    let root = Root::installed();
    let before = root.list();
    root.install(&[]).success();
    assert_eq!(root.list(), before);
    let ran = root.install(&["--check"]).success();
    assert_eq!(ran.stdout, "");
}

#[test]
fn queued_mail_and_control_files_survive_a_second_run() {
    let root = Root::installed();
    fs::write(root.path("var/spool/nullmailer/queue/1.2"), "mail").unwrap();
    fs::write(root.path("etc/nullmailer/remotes"), "smart.example").unwrap();
    set_mode(root.path("etc/nullmailer/remotes"), 0o600);
    root.install(&["--force"]).success();
    assert_eq!(fs::read(root.path("var/spool/nullmailer/queue/1.2")).unwrap(), b"mail");
    assert_eq!(fs::read(root.path("etc/nullmailer/remotes")).unwrap(), b"smart.example");
}

#[test]
fn each_thing_that_is_wrong_is_one_line_and_is_mended_by_another_run() {
    type Break = fn(&Root);
    let table: [(Break, &str); 9] = [
        (|root| fs::remove_file(root.path("usr/sbin/sendmail")).unwrap(), "sendmail: is missing"),
        (
            |root| {
                fs::remove_file(root.path("usr/bin/mailq")).unwrap();
                symlink("elsewhere", root.path("usr/bin/mailq")).unwrap();
            },
            "mailq: is not a link to ",
        ),
        (
            |root| set_mode(root.path("usr/bin/nullmailer"), 0o644),
            "bin/nullmailer: its mode is not 755",
        ),
        (
            |root| set_mode(root.path("var/spool/nullmailer/queue"), 0o755),
            "queue: its mode is not 700",
        ),
        (
            |root| fs::remove_dir(root.path("var/spool/nullmailer/status")).unwrap(),
            "status: is missing",
        ),
        (
            |root| {
                fs::remove_file(root.path("var/spool/nullmailer/trigger")).unwrap();
                fs::write(root.path("var/spool/nullmailer/trigger"), "").unwrap();
            },
            "trigger: is not a FIFO",
        ),
        (|root| set_mode(root.path("etc/nullmailer"), 0o700), "nullmailer: its mode is not 755"),
        (
            |root| fs::write(root.path("usr/share/man/man1/mailq.1"), "older").unwrap(),
            "mailq.1: is missing, or not that of this version",
        ),
        (
            |root| {
                fs::write(root.path("etc/nullmailer/remotes"), "h smtp pass=x").unwrap();
                set_mode(root.path("etc/nullmailer/remotes"), 0o644);
            },
            "remotes: everybody can read the passwords",
        ),
    ];
    for (break_it, line) in table {
        let root = Root::installed();
        break_it(&root);
        let before = root.list();
        let ran = root.install(&["--check"]).exit(1);
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        assert!(ran.stdout.contains(line), "{line:?} is not in: {}", ran.stdout);
        assert_eq!(root.list(), before, "--check changed something");
        if !line.starts_with("remotes") {
            root.install(&["--force"]).success();
            root.install(&["--check"]).success();
        }
    }
}

#[test]
fn another_mailers_program_is_not_replaced_unasked() {
    let root = Root::new();
    fs::create_dir_all(root.path("usr/sbin")).unwrap();
    fs::write(root.path("usr/sbin/sendmail"), "theirs").unwrap();
    root.install(&[]).exit(1).complains("usr/sbin/sendmail; remove its package");
    assert!(!root.path("usr/bin").exists() && !root.path("var").exists());
    root.install(&["--force"]).success();
    root.install(&["--check"]).success();
}

#[test]
fn set_uid_copies_are_made_when_asked_for_and_taken_back() {
    let root = Root::installed();
    root.install(&["--set-uid"]).success();
    for name in ["usr/sbin/nullmailer-queue", "usr/bin/mailq"] {
        let path = root.path(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(mode(&path), 0o4755, "{name}");
    }
    assert_eq!(mode(&root.path("usr/bin/nullmailer")), 0o755);
    root.install(&["--check", "--set-uid"]).success();
    root.install(&["--check"]).success();
    root.install(&[]).success();
    assert!(fs::symlink_metadata(root.path("usr/bin/mailq")).unwrap().is_symlink());
    root.install(&["--check", "--set-uid"]).exit(1);
}

#[test]
fn a_binary_that_was_not_built_is_named() {
    let root = Root::new();
    let mut command = Command::new("sh");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/install.sh"))
        .env("DESTDIR", root.0.path())
        .env("BINARY", "/nonexistent/nullmailer");
    run(&mut command, "").exit(1).complains("cannot install /nonexistent/nullmailer");
    root.install(&["--chekc"]).exit(1).complains("unknown option --chekc");
}
