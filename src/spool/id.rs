//! The name of a message, and how a new one gets a name that no message has had.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use super::{Error, Spool};
use crate::mail::Printable;

/// A file name in `queue/`: made by us or read there, without a slash or a leading dot.
///
/// Ours are `SECONDS.PID.TAIL`. nullmailer 2.2 reads the first number as the time, and names its own files
/// `SECONDS.PID`. Tools may queue under any other name. Copies share one text: the daemon holds an id for every
/// message of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueId(Arc<str>);

/// A name in `queue/` that is no id, and not hidden: what has it is never delivered, and somebody should hear of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OddName(OsString);

/// When a message came and which process took it: what its name begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Seconds since 1970.
    pub(crate) seconds: u64,
    pub(crate) pid: u32,
}

/// The name of a message that is not in the queue yet. Only with one can a file be put into `queue/`.
#[derive(Debug)]
pub(super) struct Reserved(QueueId);

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// So many of them hold 64 bits.
const TAIL: usize = 13;
/// So many tails are tried. One that is taken is a sign of something planted: chance takes none.
pub(super) const TAILS: u32 = 100;

impl QueueId {
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

    /// The name with a number behind it, for the case that the name itself is taken; 0 is the name itself.
    pub(super) fn numbered(&self, nth: u32) -> Self {
        match nth {
            0 => self.clone(),
            _ => Self(format!("{}.{nth}", self.0).into()),
        }
    }

    /// Whether [`Spool::reserve`] may have made it.
    pub(super) fn has_tail(&self) -> bool {
        let tail = self.0.split('.').nth(2);
        tail.is_some_and(|tail| tail.len() == TAIL && tail.bytes().all(|one| DIGITS.contains(&one)))
    }

    /// Time and process for a new name of the message, as far as this one tells them.
    pub(super) fn stamp(&self) -> Stamp {
        let pid = self.0.split('.').nth(1).and_then(|pid| pid.parse().ok());
        Stamp { seconds: self.seconds().unsigned_abs(), pid: pid.unwrap_or(0) }
    }
}

impl OddName {
    pub(crate) fn parse(name: &OsStr) -> Option<Self> {
        let is_odd = QueueId::parse(name).is_none() && !name.as_encoded_bytes().starts_with(b".");
        is_odd.then(|| Self(name.to_owned()))
    }
}

/// What it is called, and what is wrong with that.
impl fmt::Display for OddName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flaw = match self.0.to_str() {
            Some(_) => "holds a control character",
            None => "is not UTF-8",
        };
        write!(f, "queue/{}: its name {flaw}; rename it", Printable(&self.0.to_string_lossy()))
    }
}

impl Reserved {
    pub(super) fn id(&self) -> &QueueId {
        &self.0
    }
}

impl Spool {
    /// Chooses a name for a new message: 64 random bits tell it from all others of its second, whichever
    /// processes, namespaces and machines write here, and from those that are long delivered.
    pub(super) fn reserve(&self, stamp: Stamp) -> Result<Reserved, Error> {
        let Stamp { seconds, pid } = stamp;
        for _ in 0..TAILS {
            let id = QueueId(format!("{seconds}.{pid}.{}", tail()).into());
            if !self.is_taken(&id) {
                return Ok(Reserved(id));
            }
        }
        let taken = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(Error::at("create", &self.queue().join(format!("{seconds}.{pid}")))(taken))
    }

    /// Whether anything in the spool has the name. What cannot be seen is not known to have it.
    pub(super) fn is_taken(&self, id: &QueueId) -> bool {
        let folders = [self.queue_folder(), self.failed_folder(), self.status_folder()];
        folders.iter().flatten().any(|folder| folder.has(id.as_str()))
    }
}

/// 64 random bits in letters and digits.
fn tail() -> String {
    // Each one has keys of its own, which come from the system's random numbers.
    let bits = RandomState::new().hash_one(());
    #[cfg(test)]
    let bits = super::simulated::tail().unwrap_or(bits);
    (0..TAIL).map(|digit| char::from(DIGITS[(bits >> (5 * digit) & 31) as usize])).collect()
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_queue_is_no_id() {
        for name in ["", ".", "..", ".hidden", "a/b", "../x", "a\nb"] {
            assert_eq!(QueueId::parse(OsStr::new(name)), None, "{name:?}");
        }
        assert!(QueueId::parse(OsStr::new("by-hand")).is_some());
    }

    #[test]
    fn a_name_that_no_message_can_have_is_odd_unless_it_is_hidden() {
        for name in ["a\tb", "a\nb", "\u{1b}[2J"] {
            assert!(OddName::parse(OsStr::new(name)).is_some(), "{name:?}");
        }
        for name in [".hidden", ".\t", "1.2", "by-hand"] {
            assert_eq!(OddName::parse(OsStr::new(name)), None, "{name:?}");
        }
        let line = OddName::parse(OsStr::new("a\tb")).unwrap().to_string();
        assert_eq!(line, r"queue/a\tb: its name holds a control character; rename it");
    }

    #[test]
    fn the_name_tells_when_the_message_came() {
        let seconds = |name| QueueId::parse(OsStr::new(name)).unwrap().seconds();
        assert_eq!(seconds("4294967296.7"), 4_294_967_296);
        assert_eq!(seconds("4294967296.7.0123456789abc"), 4_294_967_296);
        assert_eq!(seconds("by-hand"), 0);
    }

    #[test]
    fn all_bits_of_a_tail_are_random() {
        let tails: Vec<String> = (0..1000).map(|_| tail()).collect();
        assert_eq!(tails.iter().collect::<HashSet<_>>().len(), tails.len());
        for digit in 0..13 {
            let seen: HashSet<_> = tails.iter().map(|tail| tail.as_bytes()[digit]).collect();
            // Of the last one only four bits are left.
            assert_eq!(seen.len(), if digit == 12 { 16 } else { 32 }, "digit {digit}");
        }
    }
}
