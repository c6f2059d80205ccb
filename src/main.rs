//! The binary: hands the arguments to the library and exits with its answer.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[allow(clippy::disallowed_methods, reason = "main is where the arguments come in")]
    nullmailer::run(std::env::args_os())
}
