//! What goes wrong in the spool.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use crate::sys;

/// What went wrong in the spool, in one line.
#[derive(Debug)]
pub(crate) enum Error {
    Io {
        verb: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A file is closed to us; `mend` and its name make a command that opens it.
    Unreadable {
        path: PathBuf,
        source: io::Error,
        mend: String,
    },
    /// The folder or a part of it is missing, and we may not make it.
    Missing {
        path: PathBuf,
        source: io::Error,
    },
    /// Another daemon works on it.
    Locked {
        path: PathBuf,
    },
    /// The lock was removed or replaced while we held it.
    LockLost {
        path: PathBuf,
    },
    /// What should wake the daemon is something else.
    NoFifo {
        path: PathBuf,
    },
    /// A part of it belongs to another user, and we may not use it.
    Foreign {
        root: PathBuf,
        part: PathBuf,
        owner: u32,
        uid: u32,
    },
}

impl Error {
    pub(super) fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }

    /// For a file that should be ours to read: says what makes it so.
    pub(super) fn reading(path: &Path, source: io::Error, uid: u32) -> Self {
        if source.kind() != io::ErrorKind::PermissionDenied {
            return Self::at("read", path)(source);
        }
        let ours = fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == uid);
        let mend = if ours {
            "chmod u+r".to_owned()
        } else {
            format!("chown {}", sys::user_name(uid).unwrap_or_else(|| uid.to_string()))
        };
        Self::Unreadable { path: path.to_owned(), source, mend }
    }

    /// For the daemon, whose spool it should be: says who owns what it may not use.
    pub(crate) fn with_owner(self, root: &Path) -> Self {
        self.foreign(root).unwrap_or(self)
    }

    /// Why we may not do it, where another user, or a file system mounted otherwise, could.
    pub(crate) fn denial(&self) -> Option<io::ErrorKind> {
        let (Self::Io { source, .. } | Self::Missing { source, .. }) = self else { return None };
        let denials = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
        denials.into_iter().find(|kind| *kind == source.kind())
    }

    fn foreign(&self, root: &Path) -> Option<Self> {
        let (Self::Io { path, source, .. } | Self::Missing { path, source }) = self else {
            return None;
        };
        if source.kind() != io::ErrorKind::PermissionDenied {
            return None;
        }
        let mut parts = path.ancestors().take(2).filter(|part| part.starts_with(root));
        let owned = |part: &Path| Some((part.to_owned(), fs::symlink_metadata(part).ok()?.uid()));
        let (part, owner) = parts.find_map(owned)?;
        let uid = sys::identity().euid;
        (owner != uid).then(|| Self::Foreign { root: root.to_owned(), part, owner, uid })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { verb, path, source } => {
                write!(f, "cannot {verb} {}: {source}", path.display())
            }
            Self::Unreadable { path, source, mend } => {
                let path = path.display();
                write!(f, "cannot read {path}: {source}: {mend} {path}")
            }
            Self::Missing { path, source } => {
                write!(f, "cannot use spool {}: {source}", path.display())
            }
            Self::Locked { path } => {
                write!(f, "cannot lock {}: another nullmailer-send is running", path.display())
            }
            Self::LockLost { path } => {
                write!(
                    f,
                    "cannot go on: {} was removed or replaced while this nullmailer-send held it, and another one may \
                     deliver the same mail: start it again if there is none",
                    path.display()
                )
            }
            Self::NoFifo { path } => {
                write!(f, "cannot listen at {}: is not a FIFO", path.display())
            }
            Self::Foreign { root, part, owner, uid } => {
                let (root, part) = (root.display(), part.display());
                write!(
                    f,
                    "cannot use spool {root}: {part} belongs to uid {owner} and this runs as uid {uid}: \
                     chown -R {uid} {root}, or run it as uid {owner} (in a container: --user {owner})"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
