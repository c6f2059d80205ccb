//! Through a queue program: the set-uid nullmailer-queue, or the one that `$NULLMAILER_QUEUE` names.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Error, Submission, grammar};

/// Whether the file would run with rights that we do not have.
pub(super) fn is_set_uid(program: &Path) -> bool {
    std::fs::metadata(program).is_ok_and(|meta| meta.permissions().mode() & 0o6000 != 0)
}

/// Feeds the message to the program and waits for its verdict.
///
/// The program gets no arguments; what it prints on stderr becomes our error.
pub(super) fn submit(program: &Path, submission: Submission<'_>) -> Result<(), Error> {
    let failed = |source| Error::ProgramIo { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let mut head = grammar::write(&submission.sender, &submission.recipients, &submission.request);
    head.extend_from_slice(submission.head);
    let mut input_error = None;
    let written = stdin.write_all(&head).and_then(|()| {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match submission.body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => stdin.write_all(&buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    input_error = Some(error);
                    return Ok(());
                }
            }
        }
    });
    if let Some(error) = input_error {
        // Its input must not end as if it were whole.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::Input(error));
    }
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return written.map_err(failed);
    }
    // The original prints its errors on stdout.
    let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
    let said = String::from_utf8_lossy(&said[..said.len().min(1000)]);
    Err(Error::Program {
        program: program.to_owned(),
        said: said.lines().next().unwrap_or_default().to_owned(),
        code: output.status.code(),
    })
}
