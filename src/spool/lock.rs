//! One daemon per spool.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;

use super::{Error, Place, Spool};

/// A spool that we alone deliver, for as long as [`check`](Self::check) says so; the kernel lets go of it whatever
/// ends the process.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock {
    spool: Spool,
    place: Place,
    _file: File,
}

const LOCK: &str = "lock";
/// So often the lock is opened again because somebody replaced it in that very moment.
const TURNS: u32 = 10;

impl Spool {
    /// Takes the spool for one daemon, or says that another one has it.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let path = self.lock_path();
        for _ in 0..TURNS {
            let file = self.held.append(LOCK, Some(0o600)).map_err(Error::at("open", &path))?;
            self.queue_owner()?.adopt(&file).map_err(Error::at("give away", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(Error::at("lock", &path)(error)),
            }
            let place = Place::of(&file).map_err(Error::at("read", &path))?;
            let lock = Lock { spool: self.clone(), place, _file: file };
            // Another daemon locks what has the name now.
            if lock.check().is_ok() {
                return Ok(lock);
            }
        }
        Err(Error::LockLost { path })
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join(LOCK)
    }
}

impl Lock {
    pub(crate) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// An error if the file that we hold has lost its name: another daemon can lock what has it now, and deliver the
    /// same mail. One look at one name; cheap enough for each message.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let path = self.spool.lock_path();
        // By its path, as another daemon would find it: the folder may have been replaced as well.
        match fs::symlink_metadata(&path) {
            Ok(meta) if Place::from(&meta) != self.place => Err(Error::LockLost { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::LockLost { path }),
            // A disk that does not answer is no sign of another daemon.
            _ => Ok(()),
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

    #[test]
    fn of_two_who_hold_a_lock_it_is_the_one_whose_file_has_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        let first = spool.lock().unwrap();
        first.check().unwrap();
        fs::remove_file(spool.lock_path()).unwrap();
        assert!(matches!(first.check(), Err(Error::LockLost { .. })));
        let second = spool.lock().unwrap();
        second.check().unwrap();
        assert!(matches!(first.check(), Err(Error::LockLost { .. })));
    }
}
