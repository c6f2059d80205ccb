//! Opens sessions to remotes, whatever their protocol, and lets one message after another through.
//!
//! The engine and the protocol programs see one [`Session`] type. Futures may be dropped at any
//! point: the connection closes without another word, so a message that was under way is not
//! accepted by half.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::connect::Addresses;
use super::reach::Reach;
#[cfg(test)]
use super::simulated;
use super::smtp::{self, Io, Share};
use super::tls::{self, TlsClient, TlsStream};
use super::{Cause, Fault, Mail, Phase, Report, external, qmqp};
use crate::mail::{Helo, Protocol, Remote, Security};

/// How long certificates and CRLs are used before their files are read again.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// What is kept between sessions: our name, and per remote the TLS configuration with the tickets
/// for resuming.
#[derive(Debug)]
pub(crate) struct Dialer {
    helo: Helo,
    /// The protocol folder.
    programs: PathBuf,
    reach: Reach,
    tls: Mutex<Vec<Kept>>,
    doubts: Mutex<HashMap<(String, Option<u16>), smtp::Doubt>>,
}

#[derive(Debug)]
struct Kept {
    remote: Remote,
    client: Arc<TlsClient>,
    made: Instant,
}

/// A session that is connected, greeted, secured and logged in.
#[derive(Debug)]
pub(crate) struct Session(Kind);

#[derive(Debug)]
enum Kind {
    Smtp(Box<smtp::Session>),
    Qmqp(qmqp::Session),
    External(external::Session),
}

/// Whom a session is with, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    /// Protocol and cipher suite: `TLSv1.3 TLS_AES_256_GCM_SHA384`.
    pub(crate) tls: Option<String>,
}

impl Dialer {
    /// `programs` is the folder of programs for protocols that are not built in.
    pub(crate) fn new(helo: Helo, programs: PathBuf) -> Self {
        Self {
            helo,
            programs,
            reach: Reach::default(),
            tls: Mutex::default(),
            doubts: Mutex::default(),
        }
    }

    /// Has what a sandbox does not allow fail with a sentence that says so.
    pub(crate) fn within(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Connects, greets, secures and logs in; addresses whose server does not even greet are passed over.
    pub(crate) async fn open(&self, remote: &Remote) -> Result<Session, Fault> {
        if let Some(refusal) = self.reach.refusal(remote) {
            return Err(setup(refusal));
        }
        match &remote.protocol {
            Protocol::Smtp => {
                let session = self.open_smtp(remote).await?.doubting(self.doubt(remote));
                Ok(Session(Kind::Smtp(Box::new(session))))
            }
            Protocol::Qmqp => Ok(Session(Kind::Qmqp(self.open_qmqp(remote).await?))),
            Protocol::External(name) => {
                // There is no session whose address could stand for our name.
                let helo = self.helo.for_session(Ipv4Addr::LOCALHOST.into()).to_string();
                let program = self.programs.join(name);
                Ok(Session(Kind::External(external::Session::new(program, remote, helo))))
            }
        }
    }

    /// What is known of the chunks of its server.
    fn doubt(&self, remote: &Remote) -> smtp::Doubt {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        doubts.entry((remote.host.clone(), remote.effective_port())).or_default().clone()
    }

    async fn open_qmqp(&self, remote: &Remote) -> Result<qmqp::Session, Fault> {
        let port = remote.effective_port().expect("QMQP has a port of its own");
        let tls = match remote.security {
            Security::Plain | Security::StartTls => None,
            Security::Implicit => Some(self.tls_client(remote)?),
        };
        let tcp = Addresses::resolve(remote, port).await?.connect().await?;
        let address = tcp.peer_addr().ok();
        let (stream, tls): (Box<dyn qmqp::Stream>, _) = match tls {
            None => (Box::new(tcp), None),
            Some(tls) => {
                let secured = handshake(tcp, remote, &tls).await?;
                let words = secured.describe();
                (Box::new(secured), Some(words))
            }
        };
        Ok(qmqp::Session::new(stream, Peer { address, tls }, remote.step_limit))
    }

    async fn open_smtp(&self, remote: &Remote) -> Result<smtp::Session, Fault> {
        let port = remote.effective_port().expect("SMTP has a port of its own");
        // Before anything is sent: what cannot be read here would only fail later.
        let tls = match remote.security {
            Security::Plain => None,
            Security::StartTls | Security::Implicit => Some(self.tls_client(remote)?),
        };
        #[cfg(test)]
        if let Some(network) = simulated::network() {
            let io = Io::Memory(network.connect(&remote.host, port).await?);
            return smtp::Session::open(io, remote, &self.helo, tls.as_deref()).await;
        }
        let addresses = Addresses::resolve(remote, port).await?;
        self.first_that_greets(addresses, remote, tls.as_deref()).await
    }

    async fn first_that_greets(
        &self,
        mut addresses: Addresses,
        remote: &Remote,
        tls: Option<&TlsClient>,
    ) -> Result<smtp::Session, Fault> {
        loop {
            let tcp = addresses.connect().await?;
            match self.greet(tcp, remote, tls).await {
                // RFC 5321 §5.1: the next address may do better.
                Err(fault) if fault.phase == Phase::Greeting && !addresses.is_empty() => {}
                opened => return opened,
            }
        }
    }

    async fn greet(
        &self,
        tcp: TcpStream,
        remote: &Remote,
        tls: Option<&TlsClient>,
    ) -> Result<smtp::Session, Fault> {
        let io = match (tls, remote.security) {
            (Some(tls), Security::Implicit) => Io::Tls(handshake(tcp, remote, tls).await?),
            _ => Io::Plain(tcp),
        };
        smtp::Session::open(io, remote, &self.helo, tls).await
    }

    fn tls_client(&self, remote: &Remote) -> Result<Arc<TlsClient>, Fault> {
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.made.elapsed() < FRESH);
        if let Some(known) = kept.iter().find(|kept| kept.remote == *remote) {
            return Ok(known.client.clone());
        }
        let client = Arc::new(tls::client(remote).map_err(setup)?);
        kept.push(Kept { remote: remote.clone(), client: client.clone(), made: Instant::now() });
        Ok(client)
    }
}

/// TLS from the first byte.
async fn handshake(tcp: TcpStream, remote: &Remote, tls: &TlsClient) -> Result<TlsStream, Fault> {
    let peer = tcp.peer_addr().ok();
    let fault = |cause| Fault { phase: Phase::Handshake, peer, cause };
    let limit = smtp::within(remote, smtp::limit::HANDSHAKE);
    match timeout(limit, tls.handshake(tcp)).await {
        Ok(Ok(secured)) => Ok(secured),
        Ok(Err(sentence)) => Err(fault(Cause::Broke(sentence))),
        Err(_) => Err(fault(Cause::TimedOut)),
    }
}

fn setup(sentence: String) -> Fault {
    Fault { phase: Phase::Setup, peer: None, cause: Cause::Broke(sentence) }
}

impl Session {
    /// Sends one message. By the end `report` has been told one verdict for each recipient, those that a
    /// fault brings included; a delivery that is dropped tells no more.
    ///
    /// # Errors
    /// What broke the session on the way; it is then of no further use.
    pub(crate) async fn deliver(
        &mut self,
        mail: &Mail<'_>,
        report: Report<'_>,
    ) -> Result<(), Fault> {
        match &mut self.0 {
            Kind::Smtp(session) => smtp::deliver(session, mail, Share::Each, report).await,
            Kind::Qmqp(session) => session.deliver(mail, report).await,
            Kind::External(session) => session.deliver(mail, report).await,
        }
    }

    /// Sends one message to all of its recipients or to none: while one is refused, the text is
    /// not sent. For callers with one verdict for all.
    pub(crate) async fn deliver_to_all(
        &mut self,
        mail: &Mail<'_>,
        report: Report<'_>,
    ) -> Result<(), Fault> {
        match &mut self.0 {
            Kind::Smtp(session) => smtp::deliver(session, mail, Share::AllOrNone, report).await,
            // These know one verdict only.
            Kind::Qmqp(_) | Kind::External(_) => self.deliver(mail, report).await,
        }
    }

    /// Whether the message under way is out whole and its answer is not in.
    pub(crate) fn may_have_taken(&self) -> bool {
        match &self.0 {
            Kind::Smtp(session) => session.may_have_taken(),
            Kind::Qmqp(session) => session.may_have_taken(),
            Kind::External(session) => session.may_have_taken(),
        }
    }

    /// The fault of a delivery that was dropped on its way: `why`, and whether the message may have been taken.
    pub(crate) fn cut_short(&self, why: &str) -> Fault {
        let phase = if self.may_have_taken() { Phase::Answer } else { Phase::Data };
        Fault { phase, peer: self.peer().address, cause: Cause::Broke(why.to_owned()) }
    }

    /// False after a fault or a 421, and where a protocol takes one message a session.
    pub(crate) fn is_reusable(&self) -> bool {
        match &self.0 {
            Kind::Smtp(session) => session.is_reusable(),
            Kind::Qmqp(_) | Kind::External(_) => false,
        }
    }

    /// False where nothing is known of the server yet: a protocol program connects only when it has a message.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.0, Kind::External(_))
    }

    pub(crate) fn peer(&self) -> &Peer {
        match &self.0 {
            Kind::Smtp(session) => session.peer(),
            Kind::Qmqp(session) => session.peer(),
            Kind::External(session) => session.peer(),
        }
    }

    /// Takes leave where that is safe; waits for the answer a short time only.
    pub(crate) async fn close(self) {
        match self.0 {
            Kind::Smtp(session) => session.close().await,
            Kind::Qmqp(_) | Kind::External(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::smtp::dialogue::{Server, remote, run};
    use super::*;

    #[test]
    fn an_address_whose_server_does_not_greet_gives_way_to_the_next() {
        let refuses = Server::play("S: 554 5.3.2 not me");
        let closes = Server::play("> nothing");
        let greets = Server::play("S: 220 hi\nC: EHLO *\nS: 250 hi\nC: QUIT\nS: 221 bye");
        let addresses = [refuses.address, closes.address, greets.address];
        let dialer = Dialer::new(Helo::Name("me.example".to_owned()), PathBuf::new());
        let remote = remote();
        let opening = dialer.first_that_greets(Addresses::given(&addresses), &remote, None);
        run(async {
            let session = opening.await.unwrap();
            assert_eq!(session.peer().address, Some(greets.address));
            session.close().await;
        });
        assert_eq!(refuses.heard(), "QUIT\r\n");
        assert_eq!(closes.heard(), "");
    }

    #[test]
    fn where_nobody_greets_the_last_one_says_why() {
        let refuses = Server::play("S: 554 5.3.2 not me");
        let dialer = Dialer::new(Helo::AddressLiteral, PathBuf::new());
        let remote = remote();
        let addresses = Addresses::given(&[refuses.address]);
        let fault = run(dialer.first_that_greets(addresses, &remote, None)).unwrap_err();
        assert!(fault.to_string().contains("554 5.3.2 not me"));
    }
}
