//! Every place of a spool by every kind of thing that its owner may put there, under every program that root runs:
//! nothing hangs, each says one line at most, nothing of root's is touched or sent, and no mail is lost.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;

use crate::house::is_root;
use crate::planted_folders::{MAIL_USER, State, Trap, state};

/// Somebody who is neither root nor the owner of the spool.
const STRANGER: u32 = 65532;

/// Where something may stand: its name below the spool, for a message of this id that waits there.
const PLACES: &[&str] = &[
    "queue",
    "status",
    "failed",
    "tmp",
    "trigger",
    "lock",
    "submit",
    "queue/1.1",
    "queue/ID.1",
    "status/ID",
    "status/1.1",
    "failed/1.1",
    "failed/ID",
    "tmp/1",
    "tmp/ID.status",
];

/// Puts it there; the folder is root's. False where the system does not allow it.
type Plant = fn(&Path, &Path) -> bool;

const KINDS: &[(&str, Plant)] = &[
    ("link to a file", |path, etc| symlink(etc.join("shadow"), path).is_ok()),
    ("link to a folder", |path, etc| symlink(etc, path).is_ok()),
    ("link to nothing", |path, etc| symlink(etc.join("new"), path).is_ok()),
    ("link to itself", |path, _| symlink(path.file_name().unwrap(), path).is_ok()),
    ("link to a device", |path, _| symlink("/dev/zero", path).is_ok()),
    // As where fs.protected_hardlinks is 0.
    ("hard link", |path, etc| fs::hard_link(etc.join("shadow"), path).is_ok()),
    ("FIFO", |path, _| mkfifo(path, Mode::S_IRWXU).is_ok() && give(path, MAIL_USER)),
    ("socket", |path, _| UnixListener::bind(path).is_ok() && give(path, MAIL_USER)),
    ("device", |path, _| {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mknod(path, SFlag::S_IFCHR, mode, makedev(1, 5)).is_ok() && give(path, MAIL_USER)
    }),
    ("empty folder", |path, _| fs::create_dir(path).is_ok() && give(path, MAIL_USER)),
    ("folder of root", |path, _| closed_folder(path, 0)),
    ("folder of a stranger", |path, _| closed_folder(path, STRANGER)),
    ("file of root", |path, etc| secret(path, etc, 0)),
    ("file of a stranger", |path, etc| secret(path, etc, STRANGER)),
    ("empty file", |path, _| fs::write(path, "").is_ok() && give(path, MAIL_USER)),
];

fn give(path: &Path, uid: u32) -> bool {
    chown(path, Some(uid), Some(uid)).is_ok()
}

fn closed_folder(path: &Path, uid: u32) -> bool {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(path.join("inside"), "precious").unwrap();
    give(path, uid)
}

/// What the mail user may not read, and has by its name.
fn secret(path: &Path, etc: &Path, uid: u32) -> bool {
    fs::copy(etc.join("shadow"), path).unwrap();
    give(path, uid)
}

/// The place of what is planted, with the message's own name.
fn place(trap: &Trap, name: &str, id: &str) -> PathBuf {
    trap.house.path("queue").join(name.replace("ID", id))
}

#[test]
fn nothing_that_is_planted_anywhere_hangs_a_program_reaches_elsewhere_or_loses_mail() {
    if !is_root() {
        return;
    }
    std::thread::scope(|scope| {
        for places in PLACES.chunks(PLACES.len().div_ceil(3)) {
            scope.spawn(move || {
                for name in places {
                    for (kind, plant) in KINDS {
                        plant_there(name, kind, *plant);
                    }
                }
            });
        }
    });
}

fn plant_there(name: &str, kind: &str, plant: Plant) {
    let trap = Trap::new();
    trap.house.run("sendmail", ["kept@x.example"], "Subject: kept\n\n").success();
    let id = trap.house.names("queue").remove(0);
    let (etc, path) = (trap.etc(), place(&trap, name, &id));
    let before = path.with_file_name("before");
    let moved = fs::rename(&path, &before).is_ok();
    if !plant(&path, &etc) {
        eprintln!("not checked: no {kind} can be made");
        return;
    }
    let treasure = state(&etc);
    let said = trap.run();
    let what = format!("{kind} as {name}: {said}");
    assert!(!said.contains("panicked"), "{what}");
    let untouched = |mut state: State| {
        // Names of its own the owner may lose.
        for facts in state.values_mut() {
            facts.3 = 1;
        }
        state
    };
    assert_eq!(untouched(state(&etc)), untouched(treasure), "{what}");
    let sent = trap.sink.messages();
    assert!(!sent.iter().any(|one| one.text().contains("Subject: shadow")), "{what}");
    // Somebody takes it away.
    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    if moved && path.symlink_metadata().is_err() {
        fs::rename(&before, &path).unwrap();
    }
    let log = trap.house.run("nullmailer-send", [""; 0], "").success().stdout;
    let sent = trap.sink.messages();
    let copies = sent.iter().filter(|one| one.text().contains("Subject: kept")).count();
    assert_eq!(copies, 1, "{what}{log}");
}
