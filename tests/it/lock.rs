//! One daemon per spool: what becomes of it when its lock is removed or replaced while it runs.

use std::fs;
use std::path::Path;

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::Sink;

const MAIL: &str = "a@b.c\nd@x.example\n\nSubject: x\n\nbody\n";
const LOST: &str = "queue/lock was removed or replaced while this nullmailer-send held it";

fn house(sink: &Sink) -> House {
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    house
}

fn queue(house: &House) {
    house.run("nullmailer-queue", [""; 0], MAIL).success();
}

type Lose = fn(&Path);
const WAYS: &[Lose] = &[
    |lock| fs::remove_file(lock).unwrap(),
    |lock| {
        let new = lock.with_file_name("new");
        fs::write(&new, "").unwrap();
        fs::rename(new, lock).unwrap();
    },
    |lock| {
        fs::remove_file(lock).unwrap();
        fs::create_dir(lock).unwrap();
    },
    |lock| fs::rename(lock, lock.with_file_name("old")).unwrap(),
];

#[test]
fn of_two_daemons_the_one_whose_lock_was_taken_away_stops_and_every_message_goes_once() {
    for (nth, lose) in WAYS.iter().enumerate() {
        let sink = Sink::new();
        let house = house(&sink);
        let lock = house.path("queue/lock");
        let first = Daemon::start(&house);
        lose(&lock);
        // Nobody else may hold what has the name now.
        let _ = fs::remove_dir(&lock);
        let second = Daemon::start(&house);
        for _ in 0..3 {
            queue(&house);
        }
        first.wait_for_line(LOST);
        assert_eq!(first.wait().code(), Some(75), "{nth}");
        second.wait_for_line("Delivery complete, 0 message(s) remain.");
        house.run("nullmailer", ["flush"], "").success();
        assert_eq!(sink.wait_for(3).len(), 3, "{nth}");
        assert!(second.stop().success());
        assert_eq!(sink.messages().len(), 3, "{nth}");
    }
}

#[test]
fn a_daemon_without_its_lock_begins_nothing_and_leaves_its_mail_to_the_next() {
    let sink = Sink::new();
    let house = house(&sink);
    let daemon = Daemon::start(&house);
    queue(&house);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    fs::remove_file(house.path("queue/lock")).unwrap();
    queue(&house);
    daemon.wait_for_line(LOST);
    let said = daemon.log();
    assert_eq!(said.iter().filter(|line| line.contains(LOST)).count(), 1, "{said:#?}");
    assert_eq!(daemon.wait().code(), Some(75));
    assert_eq!((sink.messages().len(), house.names("queue").len()), (1, 1));
    // The next one finds it.
    let next = Daemon::start(&house);
    assert_eq!(sink.wait_for(2).len(), 2);
    assert!(next.stop().success());
}
