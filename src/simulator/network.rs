//! The network of a world: connections in memory, which are made late, refused or cut as the plan has it.
//!
//! Every poll of the client's end is an event that the daemon can be killed at.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::plan::Reach;
use super::record::What;
use super::world::{self, World};
use crate::transport::simulated::{Connecting, Network, Stream, unreachable};
use crate::transport::{Fault, Phase};

/// What both ends know of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) number: usize,
    /// How many bytes the client has read, and when it last read some, in milliseconds.
    read: AtomicU64,
    read_at: AtomicU64,
    /// The client has let go of it.
    gone: AtomicBool,
    reset: AtomicBool,
    went: Notify,
    meter: Arc<Meter>,
}

/// Counts the events of the network, and stops it where the daemon is to be killed.
#[derive(Debug, Default)]
pub(super) struct Meter {
    events: AtomicU64,
    /// The event to stop at; 0 for none.
    end: AtomicU64,
    stopped: AtomicBool,
    pub(super) reached: Notify,
}

impl Meter {
    pub(super) fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Stops the network at this event from now.
    pub(super) fn stop_at(&self, event: u64) {
        self.end.store(self.events() + event, Relaxed);
    }

    /// For the next daemon.
    pub(super) fn go_on(&self) {
        self.end.store(0, Relaxed);
        self.stopped.store(false, Relaxed);
    }

    /// False when nothing moves any more.
    fn tick(&self) -> bool {
        let event = self.events.fetch_add(1, Relaxed) + 1;
        if self.end.load(Relaxed) == event {
            self.stopped.store(true, Relaxed);
            self.reached.notify_one();
        }
        !self.stopped.load(Relaxed)
    }
}

impl Wire {
    pub(super) fn new(number: usize, meter: Arc<Meter>) -> Arc<Self> {
        Arc::new(Self {
            number,
            read: AtomicU64::new(0),
            read_at: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            went: Notify::new(),
            meter,
        })
    }

    /// Whether the client has read so many bytes.
    pub(super) fn has_read(&self, bytes: u64) -> bool {
        self.read.load(Relaxed) >= bytes
    }

    /// Whether it read something in this very moment.
    pub(super) fn was_read_at(&self, at: Duration) -> bool {
        self.read_at.load(Relaxed) == millis(at)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Waits until the client lets go of the connection.
    pub(super) async fn gone(&self) {
        while !self.is_gone() {
            self.went.notified().await;
        }
    }

    /// What is on its way to the client does not arrive.
    pub(super) fn reset(&self) {
        self.reset.store(true, Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        if self.reset.load(Relaxed) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The client's end.
struct Client {
    io: DuplexStream,
    wire: Arc<Wire>,
}

/// A connection that is being made, or the client's end of one: dropping it lets go.
struct Hold(Arc<Wire>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.gone.store(true, Relaxed);
        self.0.went.notify_one();
        world::current(|world| world.note(What::Closed { link: self.0.number }));
    }
}

struct Held {
    client: Client,
    _hold: Hold,
}

impl Stream for Held {
    fn peer(&self) -> Option<SocketAddr> {
        let number = u16::try_from(self.client.wire.number % 60_000).expect("it is below 60,000");
        Some(SocketAddr::from(([192, 0, 2, 1], 1024 + number)))
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Client { io, wire } = &mut self.client;
        if !wire.meter.tick() {
            return Poll::Pending;
        }
        wire.check()?;
        let before = buffer.filled().len();
        let polled = Pin::new(io).poll_read(cx, buffer);
        wire.check()?;
        let read = buffer.filled().len() - before;
        if read > 0 {
            wire.read.fetch_add(read as u64, Relaxed);
            world::current(|world| wire.read_at.store(millis(world.now()), Relaxed));
        }
        polled
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Client { io, wire } = &mut self.client;
        if !wire.meter.tick() {
            return Poll::Pending;
        }
        wire.check()?;
        Pin::new(io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client.io).poll_shutdown(cx)
    }
}

/// What the dialers of a world connect by.
pub(super) struct Lines(pub(super) Rc<World>);

/// What a connection that nobody answers is given up after.
const SILENCE: Duration = Duration::from_secs(60);
/// A name server that does not know takes longer.
const LOOK_UP: Duration = Duration::from_millis(100);
/// What is on its way at once.
const ROOM: usize = 64 * 1024;

impl Network for Lines {
    fn connect(&self, host: &str, _port: u16) -> Connecting {
        let (world, host) = (Rc::clone(&self.0), host.to_owned());
        Box::pin(async move {
            let server = world.server(&host).ok_or_else(|| no_such_name(&host))?;
            let wire = world.dial(server);
            let hold = Hold(Arc::clone(&wire));
            let (reach, latency) = world.way_to(server);
            let refused = |kind, text: &str| unreachable(Phase::Connect, kind, text.to_owned());
            match reach {
                Reach::Up => {}
                Reach::Refused => {
                    sleep(latency).await;
                    return Err(refused(io::ErrorKind::ConnectionRefused, "Connection refused"));
                }
                Reach::Silent => {
                    sleep(SILENCE).await;
                    return Err(refused(io::ErrorKind::TimedOut, "timed out"));
                }
                Reach::Nameless => {
                    sleep(LOOK_UP).await;
                    return Err(no_such_name(&host));
                }
            }
            sleep(latency).await;
            let (near, far) = tokio::io::duplex(ROOM);
            world.visit(Arc::clone(&wire), far);
            let stream: Box<dyn Stream> =
                Box::new(Held { client: Client { io: near, wire }, _hold: hold });
            Ok(stream)
        })
    }
}

fn no_such_name(host: &str) -> Fault {
    let text = format!("{host:?}: Name or service not known");
    unreachable(Phase::Resolve, io::ErrorKind::NotFound, text)
}
