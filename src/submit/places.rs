//! Who has a place at the daemon's socket, who gets one, and who loses his to somebody who has none.
//!
//! Called by `room` alone. Pure: it is told the time, and who is silent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many clients may be there at once, and how long they may stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// A thread and some descriptors each, of the 1024 that a process usually has.
    pub(crate) all: usize,
    pub(crate) per_uid: usize,
    /// So many more for the users of the system itself: cron jobs and services.
    pub(crate) reserve: usize,
    /// Our own client has the whole message before it comes, so silence means nothing good.
    pub(crate) idle: Duration,
    pub(crate) whole: Duration,
}

/// Descriptors that a client takes at the most.
const TAKEN: u64 = 3;
/// The users of the system itself are below (SYS_UID_MAX of login.defs).
const FIRST_USER: u32 = 1000;
/// Subordinate uids are given out in blocks of so many, from this one on (SUB_UID_MIN and SUB_UID_COUNT).
const FIRST_SUBORDINATE: u32 = 100_000;
const BLOCK: u32 = 65_536;
/// Whoever has been there for so long may be let go even if he says something now and then.
const LONG: Duration = Duration::from_secs(10);

impl Crowd {
    /// No more than there are descriptors for, but one.
    pub(crate) fn within(self, descriptors: u64) -> Self {
        let room = usize::try_from(descriptors / TAKEN).unwrap_or(usize::MAX);
        let all = self.all.min(room.max(1));
        Self { all, reserve: self.reserve.min(room.saturating_sub(all)), ..self }
    }
}

/// The number of a place; a later one is higher.
pub(super) type Number = u64;

#[derive(Debug)]
struct Place {
    uid: u32,
    since: Instant,
    /// Since when it is told to go; its thread has not ended yet.
    leaving: Option<Instant>,
}

/// The places that are taken. Each is taken until its thread has ended, so that there are never more threads than
/// places.
#[derive(Debug, Default)]
pub(super) struct Places {
    next: Number,
    taken: BTreeMap<Number, Place>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    /// Once this one has been told to go.
    InPlaceOf(Number),
    Busy,
}

impl Places {
    /// Whether a client of this user gets a place. A user, or a block of subordinate uids, that has fewer places than
    /// another gets one of that other's: of those who have the most, the oldest that is silent.
    pub(super) fn judge(
        &self,
        crowd: &Crowd,
        uid: u32,
        now: Instant,
        is_silent: impl Fn(Number) -> bool,
    ) -> Verdict {
        // Root, who could end us, has a place always.
        if uid == 0 {
            return Verdict::Welcome;
        }
        let of = self.count(|place| place.uid);
        let blocks = self.count(|place| block(place.uid));
        let all: usize = of.values().sum();
        let mine = of.get(&uid).copied().unwrap_or_default();
        let held = self.taken.values().filter(|place| place.uid == uid).count();
        let ours = blocks.get(&block(uid)).copied().unwrap_or_default();
        let leaving = self.taken.values().filter(|place| place.leaving.is_some()).count();
        let reserve = if uid < FIRST_USER { crowd.reserve } else { 0 };
        if held >= crowd.per_uid {
            return Verdict::Busy;
        }
        if all < crowd.all + reserve {
            return Verdict::Welcome;
        }
        // Threads that do not end must not become more and more.
        if leaving >= crowd.per_uid.min(crowd.all) {
            return Verdict::Busy;
        }
        let has_more = |place: &Place| {
            let (his, theirs) = (of[&place.uid], blocks[&block(place.uid)]);
            theirs > ours + 1 || (block(place.uid) == block(uid) && his > mine + 1)
        };
        let may_go = |number: Number, place: &Place| {
            is_silent(number) || now.saturating_duration_since(place.since) >= LONG
        };
        self.taken
            .iter()
            .filter(|(_, place)| place.leaving.is_none() && place.uid != 0)
            .filter(|(number, place)| has_more(place) && may_go(**number, place))
            .max_by_key(|(number, place)| {
                (blocks[&block(place.uid)], of[&place.uid], std::cmp::Reverse(**number))
            })
            .map_or(Verdict::Busy, |(number, _)| Verdict::InPlaceOf(*number))
    }

    pub(super) fn take(&mut self, uid: u32, now: Instant) -> Number {
        let number = self.next;
        self.next += 1;
        self.taken.insert(number, Place { uid, since: now, leaving: None });
        number
    }

    /// This one was told to go.
    pub(super) fn let_go(&mut self, number: Number, now: Instant) {
        if let Some(place) = self.taken.get_mut(&number) {
            place.leaving.get_or_insert(now);
        }
    }

    pub(super) fn leave(&mut self, number: Number) {
        self.taken.remove(&number);
    }

    /// Those who were told to go, and since when.
    pub(super) fn leaving(&self) -> impl Iterator<Item = (Number, Instant)> {
        self.taken.iter().filter_map(|(number, place)| Some((*number, place.leaving?)))
    }

    /// Places that stay, but root's, which keep nobody out.
    fn count(&self, key: impl Fn(&Place) -> u32) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for place in self.taken.values().filter(|place| place.leaving.is_none() && place.uid != 0) {
            *counts.entry(key(place)).or_default() += 1;
        }
        counts
    }
}

/// One number for all uids that one user can have.
fn block(uid: u32) -> u32 {
    if uid < FIRST_SUBORDINATE { uid } else { uid - (uid - FIRST_SUBORDINATE) % BLOCK }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: Crowd = Crowd {
        all: 100,
        per_uid: 20,
        reserve: 20,
        idle: Duration::from_secs(60),
        whole: Duration::from_secs(600),
    };

    /// Lets all of them come, one after the other, and says who has a place at the end.
    fn come(places: &mut Places, uids: impl IntoIterator<Item = u32>, silent: bool) -> usize {
        let now = Instant::now();
        let mut welcome = 0;
        for uid in uids {
            let verdict = places.judge(&CROWD, uid, now, |_| silent);
            if let Verdict::InPlaceOf(other) = verdict {
                places.let_go(other, now);
                places.leave(other);
            }
            if verdict != Verdict::Busy {
                places.take(uid, now);
                welcome += 1;
            }
        }
        welcome
    }

    fn has(places: &Places, uid: u32) -> usize {
        places.taken.values().filter(|place| place.uid == uid).count()
    }

    #[test]
    fn one_user_has_twenty_places_and_no_more() {
        let mut places = Places::default();
        assert_eq!(come(&mut places, [1000; 1000], true), 20);
        assert_eq!(come(&mut places, [1001; 5], true), 5);
    }

    #[test]
    fn five_users_that_fill_the_room_keep_nobody_out_who_has_none() {
        let mut places = Places::default();
        let five = (1000..1005).flat_map(|uid| [uid; 20]);
        assert_eq!(come(&mut places, five, true), 100);
        for uid in 2000..2010 {
            assert_eq!(come(&mut places, [uid], true), 1, "{uid}");
        }
        assert_eq!(places.taken.len(), 100);
        // Nor does whoever comes again and again take more than the others have.
        come(&mut places, [1000; 1000], true);
        assert!((2000..2010).all(|uid| has(&places, uid) == 1));
    }

    #[test]
    fn thousands_of_subordinate_uids_are_one_user() {
        let mut places = Places::default();
        assert_eq!(come(&mut places, 165_536..166_536, true), 100);
        for uid in [1000, 100_000, 300_000] {
            assert_eq!(come(&mut places, [uid; 3], true), 3, "{uid}");
        }
        // Within a block, too, who has none gets one of him who has the most.
        let mut places = Places::default();
        come(&mut places, (300_000..300_005).flat_map(|uid| [uid; 20]), true);
        assert_eq!(come(&mut places, [300_010], true), 1);
    }

    #[test]
    fn who_is_at_work_is_not_let_go_before_he_has_been_there_long() {
        let mut places = Places::default();
        come(&mut places, (1000..1005).flat_map(|uid| [uid; 20]), false);
        assert_eq!(come(&mut places, [2000], false), 0);
        let now = Instant::now();
        let of = |number| number == 47;
        assert_eq!(places.judge(&CROWD, 2000, now, of), Verdict::InPlaceOf(47));
        assert_eq!(places.judge(&CROWD, 2000, now + LONG, |_| false), Verdict::InPlaceOf(0));
    }

    #[test]
    fn root_has_a_place_always_and_the_system_has_some_of_its_own() {
        let mut places = Places::default();
        come(&mut places, (1000..1100).chain([0; 200]), false);
        assert_eq!(has(&places, 0), 200);
        assert_eq!(come(&mut places, [2000], false), 0);
        assert_eq!(come(&mut places, [8; 50], false), 20);
        assert_eq!(come(&mut places, [33; 50], false), 0);
    }

    #[test]
    fn those_who_were_told_to_go_and_do_not_are_at_most_twenty() {
        let (mut places, now) = (Places::default(), Instant::now());
        come(&mut places, (1000..1005).flat_map(|uid| [uid; 20]), true);
        for uid in 2000..3000 {
            if let Verdict::InPlaceOf(other) = places.judge(&CROWD, uid, now, |_| true) {
                places.let_go(other, now);
                places.take(uid, now);
            }
        }
        assert_eq!((places.taken.len(), places.leaving().count()), (120, 20));
    }

    #[test]
    fn there_are_no_more_clients_than_descriptors_for_them() {
        let all = [0, 8, 40, 330, 1000, u64::MAX].map(|limit| {
            let crowd = CROWD.within(limit);
            (crowd.all, crowd.reserve)
        });
        assert_eq!(all, [(1, 0), (2, 0), (13, 0), (100, 10), (100, 20), (100, 20)]);
    }
}
