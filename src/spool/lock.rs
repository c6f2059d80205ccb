//! One daemon per spool.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;

use super::{Error, Spool};
use crate::sys::{self, O_NOFOLLOW, O_NONBLOCK};

/// Held for as long as the daemon lives; the kernel lets go of it whatever ends the process.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock {
    _file: File,
}

impl Spool {
    /// Takes the spool for one daemon, or says that another one has it.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(O_NOFOLLOW | O_NONBLOCK)
            .open(&path)
            .map_err(sys::no_file)
            .and_then(sys::regular)
            .map_err(Error::at("open", &path))?;
        self.queue_owner()?.adopt(&file).map_err(Error::at("give away", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(error)) => Err(Error::at("lock", &path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_daemon_is_turned_away_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        let first = spool.lock().unwrap();
        assert!(matches!(spool.lock(), Err(Error::Locked { .. })));
        drop(first);
        assert!(spool.lock().is_ok());
    }
}
