use std::cell::RefCell;
use std::ffi::OsStr;
use std::rc::Rc;

use super::*;
use crate::mail::linear::{addresses, assert_linear};
use crate::mail::{DeliveryRequest, Protocol, Recipients, ReversePath};

fn log_to(out: Box<dyn std::io::Write>) -> Log {
    Log {
        sink: Sink::Stream(RefCell::new(out)),
        format: Format::Classic,
        addresses: Addresses::Hashed,
        salt: std::hash::RandomState::new(),
        clock: || Moment { seconds: 0, micros: 0, pid: 1 },
        manager: Manager::default(),
        missed: Cell::default(),
    }
}

#[test]
fn a_message_to_many_is_logged_in_linear_time() {
    let log = log_to(Box::new(std::io::sink()));
    let id = QueueId::parse(OsStr::new("1.2")).unwrap();
    let remote = Remote::new("h", Protocol::Smtp);
    assert_linear(5_000, |count| {
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: Recipients::new(addresses(count)).unwrap(),
            request: DeliveryRequest::default(),
        };
        log.attempt(&id, &remote, &envelope, &[]);
    });
}

/// Takes so many events, and refuses all others.
struct Narrow(Rc<Cell<usize>>, Rc<RefCell<Vec<u8>>>);

impl std::io::Write for Narrow {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let room = self.0.get().checked_sub(1).ok_or(std::io::ErrorKind::WouldBlock)?;
        self.0.set(room);
        self.1.borrow_mut().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn events_that_nobody_took_are_counted_and_the_count_is_told_once() {
    let (room, text) = (Rc::new(Cell::new(1)), Rc::default());
    let log = log_to(Box::new(Narrow(Rc::clone(&room), Rc::clone(&text))));
    let write = |name| log.write(Event::new(Severity::Notice, name));
    ["a", "b", "c", "d"].into_iter().for_each(write);
    // Room for the count alone, and then for all.
    room.set(1);
    write("e");
    room.set(9);
    write("f");
    write("g");
    let told = "a\nlog-lost count=3\nlog-lost count=1\nf\ng\n";
    assert_eq!(String::from_utf8(text.take()).unwrap(), told);
}
