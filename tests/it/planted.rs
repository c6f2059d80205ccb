//! What is planted where the programs write: links, folders, FIFOs and sockets under the names of the spool, by
//! whoever may write there. And a trigger that is filled, replaced, removed, or pulled without an end.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::daemon::Daemon;
use crate::house::{House, is_root};
use crate::smarthost::Sink;

const MAIL: &str = "a@b.c\nd@x.example\n\nSubject: x\n\nbody\n";
/// Asks for something, so that there is a journal before there is a message.
const ASKING: &str = "a@b.c NOTIFY=SUCCESS\nd@x.example\n\nSubject: x\n\nbody\n";
const PRECIOUS: &[u8] = b"precious\n";
/// The owner of a spool, who would have root write elsewhere.
const MAIL_USER: u32 = 65533;

fn house(sink: &Sink) -> House {
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    house
}

fn queue(house: &House) {
    house.run("nullmailer-queue", [""; 0], MAIL).success();
}

/// A file that nobody but its owner may write to.
fn victim(house: &House) -> PathBuf {
    let victim = house.path("victim");
    fs::write(&victim, PRECIOUS).unwrap();
    victim
}

type Plant = fn(&Path, &Path);
const FILE: Plant = |path, _| fs::write(path, PRECIOUS).unwrap();
const LINK: Plant = |path, victim| symlink(victim, path).unwrap();
const HARD_LINK: Plant = |path, victim| fs::hard_link(victim, path).unwrap();
const FOLDER: Plant = |path, _| fs::create_dir(path).unwrap();
const SOCKET: Plant = |path, _| drop(UnixListener::bind(path).unwrap());
const FIFO: Plant = |path, _| mkfifo(path, Mode::from_bits_truncate(0o622)).unwrap();

/// The spool with all its folders, given to its owner.
fn give_away(house: &House) {
    house.run("nullmailer-send", [""; 0], "");
    for path in ["", "queue", "tmp", "failed", "status", "trigger", "lock"] {
        chown(house.path("queue").join(path), Some(MAIL_USER), Some(MAIL_USER)).unwrap();
    }
}

fn put(plant: Plant, path: &Path, victim: &Path) {
    let _ = fs::remove_file(path);
    plant(path, victim);
}

#[test]
fn root_writes_through_no_trigger_that_the_owner_of_a_spool_plants() {
    if !is_root() {
        return;
    }
    let house = House::new();
    house.control("pausetime", "0");
    give_away(&house);
    let victim = victim(&house);
    for (nth, plant) in [LINK, HARD_LINK].into_iter().enumerate() {
        put(plant, &house.path("queue/trigger"), &victim);
        house.run("sendmail", ["d@x.example"], "x\n").success();
        assert_eq!(house.names("queue").len(), nth + 1);
        house.run("nullmailer", ["flush"], "").exit(75);
        assert_eq!(fs::read(&victim).unwrap(), PRECIOUS);
        assert_eq!(victim.metadata().unwrap().uid(), 0);
    }
}

#[test]
fn root_writes_no_journal_into_a_file_that_the_owner_of_a_spool_has_linked() {
    if !is_root() {
        return;
    }
    let sink = Sink::new().answers("RCPT*", "450 4.2.0 later");
    let house = house(&sink);
    house.control("pausetime", "0");
    give_away(&house);
    let victim = victim(&house);
    queue(&house);
    let id = house.only_queued().id;
    for (plant, flaw) in [(HARD_LINK, "Permission denied"), (LINK, "symbolic link"), (FIFO, "")] {
        put(plant, &house.path("queue/status").join(&id), &victim);
        let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
        let told: Vec<_> = log.lines().filter(|line| line.contains("trouble ")).collect();
        assert_eq!(told.len(), 1, "{log}");
        assert!(told[0].contains(&format!("status/{id}")) && told[0].contains(flaw), "{log}");
        assert_eq!(fs::read(&victim).unwrap(), PRECIOUS);
        assert_eq!(house.names("queue"), [id.as_str()]);
    }
}

#[test]
fn names_that_a_message_would_get_are_left_to_whoever_has_them() {
    let house = House::new();
    let daemon = Daemon::start(&house);
    let victim = victim(&house);
    let now = fs::metadata(&victim).unwrap().mtime();
    // The daemon takes the number of its client, and the second, for the name; nobody knows the rest of it.
    let us = std::process::id();
    symlink(&victim, house.path(format!("queue/tmp/{us}"))).unwrap();
    for second in now - 1..now + 600 {
        for name in [format!("status/{second}.{us}"), format!("queue/{second}.{us}")] {
            symlink(&victim, house.path("queue").join(name)).unwrap();
        }
    }
    let mut stream = std::os::unix::net::UnixStream::connect(house.path("queue/submit")).unwrap();
    stream.write_all(&crate::socket::wire(ASKING)).unwrap();
    let answer = std::io::read_to_string(&stream).unwrap();
    let id = answer.trim_end().rsplit(' ').next().unwrap();
    assert!(answer.starts_with("ready\nqueued ") && id.contains(&format!(".{us}.")), "{answer}");
    for folder in ["queue", "status"] {
        let meta = fs::symlink_metadata(house.path("queue").join(folder).join(id)).unwrap();
        assert!(meta.is_file() && meta.mode() & 0o777 == 0o600, "{folder}");
    }
    assert_eq!(fs::read(&victim).unwrap(), PRECIOUS);
    drop(daemon);
}

#[test]
fn what_has_the_name_of_the_socket_is_left_alone_with_one_line() {
    let house = House::new();
    let (victim, path) = (victim(&house), house.path("queue/submit"));
    fs::create_dir_all(house.path("queue")).unwrap();
    for plant in [FILE, LINK, HARD_LINK, FIFO, FOLDER] {
        put(plant, &path, &victim);
        let before = fs::symlink_metadata(&path).unwrap();
        let log = Daemon::start(&house).stop_with_log();
        let told = log.iter().filter(|line| line.contains("submit: it is no socket")).count();
        assert_eq!(told, 1, "{log:#?}");
        let after = fs::symlink_metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        assert_eq!(fs::read(&victim).unwrap(), PRECIOUS);
    }
}

#[test]
fn a_trigger_that_is_something_else_is_left_alone_with_one_line_and_mail_goes_out() {
    // Side by side, for without a trigger a message that was linked is given ten seconds to become whole.
    std::thread::scope(|scope| {
        for plant in [FILE, LINK, HARD_LINK, FOLDER, SOCKET] {
            scope.spawn(move || goes_out_beside(plant, false));
            scope.spawn(move || goes_out_beside(plant, true));
        }
    });
}

fn goes_out_beside(plant: Plant, running: bool) {
    let sink = Sink::new();
    let house = house(&sink);
    let (victim, trigger) = (victim(&house), house.path("queue/trigger"));
    fs::create_dir_all(house.path("queue")).unwrap();
    let before = running.then(|| Daemon::start(&house));
    put(plant, &trigger, &victim);
    let daemon = before.unwrap_or_else(|| Daemon::start(&house));
    queue(&house);
    assert_eq!(sink.wait_for(1).len(), 1);
    assert_eq!(fs::read(&victim).unwrap(), PRECIOUS);
    assert!(!fs::symlink_metadata(&trigger).unwrap().file_type().is_fifo());
    house.run("nullmailer", ["flush"], "").exit(75).complains("queue/trigger");
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    let log = daemon.stop_with_log();
    let told = log.iter().filter(|line| line.contains("trigger: is not a FIFO")).count();
    assert_eq!(told, 1, "{running} {log:#?}");
}

#[test]
fn a_trigger_that_is_removed_is_made_again_and_heard() {
    let sink = Sink::new();
    let house = house(&sink);
    let trigger = house.path("queue/trigger");
    let daemon = Daemon::start(&house);
    for replace in [false, true] {
        fs::remove_file(&trigger).unwrap();
        if replace {
            put(FIFO, &trigger, Path::new(""));
        }
        queue(&house);
        daemon.wait_for_lines("repaired what=\"the trigger was gone", 1 + usize::from(replace));
        sink.wait_for(1 + usize::from(replace));
        house.run("nullmailer", ["flush"], "").success();
        let mode = fs::metadata(&trigger).unwrap().mode() & 0o777;
        assert!(replace || mode == 0o622, "{mode:o}");
    }
    daemon.wait_for_lines("Trigger pulled.", 2);
}

/// Writes until there is no room.
fn fill(mut fifo: &File) -> usize {
    let mut written = 0;
    while let Ok(length) = fifo.write(&[0; 4096]) {
        written += length;
    }
    written
}

#[test]
fn a_trigger_that_is_full_holds_nobody_up_and_no_mail_back() {
    let sink = Sink::new();
    let house = house(&sink);
    let open = || {
        let mut options = OpenOptions::new();
        let fifo = options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
        fifo.open(house.path("queue/trigger")).unwrap()
    };
    // Before it starts: whoever may read it keeps what is in it.
    Daemon::start(&house).crash();
    let fifo = open();
    assert!(fill(&fifo) > 0);
    queue(&house);
    let daemon = Daemon::start(&house);
    sink.wait_for(1);
    // While it does nothing.
    daemon.freeze();
    assert!(fill(&fifo) > 0);
    queue(&house);
    daemon.signal(Signal::SIGCONT);
    assert_eq!(sink.wait_for(2).len(), 2);
}
