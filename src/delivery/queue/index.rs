//! Which messages there are and whose turn it is: the little that is held in memory for each.
//!
//! The engine owns it. What a message is, it does not know: it is told when a message comes, waits and
//! goes. Messages that may take the same remotes stand in one [`Lane`], and each lane has its own turns.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::spool::QueueId;

/// The messages that may take the same remotes, in the same order. The plan knows which those are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::delivery) struct Lane(pub(in crate::delivery) u16);

/// The messages of the queue, as far as the daemon knows them. `N` is what an unfinished message leaves
/// behind for its next turn; it goes when the message is forgotten.
#[derive(Debug)]
pub(in crate::delivery) struct Index<N> {
    known: HashMap<QueueId, Known<N>, Hashes>,
    lanes: BTreeMap<Lane, Waiting>,
    /// Tried before we came, and nobody has looked yet how long they have to wait; may hold ids that are
    /// gone.
    unread: VecDeque<QueueId>,
    /// Waiting for their own clock; the number keeps those of one moment apart.
    later: BTreeMap<(Instant, u64), QueueId>,
    counter: u64,
    /// Those that [`Index::overdue`] does not name before a time.
    spared: HashMap<QueueId, Instant, Hashes>,
}

/// Names may be chosen by whoever writes into the queue: no order of them must cost more than another.
#[cfg(not(test))]
type Hashes = std::hash::RandomState;
/// In a test what is done is done in the same order each time.
#[cfg(test)]
type Hashes = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// The turns of one lane. The lists may hold ids that are gone or no longer wait.
#[derive(Debug, Default)]
struct Waiting {
    /// Never tried since we know it.
    fresh: VecDeque<QueueId>,
    /// Due again.
    ready: VecDeque<QueueId>,
    /// Fresh messages in a row that went before one that was ready.
    ahead: u8,
}

#[derive(Debug)]
struct Known<N> {
    state: State,
    lane: Lane,
    /// It was named as overdue for a warning once.
    warned: bool,
    /// Everything was to be tried while this was being delivered.
    flushed: bool,
    /// It has set out for a remote, or was tried before we came.
    had_turn: bool,
    age: Age,
    note: Option<Box<N>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Ready,
    Unread,
    Later(Instant, u64),
    Running,
}

/// How old a message is: what it was when the daemon learnt of it, and from then on by a clock that only
/// goes forward, so that no jump of the system's time makes a message old.
#[derive(Clone, Copy, Debug)]
pub(in crate::delivery) struct Age {
    then: Duration,
    since: Instant,
}

impl Age {
    pub(in crate::delivery) fn new(then: Duration, since: Instant) -> Self {
        Self { then, since }
    }

    pub(in crate::delivery) fn at(&self, now: Instant) -> Duration {
        self.then.saturating_add(now.saturating_duration_since(self.since))
    }
}

/// A message whose turn it is. It counts as running until it is deferred, put back or forgotten.
#[derive(Debug)]
pub(in crate::delivery) struct Taken<N> {
    pub(in crate::delivery) id: QueueId,
    pub(in crate::delivery) lane: Lane,
    pub(in crate::delivery) age: Age,
    pub(in crate::delivery) note: Option<Box<N>>,
}

/// New mail goes first, but where both wait every fourth turn is for mail that was tried before.
const AHEAD: u8 = 3;

impl<N> Default for Index<N> {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            lanes: BTreeMap::new(),
            unread: VecDeque::new(),
            later: BTreeMap::new(),
            counter: 0,
            spared: HashMap::default(),
        }
    }
}

impl<N> Known<N> {
    fn waits_for_a_turn(&self) -> bool {
        matches!(self.state, State::Fresh | State::Ready)
    }
}

impl<N> Index<N> {
    pub(in crate::delivery) fn knows(&self, id: &QueueId) -> bool {
        self.known.contains_key(id)
    }

    /// Messages in the queue, those being delivered included.
    pub(in crate::delivery) fn len(&self) -> usize {
        self.known.len()
    }

    /// Messages that could be tried now: in one lane, at least as many as there are.
    pub(in crate::delivery) fn backlog(&self, lane: Lane) -> usize {
        self.lanes.get(&lane).map_or(0, |waiting| waiting.fresh.len() + waiting.ready.len())
    }

    /// Whether any message could be tried now.
    pub(in crate::delivery) fn has_backlog(&self) -> bool {
        self.lanes.values().any(|waiting| !waiting.fresh.is_empty() || !waiting.ready.is_empty())
    }

    /// Messages by what they wait for: a turn, their own clock, and those being delivered.
    pub(in crate::delivery) fn counts(&self) -> (usize, usize, usize) {
        let later = self.later.len();
        let running = self.known.values().filter(|known| known.state == State::Running).count();
        (self.len() - later - running, later, running)
    }

    /// Makes room for so many more at once, `tried` of them tried before: growing by doubling would
    /// hold the table twice.
    pub(in crate::delivery) fn reserve(&mut self, lane: Lane, count: usize, tried: usize) {
        self.known.reserve(count);
        self.lanes.entry(lane).or_default().fresh.reserve(count - tried);
        self.unread.reserve(tried);
    }

    /// A message that was not known: to be tried at once, or if it was tried before we came, when
    /// [`Index::defer`] has said how long it has to wait.
    pub(in crate::delivery) fn learn(
        &mut self,
        id: QueueId,
        lane: Lane,
        age: Duration,
        tried: bool,
        now: Instant,
    ) {
        let (state, list) = if tried {
            (State::Unread, &mut self.unread)
        } else {
            (State::Fresh, &mut self.lanes.entry(lane).or_default().fresh)
        };
        list.push_back(id.clone());
        let age = Age::new(age, now);
        let (warned, flushed, had_turn) = (false, false, tried);
        let known = Known { state, lane, warned, flushed, had_turn, age, note: None };
        self.known.insert(id, known);
    }

    /// Whether [`Index::next_unread`] has one.
    pub(in crate::delivery) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// A message that waits for [`Index::defer`].
    pub(in crate::delivery) fn next_unread(&mut self) -> Option<QueueId> {
        let id = self.unread.pop_front();
        if self.unread.is_empty() {
            // There may have been a hundred thousand, and there will hardly be one again.
            self.unread = VecDeque::new();
        }
        id.filter(|id| self.known.get(id).is_some_and(|known| known.state == State::Unread))
    }

    /// The next message of a lane to try.
    pub(in crate::delivery) fn take(&mut self, lane: Lane) -> Option<Taken<N>> {
        let waiting = self.lanes.get_mut(&lane)?;
        loop {
            let is_turn_of_ready = waiting.ahead >= AHEAD && !waiting.ready.is_empty();
            let fresh = if is_turn_of_ready { None } else { waiting.fresh.pop_front() };
            let (id, expected) = match fresh {
                Some(id) => (id, State::Fresh),
                None => (waiting.ready.pop_front()?, State::Ready),
            };
            if let Some(known) = self.known.get_mut(&id).filter(|known| known.state == expected) {
                let passes = expected == State::Fresh && !waiting.ready.is_empty();
                waiting.ahead = if passes { waiting.ahead + 1 } else { 0 };
                known.state = State::Running;
                known.had_turn = true;
                return Some(Taken { id, lane, age: known.age, note: known.note.take() });
            }
        }
    }

    /// Takes this very message, if it waits for a turn.
    pub(in crate::delivery) fn take_this(&mut self, id: &QueueId) -> Option<Taken<N>> {
        let known = self.known.get_mut(id).filter(|known| known.waits_for_a_turn())?;
        known.state = State::Running;
        let (lane, age) = (known.lane, known.age);
        Some(Taken { id: id.clone(), lane, age, note: known.note.take() })
    }

    /// Has the message tried again after `wait`.
    pub(in crate::delivery) fn defer(&mut self, id: &QueueId, wait: Duration, now: Instant) {
        let Some(known) = self.known.get_mut(id) else { return };
        if wait.is_zero() {
            known.state = State::Ready;
            self.lanes.entry(known.lane).or_default().ready.push_back(id.clone());
            return;
        }
        self.counter += 1;
        known.state = State::Later(now + wait, self.counter);
        self.later.insert((now + wait, self.counter), id.clone());
    }

    /// Whether everything was to be tried while this was being delivered; it is said once.
    pub(in crate::delivery) fn take_flushed(&mut self, id: &QueueId) -> bool {
        self.known.get_mut(id).is_some_and(|known| std::mem::take(&mut known.flushed))
    }

    /// Keeps something for the message's next turn.
    pub(in crate::delivery) fn keep(&mut self, id: &QueueId, note: Box<N>) {
        if let Some(known) = self.known.get_mut(id) {
            known.note = Some(note);
        }
    }

    /// What was kept for messages whose turn has not come.
    pub(in crate::delivery) fn notes(&mut self) -> impl Iterator<Item = &mut N> {
        self.known.values_mut().filter_map(|known| known.note.as_deref_mut())
    }

    /// Takes what was kept for messages whose turn has not come.
    pub(in crate::delivery) fn take_notes(&mut self) -> impl Iterator<Item = (QueueId, Box<N>)> {
        self.known.iter_mut().filter_map(|(id, known)| Some((id.clone(), known.note.take()?)))
    }

    /// Makes due what waits and has a note like this.
    pub(in crate::delivery) fn hurry(&mut self, is_meant: impl Fn(&N) -> bool) {
        let note = |id: &QueueId| self.known.get(id).and_then(|known| known.note.as_deref());
        let meant = self.later.iter().filter(|(_, id)| note(id).is_some_and(&is_meant));
        for key in meant.map(|(key, _)| *key).collect::<Vec<_>>() {
            if let Some(id) = self.later.remove(&key) {
                self.make_ready(id);
            }
        }
    }

    /// It is not overdue before this time.
    pub(in crate::delivery) fn spare(&mut self, id: &QueueId, until: Instant) {
        self.spared.insert(id.clone(), until);
    }

    /// Nothing was learnt about it: it is next again as soon as there is a remote.
    pub(in crate::delivery) fn put_back(&mut self, id: &QueueId) {
        if let Some(known) = self.known.get_mut(id) {
            known.state = State::Ready;
            self.lanes.entry(known.lane).or_default().ready.push_front(id.clone());
        }
    }

    pub(in crate::delivery) fn forget(&mut self, id: &QueueId) {
        if let Some(Known { state: State::Later(at, nth), .. }) = self.known.remove(id) {
            self.later.remove(&(at, nth));
        }
    }

    /// Everything that waits is due now, and what is being delivered once more when that is over.
    pub(in crate::delivery) fn flush(&mut self) {
        for known in self.known.values_mut() {
            known.flushed = known.state == State::Running;
        }
        for id in std::mem::take(&mut self.later).into_values() {
            self.make_ready(id);
        }
    }

    /// Makes due what is due by now. True if that is any.
    pub(in crate::delivery) fn wake(&mut self, now: Instant) -> bool {
        let mut woken = false;
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let id = first.remove();
            self.make_ready(id);
            woken = true;
        }
        woken
    }

    fn make_ready(&mut self, id: QueueId) {
        if let Some(known) = self.known.get_mut(&id) {
            known.state = State::Ready;
            self.lanes.entry(known.lane).or_default().ready.push_back(id);
        }
    }

    /// When the next message becomes due.
    pub(in crate::delivery) fn next_due(&self) -> Option<Instant> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    pub(in crate::delivery) fn age(&self, id: &QueueId, now: Instant) -> Duration {
        self.known.get(id).map_or(Duration::ZERO, |known| known.age.at(now))
    }

    /// Messages that wait for a turn and are older than `limit`, or for the first time older than
    /// `warning`; at most `most` of them. Beside them, how long it takes until there is another one,
    /// as far as messages are known and wait now. One that never had a turn is left to that where its
    /// lane `is_served`.
    pub(in crate::delivery) fn overdue(
        &mut self,
        limit: Duration,
        warning: Option<Duration>,
        most: usize,
        is_served: impl Fn(Lane) -> bool,
        now: Instant,
    ) -> (Vec<QueueId>, Option<Duration>) {
        let (mut found, mut next) = (Vec::new(), None::<Duration>);
        self.spared.retain(|_, until| *until > now);
        let is_meant = |known: &Known<N>| {
            known.waits_for_a_turn() && (known.had_turn || !is_served(known.lane))
        };
        for (id, known) in self.known.iter_mut().filter(|(_, known)| is_meant(known)) {
            if let Some(until) = self.spared.get(id) {
                let wait = *until - now;
                next = Some(next.map_or(wait, |next| next.min(wait)));
                continue;
            }
            let age = known.age.at(now);
            let warning = warning.filter(|_| !known.warned);
            let is_overdue = age > limit || warning.is_some_and(|warning| age >= warning);
            if is_overdue && found.len() < most {
                known.warned |= warning.is_some_and(|warning| age >= warning);
                found.push(id.clone());
            } else {
                let due = warning.map_or(limit, |warning| warning.min(limit));
                let wait = due.saturating_sub(age);
                next = Some(next.map_or(wait, |next| next.min(wait)));
            }
        }
        (found, next)
    }
}
