//! What is to happen in a world: its servers, its configuration, and the acts in the order of time.
//!
//! [`super::random`] draws a plan from a seed, [`super::scenarios`] writes some by hand, and
//! [`super::world`] plays them.

use std::time::Duration;

use super::config::Config;

/// A whole world.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// For what is drawn while it is played.
    pub(super) seed: u64,
    pub(super) servers: Vec<Nature>,
    pub(super) config: Config,
    /// The daemon is told of names in the queue.
    pub(super) watched: bool,
    /// All letters are handed in by one process, else each by its own.
    pub(super) one_client: bool,
    /// So many senders share the letters.
    pub(super) senders: usize,
    /// How it hears of the reports that it queues itself.
    pub(super) reports: How,
    /// In the order of time.
    pub(super) acts: Vec<(Duration, Act)>,
    /// When everything is well from then on, or at the last act if that is later.
    pub(super) peace: Duration,
}

/// What a server is like all the time.
#[derive(Clone, Debug)]
pub(super) struct Nature {
    pub(super) pipelining: bool,
    pub(super) chunking: bool,
    /// Knows EHLO.
    pub(super) extended: bool,
    /// Closes a session that is silent for so long.
    pub(super) idle: Option<Duration>,
    /// From a command to its reply.
    pub(super) latency: Duration,
}

/// What a server is like for a while.
#[derive(Clone, Debug)]
pub(super) struct Mood {
    pub(super) reach: Reach,
    pub(super) greeting: Word,
    pub(super) login: Word,
    /// How long it thinks about a login.
    pub(super) ponders: Duration,
    pub(super) mail: Word,
    pub(super) rcpt: Word,
    pub(super) data: Word,
    /// Sessions at once; one more is turned away.
    pub(super) capacity: usize,
    /// The share of sessions with a trouble of their own, in percent.
    pub(super) troubled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Up,
    Refused,
    /// Connections are neither taken nor refused.
    Silent,
    /// Its name is not found.
    Nameless,
}

/// What a server says of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Yes,
    Later,
    Never,
    /// 421, and the end of the session.
    Leave,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Greeting,
    Hello,
    Login,
    Mail,
    Rcpt,
    Data,
    /// In the middle of the text.
    Text,
    /// The text is there and not answered.
    Answer,
}

/// What goes wrong in one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) phase: Phase,
    /// How often the phase is passed well before.
    pub(super) after: u32,
    pub(super) how: Break,
    /// A text that is not answered was taken all the same.
    pub(super) taken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    Close,
    Reset,
    /// Says nothing until the client has gone.
    Hang,
    Slow(Duration),
    Leave,
}

/// How a recipient fares with servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) how: Treat,
    /// With this server only.
    pub(super) on: Option<usize>,
    /// Until then; all is fine from there on.
    pub(super) until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treat {
    Fine,
    Refuse,
    Defer,
    /// RCPT is answered after so long.
    Hold(Duration),
    /// RCPT ends the session.
    Break,
    /// The session ends when the text is whole, and the server has taken the message or not.
    BreakAfterText {
        taken: bool,
    },
}

/// A message that somebody hands in.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// It has the null sender.
    pub(super) null: bool,
    pub(super) recipients: Vec<Fate>,
    /// How a report to the sender fares.
    pub(super) echo: Fate,
    /// `NOTIFY=…`, as the grammar of nullmailer-queue has it.
    pub(super) request: &'static str,
    pub(super) lines: usize,
    pub(super) how: How,
}

/// How the daemon hears of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A link in the queue, and then the trigger: all that hand mail in.
    Linked,
    /// The trigger is heard before the name.
    TriggerFirst,
    /// A link, and a trigger that nobody can pull.
    Unheard,
    /// Moved there.
    Moved,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Mail(Letter),
    Mood(usize, Mood),
    Configure(Config),
    /// A folder of the spool cannot be used.
    Jam(Part),
    Unjam(Part),
    /// The daemon is killed and started again after so long.
    Crash(Duration),
    /// It is killed at this event of the network from now, counted from 1.
    CrashAt(u64, Duration),
    Stop(Duration),
    Pull,
    Flush,
    Reload,
    Rescan,
    /// Names are not told any more, until the daemon is started again.
    Unwatch,
}

/// A folder of the spool without which something does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing new can be written, no report either.
    Tmp,
    /// Nobody can be marked as served.
    Status,
    /// Nothing can be set aside.
    Failed,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Tmp, Self::Status, Self::Failed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tmp => "tmp",
            Self::Status => "status",
            Self::Failed => "failed",
        }
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

impl Nature {
    pub(super) fn usual() -> Self {
        let latency = Duration::from_millis(20);
        Self { pipelining: true, chunking: false, extended: true, idle: None, latency }
    }
}

impl Mood {
    pub(super) fn well() -> Self {
        Self {
            reach: Reach::Up,
            greeting: Word::Yes,
            login: Word::Yes,
            ponders: Duration::ZERO,
            mail: Word::Yes,
            rcpt: Word::Yes,
            data: Word::Yes,
            capacity: 1000,
            troubled: 0,
        }
    }

    /// A crowded server is well.
    pub(super) fn is_well(&self) -> bool {
        let words = [self.greeting, self.login, self.mail, self.rcpt, self.data];
        self.reach == Reach::Up
            && words.iter().all(|word| *word == Word::Yes)
            && self.ponders < SECOND
            && self.capacity > 0
            && self.troubled == 0
    }
}

impl Fate {
    pub(super) fn fine() -> Self {
        Self { how: Treat::Fine, on: None, until: Duration::MAX }
    }

    pub(super) fn of(how: Treat) -> Self {
        Self { how, ..Self::fine() }
    }
}

impl Letter {
    /// A plain message to one recipient.
    pub(super) fn to(fate: Fate) -> Self {
        Self {
            null: false,
            recipients: vec![fate],
            echo: Fate::fine(),
            request: "",
            lines: 3,
            how: How::Linked,
        }
    }

    pub(super) fn plain() -> Self {
        Self::to(Fate::fine())
    }
}

/// The name of a server.
pub(super) fn host(server: usize) -> String {
    format!("s{server}.example")
}
