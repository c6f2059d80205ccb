//! One reading of the configuration, and what is known under it: the remotes, their health, their
//! sessions.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

use super::RetrySchedule;
use super::health::Health;
use super::pace::Pace;
use super::pool::Pool;
use crate::config::Settings;
use crate::mail::{Reason, Remote};
use crate::transport::Dialer;

pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) schedule: RetrySchedule,
    pub(super) dialer: Dialer,
    pub(super) routes: Vec<Route>,
}

/// A remote, and how it fares.
pub(super) struct Route {
    pub(super) remote: Remote,
    pub(super) health: RefCell<Health>,
    pub(super) pool: Pool,
    pub(super) pace: RefCell<Pace>,
}

/// Sessions at once with a remote that does not say otherwise.
const CONNECTIONS: u16 = 4;
/// Longer than any process lives, and still far from the end of the clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Route {
    /// Why it cannot be tried now; `None` if it can.
    pub(super) fn resting(&self) -> Option<Reason> {
        let health = self.health.borrow();
        let reason = || health.reason().cloned().expect("a remote that rests has a reason");
        (!health.may_try(Instant::now())).then(reason)
    }
}

impl Plan {
    pub(super) fn new(settings: Settings, dialer: Dialer) -> Self {
        // In one-shot mode nothing is tried twice.
        let (pause, max_pause) = if settings.is_one_shot() {
            (NEVER, NEVER)
        } else {
            // A maxpause of 0 would mean to try again at once, without end.
            let max_pause =
                if settings.max_pause.is_zero() { settings.pause } else { settings.max_pause };
            (settings.pause.min(NEVER), max_pause.min(NEVER))
        };
        let schedule = RetrySchedule { pause, max_pause, lifetime: settings.lifetime };
        let route = |remote: &Remote| Route {
            remote: remote.clone(),
            health: RefCell::default(),
            pool: Pool::new(remote.connections.unwrap_or(CONNECTIONS), remote.messages),
            pace: RefCell::new(Pace::new(settings.between)),
        };
        let routes = settings.remotes.iter().map(route).collect();
        Self { settings, schedule, dialer, routes }
    }

    /// How many messages may be under way at once.
    pub(super) fn limit(&self) -> usize {
        self.routes.iter().map(|route| route.pool.width()).max().unwrap_or(1)
    }

    /// Asks for one session more where the server did not take as many as there may be.
    pub(super) fn widen(&self, now: Instant) {
        for route in &self.routes {
            route.pool.widen(now);
        }
    }

    /// Whether some remote may be tried now.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.routes.iter().any(|route| route.health.borrow().may_try(now))
    }

    /// When a remote that rests may be tried again, or asked for one session more.
    pub(super) fn next_try(&self, now: Instant) -> Option<Instant> {
        let resting = self.routes.iter().filter_map(|route| route.health.borrow().again());
        let crowded = self.routes.iter().filter_map(|route| route.pool.next_widening());
        resting.chain(crowded).filter(|again| *again > now).min()
    }

    /// Says goodbye to every server.
    pub(super) async fn close(&self) {
        for (slot, session) in self.routes.iter().flat_map(|route| route.pool.take_idle(None)) {
            slot.close(session).await;
        }
    }

    /// When an idle session should be closed.
    pub(super) fn next_close(&self) -> Option<Instant> {
        self.routes.iter().filter_map(|route| route.pool.next_close()).min()
    }
}
