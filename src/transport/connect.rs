//! From a remote's host to a connected socket: every address, raced as RFC 8305 has it.
//!
//! Called by `dialer`. Dropping a future of this file drops every socket it had opened.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::look_up::{self, look_up};
use super::{Cause, Fault, Phase};
use crate::mail::{Family, Remote};

/// RFC 8305 §5: how long an attempt runs alone before the next address is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// No address is waited for longer.
const ATTEMPT: Duration = Duration::from_secs(60);

/// The addresses of a remote that have not been tried, best first, and where to connect from.
#[derive(Debug)]
pub(super) struct Addresses {
    untried: VecDeque<SocketAddr>,
    /// Empty for a remote without `source`.
    sources: Vec<IpAddr>,
    attempt: Duration,
}

impl Addresses {
    #[cfg(test)]
    pub(super) fn given(untried: &[SocketAddr]) -> Self {
        Self { untried: untried.iter().copied().collect(), sources: Vec::new(), attempt: ATTEMPT }
    }

    /// Looks up the host, and the `source` if there is one.
    pub(super) async fn resolve(remote: &Remote, port: u16) -> Result<Self, Fault> {
        let attempt = remote.step_limit.map_or(ATTEMPT, |limit| limit.min(ATTEMPT));
        let limit = remote.step_limit.map_or(look_up::LIMIT, |limit| limit.min(look_up::LIMIT));
        let mut found = look_up(&remote.host, port, limit).await?;
        found.retain(|address| match remote.family {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        });
        if found.is_empty() {
            let family = if remote.family == Family::Ipv4 { "IPv4" } else { "IPv6" };
            let text = format!("{:?} has no {family} address", remote.host);
            return Err(fault(Phase::Resolve, io::ErrorKind::NotFound, text));
        }
        let sources = match &remote.source {
            None => Vec::new(),
            Some(source) => look_up(source, 0, limit).await?.iter().map(SocketAddr::ip).collect(),
        };
        if let Some(source) = &remote.source {
            found.retain(|address| sources.iter().any(|ip| ip.is_ipv4() == address.is_ipv4()));
            if found.is_empty() {
                let text =
                    format!("{source:?} and {:?} have no address family in common", remote.host);
                return Err(fault(Phase::Bind, io::ErrorKind::AddrNotAvailable, text));
            }
        }
        Ok(Self { untried: interleave(found), sources, attempt })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.untried.is_empty()
    }

    /// Connects to the first address that answers. It is not tried again, nor are those that failed
    /// before it did; those that it overtook are.
    pub(super) async fn connect(&mut self) -> Result<TcpStream, Fault> {
        let mut attempts: JoinSet<(SocketAddr, Result<TcpStream, Refused>)> = JoinSet::new();
        let mut running = Vec::new();
        let mut refusals: Vec<(SocketAddr, Refused)> = Vec::new();
        loop {
            if let Some(address) = self.untried.pop_front() {
                running.push(address);
                let (sources, limit) = (self.sources.clone(), self.attempt);
                attempts.spawn(async move { (address, attempt(address, &sources, limit).await) });
            }
            let head_start = if self.untried.is_empty() { Duration::MAX } else { HEAD_START };
            let finished = tokio::select! {
                finished = attempts.join_next() => finished,
                () = sleep(head_start) => continue,
            };
            match finished {
                None => return Err(all_refused(refusals)),
                Some(Err(panicked)) => {
                    return Err(fault(Phase::Connect, io::ErrorKind::Other, panicked.to_string()));
                }
                Some(Ok((address, result))) => {
                    running.retain(|other| *other != address);
                    match result {
                        Ok(stream) => {
                            self.untried.extend(running);
                            return Ok(stream);
                        }
                        Err(refused) => refusals.push((address, refused)),
                    }
                }
            }
        }
    }
}

/// Why one address was not reached.
struct Refused {
    phase: Phase,
    kind: io::ErrorKind,
    text: String,
}

async fn attempt(
    address: SocketAddr,
    sources: &[IpAddr],
    limit: Duration,
) -> Result<TcpStream, Refused> {
    let refused =
        |phase, error: io::Error| Refused { phase, kind: error.kind(), text: error.to_string() };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(|error| refused(Phase::Connect, error))?;
    // nullmailer: the first source address that can be had is used.
    let mut bound = Ok(());
    for source in sources.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4()) {
        bound = socket.bind(SocketAddr::new(*source, 0)).map_err(|error| Refused {
            text: format!("cannot bind {source}: {error}"),
            ..refused(Phase::Bind, error)
        });
        if bound.is_ok() {
            break;
        }
    }
    bound?;
    match timeout(limit, socket.connect(address)).await {
        Ok(Ok(stream)) => {
            // Else a short write waits for the peer's delayed ACK of the one before.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(refused(Phase::Connect, error)),
        Err(_) => Err(refused(Phase::Connect, io::ErrorKind::TimedOut.into())),
    }
}

/// The last refusal decides what kind of failure it was; the text names them all.
fn all_refused(refusals: Vec<(SocketAddr, Refused)>) -> Fault {
    let peer = match &refusals[..] {
        [(address, _)] => Some(*address),
        _ => None,
    };
    let text = match &refusals[..] {
        [(_, only)] => only.text.clone(),
        several => {
            let lines: Vec<_> = several
                .iter()
                .map(|(address, refused)| format!("{address}: {}", refused.text))
                .collect();
            lines.join("; ")
        }
    };
    let (phase, kind) = refusals
        .last()
        .map_or((Phase::Connect, io::ErrorKind::Other), |(_, last)| (last.phase, last.kind));
    Fault { phase, peer, cause: Cause::System(kind, text) }
}

fn fault(phase: Phase, kind: io::ErrorKind, text: String) -> Fault {
    Fault { phase, peer: None, cause: Cause::System(kind, text) }
}

/// RFC 8305 §4: families in turn, beginning with that of the resolver's first address.
fn interleave(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut order = VecDeque::new();
    while let Some(address) = first.pop_front() {
        if !order.contains(&address) {
            order.push_back(address);
        }
        std::mem::swap(&mut first, &mut second);
        if first.is_empty() {
            std::mem::swap(&mut first, &mut second);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_are_tried_in_turn() {
        let given =
            addresses(&["[::1]:1", "[::2]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let order = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleave(given), order);
        assert!(interleave(Vec::new()).is_empty());
        let single = addresses(&["1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(interleave(single.clone()), single);
    }

    fn untried(texts: &[String]) -> Addresses {
        let untried: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Addresses::given(&untried)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn an_address_that_refuses_gives_way_to_the_next_and_the_rest_stays_for_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.4"];
        let mut addresses = untried(&hosts.map(|host| format!("{host}:{port}")));
        let stream = run(addresses.connect()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        assert_eq!(addresses.untried, [format!("127.0.0.4:{port}").parse().unwrap()]);
    }

    #[test]
    fn where_all_refuse_all_are_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut addresses =
            untried(&["127.0.0.1", "127.0.0.2"].map(|host| format!("{host}:{port}")));
        let fault = run(addresses.connect()).unwrap_err();
        assert!(matches!(fault.cause, Cause::System(io::ErrorKind::ConnectionRefused, _)));
        let line = fault.to_string();
        for host in ["127.0.0.1", "127.0.0.2"] {
            assert!(line.contains(&format!("{host}:{port}: Connection refused")), "{line}");
        }
    }
}
