//! Puts right what a crash left behind, when a daemon starts and before it looks at the queue.
//!
//! Called by the daemon, which holds the spool's lock. It removes what cannot become mail any more, and
//! nothing else: a file in `tmp/` is somebody's until we know that nobody will finish it.

use std::fs::{self, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use super::scan::ids;
use super::{QueueId, Spool};
use crate::sys::{self, O_NOFOLLOW, O_NONBLOCK};

const HOUR: i64 = 3600;
/// No writer takes this long over one message.
const STALE: i64 = 36 * HOUR;

impl Spool {
    /// Repairs the spool; returns a line for each kind of thing that was put right.
    pub(crate) fn repair(&self, now: i64) -> Vec<String> {
        let unfinished = self.clear_tmp(now);
        let (mut orphans, mut moved) = (Vec::new(), Vec::new());
        for id in ids(&self.status()) {
            if self.queue().join(id.as_str()).exists() {
                continue;
            }
            if self.failed().join(id.as_str()).exists() {
                // The move to failed/ was cut short before the journal was cleaned.
                if self.keep_only_sent(&id) {
                    moved.push(id.to_string());
                }
            } else if self.journal_age(&id, now) > HOUR {
                // A younger one may be of a message that is just being queued.
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

    /// Removes the files in `tmp/` that were abandoned; returns their names.
    fn clear_tmp(&self, now: i64) -> Vec<String> {
        let entries = fs::read_dir(self.tmp()).into_iter().flatten().flatten();
        let abandoned = entries.filter(|entry| is_abandoned(entry, now));
        let removed = abandoned.filter(|entry| fs::remove_file(entry.path()).is_ok());
        removed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// Whether nobody will finish this file in `tmp/`.
///
/// Its name tells the process that writes it. That may live in another container, or its number may
/// have been taken since, so we hold that it is dead only where no process here has the number and nobody
/// holds the lock that our writers take. The original's writers take none: an hour covers them.
/// A file of any other name has a writer that we know nothing of, and only its age can tell.
fn is_abandoned(entry: &fs::DirEntry, now: i64) -> bool {
    let Ok(meta) = entry.metadata() else { return false };
    let age = now.saturating_sub(meta.mtime());
    let name = entry.file_name();
    let name = name.to_str().unwrap_or_default();
    // The new journal of a message in failed/: only the daemon makes one, and that is us now.
    if age > STALE || is_journal(name) {
        return true;
    }
    age > HOUR
        && meta.is_file()
        && writer(name).is_some_and(|pid| !sys::is_alive(pid))
        && !is_locked(entry)
}

fn is_journal(name: &str) -> bool {
    name.strip_suffix(".status").is_some_and(|id| QueueId::parse(id.as_ref()).is_some())
}

/// The process in `PID` or `PID.NTH`.
fn writer(name: &str) -> Option<u32> {
    /// No system numbers its processes higher.
    const HIGHEST: u32 = 1 << 22;
    let (pid, nth) = name.split_once('.').unwrap_or((name, "0"));
    nth.parse::<u32>().ok()?;
    pid.parse().ok().filter(|pid| (1..=HIGHEST).contains(pid))
}

fn is_locked(entry: &fs::DirEntry) -> bool {
    let file =
        OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(entry.path());
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
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
    use std::fs::File;
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
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("removed what nobody will finish from tmp/: "), "{lines:?}");
        assert!(lines[0].ends_with(" and 3 more"), "{lines:?}");
        assert_eq!(left(&spool), [""; 0]);
        assert_eq!(spool.repair(NOW), [""; 0]);
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
        assert_eq!(journal, "5\tsent\ta@x\tr\tok\n");
        assert_eq!(spool.repair(NOW), [""; 0]);
    }
}
