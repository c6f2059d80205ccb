//! `nullmailer health`: whether the daemon does its work, for health checks of containers and for monitoring.
//!
//! It looks at what is there, and asks the daemon over its socket whether its loop turns. It changes nothing: no port,
//! no line in the log.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::{about, complain, process};
use crate::config::{Directories, Error, Limits, Settings, time_span};
use crate::exit::{Exit, Failure};
use crate::role::Call;
use crate::spool::Spool;
use crate::{submit, sys};

pub(super) fn command() -> Command {
    Command::new("health").about("Say whether the daemon does its work; exit 1 if not").arg(
        Arg::new("max-age")
            .long("max-age")
            .value_name("TIME")
            .value_parser(|text: &str| {
                time_span(text).ok_or("write seconds, or units as in 5m or 1h 30m")
            })
            .help(
                "Age of the oldest message that is too much [default: queuelifetime and maxpause]",
            ),
    )
}

pub(super) fn run(call: &Call, options: &ArgMatches) -> Result<Exit, Failure> {
    let directories = process::directories(call.privilege);
    for mistake in directories.environment.mistakes() {
        complain(&call.name, &mistake);
    }
    let given = options.get_one::<Duration>("max-age").copied();
    match look(&directories, given) {
        Ok(line) => about::print(&line),
        Err(flaw) => Err(Failure::new(Exit::Unhealthy, format_args!("unhealthy: {flaw}"))),
    }
}

/// One line, whether it is well or not.
fn look(directories: &Directories, max_age: Option<Duration>) -> Result<String, String> {
    let control = &directories.control();
    let sentence = |error: Error| error.to_string();
    let spool = Spool::at(&directories.spool).map_err(|error| error.to_string())?;
    if !spool.is_listened() {
        return Err(format!("no daemon listens on {}", spool.trigger().display()));
    }
    submit::ask_health(&directories.sockets).map_err(|error| error.to_string())?;
    spool.check_writable().map_err(|error| error.to_string())?;
    let limits = Limits::read(control).map_err(sentence)?;
    let queue = spool.queue();
    if sys::free_bytes(&queue).is_ok_and(|free| free < limits.free) {
        return Err(format!("{} has less room than minfree", queue.display()));
    }
    let max_age = max_age.map_or_else(|| Settings::longest_wait(control), Ok).map_err(sentence)?;
    let waiting = spool.scan(|_| false).map_err(|error| error.to_string())?.waiting;
    let Some(oldest) = waiting.iter().min_by_key(|one| one.arrival) else {
        return Ok("a daemon runs, the queue is empty\n".to_owned());
    };
    let now = i64::try_from(process::now()).unwrap_or(i64::MAX);
    let age = Duration::from_secs(now.saturating_sub(oldest.arrival).try_into().unwrap_or(0));
    let shown = humantime::format_duration(age);
    if age > max_age {
        let limit = humantime::format_duration(max_age);
        return Err(format!("message {} has waited for {shown}, more than {limit}", oldest.id));
    }
    Ok(format!(
        "a daemon runs, {} message(s) in the queue, the oldest for {shown}\n",
        waiting.len()
    ))
}
