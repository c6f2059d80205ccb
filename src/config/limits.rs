//! How much is taken in: `maxheadersize`, `maxmessagesize` and `minfree`, in bytes.

use super::{Control, Error};

/// Limits on what a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of a header that is read to be completed; it is held in memory.
    pub(crate) header: usize,
    /// Of a message, without its envelope and our Received line.
    pub(crate) message: u64,
    /// `minfree`: new mail is turned away when the spool has less room than this.
    pub(crate) free: u64,
}

impl Limits {
    pub(crate) fn read(control: &Control) -> Result<Self, Error> {
        let bytes = |name: &str, default: u64| match control.integer(name)? {
            None => Ok(default),
            Some(bytes) => u64::try_from(bytes)
                .ok()
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| control.invalid(name, "is not above 0")),
        };
        Ok(Self {
            header: bytes("maxheadersize", 1 << 20)?.try_into().unwrap_or(usize::MAX),
            message: bytes("maxmessagesize", 1 << 30)?,
            // Room for the journals and bounces of what is queued already.
            free: control.number("minfree")?.unwrap_or(1 << 20),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_bytes_above_0() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::new(dir.path());
        assert_eq!(Limits::read(&control).unwrap().header, 1 << 20);
        for bad in ["0", "-1", "1M"] {
            std::fs::write(dir.path().join("maxheadersize"), bad).unwrap();
            let line = Limits::read(&control).unwrap_err().to_string();
            assert!(line.contains("maxheadersize:1: "), "{line}");
        }
        std::fs::write(dir.path().join("maxheadersize"), "2000").unwrap();
        assert_eq!(Limits::read(&control).unwrap().header, 2000);
    }
}
