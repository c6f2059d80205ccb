//! What the protocol programs do once they know their remote: one message, one verdict.
//!
//! The contract is the original's (docs/protocols.md): the queue file is on descriptor 3, the
//! status text goes to stdout, `PROGRAM: Succeeded: TEXT` or `PROGRAM: Failed: TEXT` to stderr, and
//! the exit code says the rest: bit 32 is "for good". One code cannot speak for several
//! recipients, so a message goes to all of them or, while one is refused, to none.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::path::PathBuf;

use crate::exit::{Exit, Failure};
use crate::mail::{Helo, Outcome, Printable, Protocol, Reason, Remote};
use crate::submit;
use crate::transport::{Cause, Collected, Dialer, Fault, Mail, Phase};

/// The codes of the contract.
mod code {
    pub(super) const USAGE: u8 = 1;
    pub(super) const HOST_UNKNOWN: u8 = 2;
    pub(super) const LOOK_UP: u8 = 5;
    pub(super) const REFUSED: u8 = 7;
    pub(super) const TIMED_OUT: u8 = 8;
    pub(super) const UNREACHABLE: u8 = 9;
    pub(super) const CONNECT: u8 = 10;
    pub(super) const PROTOCOL: u8 = 11;
    pub(super) const READ: u8 = 13;
    pub(super) const WRITE: u8 = 14;
    pub(super) const LATER: u8 = 16;
    pub(super) const BIND: u8 = 19;
    pub(super) const LOGIN: u8 = 20;
    pub(super) const NEVER: u8 = 35;
}

/// Sends the message on descriptor 3 to `remote` and reports as `program`.
pub(super) fn send(program: &str, remote: &Remote) -> Result<Exit, Failure> {
    let helo = match remote.protocol {
        // It has no greeting.
        Protocol::Qmqp => Helo::AddressLiteral,
        Protocol::Smtp | Protocol::External(_) => helo()?,
    };
    let (code, text) = match transmit(remote, helo)? {
        Ok((outcomes, fault)) => verdict(&outcomes, fault.as_ref()),
        Err(fault) => (fault_code(&fault), fault.to_string()),
    };
    let word = if code == 0 { "Succeeded" } else { "Failed" };
    // Whether anybody reads it does not change what happened to the mail.
    let _ = writeln!(io::stdout(), "{text}");
    let _ = writeln!(io::stderr(), "{program}: {word}: {text}");
    Ok(Exit::Module(code))
}

/// nullmailer: the daemon sets it; without it the program does not know what to call itself.
fn helo() -> Result<Helo, Failure> {
    let name = super::process::variable("HELOHOST")
        .ok_or_else(|| failure(code::USAGE, "HELOHOST is not set"))?;
    Helo::choose(Some(&name), "")
        .map_err(|flaw| failure(code::USAGE, format!("HELOHOST {:?} {flaw}", Printable(&name))))
}

/// The verdicts, and the fault that broke the session if one did.
type Delivered = (Vec<Outcome>, Option<Fault>);

fn transmit(remote: &Remote, helo: Helo) -> Result<Result<Delivered, Fault>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        failure(code::READ, format!("cannot read the message on descriptor 3: {error}"))
    };
    let file = message_file().map_err(|error| unreadable(&error))?;
    let mut reader = BufReader::new(&file);
    let (sender, recipients, request) =
        submit::read_envelope(&mut reader).map_err(|error| unreadable(&error))?;
    let offset = reader.stream_position().map_err(|error| unreadable(&error))?;
    let length = file.metadata().map_err(|error| unreadable(&error))?.len();
    let mail = Mail {
        sender: &sender,
        recipients: recipients.as_slice(),
        request: &request,
        file: &file,
        offset,
        size: length.saturating_sub(offset),
    };
    let runtime = crate::sys::runtime()
        .map_err(|error| failure(code::CONNECT, format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        let mut session = Dialer::new(helo, PathBuf::new()).open(remote).await?;
        let collected = Collected::of(&mail);
        let report = |which: &[usize], outcome: &Outcome| collected.take(which, outcome);
        let fault = session.deliver_to_all(&mail, &report).await.err();
        session.close().await;
        Ok((collected.finish(fault.as_ref()), fault))
    });
    // A look-up that never ends must not hold up the exit.
    runtime.shutdown_background();
    Ok(result)
}

/// Opened anew: the cursor of descriptor 3 is the caller's. What cannot be read at positions is
/// copied first.
fn message_file() -> io::Result<File> {
    let mut file = File::open("/dev/fd/3")?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut file, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// The first recipient that was refused speaks for the message; those held back for its sake do not.
fn verdict(outcomes: &[Outcome], fault: Option<&Fault>) -> (u8, String) {
    let refused = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Failed(reason) => Some((code::NEVER, reason.to_string())),
        Outcome::Deferred(reason @ Reason::Remote(_)) => Some((code::LATER, reason.to_string())),
        Outcome::Deferred(Reason::Local { .. }) | Outcome::Sent(_) => None,
    });
    match (refused, fault, outcomes.first()) {
        (Some(refused @ (code::NEVER, _)), _, _) | (Some(refused), None, _) => refused,
        (None, _, Some(Outcome::Sent(reply))) => (0, reply.to_string()),
        (_, Some(fault), _) => (fault_code(fault), fault.to_string()),
        (None, None, _) => (code::LATER, "nobody was served".to_owned()),
    }
}

/// nullmailer's own codes, but for those with bit 32: a failure of the session delays mail.
fn fault_code(fault: &Fault) -> u8 {
    match (fault.phase, &fault.cause) {
        (Phase::Message, _) => code::READ,
        (Phase::Resolve, Cause::System(io::ErrorKind::NotFound, _)) => code::HOST_UNKNOWN,
        (Phase::Resolve, _) => code::LOOK_UP,
        (Phase::Bind, _) => code::BIND,
        (Phase::Connect, Cause::System(kind, _)) => match kind {
            io::ErrorKind::ConnectionRefused => code::REFUSED,
            io::ErrorKind::TimedOut => code::TIMED_OUT,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => code::UNREACHABLE,
            _ => code::CONNECT,
        },
        (Phase::Connect, _) => code::CONNECT,
        (Phase::Login, Cause::Said(reply)) if reply.code / 100 == 5 => code::LOGIN,
        (_, Cause::Said(reply)) if !(400..600).contains(&reply.code) => code::PROTOCOL,
        (Phase::Setup | Phase::StartTls | Phase::Handshake | Phase::Login, _)
        | (_, Cause::Said(_) | Cause::TimedOut) => code::LATER,
        (_, Cause::System(..)) => code::WRITE,
        (_, Cause::Broke(_)) => code::PROTOCOL,
    }
}

fn failure(code: u8, message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Module(code), message)
}
