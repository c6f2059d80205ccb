//! What the daemon reads of the control files before each queue run.

use std::time::Duration;

use super::{Bounces, Control, Error, Hostnames, remotes};
use crate::mail::{Helo, Remote};

/// Everything nullmailer-send is told by its administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) names: Hostnames,
    /// `maxhops`: a message with more Received fields than this goes in circles.
    pub(crate) max_hops: u64,
    pub(crate) helo: Helo,
    pub(crate) remotes: Vec<Remote>,
    /// `pausetime`; zero is one-shot mode: one pass through the queue, then the end.
    pub(crate) pause: Duration,
    /// `maxpause`.
    pub(crate) max_pause: Duration,
    /// `queuelifetime`.
    pub(crate) lifetime: Duration,
    /// `sendtimeout`; `None` is no limit.
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) bounces: Bounces,
    /// `bouncelimit`: bounces an hour.
    pub(crate) bounce_limit: u64,
    /// `delaywarning`: the age at which the sender is told that its mail still waits.
    pub(crate) delay_warning: Option<Duration>,
    /// `failedlifetime`: what lies in `failed/` longer is removed.
    pub(crate) failed_lifetime: Option<Duration>,
    /// `ratelimit`: the time from one message to the next, for each remote.
    pub(crate) between: Duration,
}

impl Settings {
    /// One pass through the queue, then the end.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.pause.is_zero()
    }

    /// The age by which a daemon that does its work has given a message up, whatever the remotes do.
    pub(crate) fn longest_wait(control: &Control) -> Result<Duration, Error> {
        Ok(lifetime(control)?.saturating_add(max_pause(control)?))
    }

    /// Reads all of them. Lines of `remotes` that are wrong come back beside the settings, and the
    /// good ones are used; any other mistake is an error, and the mail waits.
    pub(crate) fn read(
        control: &Control,
        kernel_name: Option<&str>,
    ) -> Result<(Self, Vec<Error>), Error> {
        let names = Hostnames::read(control, kernel_name)?;
        let helo = Helo::choose(names.helo_host.as_deref(), &names.me).map_err(|flaw| {
            let name = names.helo_host.as_deref().unwrap_or_default();
            control.invalid("helohost", format!("{name:?} {flaw}"))
        })?;
        let seconds = |name: &str, default| seconds(control, name, default);
        let (remotes, wrong) = remotes::read(control);
        let settings = Self {
            helo,
            remotes,
            pause: seconds("pausetime", 60)?,
            max_pause: max_pause(control)?,
            lifetime: lifetime(control)?,
            send_timeout: Some(seconds("sendtimeout", 3600)?).filter(|limit| !limit.is_zero()),
            bounces: Bounces::read(control)?,
            bounce_limit: control.number("bouncelimit")?.unwrap_or(100),
            delay_warning: control.duration("delaywarning")?.filter(|age| !age.is_zero()),
            failed_lifetime: control.duration("failedlifetime")?.filter(|age| !age.is_zero()),
            between: rate(control)?,
            max_hops: max_hops(control)?,
            names,
        };
        Ok((settings, wrong))
    }
}

fn seconds(control: &Control, name: &str, default: u64) -> Result<Duration, Error> {
    Ok(control.duration(name)?.unwrap_or(Duration::from_secs(default)))
}

fn lifetime(control: &Control) -> Result<Duration, Error> {
    seconds(control, "queuelifetime", 604_800)
}

fn max_pause(control: &Control) -> Result<Duration, Error> {
    seconds(control, "maxpause", 86_400)
}

/// None at all would bounce every message, since our own field counts.
fn max_hops(control: &Control) -> Result<u64, Error> {
    match control.number("maxhops")? {
        Some(0) => Err(control.invalid("maxhops", "is not above 0")),
        hops => Ok(hops.unwrap_or(100)),
    }
}

/// `ratelimit`: a number of messages and a unit of time, as in `30/minute` or `100/h`.
fn rate(control: &Control) -> Result<Duration, Error> {
    let Some(text) = control.text("ratelimit")? else { return Ok(Duration::ZERO) };
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let unit = match unit.trim() {
            "s" | "second" => 1,
            "m" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return None,
        };
        let count = count.trim().parse::<u32>().ok().filter(|count| *count > 0)?;
        Some(Duration::from_secs(unit) / count)
    });
    parsed.ok_or_else(|| {
        let flaw = format!("{text:?} is not a rate: write as in 30/minute (or second, hour)");
        control.invalid("ratelimit", flaw)
    })
}
