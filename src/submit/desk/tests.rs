use std::io::{Read as _, Write as _};
use std::path::Path;

use tokio::sync::{mpsc, watch};

use super::*;
use crate::config::Directories;
use crate::role::Privilege;

const CROWD: Crowd = Crowd {
    all: 9,
    per_uid: 9,
    reserve: 0,
    idle: Duration::from_secs(3600),
    whole: Duration::from_secs(3600),
};
const MAIL: &[u8] = b"nullmailer-submit 1\n16\na@b.c\nd@e.f\n\nx\n\n0\n";

/// Opens a desk for a client, who closes it, and returns what was told and what is in the spool.
fn visited(crowd: Crowd, client: impl FnOnce(&Path, &watch::Sender<bool>)) -> (Vec<String>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let prefix = ("NULLMAILER_TEST_PREFIX".into(), dir.path().into());
    let directories = Directories::find(Privilege::None, [prefix]);
    let spool = Spool::open(&directories.spool).unwrap();
    std::fs::create_dir(&directories.config).unwrap();
    std::fs::write(directories.config.join("me"), "f.q.d.n").unwrap();
    let path = directories.sockets[0].clone();
    let submitter = Submitter {
        directories,
        kernel_name: None,
        stamp: Stamp { seconds: 1, pid: 2 },
        uid: 3,
        queue_program: None,
    };
    let judge = |error: Error| (75, error.to_string());
    let (engine, _asleep) = mpsc::unbounded_channel();
    let desk = Desk { submitter, spool: spool.clone(), crowd, clock: || 1, judge, engine };
    let (closer, closing) = watch::channel(false);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (note, mut visits) = mpsc::unbounded_channel();
    desk.open(&listener, closing, note).unwrap();
    client(&path, &closer);
    closer.send_replace(true);
    let mut told = Vec::new();
    while let Some(visit) = visits.blocking_recv() {
        told.push(match visit {
            Visit::Queued { .. } => "queued".to_owned(),
            Visit::Refused { error, .. } => error,
            Visit::Busy { .. } => "busy".to_owned(),
            Visit::Untold { count, .. } => format!("untold {count}"),
            Visit::Trouble(error) => error.to_string(),
        });
    }
    let left = ["queue", "tmp"]
        .map(|folder| std::fs::read_dir(spool.root().join(folder)).unwrap().count());
    assert_eq!(left[1], 0);
    (told, left[0])
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    let mut ready = [0; 6];
    { &stream }.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    stream
}

fn heard(mut stream: &UnixStream) -> String {
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all);
    all
}

#[test]
fn who_is_silent_too_long_is_turned_out() {
    let crowd = Crowd { idle: Duration::from_millis(10), ..CROWD };
    let answer = "cannot read the message: timed out";
    for said in [&b""[..], &MAIL[..22], &MAIL[..MAIL.len() - 2]] {
        let (told, queued) = visited(crowd, |path, _| {
            let mut stream = connect(path);
            stream.write_all(said).unwrap();
            assert_eq!(heard(&stream), format!("failed 75 {answer}\n"));
        });
        assert_eq!((told, queued), (vec![answer.to_owned()], 0));
    }
}

#[test]
fn who_says_a_byte_now_and_then_is_turned_out_when_his_time_is_over() {
    let crowd = Crowd { whole: Duration::from_millis(20), ..CROWD };
    let (told, queued) = visited(crowd, |path, _| {
        let mut stream = connect(path);
        stream.write_all(&MAIL[..39]).unwrap();
        while stream.write_all(b"1\nx").is_ok() {}
        assert_eq!(heard(&stream), "failed 75 cannot read the message: timed out\n");
    });
    assert_eq!((told.len(), queued), (1, 0), "{told:?}");
}

#[test]
fn a_desk_that_closes_answers_whoever_has_said_all_and_waits_for_nobody_else() {
    let (mut told, queued) = visited(CROWD, |path, closer| {
        let (silent, half, whole) = (connect(path), connect(path), connect(path));
        { &half }.write_all(&MAIL[..MAIL.len() - 2]).unwrap();
        { &whole }.write_all(MAIL).unwrap();
        closer.send_replace(true);
        assert!(heard(&whole).starts_with("queued 1."));
        assert_eq!((heard(&silent), heard(&half)), (String::new(), String::new()));
    });
    told.sort();
    let stopping = "nullmailer-send is stopping";
    assert_eq!((told, queued), ([stopping, stopping, "queued"].map(String::from).into(), 1));
}

#[test]
fn of_many_refusals_some_are_told_and_the_others_counted() {
    let (told, _) = visited(CROWD, |path, _| {
        for _ in 0..30 {
            let mut stream = connect(path);
            let _ = stream.write_all(b"garbage\n");
            assert!(heard(&stream).starts_with("failed 75 "));
        }
    });
    assert_eq!((told.len(), told[10].as_str()), (11, "untold 20"), "{told:?}");
}
