//! What the daemon does for one client of its socket: anyone on this machine may come, and nothing that is said is
//! believed. The kernel says who it is; the rest goes the way of nullmailer-queue.
//!
//! Called by `room`, on a thread of the client's own: writing and syncing files blocks, and so may reading from
//! somebody who passes descriptors along.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::places::Crowd;
use super::wire::{Chunks, Errand};
use super::{Error, Submitter};
use crate::spool::{QueueId, Spool, Stamp};

/// An envelope of some 30,000 recipients.
const ENVELOPE: u64 = 1 << 20;
/// An engine whose loop has not turned for so long stands still.
const PULSE: Duration = Duration::from_secs(5);

/// What there is to tell of a client.
#[derive(Debug)]
pub(crate) enum Visit {
    Queued {
        uid: u32,
        pid: u32,
        id: QueueId,
    },
    Refused {
        uid: u32,
        pid: u32,
        error: String,
    },
    /// Turned away; told once until somebody has a place again.
    Busy {
        uid: u32,
    },
    /// So many more were refused or turned away in the last minute; this user had the most.
    Untold {
        count: u64,
        uid: u32,
    },
    /// Nobody can be let in; told once until somebody is.
    Trouble(io::Error),
}

/// Whoever gets it answers, if it still does its work.
pub(crate) type Pulse = SyncSender<()>;

/// Takes mail in over a socket, for the daemon of this spool.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) submitter: Submitter,
    pub(crate) spool: Spool,
    pub(crate) crowd: Crowd,
    /// Seconds since 1970.
    pub(crate) clock: fn() -> u64,
    /// The exit code and the sentence for an error.
    pub(crate) judge: fn(Error) -> (u8, String),
    /// Where the engine is felt for its pulse.
    pub(crate) engine: UnboundedSender<Pulse>,
}

/// Who the kernel says it is.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) uid: u32,
    /// Ours where the kernel knows none that we could see.
    pub(super) pid: u32,
}

/// What a client came for, and what became of it.
pub(super) enum Served {
    Queued(QueueId),
    Refused(String),
    /// It asked how we are.
    Asked,
}

/// What `room` and a client's thread tell each other.
pub(super) struct Signs {
    order: AtomicU8,
    begun: Instant,
    /// Milliseconds behind `begun`.
    heard: AtomicU64,
}

/// What a client's thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    None,
    /// Somebody else needs the place.
    Go,
    /// The daemon stops.
    Stop,
}

impl Signs {
    pub(super) fn new(now: Instant) -> Self {
        Self { order: AtomicU8::new(0), begun: now, heard: AtomicU64::new(0) }
    }

    pub(super) fn tell(&self, order: Order) {
        self.order.store(order as u8, Ordering::Relaxed);
    }

    fn told(&self) -> Order {
        let order = self.order.load(Ordering::Relaxed);
        [Order::Go, Order::Stop].into_iter().find(|one| *one as u8 == order).unwrap_or(Order::None)
    }

    fn hear(&self, now: Instant) {
        let since = now.saturating_duration_since(self.begun).as_millis();
        self.heard.store(since.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long nothing was heard.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        now.saturating_duration_since(self.begun).saturating_sub(heard)
    }
}

impl Desk {
    /// Serves one client to its end.
    pub(super) fn answer(&self, stream: &UnixStream, peer: Peer, signs: &Signs) -> Served {
        let (served, answer) = match self.serve(stream, peer, signs) {
            // Not his mistake, and no verdict: he may try another way.
            Err(Error::Input(_)) if signs.told() == Order::Stop => {
                return Served::Refused("nullmailer-send is stopping".to_owned());
            }
            Ok(Some(id)) => {
                let answer = format!("queued {id}\n");
                (Served::Queued(id), answer)
            }
            Ok(None) => (Served::Asked, self.feel_pulse()),
            Err(error) => {
                let let_go = matches!(error, Error::Input(_)) && signs.told() == Order::Go;
                let (code, sentence) = (self.judge)(if let_go { Error::LetGo } else { error });
                let answer = format!("failed {code} {}\n", sentence.replace('\n', " "));
                (Served::Refused(sentence), answer)
            }
        };
        // Whether anybody hears it does not change what became of the mail.
        let _ = { stream }.write_all(answer.as_bytes());
        served
    }

    /// The id of the message, unless it came for something else.
    fn serve(
        &self,
        stream: &UnixStream,
        peer: Peer,
        signs: &Signs,
    ) -> Result<Option<QueueId>, Error> {
        let ready = || -> io::Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(self.crowd.idle))?;
            stream.set_write_timeout(Some(self.crowd.idle))?;
            { stream }.write_all(b"ready\n")
        };
        ready().map_err(Error::Input)?;
        let by = Instant::now() + self.crowd.whole;
        match Errand::read(BufReader::new(Timed { stream, by, signs })).map_err(Error::Input)? {
            Errand::Mail(input) => self.receive(input, peer).map(Some),
            Errand::Health => Ok(None),
        }
    }

    fn feel_pulse(&self) -> String {
        let (beat, beats) = sync_channel(1);
        let sent = self.engine.send(beat);
        if sent.is_ok() && beats.recv_timeout(PULSE).is_ok() {
            return "well\n".to_owned();
        }
        let limit = PULSE.as_secs();
        format!("failed 75 nullmailer-send stands still: its loop has not turned for {limit} s\n")
    }

    fn receive(&self, input: Chunks<impl io::BufRead>, peer: Peer) -> Result<QueueId, Error> {
        let submitter = Submitter {
            stamp: Stamp { seconds: (self.clock)(), pid: peer.pid },
            uid: peer.uid,
            ..self.submitter.clone()
        };
        submitter.accept_from(&self.spool, &mut BufReader::new(input), ENVELOPE)
    }
}

/// A client that says a byte now and then is not served for ever.
struct Timed<'a> {
    stream: &'a UnixStream,
    by: Instant,
    signs: &'a Signs,
}

impl Read for Timed<'_> {
    /// std has no room for descriptors, so what comes along is closed by the kernel and never ours.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.by {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let length = self.stream.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })?;
        self.signs.hear(Instant::now());
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
