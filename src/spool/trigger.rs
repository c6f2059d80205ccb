//! The FIFO that wakes the daemon.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use super::{Error, Spool};
use crate::sys::{self, O_NOFOLLOW, O_NONBLOCK};

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place((u64, u64));

impl Place {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|meta| Self::from(&meta))
    }
}

impl From<&Metadata> for Place {
    fn from(meta: &Metadata) -> Self {
        Self((meta.dev(), meta.ino()))
    }
}

impl Spool {
    pub(crate) fn trigger(&self) -> PathBuf {
        self.root.join("trigger")
    }

    /// Opens the FIFO for the daemon, without blocking; makes it where it is missing.
    ///
    /// It is open for writing too: a FIFO without a writer would read as ended for ever.
    ///
    /// # Errors
    /// [`Error::NoFifo`] where something else has its name, which is neither removed nor followed.
    pub(crate) fn listen(&self) -> Result<File, Error> {
        let path = self.trigger();
        let made = match sys::make_fifo(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(Error::at("create", &path)(error)),
        };
        if !fs::symlink_metadata(&path).is_ok_and(|there| there.file_type().is_fifo()) {
            return Err(Error::NoFifo { path });
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_NONBLOCK | O_NOFOLLOW)
            .open(&path)
            .map_err(Error::at("open", &path))?;
        if !file.metadata().is_ok_and(|meta| meta.file_type().is_fifo()) {
            return Err(Error::NoFifo { path });
        }
        if made {
            // The umask took bits away: whoever queues mail has to wake us.
            let mode = Permissions::from_mode(0o622);
            file.set_permissions(mode).map_err(Error::at("open to all", &path))?;
        }
        self.queue_owner()?.adopt(&file).map_err(Error::at("give away", &path))?;
        Ok(file)
    }

    /// Whether this file, as [`Spool::listen`] returned it, is still the one that others pull.
    pub(crate) fn is_trigger(&self, place: Place) -> bool {
        fs::symlink_metadata(self.trigger()).is_ok_and(|meta| Place::from(&meta) == place)
    }

    /// Whether a daemon has the FIFO open. It notices nothing.
    pub(crate) fn is_listened(&self) -> bool {
        open(self).is_ok()
    }

    /// Asks the daemon to retry everything now, as any byte but NUL does.
    ///
    /// False when nobody listens.
    pub(crate) fn flush(&self) -> bool {
        write(self, b"\n")
    }
}

/// Says that there is new mail: one NUL byte, as the original writes.
///
/// Every error is ignored. No daemon, no FIFO or a full one: the mail is found at the next scan.
pub(super) fn pull(spool: &Spool) {
    write(spool, b"\0");
}

fn write(spool: &Spool, byte: &[u8; 1]) -> bool {
    open(spool).and_then(|mut fifo| fifo.write_all(byte)).is_ok()
}

/// For writing; an error where nobody reads, and where something else has its name: the owner of the spool
/// may have put it there to have root write to it.
fn open(spool: &Spool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(O_NONBLOCK | O_NOFOLLOW).open(spool.trigger())?;
    if file.metadata()?.file_type().is_fifo() { Ok(file) } else { Err(io::Error::other("no FIFO")) }
}
