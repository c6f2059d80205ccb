//! nullmailer-send(8): the delivery daemon.
//!
//! Runs in the foreground and logs to stdout. The trigger and signals wake it; SIGTERM and SIGINT
//! end it after the delivery that runs, within ten seconds. As process 1, the only one of a container, it takes care
//! of orphans, and does not start where nothing could ever be delivered.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::{process, sandbox};
use crate::config::Settings;
use crate::delivery::{Engine, Wake};
use crate::exit::{Exit, Failure};
use crate::log::Log;
use crate::role::Call;
use crate::spool::{self, Lock, Spool};
use crate::submit::{self, Crowd, Desk, Submitter, Visit};
use crate::sys::{self, Names, Reaped, Watch};
use crate::transport;

/// More clients than this are a mistake or an attack.
const CROWD: Crowd =
    Crowd { all: 100, per_uid: 20, idle: Duration::from_secs(60), whole: Duration::from_secs(600) };

/// What the daemon and its deliveries take of descriptors.
const DESCRIPTORS: u64 = 24;

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    sys::keep_memory_private();
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
    let (spool, _lock, trigger) = open(root).map_err(|error| error.with_owner(root))?;
    let queue = spool.queue();
    let mut log = process::open_log(&submitter, Box::new(io::stdout()))?;
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
    let desk = Desk {
        submitter: submitter.clone(),
        spool: spool.clone(),
        crowd: CROWD,
        clock: process::now,
        judge,
    };
    let mut reception = None;
    match listen_at(&submitter.directories.sockets) {
        Ok(listener) => {
            reception = Some((listener, process::open_log(&submitter, Box::new(io::stdout()))?));
        }
        // Mail still comes by the other ways.
        Err(error) => log.caution(&format_args!("{error:#}")),
    }
    let reach = sandbox::close(&submitter.directories, &spool, &log)?;
    let mut engine = Engine::new(spool, log, submitter, process::moment, process::time_zone());
    engine.is_confined(reach);
    let runtime = sys::runtime()
        .map_err(|error| Failure::new(Exit::OsErr, format_args!("cannot start: {error}")))?;
    let ended = LocalSet::new().block_on(&runtime, async {
        let (wakes, inbox) = mpsc::channel(16);
        listen(trigger, &wakes)?;
        if alone {
            let children = signal(SignalKind::child()).context("cannot catch signals")?;
            tokio::task::spawn_local(reap(children));
        }
        if let Ok(watch) = Watch::new(&queue) {
            tokio::task::spawn_local(watch_queue(watch, wakes.clone()));
            engine.is_watched();
        }
        if let Some((listener, log)) = reception {
            let listener = UnixListener::from_std(listener).context("cannot watch the socket")?;
            tokio::task::spawn_local(desk.serve(listener, move |visit| note(&log, visit)));
        }
        engine.run(inbox).await;
        Ok::<_, anyhow::Error>(())
    });
    // A name look-up that hangs in its thread must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::OsErr, format_args!("{error:#}"))),
    }
}

/// Takes the spool, or says why not.
fn open(root: &Path) -> Result<(Spool, Lock, File), spool::Error> {
    let spool = Spool::open(root)?;
    let lock = spool.lock()?;
    spool.check_writable()?;
    let trigger = spool.listen()?;
    Ok((spool, lock, trigger))
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

/// Turns the trigger and the signals into wakes, from now on.
fn listen(trigger: File, wakes: &mpsc::Sender<Wake>) -> anyhow::Result<()> {
    let receiver =
        pipe::Receiver::from_file_unchecked(trigger).context("cannot watch the trigger")?;
    tokio::task::spawn_local(watch_trigger(receiver, wakes.clone()));
    for (kind, wake) in [
        (SignalKind::alarm(), Wake::Flush),
        (SignalKind::hangup(), Wake::Reload),
        (SignalKind::terminate(), Wake::Stop),
        (SignalKind::interrupt(), Wake::Stop),
    ] {
        let mut signals = signal(kind).context("cannot catch signals")?;
        let wakes = wakes.clone();
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() && wakes.send(wake.clone()).await.is_ok() {}
        });
    }
    Ok(())
}

/// A NUL byte says that there is new mail; anything else, as in `echo 1 > trigger`, asks for
/// everything to be tried now.
async fn watch_trigger(mut trigger: pipe::Receiver, wakes: mpsc::Sender<Wake>) {
    let mut bytes = [0; 4096];
    loop {
        match trigger.read(&mut bytes).await {
            Ok(length) => {
                let flush = bytes[..length].iter().any(|byte| *byte != 0);
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

/// Tells what appears in the queue, whoever puts it there, until it cannot be told any more.
async fn watch_queue(mut watch: Watch, wakes: mpsc::Sender<Wake>) {
    loop {
        let wake = match watch.next().await {
            Ok(Names::Appeared { whole, made, written }) => Wake::Appeared { whole, made, written },
            Ok(Names::TooMany) => Wake::Rescan,
            Ok(Names::Lost) | Err(_) => Wake::Unwatched,
        };
        let over = matches!(wake, Wake::Unwatched);
        if wakes.send(wake).await.is_err() || over {
            return;
        }
    }
}

/// Listens at the first of the places whose folder we may write.
fn listen_at(paths: &[PathBuf]) -> anyhow::Result<std::os::unix::net::UnixListener> {
    let usable = |path: &&PathBuf| path.parent().is_some_and(|dir| sys::check_folder(dir).is_ok());
    let path = paths.iter().find(usable).or(paths.last()).context("no place for the socket")?;
    sys::listen(path).with_context(|| format!("cannot listen at {}", path.display()))
}

fn judge(error: submit::Error) -> (u8, String) {
    let failure = Failure::from(error);
    (failure.exit.code(), failure.to_string())
}

fn note(log: &Log, visit: Visit<'_>) {
    match visit {
        Visit::Queued { uid, pid, id } => log.submitted(id, uid, pid),
        Visit::Refused { uid, pid, error } => log.not_submitted(uid, pid, &error),
        Visit::Busy { uid } => log.crowded(uid),
        Visit::Trouble(error) => log.trouble(None, &format_args!("cannot take mail in: {error}")),
    }
}
