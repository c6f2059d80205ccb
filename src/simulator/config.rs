//! The control files of a world: what the administrator has written.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::plan::{HOUR, MINUTE, host};
use super::post::POSTMASTER;

/// The control files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) remotes: Vec<Line>,
    pub(super) pause: Duration,
    pub(super) max_pause: Duration,
    pub(super) lifetime: Duration,
    pub(super) send_timeout: Option<Duration>,
    /// Messages a unit of so many seconds.
    pub(super) rate: Option<(u32, u32)>,
    pub(super) bounce_limit: Option<u64>,
    pub(super) delay_warning: Option<Duration>,
    pub(super) bounce_to: bool,
    /// One of the files makes no sense.
    pub(super) broken: bool,
}

/// A line of `remotes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) server: usize,
    pub(super) connections: Option<usize>,
    pub(super) messages: Option<usize>,
    pub(super) step_limit: Option<Duration>,
    pub(super) login: bool,
}

impl Line {
    pub(super) fn of(server: usize) -> Self {
        Self { server, connections: None, messages: None, step_limit: None, login: false }
    }

    /// `connections`, or what stands for it.
    pub(super) fn most(&self) -> usize {
        self.connections.unwrap_or(4)
    }
}

impl Config {
    pub(super) fn of(remotes: Vec<Line>) -> Self {
        Self {
            remotes,
            pause: MINUTE,
            max_pause: 24 * HOUR,
            lifetime: 168 * HOUR,
            send_timeout: None,
            rate: None,
            bounce_limit: None,
            delay_warning: None,
            bounce_to: false,
            broken: false,
        }
    }

    pub(super) fn line(&self, server: usize) -> Option<&Line> {
        self.remotes.iter().find(|line| line.server == server)
    }

    /// `ratelimit`, as the time from one message to the next.
    pub(super) fn between(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, |(count, unit)| Duration::from_secs(unit.into()) / count)
    }

    /// The pause of a message or a remote after so many failures, at its longest.
    pub(super) fn longest_pause(&self, failures: u32) -> Duration {
        let pause = match failures.saturating_sub(1) {
            0 => self.pause,
            doublings => self
                .pause
                .checked_mul(2_u32.saturating_pow(doublings))
                .map_or(self.max_pause, |pause| pause.min(self.max_pause)),
        };
        pause * 11 / 10
    }

    /// Writes the control files.
    pub(super) fn write(&self, folder: &Path) {
        let mut remotes = String::new();
        for line in &self.remotes {
            let _ = write!(remotes, "{} smtp", host(line.server));
            if let Some(count) = line.connections {
                let _ = write!(remotes, " connections={count}");
            }
            if let Some(count) = line.messages {
                let _ = write!(remotes, " messages={count}");
            }
            if let Some(limit) = line.step_limit {
                let _ = write!(remotes, " timeout={}", limit.as_secs());
            }
            if line.login {
                remotes.push_str(" user=me pass=secret auth-cleartext");
            }
            remotes.push('\n');
        }
        let seconds = |time: Duration| Some(time.as_secs().to_string());
        let rate = self.rate.map(|(count, unit)| {
            let unit = ["s", "m", "h"][[1, 60, 3600].iter().position(|one| *one == unit).unwrap()];
            format!("{count}/{unit}")
        });
        for (name, value) in [
            ("me", Some("me.example".to_owned())),
            ("remotes", Some(remotes)),
            ("pausetime", if self.broken { Some("soon".to_owned()) } else { seconds(self.pause) }),
            ("maxpause", seconds(self.max_pause)),
            ("queuelifetime", seconds(self.lifetime)),
            ("sendtimeout", self.send_timeout.and_then(seconds)),
            ("ratelimit", rate),
            ("bouncelimit", self.bounce_limit.map(|limit| limit.to_string())),
            ("delaywarning", self.delay_warning.and_then(seconds)),
            ("bounceto", self.bounce_to.then(|| POSTMASTER.to_owned())),
        ] {
            let path = folder.join(name);
            match value {
                Some(value) => {
                    fs::write(&path, value + "\n").expect("a file can be written");
                    // There may be a password in it.
                    let mode = fs::Permissions::from_mode(0o600);
                    fs::set_permissions(path, mode).expect("it is ours");
                }
                None => drop(fs::remove_file(path)),
            }
        }
    }
}
