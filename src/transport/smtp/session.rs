//! One SMTP session: greeting, EHLO, STARTTLS, AUTH, then commands and their replies.
//!
//! `dialer` opens it, `transaction` sends mail over it. The dialogue runs
//! over a lettre connection on our own [`Wire`]; every decision is taken on our own [`Reply`].
//! Once anything breaks, nothing more is written: a QUIT inside a message would be part of it.

mod hearing;
#[cfg(test)]
mod tests;
mod writing;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Capabilities;
use super::auth;
use super::io::Io;
use super::unasked::Trust;
use super::wire::Wire;
use crate::mail::{Helo, Login, Mask, Remote, Reply, SecretSource, Security};
use crate::transport::tls::TlsClient;
use crate::transport::{Cause, Fault, Peer, Phase};

/// A connected, greeted session; secured and logged in where the remote asks for it.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    wire: Wire,
    capabilities: Capabilities,
    peer: Peer,
    phase: Phase,
    state: State,
    step_limit: Option<Duration>,
    failing: bool,
    /// A reply came that answers nothing, or that makes no sense as the answer to what it answers.
    out_of_step: bool,
    /// What the last transaction earned.
    trust: Option<Trust>,
    chunks_fail: Doubt,
}

/// Whether a server has left it open what became of a chunk that it accepted.
pub(crate) type Doubt = Arc<AtomicBool>;

/// Lettre's connection has no `Debug`.
struct Connection(AsyncSmtpConnection);

/// What may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between transactions: anything.
    Ready,
    /// In a transaction; a session that is left in it cannot be used again.
    Busy,
    /// The server has ended the session, or it broke: nothing.
    Over,
}

/// RFC 5321 §4.5.3.2.
pub(crate) mod limit {
    use std::time::Duration;

    pub(crate) const COMMAND: Duration = Duration::from_secs(5 * 60);
    pub(crate) const DATA: Duration = Duration::from_secs(2 * 60);
    pub(crate) const BLOCK: Duration = Duration::from_secs(3 * 60);
    pub(crate) const FINAL_DOT: Duration = Duration::from_secs(10 * 60);
    /// No standard speaks of it.
    pub(crate) const HANDSHAKE: Duration = Duration::from_secs(60);
    /// A server that says nothing to QUIT is not worth a wait.
    pub(crate) const PARTING: Duration = Duration::from_secs(2);
}

impl Session {
    /// Reads the greeting over a connection, says EHLO, and turns to TLS and logs in if the remote
    /// says so.
    pub(crate) async fn open(
        io: Io,
        remote: &Remote,
        helo: &Helo,
        tls: Option<&TlsClient>,
    ) -> Result<Self, Fault> {
        let wire = Wire::new(io);
        let mut session = Self {
            connection: replay(&wire).await?,
            peer: Peer { address: wire.peer(), tls: wire.tls() },
            wire,
            capabilities: Capabilities::default(),
            phase: Phase::Greeting,
            state: State::Busy,
            step_limit: remote.step_limit,
            failing: false,
            out_of_step: false,
            trust: None,
            chunks_fail: Doubt::default(),
        };
        match session.begin(remote, helo, tls).await {
            Ok(()) => {
                session.state = State::Ready;
                Ok(session)
            }
            Err(fault) => {
                session.part(&fault).await;
                Err(fault)
            }
        }
    }

    async fn begin(
        &mut self,
        remote: &Remote,
        helo: &Helo,
        tls: Option<&TlsClient>,
    ) -> Result<(), Fault> {
        // A server that we told it before could greet us with it.
        if let Some(Login { secret: SecretSource::Inline(secret), .. }) = &remote.login {
            self.mask(|mask| mask.hide(secret.expose()));
        }
        self.wire.expect_greeting();
        let greeting = self.reply(limit::COMMAND).await?;
        self.insist(greeting)?;
        self.hello(helo).await?;
        if remote.security == Security::StartTls {
            let tls = tls.ok_or_else(|| self.broke("no TLS configuration"))?;
            self.starttls(tls).await?;
            self.hello(helo).await?;
        }
        self.phase = Phase::Login;
        match &remote.login {
            Some(login) => auth::login(self, remote, login).await,
            None => Ok(()),
        }
    }

    /// Has what `hide` adds to the mask taken out of all that the server says from now on.
    pub(super) fn mask(&self, hide: impl FnOnce(&mut Mask)) {
        self.wire.mask(hide);
    }

    /// A reply as it may be kept.
    fn masked(&self, reply: Reply) -> Reply {
        reply.map_text(|text| self.wire.masked(text))
    }

    /// What the server offers and asks is read as it stands: a secret may be a word of it. No more is kept of that, but
    /// for what becomes a fault.
    fn keeps_replies(&self) -> bool {
        !matches!(self.phase, Phase::Hello | Phase::Login)
    }

    /// EHLO, and HELO where the server does not know it (RFC 5321 §3.2).
    async fn hello(&mut self, helo: &Helo) -> Result<(), Fault> {
        self.phase = Phase::Hello;
        let local = self.wire.local_ip().ok_or_else(|| self.broke("connection lost"))?;
        let name = helo.for_session(local).to_string();
        let reply = self.command(format_args!("EHLO {name}")).await?;
        // RFC 5321 §3.8, RFC 7504: 421 and 521 are about the session, not the command.
        if reply.code / 100 == 5 && reply.code != 521 {
            self.capabilities = Capabilities::default();
            let reply = self.command(format_args!("HELO {name}")).await?;
            return self.insist(reply).map(drop);
        }
        self.capabilities = Capabilities::parse(&self.insist(reply)?);
        Ok(())
    }

    async fn starttls(&mut self, tls: &TlsClient) -> Result<(), Fault> {
        self.phase = Phase::StartTls;
        if !self.capabilities.starttls {
            return Err(self.broke("server does not offer STARTTLS"));
        }
        let reply = self.command("STARTTLS").await?;
        self.insist(reply)?;
        // RFC 3207 §4.2, CVE-2011-0411: what came before TLS must not count as protected by it.
        if !self.wire.is_idle() {
            return Err(self.broke("server sent data after its STARTTLS reply, before TLS"));
        }
        self.phase = Phase::Handshake;
        let tcp = self.wire.take_plain().ok_or_else(|| self.broke("connection is not plain"))?;
        let within = self.within(limit::HANDSHAKE);
        let secured = match timeout(within, tls.handshake(tcp)).await {
            Ok(Ok(secured)) => secured,
            Ok(Err(sentence)) => return Err(self.broke(&sentence)),
            Err(_) => return Err(self.fault(Cause::TimedOut)),
        };
        self.wire.resume(secured);
        self.peer.tls = self.wire.tls();
        // RFC 3207 §4.2: forget what the server said in clear.
        self.capabilities = Capabilities::default();
        Ok(())
    }

    /// Says one command, given without its line end, and reads the reply to it.
    ///
    /// # Errors
    /// Only where the session is of no more use: a negative reply is `Ok`.
    pub(crate) async fn command(&mut self, line: impl fmt::Display) -> Result<Reply, Fault> {
        self.command_within(line, limit::COMMAND).await
    }

    pub(super) async fn command_within(
        &mut self,
        line: impl fmt::Display,
        limit: Duration,
    ) -> Result<Reply, Fault> {
        let line = line.to_string();
        if line.contains(['\r', '\n']) {
            return Err(self.broke("a command would hold a line end"));
        }
        self.expect_silence().await?;
        let line = line + "\r\n";
        self.wire.expect_answer(line.len());
        let heard = timeout(self.within(limit), self.connection.0.command(line)).await;
        self.heard(heard)
    }

    /// A positive reply, or the fault that it is not.
    fn insist(&mut self, reply: Reply) -> Result<Reply, Fault> {
        if reply.is_positive() { Ok(reply) } else { Err(self.fault(Cause::Said(reply))) }
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.peer.tls.is_some()
    }

    pub(crate) fn peer_is_loopback(&self) -> bool {
        self.peer.address.is_some_and(|address| address.ip().to_canonical().is_loopback())
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the transaction before this one earned. It is gone with that: each has to earn it anew.
    pub(super) fn take_trust(&mut self) -> Option<Trust> {
        self.trust.take()
    }

    /// Whether there is any, and the server has not shown that it gives no proof of what it took.
    pub(super) fn trusts(&self) -> bool {
        self.trust.is_some() && !self.chunks_fail.load(Ordering::Relaxed)
    }

    /// Sends no chunk from now on, in this session and in those that know of it by the same `doubt`.
    pub(super) fn avoid_chunks(&self) {
        self.chunks_fail.store(true, Ordering::Relaxed);
    }

    /// Shares with other sessions what is known of the server's chunks.
    pub(crate) fn doubting(self, doubt: Doubt) -> Self {
        Self { chunks_fail: doubt, ..self }
    }

    pub(super) fn trust(&mut self, earned: Trust) {
        self.trust = Some(earned);
    }

    /// True while something may still be written.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Over
    }

    pub(crate) fn is_reusable(&self) -> bool {
        self.state == State::Ready
    }

    /// A fault of the phase that the session is in; it ends the session.
    pub(crate) fn fault(&mut self, cause: Cause) -> Fault {
        self.state = State::Over;
        let cause = match cause {
            Cause::Said(reply) => Cause::Said(self.masked(reply)),
            Cause::Broke(text) => Cause::Broke(self.wire.masked(&text)),
            cause @ (Cause::System(..) | Cause::TimedOut) => cause,
        };
        // A server that says no has not taken it.
        if matches!(cause, Cause::Said(_)) {
            self.wire.resolve();
        }
        let phase = if self.wire.is_in_doubt() { Phase::Answer } else { self.phase };
        Fault { phase, peer: self.peer.address, cause }
    }

    /// A fault in our own words.
    pub(crate) fn broke(&mut self, sentence: &str) -> Fault {
        self.fault(if self.failing {
            Cause::System(io::ErrorKind::BrokenPipe, sentence.to_owned())
        } else {
            Cause::Broke(sentence.to_owned())
        })
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        if self.state == State::Ready {
            self.state = State::Busy;
        }
    }

    /// The transaction is over and left nothing behind.
    pub(super) fn settle(&mut self) {
        if self.state == State::Busy {
            self.state = State::Ready;
        }
    }

    /// Nothing more may be written, though nothing is wrong with the remote.
    pub(super) fn end(&mut self) {
        self.state = State::Over;
    }

    /// The remote's own `timeout` shortens a limit and never lengthens it.
    pub(super) fn within(&self, limit: Duration) -> Duration {
        shorter(self.step_limit, limit)
    }

    /// Says QUIT where that is safe, waits for the reply a short time, and closes.
    pub(crate) async fn close(mut self) {
        if self.state == State::Ready {
            let _ = self.command_within("QUIT", limit::PARTING).await;
        }
        let within = self.within(limit::PARTING);
        self.wire.shut(within).await;
    }

    /// RFC 5321 §3.1: a server that refuses the session is told QUIT; one that broke it is not.
    async fn part(mut self, fault: &Fault) {
        if matches!(&fault.cause, Cause::Said(reply) if reply.code != 421) {
            let _ = timeout(limit::PARTING, self.wire.write_all(b"QUIT\r\n")).await;
        }
    }
}

/// The limit for a step of a session with this remote.
pub(crate) fn within(remote: &Remote, limit: Duration) -> Duration {
    shorter(remote.step_limit, limit)
}

fn shorter(own: Option<Duration>, limit: Duration) -> Duration {
    own.map_or(limit, |own| own.min(limit))
}

/// Builds lettre's connection without it ever speaking to the server: it insists on reading a
/// greeting and on saying EHLO, and takes an EHLO that is refused for the end.
async fn replay(wire: &Wire) -> Result<Connection, Fault> {
    let failed = |text: String| Fault {
        phase: Phase::Greeting,
        peer: wire.peer(),
        cause: Cause::Broke(text),
    };
    wire.begin_replay();
    let nobody = ClientId::Domain("-".to_owned());
    let opened = AsyncSmtpConnection::connect_with_transport(Box::new(wire.clone()), &nobody).await;
    let connection = opened.map_err(|error| failed(error.to_string()))?;
    if !wire.end_replay() {
        return Err(failed("the SMTP library reads in another order than it did".to_owned()));
    }
    Ok(Connection(connection))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}
