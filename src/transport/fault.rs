//! A failure of session scope: what broke, in which phase, against which address.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::mail::{EnhancedCode, Printable, Reason, Reply};

/// Why a session could not be opened, or ended. It delays mail and never bounces it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) phase: Phase,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) cause: Cause,
}

#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// The server's own words.
    Said(Reply),
    /// What we saw, in one sentence that says what an administrator can do where something can be.
    Broke(String),
    /// What the system said of a look-up, a bind or a connect.
    System(io::ErrorKind, String),
    /// Nothing came within the limit.
    TimedOut,
}

/// How far the session had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reading certificates, CRLs and secrets of the remote's options.
    Setup,
    Resolve,
    /// Taking the address that `source` names.
    Bind,
    Connect,
    Greeting,
    Hello,
    StartTls,
    Handshake,
    Login,
    /// Reading the stored message: nothing that the remote can help.
    Message,
    /// MAIL, RCPT or DATA.
    Envelope,
    /// The message itself.
    Data,
    /// All of the message is out and the answer to it is not in: it may have been taken. A message of which
    /// anything is missing cannot have been: DATA wants its dot, BDAT and QMQP every octet that they announced.
    Answer,
}

impl Fault {
    /// The verdict for every recipient that had none when the session ended.
    pub(crate) fn reason(&self) -> Reason {
        match &self.cause {
            Cause::Said(reply) => Reason::Remote(reply.clone()),
            Cause::Broke(_) | Cause::System(..) | Cause::TimedOut => {
                Reason::local(self.status(), self)
            }
        }
    }

    /// To repeat the message may be to send it twice.
    pub(crate) fn may_have_been_taken(&self) -> bool {
        self.phase == Phase::Answer
    }

    /// The server is there and does not want this session: it said so, or hung up before it
    /// answered. Of a login, anything but 421 is a word on who logs in.
    pub(crate) fn is_turned_away(&self) -> bool {
        match &self.cause {
            Cause::Said(reply) => self.phase != Phase::Login || reply.code == 421,
            Cause::Broke(_) => matches!(self.phase, Phase::Greeting | Phase::Hello),
            Cause::System(..) | Cause::TimedOut => false,
        }
    }

    /// RFC 3463: 4.4.1 no answer, 4.4.2 bad connection, 4.4.3 directory, 4.7.x security.
    fn status(&self) -> EnhancedCode {
        match self.phase {
            Phase::Setup | Phase::Bind => EnhancedCode::new(4, 3, 5),
            Phase::Message => EnhancedCode::new(4, 3, 0),
            Phase::Resolve => EnhancedCode::new(4, 4, 3),
            Phase::Connect => EnhancedCode::new(4, 4, 1),
            Phase::StartTls | Phase::Handshake => EnhancedCode::new(4, 7, 5),
            Phase::Login => EnhancedCode::new(4, 7, 8),
            Phase::Greeting | Phase::Hello | Phase::Envelope | Phase::Data | Phase::Answer => {
                EnhancedCode::new(4, 4, 2)
            }
        }
    }
}

/// `ADDRESS: PHASE: CAUSE`; the server's words follow `server said`. Ends in `the message may have been taken` where
/// that is so.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = self.peer {
            write!(f, "{peer}: ")?;
        }
        let phase = match self.phase {
            Phase::Setup => "set-up",
            Phase::Resolve => "name look-up",
            Phase::Bind => "source address",
            Phase::Connect => "connect",
            Phase::Greeting => "greeting",
            Phase::Hello => "EHLO",
            Phase::StartTls => "STARTTLS",
            Phase::Handshake => "TLS handshake",
            Phase::Login => "login",
            Phase::Message => "message file",
            Phase::Envelope => "envelope",
            Phase::Data => "data",
            Phase::Answer => "final answer",
        };
        match &self.cause {
            Cause::Said(reply) => write!(f, "{phase}: server said {reply}"),
            Cause::Broke(text) | Cause::System(_, text) => {
                write!(f, "{phase}: {}", Printable(text))
            }
            Cause::TimedOut => write!(f, "{phase}: timed out"),
        }?;
        if self.may_have_been_taken() {
            f.write_str("; the message may have been taken")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
