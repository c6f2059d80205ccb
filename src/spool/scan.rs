//! What is in the queue, without opening it.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::io;

use super::{Error, OddName, QueueId, Spool};
use crate::sys::{Folder, Stat};

/// A name found in `queue/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: QueueId,
    /// When it was queued: the file's mtime, seconds since 1970.
    pub(crate) arrival: i64,
    /// There is a journal of its name. Whether it is its own is seen when that is read.
    pub(crate) tried: bool,
    /// It may be that somebody is still writing it, as far as can be seen of a file that is new.
    pub(crate) may_grow: bool,
    pub(crate) is_empty: bool,
}

impl Waiting {
    fn of(id: QueueId, file: &Stat, tried: bool) -> Self {
        let may_grow = may_grow(&id, file);
        let is_empty = file.is_file && file.size == 0;
        Self { id, arrival: file.mtime, tried, may_grow, is_empty }
    }
}

/// A file that a program links here was finished before, and so is one that got a time or a mode afterwards. Names of
/// our own making have whole messages.
fn may_grow(id: &QueueId, file: &Stat) -> bool {
    file.is_file && (file.size == 0 || !file.is_finished && !id.has_tail())
}

/// What is in the queue.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The oldest name first.
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) odd: Vec<OddName>,
}

impl Spool {
    /// The messages that `known` does not hold, and names that no message can have.
    ///
    /// A hidden name is passed over; one that goes while we look, too.
    pub(crate) fn scan(&self, known: impl Fn(&QueueId) -> bool) -> Result<Found, Error> {
        let path = self.queue();
        let (mut found, mut odd) = (Vec::new(), Vec::new());
        let queue = self.queue_folder().map_err(Error::at("read", &path))?;
        for name in queue.names().map_err(Error::at("read", &path))? {
            let name = name.map_err(Error::at("read", &path))?;
            let Some(id) = QueueId::parse(&name) else {
                odd.extend(OddName::parse(&name));
                continue;
            };
            if known(&id) {
                continue;
            }
            if let Ok(file) = queue.glance(&name) {
                found.push(Waiting::of(id, &file, false));
            }
        }
        found.sort_unstable_by(|a, b| oldest_first(&a.id, &b.id));
        // Looked up rather than kept: a set of so many names would be the most that we hold.
        for id in ids(self.status_folder()) {
            if let Ok(at) = found.binary_search_by(|waiting| oldest_first(&waiting.id, &id)) {
                found[at].tried = true;
            }
        }
        Ok(Found { waiting: found, odd })
    }

    /// Whether somebody may still be writing a file of this name that has just appeared.
    pub(crate) fn is_being_written(&self, name: &OsStr) -> bool {
        QueueId::parse(name).and_then(|id| self.stat(id)).is_some_and(|one| one.may_grow)
    }

    /// One message of the queue, if it is there.
    pub(crate) fn stat(&self, id: QueueId) -> Option<Waiting> {
        let file = self.queue_folder().ok()?.glance(id.as_str()).ok()?;
        let tried = self.has_journal(&id);
        Some(Waiting::of(id, &file, tried))
    }
}

fn oldest_first(a: &QueueId, b: &QueueId) -> Ordering {
    (a.seconds(), a).cmp(&(b.seconds(), b))
}

/// What can be seen of a folder.
pub(super) fn ids(folder: io::Result<Folder>) -> impl Iterator<Item = QueueId> {
    let names = folder.and_then(|folder| folder.names()).into_iter().flatten().flatten();
    names.filter_map(|name| QueueId::parse(&name))
}
