//! `smtp` and `qmqp`: the protocol programs, for scripts that call the original's.
//!
//! Options come as arguments and then, one a line up to an empty one, on descriptor 0; the message
//! is on descriptor 3. The exit codes are the original's, and sysexits play no part (`one_message`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, Read as _, Write as _};

use super::one_message;
use crate::config::{option, remotes};
use crate::exit::{Exit, Failure};
use crate::mail::Protocol;
use crate::role::{Call, Role};

const USAGE: Exit = Exit::Module(1);
/// The list of options could not be read.
const UNREADABLE: Exit = Exit::Module(18);

/// No list of options is longer.
const MAX_INPUT: u64 = 1 << 20;

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    attempt(call).inspect_err(|failure| {
        // The contract: whoever started us reads the status text there.
        let _ = writeln!(io::stdout(), "{failure}");
    })
}

fn attempt(call: Call) -> Result<Exit, Failure> {
    let usage = |flaw: String| Failure::new(USAGE, format!("{flaw}; try --help"));
    let protocol = if call.role == Role::Qmqp { Protocol::Qmqp } else { Protocol::Smtp };
    let Some(mut words) = arguments(call.args).map_err(usage)? else {
        return help(&call.name);
    };
    words.extend(option_lines()?);
    let remote = remotes::parse_words(protocol, &words).map_err(usage)?;
    one_message::send(&call.name, &remote)
}

/// The options among the arguments as `NAME=VALUE`; `None` if help is wanted.
fn arguments(args: Vec<OsString>) -> Result<Option<Vec<String>>, String> {
    let mut words = Vec::new();
    // It could be a password, and is not shown.
    let mut args = args.into_iter().zip(1..).map(|(arg, number)| {
        arg.into_string().map_err(|_| format!("argument {number} is not UTF-8"))
    });
    let mut help = false;
    while let Some(arg) = args.next() {
        let arg = arg?;
        let name = match arg.as_str() {
            "-h" | "--help" => {
                help = true;
                continue;
            }
            "-" | "--" => break,
            "-p" => "port",
            long if long.starts_with("--") => &long[2..],
            short if short.starts_with('-') => {
                words.push(arg);
                continue;
            }
            _ => return Err("takes options only, each with --".to_owned()),
        };
        match (option::takes_value(name), name.contains('=')) {
            (Some(true), false) => {
                let value = args.next().ok_or_else(|| format!("{name}: lacks its value"))??;
                words.push(format!("{name}={value}"));
            }
            _ => words.push(name.to_owned()),
        }
    }
    if args.next().is_some() {
        return Err("takes options only, each with --".to_owned());
    }
    Ok((!help).then_some(words))
}

/// The lines of descriptor 0, up to an empty one or the end.
fn option_lines() -> Result<Vec<String>, Failure> {
    let unreadable =
        |cause: &str| Failure::new(UNREADABLE, format!("cannot read options from stdin: {cause}"));
    let mut words = Vec::new();
    let mut word = Vec::new();
    let mut stdin = io::stdin().lock().take(MAX_INPUT);
    loop {
        word.clear();
        let read = stdin.read_until(b'\n', &mut word);
        read.map_err(|error| unreadable(&error.to_string()))?;
        let whole = word.pop_if(|byte| *byte == b'\n').is_some();
        if !whole && stdin.limit() == 0 {
            return Err(unreadable("more than 1 MiB"));
        }
        if !word.is_empty() {
            let text = str::from_utf8(&word).map_err(|_| unreadable("not UTF-8"))?;
            words.push(text.to_owned());
        }
        if word.is_empty() || !whole {
            return Ok(words);
        }
    }
}

fn help(program: &str) -> Result<Exit, Failure> {
    let mut text = format!(
        "usage: {program} --host=HOST [OPTION...] <OPTIONS 3<QUEUE-FILE\n\
         Options are also read from stdin, one a line, up to an empty line.\n\n"
    );
    for known in option::KNOWN {
        let word = match known.value {
            Some(value) => format!("--{}={value}", known.name),
            None => format!("--{}", known.name),
        };
        let _ = writeln!(text, "  {word:<24} {}", known.help);
    }
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(USAGE, format!("cannot write help: {error}")))?;
    Ok(Exit::Ok)
}
