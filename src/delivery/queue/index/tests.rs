//! Who is next, and who is not.

use std::ffi::OsStr;

use super::*;

fn id(name: &str) -> QueueId {
    QueueId::parse(OsStr::new(name)).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);
const LANE: Lane = Lane(0);

fn index(names: &[&str], now: Instant) -> Index<&'static str> {
    let mut index = Index::default();
    for name in names {
        index.learn(id(name), LANE, Duration::ZERO, false, now);
    }
    index
}

fn take(index: &mut Index<&'static str>, now: Instant) -> Option<QueueId> {
    index.wake(now);
    index.take(LANE).map(|taken| taken.id)
}

#[test]
fn new_mail_goes_before_old_mail() {
    let now = Instant::now();
    let mut index = index(&["old"], now);
    let old = take(&mut index, now).unwrap();
    index.defer(&old, MINUTE, now);
    index.flush();
    index.learn(id("new"), LANE, Duration::ZERO, false, now);
    assert_eq!(take(&mut index, now), Some(id("new")));
    assert_eq!(take(&mut index, now), Some(id("old")));
}

#[test]
fn however_much_new_mail_comes_every_fourth_turn_is_for_mail_that_was_tried_before() {
    let now = Instant::now();
    let mut index = index(&["old0", "old1", "old2"], now);
    for _ in 0..3 {
        let old = take(&mut index, now).unwrap();
        index.defer(&old, Duration::ZERO, now);
    }
    let turns: String = (0..12)
        .map(|n| {
            index.learn(id(&format!("new{n}")), LANE, Duration::ZERO, false, now);
            let taken = take(&mut index, now).unwrap();
            taken.as_str().chars().next().unwrap()
        })
        .collect();
    let is_old = |turn: &&u8| **turn == b'o';
    let mut fours = turns.as_bytes().windows(4);
    assert!(fours.all(|four| four.iter().filter(is_old).take(2).count() == 1), "{turns}");
}

#[test]
fn a_message_is_with_one_deliverer_at_a_time() {
    let now = Instant::now();
    let mut index = index(&["a"], now);
    assert!(take(&mut index, now).is_some());
    index.flush();
    assert_eq!(take(&mut index, now), None);
    assert!(index.take_this(&id("a")).is_none());
}

#[test]
fn what_is_being_delivered_when_everything_is_to_be_tried_is_tried_once_more() {
    let now = Instant::now();
    let mut index = index(&["a"], now);
    take(&mut index, now);
    index.flush();
    assert!(index.take_flushed(&id("a")) && !index.take_flushed(&id("a")));
    index.defer(&id("a"), MINUTE, now);
    index.flush();
    assert!(!index.take_flushed(&id("a")));
}

#[test]
fn a_deferred_message_comes_back_when_its_time_has_come() {
    let now = Instant::now();
    let mut index = index(&["a"], now);
    take(&mut index, now);
    index.defer(&id("a"), MINUTE, now);
    assert_eq!(take(&mut index, now), None);
    assert_eq!(index.next_due(), Some(now + MINUTE));
    assert_eq!(take(&mut index, now + MINUTE), Some(id("a")));
}

#[test]
fn what_was_tried_before_waits_until_its_pause_is_known_and_behind_new_mail() {
    let now = Instant::now();
    let mut index = index(&[], now);
    for name in ["due", "waits", "gone"] {
        index.learn(id(name), LANE, Duration::ZERO, true, now);
    }
    index.forget(&id("gone"));
    assert_eq!((take(&mut index, now), index.has_backlog()), (None, false));
    for wait in [Duration::ZERO, MINUTE] {
        let next = index.next_unread().unwrap();
        index.defer(&next, wait, now);
    }
    assert_eq!((index.next_unread(), index.has_unread()), (None, false));
    index.learn(id("new"), LANE, Duration::ZERO, false, now);
    assert_eq!(take(&mut index, now), Some(id("new")));
    assert_eq!(take(&mut index, now), Some(id("due")));
    assert_eq!(take(&mut index, now), None);
    assert_eq!(take(&mut index, now + MINUTE), Some(id("waits")));
}

#[test]
fn what_is_forgotten_does_not_come_back_and_what_was_kept_for_it_goes_too() {
    let now = Instant::now();
    let mut index = index(&["a", "b"], now);
    take(&mut index, now);
    index.keep(&id("a"), Box::new("owed"));
    index.defer(&id("a"), MINUTE, now);
    index.forget(&id("a"));
    index.forget(&id("b"));
    assert_eq!((take(&mut index, now + MINUTE), index.len()), (None, 0));
    index.learn(id("a"), LANE, Duration::ZERO, false, now);
    assert!(index.take(LANE).unwrap().note.is_none());
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let now = Instant::now();
    let mut index = index(&["a"], now);
    index.learn(id("b"), Lane(1), Duration::ZERO, false, now);
    assert_eq!(index.take(Lane(1)).unwrap().id, id("b"));
    assert!(index.take(Lane(1)).is_none());
    index.put_back(&id("b"));
    assert_eq!((index.backlog(LANE), index.backlog(Lane(1))), (1, 1));
}

#[test]
fn age_is_counted_from_what_it_was_when_we_learnt_of_it() {
    let now = Instant::now();
    let mut index = index(&[], now);
    index.learn(id("a"), LANE, MINUTE, false, now);
    assert_eq!(index.age(&id("a"), now + MINUTE), 2 * MINUTE);
    let no = |_| false;
    assert_eq!(index.overdue(MINUTE, None, 9, no, now + MINUTE).0, [id("a")]);
    let none = index.overdue(3 * MINUTE, None, 9, no, now + MINUTE);
    assert_eq!(none, (vec![], Some(MINUTE)));
}

#[test]
fn a_message_that_never_had_a_turn_is_not_overdue_where_it_will_have_one() {
    let now = Instant::now();
    let mut index = index(&["a", "b"], now);
    let overdue = |index: &mut Index<_>, is_served: bool| {
        index.overdue(MINUTE, Some(MINUTE), 9, |_| is_served, now + 2 * MINUTE).0
    };
    assert_eq!(overdue(&mut index, true), []);
    let had_one = take(&mut index, now).unwrap();
    index.put_back(&had_one);
    assert_eq!(overdue(&mut index, true), [had_one]);
    assert_eq!(overdue(&mut index, false).len(), 2);
    index.spare(&id("b"), now + 3 * MINUTE);
    assert_eq!(overdue(&mut index, false), [id("a")]);
    let later = index.overdue(MINUTE, None, 9, |_| false, now + 3 * MINUTE).0;
    assert_eq!(later.len(), 2);
}

#[test]
fn a_warning_is_due_once() {
    let now = Instant::now();
    let mut index = index(&["a"], now);
    let overdue =
        |index: &mut Index<_>, now| index.overdue(9 * MINUTE, Some(MINUTE), 9, |_| false, now);
    assert_eq!(overdue(&mut index, now), (vec![], Some(MINUTE)));
    assert_eq!(overdue(&mut index, now + MINUTE), (vec![id("a")], None));
    assert_eq!(overdue(&mut index, now + 2 * MINUTE), (vec![], Some(7 * MINUTE)));
}
