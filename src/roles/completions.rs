//! The shell completions of `nullmailer` in `contrib/completions/`: made from the parser, and compared
//! with it at each test run. Compiled for tests only, so the binary carries none of it.
//!
//! `UPDATE=1 cargo test --lib completions` writes them anew.

use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};

use crate::role::Role;

/// The parser's subcommands, and the programs that the first argument may name.
fn completed() -> Command {
    Role::words().fold(super::nullmailer::command(), |command, word| {
        command.subcommand(Command::new(word).about(format!("Be the program {word}")))
    })
}

#[test]
fn completions_are_those_of_the_parser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/completions");
    for (shell, file) in [
        (Shell::Bash, "nullmailer.bash"),
        (Shell::Zsh, "_nullmailer"),
        (Shell::Fish, "nullmailer.fish"),
    ] {
        let mut made = Vec::new();
        generate(shell, &mut completed(), "nullmailer", &mut made);
        let path = folder.join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == made, "{} is out of date: see roles/completions.rs", path.display());
    }
}
