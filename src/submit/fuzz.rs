//! What a fuzzer says to the daemon's socket.
//!
//! The same function runs in our own tests over bytes that proptest makes up.

use std::cell::OnceCell;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::desk::{Peer, Served, Signs};
use super::{Crowd, Desk, Submitter, read_envelope, wire};
use crate::config::Directories;
use crate::spool::{Spool, Stamp};

/// Whatever a client says and wherever it stops, it has one answer; what is queued is what it has said, and it is queued
/// if, and only if, it was said to its end. True where it was.
pub(crate) fn submission(data: &[u8], folders: fn(&Path) -> Directories) -> bool {
    let Some((how, data)) = data.split_first() else { return false };
    let hello = wire::HELLO.as_bytes();
    let said = match how % 3 {
        0 => data.to_vec(),
        1 => [hello, data].concat(),
        _ => [hello, &whole(data, usize::from(how / 3) + 1)].concat(),
    };
    let house = house(folders);
    let (desk, files) = (&house.1, |folder| files(&house.1, folder));
    let (ours, mut theirs) = UnixStream::pair().expect("there are sockets");
    theirs.write_all(&said).expect("it fits into a socket");
    theirs.shutdown(Shutdown::Write).expect("it is open");
    let served = desk.answer(&ours, Peer { uid: 0, pid: 1 }, &Signs::new(Instant::now()));
    drop(ours);
    let answer = io::read_to_string(theirs).expect("an answer is text");
    let answer = answer.strip_prefix("ready\n").expect("it is let in");
    assert!(answer.ends_with('\n') && answer.lines().count() == 1, "{answer:?}");

    let expected = decode(&said).and_then(|text| {
        let mut rest = text.as_slice();
        let (sender, recipients, _) = read_envelope(&mut rest).ok()?;
        Some((sender, recipients, rest.to_vec()))
    });
    let queued = files("queue");
    assert!(files("tmp").is_empty());
    let Some((sender, recipients, message)) = expected else {
        assert!(queued.is_empty() && !answer.starts_with("queued "), "{answer:?}");
        return false;
    };
    let Served::Queued(id) = served else { panic!("{answer:?}") };
    assert_eq!(answer, format!("queued {id}\n"));
    let [file] = queued.as_slice() else { panic!("{queued:?}") };
    let text = crate::sys::read_file(file, u64::MAX).expect("it is there");
    let mut text = text.as_slice();
    let (from, to, _) = read_envelope(&mut text).expect("what is queued can be read");
    assert_eq!((from, to), (sender, recipients));
    let trace = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1);
    let (end, _) = trace.expect("there is a Received field");
    assert!(text[end + 1..] == message);
    for file in queued.iter().chain(&files("status")) {
        std::fs::remove_file(file).expect("it is there");
    }
    true
}

/// The text in chunks of that length, to its end.
fn whole(text: &[u8], length: usize) -> Vec<u8> {
    let mut said = Vec::new();
    for chunk in text.chunks(length) {
        wire::write_chunk(&mut said, chunk).expect("memory can be written");
    }
    wire::write_end(&mut said).expect("memory can be written");
    said
}

/// The text in the chunks, if it was said to its end: what `wire` does, written once more from docs/protocols.md.
fn decode(said: &[u8]) -> Option<Vec<u8>> {
    let mut rest = said.strip_prefix(wire::HELLO.as_bytes())?;
    let mut text = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let digits = &rest[..end];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let length: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        rest = &rest[end + 1..];
        if length == 0 {
            return Some(text);
        }
        let (chunk, behind) = rest.split_at_checked(length as usize)?;
        text.extend_from_slice(chunk);
        rest = behind;
    }
}

fn files(desk: &Desk, folder: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(desk.spool.root().join(folder)).expect("it is there");
    names.map(|entry| entry.expect("it can be read").path()).collect()
}

/// One for the whole run, in memory where the system has such a place.
fn house(folders: fn(&Path) -> Directories) -> Rc<(tempfile::TempDir, Desk)> {
    let make = || {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.expect("there is room");
        let directories = folders(dir.path());
        let spool = Spool::open(&directories.spool).expect("there is room");
        let submitter = Submitter {
            directories,
            kernel_name: Some("h.example".to_owned()),
            stamp: Stamp { seconds: 1, pid: 2 },
            uid: 3,
            queue_program: None,
        };
        let crowd = Crowd {
            all: 1,
            per_uid: 1,
            reserve: 0,
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(60),
        };
        // Nobody is there to be asked for its health.
        let (engine, _) = tokio::sync::mpsc::unbounded_channel();
        let judge = |error: super::Error| (75, error.to_string());
        Rc::new((dir, Desk { submitter, spool, crowd, clock: || 1, judge, engine }))
    };
    thread_local! {
        static HOUSE: OnceCell<Rc<(tempfile::TempDir, Desk)>> = const { OnceCell::new() };
    }
    HOUSE.with(|house| Rc::clone(house.get_or_init(make)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    use super::*;
    use crate::role::Privilege;

    fn folders(below: &Path) -> Directories {
        Directories::find(Privilege::None, [("NULLMAILER_TEST_PREFIX".into(), below.into())])
    }

    /// Bytes that have a chance of getting somewhere.
    fn plausible() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            6 => Just(&b"a@b.c\n"[..]),
            3 => Just(&b"\n"[..]),
            1 => Just(&b"d@e NOTIFY=NEVER\n"[..]),
            1 => Just(&b"6\na@b.c\n"[..]),
            1 => Just(&b"0\n"[..]),
            1 => Just(&b"13\na@b.c\nd@e.f\n\n"[..]),
            1 => Just(&b"\0\xff"[..]),
        ];
        (any::<u8>(), prop::collection::vec(word, 0..12))
            .prop_map(|(how, words)| [&[how], words.concat().as_slice()].concat())
    }

    // One test, because there is one desk.
    #[test]
    fn whatever_a_client_says_has_one_answer_and_what_is_queued_is_what_was_said() {
        let mut queued = 0;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..1500 {
            let data = plausible().new_tree(&mut runner).expect("it is made").current();
            queued += u32::from(submission(&data, folders));
        }
        assert!((30..1000).contains(&queued), "{queued}");
    }
}
