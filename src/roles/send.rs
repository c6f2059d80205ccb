//! nullmailer-send(8): the delivery daemon.
//!
//! Runs in the foreground and logs to stdout. The trigger and signals wake it; SIGTERM and SIGINT
//! end it after the delivery that runs, within ten seconds. As process 1, the only one of a container, it takes care
//! of orphans, and does not start where nothing could ever be delivered.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::bell::Bell;
use super::outlet::Outlet;
use super::{process, reception, sandbox};
use crate::config::Settings;
use crate::delivery::{Engine, Query, RemoteStatus, Status, Wake};
use crate::exit::{Exit, Failure};
use crate::log::{Log, Manager};
use crate::role::Call;
use crate::spool::{self, Lock, Spool};
use crate::submit::Submitter;
use crate::sys::{self, Names, Reaped, Watch};
use crate::transport;

/// What the daemon and its deliveries take of descriptors.
const DESCRIPTORS: u64 = 24;
/// A disk that takes longer than this over a message must not hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(1500);

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    sys::keep_memory_private();
    // Before anything is open that could be taken for it.
    let handed_over = reception::handed_over()?;
    let descriptors = sys::descriptors();
    if descriptors < DESCRIPTORS {
        return Err(Failure::new(
            Exit::OsErr,
            format_args!(
                "cannot run with {descriptors} descriptors (ulimit -n): {DESCRIPTORS} are needed"
            ),
        ));
    }
    let submitter = process::submitter(call.privilege);
    let alone = std::process::id() == 1;
    if alone {
        check_remotes(&submitter)?;
    }
    let root = &submitter.directories.spool;
    let lock = open(root).map_err(|error| error.with_owner(root))?;
    let spool = lock.spool().clone();
    let trigger = match spool.listen() {
        Err(error) if !matches!(error, spool::Error::NoFifo { .. }) => {
            return Err(error.with_owner(root).into());
        }
        other => other,
    };
    let queue = spool.queue();
    let outlet = Outlet::default();
    let mut log = process::open_log(&submitter, Box::new(outlet.clone()))?;
    log.manager = process::manager();
    log.started(env!("CARGO_PKG_VERSION"), spool.root());
    for mistake in submitter.directories.environment.mistakes() {
        log.caution(&mistake);
    }
    if let Some(kind) = sys::passing_kind(&queue) {
        log.caution(&format_args!(
            "spool {} is on {kind}: what waits there goes with it",
            spool.root().display()
        ));
    }
    for line in spool.exposed() {
        log.caution(&line);
    }
    let taker = (submitter.clone(), spool.clone());
    let aside = Rc::new(process::open_log(&submitter, Box::new(outlet.clone()))?);
    // Mail still comes by the other ways.
    let listener = reception::open(handed_over, &submitter.directories.sockets, &log);
    let listener = listener.inspect_err(|error| log.caution(&format_args!("{error:#}"))).ok();
    let reach = sandbox::close(&submitter.directories, &spool, &log)?;
    let mut engine = Engine::new(lock, log, submitter, process::moment, process::time_zone());
    engine.is_confined(reach);
    let runtime = sys::runtime()
        .map_err(|error| Failure::new(Exit::OsErr, format_args!("cannot start: {error}")))?;
    let ended = LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(outlet.clone().empty());
        let (wakes, inbox) = mpsc::channel(16);
        let door = Rc::new(watch::Sender::new(false));
        let mut bell = Bell::new(spool, wakes.clone(), Rc::clone(&aside));
        bell.hang(trigger);
        listen(&wakes, &door, &aside)?;
        if alone {
            let children = signal(SignalKind::child()).context("cannot catch signals")?;
            tokio::task::spawn_local(reap(children));
        }
        if let Ok(watch) = Watch::new(&queue) {
            tokio::task::spawn_local(watch_queue(watch, wakes.clone(), bell));
            engine.is_watched();
        }
        if let Some(limit) = process::watchdog() {
            tokio::task::spawn_local(show_life(process::manager(), limit / 2));
        }
        if let Some(listener) = listener {
            sys::feel_nudges().context("cannot catch signals")?;
            let spare = descriptors - DESCRIPTORS;
            let open = reception::run(taker, spare, listener, door.subscribe(), aside);
            tokio::task::spawn_local(open);
        }
        let ended = engine.run(inbox).await;
        close(&door).await;
        Ok::<_, anyhow::Error>(ended)
    });
    // A name look-up that hangs in its thread must not hold up the end.
    runtime.shutdown_background();
    outlet.finish();
    match ended {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(lost)) => Err(lost.into()),
        Err(error) => Err(Failure::new(Exit::OsErr, format_args!("{error:#}"))),
    }
}

/// Takes the spool, or says why not.
fn open(root: &Path) -> Result<Lock, spool::Error> {
    let spool = Spool::open(root)?;
    let lock = spool.lock()?;
    spool.check_writable()?;
    Ok(lock)
}

/// An error where there is no remote that can be used. A container that waits for somebody to write one
/// would look well.
fn check_remotes(submitter: &Submitter) -> Result<(), Failure> {
    let control = submitter.directories.control();
    let (settings, wrong) = Settings::read(&control, submitter.kernel_name.as_deref())?;
    match wrong.into_iter().next() {
        _ if !settings.remotes.is_empty() => Ok(()),
        Some(error) => Err(error.into()),
        None => Err(control.missing("remotes").into()),
    }
}

/// Tells the service manager, from the loop that it is about, that the loop turns.
async fn show_life(manager: Manager, every: Duration) {
    loop {
        manager.alive();
        tokio::time::sleep(every).await;
    }
}

/// Takes away the exits of orphans.
async fn reap(mut children: Signal) {
    loop {
        match sys::reap_orphan(transport::is_started) {
            Reaped::One => {}
            // Whoever waits for that one is told of it in this very moment.
            Reaped::Ours => tokio::time::sleep(Duration::from_millis(20)).await,
            Reaped::Nothing => {
                if children.recv().await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Turns the signals into wakes, from now on.
fn listen(
    wakes: &mpsc::Sender<Wake>,
    door: &Rc<watch::Sender<bool>>,
    log: &Rc<Log>,
) -> anyhow::Result<()> {
    let kinds = [
        SignalKind::alarm(),
        SignalKind::hangup(),
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::user_defined1(),
    ];
    for kind in kinds {
        let mut signals = signal(kind).context("cannot catch signals")?;
        let (wakes, door, log) = (wakes.clone(), Rc::clone(door), Rc::clone(log));
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                let wake = match kind {
                    _ if kind == SignalKind::alarm() => Wake::Flush,
                    _ if kind == SignalKind::hangup() => Wake::Reload,
                    _ if kind == SignalKind::user_defined1() => report_status(Rc::clone(&log)),
                    _ => {
                        close(&door).await;
                        Wake::Stop
                    }
                };
                if wakes.send(wake).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Asks the engine how things stand, for the log.
fn report_status(log: Rc<Log>) -> Wake {
    let (question, answer) = oneshot::channel();
    tokio::task::spawn_local(async move {
        if let Ok(status) = answer.await {
            let Status { due, later, running, remotes } = status;
            log.status(due, later, running);
            for RemoteStatus { host, trouble } in remotes {
                log.remote_status(&host, trouble.as_ref().map(|(why, rest)| (why as _, *rest)));
            }
        }
    });
    Wake::Ask(Query::Status, question)
}

/// Lets nobody in any more; whoever has handed in a whole message has his answer first.
async fn close(door: &watch::Sender<bool>) {
    if !door.send_replace(true) {
        let _ = timeout(LAST_WORDS, door.closed()).await;
    }
}

/// Tells what appears in the queue, whoever puts it there, until it cannot be told any more.
async fn watch_queue(mut watch: Watch, wakes: mpsc::Sender<Wake>, mut bell: Bell) {
    loop {
        let told = watch.next().await;
        let unheard = bell.look();
        let wake = match told {
            Ok(Names::Appeared { whole, made, written }) => Wake::Appeared { whole, made, written },
            Ok(Names::TooMany) => Wake::Rescan,
            Ok(Names::Lost) | Err(_) => Wake::Unwatched,
        };
        let over = matches!(wake, Wake::Unwatched);
        if wakes.send(wake).await.is_err() || over {
            return;
        }
        if unheard && wakes.send(Wake::NewMail).await.is_err() {
            return;
        }
    }
}
