//! The programs, each called what it is called on disk. They carry values from room to room.
//!
//! Only here are the environment, the clock, stdin and the arguments read and stdout written.
#![allow(clippy::disallowed_methods, reason = "roles are where the outside comes in")]

pub(crate) mod about;
mod bell;
#[cfg(test)]
mod completions;
mod demo;
pub(crate) mod dsn;
mod foreground;
mod health;
pub(crate) mod inject;
mod intake;
pub(crate) mod mailq;
pub(crate) mod newaliases;
pub(crate) mod nullmailer;
mod one_message;
mod options;
mod outlet;
mod process;
pub(crate) mod protocol;
pub(crate) mod queue;
mod reception;
mod sandbox;
pub(crate) mod send;
pub(crate) mod sendmail;
pub(crate) mod smtpd;

use std::fmt::Display;
use std::io::Write;

/// One line on stderr: the program, then what is wrong. A stderr that is gone is no reason to fail.
pub(crate) fn complain(program: &str, message: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{program}: {message}");
}
