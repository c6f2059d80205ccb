//! Delivery reports as a mail program reads them: Python's `email`, which is not ours.

use std::process::Command;

use crate::house::run;

/// Checks a report against RFC 3464 and RFC 6522 and returns what is in it, as `NAME: 'VALUE'`
/// lines in Python's quoting.
#[track_caller]
pub fn read(report: &str) -> String {
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/report.py"));
    let ran = run(&mut python, report);
    assert_eq!(ran.code, Some(0), "{}\n{report}", ran.stderr);
    ran.stdout
}

#[track_caller]
pub fn assert_lines(found: &str, lines: &[&str]) {
    for line in lines {
        assert!(found.lines().any(|l| l == *line), "{line} is not in:\n{found}");
    }
}
