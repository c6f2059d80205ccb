//! mailq: the queue in the original's lines, whatever lies in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::house::{House, copy_binary, is_root, run};

fn house() -> House {
    let house = House::new();
    fs::create_dir_all(house.path("queue/queue")).unwrap();
    house
}

fn put(house: &House, name: &str, content: &str) {
    fs::write(house.path("queue/queue").join(name), content).unwrap();
}

fn mailq(house: &House) -> String {
    house.run("mailq", [""; 0], "").success().stdout
}

#[test]
fn a_queued_message_is_listed_with_time_size_sender_and_recipients() {
    let house = House::new();
    let mail = "me@f.q.d.n\nnobody@nowhere.q.d.n\nother@x\n\nSubject: x\n\nbody\n";
    house.run("nullmailer-queue", [""; 0], mail).success();
    let id = house.only_queued().id;
    let size = fs::metadata(house.path("queue/queue").join(&id)).unwrap().len();
    let seconds: i64 = id.split('.').next().unwrap().parse().unwrap();
    let list = mailq(&house);
    let (time, rest) = list.split_at(20);
    assert_eq!(
        rest,
        format!("{size} bytes from <me@f.q.d.n>\n  to <nobody@nowhere.q.d.n>\n  to <other@x>\n")
    );
    let mut date = Command::new("date");
    date.args(["-u", &format!("-d@{seconds}"), "+%Y-%m-%d %H:%M:%S "]);
    assert_eq!(time, run(&mut date, "").stdout.trim_end_matches('\n'));
}

#[test]
fn an_empty_queue_is_an_empty_list() {
    assert_eq!(mailq(&house()), "");
}

#[test]
fn the_oldest_comes_first_and_a_date_beyond_2038_is_right() {
    let house = house();
    for (name, sender) in
        [("10000000000.1", "c@x"), ("999999999.1", "a@x"), ("1000000000.7", "b@x")]
    {
        put(&house, name, &format!("{sender}\nto@x\n\n"));
    }
    put(&house, ".hidden", "d@x\nto@x\n\n");
    assert_eq!(
        mailq(&house),
        "2001-09-09 01:46:39 10 bytes from <a@x>\n  to <to@x>\n\
         2001-09-09 01:46:40 10 bytes from <b@x>\n  to <to@x>\n\
         2286-11-20 17:46:40 10 bytes from <c@x>\n  to <to@x>\n"
    );
}

#[test]
fn times_are_local() {
    let house = house();
    put(&house, "1000000000.7", "b@x\nto@x\n\n");
    let ran = run(house.command("mailq").env("TZ", "Asia/Kolkata"), "").success();
    assert!(ran.stdout.starts_with("2001-09-09 07:16:40 "), "{}", ran.stdout);
}

#[test]
fn what_is_no_message_does_not_stop_the_list() {
    let house = house();
    put(&house, "1.1", "");
    fs::create_dir(house.path("queue/queue/2.1")).unwrap();
    symlink("/etc/hostname", house.path("queue/queue/3.1")).unwrap();
    run(Command::new("mkfifo").arg(house.path("queue/queue/4.1")), "").success();
    put(&house, "5.1", "\nto@x");
    put(&house, "by-hand", "\u{1b}[2J@x\nto\r@x\n");
    fs::write(house.path("queue/queue/6.1"), b"\xff@x\n").unwrap();
    let list = mailq(&house);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "1970-01-01 00:00:00 13 bytes from <\\u{1b}[2J@x>",
            "  to <to\\r@x>",
            "1970-01-01 00:00:01 0 bytes"
        ],
    );
    // A folder, a link and a FIFO have a size, and nobody reads them.
    for (line, time) in lines[3..6].iter().zip(["02", "03", "04"]) {
        assert!(line.starts_with(&format!("1970-01-01 00:00:{time} ")), "{line}");
        assert!(line.ends_with(" bytes"), "{line}");
    }
    assert_eq!(
        lines[6..],
        [
            "1970-01-01 00:00:05 5 bytes from <>",
            "  to <to@x>",
            "1970-01-01 00:00:06 4 bytes from <\u{fffd}@x>"
        ],
    );
}

#[test]
fn a_spool_that_is_not_there_is_an_error_on_stderr_and_is_not_made() {
    let house = House::new();
    let spool = house.path("nowhere");
    let ran = run(house.command("mailq").env("NULLMAILER_SPOOL_DIR", &spool), "");
    let ran = ran.exit(73).complains("nowhere: No such file");
    assert_eq!(ran.stdout, "");
    assert!(!spool.exists());
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let house = house();
    let long = "to@example.org\n".repeat(20_000);
    put(&house, "1000000000.7", &format!("b@x\n{long}\n"));
    let mut child = house.command("mailq").spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = house.command("mailq").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
}

#[test]
fn a_set_uid_copy_follows_no_environment() {
    if !is_root() {
        return;
    }
    let house = house();
    put(&house, "1000000000.7", "secret@x\nto@x\n\n");
    // Where everybody may go, and as somebody who may read the house.
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(house.path(""), open).unwrap();
    let copy = house.path("mailq");
    copy_binary(&copy);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .env("NULLMAILER_TEST_PREFIX", house.path(""))
        .env("NULLMAILER_SPOOL_DIR", house.path("queue"))
        .env("TZ", house.path("queue/queue/1000000000.7"))
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    let both = String::from_utf8_lossy(&both);
    assert!(!both.contains("secret"), "{both}");
    assert!(output.status.success() || both.contains("/var/spool/nullmailer"), "{both}");
}
