//! `--help` and `--version` of the programs that take no options.
//!
//! The original's ignore every argument, and so do ours but for these two as the first one. Called
//! by `lib` before the program; never in a set-uid process, which takes no options at all.

use std::io::{self, Write};

use crate::exit::{Exit, Failure};
use crate::role::{Call, Role};

/// Answers the call if that is all that it asks for.
pub(crate) fn answer(call: &Call) -> Option<Result<Exit, Failure>> {
    match call.args.first()?.to_str()? {
        "--version" => Some(print(&format!("{} {}\n", call.name, env!("CARGO_PKG_VERSION")))),
        "--help" => usage(call.role).map(print),
        _ => None,
    }
}

fn usage(role: Role) -> Option<&'static str> {
    match role {
        Role::Send => Some(
            "usage: nullmailer-send\n\
             Delivers the queue, and waits for more. Runs in the foreground and logs to stdout; the control\n\
             files say where mail goes. See nullmailer-send(8).\n",
        ),
        Role::Queue => Some(
            "usage: nullmailer-queue < ENVELOPE-AND-MESSAGE\n\
             Queues a message: a line with the sender, a line for each recipient, an empty line, the message.\n\
             See nullmailer-queue(8).\n",
        ),
        Role::Smtpd => Some(
            "usage: nullmailer-smtpd\n\
             Takes mail by SMTP on stdin and stdout, and queues it. See nullmailer-smtpd(1).\n",
        ),
        Role::Mailq => Some("usage: mailq\nLists the queue. See mailq(1).\n"),
        Role::Newaliases => Some(
            "usage: newaliases\nThere are no aliases to rebuild; exits 0. See newaliases(1).\n",
        ),
        // These read their own options.
        Role::Inject | Role::Sendmail | Role::Dsn | Role::Smtp | Role::Qmqp | Role::Nullmailer => {
            None
        }
    }
}

/// Writes to stdout. A reader that has seen enough is no reason to fail.
pub(super) fn print(text: &str) -> Result<Exit, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::IoErr, format_args!("cannot write to stdout: {error}")))
        }
        _ => Ok(Exit::Ok),
    }
}
