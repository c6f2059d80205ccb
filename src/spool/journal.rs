//! `status/ID`: what has been tried for a message, one event a line, appended only.
//!
//! ```text
//! request TAB PARAMETERS                               once, before the message is queued
//! TIME TAB attempt                                     an attempt that tried its recipients
//! TIME TAB warned                                      the sender knows that it waits
//! TIME TAB sent|deferred|failed TAB RECIPIENT TAB REMOTE TAB TEXT
//! ```
//!
//! TIME is in seconds since 1970; no field holds a control character. A missing journal means that
//! nothing was tried yet, a line that does not parse (the last one may be torn) is ignored. It goes
//! with the message.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Prior, QueueId, Spool, sync_dir};
use crate::mail::{Address, DeliveryRequest, Outcome, Printable};
use crate::sys::{O_NOFOLLOW, O_NONBLOCK};

/// What happened to one recipient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) recipient: &'a Address,
    /// The remote that decided, as in the control file; empty where none did.
    pub(crate) remote: &'a str,
    pub(crate) outcome: &'a Outcome,
}

/// What the journal knows of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) request: DeliveryRequest,
    /// Attempts that ended with a verdict on this message.
    pub(crate) attempts: u32,
    /// When the last of them began, seconds since 1970.
    pub(crate) last_attempt: Option<i64>,
    /// The sender was told that its mail waits.
    pub(crate) warned: bool,
    /// The last word on each recipient.
    pub(crate) verdicts: HashMap<Address, Verdict>,
    /// Lines that made no sense, a torn last one not counted.
    pub(crate) ignored: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    pub(crate) remote: String,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sent,
    Deferred,
    /// Refused, and the bounce for it is queued.
    Failed,
}

impl History {
    /// Whether the recipient still waits for delivery.
    pub(crate) fn is_pending(&self, recipient: &Address) -> bool {
        self.verdicts.get(recipient).is_none_or(|verdict| verdict.state == State::Deferred)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split('\t');
        let first = fields.next()?;
        if first == "request" {
            self.request = DeliveryRequest::parse(fields.next()?.as_bytes()).ok()?;
            return Some(());
        }
        let time: i64 = first.parse().ok()?;
        let state = match fields.next()? {
            "attempt" => {
                self.attempts = self.attempts.saturating_add(1);
                self.last_attempt = Some(time);
                return Some(());
            }
            "warned" => {
                self.warned = true;
                return Some(());
            }
            "sent" => State::Sent,
            "deferred" => State::Deferred,
            "failed" => State::Failed,
            _ => return None,
        };
        let recipient = Address::parse(fields.next()?.as_bytes()).ok()?;
        let (remote, text) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        self.verdicts.insert(recipient, Verdict { state, remote, text });
        Some(())
    }
}

impl Spool {
    fn journal(&self, id: &QueueId) -> PathBuf {
        self.status().join(id.as_str())
    }

    pub(crate) fn has_journal(&self, id: &QueueId) -> bool {
        self.journal(id).exists()
    }

    /// Seconds since it was last written; 0 where there is none.
    pub(super) fn journal_age(&self, id: &QueueId, now: i64) -> i64 {
        fs::metadata(self.journal(id)).map_or(0, |meta| now.saturating_sub(meta.mtime()))
    }

    /// What was tried so far; nothing if there is no journal.
    pub(crate) fn history(&self, id: &QueueId) -> Result<History, Error> {
        let path = self.journal(id);
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(History::default()),
            Err(error) => return Err(Error::at("read", &path)(error)),
        };
        let mut history = History::default();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(Error::at("read", &path))?;
            if line.is_empty() {
                continue;
            }
            if str::from_utf8(&line).ok().and_then(|line| history.take(line)).is_none() {
                history.ignored += 1;
            }
        }
        Ok(history)
    }

    /// Appends what an attempt at `time` came to.
    ///
    /// With a delivery or a refusal among the events it is durable before it returns: a recipient
    /// that was served must not be served again after a power cut.
    pub(crate) fn record(
        &self,
        id: &QueueId,
        time: i64,
        attempt: bool,
        events: &[Event<'_>],
    ) -> Result<(), Error> {
        let settled = events.iter().any(|one| !matches!(one.outcome, Outcome::Deferred(_)));
        self.append(id, &written(time, attempt, events), settled)
    }

    /// Begins the journal of a message that is about to get this name.
    ///
    /// # Errors
    /// `AlreadyExists` when a message of that name has a journal. None is begun then, nor after any other.
    pub(super) fn begin_journal(&self, id: &QueueId, prior: &Prior<'_>) -> io::Result<()> {
        let mut lines = format!("request\t{}\n", prior.request.to_string().trim_start());
        if !prior.events.is_empty() {
            lines.push_str(&written(prior.time, prior.attempt, prior.events));
        }
        let path = self.journal(id);
        let owner = self.queue_owner().map_err(io::Error::other)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(owner.mode).open(path)?;
        let begun = owner
            .adopt(&file)
            .and_then(|()| file.write_all(lines.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_dir(&self.status()).map_err(io::Error::other));
        begun.inspect_err(|_| self.forget_journal(id))
    }

    /// The sender was told that its mail waits; it is not told again.
    pub(crate) fn record_warning(&self, id: &QueueId, time: i64) -> Result<(), Error> {
        self.append(id, &format!("{time}\twarned\n"), true)
    }

    fn append(&self, id: &QueueId, lines: &str, durable: bool) -> Result<(), Error> {
        let path = self.journal(id);
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(self.queue_owner()?.mode)
            .custom_flags(O_NOFOLLOW | O_NONBLOCK)
            .open(&path)
            .and_then(file_only)
            .map_err(Error::at("write", &path))?;
        let owner = self.queue_owner()?;
        owner.spare(&file).map_err(Error::at("write", &path))?;
        let new = file.metadata().is_ok_and(|meta| meta.len() == 0);
        if new {
            owner.adopt(&file).map_err(Error::at("give away", &path))?;
        }
        // After a torn line ours must begin on one of its own; the empty line is ignored.
        let lines = if new { lines.to_owned() } else { format!("\n{lines}") };
        file.write_all(lines.as_bytes()).map_err(Error::at("write", &path))?;
        if durable {
            file.sync_all().map_err(Error::at("sync", &path))?;
            // Not only for a new one: what made it may have been no reason to sync its name.
            sync_dir(&self.status())?;
        }
        Ok(())
    }

    /// Drops the journal of a message that is gone.
    pub(crate) fn forget_journal(&self, id: &QueueId) {
        let _ = fs::remove_file(self.journal(id));
    }

    /// For a message in `failed/`: keeps who was served, so that moving the file back to `queue/`
    /// tries the others again, from the start. False if there was nothing to do, or it cannot be done.
    pub(super) fn keep_only_sent(&self, id: &QueueId) -> bool {
        let path = self.journal(id);
        let Ok(whole) = open(&path).and_then(io::read_to_string) else { return false };
        let sent = |line: &&str| line.split('\t').nth(1) == Some("sent");
        let kept: String = whole.lines().filter(sent).flat_map(|line| [line, "\n"]).collect();
        if kept == whole && !whole.is_empty() {
            return false;
        }
        if kept.is_empty() {
            self.forget_journal(id);
            true
        } else {
            let new = self.tmp().join(format!("{id}.status"));
            // Never through a link or over somebody's file.
            let written = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)
                .and_then(|mut file| {
                    self.queue_owner().map_err(io::Error::other)?.adopt(&file)?;
                    file.write_all(kept.as_bytes())?;
                    file.sync_all()
                })
                .and_then(|()| fs::rename(&new, &path));
            // The full journal only means that nobody is tried again by moving the file back.
            if written.is_err() {
                let _ = fs::remove_file(&new);
            }
            written.is_ok()
        }
    }
}

/// For reading: not through a planted link, and without waiting for the other end of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path);
    file.and_then(file_only)
}

fn file_only(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is not a file")) }
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

    use super::*;
    use crate::mail::{Reason, Reply};

    fn spool() -> (tempfile::TempDir, Spool, QueueId) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        (dir, spool, QueueId::parse(OsStr::new("1.2")).unwrap())
    }

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_last_word_on_a_recipient_counts() {
        let (_dir, spool, id) = spool();
        let (a, b) = (address("\"a b\"@x"), address("b@x"));
        let later = Outcome::Deferred(Reason::Remote(Reply::new(450, "later\ttoday\nor so")));
        let sent = Outcome::Sent(Reply::new(250, "ok"));
        let event = |recipient, outcome| Event { recipient, remote: "relay", outcome };
        spool.record(&id, 10, true, &[event(&a, &later), event(&b, &sent)]).unwrap();
        spool.record(&id, 20, true, &[event(&a, &later)]).unwrap();
        let history = spool.history(&id).unwrap();
        assert_eq!((history.attempts, history.last_attempt), (2, Some(20)));
        assert!(history.is_pending(&a) && !history.is_pending(&b));
        assert_eq!(history.verdicts[&a].text, "450 later\\ttoday or so");
    }

    #[test]
    fn garbage_and_a_torn_line_hide_nothing_that_is_whole() {
        let (_dir, spool, id) = spool();
        let a = address("a@x");
        fs::write(spool.journal(&id), b"\xff\xfe\n5\tsent\tb@x\tr\tok\n6\tsent\ta@").unwrap();
        let sent = Outcome::Sent(Reply::new(250, "ok"));
        spool
            .record(&id, 7, true, &[Event { recipient: &a, remote: "r", outcome: &sent }])
            .unwrap();
        let history = spool.history(&id).unwrap();
        assert!(!history.is_pending(&a) && !history.is_pending(&address("b@x")));
        assert!(history.ignored > 0);
    }

    #[test]
    fn what_failed_is_tried_again_when_its_file_is_moved_back() {
        let (_dir, spool, id) = spool();
        let (a, b) = (address("a@x"), address("b@x"));
        let refused = Outcome::Failed(Reason::Remote(Reply::new(550, "no")));
        let sent = Outcome::Sent(Reply::new(250, "ok"));
        let event = |recipient, outcome| Event { recipient, remote: "relay", outcome };
        spool.record(&id, 10, true, &[event(&a, &refused), event(&b, &sent)]).unwrap();
        spool.keep_only_sent(&id);
        let history = spool.history(&id).unwrap();
        assert!(history.is_pending(&a) && !history.is_pending(&b));
        assert_eq!(history.attempts, 0);
    }

    #[test]
    fn what_is_planted_under_the_name_of_a_journal_is_neither_read_nor_written_nor_waited_for() {
        let (dir, spool, id) = spool();
        let (a, sent) = (address("a@x"), Outcome::Sent(Reply::new(250, "ok")));
        let victim = dir.path().join("victim");
        fs::write(&victim, "1\tsent\ta@x\tr\tprecious\n").unwrap();
        let fifo = |path: &Path| crate::sys::make_fifo(path);
        let link = |path: &Path| std::os::unix::fs::symlink(&victim, path);
        for plant in
            [&fifo as &dyn Fn(&Path) -> io::Result<()>, &link, &|path| fs::create_dir(path)]
        {
            plant(&spool.journal(&id)).unwrap();
            let line = spool.history(&id).unwrap_err().to_string();
            assert!(line.starts_with("cannot read ") && line.contains("status/1.2: "), "{line}");
            let event = Event { recipient: &a, remote: "r", outcome: &sent };
            let line = spool.record(&id, 7, true, &[event]).unwrap_err().to_string();
            assert!(line.starts_with("cannot write ") && line.contains("status/1.2: "), "{line}");
            assert!(!spool.keep_only_sent(&id));
            let path = spool.journal(&id);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
        assert_eq!(fs::read(&victim).unwrap(), b"1\tsent\ta@x\tr\tprecious\n");
    }

    #[test]
    fn what_the_sender_asked_for_is_kept() {
        let (_dir, spool, id) = spool();
        let request = DeliveryRequest::parse(b"NOTIFY=NEVER ENVID=x+2By").unwrap();
        spool.begin_journal(&id, &Prior::new(&request)).unwrap();
        assert!(spool.begin_journal(&id, &Prior::new(&request)).is_err());
        assert_eq!(spool.history(&id).unwrap().request, request);
    }
}
