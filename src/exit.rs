//! Exit codes: the only place that turns an error into a number for the shell.
//!
//! The numbers are those of `sysexits.h`, as callers of sendmail(8) know them. The stand-alone
//! protocol programs keep the numbers of nullmailer's own protocol contract instead.

use std::fmt;
use std::process::ExitCode;

/// What a program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done; for mail: safely queued, or delivered.
    Ok,
    /// 1: the question of `nullmailer health` is answered with no.
    Unhealthy,
    /// 64: wrong options, no recipients.
    Usage,
    /// 65: the message or an address cannot be used.
    DataErr,
    /// 66: the input cannot be read.
    NoInput,
    /// 67: the smarthost knows no such recipient.
    NoUser,
    /// 68: the smarthost knows no such domain.
    NoHost,
    /// 69: refused for good, or the service is not there.
    Unavailable,
    /// 70: a mistake of ours.
    Software,
    /// 71: the system refused a process or a descriptor.
    OsErr,
    /// 73: a file or folder cannot be created.
    CantCreat,
    /// 74: reading or writing failed.
    IoErr,
    /// 75: could not be queued; trying again later may help.
    TempFail,
    /// 77: not allowed.
    NoPerm,
    /// 78: the configuration is wrong.
    Config,
    /// A code of the protocol programs' own contract (`smtp`, `qmqp`), or of a queue program.
    Module(u8),
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unhealthy => 1,
            Self::Usage => 64,
            Self::DataErr => 65,
            Self::NoInput => 66,
            Self::NoUser => 67,
            Self::NoHost => 68,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::OsErr => 71,
            Self::CantCreat => 73,
            Self::IoErr => 74,
            Self::TempFail => 75,
            Self::NoPerm => 77,
            Self::Config => 78,
            Self::Module(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// An error on its way to the user: one line for stderr, and the code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<crate::role::Refusal> for Failure {
    fn from(refusal: crate::role::Refusal) -> Self {
        let exit = match refusal {
            crate::role::Refusal::UnknownName(_) => Exit::Usage,
            crate::role::Refusal::NotSetUid(_) => Exit::NoPerm,
        };
        Self::new(exit, refusal)
    }
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        let exit = match &error {
            // Nothing is wrong with the file.
            crate::config::Error::Read { source, .. } if crate::sys::lacks_descriptors(source) => {
                Exit::TempFail
            }
            _ => Exit::Config,
        };
        Self::new(exit, error)
    }
}

impl From<crate::spool::Error> for Failure {
    fn from(error: crate::spool::Error) -> Self {
        use crate::spool::Error;
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Io { source, .. } | Error::Missing { source, .. } => source.kind(),
            Error::Locked { .. } | Error::LockLost { .. } | Error::NoFifo { .. } => {
                ErrorKind::WouldBlock
            }
            Error::Foreign { .. } | Error::Unreadable { .. } => ErrorKind::PermissionDenied,
        };
        let exit = match kind {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::NoPerm,
            ErrorKind::NotFound | ErrorKind::NotADirectory => Exit::CantCreat,
            // A full disk or quota, a failing disk: the caller still has the message.
            _ => Exit::TempFail,
        };
        Self::new(exit, error)
    }
}

impl From<crate::mail::HeaderError> for Failure {
    fn from(error: crate::mail::HeaderError) -> Self {
        let exit = match error {
            crate::mail::HeaderError::Input(_) => Exit::NoInput,
            _ => Exit::DataErr,
        };
        Self::new(exit, error)
    }
}

impl From<crate::mail::Unusable> for Failure {
    fn from(unusable: crate::mail::Unusable) -> Self {
        let exit = match unusable {
            crate::mail::Unusable::NoRecipients => Exit::Usage,
            _ => Exit::DataErr,
        };
        Self::new(exit, unusable)
    }
}

impl From<crate::submit::Error> for Failure {
    fn from(error: crate::submit::Error) -> Self {
        use crate::submit::Error;
        let exit = match error {
            Error::Config(error) => return error.into(),
            // Callers keep their mail at 75 and may drop it at any other code; what is closed or read-only can be mended.
            Error::Spool(error) => {
                let failure = Self::from(error);
                let exit = if failure.exit == Exit::NoPerm { Exit::TempFail } else { failure.exit };
                return Self { exit, ..failure };
            }
            Error::NotAllowed { .. } => Exit::NoPerm,
            Error::Answered { code: code @ 64..=78, .. } => Exit::Module(code),
            Error::Closed { .. }
            | Error::Full { .. }
            | Error::Hold(_)
            | Error::Daemon { .. }
            | Error::Busy { .. }
            | Error::LetGo
            | Error::Answered { .. } => Exit::TempFail,
            // Who is too slow for the daemon may be faster next time.
            Error::Input(ref error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Exit::TempFail
            }
            Error::Input(_) => Exit::NoInput,
            Error::TooLarge { .. } | Error::Sender(_) | Error::Recipient(_) | Error::Grammar(_) => {
                Exit::DataErr
            }
            Error::NoRecipients => Exit::Usage,
            // No process or thread is to be had now.
            Error::ProgramIo { ref source, .. }
                if source.kind() == std::io::ErrorKind::WouldBlock =>
            {
                Exit::TempFail
            }
            Error::ProgramIo { .. } => Exit::OsErr,
            Error::Program { code, .. } => match code.and_then(|code| u8::try_from(code).ok()) {
                Some(code @ 64..=78) => Exit::Module(code),
                _ => Exit::TempFail,
            },
        };
        Self::new(exit, error)
    }
}
