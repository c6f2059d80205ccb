//! The only writer of new mail: `tmp/` first, `queue/` when it is whole.
//!
//! Called by `submit` for every way in, and by the daemon for bounces. It creates files in `tmp/`,
//! publishes them in `queue/`, and touches nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::id::{Reserved, TAILS};
use super::{Entry, Error, Event, Identity, QueueId, Spool, Stamp, trigger};
use crate::mail::{DeliveryRequest, Envelope};
use crate::sys::{self, Folder};

/// A message under `tmp/`. It is not mail yet: dropping it removes the file. The name that it will have in the
/// queue is chosen when it is begun.
///
/// Where the system has files without a name, it has none before it is mail, and even a process that
/// is killed leaves nothing behind.
#[must_use]
pub(crate) struct Incoming<'a> {
    spool: &'a Spool,
    stamp: Stamp,
    name: Reserved,
    tmp: Option<Temporary>,
    file: io::BufWriter<File>,
    committed: bool,
}

/// The name in `tmp/` of a file that has one.
struct Temporary {
    folder: Folder,
    name: String,
}

/// What is known of a message before it is queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior<'a> {
    pub(crate) request: &'a DeliveryRequest,
    /// What was tried already, and when.
    pub(crate) events: &'a [Event<'a>],
    /// Whether that counts as an attempt, after which the message rests.
    pub(crate) attempt: bool,
    pub(crate) time: i64,
}

impl<'a> Prior<'a> {
    /// Nothing was tried yet.
    pub(crate) fn new(request: &'a DeliveryRequest) -> Self {
        Self { request, events: &[], attempt: false, time: 0 }
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && *self.request == DeliveryRequest::default()
    }
}

/// How many names are tried where one is taken already.
const NAMES: u32 = 10_000;

impl Spool {
    /// Starts a new message. Nothing of it is in the queue before [`Incoming::commit`].
    pub(crate) fn incoming(&self, stamp: Stamp) -> Result<Incoming<'_>, Error> {
        let owner = self.queue_owner()?;
        let tmp = self.tmp_folder().map_err(Error::at("open", &self.tmp()))?;
        let nameless = tmp.create_nameless(owner.mode);
        self.start(stamp, owner, tmp, nameless)
    }

    fn start(
        &self,
        stamp: Stamp,
        owner: super::Owner,
        folder: Folder,
        nameless: Option<File>,
    ) -> Result<Incoming<'_>, Error> {
        let (tmp, file) = if let Some(file) = nameless {
            (None, file)
        } else {
            let (name, file) = self.named(&folder, owner, stamp)?;
            (Some(Temporary { folder, name }), file)
        };
        let incoming = Incoming {
            spool: self,
            stamp,
            name: self.reserve(stamp)?,
            tmp,
            file: io::BufWriter::with_capacity(64 * 1024, file),
            committed: false,
        };
        incoming.give_to(owner)?;
        Ok(incoming)
    }

    fn named(
        &self,
        tmp: &Folder,
        owner: super::Owner,
        stamp: Stamp,
    ) -> Result<(String, File), Error> {
        let mut nth = 0;
        loop {
            let name = match nth {
                0 => stamp.pid.to_string(),
                _ => format!("{}.{nth}", stamp.pid),
            };
            // A new file always: another process of our pid (in another container, or long dead)
            // may have left or be writing one of this name.
            match tmp.create(&name, owner.mode) {
                Ok(file) => {
                    // It tells a daemon that starts, in whatever container, that we live.
                    let _ = file.try_lock();
                    return Ok((name, file));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < NAMES => {
                    nth += 1;
                }
                Err(error) => return Err(Error::at("create", &self.tmp().join(name))(error)),
            }
        }
    }
}

impl Incoming<'_> {
    /// Root may write a spool that belongs to the mail user; the daemon must still be able to read.
    fn give_to(&self, owner: super::Owner) -> Result<(), Error> {
        owner.adopt(self.file.get_ref()).map_err(Error::at("give away", &self.path()))
    }

    /// Where it is being written: its name, or `tmp/` itself.
    fn path(&self) -> PathBuf {
        let tmp = self.spool.tmp();
        self.tmp.as_ref().map_or(tmp.clone(), |one| tmp.join(&one.name))
    }

    /// The message as it would be read from the queue, for a delivery before it is queued.
    pub(crate) fn entry(&mut self, envelope: Envelope) -> Result<Entry, Error> {
        let path = self.path();
        self.file.flush().map_err(Error::at("write", &path))?;
        let file = match &self.tmp {
            Some(Temporary { folder, name }) => folder.read(name),
            None => sys::reopen(self.file.get_ref()),
        };
        file.and_then(|file| Entry::unqueued(self.name.id().clone(), envelope, file))
            .map_err(Error::at("read", &path))
    }

    /// The name that it will have.
    #[cfg(test)]
    pub(super) fn reserved(&self) -> &QueueId {
        self.name.id()
    }

    /// Makes it mail and wakes the daemon. After `Ok` the message survives a power cut.
    ///
    /// What its sender asked of delivery, and what was delivered before, is kept before the message is
    /// in the queue.
    pub(crate) fn commit(mut self, prior: &Prior<'_>) -> Result<QueueId, Error> {
        let path = self.path();
        self.file.flush().map_err(Error::at("write", &path))?;
        self.file.get_ref().sync_all().map_err(Error::at("sync", &path))?;
        let path = self.spool.queue();
        let queue = self.spool.queue_folder().map_err(Error::at("open", &path))?;
        let id = self.publish(&queue, prior)?;
        // The name must reach the disk before the caller is told "queued". If it does not, the
        // message must not be sent either: the caller will try again.
        if let Err(error) = queue.sync() {
            let _ = queue.remove(id.as_str());
            self.spool.forget_journal(&id);
            return Err(Error::at("sync", &path)(error));
        }
        self.committed = true;
        #[cfg(test)]
        super::simulated::queued(&path.join(id.as_str()), self.stamp);
        // A tmp name that stays behind is a second link to queued mail; start-up clears it.
        if let Some(Temporary { folder, name }) = &self.tmp {
            let _ = folder.remove(name);
        }
        trigger::pull(self.spool);
        Ok(id)
    }

    /// Puts the message into `queue/` under the reserved name, or under another if that has been taken since.
    fn publish(&mut self, queue: &Folder, prior: &Prior<'_>) -> Result<QueueId, Error> {
        let mut turns = 0..TAILS;
        loop {
            let id = self.name.id();
            match self.publish_as(queue, id, prior) {
                Ok(()) => return Ok(id.clone()),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && turns.next().is_some() =>
                {
                    self.name = self.spool.reserve(self.stamp)?;
                }
                Err(error) => {
                    let queued = self.spool.queue().join(id.as_str());
                    return Err(Error::at("create", &queued)(error));
                }
            }
        }
    }

    fn publish_as(&self, queue: &Folder, id: &QueueId, prior: &Prior<'_>) -> io::Result<()> {
        if self.spool.is_taken(id) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if prior.is_empty() {
            return self.link(queue, id);
        }
        let file = Identity::of(&self.file.get_ref().metadata()?);
        self.spool.begin_journal(id, &file, prior)?;
        self.link(queue, id).inspect_err(|_| self.spool.forget_journal(id))
    }

    /// link(2), not rename(2): it fails rather than replace another message.
    fn link(&self, queue: &Folder, id: &QueueId) -> io::Result<()> {
        match &self.tmp {
            Some(Temporary { folder, name }) => folder.link(name, queue, id.as_str()),
            None => queue.name_file(self.file.get_ref(), id.as_str()),
        }
    }

    /// Turns an error of writing to `self` into ours, with the path.
    pub(crate) fn write_error(&self, source: io::Error) -> Error {
        Error::Io { verb: "write", path: self.path(), source }
    }
}

impl Write for Incoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if let Some(Temporary { folder, name }) = self.tmp.as_ref().filter(|_| !self.committed) {
            let _ = folder.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mail::{Address, Recipients, ReversePath};

    fn spool() -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        (dir, spool)
    }

    fn names(path: PathBuf) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    const STAMP: Stamp = Stamp { seconds: 1_763_812_000, pid: 812 };

    #[test]
    fn what_is_not_committed_disappears() {
        let (_dir, spool) = spool();
        let mut incoming = spool.incoming(STAMP).unwrap();
        incoming.write_all(b"half a mess").unwrap();
        drop(incoming);
        assert!(names(spool.tmp()).is_empty());
        assert!(names(spool.queue()).is_empty());
    }

    fn commit(incoming: Incoming<'_>) -> QueueId {
        incoming.commit(&Prior::new(&DeliveryRequest::default())).unwrap()
    }

    #[test]
    fn two_messages_of_one_process_in_one_second_both_stay() {
        let (_dir, spool) = spool();
        let ids = ["one", "two"].map(|text| {
            let mut incoming = spool.incoming(STAMP).unwrap();
            incoming.write_all(text.as_bytes()).unwrap();
            commit(incoming)
        });
        assert_eq!(names(spool.queue()).len(), 2);
        assert!(names(spool.tmp()).is_empty());
        for (id, text) in ids.iter().zip(["one", "two"]) {
            assert!(id.as_str().starts_with("1763812000.812."), "{id}");
            assert_eq!(fs::read_to_string(spool.queue().join(id.as_str())).unwrap(), text);
        }
    }

    #[test]
    fn a_message_has_the_id_in_the_queue_that_it_had_before() {
        let (_dir, spool) = spool();
        let mut incoming = spool.incoming(STAMP).unwrap();
        incoming.write_all(b"a@b\nc@d\n\nx\n").unwrap();
        let to = Address::parse(b"c@d").unwrap();
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: Recipients::new(vec![to]).unwrap(),
            request: DeliveryRequest::default(),
        };
        let before = incoming.entry(envelope).unwrap().id;
        assert_eq!(commit(incoming), before);
    }

    /// Between the choice of a name and its use somebody may put a file there.
    #[test]
    fn a_name_that_is_taken_meanwhile_anywhere_in_the_spool_is_left_alone() {
        let (_dir, spool) = spool();
        let asked = DeliveryRequest::parse(b"NOTIFY=NEVER").unwrap();
        for request in [&DeliveryRequest::default(), &asked] {
            for folder in [spool.queue(), spool.failed(), spool.status()] {
                let incoming = spool.incoming(STAMP).unwrap();
                let planted = folder.join(incoming.name.id().as_str());
                fs::write(&planted, "theirs").unwrap();
                let id = incoming.commit(&Prior::new(request)).unwrap();
                assert_ne!(planted.file_name().unwrap(), id.as_str());
                assert!(spool.queue().join(id.as_str()).exists());
                assert_eq!(fs::read(&planted).unwrap(), b"theirs");
            }
        }
    }

    /// As on a system without nameless files.
    fn named(spool: &Spool) -> Incoming<'_> {
        let tmp = spool.tmp_folder().unwrap();
        spool.start(STAMP, spool.queue_owner().unwrap(), tmp, None).unwrap()
    }

    #[test]
    fn with_a_name_too_what_is_not_committed_disappears_and_what_is_has_one_name() {
        let (_dir, spool) = spool();
        drop(named(&spool));
        assert!(names(spool.tmp()).is_empty());
        let mut incoming = named(&spool);
        assert_eq!(names(spool.tmp()), ["812"]);
        incoming.write_all(b"one").unwrap();
        let id = commit(incoming);
        assert!(names(spool.tmp()).is_empty());
        assert_eq!(fs::read(spool.queue().join(id.as_str())).unwrap(), b"one");
    }

    #[test]
    fn a_file_that_a_dead_process_of_our_pid_left_is_not_overwritten() {
        let (_dir, spool) = spool();
        fs::write(spool.tmp().join("812"), "theirs").unwrap();
        let mut incoming = named(&spool);
        incoming.write_all(b"ours").unwrap();
        commit(incoming);
        assert_eq!(fs::read(spool.tmp().join("812")).unwrap(), b"theirs");
    }

    #[test]
    fn a_spool_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such");
        let line = Spool::open(&path).unwrap_err().to_string();
        assert!(line.contains("no/such: No such file"), "{line}");
    }
}
