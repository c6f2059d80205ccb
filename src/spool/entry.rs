//! An existing message: read for delivery, then removed or set aside.
//!
//! Called by the daemon, which holds the spool's lock and works on a message in one place at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::id::TAILS;
use super::{Error, History, Identity, QueueId, Spool};
use crate::mail::{Address, Envelope, Printable, Recipients, ReversePath};

/// A message of the queue, open for reading.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: QueueId,
    pub(crate) envelope: Envelope,
    /// Seconds since 1970: the file's mtime, which is what its age is counted from.
    pub(crate) arrival: i64,
    pub(crate) file: File,
    /// Which file it is.
    pub(crate) identity: Identity,
    /// Where the message begins behind the envelope.
    pub(crate) offset: u64,
    /// Bytes from `offset` to the end.
    pub(crate) size: u64,
    pub(crate) history: History,
}

/// Why a name in the queue cannot be delivered.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It went while we looked: somebody removed it.
    Gone,
    /// It has the name of another message, whose journal is still there. It needs another name.
    NameTaken,
    /// It will never be a message; the text says why. Set it aside.
    Malformed(String),
    /// It cannot be read now.
    Error(Error),
}

/// More than this of a line is no address.
const LONGEST: u64 = 4096;

impl Spool {
    /// Opens a message with its journal.
    pub(crate) fn entry(&self, id: &QueueId) -> Result<Entry, Unusable> {
        let path = self.queue().join(id.as_str());
        let error = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Unusable::Gone,
            _ => Unusable::Error(Error::reading(&path, source, self.uid())),
        };
        let malformed = |flaw: &str| Unusable::Malformed(flaw.to_owned());
        let queue = self
            .queue_folder()
            .map_err(|source| Unusable::Error(Error::reading(&self.queue(), source, self.uid())))?;
        let file = queue.read(id.as_str()).map_err(|source| match queue.stat(id.as_str()) {
            Ok(there) if there.is_symlink() => malformed("is a symbolic link"),
            Ok(there) if !there.is_file() => malformed("is not a file"),
            _ => error(source),
        })?;
        let meta = file.metadata().map_err(error)?;
        let mut reader = BufReader::new(&file);
        let mut offset = 0;
        let mut line = |at: usize| -> Result<Option<Vec<u8>>, Unusable> {
            let mut line = Vec::new();
            let read = (&mut reader).take(LONGEST).read_until(b'\n', &mut line).map_err(error)?;
            offset += read as u64;
            match line.pop() {
                Some(b'\n') => Ok(Some(line)),
                None if at == 1 => Err(malformed("is empty")),
                _ => Err(malformed("ends within its envelope")),
            }
        };
        let flaw = |at: usize, error: &dyn std::fmt::Display| {
            Unusable::Malformed(format!("line {at}: {error}"))
        };
        let sender = line(1)?.unwrap_or_default();
        let sender = ReversePath::parse(&sender).map_err(|error| flaw(1, &error))?;
        let mut recipients = Vec::new();
        for at in 2.. {
            match line(at)? {
                Some(line) if !line.is_empty() => {
                    recipients.push(Address::parse(&line).map_err(|error| flaw(at, &error))?);
                }
                _ => break,
            }
        }
        let recipients = Recipients::new(recipients).map_err(|error| flaw(2, &error))?;
        let identity = Identity::of(&meta);
        let history = self.history_of(id, &identity).map_err(Unusable::Error)?;
        let history = history.ok_or(Unusable::NameTaken)?;
        let envelope = Envelope { sender, recipients, request: history.request.clone() };
        let size = meta.len().saturating_sub(offset);
        let arrival = meta.mtime();
        Ok(Entry { id: id.clone(), envelope, arrival, file, identity, offset, size, history })
    }

    /// Removes a message that is done with: the mail first, its journal after it. Another file that was put under
    /// its name meanwhile stays.
    pub(crate) fn remove(&self, entry: &Entry) -> Result<(), Error> {
        let there = self.identify(&entry.id)?;
        if there.is_some_and(|there| there.is_same_file(&entry.identity)) {
            match self.queue_folder().and_then(|queue| queue.remove(entry.id.as_str())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let path = self.queue().join(entry.id.as_str());
                    return Err(Error::at("remove", &path)(error));
                }
                _ => {}
            }
        }
        self.forget_journal_of(&entry.id, &entry.identity);
        Ok(())
    }

    /// Gives a file that has another message's name one that no message has had; returns it.
    pub(crate) fn rename_apart(&self, id: &QueueId) -> Result<QueueId, Error> {
        let from = self.queue().join(id.as_str());
        let failed = |error| Error::at("rename", &from)(error);
        let queue = self.queue_folder().map_err(failed)?;
        let mut stamp = id.stamp();
        if stamp.seconds == 0 {
            stamp.seconds = queue.glance(id.as_str()).map_err(failed)?.mtime.unsigned_abs();
        }
        let mut turns = 0..TAILS;
        loop {
            let name = self.reserve(stamp)?;
            match queue.move_to(id.as_str(), &queue, name.id().as_str()) {
                Ok(()) => {
                    // What is written under the new name must not be found without the file.
                    queue.sync().map_err(Error::at("sync", &self.queue()))?;
                    return Ok(name.id().clone());
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && turns.next().is_some() => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl Entry {
    /// A message that is whole but not in the queue.
    pub(super) fn unqueued(id: QueueId, envelope: Envelope, file: File) -> io::Result<Self> {
        let mut reader = BufReader::new(&file);
        let (mut offset, mut line) = (0, Vec::new());
        while line != b"\n" {
            line.clear();
            match reader.read_until(b'\n', &mut line)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => offset += length as u64,
            }
        }
        let meta = file.metadata()?;
        let (size, arrival) = (meta.len().saturating_sub(offset), meta.mtime());
        let (identity, history) = (Identity::of(&meta), History::default());
        Ok(Self { id, envelope, arrival, file, identity, offset, size, history })
    }

    /// Those who still wait for delivery, in the order of the envelope.
    pub(crate) fn pending(&self) -> Vec<Address> {
        let all = self.envelope.recipients.iter();
        all.filter(|recipient| self.history.is_pending(recipient)).cloned().collect()
    }

    /// Reads the message from its beginning, whatever else reads it.
    pub(crate) fn reader(&self) -> BufReader<Positioned<'_>> {
        BufReader::new(Positioned { file: &self.file, at: self.offset })
    }

    /// The first line of each Message-Id field, as it stands in the header.
    pub(crate) fn message_ids(&self) -> Vec<String> {
        // The log is no reason to read a header of any length.
        let mut start = vec![0; 64 * 1024];
        let length = self.file.read_at(&mut start, self.offset).unwrap_or(0);
        let header = start[..length].split(|byte| *byte == b'\n');
        header
            .take_while(|line| !line.is_empty() && *line != b"\r")
            .filter(|line| {
                line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case(b"message-id:"))
            })
            .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
            .collect()
    }

    /// How many Received fields the header has, counted no further than one beyond `limit`.
    pub(crate) fn hops(&self, limit: u64) -> io::Result<u64> {
        let mut reader = self.reader();
        let (mut hops, mut line) = (0, Vec::new());
        while hops <= limit {
            line.clear();
            // Of a line only its start counts; the rest is passed over without being held.
            (&mut reader).take(9).read_until(b'\n', &mut line)?;
            hops += u64::from(line.eq_ignore_ascii_case(b"received:"));
            match line.last() {
                None => break,
                Some(b'\n') if line == b"\n" || line == b"\r\n" => break,
                Some(b'\n') => {}
                Some(_) => {
                    reader.skip_until(b'\n')?;
                }
            }
        }
        Ok(hops)
    }

    /// Whether some recipient was refused for good.
    pub(crate) fn has_failed(&self) -> bool {
        use super::history::State;
        self.history.verdicts.values().any(|verdict| verdict.state == State::Failed)
    }
}

/// Reads a file from a position of its own.
pub(crate) struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// What the log says of an unusable name, after the name.
impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("is gone"),
            Self::NameTaken => f.write_str("has the name of another message"),
            Self::Malformed(flaw) => Printable(flaw).fmt(f),
            Self::Error(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn entry(content: &[u8]) -> Result<Entry, Unusable> {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        fs::write(spool.queue().join("1.2"), content).unwrap();
        spool.entry(&QueueId::parse(OsStr::new("1.2")).unwrap())
    }

    #[test]
    fn a_message_is_its_envelope_and_where_the_rest_begins() {
        let entry = entry(b"a@b\nc@d\ne@f\n\nSubject: x\n\nhi").unwrap();
        assert_eq!(entry.envelope.sender.as_str(), "a@b");
        assert_eq!(entry.pending().len(), 2);
        assert_eq!((entry.offset, entry.size), (13, 14));
    }

    #[test]
    fn a_file_that_is_no_message_says_why() {
        for (content, why) in [
            (&b""[..], "is empty"),
            (b"a@b", "ends within its envelope"),
            (b"a@b\nc@d\n", "ends within its envelope"),
            (b"a@b\n\nbody", "line 2: no recipients"),
            (b"a@b\nc@d\r\n\nbody", "line 2: \"c@d\\r\" holds a control character"),
            (b"\xff@b\nc@d\n\n", "line 1: "),
        ] {
            match entry(content) {
                Err(Unusable::Malformed(flaw)) => assert!(flaw.contains(why), "{flaw}"),
                other => panic!("{content:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_planted_link_or_folder_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        symlink("/etc/hostname", spool.queue().join("link")).unwrap();
        fs::create_dir(spool.queue().join("folder")).unwrap();
        for name in ["link", "folder"] {
            let id = QueueId::parse(OsStr::new(name)).unwrap();
            assert!(matches!(spool.entry(&id), Err(Unusable::Malformed(_))), "{name}");
        }
    }

    #[test]
    fn a_message_to_many_is_read_in_linear_time() {
        crate::mail::linear::assert_linear(5_000, |count| {
            let lines: Vec<_> = (0..count).map(|number| format!("user{number}@x")).collect();
            let entry = entry(format!("a@b\n{}\n\nhi\n", lines.join("\n")).as_bytes()).unwrap();
            assert_eq!(entry.pending().len(), count);
        });
    }
}
