//! Keeps a daemon running: starts it, kills it or has it stop as the plan says, and starts the next one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::laws::{Breach, Law};
use super::record::What;
use super::world::{self, World, clock};
use crate::delivery::Engine;
use crate::log::{Addresses, Format, Log, Manager, Sink};

/// More than any arrival is told at once.
const WAKES: usize = 4096;
/// So often the engine may be looked at within a second in which it has less than this to do.
const TURNS: u64 = 50_000;
/// SIGTERM ends the daemon within ten seconds, and its servers' farewells.
const STOP: Duration = Duration::from_secs(13);

pub(super) async fn keep(world: Rc<World>) {
    while !world.over.get() {
        let (wakes, inbox) = mpsc::channel(WAKES);
        world.wakes.replace(Some(wakes));
        world.meter.go_on();
        world.change(|facts| facts.daemon.watched = world.plan.watched);
        world.note(What::Begun);
        let submitter = world.submitter(clock().pid);
        let lock = world.spool.lock().expect("the daemon before this one has ended");
        let mut engine = Engine::new(lock, log(&world), submitter, clock, TimeZone::UTC);
        if world.plan.watched {
            engine.is_watched();
        }
        let house = LocalSet::new();
        let stopped = tokio::select! {
            biased;
            () = killed(&world) => false,
            () = counted(&world, house.run_until(kept(engine.run(inbox)))) => true,
        };
        world.wakes.replace(None);
        drop(house);
        world.note(if stopped { What::Stopped } else { What::Crashed });
        if !world.over.get() {
            sleep(world.rest.get()).await;
        }
    }
}

/// Returns when the daemon is to die: at once, or because it does not stop at the end.
async fn killed(world: &World) {
    tokio::select! {
        biased;
        () = world.killed.notified() => {}
        () = world.meter.reached.notified() => {}
    }
    if world.over.get() {
        sleep(STOP).await;
        world.accuse(Breach::new(Law::Stop, world.now(), "it does not stop".to_owned()));
    }
}

/// Nobody takes the lock away.
async fn kept(engine: impl Future<Output = Result<(), crate::spool::Error>>) {
    engine.await.expect("the lock is there");
}

/// Runs the engine, and sees that it comes to rest.
async fn counted(world: &World, engine: impl Future<Output = ()>) {
    let (mut turns, mut second) = (0, 0);
    let mut engine = pin!(engine);
    poll_fn(|cx| {
        let now = world.now();
        if now.as_secs() != second {
            (second, turns) = (now.as_secs(), 0);
        }
        turns += 1;
        if turns == TURNS {
            let text = format!("{turns} turns in one second");
            world.accuse(Breach::new(Law::Spin, now, text));
            world.over.set(true);
            return std::task::Poll::Ready(());
        }
        engine.as_mut().poll(cx)
    })
    .await;
}

fn log(world: &Rc<World>) -> Log {
    let lines = Lines { world: Rc::downgrade(world), rest: Vec::new() };
    Log {
        sink: Sink::Stream(RefCell::new(Box::new(lines))),
        format: Format::default(),
        addresses: Addresses::default(),
        salt: std::hash::RandomState::new(),
        clock: world::clock,
        manager: Manager::default(),
        missed: std::cell::Cell::default(),
    }
}

/// Makes events of what the daemon logs.
struct Lines {
    world: std::rc::Weak<World>,
    rest: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
            self.rest.drain(..=end);
            if let Some(world) = self.world.upgrade() {
                world.note(What::Logged(world.placeless(&line)));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
