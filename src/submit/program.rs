//! Through a queue program: the set-uid nullmailer-queue, or the one that `$NULLMAILER_QUEUE` names.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::{Error, Submission, grammar};
use crate::sys;

/// For what is left in the pipes when the program has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Whether the file would run with rights that we do not have.
pub(super) fn is_set_uid(program: &Path) -> bool {
    std::fs::metadata(program).is_ok_and(|meta| meta.permissions().mode() & 0o6000 != 0)
}

/// Feeds the message to the program and waits for its verdict.
///
/// The program gets no arguments; what it prints on stderr becomes our error.
pub(super) fn submit(program: &Path, submission: Submission<'_>) -> Result<(), Error> {
    let failed = |source| Error::ProgramIo { program: program.to_owned(), source };
    sys::keep_exits().map_err(failed)?;
    let mut child = Command::new(program)
        // Passwords are no concern of who takes mail in.
        .env_remove("NULLMAILER_REMOTES")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let stderr = child.stderr.take().expect("stderr was asked to be a pipe");
    let heard = listen(stdout).and_then(|stdout| Ok((stdout, listen(stderr)?)));
    let (stdout, stderr) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(error));
        }
    };
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
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return written.map_err(failed);
    }
    let until = Instant::now() + LAST_WORDS;
    let (printed, complained) = (hear(&stdout, until), hear(&stderr, until));
    Err(Error::Program {
        program: program.to_owned(),
        // The original prints its errors on stdout.
        said: if complained.is_empty() { printed } else { complained },
        code: status.code(),
    })
}

/// Listens while the program is fed: one that prints much must not wait for us, nor we for it.
fn listen(mut stream: impl Read + Send + 'static) -> io::Result<Receiver<Vec<u8>>> {
    const KEPT: usize = 1000;
    let (teller, listener) = mpsc::channel();
    Builder::new().spawn(move || {
        let (mut block, mut kept) = ([0; KEPT], 0);
        while let Ok(length @ 1..) = stream.read(&mut block) {
            let new = length.min(KEPT - kept);
            kept += new;
            if new > 0 {
                let _ = teller.send(block[..new].to_vec());
            }
        }
    })?;
    Ok(listener)
}

/// The first line. Whoever holds the other end when the program has ended is not waited for.
fn hear(listener: &Receiver<Vec<u8>>, until: Instant) -> String {
    let mut said = Vec::new();
    while let Ok(more) = listener.recv_timeout(until.saturating_duration_since(Instant::now())) {
        said.extend(more);
    }
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
}
