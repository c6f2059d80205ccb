//! What the loop does by itself, under a clock that stands still until nothing is left to do.

use std::cell::RefCell;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::*;
use crate::config::Directories;
use crate::log::{Addresses, Format, Log, Manager, Sink};
use crate::mail::Moment;
use crate::role::Privilege;
use crate::spool::{Spool, Stamp};
use crate::submit::Submitter;

#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How often the queue was read in ten minutes in which nobody said anything.
fn scans(watched: bool) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let prefix = ("NULLMAILER_TEST_PREFIX".into(), dir.path().into());
    let directories = Directories::find(Privilege::None, [prefix]);
    std::fs::create_dir(&directories.config).unwrap();
    std::fs::write(directories.config.join("me"), "f.q.d.n").unwrap();
    std::fs::write(directories.config.join("remotes"), "relay.example").unwrap();
    let spool = Spool::open(&directories.spool).unwrap();
    let clock = || Moment { seconds: 1, micros: 2, pid: 3 };
    let lines = Lines::default();
    let log = Log {
        sink: Sink::Stream(RefCell::new(Box::new(lines.clone()))),
        format: Format::default(),
        addresses: Addresses::default(),
        salt: std::hash::RandomState::new(),
        clock,
        manager: Manager::default(),
        missed: std::cell::Cell::default(),
    };
    let stamp = Stamp { seconds: 1, pid: 3 };
    let submitter =
        Submitter { directories, kernel_name: None, stamp, uid: 0, queue_program: None };
    let mut engine = Engine::new(spool.lock().unwrap(), log, submitter, clock, TimeZone::UTC);
    if watched {
        engine.is_watched();
    }
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (wakes, inbox) = mpsc::channel(1);
        let running = tokio::task::spawn_local(engine.run(inbox));
        sleep(Duration::from_secs(605)).await;
        drop(wakes);
        running.await.unwrap().unwrap();
    });
    let text = String::from_utf8(lines.0.take()).unwrap();
    text.matches("Rescanning queue.").count()
}

#[test]
fn where_names_are_not_told_the_queue_is_read_each_minute() {
    assert_eq!((scans(true), scans(false)), (1, 11));
}
