//! One server at one port: how many sessions it lets us have, and how fast mail may go there.
//!
//! It is the same site whatever else a remote says of it, so `connections` and `ratelimit` hold across a
//! change of the configuration, for the deliveries under the old one and the new one together.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::Pace;
use super::pool::Pool;
use crate::delivery::RetrySchedule;
use crate::mail::Remote;

#[derive(Debug)]
pub(super) struct Site {
    key: Key,
    /// `connections`.
    most: Cell<usize>,
    /// How many of them the server lets us have, as far as we know.
    width: Cell<usize>,
    crowded: Cell<Option<Crowded>>,
    /// Places taken: by sessions at work, being opened, or saying goodbye.
    taken: Cell<usize>,
    /// Sessions that are open and not idle.
    live: Cell<usize>,
    /// Sessions that are being opened.
    opening: Cell<usize>,
    /// Sessions that are open and idle.
    pub(super) idle: Cell<usize>,
    freed: Notify,
    /// The sessions that are kept, under this configuration and earlier ones.
    pools: RefCell<Vec<Weak<Pool>>>,
    /// `ratelimit`, as the time from one message to the next.
    between: Cell<Duration>,
    pace: RefCell<Pace>,
}

/// Protocol, host and port; and where several remotes have the same, as with two logins, which one.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    protocol: String,
    host: String,
    port: Option<u16>,
    nth: usize,
}

/// The server did not let us have one session more.
#[derive(Clone, Copy, Debug)]
struct Crowded {
    times: u32,
    /// When one more may be asked for.
    again: Instant,
}

/// Sessions at once with a remote that does not say otherwise.
const CONNECTIONS: u16 = 4;

impl Key {
    fn of(remote: &Remote, nth: usize) -> Self {
        let host = remote.host.to_ascii_lowercase();
        let protocol = remote.protocol.name().to_owned();
        Self { protocol, host, port: remote.effective_port(), nth }
    }
}

/// Whether two remotes mean the same server.
pub(super) fn is_shared(one: &Remote, other: &Remote) -> bool {
    Key::of(one, 0) == Key::of(other, 0)
}

impl Site {
    pub(super) fn new(remote: &Remote, nth: usize, between: Duration) -> Rc<Self> {
        let most = most(remote);
        Rc::new(Self {
            key: Key::of(remote, nth),
            most: Cell::new(most),
            width: Cell::new(most),
            crowded: Cell::default(),
            taken: Cell::default(),
            live: Cell::default(),
            opening: Cell::default(),
            idle: Cell::default(),
            freed: Notify::new(),
            pools: RefCell::default(),
            between: Cell::new(between),
            pace: RefCell::default(),
        })
    }

    /// Whether the remote is at this site.
    pub(super) fn is_of(&self, remote: &Remote, nth: usize) -> bool {
        self.key == Key::of(remote, nth)
    }

    /// Takes over what the configuration says now. What the server lets us have is asked anew.
    pub(super) fn update(&self, remote: &Remote, between: Duration) {
        let most = most(remote);
        self.between.set(between);
        if self.most.replace(most) != most {
            self.crowded.set(None);
            self.set_width(most);
        }
    }

    /// How many sessions there may be now.
    pub(super) fn width(&self) -> usize {
        self.width.get()
    }

    /// When one more session than the server took may be asked for.
    pub(super) fn next_widening(&self) -> Option<Instant> {
        self.crowded.get().filter(|_| self.width() < self.most.get()).map(|crowded| crowded.again)
    }

    /// Allows one more session than the server took, if it is time to ask again.
    pub(super) fn widen(&self, now: Instant) {
        if self.next_widening().is_some_and(|again| again <= now) {
            self.set_width(self.width() + 1);
        }
    }

    /// The next message may go now, or when to ask again.
    pub(super) fn turn(&self, now: Instant) -> Result<(), Instant> {
        self.pace.borrow_mut().turn(self.between.get(), now)
    }

    /// Waits for the right to a session.
    pub(super) async fn place(self: &Rc<Self>) -> Place {
        while self.taken.get() >= self.width() {
            self.freed.notified().await;
        }
        self.place_beyond()
    }

    /// Has the idle sessions of a pool counted with those of others.
    pub(super) fn add(&self, pool: Weak<Pool>) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// The pool of an idle session that has to go before one more may be opened.
    pub(super) fn in_the_way(&self) -> Option<Rc<Pool>> {
        let sessions = self.live.get() + self.opening.get() + self.idle.get();
        if sessions < self.width() {
            return None;
        }
        self.pools.borrow().iter().filter_map(Weak::upgrade).find(|pool| pool.has_idle())
    }

    /// The right to the session that one has already.
    pub(super) fn place_beyond(self: &Rc<Self>) -> Place {
        self.taken.set(self.taken.get() + 1);
        Place { site: Rc::clone(self), holds: Holds::Nothing }
    }

    fn set_width(&self, width: usize) {
        let more = width.saturating_sub(self.width.replace(width));
        (0..more).for_each(|_| self.freed.notify_one());
    }
}

fn most(remote: &Remote) -> usize {
    usize::from(remote.connections.unwrap_or(CONNECTIONS).max(1))
}

/// The right to one session with a site; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    site: Rc<Site>,
    holds: Holds,
}

/// What is in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    /// A session that is being opened.
    Opening,
    Session,
}

impl Place {
    /// A session is about to be opened in this place.
    pub(super) fn dial(&mut self) {
        self.hold(Holds::Opening);
    }

    /// There is a session in this place.
    pub(super) fn begin(&mut self) {
        self.hold(Holds::Session);
    }

    /// There is none any more.
    pub(super) fn end(&mut self) {
        self.hold(Holds::Nothing);
    }

    fn hold(&mut self, holds: Holds) {
        let count = |holds| match holds {
            Holds::Nothing => None,
            Holds::Opening => Some(&self.site.opening),
            Holds::Session => Some(&self.site.live),
        };
        if let Some(count) = count(self.holds) {
            count.set(count.get() - 1);
        }
        if let Some(count) = count(holds) {
            count.set(count.get() + 1);
        }
        self.holds = holds;
    }

    /// A session was opened in this place.
    pub(super) fn opened(&mut self) {
        self.begin();
        // As many as it may ever have refused.
        if self.site.live.get() + self.site.idle.get() >= self.site.most.get() {
            self.site.crowded.set(None);
        }
    }

    /// The server refused a session in this place. If others are open it is well and wants no more of
    /// them: how many there are. One that is being opened counts: should it be refused too, it will be the
    /// last to be. `None` if there are no others.
    pub(super) fn refused(&mut self, schedule: &RetrySchedule, now: Instant) -> Option<usize> {
        self.end();
        let site = &self.site;
        let others = site.live.get() + site.idle.get() + site.opening.get();
        if others == 0 {
            return None;
        }
        let times = site.crowded.get().map_or(1, |crowded| crowded.times.saturating_add(1));
        let again = now + schedule.pause_after(times, &site.key.host);
        site.crowded.set(Some(Crowded { times, again }));
        site.set_width(others.min(site.width()));
        Some(others)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end();
        self.site.taken.set(self.site.taken.get() - 1);
        self.site.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Protocol;

    const SCHEDULE: RetrySchedule = RetrySchedule {
        salt: 0,
        pause: Duration::from_secs(60),
        max_pause: Duration::from_secs(3600),
        lifetime: Duration::from_secs(604_800),
    };

    fn remote(connections: u16) -> Remote {
        Remote { connections: Some(connections), ..Remote::new("Relay", Protocol::Smtp) }
    }

    fn site(connections: u16) -> Rc<Site> {
        Site::new(&remote(connections), 0, Duration::ZERO)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_place_is_waited_for_and_handed_on() {
        let site = site(1);
        let first = site.place().await;
        let waits = site.place();
        let mut waits = std::pin::pin!(waits);
        assert!(futures_ready(waits.as_mut()).await.is_none());
        drop(first);
        assert!(futures_ready(waits).await.is_some());
    }

    async fn futures_ready<F: Future>(future: F) -> Option<F::Output> {
        tokio::select! { biased; done = future => Some(done), () = std::future::ready(()) => None }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_refuses_one_more_keeps_those_it_has_and_is_asked_again_later() {
        let (site, now) = (site(4), Instant::now());
        let mut first = site.place().await;
        assert_eq!(first.refused(&SCHEDULE, now), None);
        first.opened();
        let mut second = site.place().await;
        assert_eq!(second.refused(&SCHEDULE, now), Some(1));
        assert_eq!(site.width(), 1);
        site.widen(now);
        assert_eq!(site.width(), 1);
        site.widen(now + 2 * SCHEDULE.pause);
        assert_eq!(site.width(), 2);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_idle_session_is_one_that_the_server_lets_us_have() {
        let (site, now) = (site(4), Instant::now());
        site.idle.set(1);
        assert_eq!(site.place().await.refused(&SCHEDULE, now), Some(1));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn of_sessions_that_are_refused_side_by_side_the_last_one_counts_against_the_server() {
        let (site, now) = (site(4), Instant::now());
        let (mut first, mut second) = (site.place().await, site.place().await);
        first.dial();
        second.dial();
        assert_eq!(first.refused(&SCHEDULE, now), Some(1));
        assert_eq!(second.refused(&SCHEDULE, now), None);
    }

    #[test]
    fn a_site_is_known_by_protocol_host_and_port_alone() {
        let site = site(4);
        assert!(site.is_of(&Remote { host: "relay".to_owned(), ..remote(1) }, 0));
        assert!(!site.is_of(&Remote { port: Some(26), ..remote(4) }, 0));
        assert!(!site.is_of(&remote(4), 1));
        site.update(&remote(2), Duration::ZERO);
        assert_eq!(site.width(), 2);
    }
}
