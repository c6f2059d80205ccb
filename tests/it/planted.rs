//! What is planted where the programs write: links, folders and FIFOs under the names of the spool, by whoever may
//! write there.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::house::{House, is_root};
use crate::smarthost::Sink;

const MAIL: &str = "a@b.c\nd@x.example\n\nSubject: x\n\nbody\n";
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
const LINK: Plant = |path, victim| symlink(victim, path).unwrap();
const HARD_LINK: Plant = |path, victim| fs::hard_link(victim, path).unwrap();
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
    for (plant, flaw) in [(HARD_LINK, "has another name"), (LINK, "symbolic link"), (FIFO, "")] {
        put(plant, &house.path("queue/status").join(&id), &victim);
        let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
        let told: Vec<_> = log.lines().filter(|line| line.contains("trouble ")).collect();
        assert_eq!(told.len(), 1, "{log}");
        assert!(told[0].contains(&format!("status/{id}")) && told[0].contains(flaw), "{log}");
        assert_eq!(fs::read(&victim).unwrap(), PRECIOUS);
        assert_eq!(house.names("queue"), [id.as_str()]);
    }
}
