//! Lets clients in at the daemon's socket, on a thread of its own: the engine's thread never has a client's stream in
//! its hands, because closing one may wait for as long as the client chose.
//!
//! Called by the role of the daemon. Each client that has a place has a thread (`desk`), and all streams are closed by
//! one more (`broom`). Where no thread can be had a client is told to come later; none is made in any other way.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::broom::{self, Bin, Broom, no_thread};
use super::desk::{Desk, Order, Peer, Served, Signs, Visit};
use super::places::{Number, Places, Verdict};
use super::tally::{Tally, Untold};
use crate::sys;

/// A process that has no descriptor or no thread left takes a breath.
const BREATH: Duration = Duration::from_secs(1);
/// Where it comes and goes, trouble is said once in so long.
const QUIET: Duration = Duration::from_secs(60);
/// Who has said nothing for so long is silent.
const SILENT: Duration = Duration::from_secs(1);
/// How often is looked after a thread that ought to go on, and after what time such a one is nudged.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_millis(200);

/// A client that has a place.
struct Client {
    peer: Peer,
    stream: Weak<UnixStream>,
    signs: Arc<Signs>,
    thread: JoinHandle<()>,
}

/// Who is there, and what was told of whom.
struct Room {
    desk: Desk,
    places: Places,
    clients: HashMap<Number, Client>,
    left: mpsc::UnboundedSender<(Number, Served)>,
    bin: Bin,
    broom: Broom,
    turned_away: bool,
    /// When it was last said that nobody could be let in.
    complained: Option<Instant>,
    tally: Tally,
    /// Without a bound: what is told of refusals is counted, and mail takes longer to sync than its line to write.
    told: mpsc::UnboundedSender<Visit>,
}

impl Desk {
    /// Serves whoever comes on a thread of its own, until `closing` is true. Then nobody is let in, and whoever has
    /// sent a whole message has his answer before `told` and `closing` are dropped: a client that has not is not
    /// waited for.
    ///
    /// # Errors
    /// No thread can be had, or no descriptor: it may be tried again.
    pub(crate) fn open(
        &self,
        listener: &std::os::unix::net::UnixListener,
        closing: watch::Receiver<bool>,
        told: mpsc::UnboundedSender<Visit>,
    ) -> io::Result<()> {
        let listener = listener.try_clone()?;
        let (bin, broom) = broom::start()?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let runtime = Loop(Some(runtime));
        let listener = runtime.watch(listener)?;
        let (left, leaving) = mpsc::unbounded_channel();
        let room = Room {
            desk: self.clone(),
            places: Places::default(),
            clients: HashMap::new(),
            left,
            bin,
            broom,
            turned_away: false,
            complained: None,
            tally: Tally::new(Instant::now()),
            told,
        };
        let work = move || runtime.run(room.serve(listener, closing, leaving));
        Builder::new().name("reception".to_owned()).spawn(work).map(drop).map_err(no_thread)
    }
}

/// The loop of the thread that lets clients in. Where there is no such thread it is dropped inside the engine's, which
/// a runtime by itself answers with a panic.
struct Loop(Option<tokio::runtime::Runtime>);

impl Loop {
    fn watch(&self, listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        let _inside = self.0.as_ref().map(tokio::runtime::Runtime::enter);
        UnixListener::from_std(listener)
    }

    fn run(&self, work: impl Future<Output = ()>) {
        if let Some(runtime) = &self.0 {
            runtime.block_on(work);
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Room {
    async fn serve(
        mut self,
        listener: UnixListener,
        mut closing: watch::Receiver<bool>,
        mut leaving: mpsc::UnboundedReceiver<(Number, Served)>,
    ) {
        // Set while we take a breath.
        let mut breath = None;
        loop {
            let look = self.has_to_look().then(|| Instant::now() + LOOK);
            let due = [breath, look, self.tally.due()].into_iter().flatten().min();
            tokio::select! {
                Some((number, served)) = leaving.recv() => self.leave(number, served),
                came = listener.accept(), if breath.is_none() && !self.bin.is_full() => {
                    let entered = came.and_then(|(stream, _)| self.enter(stream));
                    if let Err(error) = entered {
                        self.trouble(error);
                        breath = Some(Instant::now() + BREATH);
                    }
                }
                // An error: whoever could close it is gone.
                _ = closing.wait_for(|closing| *closing) => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let now = Instant::now();
                    breath = breath.filter(|until| *until > now);
                    self.look_after_threads();
                    if self.tally.due().is_some_and(|due| due <= now) {
                        self.tell_untold();
                    }
                }
            }
        }
        // Closing it would close, here, what those have passed who were not let in. The end of the process does not
        // wait for that.
        std::mem::forget(listener);
        // What is on its way is still read, and then there is an end.
        let there: Vec<_> = self.clients.keys().copied().collect();
        for number in there {
            self.let_go(number, Order::Stop);
        }
        while !self.clients.is_empty() {
            tokio::select! {
                Some((number, served)) = leaving.recv() => self.leave(number, served),
                () = tokio::time::sleep(LOOK) => self.look_after_threads(),
            }
        }
        self.tell_untold();
    }

    /// # Errors
    /// Nobody else can be let in for now. This one was told so.
    fn enter(&mut self, stream: tokio::net::UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred();
        // It does not block, so nothing that is said from here waits.
        let stream = Arc::new(stream.into_std()?);
        let known = match peer {
            Ok(known) => known,
            Err(error) => {
                self.turn_away(stream);
                return Err(error);
            }
        };
        let pid = known.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let peer = Peer { uid: known.uid(), pid: pid.unwrap_or(self.desk.submitter.stamp.pid) };
        let now = std::time::Instant::now();
        let is_silent = |number| {
            self.clients.get(&number).is_some_and(|client| client.signs.silence(now) >= SILENT)
        };
        match self.places.judge(&self.desk.crowd, peer.uid, now, is_silent) {
            Verdict::Welcome => {}
            Verdict::InPlaceOf(other) => self.let_go(other, Order::Go),
            Verdict::Busy => {
                self.turn_away(stream);
                if !self.turned_away {
                    self.turned_away = true;
                    if self.tells(peer.uid) {
                        self.tell(Visit::Busy { uid: peer.uid });
                    }
                }
                return Ok(());
            }
        }
        let number = self.places.take(peer.uid, now);
        let signs = Arc::new(Signs::new(now));
        let weak = Arc::downgrade(&stream);
        let (desk, bin, left) = (self.desk.clone(), self.bin.clone(), self.left.clone());
        let (his, heeded) = (Arc::clone(&stream), Arc::clone(&signs));
        let work = move || {
            let served = desk.answer(&his, peer, &heeded);
            bin.throw(his);
            // Nobody hears it at the end of the daemon.
            let _ = left.send((number, served));
        };
        match Builder::new().name("client".to_owned()).spawn(work) {
            Ok(thread) => {
                // His thread may be through with it already.
                self.bin.release(stream);
                self.clients.insert(number, Client { peer, stream: weak, signs, thread });
                Ok(())
            }
            Err(error) => {
                self.places.leave(number);
                self.turn_away(stream);
                Err(no_thread(error))
            }
        }
    }

    fn turn_away(&mut self, stream: Arc<UnixStream>) {
        let _ = { &*stream }.write_all(b"busy\n");
        self.bin.throw(stream);
    }

    /// Tells a client's thread to come to its end; what has arrived is still read.
    fn let_go(&mut self, number: Number, order: Order) {
        let Some(client) = self.clients.get(&number) else { return };
        self.places.let_go(number, std::time::Instant::now());
        client.signs.tell(order);
        if let Some(stream) = client.stream.upgrade() {
            let _ = stream.shutdown(Shutdown::Read);
            self.bin.release(stream);
        }
    }

    fn leave(&mut self, number: Number, served: Served) {
        self.places.leave(number);
        self.turned_away = false;
        let Some(Client { peer: Peer { uid, pid }, .. }) = self.clients.remove(&number) else {
            return;
        };
        match served {
            Served::Queued(id) => self.tell(Visit::Queued { uid, pid, id }),
            Served::Refused(error) if self.tells(uid) => {
                self.tell(Visit::Refused { uid, pid, error });
            }
            Served::Refused(_) | Served::Asked => {}
        }
    }

    /// Whether some thread may be waiting for what only a nudge ends.
    fn has_to_look(&self) -> bool {
        !self.bin.is_empty() || self.places.leaving().next().is_some()
    }

    fn look_after_threads(&mut self) {
        if !self.bin.is_empty() {
            self.broom.nudge();
        }
        let now = std::time::Instant::now();
        for (number, since) in self.places.leaving() {
            if now.saturating_duration_since(since) >= PATIENCE
                && let Some(client) = self.clients.get(&number)
            {
                sys::nudge(&client.thread);
            }
        }
    }

    fn trouble(&mut self, error: io::Error) {
        let now = Instant::now();
        if self.complained.is_none_or(|before| now - before > QUIET) {
            self.complained = Some(now);
            self.tell(Visit::Trouble(error));
        }
    }

    fn tells(&mut self, uid: u32) -> bool {
        self.tally.tells(uid, Instant::now())
    }

    fn tell(&self, visit: Visit) {
        // Nobody listens any more at the end of the daemon.
        let _ = self.told.send(visit);
    }

    fn tell_untold(&mut self) {
        if let Some(Untold { count, uid }) = self.tally.take(Instant::now()) {
            self.tell(Visit::Untold { count, uid });
        }
    }
}
