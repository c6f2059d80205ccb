//! Descriptors that a client of the daemon's socket passes along (SCM_RIGHTS): whoever closes the last one of a TCP
//! socket with SO_LINGER and unsent data waits for as long as the client chose, and that is never the daemon.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::activation::start;
use crate::daemon::Daemon;
use crate::house::{House, has, is_root, run};
use crate::script::Script;
use crate::smarthost::Sink;
use crate::socket::{MAIL, Open, wire};

/// Somebody of uid 54322 who holds so many places, and on every connection, or on those beyond them, passes such a
/// socket.
const SCRIPT: &str = "import array, os, socket, struct, sys
os.setgroups([]); os.setgid(54322); os.setuid(54322)
place, silent, poisoned = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(500)
held, held_back = [], []
def come():
    s = socket.socket(socket.AF_UNIX); s.connect(place); held.append(s)
    return s
def poison():
    one = socket.socket(); one.connect(server.getsockname())
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    one.setblocking(False)
    try:
        while True: one.send(b'x' * 65536)
    except BlockingIOError: pass
    return one
for _ in range(silent): come()
refused = 0
for _ in range(poisoned):
    one, s = poison(), come()
    try: s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [one.fileno()]))])
    except OSError:
        refused += 1; held_back.append(one)
        continue
    one.close()
print(refused, flush=True)
sys.stdin.readline()
print(sum(s.recv(6) == b'ready\\n' for s in held), flush=True)
sys.stdin.readline()
";

fn poison(place: &Path, silent: usize, poisoned: usize) -> Script {
    let place = place.display().to_string();
    let counts = [silent, poisoned].map(|count| count.to_string());
    Script::start(SCRIPT, &[vec![place], counts.to_vec()].concat())
}

/// Mail goes out by all ways in, the daemon is well, and it ends when it is told to.
fn all_is_well(open: Open, sink: &Sink) {
    let house = &open.house;
    house.run("nullmailer-queue", [""; 0], MAIL).success();
    open.as_user(54321, &[], &["sendmail", "d@e.f"], "x\n").success();
    assert_eq!(sink.wait_for(2).len(), 2);
    run(house.command("nullmailer").arg("health"), "").success();
    assert!(open.daemon.stop().success());
}

#[test]
fn descriptors_that_came_before_the_daemon_hold_nobody_up() {
    if !is_root() || !has("python3") {
        return;
    }
    // Places that are held, and beyond them; and then each place with such a descriptor of its own.
    for (silent, poisoned, places) in [(20, 1, 20), (20, 40, 20), (0, 60, 20)] {
        let sink = Sink::new();
        let mut poisoner = None;
        let open = Open::started(
            |house| {
                house.control("remotes", &sink.remote("")).control("pausetime", "1h");
            },
            |house| {
                let place = house.path("queue/submit");
                let listener = UnixListener::bind(&place).unwrap();
                let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
                fs::set_permissions(&place, everybody).unwrap();
                let mut one = poison(&place, silent, poisoned);
                assert_eq!(one.says(), 0);
                poisoner = Some(one);
                start(house, &listener)
            },
        );
        let mut poisoner = poisoner.unwrap();
        poisoner.goes_on();
        assert_eq!(poisoner.says(), places);
        all_is_well(open, &sink);
    }
}

#[test]
fn descriptors_that_come_while_it_runs_hold_nobody_up() {
    if !is_root() || !has("python3") {
        return;
    }
    let sink = Sink::new();
    let open = Open::started(
        |house| {
            house.control("remotes", &sink.remote("")).control("pausetime", "1h");
        },
        |house: &House| Daemon::start(house),
    );
    open.daemon.freeze();
    let mut poisoner = poison(&open.socket(), 20, 30);
    // The kernel refuses them where it knows how to.
    assert!([0, 30].contains(&poisoner.says()));
    open.daemon.signal(nix::sys::signal::Signal::SIGCONT);
    poisoner.goes_on();
    assert_eq!(poisoner.says(), 20);
    all_is_well(open, &sink);
}

#[test]
fn the_thread_that_delivers_never_has_a_client_of_the_socket_in_its_hands() {
    if !is_root() || !has("strace") {
        return;
    }
    let open = Open::new();
    let trace = open.house.path("trace");
    let mut strace = Command::new("strace");
    // Without -f: the first thread, and no other.
    strace.args(["-yy", "-e", "trace=network,read,write,close", "-o"]).arg(&trace);
    strace.arg("-p").arg(open.daemon.id().to_string());
    let mut strace = strace.stderr(Stdio::piped()).spawn().unwrap();
    let mut attached = String::new();
    BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut attached).unwrap();
    assert!(attached.contains("attached"), "{attached}");
    for text in [wire(MAIL), wire("a@b.c\n"), b"x\n".to_vec(), Vec::new()] {
        open.talk(&text);
    }
    open.daemon.wait_for_lines("submitted id=", 1);
    open.daemon.wait_for_lines("not-submitted uid=", 3);
    assert!(open.daemon.stop().success());
    strace.wait().unwrap();
    let calls = fs::read_to_string(trace).unwrap();
    assert!(calls.contains("not-submitted uid="), "{calls}");
    let wrong = |line: &&str| line.contains("submit\"") || line.starts_with("accept");
    assert_eq!(calls.lines().find(wrong), None);
}
