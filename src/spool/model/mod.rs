//! The spool against a model of it: several writers of one second and one process number, a daemon, an
//! administrator, tools that use names again, crashes and restarts, in any order.
//!
//! What must hold after every step: no id is told twice; the text of every message is somewhere, once, until it is
//! done with; an entry waits for exactly those who have not got it.

mod message;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use self::message::{
    Message, RECIPIENTS, deferred, number, number_of, recipient, refused, sent, text,
};
use self::steps::{Before, Folder, Step, Turn, step};
use super::{Entry, Event, Incoming, Prior, QueueId, Spool, Stamp, Unusable};
use crate::mail::{Address, DeliveryRequest, Outcome};

const WRITERS: usize = 3;
/// All writers have it.
const STAMP: Stamp = Stamp { seconds: 1_763_812_000, pid: 1 };

struct World<'a> {
    spool: &'a Spool,
    /// What the administrator has taken out.
    aside: PathBuf,
    /// A second name for every file: the file system must not give its inode to another within the same moment.
    graves: PathBuf,
    writers: [Option<(Incoming<'a>, u32)>; WRITERS],
    messages: BTreeMap<u32, Message>,
    numbers: u32,
    told: BTreeSet<QueueId>,
    now: i64,
}

impl<'a> World<'a> {
    fn new(spool: &'a Spool) -> Self {
        let (aside, graves) = (spool.root().join("aside"), spool.root().join("graves"));
        fs::create_dir(&aside).unwrap();
        fs::create_dir(&graves).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self {
            spool,
            aside,
            graves,
            writers: Default::default(),
            messages: BTreeMap::new(),
            numbers: 0,
            told: BTreeSet::new(),
            now: now.try_into().unwrap(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Begin(writer) if self.writers[writer].is_none() => {
                let mut incoming = self.spool.incoming(STAMP).unwrap();
                self.numbers += 1;
                incoming.write_all(text(self.numbers).as_bytes()).unwrap();
                self.writers[writer] = Some((incoming, self.numbers));
            }
            Step::Commit(writer, before) => self.commit(writer, before),
            Step::Abandon(writer) => self.writers[writer] = None,
            Step::Plant(writer, folder) => self.plant(writer, folder),
            Step::Deliver(which, turn) => {
                if let Some(name) = pick(&self.spool.queue(), which) {
                    self.deliver(&name, turn);
                }
            }
            Step::TakeOut(which) => shift(&self.spool.queue(), &self.aside, which),
            Step::PutBack(which) => shift(&self.aside, &self.spool.queue(), which),
            Step::TryAgain(which) => shift(&self.spool.failed(), &self.spool.queue(), which),
            Step::Touch(which) => self.touch(which),
            Step::Restore(which) => self.restore(which),
            Step::Reuse(which) => {
                let told = self.told.iter().nth(which % self.told.len().max(1));
                let name = told.map(ToString::to_string);
                let name = pick(&self.spool.failed(), which).filter(|_| which % 2 == 0).or(name);
                let path = name.map(|name| self.spool.queue().join(name));
                if let Some(path) = path.filter(|path| !path.exists()) {
                    self.put_foreign(&path);
                }
            }
            Step::Tidy(seconds) => {
                self.now += i64::from(seconds);
                self.spool.tidy(self.now);
                self.miss();
            }
            Step::Restart => {
                self.spool.repair(self.now);
                self.miss();
            }
            Step::Expire => {
                for message in numbers(&self.spool.failed()) {
                    self.messages.remove(&message);
                }
                self.spool.expire_failed(0, i64::MAX);
            }
            Step::Begin(_) => {}
        }
    }

    /// What is away when it is looked for may lose its journal when it is looked for again.
    fn miss(&mut self) {
        for message in numbers(&self.aside) {
            self.messages.get_mut(&message).unwrap().untied = true;
        }
    }

    fn commit(&mut self, writer: usize, before: Before) {
        let Some((incoming, number)) = self.writers[writer].take() else { return };
        let mut message = Message::default();
        let (first, sent) = (recipient(0), sent());
        let events = [Event { recipient: &first, remote: "r", outcome: &sent }];
        let events: &[Event] = match before {
            Before::Served => &events,
            Before::Nothing | Before::Asked => &[],
        };
        match before {
            Before::Nothing => {}
            Before::Asked => message.request = DeliveryRequest::parse(b"NOTIFY=NEVER").unwrap(),
            Before::Served => message.sent.extend([0]),
        }
        let time = self.now;
        let id = incoming
            .commit(&Prior { request: &message.request, events, attempt: false, time })
            .unwrap();
        self.messages.insert(number, message);
        self.bury(&self.spool.queue().join(id.as_str()), number);
        assert!(!self.spool.failed().join(id.as_str()).exists());
        let file = self.spool.identify(&id).unwrap().unwrap();
        assert!(!self.spool.has_journal(&id) || self.spool.has_journal_of(&id, &file));
        self.tell(id);
    }

    fn tell(&mut self, id: QueueId) {
        assert!(self.told.insert(id.clone()), "{id} is told again");
    }

    fn bury(&self, path: &Path, number: u32) {
        let graves = fs::read_dir(&self.graves).unwrap().count();
        fs::hard_link(path, self.graves.join(format!("{number}.{graves}"))).unwrap();
    }

    /// A tool makes a message of its own.
    fn put_foreign(&mut self, path: &Path) {
        self.numbers += 1;
        let new = self.spool.root().join("new");
        fs::write(&new, text(self.numbers)).unwrap();
        self.bury(&new, self.numbers);
        fs::rename(new, path).unwrap();
        self.messages.insert(self.numbers, Message::default());
    }

    fn plant(&mut self, writer: usize, folder: Folder) {
        let Some((incoming, _)) = &self.writers[writer] else { return };
        let id = incoming.reserved().clone();
        let folder_of = match folder {
            Folder::Queue => self.spool.queue(),
            Folder::Failed => self.spool.failed(),
            Folder::Status => self.spool.status(),
        };
        let path = folder_of.join(id.as_str());
        if path.symlink_metadata().is_ok() {
            return;
        }
        match folder {
            Folder::Queue | Folder::Failed => self.put_foreign(&path),
            Folder::Status => {
                fs::write(path, "file\t1\t1\t1\n5\tsent\t1@x.example\tr\tok\n").unwrap();
            }
        }
    }

    fn open(&mut self, name: &str) -> Entry {
        let id = QueueId::parse(name.as_ref()).unwrap();
        let entry = match self.spool.entry(&id) {
            Ok(entry) => entry,
            Err(Unusable::NameTaken) => {
                let apart = self.spool.rename_apart(&id).unwrap();
                self.tell(apart.clone());
                self.spool.entry(&apart).unwrap()
            }
            Err(why) => panic!("{id} {why}"),
        };
        let message = &self.messages[&number_of(&entry)];
        let pending = entry.pending();
        for nth in 0..RECIPIENTS {
            let waits = pending.contains(&recipient(nth));
            let (sent, refused) = (message.sent.contains(&nth), message.refused.contains(&nth));
            assert!(waits || sent || refused, "{}: {nth} is forgotten", entry.id);
            assert!(!waits || !sent || message.untied, "{}: {nth} is served again", entry.id);
        }
        assert!(message.untied || entry.envelope.request == message.request, "{}", entry.id);
        entry
    }

    fn deliver(&mut self, name: &str, turn: Turn) {
        let spool = self.spool;
        let entry = self.open(name);
        let queued = spool.queue().join(entry.id.as_str());
        let waiting: Vec<usize> =
            (0..RECIPIENTS).filter(|nth| entry.pending().contains(&recipient(*nth))).collect();
        let all = self.messages[&number_of(&entry)].sent.len() + waiting.len() == RECIPIENTS;
        match turn {
            Turn::Serve(nth) => self.settle(&entry, &[nth], &sent()),
            Turn::Defer(nth) => self.settle(&entry, &[nth], &deferred()),
            Turn::Refuse(nth) => self.settle(&entry, &[nth], &refused()),
            Turn::Finish if all => {
                spool.remove(&entry).unwrap();
                self.messages.remove(&number_of(&entry));
                assert!(!queued.exists());
            }
            Turn::FinishReplaced if all => {
                self.settle(&entry, &waiting, &sent());
                self.messages.remove(&number_of(&entry));
                self.put_foreign(&queued);
                spool.remove(&entry).unwrap();
                assert!(queued.exists());
            }
            Turn::FinishCut if all => {
                self.settle(&entry, &waiting, &sent());
                self.messages.remove(&number_of(&entry));
                fs::remove_file(queued).unwrap();
            }
            Turn::GiveUp(served) => {
                self.settle(&entry, &[served], &sent());
                let rest: Vec<_> = waiting.into_iter().filter(|nth| *nth != served).collect();
                self.settle(&entry, &rest, &refused());
                let name = spool.set_aside(&entry).unwrap().unwrap();
                assert!(spool.failed().join(name.as_str()).exists() && !queued.exists());
            }
            Turn::GiveUpReplaced => {
                self.settle(&entry, &waiting, &refused());
                self.messages.remove(&number_of(&entry));
                self.put_foreign(&queued);
                assert_eq!(spool.set_aside(&entry).unwrap(), None);
                assert!(queued.exists());
            }
            Turn::GiveUpCut => {
                self.settle(&entry, &waiting, &refused());
                let _ = move_file(&queued, &spool.failed().join(entry.id.as_str()));
            }
            Turn::Look | Turn::Finish | Turn::FinishReplaced | Turn::FinishCut => {}
        }
    }

    /// Writes down what became of those who waited, if they did.
    fn settle(&mut self, entry: &Entry, which: &[usize], outcome: &Outcome) {
        let which: Vec<usize> = which
            .iter()
            .copied()
            .filter(|nth| entry.pending().contains(&recipient(*nth)))
            .collect();
        let addresses: Vec<Address> = which.iter().copied().map(recipient).collect();
        let events: Vec<_> =
            addresses.iter().map(|recipient| Event { recipient, remote: "r", outcome }).collect();
        self.spool.record(entry, self.now, true, &events).unwrap();
        let message = self.messages.get_mut(&number_of(entry)).unwrap();
        match outcome {
            Outcome::Sent(_) => message.sent.extend(which),
            Outcome::Failed(_) => message.refused.extend(which),
            Outcome::Deferred(_) => {}
        }
    }

    fn touch(&mut self, which: usize) {
        let Some(name) = pick(&self.spool.queue(), which) else { return };
        let path = self.spool.queue().join(name);
        let time = SystemTime::now() - Duration::from_secs(u64::from(self.numbers) + 1);
        File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        self.change(&path, |message| message.touched = true);
    }

    fn restore(&mut self, which: usize) {
        let Some(name) = pick(&self.spool.queue(), which) else { return };
        let (path, copy) = (self.spool.queue().join(name), self.spool.root().join("copy"));
        fs::copy(&path, &copy).unwrap();
        let time = path.metadata().unwrap().modified().unwrap();
        File::options().append(true).open(&copy).unwrap().set_modified(time).unwrap();
        self.bury(&copy, 0);
        fs::rename(&copy, &path).unwrap();
        self.change(&path, |message| message.restored = true);
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(&mut Message)) {
        let number = number(&fs::read_to_string(path).unwrap());
        let message = self.messages.get_mut(&number).unwrap();
        change(message);
        message.untied |= message.touched && message.restored;
    }

    /// Every message is there, once and whole, and nothing else is.
    fn check(&self) {
        let folders = [self.spool.queue(), self.spool.failed(), self.aside.clone()];
        let mut found: Vec<u32> = folders.iter().flat_map(|folder| numbers(folder)).collect();
        found.sort_unstable();
        assert_eq!(found, self.messages.keys().copied().collect::<Vec<_>>());
    }
}

fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// mv, where that takes nobody's name.
fn shift(from: &Path, to: &Path, which: usize) {
    if let Some(name) = pick(from, which) {
        let _ = move_file(&from.join(&name), &to.join(&name));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pick(folder: &Path, which: usize) -> Option<String> {
    let mut names = names(folder);
    (!names.is_empty()).then(|| names.swap_remove(which % names.len()))
}

/// Which messages lie there; each is whole.
fn numbers(folder: &Path) -> Vec<u32> {
    let read = |name: &String| {
        let found = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(found, text(number(&found)), "{name}");
        number(&found)
    };
    names(folder).iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn no_id_is_told_twice_no_text_is_lost_and_no_journal_serves_another_message(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        // What is synced a thousand times need not reach a disk.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        let mut world = World::new(&spool);
        for step in &steps {
            world.take(step);
            world.check();
        }
        for name in names(&spool.queue()) {
            world.open(&name);
        }
    }
}
