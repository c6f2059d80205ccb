//! Which messages there are and which is next. Pure: time comes in as an argument.
//!
//! It holds an id and a few words for each message and nothing of the message itself, so that a
//! hundred thousand of them cost little. New mail is never behind old mail.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::spool::QueueId;

/// The messages of the queue, as far as the daemon knows them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    known: HashMap<QueueId, Known>,
    /// Never tried since we know it; may hold ids that are gone.
    fresh: VecDeque<QueueId>,
    /// Due again; likewise.
    ready: VecDeque<QueueId>,
    /// Tried before we came, and nobody has looked yet how long they have to wait; likewise.
    unread: VecDeque<QueueId>,
    /// Waiting for their own clock; the number keeps those of one moment apart.
    later: BTreeMap<(Instant, u64), QueueId>,
    counter: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    /// When it was learnt of and how old it was then: with a clock that only goes forward, so that
    /// no jump of the system's time makes a message old.
    since: Instant,
    age: Duration,
    /// It was named as overdue for a warning once.
    warned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Ready,
    Unread,
    Later(Instant, u64),
    Running,
}

impl Index {
    pub(crate) fn knows(&self, id: &QueueId) -> bool {
        self.known.contains_key(id)
    }

    /// Messages in the queue, those being delivered included.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Messages that could be tried now.
    pub(crate) fn backlog(&self) -> usize {
        self.fresh.len() + self.ready.len()
    }

    /// Makes room for so many more at once, `tried` of them tried before: growing by doubling would
    /// hold the table twice.
    pub(crate) fn reserve(&mut self, count: usize, tried: usize) {
        self.known.reserve(count);
        self.fresh.reserve(count - tried);
        self.unread.reserve(tried);
    }

    /// A message that was not known: to be tried at once, or if it was tried before we came, when
    /// [`Index::defer`] has said how long it has to wait.
    pub(crate) fn learn(&mut self, id: QueueId, age: Duration, tried: bool, now: Instant) {
        let (state, list) =
            if tried { (State::Unread, &mut self.unread) } else { (State::Fresh, &mut self.fresh) };
        list.push_back(id.clone());
        self.known.insert(id, Known { state, since: now, age, warned: false });
    }

    /// Whether [`Index::next_unread`] has one.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// A message that waits for [`Index::defer`].
    pub(crate) fn next_unread(&mut self) -> Option<QueueId> {
        let id = self.unread.pop_front();
        if self.unread.is_empty() {
            // There may have been a hundred thousand, and there will hardly be one again.
            self.unread = VecDeque::new();
        }
        id.filter(|id| self.known.get(id).is_some_and(|known| known.state == State::Unread))
    }

    /// The next message to try; it counts as running until it is deferred, put back or forgotten.
    pub(crate) fn take(&mut self, now: Instant) -> Option<QueueId> {
        self.wake(now);
        loop {
            let (id, expected) = match self.fresh.pop_front() {
                Some(id) => (id, State::Fresh),
                None => (self.ready.pop_front()?, State::Ready),
            };
            if let Some(known) = self.known.get_mut(&id).filter(|known| known.state == expected) {
                known.state = State::Running;
                return Some(id);
            }
        }
    }

    /// Try it again after `wait`.
    pub(crate) fn defer(&mut self, id: &QueueId, wait: Duration, now: Instant) {
        let Some(known) = self.known.get_mut(id) else { return };
        if wait.is_zero() {
            known.state = State::Ready;
            self.ready.push_back(id.clone());
            return;
        }
        self.counter += 1;
        known.state = State::Later(now + wait, self.counter);
        self.later.insert((now + wait, self.counter), id.clone());
    }

    /// Nothing was learnt about it: it is next again as soon as there is a remote.
    pub(crate) fn put_back(&mut self, id: &QueueId) {
        if self.set(id, State::Ready) {
            self.ready.push_front(id.clone());
        }
    }

    pub(crate) fn forget(&mut self, id: &QueueId) {
        if let Some(Known { state: State::Later(at, nth), .. }) = self.known.remove(id) {
            self.later.remove(&(at, nth));
        }
    }

    /// Everything that waits is due now.
    pub(crate) fn flush(&mut self) {
        for id in std::mem::take(&mut self.later).into_values() {
            self.set(&id, State::Ready);
            self.ready.push_back(id);
        }
    }

    /// Makes due what is due by now.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry() {
            if first.key().0 > now {
                break;
            }
            let id = first.remove();
            self.set(&id, State::Ready);
            self.ready.push_back(id);
        }
    }

    /// When the next message becomes due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn age(&self, id: &QueueId, now: Instant) -> Duration {
        self.known.get(id).map_or(Duration::ZERO, |known| {
            known.age.saturating_add(now.saturating_duration_since(known.since))
        })
    }

    /// Messages that wait for a remote and are older than `limit`, or for the first time older than
    /// `warning`; at most `most` of them.
    pub(crate) fn overdue(
        &mut self,
        limit: Duration,
        warning: Option<Duration>,
        most: usize,
        now: Instant,
    ) -> Vec<QueueId> {
        let mut found = Vec::new();
        for (id, known) in &mut self.known {
            if found.len() == most {
                break;
            }
            if !matches!(known.state, State::Fresh | State::Ready) {
                continue;
            }
            let age = known.age.saturating_add(now.saturating_duration_since(known.since));
            let warn = !known.warned && warning.is_some_and(|warning| age >= warning);
            known.warned |= warn;
            if warn || age > limit {
                found.push(id.clone());
            }
        }
        found
    }

    /// Takes this very message, if it waits for a remote.
    pub(crate) fn take_this(&mut self, id: &QueueId) -> bool {
        match self.known.get_mut(id) {
            Some(known) if matches!(known.state, State::Fresh | State::Ready) => {
                known.state = State::Running;
                true
            }
            _ => false,
        }
    }

    fn set(&mut self, id: &QueueId, state: State) -> bool {
        self.known.get_mut(id).map(|known| known.state = state).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn id(name: &str) -> QueueId {
        QueueId::parse(OsStr::new(name)).unwrap()
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn index(names: &[&str], now: Instant) -> Index {
        let mut index = Index::default();
        for name in names {
            index.learn(id(name), Duration::ZERO, false, now);
        }
        index
    }

    #[test]
    fn new_mail_is_never_behind_old_mail() {
        let now = Instant::now();
        let mut index = index(&["old"], now);
        let old = index.take(now).unwrap();
        index.defer(&old, MINUTE, now);
        index.flush();
        index.learn(id("new"), Duration::ZERO, false, now);
        assert_eq!(index.take(now), Some(id("new")));
        assert_eq!(index.take(now), Some(id("old")));
    }

    #[test]
    fn a_message_is_with_one_deliverer_at_a_time() {
        let now = Instant::now();
        let mut index = index(&["a"], now);
        assert!(index.take(now).is_some());
        index.flush();
        assert_eq!(index.take(now), None);
        assert!(!index.take_this(&id("a")));
    }

    #[test]
    fn a_deferred_message_comes_back_when_its_time_has_come() {
        let now = Instant::now();
        let mut index = index(&["a"], now);
        index.take(now);
        index.defer(&id("a"), MINUTE, now);
        assert_eq!(index.take(now), None);
        assert_eq!(index.next_due(), Some(now + MINUTE));
        assert_eq!(index.take(now + MINUTE), Some(id("a")));
    }

    #[test]
    fn what_was_tried_before_waits_until_its_pause_is_known_and_behind_new_mail() {
        let now = Instant::now();
        let mut index = Index::default();
        for name in ["due", "waits", "gone"] {
            index.learn(id(name), Duration::ZERO, true, now);
        }
        index.forget(&id("gone"));
        assert_eq!((index.take(now), index.backlog()), (None, 0));
        for wait in [Duration::ZERO, MINUTE] {
            let next = index.next_unread().unwrap();
            index.defer(&next, wait, now);
        }
        assert_eq!((index.next_unread(), index.has_unread()), (None, false));
        index.learn(id("new"), Duration::ZERO, false, now);
        assert_eq!(index.take(now), Some(id("new")));
        assert_eq!(index.take(now), Some(id("due")));
        assert_eq!(index.take(now), None);
        assert_eq!(index.take(now + MINUTE), Some(id("waits")));
    }

    #[test]
    fn what_is_forgotten_does_not_come_back() {
        let now = Instant::now();
        let mut index = index(&["a", "b"], now);
        index.take(now);
        index.defer(&id("a"), MINUTE, now);
        index.forget(&id("a"));
        index.forget(&id("b"));
        assert_eq!((index.take(now + MINUTE), index.len()), (None, 0));
    }

    #[test]
    fn age_is_counted_from_what_it_was_when_we_learnt_of_it() {
        let now = Instant::now();
        let mut index = Index::default();
        index.learn(id("a"), MINUTE, false, now);
        assert_eq!(index.age(&id("a"), now + MINUTE), 2 * MINUTE);
        assert_eq!(index.overdue(MINUTE, None, 9, now + MINUTE), [id("a")]);
        assert!(index.overdue(2 * MINUTE, None, 9, now + MINUTE).is_empty());
    }

    #[test]
    fn a_warning_is_due_once() {
        let now = Instant::now();
        let mut index = index(&["a"], now);
        assert_eq!(index.overdue(9 * MINUTE, Some(MINUTE), 9, now + MINUTE), [id("a")]);
        assert!(index.overdue(9 * MINUTE, Some(MINUTE), 9, now + 2 * MINUTE).is_empty());
    }
}
