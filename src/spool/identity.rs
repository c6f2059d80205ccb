//! Which file a journal is of.
//!
//! A name alone does not tell: tools put files under any name, and administrators move, touch and restore them.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// What tells a file from others of its name, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    mtime: i128,
    /// When the inode was made, in nanoseconds since 1970, where the file system tells. Numbers of inodes are used
    /// again.
    born: Option<u128>,
}

const SECOND: i128 = 1_000_000_000;

impl Identity {
    pub(crate) fn of(meta: &Metadata) -> Self {
        let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            inode: meta.ino(),
            size: meta.size(),
            mtime: i128::from(meta.mtime()) * SECOND + i128::from(meta.mtime_nsec()),
            born: born.map(|since| since.as_nanos()),
        }
    }

    /// Whether it is one file, whatever was done to it: moved, touched, or written to.
    ///
    /// Where the file system does not tell when an inode was made, its number may be another file's by now: then one
    /// thing more has to be the same. A message that is taken for another is sent twice at worst, and never lost.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        let same = match self.born.zip(other.born) {
            Some((one, other)) => one == other,
            None => self.size == other.size || self.mtime == other.mtime,
        };
        self.inode == other.inode && same
    }

    /// Whether it is one message: the same file, or a copy that kept its times, as a backup is.
    pub(super) fn is_same_message(&self, other: &Self) -> bool {
        self.is_same_file(other) || self.size == other.size && self.is_same_mtime(other)
    }

    fn is_same_mtime(&self, other: &Self) -> bool {
        // Some archives keep whole seconds.
        if self.mtime % SECOND == 0 || other.mtime % SECOND == 0 {
            self.mtime.div_euclid(SECOND) == other.mtime.div_euclid(SECOND)
        } else {
            self.mtime == other.mtime
        }
    }

    /// The line of a journal that [`Display`](fmt::Display) writes; `None` if it is another one.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("file\t")?.split('\t');
        let inode = fields.next()?.parse().ok()?;
        let size = fields.next()?.parse().ok()?;
        let mtime = fields.next()?.parse().ok()?;
        let born = match fields.next() {
            Some(born) => Some(born.parse().ok()?),
            None => None,
        };
        Some(Self { inode, size, mtime, born })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file\t{}\t{}\t{}", self.inode, self.size, self.mtime)?;
        self.born.map_or(Ok(()), |born| write!(f, "\t{born}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Identity =
        Identity { inode: 1, size: 2, mtime: 5 * SECOND + 7, born: Some(4_000_000_009) };

    #[test]
    fn a_line_says_what_it_was_made_of() {
        for one in [FILE, Identity { born: None, mtime: -1, ..FILE }] {
            assert_eq!(Identity::parse(&one.to_string()), Some(one));
        }
        for line in ["file\t1\t2", "file\t1\t2\tx", "file\t1\t2\t3\t", "5\tattempt", "file"] {
            assert_eq!(Identity::parse(line), None, "{line}");
        }
    }

    #[test]
    fn what_was_moved_touched_edited_or_restored_is_the_same_message() {
        for same in [
            FILE,
            Identity { mtime: 9, ..FILE },
            Identity { mtime: 9, size: 9, ..FILE },
            Identity { mtime: 9, born: None, ..FILE },
            Identity { size: 9, born: None, ..FILE },
            Identity { inode: 9, born: Some(9), ..FILE },
            Identity { inode: 9, born: None, mtime: 5 * SECOND, ..FILE },
        ] {
            assert!(FILE.is_same_message(&same) && same.is_same_message(&FILE), "{same}");
        }
    }

    #[test]
    fn another_file_is_another_message_though_the_number_of_its_inode_was_used_before() {
        for other in [
            Identity { inode: 9, mtime: 9, ..FILE },
            Identity { inode: 9, size: 9, ..FILE },
            Identity { inode: 9, mtime: 5 * SECOND + 8, ..FILE },
            Identity { inode: 9, mtime: 4 * SECOND, ..FILE },
            Identity { mtime: 9, born: Some(9), ..FILE },
            Identity { mtime: 9, size: 9, born: None, ..FILE },
        ] {
            assert!(!FILE.is_same_message(&other) && !other.is_same_message(&FILE), "{other}");
        }
    }
}
