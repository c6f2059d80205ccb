//! Folders of a spool that its owner has replaced, and names in them that lead elsewhere, to have root read, write or
//! give away what is there: each folder by each kind of link, under each program that root runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{House, is_root, run};
use crate::smarthost::Sink;

const MAIL: &str = "a@b.c NOTIFY=SUCCESS\nd@x.example\n\nSubject: x\n\nbody\n";
/// The owner of the spool, who would have root reach elsewhere.
pub const MAIL_USER: u32 = 65533;
const FOLDERS: &[&str] = &["queue", "status", "failed", "tmp"];

/// A spool of the mail user's, and a folder of root's that is what /etc is to a machine.
pub struct Trap {
    pub house: House,
    pub sink: Sink,
}

impl Trap {
    pub fn new() -> Self {
        let sink = Sink::new();
        let house = House::new();
        house.control("remotes", &sink.remote("")).control("pausetime", "0");
        house.run("nullmailer-send", [""; 0], "").success();
        // Nobody listens there any more.
        let _ = fs::remove_file(house.path("queue/submit"));
        let etc = house.path("etc");
        fs::create_dir(&etc).unwrap();
        fs::set_permissions(&etc, fs::Permissions::from_mode(0o755)).unwrap();
        // Each looks like mail, so that nothing but the rights keeps it from being sent.
        for (name, mode) in [("passwd", 0o644), ("shadow", 0o600), ("group", 0o640)] {
            let path = etc.join(name);
            fs::write(&path, format!("root@h.example\nd@x.example\n\nSubject: {name}\n\n"))
                .unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        for folder in ["", "queue", "tmp", "failed", "status", "trigger", "lock"] {
            chown(house.path("queue").join(folder), Some(MAIL_USER), Some(MAIL_USER)).unwrap();
        }
        Self { house, sink }
    }

    pub fn etc(&self) -> PathBuf {
        self.house.path("etc")
    }

    /// Runs what root runs; each may fail, and says so then.
    pub fn run(&self) -> String {
        let mut said = String::new();
        let calls: [(&str, &[&str], &str); 7] = [
            ("nullmailer-queue", &[], MAIL),
            ("sendmail", &["d@x.example"], "Subject: own\n\n"),
            ("sendmail", &["-odi", "d@x.example"], "Subject: own\n\n"),
            ("mailq", &[], ""),
            ("nullmailer", &["health"], ""),
            ("nullmailer", &["flush"], ""),
            ("nullmailer-send", &[], ""),
        ];
        for (program, args, input) in calls {
            let mut limited = Command::new("timeout");
            limited.args(["-s", "KILL", "60"]).arg(self.house.path("bin").join(program)).args(args);
            limited.env_clear().env("NULLMAILER_TEST_PREFIX", self.house.path(""));
            let ran = run(&mut limited, input);
            assert!(ran.code.is_some_and(|code| code < 79), "{program} {args:?}: {}", ran.stderr);
            assert!(ran.stderr.lines().count() <= 1, "{program} {args:?}: {}", ran.stderr);
            let (code, out, error) = (ran.code, ran.stdout, ran.stderr);
            writeln!(said, "{program} {args:?} {code:?}\n{out}{error}").unwrap();
        }
        said
    }
}

/// Owner, group, mode, names, time and text of each file.
pub type State = BTreeMap<PathBuf, (u32, u32, u32, u64, i64, String)>;

/// What root's files are, and hold, and the names beside them.
pub fn state(folder: &Path) -> State {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let meta = fs::symlink_metadata(&path).unwrap();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let facts = (meta.uid(), meta.gid(), meta.mode(), meta.nlink(), meta.mtime(), text);
            (path, facts)
        })
        .collect()
}

type Plant = fn(&Path, &Path);
/// How a folder of the spool becomes one of root's.
const LINKS: &[(&str, Plant)] = &[
    ("a link", |etc, name| symlink(etc, name).unwrap()),
    ("a link of two", |etc, name| {
        let between = name.with_file_name("between");
        symlink(etc, &between).unwrap();
        symlink("between", name).unwrap();
    }),
    ("a link that goes up", |_, name| symlink("../etc", name).unwrap()),
    ("a link to a link's inside", |etc, name| {
        let between = name.with_file_name("between");
        symlink(etc.parent().unwrap(), &between).unwrap();
        symlink("between/etc", name).unwrap();
    }),
];

#[test]
fn root_reaches_nothing_through_a_folder_that_the_owner_of_a_spool_has_replaced() {
    if !is_root() {
        return;
    }
    for folder in FOLDERS {
        for (kind, plant) in LINKS {
            let trap = Trap::new();
            let (etc, name) = (trap.etc(), trap.house.path("queue").join(folder));
            fs::rename(&name, name.with_file_name("before")).unwrap();
            plant(&etc, &name);
            let before = state(&etc);
            let said = trap.run();
            assert_eq!(state(&etc), before, "{folder} as {kind}: {said}");
            let sent = trap.sink.messages();
            assert!(sent.iter().all(|one| one.text().contains("Subject: own")), "{folder} {said}");
            assert!(said.contains("it is a symbolic link"), "{folder} as {kind}: {said}");
        }
    }
}

#[test]
fn root_reaches_nothing_through_names_in_the_folders_of_a_spool() {
    if !is_root() {
        return;
    }
    let ways: [(&str, Plant); 2] = [
        ("link", |file, name| symlink(file, name).unwrap()),
        // As where fs.protected_hardlinks is 0.
        ("hard link", |file, name| fs::hard_link(file, name).unwrap()),
    ];
    for folder in FOLDERS {
        for (kind, way) in ways {
            let trap = Trap::new();
            let etc = trap.etc();
            for file in ["passwd", "shadow", "group"] {
                way(&etc.join(file), &trap.house.path("queue").join(folder).join(file));
            }
            let mut before = state(&etc);
            let said = trap.run();
            let mut after = state(&etc);
            // Names of its own the owner may lose.
            for (_, _, _, links, ..) in before.values_mut().chain(after.values_mut()) {
                *links = 1;
            }
            assert_eq!(after, before, "{kind} in {folder}: {said}");
            // What everybody may read anybody may send.
            let secret = |text: &str| ["shadow", "group"].iter().any(|name| text.contains(name));
            let sent = trap.sink.messages();
            assert!(!sent.iter().any(|one| secret(&one.text())), "{kind} in {folder}: {said}");
        }
    }
}

#[test]
fn root_uses_a_spool_of_somebody_else_as_its_owner_would() {
    if !is_root() {
        return;
    }
    let trap = Trap::new();
    trap.house.run("sendmail", ["d@x.example"], "Subject: own\n\n").success();
    trap.house.run("nullmailer-queue", [""; 0], MAIL).success();
    for folder in ["queue", "status"] {
        for name in trap.house.names(folder) {
            let meta = fs::metadata(trap.house.path("queue").join(folder).join(name)).unwrap();
            assert_eq!(
                (meta.uid(), meta.gid(), meta.mode() & 0o777),
                (MAIL_USER, MAIL_USER, 0o600)
            );
        }
    }
    assert_eq!((trap.house.names("queue").len(), trap.house.names("status").len()), (2, 1));
    let list = trap.house.run("mailq", [""; 0], "").success().stdout;
    assert_eq!(list.matches("  to <d@x.example>").count(), 2, "{list}");
    trap.house.run("sendmail", ["-odi", "d@x.example"], "Subject: own\n\n").success();
    assert_eq!(trap.sink.messages().len(), 3);
    // A folder that is missing is made for the owner.
    fs::remove_dir(trap.house.path("queue/failed")).unwrap();
    trap.house.run("nullmailer-send", [""; 0], "").success();
    assert_eq!(fs::metadata(trap.house.path("queue/failed")).unwrap().uid(), MAIL_USER);
}

#[test]
fn a_spool_may_be_a_link_and_nothing_below_it() {
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    fs::rename(house.path("queue"), house.path("elsewhere")).unwrap();
    symlink("elsewhere", house.path("queue")).unwrap();
    house.run("sendmail", ["d@x.example"], "Subject: x\n\n").success();
    house.run("nullmailer-send", [""; 0], "").success();
    assert_eq!(sink.messages().len(), 1);
    for folder in FOLDERS {
        let name = house.path("queue").join(folder);
        fs::rename(&name, house.path("moved")).unwrap();
        symlink(house.path("moved"), &name).unwrap();
        // Nobody listens there any more.
        let _ = fs::remove_file(house.path("queue/submit"));
        let line = format!("queue/{folder}: it is a symbolic link");
        house.run("sendmail", ["d@x.example"], "x\n").exit(75).complains(&line);
        house.run("nullmailer-send", [""; 0], "").exit(75).complains(&line);
        fs::remove_file(&name).unwrap();
        fs::rename(house.path("moved"), &name).unwrap();
    }
}

#[test]
fn a_folder_that_others_may_write_is_a_caution_with_the_command_that_mends_it() {
    if !is_root() {
        return;
    }
    let trap = Trap::new();
    let path = |name: &str| trap.house.path("queue").join(name);
    let cautions = || {
        let log = trap.house.run("nullmailer-send", [""; 0], "").success().stdout;
        let lines = log.lines().filter(|line| line.starts_with("caution "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(cautions(), [""; 0]);
    fs::set_permissions(path("queue"), fs::Permissions::from_mode(0o1777)).unwrap();
    chown(path("failed"), Some(MAIL_USER - 1), None).unwrap();
    let said = cautions();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("has mode 1777: everybody may put files there; chmod o-w "));
    let mend = format!("chown {MAIL_USER} {}", path("failed").display());
    assert!(said[1].contains(&mend), "{said:#?}");
}
