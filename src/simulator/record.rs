//! What happened in a world, in the order of time: what the laws judge, and what a failure prints.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::network::Wire;
use super::plan::{Break, Part, Phase, host};

/// An event. Connections (`link`), messages and servers are numbers.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A daemon starts.
    Begun,
    /// It was told to stop.
    Stopping,
    /// It has stopped.
    Stopped,
    Crashed,
    /// Everything is to be tried now.
    Flush,
    /// The trigger was pulled and heard.
    Pulled,
    /// The queue is to be read.
    Rescan,
    Reload,
    Unwatched,
    /// A message is in the queue.
    Queued {
        message: usize,
        id: String,
    },
    /// The daemon was told of its name, as a message or as something that may become one.
    Told {
        message: usize,
        whole: bool,
    },
    /// Other control files are on the disk.
    Configured,
    /// A letter was not taken in, and whoever sent it was told.
    NotTaken(String),
    Jammed(Part),
    Unjammed(Part),
    Mood {
        server: usize,
    },
    Dialled {
        link: usize,
    },
    /// The server answers.
    Visited {
        link: usize,
    },
    /// It has an end that nobody would expect.
    Troubled {
        link: usize,
        how: Break,
        phase: Phase,
    },
    TurnedAway {
        link: usize,
        crowd: bool,
    },
    Login {
        link: usize,
    },
    LoggedIn {
        link: usize,
        accepted: bool,
    },
    /// The first MAIL of a session: for the client it is open.
    Opened {
        link: usize,
    },
    /// The server closes a session that was silent for too long.
    Tired {
        link: usize,
    },
    /// The client takes leave.
    Quit {
        link: usize,
    },
    Asked {
        link: usize,
        address: String,
    },
    /// The server refused something of these recipients with a reply of its own that ends there.
    Said {
        link: usize,
        addresses: Vec<String>,
        code: u16,
        end: u64,
    },
    /// The text of a message is whole at the server.
    Text {
        link: usize,
        message: usize,
        addresses: Vec<String>,
    },
    /// The server has taken it; its reply ends there, `u64::MAX` for one that is not given.
    Taken {
        link: usize,
        message: usize,
        addresses: Vec<String>,
        end: u64,
    },
    /// The client has let go of the connection.
    Closed {
        link: usize,
    },
    Logged(String),
}

/// A server's word on recipients.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) at: Duration,
    pub(super) link: usize,
    pub(super) addresses: Vec<String>,
    pub(super) code: u16,
    pub(super) end: u64,
}

/// A copy of a message that a server has for somebody.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) at: Duration,
    pub(super) link: usize,
    pub(super) wire: Arc<Wire>,
    pub(super) end: u64,
}

impl Copy {
    /// The client knows it.
    pub(super) fn was_told(&self) -> bool {
        self.wire.has_read(self.end)
    }
}

/// A virtual time, as a trace has it: `1d 02:03:04.567`.
pub(super) struct Clock(pub(super) Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds >= 86_400 {
            write!(f, "{}d ", seconds / 86_400)?;
        }
        let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
        let millis = self.0.subsec_millis();
        write!(f, "{hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
    }
}

/// One line of a trace. `server` names the server of a connection.
pub(super) fn line(at: Duration, what: &What, server: impl Fn(usize) -> usize) -> String {
    let link = |link: usize| format!("{}#{link}", host(server(link)));
    let list = |addresses: &[String]| addresses.join(" ");
    let text = match what {
        What::Logged(line) => format!("| {line}"),
        What::Mood { server } => format!("{} changes", host(*server)),
        What::Dialled { link: on } => format!("  {} dialled", link(*on)),
        What::Visited { link: on } => format!("  {} connected", link(*on)),
        What::Troubled { link: on, how, phase } => {
            format!("  {} {how:?} at {phase:?}", link(*on))
        }
        What::TurnedAway { link: on, crowd } => {
            format!("  {} turned away{}", link(*on), if *crowd { ": crowded" } else { "" })
        }
        What::Login { link: on } => format!("  {} login", link(*on)),
        What::LoggedIn { link: on, accepted } => {
            format!("  {} login {}", link(*on), if *accepted { "accepted" } else { "refused" })
        }
        What::Opened { link: on } => format!("  {} MAIL", link(*on)),
        What::Tired { link: on } => format!("  {} closed, as it was silent", link(*on)),
        What::Quit { link: on } => format!("  {} QUIT", link(*on)),
        What::Asked { link: on, address } => format!("  {} RCPT {address}", link(*on)),
        What::Said { link: on, addresses, code, .. } => {
            format!("  {} says {code} of {}", link(*on), list(addresses))
        }
        What::Text { link: on, message, .. } => format!("  {} has all of m{message}", link(*on)),
        What::Taken { link: on, message, addresses, end } => {
            let answer = if *end == u64::MAX { ", and does not say so" } else { "" };
            format!("  {} takes m{message} for {}{answer}", link(*on), list(addresses))
        }
        What::Closed { link: on } => format!("  {} closed by the client", link(*on)),
        What::Queued { message, id } => format!("m{message} is queued: {id}"),
        What::NotTaken(error) => format!("a letter is not taken: {error}"),
        What::Jammed(part) => format!("{}/ cannot be used", part.name()),
        What::Unjammed(part) => format!("{}/ can be used again", part.name()),
        What::Told { message, whole } => {
            format!("m{message} is told{}", if *whole { " as whole" } else { "" })
        }
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{} {text}", Clock(at))
}
