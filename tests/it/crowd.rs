//! Many clients of many users at the daemon's socket: no number of them keeps out somebody who has no place.

use crate::house::{has, is_root};
use crate::script::Script;
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

fn come(open: &Open, first: u32, users: u32, each: u32) -> Script {
    let place = open.socket().display().to_string();
    let numbers = [first, users, each].map(|number| number.to_string());
    Script::start(SCRIPT, &[vec![place], numbers.to_vec()].concat())
}

fn count_the_gone(crowd: &mut Script) -> usize {
    crowd.goes_on();
    crowd.says()
}

#[test]
fn no_number_of_users_keeps_out_one_who_has_no_place() {
    if !is_root() || !has("python3") {
        return;
    }
    // Five users with all that each may have; and one with the subordinate uids of a user.
    for (first, users, each) in [(60_001, 5, 20), (165_536, 300, 1)] {
        let open = Open::new();
        let mut crowd = come(&open, first, users, each);
        assert_eq!(crowd.says(), 100);
        for uid in [54_321, 54_322] {
            open.as_user(uid, &[], &["sendmail", "d@e.f"], "x\n").success();
        }
        assert!((1..=2).contains(&count_the_gone(&mut crowd)));
        assert_eq!(open.house.queued().len(), 2);
    }
}

#[test]
fn the_system_and_root_find_a_place_while_all_are_at_work() {
    if !is_root() || !has("python3") {
        return;
    }
    let open = Open::new();
    let mut crowd = come(&open, 60_001, 100, 1);
    assert_eq!(crowd.says(), 100);
    for uid in [0, 33] {
        open.as_user(uid, &[], &["sendmail", "d@e.f"], "x\n").success();
    }
    assert_eq!(count_the_gone(&mut crowd), 0);
}
