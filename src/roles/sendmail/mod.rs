//! sendmail(8): the interface that programs hand mail in by. It is inject, mailq, smtpd or the
//! daemon, whichever the options ask for.

mod options;
mod verify;

use options::{Mode, Typed};

use super::about::print;
use super::intake::{self, RecipientsFrom, Request, Then};
use super::{complain, mailq, process, send, smtpd};
use crate::exit::{Exit, Failure};
use crate::mail::Quoted;
use crate::role::{Call, Role};
use crate::spool::Spool;

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let typed = options::parse(&call.args).map_err(|misuse| Failure::new(Exit::Usage, misuse))?;
    for setting in &typed.unknown_settings {
        complain(&call.name, &format!("option {} means nothing here", Quoted(setting)));
    }
    match typed.mode {
        Mode::Message => intake::take(&call, request(typed)),
        Mode::PrintQueue => mailq::run(call.into_role(Role::Mailq)),
        Mode::Smtp => smtpd::run(call.into_role(Role::Smtpd)),
        Mode::Daemon => send::run(call.into_role(Role::Send)),
        Mode::Verify => verify::run(&call, &typed.recipients),
        Mode::RunQueue => run_queue(&call),
        Mode::Nothing => Ok(Exit::Ok),
        Mode::Help => print(HELP),
        Mode::Version => print(concat!("nullmailer ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn request(typed: Typed) -> Request {
    Request {
        // nullmailer: recipients in the arguments and those of -t add up; without arguments the
        // header counts even without -t.
        recipients: if typed.from_header { RecipientsFrom::Both } else { RecipientsFrom::Either },
        arguments: typed.recipients,
        sender: typed.sender,
        name: typed.name,
        delivery: typed.delivery,
        dot_ends: !typed.ignore_dots,
        then: Then::Queue(typed.timing),
    }
}

/// Tells the daemon to try everything now.
fn run_queue(call: &Call) -> Result<Exit, Failure> {
    let spool = Spool::open(&process::directories(call.privilege).spool)?;
    if spool.flush() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::TempFail, "cannot run the queue: nullmailer-send is not running"))
}

const HELP: &str = "\
usage: sendmail [OPTION]... [--] [RECIPIENT]... < MESSAGE
Completes the header of the message and queues it for delivery.
  -t              recipients are in the header too
  -i, -oi         on a terminal, a line with a dot does not end the message
  -f, -r ADDRESS  the envelope sender; empty or <> is the null sender
  -F NAME         the full name for a generated From
  -N WHEN         notify of never, or of some of success,failure,delay
  -R full|hdrs    how much of the message a notification returns
  -V ID           the envelope id for notifications
  -odi, -odb, -odq  deliver in the foreground, in the background, with the next run of the queue
  -bm             queue a message on stdin (default)
  -bs             speak SMTP on stdin and stdout
  -bp             print the queue (mailq)
  -bv             say what would become of each recipient
  -bd             be the daemon (nullmailer-send)
  -q              have the daemon deliver everything now
  -bi             do nothing (newaliases)
  --help, --version
Other options of sendmail are accepted and have no effect.
";
