//! `failed/`: messages that were given up, and files that were no messages, until somebody removes them.
//!
//! Called by the daemon. Nothing there is ever replaced: a file whose name is taken gets a number behind it.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

use super::{Entry, Error, Identity, QueueId, Spool};
use crate::sys::Folder;

/// So many files of one name are kept.
const NAMES: u32 = 10_000;

/// What a file in `failed/` keeps of its journal.
struct Kept {
    /// Empty if nothing is kept.
    text: String,
    /// The journal has more.
    is_less: bool,
}

impl Spool {
    /// Moves a message to `failed/`, where it stays until an administrator looks at it; returns its name there.
    ///
    /// `None` if its file is not in the queue any more: somebody took it, and what has its name now stays.
    pub(crate) fn set_aside(&self, entry: &Entry) -> Result<Option<QueueId>, Error> {
        let there = self.identify(&entry.id)?;
        match there.filter(|there| there.is_same_file(&entry.identity)) {
            Some(file) => self.move_aside(&entry.id, &file).map(Some),
            None => Ok(None),
        }
    }

    /// The same for what has this name in the queue and is no message.
    pub(crate) fn set_aside_unusable(&self, id: &QueueId) -> Result<Option<QueueId>, Error> {
        self.identify(id)?.map(|file| self.move_aside(id, &file)).transpose()
    }

    fn move_aside(&self, id: &QueueId, file: &Identity) -> Result<QueueId, Error> {
        let from = self.queue().join(id.as_str());
        let stuck = |error| Error::at("move to failed", &from)(error);
        let queue = self.queue_folder().map_err(stuck)?;
        let failed = self.failed_folder().map_err(stuck)?;
        for nth in 0..NAMES {
            let name = id.numbered(nth);
            let journal_fits =
                !self.has_journal(&name) || nth == 0 && self.has_journal_of(id, file);
            if !journal_fits || failed.has(name.as_str()) {
                continue;
            }
            if nth > 0 {
                self.copy_kept(id, &name, file)?;
            }
            match queue.move_to(id.as_str(), &failed, name.as_str()) {
                Ok(()) => {
                    failed.sync().map_err(Error::at("sync", &self.failed()))?;
                    if nth == 0 {
                        self.keep_only_sent(id, file);
                    } else {
                        self.forget_journal_of(id, file);
                    }
                    return Ok(name);
                }
                Err(error) => {
                    if nth > 0 {
                        self.forget_journal(&name);
                    }
                    if error.kind() != io::ErrorKind::AlreadyExists {
                        return Err(stuck(error));
                    }
                }
            }
        }
        Err(stuck(io::ErrorKind::AlreadyExists.into()))
    }

    /// For a file that lies in `failed/` under the name of its journal: drops from that what it does not keep. False
    /// if there was nothing to do, or it cannot be done.
    pub(super) fn keep_only_sent(&self, id: &QueueId, file: &Identity) -> bool {
        let Some(kept) = self.kept(id, file).filter(|kept| kept.is_less) else { return false };
        if kept.text.is_empty() {
            self.forget_journal(id);
            return true;
        }
        // The full journal only means that nobody is tried again by moving the file back.
        let replace =
            |tmp: &Folder, new: &str| tmp.replace(new, &self.status_folder()?, id.as_str());
        self.write_kept(id, &kept.text, replace).is_ok()
    }

    /// Begins a journal for the name that the file is about to get in `failed/`: before the move, so that there is
    /// no moment in which it lies there without.
    fn copy_kept(&self, id: &QueueId, name: &QueueId, file: &Identity) -> Result<(), Error> {
        let Some(kept) = self.kept(id, file).filter(|kept| !kept.text.is_empty()) else {
            return Ok(());
        };
        let publish = |tmp: &Folder, new: &str| {
            let status = self.status_folder()?;
            tmp.move_to(new, &status, name.as_str())?;
            status.sync()
        };
        let written = self.write_kept(name, &kept.text, publish);
        written.map_err(Error::at("write", &self.journal(name)))
    }

    /// Who was served, and what the sender asked for: moving the file back to `queue/` tries the others again, from
    /// the start. `None` if it has no journal.
    fn kept(&self, id: &QueueId, file: &Identity) -> Option<Kept> {
        if !self.has_journal_of(id, file) {
            return None;
        }
        let whole = io::read_to_string(self.open_journal(id).ok()?).ok()?;
        let is_kept = |line: &&str| match line.split_once('\t') {
            Some(("request", asked)) => !asked.is_empty(),
            Some((_, event)) => event.starts_with("sent\t"),
            None => false,
        };
        let kept: Vec<&str> = whole.lines().filter(is_kept).collect();
        let events = whole.lines().filter(|line| Identity::parse(line).is_none());
        let is_less = kept.is_empty() || events.count() > kept.len();
        let text = match kept.as_slice() {
            [] => String::new(),
            kept => format!("{file}\n{}\n", kept.join("\n")),
        };
        Some(Kept { text, is_less })
    }

    /// Writes a new journal beside the journals, and has it moved to them.
    fn write_kept(
        &self,
        name: &QueueId,
        text: &str,
        publish: impl FnOnce(&Folder, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let (tmp, new) = (self.tmp_folder()?, format!("{name}.status"));
        // Never over somebody's file.
        let mut file = tmp.create(&new, 0o600)?;
        let write = || {
            self.queue_owner().map_err(io::Error::other)?.adopt(&file)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            publish(&tmp, &new)
        };
        write().inspect_err(|_| drop(tmp.remove(&new)))
    }

    /// Removes what lies in `failed/` for more than `lifetime` seconds at `now`; says how much.
    pub(crate) fn expire_failed(&self, lifetime: u64, now: i64) -> usize {
        let Ok(failed) = self.failed_folder() else { return 0 };
        let names = failed.names().into_iter().flatten().flatten();
        let old = names.filter_map(|name| {
            let meta = failed.stat(&name).ok()?;
            // ctime: the moment it was moved there, where mtime is the moment it was queued.
            let age = u64::try_from(now.saturating_sub(meta.ctime())).unwrap_or(0);
            (age > lifetime).then(|| (name, Identity::of(&meta)))
        });
        let removed = old.filter(|(name, _)| failed.remove(name).is_ok());
        removed
            .inspect(|(name, file)| {
                let Some(id) = QueueId::parse(name) else { return };
                // A copy of it that was put back into the queue has need of the journal.
                let back = self.identify(&id).ok().flatten();
                if !back.is_some_and(|back| self.has_journal_of(&id, &back)) {
                    self.forget_journal_of(&id, file);
                }
            })
            .count()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spool::Unusable;

    const MAIL: &str = "s@x\na@x\nb@x\n\nSubject: x\n";
    const SERVED: &str = "5\tsent\ta@x\tr\tok\n5\tfailed\tb@x\tr\tno\n";

    fn spool() -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        (dir, spool)
    }

    fn id(name: &str) -> QueueId {
        QueueId::parse(name.as_ref()).unwrap()
    }

    /// A message in the queue of which one recipient is served and one refused.
    fn queued(spool: &Spool, name: &str) -> Entry {
        fs::write(spool.queue().join(name), MAIL).unwrap();
        fs::write(spool.status().join(name), SERVED).unwrap();
        spool.entry(&id(name)).unwrap()
    }

    #[test]
    fn a_message_takes_nobodys_place_and_brings_with_it_who_was_served() {
        let (_dir, spool) = spool();
        fs::write(spool.failed().join("1.2"), "theirs").unwrap();
        fs::write(spool.status().join("1.2.1"), "5\tsent\tc@x\tr\ttheirs\n").unwrap();
        let entry = queued(&spool, "1.2");
        let name = spool.set_aside(&entry).unwrap().unwrap();
        assert_eq!(name.as_str(), "1.2.2");
        assert_eq!(fs::read(spool.failed().join("1.2")).unwrap(), b"theirs");
        assert!(!spool.has_journal(&entry.id) && spool.has_journal(&id("1.2.1")));
        fs::rename(spool.failed().join("1.2.2"), spool.queue().join("1.2.2")).unwrap();
        let back = spool.entry(&name).unwrap();
        let pending: Vec<String> = back.pending().iter().map(ToString::to_string).collect();
        assert_eq!(pending, ["b@x"]);
    }

    type Finish = fn(&Spool, &Entry) -> Result<(), Error>;

    #[test]
    fn a_file_that_took_the_name_of_a_message_is_neither_removed_nor_set_aside_for_it() {
        let (_dir, spool) = spool();
        let set_aside: Finish = |spool, entry| {
            assert_eq!(spool.set_aside(entry)?, None);
            Ok(())
        };
        for finish in [Spool::remove as Finish, set_aside] {
            let entry = queued(&spool, "1.2");
            fs::write(spool.tmp().join("new"), "other").unwrap();
            fs::rename(spool.tmp().join("new"), spool.queue().join("1.2")).unwrap();
            finish(&spool, &entry).unwrap();
            assert_eq!(fs::read(spool.queue().join("1.2")).unwrap(), b"other");
            assert!(!spool.failed().join("1.2").exists());
        }
    }

    #[test]
    fn what_is_no_message_leaves_the_journal_of_its_name_to_its_message() {
        let (_dir, spool) = spool();
        let journal = format!("file\t1\t2\t3\n{SERVED}");
        fs::write(spool.status().join("1.2"), &journal).unwrap();
        fs::write(spool.queue().join("1.2"), "torn").unwrap();
        assert!(matches!(spool.entry(&id("1.2")), Err(Unusable::Malformed(_))));
        assert_eq!(spool.set_aside_unusable(&id("1.2")).unwrap(), Some(id("1.2.1")));
        assert_eq!(fs::read_to_string(spool.status().join("1.2")).unwrap(), journal);
        assert_eq!(spool.set_aside_unusable(&id("1.2")).unwrap(), None);
    }

    #[test]
    fn the_journal_of_what_expires_goes_unless_the_message_is_in_the_queue_again() {
        let (_dir, spool) = spool();
        let entry = queued(&spool, "1.2");
        spool.set_aside(&entry).unwrap();
        fs::hard_link(spool.failed().join("1.2"), spool.queue().join("1.2")).unwrap();
        assert_eq!(spool.expire_failed(0, i64::MAX), 1);
        assert_eq!(spool.entry(&entry.id).unwrap().pending().len(), 1);
        spool.set_aside(&entry).unwrap();
        assert_eq!(spool.expire_failed(0, i64::MAX), 1);
        assert!(!spool.has_journal(&entry.id));
    }
}
