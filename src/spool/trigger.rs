//! The FIFO that wakes the daemon.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::{Error, Spool};

const TRIGGER: &str = "trigger";

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
        self.root.join(TRIGGER)
    }

    /// Opens the FIFO for the daemon, without blocking; makes it where it is missing.
    ///
    /// It is open for writing too: a FIFO without a writer would read as ended for ever.
    ///
    /// # Errors
    /// [`Error::NoFifo`] where something else has its name, which is neither removed nor followed.
    pub(crate) fn listen(&self) -> Result<File, Error> {
        let path = self.trigger();
        let made = match self.held.make_fifo(TRIGGER) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(Error::at("create", &path)(error)),
        };
        if !self.held.stat(TRIGGER).is_ok_and(|there| there.file_type().is_fifo()) {
            return Err(Error::NoFifo { path });
        }
        let file = self.held.open_fifo(TRIGGER, true).map_err(Error::at("open", &path))?;
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
        self.held.stat(TRIGGER).is_ok_and(|meta| Place::from(&meta) == place)
    }

    /// Whether a daemon has the FIFO open. It notices nothing.
    pub(crate) fn is_listened(&self) -> bool {
        self.held.open_fifo(TRIGGER, false).is_ok()
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
    // Not to what has its name and is something else: the owner of the spool may have put it there.
    spool.held.open_fifo(TRIGGER, false).and_then(|mut fifo| fifo.write_all(byte)).is_ok()
}
