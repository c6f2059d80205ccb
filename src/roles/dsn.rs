//! nullmailer-dsn(1): turns a message of the queue into a report about it.
//!
//! Reads a queue file on stdin, writes what nullmailer-queue reads on stdout. The daemon does not
//! run it; both compose with `mail::report`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::{options, process};
use crate::config::{Bounces, Hostnames};
use crate::exit::{Exit, Failure};
use crate::mail::report::{Diagnostic, Failed, Kind, Quote, Report, Reporter, is_eight_bit};
use crate::mail::{DeliveryRequest, EnhancedCode, EnvelopeId, Recipients, ReversePath};
use crate::role::Call;
use crate::{submit, sys};

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let Some(typed) = options::parse(command(), &call)? else { return Ok(Exit::Ok) };
    let directories = process::directories(call.privilege);
    let control = directories.control();
    let names = Hostnames::read(&control, sys::host_name().as_deref())?;
    let bounces = Bounces::read(&control)?;

    let mut original = stdin()?;
    let (sender, recipients, _) = submit::read_envelope(&mut original)?;
    let addressees = bounces.recipients(&sender).ok_or_else(|| {
        let line = "cannot report on a message with the null sender: \
                    neither doublebounceto nor adminaddr names anybody";
        Failure::new(Exit::Config, line)
    })?;

    let status = *typed.get_one::<EnhancedCode>("status").expect("it is required");
    let given = |name: &str| typed.get_one::<String>(name).map(String::as_str);
    let failed: Vec<Failed<'_>> = recipients
        .iter()
        .map(|recipient| Failed {
            recipient,
            status,
            diagnostic: given("diagnostic-code").map(Diagnostic::Given),
            remote: given("remote"),
        })
        .collect();
    let quote = typed.get_one::<i64>("max-lines").map_or(bounces.quote, |n| Quote::lines(*n));
    let (arrival, last_attempt) = times(&typed, original.get_ref());
    let report = Report {
        reporter: Reporter {
            me: &names.me,
            id_host: &names.id_host,
            zone: &process::time_zone(),
            moment: process::moment(),
        },
        kind: kind(status, &typed),
        original_sender: &sender,
        to: &header_to(&sender, &addressees),
        arrival,
        last_attempt,
        request: &DeliveryRequest {
            envelope_id: typed.get_one("envelope-id").cloned(),
            ..DeliveryRequest::default()
        },
        recipients: &failed,
        quote,
        eight_bit: look_ahead(&mut original, quote).unwrap_or(true),
    };
    write(&envelope(&sender, &addressees), &mut report.stream(original))?;
    Ok(Exit::Ok)
}

/// The times that a date with a year of four digits can say, whatever the zone.
const CALENDAR: RangeInclusive<i64> = -62_135_510_400..=253_402_207_200;

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).overrides_with(name)
    };
    let time = |name, help| {
        option(name, "SECONDS", help)
            .value_parser(value_parser!(i64).range(CALENDAR))
            .allow_hyphen_values(true)
    };
    Command::new("nullmailer-dsn")
        .about("Turns a message of the queue (stdin) into a delivery report for nullmailer-queue (stdout)")
        .arg(
            Arg::new("status")
                .value_name("STATUS")
                .required(true)
                .value_parser(parse_status)
                .help("5.X.Y: delivery failed; 4.X.Y: it is delayed"),
        )
        .arg(
            option("diagnostic-code", "TYPE; TEXT", "What was answered, and in what language")
                .allow_hyphen_values(true),
        )
        .arg(
            option("envelope-id", "ID", "The envelope id that the sender gave the message")
                .value_parser(|text: &str| {
                    EnvelopeId::new(text).ok_or("it is empty, too long, or not printable ASCII")
                }),
        )
        .arg(time("last-attempt", "When delivery was last tried [default: atime of stdin]"))
        .arg(time("orig-timestamp", "When the message came [default: mtime of stdin]"))
        .arg(option("remote", "HOST", "The server that was spoken to"))
        .arg(time("retry-until", "How long delivery will be tried (with 4.X.Y)"))
        .arg(
            option("max-lines", "N", "Lines of the body to return, -1 for all [default: bouncelines]")
                .value_parser(value_parser!(i64))
                .allow_hyphen_values(true),
        )
}

fn parse_status(text: &str) -> Result<EnhancedCode, &'static str> {
    EnhancedCode::parse(text)
        .filter(|code| matches!(code.class, 4 | 5) && code.to_string() == text)
        .ok_or("a status is 4.X.Y or 5.X.Y")
}

fn kind(status: EnhancedCode, typed: &ArgMatches) -> Kind {
    match status.class {
        4 => Kind::Delayed { retry_until: time(typed, "retry-until") },
        _ => Kind::Failed,
    }
}

/// nullmailer: 0 is as good as no time.
fn time(typed: &ArgMatches, name: &str) -> Option<i64> {
    typed.get_one::<i64>(name).copied().filter(|seconds| *seconds != 0)
}

/// When the message came and when it was last tried; what is not told is in the file's own times.
///
/// Not in its ctime, where the original looks: moving a message to `failed/` changes that.
fn times(typed: &ArgMatches, file: &File) -> (i64, i64) {
    let now = process::moment().unix();
    let (mtime, atime) = match file.metadata() {
        Ok(meta) if meta.is_file() => (meta.mtime(), meta.atime()),
        _ => (now, now),
    };
    (time(typed, "orig-timestamp").unwrap_or(mtime), time(typed, "last-attempt").unwrap_or(atime))
}

/// Stdin as a file, so that it can be read twice where it is one.
fn stdin() -> Result<BufReader<File>, Failure> {
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
        Failure::new(Exit::NoInput, format!("cannot read the message: {error}"))
    })?;
    Ok(BufReader::new(File::from(input)))
}

/// Whether the part that is returned has eight bits; an error where it can be read only once.
fn look_ahead(original: &mut BufReader<File>, quote: Quote) -> io::Result<bool> {
    let here = original.stream_position()?;
    let found = is_eight_bit(&mut *original, quote);
    original.seek(SeekFrom::Start(here))?;
    found
}

/// nullmailer: the sender, even where bounceto sends the report elsewhere.
fn header_to(sender: &ReversePath, addressees: &Recipients) -> String {
    match sender {
        ReversePath::Mailbox(sender) => format!("<{sender}>"),
        // The original has `<>` here, which no To field may be (RFC 5322 §3.6.3).
        ReversePath::Null => {
            let to: Vec<_> = addressees.iter().map(|to| format!("<{to}>")).collect();
            to.join(", ")
        }
    }
}

/// nullmailer: a report on mail with the null sender is marked by a sender of its own, which
/// nullmailer-queue takes for the null sender.
fn envelope(sender: &ReversePath, addressees: &Recipients) -> String {
    let mut lines = String::from(if sender.is_null() { "#@[]\n" } else { "\n" });
    for to in addressees.iter() {
        lines.push_str(to.as_str());
        lines.push('\n');
    }
    lines.push('\n');
    lines
}

fn write(envelope: &str, report: &mut dyn Read) -> Result<(), Failure> {
    let cannot = |error| Failure::new(Exit::IoErr, format!("cannot make the report: {error}"));
    let mut out = io::stdout().lock();
    out.write_all(envelope.as_bytes()).map_err(cannot)?;
    io::copy(report, &mut out).map_err(cannot)?;
    out.flush().map_err(cannot)
}
