//! One end of a session as a server has it: lines that come, replies that go, and the trouble on the way.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::time::{sleep, timeout};

use super::network::Wire;
use super::plan::{Break, Nature, Phase, Trouble};
use super::record::What;
use super::world::World;

pub(super) struct Talk {
    pub(super) world: Rc<World>,
    pub(super) wire: Arc<Wire>,
    pub(super) nature: Nature,
    pub(super) trouble: Option<Trouble>,
    io: BufReader<DuplexStream>,
    /// Replies that are not sent yet, and how much was sent before them.
    out: Vec<u8>,
    sent: u64,
}

/// `None` is the end of the session.
pub(super) type Going<T = ()> = Option<T>;

impl Talk {
    pub(super) fn new(world: Rc<World>, wire: Arc<Wire>, io: DuplexStream) -> Self {
        let server = world.facts().server_of(wire.number);
        let trouble = world.draw_trouble(server, wire.number);
        let nature = world.plan.servers[server].clone();
        Self { world, wire, nature, trouble, io: BufReader::new(io), out: Vec::new(), sent: 0 }
    }

    /// Passes a phase, or has the trouble that waits there.
    pub(super) async fn reach(&mut self, phase: Phase) -> Going {
        let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.phase == phase) else {
            return Some(());
        };
        if trouble.after > 0 {
            trouble.after -= 1;
            return Some(());
        }
        let how = trouble.how;
        self.trouble = None;
        self.trouble_with(phase, how).await
    }

    pub(super) async fn trouble_with(&mut self, phase: Phase, how: Break) -> Going {
        self.world.note(What::Troubled { link: self.wire.number, how, phase });
        match how {
            Break::Close => None,
            Break::Reset => {
                self.wire.reset();
                None
            }
            Break::Hang => {
                self.wire.gone().await;
                None
            }
            Break::Slow(time) => {
                self.flush().await?;
                self.pause(time).await
            }
            Break::Leave => self.leave("").await,
        }
    }

    /// Waits, but not for a client that has gone.
    pub(super) async fn pause(&self, time: Duration) -> Going {
        if time.is_zero() {
            return Some(());
        }
        let mut over = pin!(sleep(time));
        tokio::select! {
            biased;
            () = self.wire.gone() => None,
            () = &mut over => Some(()),
        }
    }

    pub(super) fn say(&mut self, code: u16, text: &str) {
        self.out.extend_from_slice(format!("{code} {text}\r\n").as_bytes());
    }

    /// Where the replies end that were said so far.
    pub(super) fn end(&self) -> u64 {
        self.sent + self.out.len() as u64
    }

    pub(super) async fn flush(&mut self) -> Going {
        if self.out.is_empty() {
            return Some(());
        }
        self.pause(self.nature.latency).await?;
        let out = std::mem::take(&mut self.out);
        self.sent += out.len() as u64;
        self.io.get_mut().write_all(&out).await.ok()
    }

    /// The next line. What was said before it is sent when nothing more is there to be answered.
    pub(super) async fn line(&mut self, is_idle: bool) -> Going<String> {
        if !self.io.buffer().contains(&b'\n') {
            self.flush().await?;
        }
        let mut line = Vec::new();
        let reading = self.io.read_until(b'\n', &mut line);
        let idle = self.nature.idle.filter(|_| is_idle);
        let read = match idle {
            Some(idle) => {
                let read = timeout(idle, reading).await.ok();
                if read.is_none() {
                    self.world.note(What::Tired { link: self.wire.number });
                }
                read?
            }
            None => reading.await,
        };
        if read.ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&line);
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Reads so many bytes, whatever they are.
    pub(super) async fn bytes(&mut self, bytes: &mut [u8]) -> Going {
        self.io.read_exact(bytes).await.ok().map(drop)
    }

    /// A line of a reply that has more.
    pub(super) fn offer(&mut self, text: &str) {
        self.out.extend_from_slice(format!("250-{text}\r\n").as_bytes());
    }

    /// Says 421 and goes.
    pub(super) async fn leave(&mut self, why: &str) -> Going {
        self.say(421, &format!("4.3.2 closing {why}"));
        self.flush().await?;
        None
    }
}
