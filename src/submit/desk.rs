//! The daemon's side of its socket: anyone on this machine may come, and nothing that is said is
//! believed. The kernel says who it is; the rest goes the way of nullmailer-queue.
//!
//! Each client that has a place has a thread, because writing and syncing files blocks and deliveries
//! must go on beside it; while nobody comes there is none.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::wire::Chunks;
use super::{Error, Submission, Submitter, grammar};
use crate::spool::{QueueId, Spool, Stamp};

/// How many may come at once, and how long they may stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// A thread and two descriptors each, of the 1024 that a process usually has.
    pub(crate) all: usize,
    /// So many that five users can fill the room, and no fewer.
    pub(crate) per_uid: usize,
    /// Our own client has the whole message before it comes, so silence means nothing good.
    pub(crate) idle: Duration,
    pub(crate) whole: Duration,
}

/// An envelope of some 30,000 recipients.
const ENVELOPE: u64 = 1 << 20;
/// A process that has no descriptor left takes a breath.
const BREATH: Duration = Duration::from_secs(1);

/// What there is to tell of a client.
pub(crate) enum Visit<'a> {
    Queued {
        uid: u32,
        pid: u32,
        id: &'a QueueId,
    },
    Refused {
        uid: u32,
        pid: u32,
        error: &'a str,
    },
    /// Turned away; told once until somebody has a place again.
    Busy {
        uid: u32,
    },
    /// Nobody can be let in.
    Trouble(&'a io::Error),
}

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
}

#[derive(Clone, Copy)]
struct Peer {
    uid: u32,
    /// Ours where the kernel knows none that we could see.
    pid: u32,
}

impl Desk {
    /// Serves whoever comes; never ends. Must run inside a `LocalSet`.
    pub(crate) async fn serve(self, listener: UnixListener, note: impl Fn(Visit<'_>)) {
        let mut running: JoinSet<(Peer, Result<QueueId, String>)> = JoinSet::new();
        let mut present: HashMap<u32, usize> = HashMap::new();
        let mut turned_away = false;
        loop {
            tokio::select! {
                Some(done) = running.join_next(), if !running.is_empty() => {
                    // A thread that panicked ends the process: panics abort.
                    let Ok((peer, result)) = done else { continue };
                    turned_away = false;
                    if let Some(count) = present.get_mut(&peer.uid) {
                        *count -= 1;
                        if *count == 0 {
                            present.remove(&peer.uid);
                        }
                    }
                    let Peer { uid, pid } = peer;
                    note(match &result {
                        Ok(id) => Visit::Queued { uid, pid, id },
                        Err(error) => Visit::Refused { uid, pid, error },
                    });
                }
                came = listener.accept() => {
                    let (stream, peer) = match came.and_then(|(stream, _)| self.know(stream)) {
                        Ok(came) => came,
                        Err(error) => {
                            note(Visit::Trouble(&error));
                            sleep(BREATH).await;
                            continue;
                        }
                    };
                    let count = present.entry(peer.uid).or_default();
                    let full = *count >= self.crowd.per_uid || running.len() >= self.crowd.all;
                    // Root, who could end us, has a place always.
                    if full && peer.uid != 0 {
                        if *count == 0 {
                            present.remove(&peer.uid);
                        }
                        let _ = (&stream).write_all(b"busy\n");
                        if !turned_away {
                            turned_away = true;
                            note(Visit::Busy { uid: peer.uid });
                        }
                        continue;
                    }
                    *count += 1;
                    let desk = self.clone();
                    running.spawn_blocking(move || (peer, desk.answer(&stream, peer)));
                }
            }
        }
    }

    fn know(&self, stream: tokio::net::UnixStream) -> io::Result<(UnixStream, Peer)> {
        let known = stream.peer_cred()?;
        let pid = known.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let peer = Peer { uid: known.uid(), pid: pid.unwrap_or(self.submitter.stamp.pid) };
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(self.crowd.idle))?;
        stream.set_write_timeout(Some(self.crowd.idle))?;
        Ok((stream, peer))
    }

    fn answer(&self, stream: &UnixStream, peer: Peer) -> Result<QueueId, String> {
        let (result, answer) = match self.receive(stream, peer) {
            Ok(id) => {
                let answer = format!("queued {id}\n");
                (Ok(id), answer)
            }
            Err(error) => {
                let (code, sentence) = (self.judge)(error);
                let answer = format!("failed {code} {}\n", sentence.replace('\n', " "));
                (Err(sentence), answer)
            }
        };
        // Whether anybody hears it does not change what became of the mail.
        let _ = { stream }.write_all(answer.as_bytes());
        result
    }

    fn receive(&self, stream: &UnixStream, peer: Peer) -> Result<QueueId, Error> {
        { stream }.write_all(b"ready\n").map_err(Error::Input)?;
        let by = Instant::now() + self.crowd.whole;
        let mut input = Chunks::new(BufReader::new(Timed { stream, by })).map_err(Error::Input)?;
        let mut head = BufReader::new((&mut input).take(ENVELOPE));
        let envelope = grammar::read_envelope(&mut head);
        // What was read beyond the envelope is the message's beginning.
        let start = head.buffer().to_vec();
        let whole = head.into_inner().limit() > 0 || !start.is_empty();
        let (sender, recipients, request) = envelope?;
        if !whole {
            return Err(Error::Grammar("it is longer than 1 MiB"));
        }
        let submitter = Submitter {
            stamp: Stamp { seconds: (self.clock)(), pid: peer.pid },
            uid: peer.uid,
            ..self.submitter.clone()
        };
        let body = &mut input;
        submitter
            .accept(&self.spool, Submission { sender, recipients, request, head: &start, body })
    }
}

/// A client that says a byte now and then is not served for ever.
struct Timed<'a> {
    stream: &'a UnixStream,
    by: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.by {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}
