//! `sendmail -odi`: delivery while the caller waits, without a daemon.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::process;
use crate::config::Settings;
use crate::delivery::{Bouncer, Engine, Handed, Wake, deliver_now};
use crate::exit::{Exit, Failure};
use crate::log::Log;
use crate::mail::{EnhancedCode, Reason};
use crate::spool::Spool;
use crate::submit::{Submission, Submitter};
use crate::sys;

/// The caller waits no longer than this for mail that waited before its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// Delivers the message, or queues it where that has to wait: both are success.
///
/// Where we cannot deliver ourselves (the spool is not ours to write, the remotes or their
/// passwords are not ours to read, or there are none) it is queued for whoever can.
pub(super) fn deliver(submitter: &Submitter, submission: Submission<'_>) -> Result<Exit, Failure> {
    sys::keep_memory_private();
    let control = submitter.directories.control();
    let settings = Settings::read(&control, submitter.kernel_name.as_deref());
    let settings =
        settings.ok().map(|(settings, _)| settings).filter(|one| !one.remotes.is_empty());
    let (Some(settings), Ok(spool), None) =
        (settings, submitter.open_spool(), &submitter.queue_program)
    else {
        submitter.submit(submission)?;
        return Ok(Exit::Ok);
    };
    let runtime = sys::runtime()
        .map_err(|error| Failure::new(Exit::OsErr, format_args!("cannot start: {error}")))?;
    // What the daemon logs to stdout has no place in the output of sendmail.
    // A log that cannot be opened must not keep mail back either.
    let log = quiet_log(submitter);
    let bouncer =
        Bouncer::new(spool.clone(), submitter.clone(), process::moment, process::time_zone());
    let handed = deliver_now(&runtime, settings, &log, submitter, &bouncer, &spool, submission)?;
    if matches!(handed, Handed::Delivered) {
        take_along(&runtime, submitter, &spool);
    }
    // A name look-up that hangs in its thread must not hold up the end.
    runtime.shutdown_background();
    match handed {
        Handed::Delivered | Handed::Queued => Ok(Exit::Ok),
        Handed::Refused(reason) => {
            Err(Failure::new(exit_for(&reason), format_args!("cannot deliver: {reason}")))
        }
    }
}

fn quiet_log(submitter: &Submitter) -> Log {
    let log = process::open_log(submitter, Box::new(io::sink()));
    log.unwrap_or_else(|_| process::stream_log(Box::new(io::sink())))
}

/// Where no daemon works on the spool, mail that is due goes out with ours.
fn take_along(runtime: &Runtime, submitter: &Submitter, spool: &Spool) {
    let Ok(lock) = spool.lock() else { return };
    let log = quiet_log(submitter);
    let zone = process::time_zone();
    let mut engine = Engine::new(lock, log, submitter.clone(), process::moment, zone);
    engine.end_when_idle();
    LocalSet::new().block_on(runtime, async {
        let (wakes, inbox) = mpsc::channel(1);
        let mut run = std::pin::pin!(engine.run(inbox));
        if timeout(PATIENCE, &mut run).await.is_err() {
            let _ = wakes.send(Wake::Stop).await;
            let _ = run.await;
        }
    });
}

/// What sendmail(8) says of mail that was refused for good.
fn exit_for(reason: &Reason) -> Exit {
    let EnhancedCode { subject, detail, .. } = reason.status();
    match (subject, detail) {
        (1, 1) => Exit::NoUser,
        (1, 2 | 10) => Exit::NoHost,
        (6, _) | (3, 4) | (2, 3) => Exit::DataErr,
        _ => Exit::Unavailable,
    }
}
