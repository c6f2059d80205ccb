//! Where a password comes from: the options, a file, or a command. Read at each login, so that a
//! changed password or a fresh token serves at once.

use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::mail::{Secret, SecretSource};
use crate::sys;
use crate::transport::children::Running;

/// A command may ask a token server; it does not ask a person.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// No password or token is longer.
const MAX: usize = 64 << 10;

pub(super) async fn read(source: &SecretSource) -> Result<Secret, String> {
    match source {
        SecretSource::None => Ok(Secret::new(Vec::new())),
        SecretSource::Inline(secret) => Ok(secret.clone()),
        SecretSource::File(path) => from_file(path),
        SecretSource::Command(command) => from_command(command, COMMAND_LIMIT).await,
    }
}

fn from_file(path: &Path) -> Result<Secret, String> {
    let cannot = |error: io::Error| format!("cannot read passfile {}: {error}", path.display());
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    sys::open_file(path)
        .map_err(cannot)?
        .take(MAX as u64)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    first_line(&bytes).map_err(|flaw| format!("passfile {}: its first line {flaw}", path.display()))
}

/// The command's own errors go to our stderr; it may say more than we should repeat.
async fn from_command(command: &str, limit: Duration) -> Result<Secret, String> {
    let attempt = async {
        let mut running = Running::start(
            Command::new("/bin/sh")
                .arg("-c")
                .arg(command)
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
            &[],
        )
        .map_err(|error| format!("cannot run passcmd: {error}"))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        let status = running.finish(&mut bytes, MAX).await;
        let status = status.map_err(|error| format!("cannot wait for passcmd: {error}"))?;
        if !status.success() {
            return Err(format!("passcmd failed: {status}"));
        }
        first_line(&bytes).map_err(|flaw| format!("passcmd: the first line it printed {flaw}"))
    };
    match timeout(limit, attempt).await {
        Ok(result) => result,
        Err(_) => Err(format!("passcmd did not end within {} seconds", limit.as_secs())),
    }
}

fn first_line(bytes: &[u8]) -> Result<Secret, &'static str> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line {
        [] => Err("is empty"),
        _ if line.contains(&0) => Err("holds a NUL"),
        _ => Ok(Secret::new(line.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str, limit: Duration) -> Result<Secret, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(from_command(command, limit))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for content in ["p w ", "p w \n", "p w \r\nmore\n"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(from_file(&path).unwrap().expose(), b"p w ", "{content:?}");
        }
        assert_eq!(run("echo 'p w '; echo more; exec >&-", LONG).unwrap().expose(), b"p w ");
    }

    #[test]
    fn no_password_is_an_error_that_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (content, flaw) in
            [("", "is empty"), ("\nhunter2", "is empty"), ("hunt\0er2", "holds a NUL")]
        {
            std::fs::write(&path, content).unwrap();
            let error = from_file(&path).unwrap_err();
            assert!(error.ends_with(&format!("its first line {flaw}")), "{error}");
        }
        assert!(from_file(dir.path()).unwrap_err().ends_with("not a regular file"));
        assert!(from_file(&dir.path().join("none")).unwrap_err().starts_with("cannot read"));
        for command in ["echo hunter2; exit 3", "true", "echo; echo hunter2", "kill -9 $$"] {
            let error = run(command, LONG).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(run("exit 3", LONG).unwrap_err().contains("exit status: 3"));
    }

    #[test]
    fn a_command_that_does_not_end_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("held");
        crate::sys::make_fifo(&fifo).unwrap();
        // The child holds the FIFO's writing end open as long as it lives.
        let command = format!("sleep 1000 >'{}' & wait", fifo.display());
        let limit = Duration::from_millis(300);
        let reader = std::thread::spawn(move || std::fs::read(fifo).unwrap());
        assert!(run(&command, limit).unwrap_err().contains("did not end"));
        // The end of the file means that nobody holds it any more.
        assert!(reader.join().unwrap().is_empty());
    }

    #[test]
    fn a_command_that_has_ended_counts_whatever_it_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        // Out of its group, with its output: as a password agent does that is started by need.
        let leave = format!("setsid sh -c 'echo $$ >\"{}\"; exec sleep 1000' &", pid.display());
        let wait = format!("until test -s '{}'; do sleep 0.01; done", pid.display());
        for (end, told) in [("exit 0", Ok("hunter2")), ("exit 3", Err("exit status: 3"))] {
            let found = run(&format!("echo hunter2; {leave} {wait}; {end}"), LONG);
            match (found, told) {
                (Ok(secret), Ok(told)) => assert_eq!(secret.expose(), told.as_bytes()),
                (Err(error), Err(told)) => assert!(error.contains(told), "{error}"),
                (found, _) => panic!("{end}: {found:?}"),
            }
            let left = std::fs::read_to_string(&pid).unwrap();
            std::fs::remove_file(&pid).unwrap();
            assert!(
                std::process::Command::new("kill").arg(left.trim()).status().unwrap().success()
            );
        }
    }

    #[test]
    fn more_output_than_any_password_does_no_harm() {
        assert!(
            run("yes hunter2 | head -c 10000000", LONG).is_ok_and(|s| s.expose() == b"hunter2")
        );
    }
}
