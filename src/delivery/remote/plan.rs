//! One reading of the configuration, and the remotes under it.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::health::Standing;
use super::pool::Slot;
use super::route::Route;
use super::site::{self, Site};
use super::stir::Stir;
use crate::config::Settings;
use crate::delivery::RetrySchedule;
use crate::delivery::queue::Lane;
use crate::mail::Remote;
use crate::transport::{Dialer, Session};

pub(in crate::delivery) struct Plan {
    pub(in crate::delivery) settings: Settings,
    pub(in crate::delivery) schedule: RetrySchedule,
    pub(in crate::delivery) dialer: Dialer,
    pub(in crate::delivery) routes: Vec<Rc<Route>>,
    /// For each lane the places in `routes` that its messages may take, in their order.
    lanes: Vec<Vec<usize>>,
}

/// The sites that deliveries know, under this configuration or an earlier one; and those that they
/// would have to know again, had they been forgotten for a moment.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Sites(Vec<Rc<Site>>);

/// Longer than any process lives, and still far from the end of the clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Sites {
    /// The site of a remote that `nth` others share with it.
    fn find(&mut self, remote: &Remote, nth: usize, between: Duration) -> Rc<Site> {
        let now = Instant::now();
        self.0.retain(|site| Rc::strong_count(site) > 1 || site.remembers(now));
        if let Some(site) = self.0.iter().find(|site| site.is_of(remote, nth)) {
            site.update(remote, between);
            return Rc::clone(site);
        }
        let site = Site::new(remote, nth, between);
        self.0.push(Rc::clone(&site));
        site
    }
}

impl Plan {
    /// Makes the plan that follows `before`: remotes that say the same stay as they are, with what is
    /// known of them and the sessions they have; one that says anything new is asked anew.
    pub(in crate::delivery) fn new(
        settings: Settings,
        dialer: Dialer,
        before: Option<&Self>,
        sites: &mut Sites,
        stir: &Stir,
        salt: u64,
    ) -> Self {
        // In one-shot mode nothing is tried twice.
        let (pause, max_pause) = if settings.is_one_shot() {
            (NEVER, NEVER)
        } else {
            // A maxpause of 0 would mean to try again at once, without end.
            let max_pause =
                if settings.max_pause.is_zero() { settings.pause } else { settings.max_pause };
            (settings.pause.min(NEVER), max_pause.min(NEVER))
        };
        let schedule = RetrySchedule { salt, pause, max_pause, lifetime: settings.lifetime };
        // A session has told our name.
        let before = before.filter(|before| before.settings.helo == settings.helo);
        let mut routes: Vec<Rc<Route>> = Vec::with_capacity(settings.remotes.len());
        for (at, remote) in settings.remotes.iter().enumerate() {
            let nth =
                settings.remotes[..at].iter().filter(|one| site::is_shared(one, remote)).count();
            let site = sites.find(remote, nth, settings.between);
            let is_same = |known: &&Rc<Route>| {
                known.remote == *remote && !routes.iter().any(|route| Rc::ptr_eq(route, known))
            };
            let same = before.and_then(|before| before.routes.iter().find(is_same));
            routes.push(same.map_or_else(
                || Rc::new(Route::new(remote, site, stir, Instant::now())),
                Rc::clone,
            ));
        }
        let lanes = vec![(0..routes.len()).collect()];
        Self { settings, schedule, dialer, routes, lanes }
    }

    /// Has sessions of remotes that the next plan does not have end with their message; returns those
    /// to close.
    pub(in crate::delivery) fn retire(&self, next: Option<&Self>) -> Vec<(Slot, Session)> {
        let stays = |route: &&Rc<Route>| {
            next.is_some_and(|next| next.routes.iter().any(|other| Rc::ptr_eq(route, other)))
        };
        self.routes.iter().filter(|route| !stays(route)).flat_map(|route| route.retire()).collect()
    }

    pub(in crate::delivery) fn lanes(&self) -> impl Iterator<Item = Lane> + use<> {
        (0..self.lanes.len()).map(|lane| Lane(u16::try_from(lane).expect("few lanes")))
    }

    /// The remotes that the messages of a lane may take, in their order.
    pub(in crate::delivery) fn routes_of(&self, lane: Lane) -> impl Iterator<Item = &Rc<Route>> {
        let places = self.lanes.get(usize::from(lane.0)).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|place| &self.routes[*place])
    }

    /// The remote that a message of this lane would set out for: the first that is not at rest.
    pub(in crate::delivery) fn target(&self, lane: Lane, now: Instant) -> Option<&Rc<Route>> {
        self.routes_of(lane).find(|route| route.standing(now) != Standing::Resting)
    }

    /// Says goodbye to every server.
    pub(in crate::delivery) async fn close(&self) {
        for (slot, session) in self.routes.iter().flat_map(|route| route.take_idle(None)) {
            slot.close(session).await;
        }
    }
}
