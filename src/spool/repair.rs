//! Puts right what a crash left behind, when a daemon starts and before it looks at the queue, and while it runs.
//!
//! Called by the daemon, which holds the spool's lock. It removes what cannot become mail any more, and
//! nothing else: a file in `tmp/` is somebody's until we know that nobody will finish it.

use std::ffi::OsStr;
use std::fs::TryLockError;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::scan::ids;
use super::{Identity, QueueId, Spool};
use crate::sys::{self, Folder};

const HOUR: i64 = 3600;
/// A line that says since when a message is missed is not longer.
const END: usize = 64;
/// No writer takes this long over one message.
const STALE: i64 = 36 * HOUR;

impl Spool {
    /// Repairs the spool when a daemon starts; returns a line for each kind of thing that was put right.
    pub(crate) fn repair(&self, now: i64) -> Vec<String> {
        // The new journal of a file in failed/: only a daemon makes one, and that is us now.
        let unwritten = self.clear_tmp(|_, name| is_journal(name));
        let lines = line("removed journals that were not written to their end", &unwritten);
        lines.into_iter().chain(self.tidy(now)).collect()
    }

    /// Does the part of it that may be done at any time between two deliveries.
    pub(crate) fn tidy(&self, now: i64) -> Vec<String> {
        let unfinished = self.clear_tmp(|tmp, name| is_abandoned(tmp, name, now));
        let (mut orphans, mut moved) = (Vec::new(), Vec::new());
        let (queue, failed) = (self.queue_folder(), self.failed_folder());
        for id in ids(self.status_folder()) {
            // Whether the journal is that of the file there is seen when it is delivered.
            if queue.as_ref().is_ok_and(|queue| queue.has(id.as_str())) {
                continue;
            }
            let there = failed.as_ref().ok().and_then(|failed| failed.stat(id.as_str()).ok());
            let there = there.map(|meta| Identity::of(&meta));
            if let Some(file) = there.filter(|file| self.has_journal_of(&id, file)) {
                // The move to failed/ was cut short before the journal was cleaned.
                if self.keep_only_sent(&id, &file) {
                    moved.push(id.to_string());
                }
            } else if self.is_missed(&id, now) {
                self.forget_journal(&id);
                orphans.push(id.to_string());
            }
        }
        [
            ("removed what nobody will finish from tmp/", unfinished),
            ("removed the journals of messages that are gone", orphans),
            ("finished the move to failed/", moved),
        ]
        .into_iter()
        .filter_map(|(what, names)| line(what, &names))
        .collect()
    }

    /// Whether the message of this journal has been gone for an hour.
    ///
    /// A journal that was written within the hour may be of a message that is just being queued. An older one may be
    /// of a message that an administrator has taken out to look at, or to change: the journal itself keeps when it was
    /// first missed.
    fn is_missed(&self, id: &QueueId, now: i64) -> bool {
        self.missed_since(id, now).is_ok_and(|since| since.is_some_and(|at| now - at > HOUR))
    }

    fn missed_since(&self, id: &QueueId, now: i64) -> io::Result<Option<i64>> {
        let mut journal = self.status_folder()?.append(id.as_str(), None)?;
        self.queue_owner().map_err(io::Error::other)?.spare(&journal)?;
        let meta = journal.metadata()?;
        let mut end = [0; END];
        let read = journal.read_at(&mut end, meta.len().saturating_sub(END as u64))?;
        let last = end[..read].trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        let last = last.and_then(|line| str::from_utf8(line).ok()?.strip_suffix("\tmissed"));
        if let Some(since) = last.and_then(|since| since.parse().ok()) {
            return Ok(Some(since));
        }
        if now.saturating_sub(meta.mtime()) > HOUR {
            journal.write_all(format!("\n{now}\tmissed\n").as_bytes())?;
        }
        Ok(None)
    }

    /// Removes the files in `tmp/` that are `abandoned`; returns their names.
    fn clear_tmp(&self, abandoned: impl Fn(&Folder, &OsStr) -> bool) -> Vec<String> {
        let Ok(tmp) = self.tmp_folder() else { return Vec::new() };
        let names = tmp.names().into_iter().flatten().flatten();
        let removed = names.filter(|name| abandoned(&tmp, name) && tmp.remove(name).is_ok());
        removed.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

/// Whether nobody will finish this file in `tmp/`.
///
/// Its name tells the process that writes it. That may live in another container, or its number may
/// have been taken since, so we hold that it is dead only where no process here has the number and nobody
/// holds the lock that our writers take. The original's writers take none: an hour covers them.
/// A file of any other name has a writer that we know nothing of, and only its age can tell.
fn is_abandoned(tmp: &Folder, name: &OsStr, now: i64) -> bool {
    let Ok(file) = tmp.glance(name) else { return false };
    let age = now.saturating_sub(file.mtime);
    if age > STALE || is_journal(name) && age > HOUR {
        return true;
    }
    age > HOUR
        && file.is_file
        && name.to_str().and_then(writer).is_some_and(|pid| !sys::is_alive(pid))
        && !is_locked(tmp, name)
}

fn is_journal(name: &OsStr) -> bool {
    let id = name.to_str().and_then(|name| name.strip_suffix(".status"));
    id.is_some_and(|id| QueueId::parse(id.as_ref()).is_some())
}

/// The process in `PID` or `PID.NTH`.
fn writer(name: &str) -> Option<u32> {
    /// No system numbers its processes higher.
    const HIGHEST: u32 = 1 << 22;
    let (pid, nth) = name.split_once('.').unwrap_or((name, "0"));
    nth.parse::<u32>().ok()?;
    pid.parse().ok().filter(|pid| (1..=HIGHEST).contains(pid))
}

fn is_locked(tmp: &Folder, name: &OsStr) -> bool {
    tmp.read(name).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// What was done to which; the first name stands for many.
fn line(what: &str, names: &[String]) -> Option<String> {
    let first = names.first()?;
    Some(match names.len() - 1 {
        0 => format!("{what}: {first}"),
        more => format!("{what}: {first} and {more} more"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::path::PathBuf;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const NOW: i64 = 1_763_812_000;
    /// A process that cannot be: its number is the highest, which no system gives.
    const NOBODY: &str = "4194304";

    fn spool() -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        (dir, spool)
    }

    /// A file in `tmp/` that was last written so many seconds ago.
    fn put(spool: &Spool, name: &str, age: i64) -> File {
        let file = File::create_new(spool.tmp().join(name)).unwrap();
        let written = u64::try_from(NOW - age).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(written)).unwrap();
        file
    }

    fn left(spool: &Spool) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(spool.tmp())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_somebody_may_still_finish_stays() {
        let (_dir, spool) = spool();
        let us = std::process::id().to_string();
        put(&spool, NOBODY, HOUR - 1);
        put(&spool, &us, STALE - 1);
        put(&spool, "by-hand", STALE - 1);
        put(&spool, "1763812000.812", STALE - 1);
        // In another container its writer has a number that nobody has here.
        let elsewhere = put(&spool, "4194303", STALE - 1);
        elsewhere.lock().unwrap();
        assert_eq!(spool.repair(NOW), [""; 0]);
        assert_eq!(left(&spool).len(), 5, "{:?}", left(&spool));
    }

    #[test]
    fn what_nobody_will_finish_goes_with_one_line() {
        let (_dir, spool) = spool();
        put(&spool, NOBODY, HOUR + 1);
        put(&spool, &format!("{NOBODY}.1"), HOUR + 1);
        put(&spool, "by-hand", STALE + 1);
        put(&spool, "1763812000.812.status", 0);
        let lines = spool.repair(NOW);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("not written to their end: 1763812000.812.status"), "{lines:?}");
        assert!(lines[1].starts_with("removed what nobody will finish from tmp/: "), "{lines:?}");
        assert!(lines[1].ends_with(" and 2 more"), "{lines:?}");
        assert_eq!(left(&spool), [""; 0]);
        assert_eq!(spool.repair(NOW), [""; 0]);
    }

    #[test]
    fn what_is_being_written_while_the_daemon_runs_is_left_to_it() {
        let (_dir, spool) = spool();
        put(&spool, "1763812000.812.status", HOUR);
        assert_eq!(spool.tidy(NOW), [""; 0]);
        assert_eq!(left(&spool).len(), 1);
        assert_eq!(spool.tidy(NOW + 1).len(), 1);
        assert_eq!(left(&spool), [""; 0]);
    }

    /// A journal that was last written so many seconds ago.
    fn journal(spool: &Spool, name: &str, age: i64) -> PathBuf {
        let path = spool.status().join(name);
        fs::write(&path, "5\tsent\ta@x\tr\tok\n").unwrap();
        let written = u64::try_from(NOW - age).unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(written)).unwrap();
        path
    }

    #[test]
    fn a_journal_goes_when_its_message_has_been_missed_for_an_hour() {
        let (_dir, spool) = spool();
        let (old, young) = (journal(&spool, "1.1", 9 * HOUR), journal(&spool, "1.2", HOUR - 1));
        assert_eq!(spool.tidy(NOW), [""; 0]);
        assert_eq!(spool.repair(NOW + HOUR), [""; 0]);
        assert!(old.exists() && young.exists());
        let lines = spool.tidy(NOW + HOUR + 1);
        assert_eq!(lines, ["removed the journals of messages that are gone: 1.1"]);
        assert!(!old.exists() && young.exists());
    }

    #[test]
    fn a_message_that_is_back_before_that_finds_its_journal() {
        let (_dir, spool) = spool();
        journal(&spool, "1.1", 9 * HOUR);
        let (queued, aside) = (spool.queue().join("1.1"), spool.root().join("aside"));
        fs::write(&aside, "s@x\na@x\nb@x\n\n").unwrap();
        spool.tidy(NOW);
        fs::rename(&aside, &queued).unwrap();
        assert_eq!(spool.tidy(NOW + 2 * HOUR), [""; 0]);
        let entry = spool.entry(&QueueId::parse("1.1".as_ref()).unwrap()).unwrap();
        assert_eq!((entry.pending().len(), entry.history.ignored), (1, 0));
    }

    #[test]
    fn a_journal_is_missed_by_its_own_message_and_not_by_another_of_that_name() {
        let (_dir, spool) = spool();
        fs::write(spool.failed().join("1.1"), "s@x\na@x\n\n").unwrap();
        let path = journal(&spool, "1.1", 9 * HOUR);
        fs::write(&path, "file\t1\t2\t3\n5\tfailed\ta@x\tr\tno\n").unwrap();
        let written = UNIX_EPOCH + Duration::from_secs(5);
        OpenOptions::new().append(true).open(&path).unwrap().set_modified(written).unwrap();
        assert_eq!(spool.tidy(NOW), [""; 0]);
        assert!(fs::read_to_string(&path).unwrap().contains("failed\ta@x"));
        assert_eq!(spool.tidy(NOW + HOUR + 1).len(), 1);
        assert!(!path.exists());
    }

    #[test]
    fn a_move_to_failed_that_was_cut_short_is_finished() {
        let (_dir, spool) = spool();
        fs::write(spool.failed().join("1.2"), "a@x\nb@x\n\n").unwrap();
        fs::write(spool.status().join("1.2"), "5\tsent\ta@x\tr\tok\n5\tfailed\tb@x\tr\tno\n")
            .unwrap();
        // What was being written then is in the way of nothing.
        put(&spool, "1.2.status", 0);
        let lines = spool.repair(NOW);
        assert_eq!(lines.last().unwrap(), "finished the move to failed/: 1.2");
        let journal = fs::read_to_string(spool.status().join("1.2")).unwrap();
        assert!(journal.starts_with("file\t") && journal.ends_with("\n5\tsent\ta@x\tr\tok\n"));
        assert_eq!(spool.repair(NOW), [""; 0]);
    }
}
