//! Where the daemon takes mail in: at the socket that its service manager hands over, or at one of its own.

use std::mem::ManuallyDrop;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::process;
use crate::exit::{Exit, Failure};
use crate::log::Log;
use crate::spool::Spool;
use crate::submit::{self, Crowd, Desk, Pulse, Submitter, Visit};
use crate::sys;

/// More clients than this are a mistake or an attack.
const CROWD: Crowd = Crowd {
    all: 100,
    per_uid: 20,
    reserve: 20,
    idle: Duration::from_secs(60),
    whole: Duration::from_secs(600),
};
/// How often a thread for the desk is asked for where there is none.
const AGAIN: Duration = Duration::from_secs(1);

/// The socket of sd_listen_fds(3), which says that there is one by `LISTEN_FDS`, and by `LISTEN_PID` whose it is.
///
/// Must be called before anything of ours is open.
///
/// # Errors
/// Something was handed over, and it is not one Unix stream socket that listens.
pub(super) fn handed_over() -> Result<Option<UnixListener>, Failure> {
    let wrong = |what: &str| {
        let sentence = format!("cannot use the socket that was handed over: {what}");
        Failure::new(Exit::Config, sentence)
    };
    if process::variable("LISTEN_PID") != Some(std::process::id().to_string()) {
        return Ok(None);
    }
    match process::variable("LISTEN_FDS").as_deref() {
        None => Ok(None),
        Some("1") => sys::take_listener().map(Some).map_err(|what| wrong(&what)),
        Some(count) => Err(wrong(&format!("LISTEN_FDS is {count:?}, and one is taken, no more"))),
    }
}

/// Takes mail in until `door` is closed, as many clients at once as so many descriptors allow. What there is to tell
/// is in the log before nobody holds `door` any more.
pub(super) async fn run(
    (submitter, spool): (Submitter, Spool),
    descriptors: u64,
    listener: UnixListener,
    door: watch::Receiver<bool>,
    log: Rc<Log>,
) {
    sys::refuse_descriptors(&listener);
    // Closing it may wait as closing a client's stream may, so that is left to the end of the process.
    let listener = ManuallyDrop::new(listener);
    let (engine, pulses) = mpsc::unbounded_channel();
    tokio::task::spawn_local(beat(pulses));
    let crowd = CROWD.within(descriptors);
    let desk = Desk { submitter, spool, crowd, clock: process::now, judge, engine };
    let (told, mut visits) = mpsc::unbounded_channel();
    let mut in_trouble = false;
    while let Err(error) = desk.open(&listener, door.clone(), told.clone()) {
        if !std::mem::replace(&mut in_trouble, true) {
            note(&log, &Visit::Trouble(error));
        }
        if door.has_changed().is_err() || *door.borrow() {
            return;
        }
        sleep(AGAIN).await;
    }
    drop(told);
    while let Some(visit) = visits.recv().await {
        note(&log, &visit);
    }
}

/// Shows whoever asks that the loop of the engine turns.
async fn beat(mut pulses: mpsc::UnboundedReceiver<Pulse>) {
    while let Some(pulse) = pulses.recv().await {
        let _ = pulse.try_send(());
    }
}

/// Listens at what was handed over, else at the first of the places whose folder we may write.
pub(super) fn open(
    handed_over: Option<UnixListener>,
    places: &[PathBuf],
    log: &Log,
) -> anyhow::Result<UnixListener> {
    let Some(listener) = handed_over else {
        let usable =
            |path: &&PathBuf| path.parent().is_some_and(|dir| sys::check_folder(dir).is_ok());
        let path =
            places.iter().find(usable).or(places.last()).context("no place for the socket")?;
        let listener =
            sys::listen(path).with_context(|| format!("cannot listen at {}", path.display()))?;
        log.listening(&path.display(), false);
        return Ok(listener);
    };
    let address = listener.local_addr().context("cannot tell where the socket is")?;
    let Some(path) = address.as_pathname() else {
        log.listening(&"no path", true);
        log.caution(&format_args!("nobody finds a socket without a path: {}", sought(places)));
        return Ok(listener);
    };
    log.listening(&path.display(), true);
    if !path.exists() {
        log.caution(&format_args!("nobody finds the socket: {} is gone", path.display()));
    } else if !places.iter().find(|place| place.exists()).is_some_and(|place| is_same(place, path))
    {
        let sought = sought(places);
        log.caution(&format_args!("nobody finds the socket {}: {sought}", path.display()));
    }
    Ok(listener)
}

fn sought(places: &[PathBuf]) -> String {
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    format!("programs look for {}", places.join(" and "))
}

fn is_same(place: &Path, path: &Path) -> bool {
    place.canonicalize().is_ok_and(|place| path.canonicalize().is_ok_and(|path| path == place))
}

fn judge(error: submit::Error) -> (u8, String) {
    let failure = Failure::from(error);
    (failure.exit.code(), failure.to_string())
}

fn note(log: &Log, visit: &Visit) {
    match visit {
        Visit::Queued { uid, pid, id } => log.submitted(id, *uid, *pid),
        Visit::Refused { uid, pid, error } => log.not_submitted(*uid, *pid, error),
        Visit::Busy { uid } => log.crowded(*uid),
        Visit::Untold { count, uid } => log.not_told(*count, *uid),
        Visit::Trouble(error) => log.trouble(None, &format_args!("cannot take mail in: {error}")),
    }
}
