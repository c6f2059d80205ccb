//! Why a message could not be queued.

use std::path::PathBuf;
use std::{fmt, io};

use crate::mail::{AddressError, NoRecipients, Printable};
use crate::{config, spool};

/// Each is one line that names the file or the address; nothing was queued.
#[derive(Debug)]
pub(crate) enum Error {
    Config(config::Error),
    Spool(spool::Error),
    /// The spool is there, but we may not write it, and there is no other way in.
    Closed {
        path: PathBuf,
        /// Not permitted, or a read-only file system.
        source: io::ErrorKind,
        /// There would be, but this process and its children can never have more rights.
        no_new_privileges: bool,
    },
    /// The spool has less room than `minfree`.
    Full {
        path: PathBuf,
    },
    /// The message is larger than `maxmessagesize`.
    TooLarge {
        limit: u64,
    },
    /// `submitusers` does not name this user.
    NotAllowed {
        uid: u32,
    },
    /// The daemon's socket is there, and the message could not be handed over; nothing was queued
    /// unless the answer alone was lost.
    Daemon {
        path: PathBuf,
        source: io::Error,
    },
    /// The daemon said no: its words, and the exit code it gave.
    Answered {
        code: u8,
        said: String,
    },
    /// The daemon has no place for us now.
    Busy {
        path: PathBuf,
    },
    /// Others have fewer places at the daemon's socket, and wanted one.
    LetGo,
    /// What the caller gave us could not be read to its end.
    Input(io::Error),
    /// What the caller gave us could not be kept until it is whole.
    Hold(io::Error),
    Sender(AddressError),
    Recipient(AddressError),
    NoRecipients,
    /// The envelope is not in the grammar of nullmailer-queue.
    Grammar(&'static str),
    /// The queue program said no; its own words, and its exit code if it had one.
    Program {
        program: PathBuf,
        said: String,
        code: Option<i32>,
    },
    ProgramIo {
        program: PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Spool(error) => error.fmt(f),
            Self::Closed { path, source, no_new_privileges } => {
                let why = if *no_new_privileges {
                    "NoNewPrivileges keeps nullmailer-queue from its rights"
                } else {
                    "there is no set-uid nullmailer-queue"
                };
                write!(
                    f,
                    "cannot write {}: {source}, nullmailer-send does not listen, and {why}",
                    path.display()
                )
            }
            Self::NotAllowed { uid } => {
                write!(f, "cannot queue for uid {uid}: submitusers does not name it")
            }
            Self::Daemon { path, source } => {
                write!(f, "cannot submit to nullmailer-send at {}: {source}", path.display())
            }
            Self::Answered { said, .. } => Printable(said).fmt(f),
            Self::Busy { path } => {
                let path = path.display();
                write!(f, "cannot submit to nullmailer-send at {path}: too many clients at once")
            }
            Self::LetGo => f.write_str("cannot wait for the message: too many clients at once"),
            Self::Full { path } => {
                write!(
                    f,
                    "cannot queue in {}: less room is left than minfree asks for",
                    path.display()
                )
            }
            Self::TooLarge { limit } => {
                write!(f, "the message is larger than maxmessagesize, {limit} bytes")
            }
            Self::Input(error) => write!(f, "cannot read the message: {error}"),
            Self::Hold(error) => write!(f, "cannot keep the message in a temporary file: {error}"),
            Self::Sender(error) => write!(f, "cannot use sender: {error}"),
            Self::Recipient(error) => write!(f, "cannot use recipient: {error}"),
            Self::NoRecipients => f.write_str("no recipients"),
            Self::Grammar(flaw) => write!(f, "cannot read the envelope: {flaw}"),
            Self::Program { program, said, code } => match (said.as_str(), code) {
                ("", Some(code)) => write!(f, "{} failed with exit code {code}", program.display()),
                ("", None) => write!(f, "{} was killed", program.display()),
                (said, _) => write!(f, "{}: {}", program.display(), Printable(said)),
            },
            Self::ProgramIo { program, source } => {
                write!(f, "cannot run {}: {source}", program.display())
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        Self::Config(error)
    }
}

impl From<spool::Error> for Error {
    fn from(error: spool::Error) -> Self {
        Self::Spool(error)
    }
}

impl From<NoRecipients> for Error {
    fn from(NoRecipients: NoRecipients) -> Self {
        Self::NoRecipients
    }
}
