//! Those who come to the daemon's socket to do harm, or who die there: endless senders, clients that are killed, more
//! of them than there are descriptors, refusals without number; and a daemon that is stopped while they are there.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::house::{House, has, is_root};
use crate::smarthost::Sink;
use crate::socket::{MAIL, Open, wire};

/// Waits until the daemon is ready for it.
fn ready(mut stream: UnixStream) -> UnixStream {
    let mut word = [0; 6];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ready\n");
    stream
}

/// All that is said to it from now on, though the connection may end in an error.
fn heard(mut stream: &UnixStream) -> String {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8(all).unwrap()
}

fn connect(house: &House) -> UnixStream {
    UnixStream::connect(house.path("queue/submit")).unwrap()
}

#[test]
fn who_sends_without_an_end_is_refused_at_the_limit_and_leaves_nothing() {
    let open = Open::with(|house| {
        house.control("maxmessagesize", "100000");
    });
    let start = wire(MAIL);
    let start = &start[..start.len() - 2];
    let chunk = format!("50000\n{}", "x\n".repeat(25_000)).into_bytes();
    let chunks = b"1\nx".repeat(10_000);
    let recipients = format!("60000\n{}", "d@e.f\n".repeat(10_000)).into_bytes();
    for (start, endless, answer) in [
        (start, &chunk, "failed 65 the message is larger than maxmessagesize, 100000 bytes\n"),
        (start, &chunks, "failed 65 the message is larger than maxmessagesize, 100000 bytes\n"),
        (&b"nullmailer-submit 1\n6\na@b.c\n"[..], &recipients, "failed 65 "),
        (b"nullmailer-submit 1\n", &chunk, "failed 65 "),
        (b"nullmailer-submit 1\n1", &b"1".repeat(1000), "failed 66 "),
        (b"", &b"x".repeat(1000), "failed 66 "),
    ] {
        let mut stream = ready(open.connect());
        stream.write_all(start).unwrap();
        while stream.write_all(endless).is_ok() {}
        let heard = heard(&stream);
        assert!(heard.starts_with(answer) && heard.lines().count() == 1, "{answer}: {heard}");
    }
    open.nothing_left();
    assert!(open.talk(&wire(MAIL)).contains("queued "));
}

/// A client of another process, which says the first `length` bytes when it is told to.
fn client(open: &Open, bytes: &[u8]) -> Child {
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        assert s.recv(6) == b'ready\\n'\n\
        print('ready', flush=True); sys.stdin.buffer.readline()\n\
        s.sendall(open(sys.argv[2], 'rb').read())\n\
        print('said', flush=True); sys.stdin.buffer.readline()\n";
    let said = open.house.path("said");
    fs::write(&said, bytes).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(open.socket()).arg(said);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hear(&mut child, "ready\n");
    child
}

fn hear(child: &mut Child, word: &str) {
    let mut heard = vec![0; word.len()];
    child.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
    assert_eq!(heard, word.as_bytes());
}

fn speak(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    hear(child, "said\n");
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_client_that_is_killed_at_any_stage_leaves_nothing_or_one_whole_message() {
    if !has("python3") {
        return;
    }
    let open = Open::new();
    let whole = wire(MAIL);
    // More than a socket holds: most of it was read when it is said.
    let long = format!("1000000\n{}", "x".repeat(900_000));
    let envelope = b"nullmailer-submit 1\n13\na@b.c\nd@e.f\n\n";
    let middle = [&whole[..whole.len() - 2], long.as_bytes()].concat();
    let stages = [&b""[..], envelope, &middle, &whole[..whole.len() - 2]];
    for (nth, said) in stages.into_iter().enumerate() {
        let mut child = client(&open, said);
        speak(&mut child);
        kill(child);
        open.daemon.wait_for_lines("not-submitted uid=", nth + 1);
        open.nothing_left();
    }
    // Behind the end and before the answer.
    let mut child = client(&open, &whole);
    open.daemon.freeze();
    speak(&mut child);
    kill(child);
    open.daemon.signal(Signal::SIGCONT);
    open.daemon.wait_for_line("submitted id=");
    assert_eq!(open.house.only_queued().message, "Subject: x\n\nbody\n");
    assert_eq!(open.house.names("tmp"), [""; 0]);
    assert!(open.talk(&whole).contains("queued "));
    assert_eq!(open.house.queued().len(), 2);
}

#[test]
fn a_daemon_that_is_stopped_answers_whoever_has_said_all_and_waits_for_nobody_else() {
    let house = House::new();
    let daemon = Daemon::start(&house);
    let [silent, mut half, mut whole] = [(); 3].map(|()| ready(connect(&house)));
    daemon.freeze();
    let message = wire(MAIL);
    half.write_all(&message[..message.len() - 2]).unwrap();
    whole.write_all(&message).unwrap();
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGCONT);
    let answer = heard(&whole);
    assert_eq!((heard(&silent), heard(&half)), (String::new(), String::new()));
    let log = daemon.end_with_log();
    assert_eq!(answer, format!("queued {}\n", house.only_queued().id));
    assert_eq!(house.names("tmp"), [""; 0]);
    let at = |part: &str| log.iter().rposition(|line| line.contains(part)).unwrap();
    assert!(at("nullmailer-send is stopping") < at("stopped queued="), "{log:#?}");
    assert!(at("submitted id=") < at("stopped queued="), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("is stopping")).count(), 2, "{log:#?}");
}

#[test]
fn a_submission_survives_a_daemon_that_reads_its_files_again_or_stands_still() {
    let house = House::new();
    let daemon = Daemon::start(&house);
    let mut stream = ready(connect(&house));
    let message = wire(MAIL);
    stream.write_all(&message[..30]).unwrap();
    house.control("remotes", "other.example\n");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_line("configured remotes=other.example");
    daemon.freeze();
    stream.write_all(&message[30..]).unwrap();
    daemon.signal(Signal::SIGCONT);
    assert!(heard(&stream).starts_with("queued "));
    assert_eq!(house.only_queued().message, "Subject: x\n\nbody\n");
}

/// What a sendmail says that meets this in the place of the daemon.
fn sendmail_meets(open: &Open, said: &str, reads: bool) -> crate::house::Ran {
    let listener = UnixListener::bind(open.socket()).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(open.socket(), everybody).unwrap();
    let over = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (ready, rest) = said.split_at(said.len().min(6));
                let _ = { &stream }.write_all(ready.as_bytes());
                let end = reads.then_some(b"\n0\n");
                let (mut heard, mut byte) = (Vec::new(), [0]);
                while end.is_some_and(|end| !heard.ends_with(end)) && { &stream }
                    .read(&mut byte)
                    .is_ok_and(|length| length > 0)
                {
                    heard.push(byte[0]);
                }
                let _ = { &stream }.write_all(rest.as_bytes());
            }
        });
        let ran = open.as_user(54321, &[], &["sendmail", "d@e.f"], "x\n");
        over.store(true, Ordering::SeqCst);
        drop(open.connect());
        ran
    });
    fs::remove_file(open.socket()).unwrap();
    ran
}

#[test]
fn a_daemon_that_dies_before_its_answer_is_75() {
    if !is_root() {
        return;
    }
    let open = Open::new();
    open.daemon.signal(Signal::SIGTERM);
    open.daemon.wait_for_line("stopped queued=");
    fs::remove_file(open.socket()).unwrap();
    for (said, reads) in [
        ("", false),
        ("rea", false),
        ("ready\n", false),
        ("ready\n", true),
        ("ready\nqueued 17", true),
        ("ready\nqueued\n", true),
        ("ready\nqueued ../x\n", true),
        ("ready\nfailed 0 all is well\n", true),
        ("ready\n220 smtp.example ESMTP\n", true),
    ] {
        let ran = sendmail_meets(&open, said, reads);
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(75), 1), "{said}: {}", ran.stderr);
    }
}

#[test]
fn refusals_without_number_are_some_lines_and_a_count() {
    let house = House::new();
    let daemon = Daemon::start(&house);
    for _ in 0..50 {
        let mut stream = ready(connect(&house));
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n");
        assert!(heard(&stream).starts_with("failed 66 "));
    }
    let log = daemon.stop_with_log();
    let count = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("not-submitted uid="), 10, "{log:#?}");
    let uid = std::os::unix::fs::MetadataExt::uid(&house.path("").metadata().unwrap());
    assert_eq!(count(&format!("not-told count=40 uid={uid}")), 1, "{log:#?}");
}

/// A daemon that may have so many descriptors.
fn limited(house: &House, descriptors: u32) -> Daemon {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={descriptors}")).arg(house.path("bin/nullmailer-send"));
    command.env_clear();
    command.env("PATH", "/usr/bin:/bin").env("NULLMAILER_TEST_PREFIX", house.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Daemon::spawn(command)
}

#[test]
fn more_clients_than_descriptors_are_one_line_and_an_attempt_a_second_and_are_served_later() {
    if !is_root() || !has("strace") {
        return;
    }
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    let trace = house.path("trace");
    let daemon = limited(&house, 32);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-ttt", "-e", "trace=accept4", "-p", &daemon.id().to_string(), "-o"]);
    let mut strace = strace.arg(&trace).stderr(Stdio::piped()).spawn().unwrap();
    let mut attached = String::new();
    BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut attached).unwrap();
    assert!(attached.contains("attached"), "{attached}");
    // Root is turned away by no other limit.
    let crowd: Vec<_> = (0..40).map(|_| connect(&house)).collect();
    daemon.wait_for_line("cannot take mail in: Too many open files");
    let moments = loop {
        let text = fs::read_to_string(&trace).unwrap();
        let failed = text.lines().filter(|line| line.ends_with("EMFILE (Too many open files)"));
        let moments: Vec<f64> = failed
            .map(|line| line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap())
            .collect();
        if moments.len() >= 3 {
            break moments;
        }
        thread::yield_now();
    };
    // No more than the least that it may take.
    assert!(moments.windows(2).all(|two| two[1] - two[0] > 0.9), "{moments:?}");
    let mut last = crowd.into_iter().next_back().unwrap();
    last = ready(last);
    last.write_all(&wire(MAIL)).unwrap();
    assert!(heard(&last).starts_with("queued "));
    assert_eq!(sink.wait_for(1).len(), 1);
    let log = daemon.stop_with_log();
    strace.wait().unwrap();
    assert_eq!(log.iter().filter(|line| line.contains("cannot take mail in")).count(), 1);
}

#[test]
fn clients_leave_a_daemon_with_few_descriptors_those_that_a_delivery_takes() {
    if !is_root() || !has("python3") {
        return;
    }
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    let daemon = limited(&house, 32);
    for path in ["", "queue"] {
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(house.path(path), everybody).unwrap();
    }
    let script = "import os, socket, sys\nos.setgroups([]); os.setgid(54322); os.setuid(54322)\n\
        held = []\n\
        for _ in range(10):\n s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n \
        held.append((s, s.recv(9)))\n\
        print(sum(word == b'ready\\n' for _, word in held), flush=True)\nsys.stdin.read()\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(house.path("queue/submit"));
    let mut crowd = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hear(&mut crowd, "2\n");
    let mut stream = ready(connect(&house));
    stream.write_all(&wire(MAIL)).unwrap();
    assert!(heard(&stream).starts_with("queued "));
    assert_eq!(sink.wait_for(1).len(), 1);
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    kill(crowd);
}
