//! Many clients of many users at the daemon's socket: no number of them keeps out somebody who has no place.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::house::{has, is_root};
use crate::socket::Open;

/// Takes so many places for each uid, says how many it got, holds them, and counts at the end who was told to go.
const SCRIPT: &str = "import os, socket, sys
place, first, users, each = sys.argv[1], *map(int, sys.argv[2:])
os.setgroups([])
held = []
for uid in range(first, first + users):
    os.setresuid(uid, uid, 0)
    for _ in range(each):
        s = socket.socket(socket.AF_UNIX); s.connect(place); held.append(s)
    os.setresuid(0, 0, 0)
print(sum(s.recv(6) == b'ready\\n' for s in held), flush=True)
sys.stdin.readline()
gone = 0
for s in held:
    s.setblocking(False)
    try: gone += s.recv(100) == b'failed 75 cannot wait for the message: too many clients at once\\n'
    except BlockingIOError: pass
print(gone, flush=True)
";

struct Crowd {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Crowd {
    fn come(open: &Open, first: u32, users: u32, each: u32) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT]).arg(open.socket());
        command.args([first, users, each].map(|number| number.to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn says(&mut self) -> usize {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    fn count_the_gone(&mut self) -> usize {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.says()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn no_number_of_users_keeps_out_one_who_has_no_place() {
    if !is_root() || !has("python3") {
        return;
    }
    // Five users with all that each may have; and one with the subordinate uids of a user.
    for (first, users, each) in [(60_001, 5, 20), (165_536, 300, 1)] {
        let open = Open::new();
        let mut crowd = Crowd::come(&open, first, users, each);
        assert_eq!(crowd.says(), 100);
        for uid in [54_321, 54_322] {
            open.as_user(uid, &[], &["sendmail", "d@e.f"], "x\n").success();
        }
        assert!((1..=2).contains(&crowd.count_the_gone()));
        assert_eq!(open.house.queued().len(), 2);
    }
}

#[test]
fn the_system_and_root_find_a_place_while_all_are_at_work() {
    if !is_root() || !has("python3") {
        return;
    }
    let open = Open::new();
    let mut crowd = Crowd::come(&open, 60_001, 100, 1);
    assert_eq!(crowd.says(), 100);
    for uid in [0, 33] {
        open.as_user(uid, &[], &["sendmail", "d@e.f"], "x\n").success();
    }
    assert_eq!(crowd.count_the_gone(), 0);
}
