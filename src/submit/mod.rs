//! How a prepared message reaches the spool: straight where we may write it, else by the
//! daemon's socket, else through a set-uid nullmailer-queue.
//!
//! Every way speaks one grammar, the one that nullmailer-queue reads, and ends in [`accept`], which
//! believes nothing of what it is told. Called by the roles that take mail in.

mod admission;
mod broom;
mod client;
mod desk;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grammar;
mod places;
mod program;
mod room;
mod tally;
mod wire;

use std::io::{BufRead, Read, Seek, Write};
use std::path::PathBuf;

pub(crate) use admission::Policy;
pub(crate) use client::ask_health;
pub(crate) use desk::{Desk, Pulse, Visit};
pub(crate) use error::Error;
pub(crate) use grammar::read_envelope;
pub(crate) use places::Crowd;

use self::grammar::Lines;
use crate::config::{Control, Directories, Hostnames, Limits};
use crate::mail::{DeliveryRequest, Envelope, Recipients, ReversePath, received_date};
use crate::spool::{Incoming, Prior, QueueId, Spool, Stamp};
use crate::sys;

/// A message that is ready to be queued; not yet admitted.
pub(crate) struct Submission<'a> {
    pub(crate) sender: ReversePath,
    pub(crate) recipients: Recipients,
    pub(crate) request: DeliveryRequest,
    /// The finished header with the blank line behind it; may be empty, with all in `body`.
    pub(crate) head: &'a [u8],
    /// The rest, read to its end and never held.
    pub(crate) body: &'a mut dyn Read,
}

/// Who submits and where to: what a role knows of its process.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    pub(crate) directories: Directories,
    /// The kernel's host name, for the case that no file names us.
    pub(crate) kernel_name: Option<String>,
    pub(crate) stamp: Stamp,
    /// The real uid of the caller, for the Received line.
    pub(crate) uid: u32,
    /// `$NULLMAILER_QUEUE`: a program to use instead of every other way.
    pub(crate) queue_program: Option<PathBuf>,
}

impl Submitter {
    /// Queues the message by the first way that is open.
    ///
    /// `Some(id)` where we wrote it ourselves; a queue program does not tell the id.
    pub(crate) fn submit(&self, submission: Submission<'_>) -> Result<Option<QueueId>, Error> {
        if let Some(program) = &self.queue_program {
            return program::submit(program, submission).map(|()| None);
        }
        let closed = match self.open_spool() {
            Ok(spool) => return self.accept(&spool, submission).map(Some),
            Err(closed) => closed,
        };
        let program = self.directories.sbin.join("nullmailer-queue");
        // Our own link to this very binary would come back here with the same rights.
        let set_uid = program::is_set_uid(&program);
        let helps = set_uid && !sys::no_new_privileges();
        let Some(daemon) = client::find(&self.directories.sockets) else {
            return match closed {
                _ if helps => program::submit(&program, submission).map(|()| None),
                Error::Closed { path, source, .. } => {
                    Err(Error::Closed { path, source, no_new_privileges: set_uid })
                }
                _ => Err(closed),
            };
        };
        let mut held = client::hold(submission.body)?;
        match client::submit(daemon, &submission, &mut held, !helps) {
            // Nothing of it can have been queued.
            Err(client::Error::Turned(_)) if helps => {
                held.rewind().map_err(Error::Hold)?;
                let submission = Submission { body: &mut held, ..submission };
                program::submit(&program, submission).map(|()| None)
            }
            Err(client::Error::Turned(error) | client::Error::Final(error)) => Err(error),
            Ok(id) => Ok(Some(id)),
        }
    }

    /// The spool, if we may write it.
    pub(crate) fn open_spool(&self) -> Result<Spool, Error> {
        let spool = Spool::open(&self.directories.spool)?;
        match spool.check_queue() {
            Ok(()) => Ok(spool),
            Err(error) => match error.denial() {
                Some(source) => {
                    Err(Error::Closed { path: spool.queue(), source, no_new_privileges: false })
                }
                None => Err(error.into()),
            },
        }
    }

    /// Admits the message and queues it: the near side of every way in.
    pub(crate) fn accept(
        &self,
        spool: &Spool,
        submission: Submission<'_>,
    ) -> Result<QueueId, Error> {
        let (incoming, envelope) = self.prepare(spool, submission)?;
        Ok(incoming.commit(&Prior::new(&envelope.request))?)
    }

    /// Admits and queues what nullmailer-queue reads: an envelope of so many bytes at the most, and a message. Each
    /// recipient goes into the file when it is read, so that their number takes no memory; exact duplicates are
    /// dropped when the file is read.
    pub(crate) fn accept_from(
        &self,
        spool: &Spool,
        input: &mut impl BufRead,
        envelope: u64,
    ) -> Result<QueueId, Error> {
        let limit = self.check(spool)?;
        let policy = self.policy()?;
        let (mut lines, sender, request) = Lines::begin(input, envelope)?;
        let mut incoming = spool.incoming(self.stamp)?;
        put(&mut incoming, format!("{}\n", policy.sender(sender)).as_bytes())?;
        let (mut count, mut redirected) = (0_u64, false);
        while let Some(recipient) = lines.recipient()? {
            count += 1;
            match policy.redirect(&recipient) {
                None => put(&mut incoming, format!("{recipient}\n").as_bytes())?,
                Some(_) if redirected => {}
                Some(admins) => {
                    redirected = true;
                    for admin in admins {
                        put(&mut incoming, format!("{admin}\n").as_bytes())?;
                    }
                }
            }
        }
        if count == 0 {
            return Err(Error::NoRecipients);
        }
        put(&mut incoming, format!("\n{}", self.received()).as_bytes())?;
        copy(&mut incoming, input, 0, limit)?;
        Ok(incoming.commit(&Prior::new(&request))?)
    }

    /// Admits the message and writes it, for a delivery before it is queued.
    pub(crate) fn prepare<'a>(
        &self,
        spool: &'a Spool,
        submission: Submission<'_>,
    ) -> Result<(Incoming<'a>, Envelope), Error> {
        let limit = self.check(spool)?;
        self.write(spool, submission, limit)
    }

    /// Whether anything may be queued now, and how long it may be.
    fn check(&self, spool: &Spool) -> Result<u64, Error> {
        let control = self.directories.control();
        self.check_user(&control)?;
        let limits = Limits::read(&control)?;
        let queue = spool.queue();
        // Where the system does not tell, the write itself will.
        if sys::free_bytes(&queue).is_ok_and(|free| free < limits.free) {
            return Err(Error::Full { path: queue });
        }
        Ok(limits.message)
    }

    /// `submitusers`: who may hand mail in. Root and whoever runs us always may.
    fn check_user(&self, control: &Control) -> Result<(), Error> {
        let allowed = control.words("submitusers")?;
        let uid = self.uid;
        if allowed.is_empty() || uid == 0 || uid == sys::identity().euid {
            return Ok(());
        }
        let name = sys::user_name(uid);
        let is_he = |word: &String| *word == uid.to_string() || Some(word) == name.as_ref();
        if allowed.iter().any(is_he) { Ok(()) } else { Err(Error::NotAllowed { uid }) }
    }

    /// Queues a report of ours, which no limit may hold back.
    pub(crate) fn accept_report(
        &self,
        spool: &Spool,
        submission: Submission<'_>,
    ) -> Result<QueueId, Error> {
        let (incoming, envelope) = self.write(spool, submission, u64::MAX)?;
        Ok(incoming.commit(&Prior::new(&envelope.request))?)
    }

    fn write<'a>(
        &self,
        spool: &'a Spool,
        submission: Submission<'_>,
        limit: u64,
    ) -> Result<(Incoming<'a>, Envelope), Error> {
        let policy = self.policy()?;
        let envelope =
            policy.admit(submission.sender, submission.recipients, submission.request)?;
        let mut incoming = spool.incoming(self.stamp)?;
        let mut head = grammar::write_envelope(&envelope);
        head.extend_from_slice(self.received().as_bytes());
        head.extend_from_slice(submission.head);
        put(&mut incoming, &head)?;
        copy(&mut incoming, submission.body, submission.head.len() as u64, limit)?;
        Ok((incoming, envelope))
    }

    fn policy(&self) -> Result<Policy, Error> {
        let control = self.directories.control();
        let me = || Ok(Hostnames::read(&control, self.kernel_name.as_deref())?.me);
        Ok(Policy::read(&control, me)?)
    }

    /// The trace line of this hop, exactly the original's.
    fn received(&self) -> String {
        let date = received_date(self.stamp.seconds.try_into().unwrap_or(i64::MAX));
        let (pid, uid) = (self.stamp.pid, self.uid);
        format!("Received: (nullmailer pid {pid} invoked by uid {uid});\n\t{date}\n")
    }
}

fn put(incoming: &mut Incoming<'_>, bytes: &[u8]) -> Result<(), Error> {
    Ok(incoming.write_all(bytes).map_err(|error| incoming.write_error(error))?)
}

/// Copies a message to its end; so much of it was written already.
fn copy(
    incoming: &mut Incoming<'_>,
    body: &mut (impl Read + ?Sized),
    mut size: u64,
    limit: u64,
) -> Result<(), Error> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if size > limit {
            return Err(Error::TooLarge { limit });
        }
        match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                size += length as u64;
                put(incoming, &buffer[..length])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Input(error)),
        }
    }
}
