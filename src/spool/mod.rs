//! The door to the spool: `tmp/` (being written), `queue/` (mail), `failed/`, `trigger`, and ours
//! beside them, `status/` (journals) and `lock`.
//!
//! Everything is reached from one descriptor of the spool's folder, one name at a time (`sys::Folder`): no link below
//! it is followed, and root uses it with the rights of its owner.
//!
//! The format and the order of writes are the original's, so a queue carries over in both
//! directions; `docs/spool.md` has every state and every crash as a row.

mod entry;
mod error;
mod failed;
mod history;
mod id;
mod identity;
mod incoming;
mod journal;
mod listing;
mod lock;
#[cfg(test)]
mod model;
mod repair;
mod scan;
#[cfg(test)]
pub(crate) mod simulated;
mod trigger;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use entry::{Entry, Unusable};
pub(crate) use error::Error;
pub(crate) use history::History;
pub(crate) use id::{OddName, QueueId, Stamp};
pub(crate) use identity::Identity;
pub(crate) use incoming::{Incoming, Prior};
pub(crate) use journal::Event;
pub(crate) use lock::Lock;
pub(crate) use scan::{Found, Waiting};
pub(crate) use trigger::Place;

use crate::sys::{self, Folder};

/// An existing spool, held open. What stands for it meanwhile under its path makes no difference.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    /// For sentences, and for what only has paths.
    root: PathBuf,
    held: Arc<Folder>,
}

const QUEUE: &str = "queue";
const TMP: &str = "tmp";
const FAILED: &str = "failed";
const STATUS: &str = "status";

impl Spool {
    /// Opens the spool at `root` and makes what is missing of it, where we may.
    ///
    /// Folders are made 0700. The root itself is made too, but not what is above it. It may be reached by symbolic
    /// links; what is below may be none.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        match DirBuilder::new().mode(0o755).create(root) {
            // What is synced within it is found after a power cut only if it is itself.
            Ok(()) => root.parent().map_or(Ok(()), sync_dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists || root.is_dir() => {}
            Err(source) => return Err(Error::Missing { path: root.to_owned(), source }),
        }
        let spool = Self::at(root)?;
        for name in [QUEUE, TMP, FAILED, STATUS] {
            let path = root.join(name);
            let made = spool.held.make(name, 0o700);
            let folder = spool.held.folder(name);
            match (made, folder) {
                (Ok(()), Ok(folder)) => {
                    spool.hand_over(&folder).map_err(Error::at("give away", &path))?;
                    spool.held.sync().map_err(Error::at("sync", root))?;
                }
                (Err(error), Err(source))
                    if error.kind() != io::ErrorKind::AlreadyExists
                        && source.kind() == io::ErrorKind::NotFound =>
                {
                    return Err(Error::Missing { path, source: error });
                }
                // Whoever needs it will say so; without tmp/ or failed/ mail still goes out.
                (_, Err(error)) if error.kind() == io::ErrorKind::NotADirectory => {}
                (_, Err(source)) => return Err(Error::Missing { path, source }),
                (Err(_), Ok(_)) => {}
            }
        }
        Ok(spool)
    }

    /// The spool at `root` as it is, for reading: nothing is made.
    pub(crate) fn at(root: &Path) -> Result<Self, Error> {
        let held = Folder::open(root)
            .map_err(|source| Error::Missing { path: root.to_owned(), source })?;
        Ok(Self { root: root.to_owned(), held: Arc::new(held) })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Which file has this name in the queue.
    fn identify(&self, id: &QueueId) -> Result<Option<Identity>, Error> {
        match self.queue_folder().and_then(|queue| queue.stat(id.as_str())) {
            Ok(meta) => Ok(Some(Identity::of(&meta))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::reading(&self.queue().join(id.as_str()), error, self.uid())),
        }
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.root.join(QUEUE)
    }

    pub(crate) fn failed(&self) -> PathBuf {
        self.root.join(FAILED)
    }

    /// Each folder by itself: one may be on another file system.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        vec![self.root.clone(), self.queue(), self.tmp(), self.failed(), self.status()]
    }

    /// What is wrong with who may write where, in one line for each folder. Root and the owner of the spool may write
    /// everywhere.
    pub(crate) fn exposed(&self) -> Vec<String> {
        let Ok(root) = self.held.metadata() else { return Vec::new() };
        let parts = [QUEUE, TMP, FAILED, STATUS].map(|name| {
            let meta = self.held.folder(name).and_then(|folder| folder.metadata());
            (self.root.join(name), meta.ok())
        });
        let all = std::iter::once((self.root.clone(), Some(root.clone()))).chain(parts);
        let flaw = |(path, meta): (PathBuf, Option<fs::Metadata>)| {
            let (meta, path) = (meta?, path.display());
            let mode = meta.permissions().mode() & 0o7777;
            if mode & 0o002 != 0 {
                return Some(format!(
                    "{path} has mode {mode:04o}: everybody may put files there; chmod o-w {path}"
                ));
            }
            let (owner, uid) = (root.uid(), meta.uid());
            let strange = uid != owner && uid != 0 && owner != 0;
            strange.then(|| {
                format!(
                    "{path} belongs to uid {uid}, and the spool to {owner}; chown {owner} {path}"
                )
            })
        };
        all.filter_map(flaw).collect()
    }

    fn tmp(&self) -> PathBuf {
        self.root.join(TMP)
    }

    fn status(&self) -> PathBuf {
        self.root.join(STATUS)
    }

    // An administrator may put another folder in the place of one of these: each is looked up when it is used.

    fn queue_folder(&self) -> io::Result<Folder> {
        self.held.folder(QUEUE)
    }

    fn tmp_folder(&self) -> io::Result<Folder> {
        self.held.folder(TMP)
    }

    fn failed_folder(&self) -> io::Result<Folder> {
        self.held.folder(FAILED)
    }

    fn status_folder(&self) -> io::Result<Folder> {
        self.held.folder(STATUS)
    }

    /// An error unless we may make and remove names in `queue/` and `status/`.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.check_queue()?;
        let checked = self.status_folder().and_then(|status| status.check_writable());
        checked.map_err(Error::at("write", &self.status()))
    }

    /// An error unless we may make and remove names in `queue/`.
    pub(crate) fn check_queue(&self) -> Result<(), Error> {
        let checked = self.queue_folder().and_then(|queue| queue.check_writable());
        checked.map_err(Error::at("write", &self.queue()))
    }

    /// With whose rights it is used.
    fn uid(&self) -> u32 {
        self.held.acts_as().unwrap_or_else(|| sys::identity().euid)
    }

    /// A folder that root has made in somebody's spool is theirs.
    fn hand_over(&self, folder: &Folder) -> io::Result<()> {
        let (root, made) = (self.held.metadata()?, folder.metadata()?);
        if root.uid() != 0 && made.uid() == 0 {
            return folder.give_to(root.uid(), root.gid());
        }
        Ok(())
    }

    /// Who owns `queue/`, and which of its group's rights a new message should have too.
    fn queue_owner(&self) -> Result<Owner, Error> {
        let meta = self.queue_folder().and_then(|queue| queue.metadata());
        let meta = meta.map_err(Error::at("read", &self.queue()))?;
        let group_rights = meta.permissions().mode() & 0o060;
        Ok(Owner { uid: meta.uid(), gid: meta.gid(), mode: 0o600 | group_rights })
    }
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owner {
    /// An error for a file of root's that has another name, in the spool of somebody else, who may have linked
    /// it there to have root write to it.
    fn spare(self, file: &File) -> io::Result<()> {
        let mine = file.metadata()?;
        if self.uid != 0 && mine.uid() == 0 && mine.nlink() > 1 {
            return Err(io::Error::other("has another name"));
        }
        Ok(())
    }

    /// Gives a new file or folder to the owner of the queue, where we are root and it is not.
    ///
    /// The spool is theirs: what root has opened in it is given away only if it has no other name,
    /// which might stand for a file elsewhere.
    fn adopt(self, file: &File) -> io::Result<()> {
        let mine = file.metadata()?;
        if mine.nlink() > 1 && !mine.is_dir() {
            return Err(io::Error::other("has another name"));
        }
        if mine.uid() == 0 && self.uid != 0 {
            return fchown(file, Some(self.uid), Some(self.gid));
        }
        if self.mode & 0o060 != 0 && mine.gid() != self.gid {
            // Where the group cannot be set the owner still reads it; a setgid folder does it anyway.
            let _ = fchown(file, None, Some(self.gid));
        }
        Ok(())
    }
}

/// Makes names in the folder above the spool durable.
fn sync_dir(path: &Path) -> Result<(), Error> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Folder::open(path).and_then(|folder| folder.sync()).map_err(Error::at("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_opened_is_not_taken_for_synced() {
        let dir = tempfile::tempdir().unwrap();
        sync_dir(dir.path()).unwrap();
        let line = sync_dir(&dir.path().join("none")).unwrap_err().to_string();
        assert!(line.contains("none: No such file"), "{line}");
    }
}
