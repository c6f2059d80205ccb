//! The trigger of the daemon: who pulls it is heard, and who cannot stop pulling it is heard now and then.
//!
//! Called by `send` alone.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::delivery::Wake;
use crate::log::Log;
use crate::spool::{self, Place, Spool};

/// The trigger is heard ten times at once, and then once a second.
const PULLS: Duration = Duration::from_secs(10);
/// So many pages are read of it in one go, which is all that the kernel keeps.
const ROOM: usize = 16;

/// The trigger, as whoever owns the spool leaves it to us.
pub(super) struct Bell {
    spool: Spool,
    wakes: mpsc::Sender<Wake>,
    log: Rc<Log>,
    heard: Option<(Place, AbortHandle)>,
    /// It was said that it cannot be heard.
    told: bool,
}

impl Bell {
    pub(super) fn new(spool: Spool, wakes: mpsc::Sender<Wake>, log: Rc<Log>) -> Self {
        Self { spool, wakes, log, heard: None, told: false }
    }

    /// Turns the trigger into wakes from now on. Without it, mail is found by its name.
    pub(super) fn hang(&mut self, trigger: Result<File, spool::Error>) {
        let watched = trigger.map_err(anyhow::Error::from).and_then(|trigger| {
            let place = Place::of(&trigger)?;
            Ok((place, pipe::Receiver::from_file_unchecked(trigger)?))
        });
        match watched {
            Ok((place, receiver)) => {
                let task = tokio::task::spawn_local(watch_trigger(receiver, self.wakes.clone()));
                if let Some((_, before)) = self.heard.replace((place, task.abort_handle())) {
                    before.abort();
                }
                self.told = false;
            }
            Err(_) if self.told => {}
            Err(error) => {
                self.told = true;
                self.log.caution(&format_args!("{error:#}: nobody who pulls it is heard"));
            }
        }
    }

    /// Takes the trigger that is there now, should somebody have removed or replaced ours. True where somebody may
    /// have pulled it unheard.
    pub(super) fn look(&mut self) -> bool {
        let told = self.told;
        if self.heard.as_ref().is_some_and(|(place, _)| self.spool.is_trigger(*place)) {
            return false;
        }
        self.hang(self.spool.listen());
        if !self.told {
            self.log.repaired("the trigger was gone, and is there again");
        }
        !(told && self.told)
    }
}

/// A NUL byte says that there is new mail; anything else, as in `echo 1 > trigger`, asks for
/// everything to be tried now.
async fn watch_trigger(mut trigger: pipe::Receiver, wakes: mpsc::Sender<Wake>) {
    let mut bytes = [0; 4096];
    // Anyone may pull it. Who does so without an end is heard once a second, as if he had pulled once.
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        if next > now + PULLS {
            sleep((next - now).saturating_sub(PULLS)).await;
        }
        match trigger.read(&mut bytes).await {
            Ok(length) => {
                next = next.max(Instant::now()) + Duration::from_secs(1);
                let mut flush = bytes[..length].iter().any(|byte| *byte != 0);
                // All that is there was meant for now, and whoever pulls next finds room.
                for _ in 0..ROOM {
                    let Ok(length @ 1..) = trigger.try_read(&mut bytes) else { break };
                    flush |= bytes[..length].iter().any(|byte| *byte != 0);
                }
                if wakes.send(Wake::NewMail).await.is_err() {
                    return;
                }
                if flush && wakes.send(Wake::Flush).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, yield_now};

    use super::*;

    #[test]
    fn who_pulls_without_an_end_is_heard_once_a_second_and_finds_room() {
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (mut pull, trigger) = pipe::pipe().unwrap();
            let (wakes, mut inbox) = mpsc::channel(16);
            tokio::task::spawn_local(watch_trigger(trigger, wakes));
            let begun = Instant::now();
            for _ in 0..40 {
                pull.write_all(&vec![b'\n'; 60_000]).await.unwrap();
                yield_now().await;
                assert!(matches!(inbox.recv().await, Some(Wake::NewMail)));
                assert!(matches!(inbox.recv().await, Some(Wake::Flush)));
            }
            let seconds = begun.elapsed().as_secs();
            assert!((25..=31).contains(&seconds), "{seconds}");
        });
    }
}
