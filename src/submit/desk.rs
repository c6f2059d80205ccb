//! The daemon's side of its socket: anyone on this machine may come, and nothing that is said is
//! believed. The kernel says who it is; the rest goes the way of nullmailer-queue.
//!
//! Each client that has a place has a thread, because writing and syncing files blocks and deliveries
//! must go on beside it; while nobody comes there is none.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep_until;

use super::tally::{Tally, Untold};
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

/// Descriptors that a client takes at the most.
const TAKEN: u64 = 3;

impl Crowd {
    /// No more than there are descriptors for, but one.
    pub(crate) fn within(self, descriptors: u64) -> Self {
        let room = descriptors / TAKEN;
        Self { all: self.all.min(usize::try_from(room).unwrap_or(usize::MAX).max(1)), ..self }
    }
}

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
    /// So many more were refused or turned away in the last minute; this user had the most.
    Untold {
        count: u64,
        uid: u32,
    },
    /// Nobody can be let in; told once until somebody is.
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

type Served = (Peer, Result<QueueId, String>);

/// Who is there, and what was told of whom.
struct Room<F> {
    running: JoinSet<Served>,
    streams: HashMap<Id, Weak<UnixStream>>,
    present: HashMap<u32, usize>,
    turned_away: bool,
    in_trouble: bool,
    tally: Tally,
    note: F,
}

impl Desk {
    /// Serves whoever comes, until `closing` is true. Then nobody is let in, and whoever has sent a whole
    /// message has his answer before it returns: a client that has not is not waited for.
    ///
    /// Must run inside a `LocalSet`.
    pub(crate) async fn serve(
        self,
        listener: UnixListener,
        mut closing: watch::Receiver<bool>,
        note: impl Fn(Visit<'_>),
    ) {
        let mut room = Room {
            running: JoinSet::new(),
            streams: HashMap::new(),
            present: HashMap::new(),
            turned_away: false,
            in_trouble: false,
            tally: Tally::new(tokio::time::Instant::now()),
            note,
        };
        let closed = Arc::new(AtomicBool::new(false));
        // Set while we take a breath.
        let mut breath = None;
        loop {
            let due = [breath, room.tally.due()].into_iter().flatten().min();
            tokio::select! {
                Some(done) = room.running.join_next_with_id(), if !room.running.is_empty() => {
                    room.leave(done);
                }
                came = listener.accept(), if breath.is_none() => {
                    match came.and_then(|(stream, _)| self.know(stream)) {
                        Ok((stream, peer)) => room.enter(&self, stream, peer, &closed),
                        Err(error) => {
                            room.trouble(&error);
                            breath = Some(tokio::time::Instant::now() + BREATH);
                        }
                    }
                }
                // An error: whoever could close it is gone.
                _ = closing.wait_for(|closing| *closing) => break,
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    let now = tokio::time::Instant::now();
                    breath = breath.filter(|until| *until > now);
                    if room.tally.due().is_some_and(|due| due <= now) {
                        room.tell_untold();
                    }
                }
            }
        }
        drop(listener);
        closed.store(true, Ordering::Relaxed);
        // What is on its way is still read, and then there is an end.
        for stream in room.streams.values().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Read);
        }
        while let Some(done) = room.running.join_next_with_id().await {
            room.leave(done);
        }
        room.tell_untold();
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

    fn answer(
        &self,
        stream: &UnixStream,
        peer: Peer,
        closed: &AtomicBool,
    ) -> Result<QueueId, String> {
        let (result, answer) = match self.receive(stream, peer) {
            // Not his mistake, and no verdict: he may try another way.
            Err(Error::Input(_)) if closed.load(Ordering::Relaxed) => {
                return Err("nullmailer-send is stopping".to_owned());
            }
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

impl<F: Fn(Visit<'_>)> Room<F> {
    fn enter(&mut self, desk: &Desk, stream: UnixStream, peer: Peer, closed: &Arc<AtomicBool>) {
        self.in_trouble = false;
        let count = self.present.get(&peer.uid).copied().unwrap_or_default();
        let full = count >= desk.crowd.per_uid || self.running.len() >= desk.crowd.all;
        // Root, who could end us, has a place always.
        if full && peer.uid != 0 {
            let _ = (&stream).write_all(b"busy\n");
            if !self.turned_away {
                self.turned_away = true;
                if self.tells(peer.uid) {
                    (self.note)(Visit::Busy { uid: peer.uid });
                }
            }
            return;
        }
        self.present.insert(peer.uid, count + 1);
        let (desk, stream, closed) = (desk.clone(), Arc::new(stream), Arc::clone(closed));
        let kept = Arc::downgrade(&stream);
        let served =
            self.running.spawn_blocking(move || (peer, desk.answer(&stream, peer, &closed)));
        self.streams.insert(served.id(), kept);
    }

    fn leave(&mut self, done: Result<(Id, Served), JoinError>) {
        // A thread that panicked ends the process: panics abort.
        let Ok((id, (Peer { uid, pid }, result))) = done else { return };
        self.streams.remove(&id);
        self.turned_away = false;
        if let Some(count) = self.present.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                self.present.remove(&uid);
            }
        }
        match &result {
            Ok(id) => (self.note)(Visit::Queued { uid, pid, id }),
            Err(error) if self.tells(uid) => (self.note)(Visit::Refused { uid, pid, error }),
            Err(_) => {}
        }
    }

    fn trouble(&mut self, error: &io::Error) {
        if !self.in_trouble {
            (self.note)(Visit::Trouble(error));
        }
        self.in_trouble = true;
    }

    fn tells(&mut self, uid: u32) -> bool {
        self.tally.tells(uid, tokio::time::Instant::now())
    }

    fn tell_untold(&mut self) {
        if let Some(Untold { count, uid }) = self.tally.take(tokio::time::Instant::now()) {
            (self.note)(Visit::Untold { count, uid });
        }
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;
    use std::thread;

    use super::*;
    use crate::config::Directories;
    use crate::role::Privilege;

    const CROWD: Crowd = Crowd {
        all: 9,
        per_uid: 9,
        idle: Duration::from_secs(3600),
        whole: Duration::from_secs(3600),
    };
    const MAIL: &[u8] = b"nullmailer-submit 1\n16\na@b.c\nd@e.f\n\nx\n\n0\n";

    /// Opens a desk for a client, who closes it, and returns what was told and what is in the spool.
    fn visited(
        crowd: Crowd,
        client: impl FnOnce(&Path, &watch::Sender<bool>) + Send,
    ) -> (Vec<String>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let prefix = ("NULLMAILER_TEST_PREFIX".into(), dir.path().into());
        let directories = Directories::find(Privilege::None, [prefix]);
        let spool = Spool::open(&directories.spool).unwrap();
        std::fs::create_dir(&directories.config).unwrap();
        std::fs::write(directories.config.join("me"), "f.q.d.n").unwrap();
        let path = directories.sockets[0].clone();
        let submitter = Submitter {
            directories,
            kernel_name: None,
            stamp: Stamp { seconds: 1, pid: 2 },
            uid: 3,
            queue_program: None,
        };
        let judge = |error: Error| (75, error.to_string());
        let desk = Desk { submitter, spool: spool.clone(), crowd, clock: || 1, judge };
        let told = RefCell::default();
        let note = |visit: Visit<'_>| {
            let mut told: std::cell::RefMut<'_, Vec<String>> = RefCell::borrow_mut(&told);
            told.push(match visit {
                Visit::Queued { .. } => "queued".to_owned(),
                Visit::Refused { error, .. } => error.to_owned(),
                Visit::Busy { .. } => "busy".to_owned(),
                Visit::Untold { count, .. } => format!("untold {count}"),
                Visit::Trouble(error) => error.to_string(),
            });
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (closer, closing) = watch::channel(false);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                client(&path, &closer);
                closer.send_replace(true);
            });
            runtime.block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                desk.serve(listener, closing, note).await;
            });
        });
        let left = ["queue", "tmp"]
            .map(|folder| std::fs::read_dir(spool.root().join(folder)).unwrap().count());
        assert_eq!(left[1], 0);
        (told.into_inner(), left[0])
    }

    fn connect(path: &Path) -> UnixStream {
        let stream = UnixStream::connect(path).unwrap();
        let mut ready = [0; 6];
        { &stream }.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready\n");
        stream
    }

    fn heard(mut stream: &UnixStream) -> String {
        let mut all = String::new();
        let _ = stream.read_to_string(&mut all);
        all
    }

    #[test]
    fn who_is_silent_too_long_is_turned_out() {
        let crowd = Crowd { idle: Duration::from_millis(10), ..CROWD };
        let answer = "cannot read the message: timed out";
        for said in [&b""[..], &MAIL[..22], &MAIL[..MAIL.len() - 2]] {
            let (told, queued) = visited(crowd, |path, _| {
                let mut stream = connect(path);
                stream.write_all(said).unwrap();
                assert_eq!(heard(&stream), format!("failed 75 {answer}\n"));
            });
            assert_eq!((told, queued), (vec![answer.to_owned()], 0));
        }
    }

    #[test]
    fn who_says_a_byte_now_and_then_is_turned_out_when_his_time_is_over() {
        let crowd = Crowd { whole: Duration::from_millis(20), ..CROWD };
        let (told, queued) = visited(crowd, |path, _| {
            let mut stream = connect(path);
            stream.write_all(&MAIL[..39]).unwrap();
            while stream.write_all(b"1\nx").is_ok() {}
            assert_eq!(heard(&stream), "failed 75 cannot read the message: timed out\n");
        });
        assert_eq!((told.len(), queued), (1, 0), "{told:?}");
    }

    #[test]
    fn a_desk_that_closes_answers_whoever_has_said_all_and_waits_for_nobody_else() {
        let (mut told, queued) = visited(CROWD, |path, closer| {
            let (silent, half, whole) = (connect(path), connect(path), connect(path));
            { &half }.write_all(&MAIL[..MAIL.len() - 2]).unwrap();
            { &whole }.write_all(MAIL).unwrap();
            closer.send_replace(true);
            assert!(heard(&whole).starts_with("queued 1."));
            assert_eq!((heard(&silent), heard(&half)), (String::new(), String::new()));
        });
        told.sort();
        let stopping = "nullmailer-send is stopping";
        assert_eq!((told, queued), ([stopping, stopping, "queued"].map(String::from).into(), 1));
    }

    #[test]
    fn of_many_refusals_some_are_told_and_the_others_counted() {
        let (told, _) = visited(CROWD, |path, _| {
            for _ in 0..30 {
                let mut stream = connect(path);
                let _ = stream.write_all(b"garbage\n");
                assert!(heard(&stream).starts_with("failed 75 "));
            }
        });
        assert_eq!((told.len(), told[10].as_str()), (11, "untold 20"), "{told:?}");
    }

    #[test]
    fn there_are_no_more_clients_than_descriptors_for_them() {
        let crowd = Crowd { all: 100, ..CROWD };
        let all = [0, 8, 40, 232, 1000, u64::MAX].map(|limit| crowd.within(limit).all);
        assert_eq!(all, [1, 2, 13, 77, 100, 100]);
    }
}
