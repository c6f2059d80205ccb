//! The name of a message.

use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

/// A file name in `queue/`: made by us or read there, without a slash or a leading dot.
///
/// The original names files `SECONDS.PID`; a second message of one process in one second gets
/// `SECONDS.PID.1`. Tools may queue under any other name. Copies share one text: the daemon holds
/// an id for every message of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueId(Arc<str>);

impl QueueId {
    pub(super) fn new(seconds: u64, pid: u32, nth: u32) -> Self {
        Self(match nth {
            0 => format!("{seconds}.{pid}").into(),
            _ => format!("{seconds}.{pid}.{nth}").into(),
        })
    }

    /// `None` for a name that is hidden, has a slash, a control character, or is not UTF-8.
    pub(crate) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && !name.contains('/')
            && !name.contains(char::is_control);
        plain.then(|| Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The leading number of the name, seconds since 1970; 0 if there is none.
    pub(crate) fn seconds(&self) -> i64 {
        let digits = self.0.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        digits.parse().unwrap_or(0)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_queue_is_no_id() {
        for name in ["", ".", "..", ".hidden", "a/b", "../x", "a\nb"] {
            assert_eq!(QueueId::parse(OsStr::new(name)), None, "{name:?}");
        }
        assert!(QueueId::parse(OsStr::new("by-hand")).is_some());
    }

    #[test]
    fn the_name_tells_when_the_message_came() {
        let seconds = |name| QueueId::parse(OsStr::new(name)).unwrap().seconds();
        assert_eq!(seconds("4294967296.7"), 4_294_967_296);
        assert_eq!(seconds("by-hand"), 0);
    }
}
