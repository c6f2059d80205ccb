//! Hands a message to the daemon over its socket: for whoever may not write the spool.

use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::SpooledTempFile;

use super::{Submission, grammar, wire};
use crate::spool::QueueId;
use crate::sys;

/// How a message was not handed over.
pub(super) enum Error {
    /// Not even begun, or broken off before its end was sent: another way may be tried.
    Turned(super::Error),
    Final(super::Error),
}

/// What is held in memory before it goes to a file.
const HELD: usize = 256 * 1024;
/// A daemon with no place for us, or one that is starting, is asked again for so long. One whose socket is held
/// for it meanwhile is waited for.
const BUSY: Duration = Duration::from_secs(60);
const STARTING: Duration = Duration::from_secs(2);
/// A daemon that is well answers sooner, however many clients it has.
const HEALTH: Duration = Duration::from_secs(5);
/// A daemon that was stopped must not stop us for ever. It gives a message ten minutes itself.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The first socket that is there.
pub(super) fn find(paths: &[PathBuf]) -> Option<&Path> {
    let is_socket = |path: &&PathBuf| path.metadata().is_ok_and(|one| one.file_type().is_socket());
    paths.iter().find(is_socket).map(PathBuf::as_path)
}

/// Reads the message to its end before the daemon hears of us: a caller may take hours over it, as
/// cron does, and the daemon does not wait so long.
pub(super) fn hold(body: &mut dyn Read) -> Result<SpooledTempFile, super::Error> {
    let mut held = SpooledTempFile::new(HELD);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => held.write_all(&buffer[..length]).map_err(super::Error::Hold)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(super::Error::Input(error)),
        }
    }
    held.rewind().map_err(super::Error::Hold)?;
    Ok(held)
}

/// Submits the message with `held` for its body, and waits for a place if there is no other way in (`wait`).
pub(super) fn submit(
    path: &Path,
    submission: &Submission<'_>,
    held: &mut SpooledTempFile,
    wait: bool,
) -> Result<QueueId, Error> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(20);
    let stream = loop {
        let (failed, limit) = match connect(path, if wait { BUSY } else { STARTING }) {
            Ok(stream) => break stream,
            Err(error @ super::Error::Busy { .. }) => (error, BUSY),
            Err(error) => (error, STARTING),
        };
        if !wait || begun.elapsed() + pause > limit {
            return Err(Error::Turned(failed));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(1));
    };
    let failed = |source| super::Error::Daemon { path: path.to_owned(), source };
    let sent = send(&stream, submission, held);
    // A refusal may come before all is sent.
    let answer = wire::read_line(&mut BufReader::new(&stream));
    match (answer, sent) {
        (Ok(answer), _) => understand(answer.trim_end()).map_err(Error::Final),
        (Err(_), Err(error)) => Err(Error::Turned(failed(error))),
        (Err(error), Ok(())) => Err(Error::Final(failed(error))),
    }
}

/// A place at the daemon's desk: it says `ready` where it has one, within `limit` if it runs.
fn connect(path: &Path, limit: Duration) -> Result<UnixStream, super::Error> {
    let failed = |source: io::Error| {
        let source = match source.kind() {
            io::ErrorKind::WouldBlock => io::Error::other("it does not answer"),
            _ => source,
        };
        super::Error::Daemon { path: path.to_owned(), source }
    };
    let stream = sys::connect(path, limit).map_err(failed)?;
    stream.set_read_timeout(Some(limit)).map_err(failed)?;
    // It says nothing else before it hears from us, so nothing is read beyond the line.
    let line = wire::read_line(&mut BufReader::new(&stream)).map_err(failed)?;
    let patient = stream.set_read_timeout(Some(PATIENCE));
    patient.and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(failed)?;
    match line.trim_end() {
        "ready" => Ok(stream),
        "busy" => Err(super::Error::Busy { path: path.to_owned() }),
        _ => Err(failed(io::Error::other("it does not speak as nullmailer-send does"))),
    }
}

/// Asks the daemon whether it does its work; nothing is asked where no daemon has a socket.
///
/// # Errors
/// It has no place for us for some seconds, does not answer, or stands still.
pub(crate) fn ask_health(paths: &[PathBuf]) -> Result<(), super::Error> {
    let Some(path) = find(paths) else { return Ok(()) };
    let failed = |source| super::Error::Daemon { path: path.to_owned(), source };
    let begun = Instant::now();
    let stream = loop {
        match connect(path, HEALTH) {
            Ok(stream) => break stream,
            Err(super::Error::Busy { .. }) if begun.elapsed() < HEALTH => {
                sleep(Duration::from_millis(100));
            }
            // It may be another's, or not be ours to use: mail comes by the other ways.
            Err(super::Error::Daemon { source, .. })
                if [io::ErrorKind::ConnectionRefused, io::ErrorKind::PermissionDenied]
                    .contains(&source.kind()) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    };
    let patient = stream.set_read_timeout(Some(2 * HEALTH));
    let asked = patient.and_then(|()| { &stream }.write_all(wire::HEALTH.as_bytes()));
    let answer = asked.and_then(|()| wire::read_line(&mut BufReader::new(&stream)));
    match answer.map_err(failed)?.trim_end() {
        "well" => Ok(()),
        other => {
            let said = other.splitn(3, ' ').nth(2).unwrap_or(other);
            Err(super::Error::Answered { code: 75, said: said.to_owned() })
        }
    }
}

fn send(stream: &UnixStream, submission: &Submission<'_>, body: &mut impl Read) -> io::Result<()> {
    let mut out = BufWriter::new(stream);
    out.write_all(wire::HELLO.as_bytes())?;
    let (sender, recipients) = (&submission.sender, &submission.recipients);
    wire::write_chunk(&mut out, &grammar::write(sender, recipients, &submission.request))?;
    wire::write_chunk(&mut out, submission.head)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = body.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        wire::write_chunk(&mut out, &buffer[..length])?;
    }
    wire::write_end(&mut out)?;
    out.flush()
}

/// `queued ID`, or `failed CODE SENTENCE`.
fn understand(answer: &str) -> Result<QueueId, super::Error> {
    let (word, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    let (code, said) = rest.split_once(' ').unwrap_or((rest, ""));
    match (word, QueueId::parse(rest.as_ref()), code.parse()) {
        ("queued", Some(id), _) => Ok(id),
        ("failed", _, Ok(code)) => Err(super::Error::Answered { code, said: said.to_owned() }),
        _ => Err(super::Error::Answered {
            code: 75,
            said: format!("nullmailer-send gave an answer that makes no sense: {answer}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_that_waits_for_its_daemon_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("submit");
        let _held = UnixListener::bind(&path).unwrap();
        let error = connect(&path, Duration::from_millis(10)).unwrap_err();
        assert!(error.to_string().ends_with("/submit: it does not answer"), "{error}");
    }
}
