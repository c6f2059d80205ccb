//! `nullmailer SUBCOMMAND`: what an administrator asks for by the program's own name.
//!
//! The words that are programs of their own (`nullmailer send`) never come here: `role` has
//! chosen them already.

use clap::{Arg, ArgAction, Command};

use super::{about, demo, health, options, process};
use crate::exit::{Exit, Failure};
use crate::role::Call;
use crate::spool::Spool;

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let Some(matches) = options::parse(command(), &call)? else { return Ok(Exit::Ok) };
    match matches.subcommand() {
        Some(("demo", options)) => demo::run(options),
        Some(("flush", _)) => flush(&call),
        Some(("health", options)) => health::run(&call, options),
        _ => overview(),
    }
}

/// The command line of `nullmailer`; the manual page and the completions are made from it too.
pub(crate) fn command() -> Command {
    Command::new("nullmailer")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Relay-only mailer: queues mail and delivers it to a smarthost")
        .subcommand(
            Command::new("demo").about("Send a message through a throw-away installation").arg(
                Arg::new("keep")
                    .long("keep")
                    .action(ArgAction::SetTrue)
                    .help("Keep the folder of the installation"),
            ),
        )
        .subcommand(Command::new("flush").about("Ask the daemon to try everything now"))
        .subcommand(health::command())
}

fn overview() -> Result<Exit, Failure> {
    let text = "\
nullmailer queues mail and delivers it to a smarthost. One binary, many names:

  nullmailer-send     deliver the queue (the daemon)      also: nullmailer send
  nullmailer-inject   prepare and queue a message         also: nullmailer inject
  nullmailer-queue    queue a message with its envelope   also: nullmailer queue
  nullmailer-smtpd    take mail by SMTP on stdin/stdout   also: nullmailer smtpd
  nullmailer-dsn      compose a bounce                    also: nullmailer dsn
  sendmail            what programs call to send mail     also: nullmailer sendmail
  mailq               list the queue                      also: nullmailer mailq
  newaliases          nothing to do, exits 0              also: nullmailer newaliases
  smtp, qmqp          send one message by hand            also: nullmailer smtp

  nullmailer demo     send a message through a throw-away installation
  nullmailer flush    ask the daemon to try everything now
  nullmailer health   say whether the daemon does its work

Try nullmailer --help, or --help with any of the names.
";
    about::print(text)
}

fn flush(call: &Call) -> Result<Exit, Failure> {
    let spool = Spool::at(&process::directories(call.privilege).spool)?;
    if spool.flush() {
        return Ok(Exit::Ok);
    }
    let trigger = spool.trigger();
    Err(Failure::new(
        Exit::TempFail,
        format_args!("cannot wake the daemon: nobody listens on {}", trigger.display()),
    ))
}
