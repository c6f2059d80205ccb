//! The door to the control files: where they are, how they are read, what they mean.
//!
//! Roles open it once a run (the daemon: once a queue run) and pass the values on. Environment variables take the
//! place of files ([`environment`]). Every error names the file or the variable, and the line where there is one.

mod bounces;
mod control;
mod directories;
mod environment;
mod exposed;
mod hostnames;
mod limits;
mod logging;
pub(crate) mod option;
pub(crate) mod remotes;
mod sandbox;
mod settings;

use std::{fmt, io};

pub(crate) use bounces::Bounces;
pub(crate) use control::{Control, time_span};
pub(crate) use directories::Directories;
pub(crate) use environment::Environment;
pub(crate) use exposed::exposed;
pub(crate) use hostnames::Hostnames;
pub(crate) use limits::Limits;
pub(crate) use logging::{Logging, Target};
pub(crate) use sandbox::Sandbox;
pub(crate) use settings::Settings;

use crate::mail::Printable;

/// What is wrong with the configuration, in one line.
#[derive(Debug)]
pub(crate) enum Error {
    /// `place` is a file, and the variable that names it if one does.
    Read { place: String, source: io::Error },
    /// `place` is a file or a variable, with a line where there is one: `/etc/nullmailer/remotes:3`.
    Invalid { place: String, flaw: String },
}

impl Error {
    pub(crate) fn invalid(place: impl Into<String>, flaw: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), flaw: flaw.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { place, source } => write!(f, "cannot read {place}: {source}"),
            Self::Invalid { place, flaw } => write!(f, "{place}: {}", Printable(flaw)),
        }
    }
}

impl std::error::Error for Error {}
