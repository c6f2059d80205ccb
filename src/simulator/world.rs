//! A world: a spool, a daemon, servers, a clock of their own, and what a plan has happen to them.
//!
//! Everything runs on one thread under tokio's paused clock, which jumps to the next moment at which
//! something is to happen. The daemon is the real engine on a real spool; servers are tasks.

use std::cell::{Cell, Ref, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::dialogue::Dialogue;
use super::draw::Draw;
use super::facts::{Facts, Server};
use super::keeper;
use super::laws::{Breach, Laws, View};
use super::network::{Lines, Meter, Wire};
use super::plan::{Break, Letter, MINUTE, Mood, Phase, Plan, Reach, SECOND, Treat, Trouble, host};
use super::post;
use super::record::{self, What};
use crate::config::Directories;
use crate::delivery::Wake;
use crate::mail::Moment;
use crate::role::Privilege;
use crate::spool::{self, Spool};
use crate::transport::simulated;

/// When the world begins, in seconds since 1970.
pub(super) const EPOCH: u64 = 2_000_000_000;
/// Peace comes early to a world in which so much has happened.
const LONG: usize = 40_000;
/// The process that the daemon is, in every life.
const DAEMON: u32 = 7;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) begun: Instant,
    folder: TempDir,
    pub(super) directories: Directories,
    pub(super) spool: Spool,
    facts: RefCell<Facts>,
    laws: RefCell<Laws>,
    events: RefCell<Vec<(Duration, What)>>,
    breaches: RefCell<Vec<Breach>>,
    /// The letters that were handed in.
    pub(super) letters: RefCell<Vec<Letter>>,
    /// Set while one is being handed in.
    pub(super) handing_in: Cell<bool>,
    sessions: RefCell<Vec<usize>>,
    pub(super) wakes: RefCell<Option<mpsc::Sender<Wake>>>,
    pub(super) meter: Arc<Meter>,
    visitors: mpsc::UnboundedSender<(Arc<Wire>, DuplexStream)>,
    /// Enough has happened.
    pub(super) long: Notify,
    /// Kills the daemon.
    pub(super) killed: Notify,
    /// How long it stays dead, or stopped.
    pub(super) rest: Cell<Duration>,
    pub(super) over: Cell<bool>,
}

/// So many breaches of one law are shown.
const BREACHES: usize = 3;
/// What came of a world.
#[derive(Debug)]
pub(super) struct Outcome {
    seed: u64,
    pub(super) breaches: Vec<Breach>,
    events: Vec<(Duration, What)>,
    /// The server of each connection.
    pub(super) servers: Vec<usize>,
    pub(super) lasted: Duration,
    pub(super) messages: usize,
}

/// So much of what came before the first breach is shown.
const TRACE: usize = 60;

impl Outcome {
    /// Everything that happened.
    pub(super) fn trace(&self) -> impl Iterator<Item = String> {
        self.events.iter().map(|(at, what)| record::line(*at, what, |link| self.servers[link]))
    }

    pub(super) fn crashes(&self) -> usize {
        self.events.iter().filter(|(_, what)| matches!(what, What::Crashed)).count()
    }
}

/// The seed, what was broken, and what came before it; all of it with `SIMULATE_TRACE`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}:", self.seed)?;
        self.breaches.iter().try_for_each(|breach| writeln!(f, "{breach}"))?;
        let (from, to) = if std::env::var_os("SIMULATE_TRACE").is_some() {
            (0, self.events.len())
        } else {
            let first = self.breaches.first().map_or(Duration::ZERO, |breach| breach.at);
            let to = self.events.partition_point(|(at, _)| *at <= first);
            (to.saturating_sub(TRACE), to)
        };
        self.trace().take(to).skip(from).try_for_each(|line| writeln!(f, "{line}"))
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
    static MOMENTS: Cell<u32> = const { Cell::new(0) };
}

/// Calls `with` with the world of this thread, if there is one.
pub(super) fn current(with: impl FnOnce(&World)) {
    let world = CURRENT.with_borrow(Clone::clone);
    if let Some(world) = world {
        with(&world);
    }
}

/// The world's clock, which no two look at in the same microsecond.
pub(super) fn clock() -> Moment {
    let passed = CURRENT.with_borrow(|world| world.as_ref().map(|world| world.now()));
    let micros = MOMENTS.replace(MOMENTS.get() + 1) % 1_000_000;
    Moment { seconds: EPOCH + passed.unwrap_or_default().as_secs(), micros, pid: DAEMON }
}

/// Plays a plan to its end.
pub(super) fn play(plan: Plan) -> Outcome {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    // Without it tokio draws which of two things that happen in the same moment is seen first.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&plan.seed.to_le_bytes()));
    let runtime = builder.build().expect("a runtime without sockets needs nothing of the system");
    LocalSet::new().block_on(&runtime, async {
        let (visitors, doors) = mpsc::unbounded_channel();
        let world = World::new(plan, visitors);
        CURRENT.set(Some(Rc::clone(&world)));
        MOMENTS.set(0);
        let _lines = simulated::install(Rc::new(Lines(Rc::clone(&world))));
        let watcher = Rc::clone(&world);
        let _watched = spool::simulated::watch(Rc::new(move |file: &Path, stamp| {
            watcher.queued(file, stamp);
        }));
        let servers = spawn_local(serve(Rc::clone(&world), doors));
        let daemon = spawn_local(keeper::keep(Rc::clone(&world)));
        world.direct().await;
        daemon.await.expect("it does not panic");
        servers.abort();
        world.judge();
        CURRENT.set(None);
        world.outcome()
    })
}

/// Lets the servers speak with whoever comes.
async fn serve(world: Rc<World>, mut doors: mpsc::UnboundedReceiver<(Arc<Wire>, DuplexStream)>) {
    while let Some((wire, io)) = doors.recv().await {
        spawn_local(Dialogue::new(Rc::clone(&world), wire, io).run());
    }
}

impl World {
    fn new(plan: Plan, visitors: mpsc::UnboundedSender<(Arc<Wire>, DuplexStream)>) -> Rc<Self> {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder can be made");
        let prefix = ("NULLMAILER_TEST_PREFIX".into(), folder.path().into());
        let directories = Directories::find(Privilege::None, [prefix]);
        fs::create_dir(&directories.config).expect("a folder can be made");
        plan.config.write(&directories.config);
        let spool = Spool::open(&directories.spool).expect("a spool can be made");
        let mut facts = Facts::default();
        facts.servers.extend(plan.servers.iter().map(|_| Server::new(Mood::well())));
        facts.configs.push((Duration::ZERO, plan.config.clone()));
        let sessions = vec![0; plan.servers.len()];
        Rc::new(Self {
            plan,
            begun: Instant::now(),
            folder,
            directories,
            spool,
            facts: RefCell::new(facts),
            laws: RefCell::new(Laws::new()),
            events: RefCell::default(),
            breaches: RefCell::default(),
            letters: RefCell::default(),
            handing_in: Cell::new(false),
            sessions: RefCell::new(sessions),
            wakes: RefCell::default(),
            meter: Arc::default(),
            visitors,
            long: Notify::new(),
            killed: Notify::new(),
            rest: Cell::default(),
            over: Cell::new(false),
        })
    }

    /// Since the world began.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn facts(&self) -> Ref<'_, Facts> {
        self.facts.borrow()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.borrow_mut());
    }

    /// Writes an event down and has the laws look at it.
    pub(super) fn note(&self, what: What) {
        let (at, mut laws) = (self.now(), self.laws.borrow_mut());
        let mut found = Vec::new();
        laws.before(View { at, facts: &self.facts.borrow(), world: self }, &mut found);
        self.facts.borrow_mut().take(at, &what);
        laws.see(&what, View { at, facts: &self.facts.borrow(), world: self }, &mut found);
        let mut events = self.events.borrow_mut();
        events.push((at, what));
        if events.len() == LONG {
            self.long.notify_one();
        }
        drop(events);
        for breach in found {
            self.accuse(breach);
        }
    }

    /// The last look at everything.
    fn judge(&self) {
        let (at, mut found) = (self.now(), Vec::new());
        let view = View { at, facts: &self.facts.borrow(), world: self };
        self.laws.borrow_mut().end(view, &mut found);
        for breach in found {
            self.accuse(breach);
        }
    }

    pub(super) fn accuse(&self, breach: Breach) {
        let mut breaches = self.breaches.borrow_mut();
        if breaches.iter().filter(|other| other.law == breach.law).count() < BREACHES {
            breaches.push(breach);
        }
    }

    fn outcome(&self) -> Outcome {
        let facts = self.facts.borrow();
        Outcome {
            seed: self.plan.seed,
            breaches: self.breaches.take(),
            events: self.events.take(),
            servers: facts.links.iter().map(|link| link.server).collect(),
            lasted: self.now(),
            messages: facts.messages.len(),
        }
    }

    /// A text without the folder of this world, which has another name each time.
    pub(super) fn placeless(&self, text: &str) -> String {
        text.replace(&*self.folder.path().to_string_lossy(), "")
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(self.spool.queue()).expect("there is a queue").next().is_none()
    }

    /// A file of the spool.
    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("queue").join(name)
    }
}

/// What servers and the network ask.
impl World {
    pub(super) fn server(&self, name: &str) -> Option<usize> {
        (0..self.plan.servers.len()).find(|server| host(*server) == name)
    }

    pub(super) fn mood(&self, server: usize) -> Mood {
        self.facts().servers[server].mood.clone()
    }

    pub(super) fn way_to(&self, server: usize) -> (Reach, Duration) {
        (self.facts().servers[server].mood.reach, self.plan.servers[server].latency)
    }

    pub(super) fn dial(&self, server: usize) -> Arc<Wire> {
        let link = self.facts().links.len();
        let wire = Wire::new(link, Arc::clone(&self.meter));
        let at = self.now();
        self.change(|facts| facts.dial(at, server, Arc::clone(&wire)));
        self.note(What::Dialled { link });
        // It is known only when it is over how long it was in the way.
        if self.facts().servers[server].mood.reach != Reach::Up {
            self.note(What::Troubled { link, how: Break::Hang, phase: Phase::Greeting });
        }
        wire
    }

    pub(super) fn visit(&self, wire: Arc<Wire>, io: DuplexStream) {
        // At the end of the world nobody opens.
        let _ = self.visitors.send((wire, io));
    }

    /// False if the server has as many sessions as it takes.
    pub(super) fn enter(&self, server: usize) -> bool {
        let capacity = self.facts().servers[server].mood.capacity;
        let sessions = &mut self.sessions.borrow_mut()[server];
        let has_room = *sessions < capacity;
        *sessions += usize::from(has_room);
        has_room
    }

    pub(super) fn leave(&self, server: usize) {
        self.sessions.borrow_mut()[server] -= 1;
    }

    pub(super) fn fate(&self, server: usize, address: &str) -> Treat {
        let fate = post::fate(&self.letters.borrow(), address);
        let counts = fate.on.is_none_or(|on| on == server) && self.now() < fate.until;
        if counts { fate.how } else { Treat::Fine }
    }

    /// What goes wrong in a session, if anything does.
    pub(super) fn draw_trouble(&self, server: usize, link: usize) -> Option<Trouble> {
        let troubled = self.facts().servers[server].mood.troubled;
        let mut draw = Draw::new(self.plan.seed, 0x10_0000 + link as u64);
        if !draw.chance(troubled) {
            return None;
        }
        let phase = draw.pick(&[
            Phase::Greeting,
            Phase::Hello,
            Phase::Login,
            Phase::Mail,
            Phase::Rcpt,
            Phase::Data,
            Phase::Text,
            Phase::Answer,
            Phase::Answer,
            Phase::Answer,
        ]);
        let slow = Break::Slow(draw.span(SECOND, 11 * MINUTE));
        let how =
            draw.pick(&[Break::Close, Break::Close, Break::Reset, Break::Hang, slow, Break::Leave]);
        let first = matches!(phase, Phase::Greeting | Phase::Hello | Phase::Login);
        let after = if first { 0 } else { draw.pick(&[0, 0, 1, 2]) };
        Some(Trouble { phase, after, how, taken: draw.chance(50) })
    }
}
