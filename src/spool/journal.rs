//! `status/ID`: what has been tried for a message, one event a line, appended only.
//!
//! ```text
//! file TAB INODE TAB SIZE TAB MTIME [TAB BORN]         first: which file it is of
//! request TAB PARAMETERS                               once, before the message is queued
//! TIME TAB attempt                                     an attempt that tried its recipients
//! TIME TAB warned                                      the sender knows that it waits
//! TIME TAB sent|deferred|failed TAB RECIPIENT TAB REMOTE TAB TEXT
//! TIME TAB missed                                      its message was not there
//! ```
//!
//! TIME is in seconds since 1970, MTIME and BORN in nanoseconds; no field holds a control character. A missing
//! journal means that nothing was tried yet, a line that does not parse (the last one may be torn) is ignored. It
//! goes with the message.
//!
//! A journal that says that it is another file's is neither read nor written nor removed for this one. One that
//! does not say is of an older version, and belongs to its name.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use super::{Entry, Error, History, Identity, Prior, QueueId, Spool};
use crate::mail::{Address, Outcome, Printable};

/// What happened to one recipient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) recipient: &'a Address,
    /// The remote that decided, as in the control file; empty where none did.
    pub(crate) remote: &'a str,
    pub(crate) outcome: &'a Outcome,
}

/// More than this is no line that says whose journal it is.
const LONGEST: u64 = 4096;

impl Spool {
    pub(super) fn journal(&self, id: &QueueId) -> PathBuf {
        self.status().join(id.as_str())
    }

    /// Whether there is a journal of this name, whose ever it is.
    pub(super) fn has_journal(&self, id: &QueueId) -> bool {
        self.status_folder().is_ok_and(|status| status.has(id.as_str()))
    }

    /// What was tried so far for the file that has this name in the queue; nothing if it has no journal.
    pub(crate) fn history(&self, id: &QueueId) -> Result<History, Error> {
        let history = self.identify(id)?.map(|file| self.history_of(id, &file)).transpose()?;
        Ok(history.flatten().unwrap_or_default())
    }

    /// What was tried so far for this file; `None` if the journal of its name is another's.
    pub(super) fn history_of(
        &self,
        id: &QueueId,
        file: &Identity,
    ) -> Result<Option<History>, Error> {
        let path = self.journal(id);
        let journal = match self.open_journal(id) {
            Ok(journal) => journal,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(History::default()));
            }
            Err(error) => return Err(Error::reading(&path, error, self.uid())),
        };
        let mut history = History::default();
        let mut first = true;
        for line in BufReader::new(journal).split(b'\n') {
            let line = line.map_err(Error::at("read", &path))?;
            if line.is_empty() {
                continue;
            }
            let line = str::from_utf8(&line).ok();
            if let Some(owner) = line.and_then(Identity::parse).filter(|_| first) {
                if !owner.is_same_message(file) {
                    return Ok(None);
                }
            } else if line.and_then(|line| history.take(line)).is_none() {
                history.ignored += 1;
            }
            first = false;
        }
        Ok(Some(history))
    }

    /// Appends what an attempt at `time` came to.
    ///
    /// With a delivery or a refusal among the events it is durable before it returns: a recipient
    /// that was served must not be served again after a power cut.
    pub(crate) fn record(
        &self,
        entry: &Entry,
        time: i64,
        attempt: bool,
        events: &[Event<'_>],
    ) -> Result<(), Error> {
        let settled = events.iter().any(|one| !matches!(one.outcome, Outcome::Deferred(_)));
        self.append(entry, &written(time, attempt, events), settled)
    }

    /// The sender was told that its mail waits; it is not told again.
    pub(crate) fn record_warning(&self, entry: &Entry, time: i64) -> Result<(), Error> {
        self.append(entry, &format!("{time}\twarned\n"), true)
    }

    /// Begins the journal of a file that is about to get this name.
    ///
    /// # Errors
    /// `AlreadyExists` when there is a journal of that name. None is begun then, nor after any other.
    pub(super) fn begin_journal(
        &self,
        id: &QueueId,
        file: &Identity,
        prior: &Prior<'_>,
    ) -> io::Result<()> {
        let mut lines = format!("{file}\nrequest\t{}\n", prior.request.to_string().trim_start());
        if !prior.events.is_empty() {
            lines.push_str(&written(prior.time, prior.attempt, prior.events));
        }
        let owner = self.queue_owner().map_err(io::Error::other)?;
        let status = self.status_folder()?;
        let mut file = status.create(id.as_str(), owner.mode)?;
        let begun = owner
            .adopt(&file)
            .and_then(|()| file.write_all(lines.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| status.sync());
        begun.inspect_err(|_| self.forget_journal(id))
    }

    fn append(&self, entry: &Entry, lines: &str, durable: bool) -> Result<(), Error> {
        let path = self.journal(&entry.id);
        let owner = self.queue_owner()?;
        let failed = |error| Error::at("write", &path)(error);
        let status = self.status_folder().map_err(failed)?;
        let mut journal = status.append(entry.id.as_str(), Some(owner.mode)).map_err(failed)?;
        owner.spare(&journal).map_err(failed)?;
        let new = journal.metadata().is_ok_and(|meta| meta.len() == 0);
        let lines = if new {
            owner.adopt(&journal).map_err(Error::at("give away", &path))?;
            format!("{}\n{lines}", entry.identity)
        } else {
            if !is_of(&journal, &entry.identity).map_err(failed)? {
                return Err(failed(io::Error::other("it is the journal of another message")));
            }
            // After a torn line ours must begin on one of its own; the empty line is ignored.
            format!("\n{lines}")
        };
        journal.write_all(lines.as_bytes()).map_err(failed)?;
        if durable {
            journal.sync_all().map_err(Error::at("sync", &path))?;
            // Not only for a new one: what made it may have been no reason to sync its name.
            status.sync().map_err(Error::at("sync", &self.status()))?;
        }
        Ok(())
    }

    /// Whether there is a journal of this name, and it is this file's.
    pub(super) fn has_journal_of(&self, id: &QueueId, file: &Identity) -> bool {
        self.open_journal(id).and_then(|journal| is_of(&journal, file)).unwrap_or(false)
    }

    /// Drops the journal of a file that is gone; never that of another.
    pub(super) fn forget_journal_of(&self, id: &QueueId, file: &Identity) {
        if self.has_journal_of(id, file) {
            self.forget_journal(id);
        }
    }

    /// For reading, whose ever it is.
    pub(super) fn open_journal(&self, id: &QueueId) -> io::Result<File> {
        self.status_folder()?.read(id.as_str())
    }

    /// Drops a journal, whose ever it is.
    pub(super) fn forget_journal(&self, id: &QueueId) {
        let _ = self.status_folder().and_then(|status| status.remove(id.as_str()));
    }
}

/// Whether the journal, read from its start, is this file's.
pub(super) fn is_of(journal: &File, file: &Identity) -> io::Result<bool> {
    let mut line = String::new();
    // One that is not UTF-8 does not say.
    let read = BufReader::new(journal.take(LONGEST)).read_line(&mut line);
    read.map(|_| ()).or_else(|error| match error.kind() {
        io::ErrorKind::InvalidData => Ok(()),
        _ => Err(error),
    })?;
    let owner = Identity::parse(line.trim_end_matches('\n'));
    Ok(owner.is_none_or(|owner| owner.is_same_message(file)))
}

/// The lines of one attempt.
fn written(time: i64, attempt: bool, events: &[Event<'_>]) -> String {
    let mut lines = if attempt { format!("{time}\tattempt\n") } else { String::new() };
    for event in events {
        let (word, text) = match event.outcome {
            Outcome::Sent(reply) => ("sent", reply.to_string()),
            Outcome::Deferred(reason) => ("deferred", reason.to_string()),
            Outcome::Failed(reason) => ("failed", reason.to_string()),
        };
        let remote = Printable(event.remote);
        let _ = writeln!(lines, "{time}\t{word}\t{}\t{remote}\t{text}", event.recipient);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::mail::{DeliveryRequest, Reason, Reply};
    use crate::spool::Unusable;

    /// A message in the queue, and its spool.
    fn spool() -> (tempfile::TempDir, Spool, Entry) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        fs::write(spool.queue().join("1.2"), "s@x\na@x\nb@x\n\n").unwrap();
        let entry = spool.entry(&QueueId::parse(OsStr::new("1.2")).unwrap()).unwrap();
        (dir, spool, entry)
    }

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_last_word_on_a_recipient_counts() {
        let (_dir, spool, entry) = spool();
        let (a, b) = (address("\"a b\"@x"), address("b@x"));
        let later = Outcome::Deferred(Reason::Remote(Reply::new(450, "later\ttoday\nor so")));
        let sent = Outcome::Sent(Reply::new(250, "ok"));
        let event = |recipient, outcome| Event { recipient, remote: "relay", outcome };
        spool.record(&entry, 10, true, &[event(&a, &later), event(&b, &sent)]).unwrap();
        spool.record(&entry, 20, true, &[event(&a, &later)]).unwrap();
        let history = spool.history(&entry.id).unwrap();
        assert_eq!((history.attempts, history.last_attempt), (2, Some(20)));
        assert!(history.is_pending(&a) && !history.is_pending(&b));
        assert_eq!(history.verdicts[&a].text, "450 later\\ttoday or so");
        assert_eq!(history.ignored, 0);
    }

    #[test]
    fn garbage_and_a_torn_line_hide_nothing_that_is_whole() {
        let (_dir, spool, entry) = spool();
        let a = address("a@x");
        fs::write(spool.journal(&entry.id), b"\xff\xfe\n5\tsent\tb@x\tr\tok\n6\tsent\ta@").unwrap();
        let sent = Outcome::Sent(Reply::new(250, "ok"));
        let event = Event { recipient: &a, remote: "r", outcome: &sent };
        spool.record(&entry, 7, true, &[event]).unwrap();
        let history = spool.history(&entry.id).unwrap();
        assert!(!history.is_pending(&a) && !history.is_pending(&address("b@x")));
        assert!(history.ignored > 0);
    }

    #[test]
    fn the_journal_of_an_older_version_belongs_to_its_name() {
        let (_dir, spool, entry) = spool();
        fs::write(spool.journal(&entry.id), "5\tsent\ta@x\tr\tok\n").unwrap();
        assert!(!spool.history(&entry.id).unwrap().is_pending(&address("a@x")));
        spool.remove(&entry).unwrap();
        assert!(!spool.has_journal(&entry.id));
    }

    #[test]
    fn the_journal_of_another_file_is_neither_read_nor_written_nor_removed() {
        let (_dir, spool, entry) = spool();
        let other = "file\t1\t2\t3\n5\tsent\ta@x\tr\tok\n";
        fs::write(spool.journal(&entry.id), other).unwrap();
        assert!(matches!(spool.entry(&entry.id), Err(Unusable::NameTaken)));
        assert_eq!(spool.history(&entry.id).unwrap(), History::default());
        let line = spool.record_warning(&entry, 5).unwrap_err().to_string();
        assert!(line.ends_with("status/1.2: it is the journal of another message"), "{line}");
        spool.remove(&entry).unwrap();
        assert!(!spool.queue().join("1.2").exists());
        assert_eq!(fs::read_to_string(spool.journal(&entry.id)).unwrap(), other);
    }

    #[test]
    fn what_is_planted_under_the_name_of_a_journal_is_neither_read_nor_written_nor_waited_for() {
        let (dir, spool, entry) = spool();
        let (a, sent) = (address("a@x"), Outcome::Sent(Reply::new(250, "ok")));
        let victim = dir.path().join("victim");
        fs::write(&victim, "1\tsent\ta@x\tr\tprecious\n").unwrap();
        let fifo = |path: &Path| crate::sys::make_fifo(path);
        let link = |path: &Path| std::os::unix::fs::symlink(&victim, path);
        for plant in
            [&fifo as &dyn Fn(&Path) -> io::Result<()>, &link, &|path| fs::create_dir(path)]
        {
            let path = spool.journal(&entry.id);
            plant(&path).unwrap();
            let line = spool.history(&entry.id).unwrap_err().to_string();
            assert!(line.starts_with("cannot read ") && line.contains("status/1.2: "), "{line}");
            let event = Event { recipient: &a, remote: "r", outcome: &sent };
            let line = spool.record(&entry, 7, true, &[event]).unwrap_err().to_string();
            assert!(line.starts_with("cannot write ") && line.contains("status/1.2: "), "{line}");
            assert!(!spool.keep_only_sent(&entry.id, &entry.identity));
            spool.forget_journal_of(&entry.id, &entry.identity);
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
        assert_eq!(fs::read(&victim).unwrap(), b"1\tsent\ta@x\tr\tprecious\n");
    }

    #[test]
    fn what_the_sender_asked_for_is_kept() {
        let (_dir, spool, entry) = spool();
        let request = DeliveryRequest::parse(b"NOTIFY=NEVER ENVID=x+2By").unwrap();
        let prior = Prior::new(&request);
        spool.begin_journal(&entry.id, &entry.identity, &prior).unwrap();
        assert!(spool.begin_journal(&entry.id, &entry.identity, &prior).is_err());
        assert_eq!(spool.history(&entry.id).unwrap().request, request);
    }

    #[test]
    fn a_journal_of_many_recipients_is_written_and_read_in_linear_time() {
        use crate::mail::linear::{addresses, assert_linear};
        let sent = Outcome::Sent(Reply::new(250, "ok"));
        let later = Outcome::Deferred(Reason::Remote(Reply::new(450, "later")));
        assert_linear(5_000, |count| {
            let (_dir, spool, entry) = spool();
            let all = addresses(count);
            let event = |(at, recipient)| {
                let outcome = if at % 2 == 0 { &sent } else { &later };
                Event { recipient, remote: "relay", outcome }
            };
            let events: Vec<_> = all.iter().enumerate().map(event).collect();
            spool.record(&entry, 10, true, &events).unwrap();
            let history = spool.history(&entry.id).unwrap();
            assert_eq!(all.iter().filter(|one| history.is_pending(one)).count(), count / 2);
            assert!(spool.keep_only_sent(&entry.id, &entry.identity));
        });
    }
}
