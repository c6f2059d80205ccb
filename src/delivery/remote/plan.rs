//! One reading of the configuration, and the remotes under it.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::health::{Health, Standing};
use super::pool::Slot;
use super::route::Route;
use super::site::Site;
use super::stir::Stir;
use crate::config::Settings;
use crate::delivery::RetrySchedule;
use crate::delivery::queue::Lane;
use crate::mail::{Helo, Remote};
use crate::transport::{Dialer, Session};

pub(in crate::delivery) struct Plan {
    pub(in crate::delivery) settings: Settings,
    pub(in crate::delivery) schedule: RetrySchedule,
    pub(in crate::delivery) dialer: Dialer,
    pub(in crate::delivery) routes: Vec<Rc<Route>>,
    /// For each lane the places in `routes` that its messages may take, in their order.
    lanes: Vec<Vec<usize>>,
}

/// What deliveries know of servers and remotes under this configuration or an earlier one; and what they would have
/// to know again, had it been forgotten while the control files could not be read.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Sites {
    sites: Vec<Rc<Site>>,
    /// How a line of `remotes` fared, with what we called ourselves.
    healths: Vec<(Helo, Remote, Health)>,
}

/// Longer than any process lives, and still far from the end of the clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Sites {
    /// The site of a remote: one of its server that is not `taken` by another remote.
    fn find(&mut self, remote: &Remote, between: Duration, taken: &[Rc<Site>]) -> Rc<Site> {
        let is_free = |site: &&Rc<Site>| !taken.iter().any(|other| Rc::ptr_eq(site, other));
        if let Some(site) = self.sites.iter().filter(is_free).find(|site| site.is_of(remote)) {
            site.update(remote, between);
            return Rc::clone(site);
        }
        let site = Site::new(remote, between);
        self.sites.push(Rc::clone(&site));
        site
    }

    /// How a remote fares of which nothing new is said.
    fn health(&mut self, helo: &Helo, remote: &Remote, stir: &Stir) -> Health {
        let is_it = |(name, known, _): &&(Helo, Remote, Health)| name == helo && known == remote;
        if let Some((.., health)) = self.healths.iter().find(is_it) {
            return health.clone();
        }
        let health = Health::new(remote.host.clone(), stir.clone());
        self.healths.push((helo.clone(), remote.clone(), health.clone()));
        health
    }

    fn forget(&mut self, now: Instant) {
        self.sites.retain(|site| Rc::strong_count(site) > 1 || site.remembers(now));
        self.healths.retain(|(.., health)| health.is_shared() || health.remembers(now));
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
        let routes = Self::routes(&settings, before, sites, stir);
        let lanes = vec![(0..routes.len()).collect()];
        Self { settings, schedule, dialer, routes, lanes }
    }

    fn routes(
        settings: &Settings,
        before: Option<&Self>,
        sites: &mut Sites,
        stir: &Stir,
    ) -> Vec<Rc<Route>> {
        let now = Instant::now();
        sites.forget(now);
        // A session has told our name.
        let before = before.filter(|before| before.settings.helo == settings.helo);
        let mut known: Vec<_> = before.map_or_else(Vec::new, |before| before.routes.clone());
        let mut same = |remote: &Remote| {
            let at = known.iter().position(|route| route.remote == *remote)?;
            Some(known.remove(at))
        };
        let stay: Vec<_> = settings.remotes.iter().map(&mut same).collect();
        // Who stays keeps its site, whatever line of the same server is new.
        let mut taken: Vec<_> = stay.iter().flatten().map(|route| route.site()).collect();
        let of = |(remote, stays): (&Remote, Option<Rc<Route>>)| {
            if let Some(route) = stays {
                route.site().update(remote, settings.between);
                return route;
            }
            let site = sites.find(remote, settings.between, &taken);
            taken.push(Rc::clone(&site));
            let health = sites.health(&settings.helo, remote, stir);
            Rc::new(Route::new(remote, site, health, stir, now))
        };
        settings.remotes.iter().zip(stay).map(of).collect()
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
