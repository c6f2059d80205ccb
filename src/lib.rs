//! The map of the program: argv → [`role::Role`] → a program in `roles/` → an exit code.
//!
//! One binary is installed under many names. Which program a call means is decided here and
//! nowhere else; what each room may touch is written down in `docs/architecture.md`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make the files they need"))]

mod config;
mod delivery;
mod exit;
#[cfg(fuzzing)]
pub mod fuzz;
mod log;
mod mail;
mod role;
mod roles;
#[cfg(test)]
mod simulator;
mod spool;
mod submit;
mod sys;
mod transport;

use std::ffi::OsString;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use exit::{Exit, Failure};
use role::{Call, Privilege, Role};

/// Runs the program that `argv` names and returns the code to exit with.
///
/// `argv[0]` chooses the role; under the name `nullmailer` the first argument does.
pub fn run(argv: impl Iterator<Item = OsString>) -> ExitCode {
    sys::outlive_file_limit();
    let privilege = if sys::identity().is_elevated() { Privilege::SetUid } else { Privilege::None };
    match privilege {
        Privilege::None => sys::own_what_we_make(),
        Privilege::SetUid => {
            sys::shed_inheritance();
            // The one that std has asks the environment how much to tell.
            panic::set_hook(Box::new(tell_where));
        }
    }
    match Call::parse(argv, privilege) {
        Ok(call) => {
            let (name, role) = (call.name.clone(), call.role);
            finish(&name, start(role, call))
        }
        Err(refusal) => finish("nullmailer", Err(refusal.into())),
    }
}

fn start(role: Role, call: Call) -> Result<Exit, Failure> {
    if call.privilege == Privilege::None
        && let Some(answered) = roles::about::answer(&call)
    {
        return answered;
    }
    match role {
        Role::Send => roles::send::run(call),
        Role::Queue => roles::queue::run(call),
        Role::Inject => roles::inject::run(call),
        Role::Sendmail => roles::sendmail::run(call),
        Role::Mailq => roles::mailq::run(call),
        Role::Dsn => roles::dsn::run(call),
        Role::Smtpd => roles::smtpd::run(call),
        Role::Newaliases => roles::newaliases::run(call),
        Role::Smtp | Role::Qmqp => roles::protocol::run(call),
        Role::Nullmailer => roles::nullmailer::run(call),
    }
}

/// One line for a mistake of ours: nothing of what was in memory.
fn tell_where(mistake: &PanicHookInfo<'_>) {
    let place = mistake.location().map_or("?".to_owned(), ToString::to_string);
    roles::complain("nullmailer", &format_args!("cannot go on: mistake in the program at {place}"));
}

/// The one place where an error becomes a line on stderr and a number.
fn finish(program: &str, result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            roles::complain(program, &failure);
            failure.exit.into()
        }
    }
}
