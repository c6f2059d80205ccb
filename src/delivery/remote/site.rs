//! One server at one port: how many sessions it lets us have, and how fast mail may go there.
//!
//! It is the same site whatever else a remote says of it, so `connections` and `ratelimit` hold across a
//! change of the configuration, for the deliveries under the old one and the new one together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::Pace;
use crate::delivery::RetrySchedule;
use crate::mail::Remote;
use crate::transport::Session;

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
    /// Sessions that are open and idle, whatever configuration they were opened under.
    idle: RefCell<Vec<Idle>>,
    owners: Cell<u64>,
    freed: Notify,
    /// `ratelimit`, as the time from one message to the next.
    between: Cell<Duration>,
    pace: RefCell<Pace>,
}

/// Protocol, host and port. Several remotes may have the same, as with two logins: each has a site of its own.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    protocol: String,
    host: String,
    port: Option<u16>,
}

/// The server did not let us have one session more.
#[derive(Clone, Copy, Debug)]
struct Crowded {
    times: u32,
    /// When one more may be asked for.
    again: Instant,
}

/// A session that waits for the next message.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) owner: Owner,
    pub(super) session: Session,
    /// Messages that it has carried.
    pub(super) carried: u32,
    pub(super) since: Instant,
}

/// Whose idle sessions they are: those who may use each other's have one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(u64);

/// Sessions at once with a remote that does not say otherwise.
const CONNECTIONS: u16 = 4;

impl Key {
    fn of(remote: &Remote) -> Self {
        let host = remote.host.to_ascii_lowercase();
        let protocol = remote.protocol.name().to_owned();
        Self { protocol, host, port: remote.effective_port() }
    }
}

impl Site {
    pub(super) fn new(remote: &Remote, between: Duration) -> Rc<Self> {
        let most = most(remote);
        Rc::new(Self {
            key: Key::of(remote),
            most: Cell::new(most),
            width: Cell::new(most),
            crowded: Cell::default(),
            taken: Cell::default(),
            live: Cell::default(),
            opening: Cell::default(),
            idle: RefCell::default(),
            owners: Cell::default(),
            freed: Notify::new(),
            between: Cell::new(between),
            pace: RefCell::default(),
        })
    }

    /// Whether the remote is at this site.
    pub(super) fn is_of(&self, remote: &Remote) -> bool {
        self.key == Key::of(remote)
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

    /// A session may be had at once.
    pub(super) fn is_free(&self) -> bool {
        self.taken.get() < self.width()
    }

    /// When the next message may go; `None` for now.
    pub(super) fn next_turn(&self, now: Instant) -> Option<Instant> {
        self.pace.borrow().next(self.between.get()).filter(|next| *next > now)
    }

    /// The next message may go now, or when to ask again.
    pub(super) fn turn(&self, now: Instant) -> Result<(), Instant> {
        self.pace.borrow_mut().turn(self.between.get(), now)
    }

    /// Whether what is known of it matters to whoever asks next.
    pub(super) fn remembers(&self, now: Instant) -> bool {
        let crowd = self.crowded.get().is_some_and(|crowded| now < crowded.again);
        crowd || self.next_turn(now).is_some()
    }

    /// Waits for the right to a session.
    pub(super) async fn place(self: &Rc<Self>) -> Place {
        while !self.is_free() {
            self.freed.notified().await;
        }
        self.place_beyond()
    }

    /// One more to whom idle sessions may belong.
    pub(super) fn owner(&self) -> Owner {
        self.owners.set(self.owners.get() + 1);
        Owner(self.owners.get())
    }

    pub(super) fn keep(&self, idle: Idle) {
        self.idle.borrow_mut().push(idle);
    }

    pub(super) fn has_idle(&self, owner: Owner) -> bool {
        self.idle.borrow().iter().any(|idle| idle.owner == owner)
    }

    /// The idle session of this owner that was used last.
    pub(super) fn reuse(&self, owner: Owner) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        let at = idle.iter().rposition(|idle| idle.owner == owner)?;
        Some(idle.remove(at))
    }

    /// Takes out the idle sessions of an owner that fit.
    pub(super) fn take_idle(&self, owner: Owner, fits: impl Fn(&Idle) -> bool) -> Vec<Idle> {
        let taken = |idle: &mut Idle| idle.owner == owner && fits(idle);
        self.idle.borrow_mut().extract_if(.., taken).collect()
    }

    /// Since when the idle session of this owner that has waited longest is idle.
    pub(super) fn idle_since(&self, owner: Owner) -> Option<Instant> {
        let idle = self.idle.borrow();
        idle.iter().filter(|idle| idle.owner == owner).map(|idle| idle.since).min()
    }

    /// An idle session, whoever's, that has to go before one more may be opened.
    pub(super) fn in_the_way(&self) -> Option<Idle> {
        let sessions = self.live.get() + self.opening.get() + self.idle.borrow().len();
        if sessions < self.width() { None } else { self.idle.borrow_mut().pop() }
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
        if self.site.live.get() + self.site.idle.borrow().len() >= self.site.most.get() {
            self.site.crowded.set(None);
        }
    }

    /// The server refused a session in this place. If others are open it is well and wants no more of
    /// them: how many there are. One that is being opened counts: should it be refused too, it will be the
    /// last to be. `None` if there are no others.
    pub(super) fn refused(&mut self, schedule: &RetrySchedule, now: Instant) -> Option<usize> {
        self.end();
        let site = &self.site;
        let others = site.live.get() + site.idle.borrow().len() + site.opening.get();
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
        Site::new(&remote(connections), Duration::ZERO)
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
        assert!(site.is_of(&Remote { host: "relay".to_owned(), ..remote(1) }));
        assert!(!site.is_of(&Remote { port: Some(26), ..remote(4) }));
        site.update(&remote(2), Duration::ZERO);
        assert_eq!(site.width(), 2);
    }
}
