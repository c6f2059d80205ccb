//! What the service manager is told: that we are ready, and how much waits (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

/// The other end of `$NOTIFY_SOCKET`, if there is one. Nobody there is no error.
#[derive(Debug, Default)]
pub(crate) struct Manager(Option<UnixDatagram>);

impl Manager {
    pub(crate) fn new(socket: UnixDatagram) -> Self {
        Self(Some(socket))
    }

    /// The loop of the engine turns.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    pub(super) fn tell(&self, lines: &str) {
        if let Some(socket) = &self.0 {
            let _ = socket.send(lines.as_bytes());
        }
    }
}
