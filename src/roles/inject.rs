//! nullmailer-inject(1): reads a message on stdin, completes its header, queues it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::intake::{self, RecipientsFrom, Request, Sender, Then};
use super::options;
use crate::exit::{Exit, Failure};
use crate::mail::DeliveryRequest;
use crate::role::Call;

pub(crate) fn run(mut call: Call) -> Result<Exit, Failure> {
    end_options(&mut call.args);
    let Some(typed) = options::parse(command(), &call)? else { return Ok(Exit::Ok) };
    let request = Request {
        recipients: recipients_from(&typed),
        arguments: typed.get_many("recipients").into_iter().flatten().cloned().collect(),
        sender: typed
            .get_one::<OsString>("from")
            .map_or(Sender::Unsaid, |from| Sender::Envelope(from.clone())),
        name: None,
        delivery: DeliveryRequest::default(),
        dot_ends: false,
        then: if typed.get_flag("no-queue") {
            Then::Print { envelope: typed.get_flag("show-envelope") }
        } else {
            Then::Queue(None)
        },
    };
    intake::take(&call, request)
}

const MODES: [(&str, char, RecipientsFrom, &str); 4] = [
    ("use-args", 'a', RecipientsFrom::Arguments, "Recipients are the arguments"),
    ("use-both", 'b', RecipientsFrom::Both, "Recipients are in the arguments and in the header"),
    (
        "use-either",
        'e',
        RecipientsFrom::Either,
        "Recipients are the arguments if there are any, else in the header [default]",
    ),
    ("use-header", 'h', RecipientsFrom::Header, "Recipients are in the header"),
];

fn recipients_from(typed: &ArgMatches) -> RecipientsFrom {
    // nullmailer: of several the last one counts; they override each other.
    let typed = MODES.iter().find(|(name, ..)| typed.get_flag(name));
    typed.map_or(RecipientsFrom::Either, |(_, _, mode, _)| *mode)
}

fn command() -> Command {
    let flag = |name: &'static str, short, help: &'static str| {
        Arg::new(name).long(name).short(short).help(help).action(ArgAction::SetTrue)
    };
    let modes = MODES.map(|(name, short, _, help)| {
        flag(name, short, help).overrides_with_all(MODES.map(|(other, ..)| other))
    });
    Command::new("nullmailer-inject")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Reads a message on stdin, completes its header, and queues it")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(modes)
        .arg(
            Arg::new("from")
                .long("from")
                .short('f')
                .value_name("SENDER")
                .help("The envelope sender; empty or <> is the null sender")
                .value_parser(OsStringValueParser::new())
                .allow_hyphen_values(true)
                .overrides_with("from"),
        )
        .arg(
            flag("no-queue", 'n', "Print the message instead of queueing it")
                .overrides_with("no-queue"),
        )
        .arg(
            flag("show-envelope", 'v', "With -n, print the envelope too")
                .overrides_with("show-envelope"),
        )
        .arg(Arg::new("help").long("help").help("Print this help").action(ArgAction::Help))
        .arg(
            Arg::new("version")
                .long("version")
                .help("Print the version")
                .action(ArgAction::Version),
        )
        .arg(
            Arg::new("recipients")
                .value_name("RECIPIENT")
                .num_args(0..)
                .value_parser(OsStringValueParser::new()),
        )
}

/// Puts `--` where the original stops looking for options: at the first argument that is none. A
/// lone `-` is as good as `--`.
fn end_options(args: &mut Vec<OsString>) {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        match arg.as_bytes() {
            b"--" => return,
            b"-" => {
                args[at] = OsString::from("--");
                return;
            }
            b"--from" => at += 2,
            [b'-', b'-', ..] => at += 1,
            // A cluster that ends in f takes the next argument.
            [b'-', cluster @ ..] => {
                let ends =
                    cluster.iter().position(|letter| *letter == b'f') == Some(cluster.len() - 1);
                at += if ends { 2 } else { 1 };
            }
            _ => {
                args.insert(at, OsString::from("--"));
                return;
            }
        }
    }
}
