//! Options by clap, with our errors: one line and EX_USAGE; `--help` and `--version` go to stdout.

use std::io::{self, Write};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use crate::exit::{Exit, Failure};
use crate::mail::Printable;
use crate::role::Call;

/// What was typed, or `None` when help or the version was wanted and has been printed.
pub(crate) fn parse(command: Command, call: &Call) -> Result<Option<ArgMatches>, Failure> {
    match command.no_binary_name(true).try_get_matches_from(&call.args) {
        Ok(matches) => Ok(Some(matches)),
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            match io::stdout().write_all(help.render().to_string().as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(Failure::new(Exit::IoErr, format!("cannot write help: {error}")))
                }
                _ => Ok(None),
            }
        }
        Err(error) => {
            let text = error.render().to_string();
            // clap explains in paragraphs; a list of missing arguments stands below the first line.
            let mut lines = text.lines().take_while(|line| !line.trim().is_empty());
            let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let line = lines.fold(first, |line, more| line + " " + more.trim());
            Err(Failure::new(Exit::Usage, format!("{}; try --help", Printable(&line))))
        }
    }
}
