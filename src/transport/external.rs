//! A protocol program from the protocol folder, for a protocol that is not built in.
//!
//! The original's contract (docs/protocols.md): descriptor 0 has the host and the options, one a
//! line, up to an empty one; descriptor 1 is for the status text, descriptor 3 is the queue file;
//! `HELOHOST` is in the environment, which holds little else; bit 32 of the exit code means "for good". Each message is a
//! process of its own, in a process group of its own, and dies with the future that waits for it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use tokio::io::AsyncWriteExt;
use zeroize::Zeroizing;

use super::children::Running;
use super::verdicts::Verdicts;
use super::{Cause, Fault, Mail, Peer, Phase, Report};
use crate::mail::{EnhancedCode, Mask, Outcome, Reason, Remote, Reply, Secret};

/// What is kept of a program's output; the rest is read and forgotten, so that it can end.
const TEXT_MAX: usize = 8 * 1024;
/// Copied between looks at other tasks.
const BLOCK: usize = 1 << 20;

/// A program to be run for each message.
#[derive(Debug)]
pub(super) struct Session {
    program: PathBuf,
    /// What goes to its descriptor 0.
    options: Zeroizing<Vec<u8>>,
    /// What of these its text must not show.
    mask: Mask,
    helo: String,
    peer: Peer,
    /// A program has the message and has not ended.
    unanswered: bool,
}

impl Session {
    /// `program` is in the protocol folder; whether it can be run shows with the first message.
    pub(super) fn new(program: PathBuf, remote: &Remote, helo: String) -> Self {
        let mut options = format!("host={}\n", remote.host).into_bytes();
        let mut mask = Mask::default();
        for option in remote.options.iter().map(Secret::expose) {
            options.extend_from_slice(option);
            options.push(b'\n');
            if let Some(secret) = secret_of(option) {
                mask.hide(secret);
            }
        }
        options.push(b'\n');
        let options = Zeroizing::new(options);
        let peer = Peer { address: None, tls: None };
        Self { program, options, mask, helo, peer, unanswered: false }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether a program had the message and did not end with a code.
    pub(super) fn may_have_taken(&self) -> bool {
        self.unanswered
    }

    /// Runs the program for the message: its end is the verdict for all recipients.
    pub(super) async fn deliver(
        &mut self,
        mail: &Mail<'_>,
        report: Report<'_>,
    ) -> Result<(), Fault> {
        let verdicts = Verdicts::new(mail, report);
        let ended = self.transact(mail).await;
        verdicts.end_alike(ended.map_err(|(phase, sentence)| Fault {
            phase,
            peer: None,
            cause: Cause::Broke(sentence),
        }))
    }

    async fn transact(&mut self, mail: &Mail<'_>) -> Result<Outcome, (Phase, String)> {
        self.unanswered = false;
        let file = queue_file(mail)
            .await
            .map_err(|error| (Phase::Message, format!("cannot hand the message over: {error}")))?;
        let cannot = |verb: &str, error: io::Error| {
            format!("cannot {verb} {}: {error}", self.program.display())
        };
        let running = self.start(file).map_err(|error| (Phase::Setup, cannot("run", error)))?;
        self.unanswered = true;
        let (status, said) = attend(running, &self.options)
            .await
            .map_err(|error| (Phase::Answer, cannot("wait for", error)))?;
        self.unanswered = status.code().is_none();
        let text = String::from_utf8_lossy(&self.mask.apply(&said)).trim().to_owned();
        verdict(status, text)
    }

    fn start(&self, file: File) -> io::Result<Running> {
        let mut command = std::process::Command::new(&self.program);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .fd_mappings(vec![FdMapping { parent_fd: file.into(), child_fd: 3 }])
            .map_err(|error| io::Error::other(error.to_string()))?;
        Running::start(&mut command.into(), &[("HELOHOST", &self.helo)])
    }
}

/// Feeds the program its options and waits for its end; what it ended with, and what it said.
async fn attend(mut running: Running, options: &[u8]) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut stdin = running.child().stdin.take().expect("it is a pipe");
    let mut text = Vec::new();
    let feed = async move {
        // A program need not read them.
        let _ = stdin.write_all(options).await;
    };
    let ((), status) = tokio::join!(feed, running.finish(&mut text, TEXT_MAX));
    Ok((status?, text))
}

/// The value of an option that is called as passwords and tokens are. What another means is the program's affair, and its
/// text may well show a port or a user.
fn secret_of(option: &[u8]) -> Option<&[u8]> {
    let (name, value) = option.split_at(memchr::memchr(b'=', option)?);
    let name = name.to_ascii_lowercase();
    let is_called = |word: &[u8]| name.windows(word.len()).any(|part| part == word);
    let is_secret = [&b"pass"[..], b"secret", b"token"].into_iter().any(is_called);
    is_secret.then_some(&value[1..])
}

/// The queue file from its beginning, or a copy of it that names only those who are waiting.
async fn queue_file(mail: &Mail<'_>) -> io::Result<File> {
    let mut envelope = format!("{}\n", mail.sender);
    for recipient in mail.recipients {
        envelope.push_str(recipient.as_str());
        envelope.push('\n');
    }
    envelope.push('\n');
    if mail.offset == envelope.len() as u64 {
        let mut head = vec![0; envelope.len()];
        mail.file.read_exact_at(&mut head, 0)?;
        if head == envelope.as_bytes() {
            let mut file = mail.file.try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            return Ok(file);
        }
    }
    let mut copy = tempfile::tempfile()?;
    copy.write_all(envelope.as_bytes())?;
    let (mut at, end) = (mail.offset, mail.offset + mail.size);
    let mut block = vec![0; BLOCK];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        mail.file.read_exact_at(&mut block[..length], at)?;
        copy.write_all(&block[..length])?;
        at += length as u64;
        tokio::task::yield_now().await;
    }
    copy.rewind()?;
    Ok(copy)
}

/// What the end of a program means. The codes that the contract has for a remote that cannot be
/// reached or used are faults: they say nothing of the message.
fn verdict(ended: ExitStatus, text: String) -> Result<Outcome, (Phase, String)> {
    let local = |class, text: String| Reason::Local { status: status(class, &text), text };
    let Some(code) = ended.code() else {
        return Err((Phase::Answer, "protocol program crashed or was killed".to_owned()));
    };
    let text = if text.is_empty() { meaning(code).to_owned() } else { text };
    let phase = match code {
        0 => return Ok(Outcome::Sent(Reply::without_code(2, &text))),
        code if code & 32 != 0 => return Ok(Outcome::Failed(local(5, text))),
        2 | 3 | 5 => Phase::Resolve,
        6..=10 => Phase::Connect,
        15 | 18 => Phase::Setup,
        19 => Phase::Bind,
        20 => Phase::Login,
        _ => return Ok(Outcome::Deferred(local(4, text))),
    };
    Err((phase, text))
}

/// nullmailer's texts for the codes of the contract.
fn meaning(code: i32) -> &'static str {
    match code {
        0 => "ok",
        2 => "Host not found",
        3 => "Host has no address",
        5 => "Temporary error in gethostbyname",
        6 => "Socket failed",
        7 => "Connection refused",
        8 => "Connection timed out",
        9 => "Host or network unreachable",
        10 => "Connection failed",
        11 => "Protocol error",
        12 => "Could not open message",
        13 => "Could not read message",
        14 => "Could not write message",
        15 => "Could not exec program",
        16 => "Temporary error in sending the message",
        18 => "Could not read config files",
        19 => "Failed to bind source address",
        20 => "Failed to authenticate to server",
        33 => "Fatal error in gethostbyname",
        34 => "Server refused the message",
        35 => "Permanent error in sending the message",
        code if code & 32 != 0 => "Unspecified permanent error",
        _ => "Unspecified temporary error",
    }
}

/// The status of a program's verdict: the first in its text, with the class of the verdict.
fn status(class: u16, text: &str) -> EnhancedCode {
    let found = text.split_ascii_whitespace().find_map(EnhancedCode::parse);
    found
        .filter(|code| code.class != 2)
        .map_or(EnhancedCode::new(class, 0, 0), |code| EnhancedCode { class, ..code })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    fn exit(code: i32, text: &str) -> Result<Outcome, (Phase, String)> {
        verdict(ExitStatus::from_raw(code << 8), text.to_owned())
    }

    #[test]
    fn bit_32_means_for_good_and_any_other_failure_for_now() {
        for code in 1..=255 {
            let for_good = matches!(exit(code, "x"), Ok(Outcome::Failed(_)));
            assert_eq!(for_good, code & 32 != 0, "{code}");
            assert!(!matches!(exit(code, "x"), Ok(Outcome::Sent(_))), "{code}");
        }
        assert!(matches!(exit(0, ""), Ok(Outcome::Sent(_))));
        let killed = verdict(ExitStatus::from_raw(9), String::new());
        assert!(matches!(killed, Err((Phase::Answer, _))));
    }

    #[test]
    fn a_status_is_taken_from_the_text() {
        let Ok(Outcome::Failed(reason)) = exit(33, "550 5.2.1 mailbox\nis full") else { panic!() };
        assert_eq!(reason.status(), EnhancedCode::new(5, 2, 1));
        assert_eq!(exit(7, ""), Err((Phase::Connect, "Connection refused".to_owned())));
    }

    #[test]
    fn a_status_has_the_class_of_its_verdict() {
        assert_eq!(status(5, "5.2.1 no"), EnhancedCode::new(5, 2, 1));
        assert_eq!(status(5, "450 4.2.1 no"), EnhancedCode::new(5, 2, 1));
        assert_eq!(status(4, "at 127.0.0.1 7.0.0"), EnhancedCode::new(4, 0, 0));
    }
}
