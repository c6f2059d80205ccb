//! A host's addresses, by the system's resolver, within a limit.
//!
//! Called by `connect`. The resolver cannot be interrupted, so each look-up is a thread of its own; who asks for a name
//! that is being looked up waits for that look-up. However often a name server does not answer, there is one thread a name.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Cause, Fault, Phase};

/// No standard speaks of it; glibc's own limit is 10 s for each name server.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// The addresses of the host, in the resolver's order.
pub(super) async fn look_up(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Fault> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let mut found = SYSTEM.look_up(host, limit).await.map_err(|flaw| fault(host, flaw))?;
    for address in &mut found {
        address.set_port(port);
    }
    Ok(found)
}

/// Of the whole process: a look-up may outlast the configuration that wanted it.
static SYSTEM: LazyLock<Resolver> =
    LazyLock::new(|| Resolver::new(|host| Ok((host, 0).to_socket_addrs()?.collect())));

type Answer = Result<Vec<SocketAddr>, Flaw>;

/// What the system said, or did not say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flaw {
    kind: io::ErrorKind,
    text: String,
}

/// The look-ups under way.
struct Resolver {
    ask: fn(&str) -> io::Result<Vec<SocketAddr>>,
    running: Arc<Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>>,
}

impl Resolver {
    fn new(ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Self {
        Self { ask, running: Arc::default() }
    }

    async fn look_up(&self, host: &str, limit: Duration) -> Answer {
        let mut answer = self.join(host)?;
        match timeout(limit, answer.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().expect("it was waited for"),
            Ok(Err(_)) => {
                Err(Flaw::new(io::ErrorKind::Other, "the look-up ended without an answer"))
            }
            Err(_) => Err(Flaw::new(io::ErrorKind::TimedOut, "timed out")),
        }
    }

    /// The look-up of this name that is under way, or a new one.
    fn join(&self, host: &str) -> Result<watch::Receiver<Option<Answer>>, Flaw> {
        let mut running = lock(&self.running);
        if let Some(answer) = running.get(host) {
            return Ok(answer.clone());
        }
        let (ask, all, name) = (self.ask, Arc::clone(&self.running), host.to_owned());
        let (tell, answer) = watch::channel(None);
        let work = move || {
            let found = ask(&name).map_err(|error| Flaw::said(&error));
            // Who asks from now on asks anew.
            lock(&all).remove(&name);
            let _ = tell.send(Some(found));
        };
        let started = std::thread::Builder::new().name("look-up".to_owned()).spawn(work);
        started
            .map_err(|error| Flaw::new(error.kind(), format!("cannot start a thread: {error}")))?;
        running.insert(host.to_owned(), answer.clone());
        Ok(answer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flaw {
    fn new(kind: io::ErrorKind, text: impl ToString) -> Self {
        Self { kind, text: text.to_string() }
    }

    /// What the resolver said: the standard library keeps only getaddrinfo's words (glibc's, then musl's).
    fn said(error: &io::Error) -> Self {
        let text = error.to_string();
        let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        let later = ["Temporary failure", "Try again", "System error"];
        if later.iter().any(|words| text.contains(words)) {
            Self::new(io::ErrorKind::TimedOut, text)
        } else {
            Self::new(io::ErrorKind::NotFound, text)
        }
    }
}

fn fault(host: &str, flaw: Flaw) -> Fault {
    let text = format!("{host:?}: {}", flaw.text);
    Fault { phase: Phase::Resolve, peer: None, cause: Cause::System(flaw.kind, text) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn run<T>(future: impl Future<Output = T>) -> T {
        // Where all wait for a look-up that does not end, the clock jumps to the limit.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(future)
    }

    /// Hangs until somebody lets the look-up of `slow` go on.
    fn slow(host: &str) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        if host == "slow" {
            GATE.1.lock().unwrap().recv().unwrap();
        }
        "192.0.2.1:0".parse().map(|found| vec![found]).map_err(io::Error::other)
    }

    type Gate = (Mutex<mpsc::Sender<()>>, Mutex<mpsc::Receiver<()>>);

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static GATE: LazyLock<Gate> = LazyLock::new(|| {
        let (go, gate) = mpsc::channel();
        (Mutex::new(go), Mutex::new(gate))
    });

    #[test]
    fn a_look_up_that_does_not_end_is_one_thread_however_often_it_is_asked_for() {
        let resolver = Resolver::new(slow);
        let asked = || ASKED.load(Ordering::SeqCst);
        let late = Err(Flaw::new(io::ErrorKind::TimedOut, "timed out"));
        for _ in 0..100 {
            assert_eq!(run(resolver.look_up("slow", LIMIT)), late);
        }
        // The thread may not have come so far yet.
        while asked() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(asked(), 1);
        // Another name is not held up, and the answer is for whoever waits for it then.
        let found = Ok(vec!["192.0.2.1:0".parse().unwrap()]);
        let patient = Duration::from_secs(u64::from(u32::MAX));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(resolver.look_up("quick", patient)), found);
        let mut waiter = Box::pin(resolver.look_up("slow", patient));
        runtime.block_on(async {
            tokio::select! {
                biased;
                answer = &mut waiter => panic!("{answer:?}"),
                () = std::future::ready(()) => {}
            }
        });
        GATE.0.lock().unwrap().send(()).unwrap();
        assert_eq!(runtime.block_on(waiter), found);
        assert_eq!(asked(), 2);
        // The next one asks anew.
        GATE.0.lock().unwrap().send(()).unwrap();
        assert_eq!(runtime.block_on(resolver.look_up("slow", patient)), found);
        assert_eq!(asked(), 3);
    }

    #[test]
    fn what_the_resolver_says_for_now_is_told_from_what_it_says_for_good() {
        for (text, kind) in [
            (
                "failed to lookup address information: Name or service not known",
                io::ErrorKind::NotFound,
            ),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                io::ErrorKind::TimedOut,
            ),
            ("Try again", io::ErrorKind::TimedOut),
        ] {
            let flaw = Flaw::said(&io::Error::other(text));
            assert_eq!(flaw.kind, kind, "{text}");
            assert!(!flaw.text.contains("failed to lookup"), "{text}");
        }
    }
}
