//! The FIFO that wakes the daemon.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::Spool;
use crate::sys::O_NONBLOCK;

impl Spool {
    pub(crate) fn trigger(&self) -> PathBuf {
        self.root.join("trigger")
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
    OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(spool.trigger())
        .and_then(|mut fifo| fifo.write_all(byte))
        .is_ok()
}
