//! A network in the place of sockets, for tests that need many servers and no time: what the dialers of
//! this thread connect by.
//!
//! Set by the simulator alone. All above a connection is the real code: greeting, login, transactions.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

pub(crate) use super::smtp::Stream;
use super::{Cause, Fault, Phase};

/// A connection that is being made.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, Fault>>>>;

/// Who answers when a host is connected to.
pub(crate) trait Network {
    /// Looks the host up and connects, or fails as a real one would.
    fn connect(&self, host: &str, port: u16) -> Connecting;
}

thread_local! {
    static NETWORK: RefCell<Option<Rc<dyn Network>>> = const { RefCell::new(None) };
}

/// Has SMTP sessions of this thread opened over `network` until what is returned is dropped.
#[must_use]
pub(crate) fn install(network: Rc<dyn Network>) -> Installed {
    NETWORK.set(Some(network));
    Installed(())
}

pub(crate) struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        NETWORK.set(None);
    }
}

pub(super) fn network() -> Option<Rc<dyn Network>> {
    NETWORK.with_borrow(Clone::clone)
}

/// The failure to connect to a host, as the sockets' own code reports it.
pub(crate) fn unreachable(phase: Phase, kind: io::ErrorKind, text: String) -> Fault {
    Fault { phase, peer: None, cause: Cause::System(kind, text) }
}
