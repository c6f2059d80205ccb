//! Names of messages: an id that was told is never told again, whoever writes into the spool; nothing in it is
//! ever replaced; and a journal serves the message it was written for, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::daemon::Daemon;
use crate::house::{House, Ran, copy_binary, is_root, run};
use crate::smarthost::{Answer, Sink};
use crate::socket::{Open, wire};

fn house(sink: &Sink) -> House {
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    house
}

fn once(house: &House) -> String {
    house.run("nullmailer-send", [""; 0], "").success().stdout
}

/// A smarthost that refuses `bad@` for good.
fn refusing() -> Sink {
    Sink::new().answers("RCPT TO:<bad@*", "550 5.1.1 no such mailbox")
}

fn file(house: &House, folder: &str, name: &str) -> PathBuf {
    house.path("queue").join(folder).join(name)
}

/// One session of nullmailer-smtpd that goes on while the daemon runs.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn begin(house: &House) -> Self {
        let mut child = house.command("nullmailer-smtpd").stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut session = Self { child, input, output };
        session.hear("220 ");
        session.say("HELO x", "250 ");
        session
    }

    #[track_caller]
    fn hear(&mut self, code: &str) {
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(answer.starts_with(code), "{answer}");
    }

    #[track_caller]
    fn say(&mut self, line: &str, code: &str) {
        write!(self.input, "{line}\r\n").unwrap();
        self.hear(code);
    }

    /// Hands in a message and hears that it is queued.
    #[track_caller]
    fn submit(&mut self, sender: &str, recipients: &[&str]) {
        self.say(&format!("MAIL FROM:<{sender}>"), "250 ");
        for recipient in recipients {
            self.say(&format!("RCPT TO:<{recipient}>"), "250 ");
        }
        self.say("DATA", "354 ");
        self.say("Subject: x\r\n\r\nhi\r\n.", "250 ");
    }

    fn end(mut self) {
        self.say("QUIT", "221 ");
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_message_that_follows_a_refused_one_in_the_same_second_is_delivered() {
    let sink = refusing();
    let house = house(&sink);
    let mut session = Session::begin(&house);
    for nth in 1..=5 {
        session.submit("", &["good@x.example", "bad@x.example"]);
        let log = once(&house);
        assert_eq!(
            (sink.messages().len(), house.names("failed").len()),
            (2 * nth - 1, nth),
            "{log}"
        );
        session.submit("", &["good@x.example"]);
        let log = once(&house);
        assert_eq!((sink.messages().len(), house.names("queue").len()), (2 * nth, 0), "{log}");
    }
    session.end();
}

#[test]
fn each_of_five_messages_that_were_refused_within_a_second_is_kept_in_failed() {
    let sink = refusing();
    let house = house(&sink);
    let mut session = Session::begin(&house);
    for _ in 0..5 {
        session.submit("", &["bad@x.example"]);
        once(&house);
    }
    session.end();
    assert_eq!(house.names("failed").len(), 5);
}

#[test]
fn a_long_lived_client_of_the_socket_is_never_told_an_id_twice() {
    let sink = Sink::new();
    let open = Open::with(|house| {
        house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    });
    let mut told = BTreeSet::new();
    for nth in 1..=20 {
        let answer = open.talk(&wire("a@b.c\nd@x.example\n\nSubject: x\n\nbody\n"));
        let id = answer.trim_end().strip_prefix("ready\nqueued ").unwrap().to_owned();
        assert!(told.insert(id), "{answer} was told before: {told:?}");
        // The name is free again.
        open.daemon.wait_for_lines("Delivery complete, 0 message(s) remain.", nth);
    }
    assert_eq!(sink.messages().len(), 20);
}

/// Process 1 of a new PID namespace.
fn elsewhere(house: &House, program: &str, input: &str) -> Ran {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork"]).arg(house.path("bin").join(program));
    unshare.env_clear().env("PATH", "/usr/bin:/bin").env("NULLMAILER_TEST_PREFIX", house.path(""));
    run(&mut unshare, input)
}

fn has_namespaces() -> bool {
    let ran = run(Command::new("unshare").args(["--pid", "--fork", "true"]), "");
    if ran.code != Some(0) {
        eprintln!("not checked: no PID namespace can be made: {}", ran.stderr);
    }
    ran.code == Some(0)
}

#[test]
fn processes_of_one_number_in_different_namespaces_share_a_spool() {
    if !has_namespaces() {
        return;
    }
    let sink = refusing();
    let house = house(&sink);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                elsewhere(&house, "nullmailer-queue", "\ngood@x.example\n\nx\n").success()
            });
        }
    });
    let names = house.names("queue");
    assert_eq!(names.len(), 10);
    let is_first = |name: &String| name.split('.').nth(1) == Some("1");
    assert!(names.iter().all(is_first), "{names:?}");
    once(&house);
    assert_eq!(sink.messages().len(), 10);
    for nth in 1..=5 {
        elsewhere(&house, "nullmailer-queue", "\ngood@x.example\nbad@x.example\n\nx\n").success();
        once(&house);
        elsewhere(&house, "nullmailer-queue", "\ngood@x.example\n\nx\n").success();
        let log = once(&house);
        assert_eq!(
            (sink.messages().len(), house.names("failed").len()),
            (10 + 2 * nth, nth),
            "{log}"
        );
    }
}

#[test]
fn names_are_read_by_the_tools_of_nullmailer_2_2() {
    let house = House::new();
    house.run("nullmailer-queue", [""; 0], "a@b.c\nd@e.f\n\nx\n").success();
    let queued = house.only_queued();
    let fields: Vec<&str> = queued.id.split('.').collect();
    let [seconds, pid, tail] = fields[..] else { panic!("{}", queued.id) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(seconds.parse::<u64>().unwrap().abs_diff(now) < 600, "{}", queued.id);
    assert!(pid.parse::<u32>().is_ok(), "{}", queued.id);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    assert!(tail.len() == 13 && tail.chars().all(plain), "{}", queued.id);
}

#[test]
fn what_lies_in_failed_is_not_replaced_by_another_of_its_name() {
    let house = house(&Sink::new());
    once(&house);
    for content in ["one", "two", "three"] {
        fs::write(file(&house, "queue", "by-hand"), content).unwrap();
        let log = once(&house);
        let name = house
            .names("failed")
            .into_iter()
            .find(|name| fs::read_to_string(file(&house, "failed", name)).unwrap() == content);
        let name = name.unwrap();
        assert!(name == "by-hand" || log.contains(&format!("failed/{name}")), "{name}: {log}");
    }
    assert_eq!(house.names("failed"), ["by-hand", "by-hand.1", "by-hand.2"]);
}

/// A message for `good@`, who has it, and `later@`, who waits.
fn served_in_part(house: &House) -> String {
    let mail = "root@h.example\ngood@x.example\nlater@x.example\n\nSubject: one\n\n";
    house.run("nullmailer-queue", [""; 0], mail).success();
    once(house);
    house.only_queued().id
}

#[test]
fn a_file_that_is_put_under_the_name_of_another_message_is_delivered_to_all_of_its_recipients() {
    let sink = Sink::new().answers("RCPT TO:<later@*", "450 4.2.0 later");
    let house = house(&sink);
    let id = served_in_part(&house);
    let aside = house.path("aside");
    fs::rename(file(&house, "queue", &id), &aside).unwrap();
    fs::write(house.path("new"), "root@h.example\ngood@x.example\n\nSubject: two\n\n").unwrap();
    fs::rename(house.path("new"), file(&house, "queue", &id)).unwrap();
    let log = once(&house);
    assert_eq!(sink.messages().len(), 2, "{log}");
    assert!(sink.messages()[1].text().contains("Subject: two"), "{log}");
    assert_eq!(log.matches("renamed id=").count(), 1, "{log}");
    assert!(house.names("queue").is_empty() && house.names("failed").is_empty(), "{log}");
    // The journal is still there for whom it was written for.
    fs::rename(&aside, file(&house, "queue", &id)).unwrap();
    sink.accept_everything();
    once(&house);
    assert_eq!(sink.messages()[2].recipients, ["later@x.example"]);
}

#[test]
fn who_was_served_is_not_served_again_where_an_administrator_moves_touches_or_restores_the_file() {
    for change in ["mv", "touch", "cp"] {
        let sink = Sink::new().answers("RCPT TO:<later@*", "450 4.2.0 later");
        let house = house(&sink);
        let id = served_in_part(&house);
        let (queued, aside) = (file(&house, "queue", &id), house.path("aside"));
        match change {
            "mv" => {
                fs::rename(&queued, &aside).unwrap();
                once(&house);
                fs::rename(&aside, &queued).unwrap();
            }
            "touch" => {
                let touched = fs::File::options().append(true).open(&queued).unwrap();
                touched.set_modified(SystemTime::now() - Duration::from_secs(300)).unwrap();
            }
            _ => {
                run(Command::new("cp").arg("-p").args([&queued, &aside]), "").success();
                fs::remove_file(&queued).unwrap();
                run(Command::new("cp").arg("-p").args([&aside, &queued]), "").success();
            }
        }
        sink.accept_everything();
        let log = once(&house);
        assert_eq!(sink.messages()[1].recipients, ["later@x.example"], "{change}: {log}");
        assert_eq!(house.names("queue").len(), 0, "{change}: {log}");
    }
}

#[test]
fn what_a_sender_asked_for_holds_when_its_message_is_moved_back_from_failed() {
    let sink = refusing();
    let house = house(&sink);
    let args = ["-N", "never", "-f", "root@h.example", "bad@x.example"];
    house.run("sendmail", args, "Subject: x\n\nhi\n").success();
    let id = house.only_queued().id;
    let log = once(&house);
    assert!(log.contains("no-bounce id="), "{log}");
    fs::rename(file(&house, "failed", &id), file(&house, "queue", &id)).unwrap();
    let log = once(&house);
    assert_eq!(sink.commands().iter().filter(|one| one.starts_with("RCPT")).count(), 2, "{log}");
    assert!(log.contains("no-bounce id="), "{log}");
    assert_eq!((house.names("queue"), house.names("failed")), (vec![], vec![id]), "{log}");
}

const MAIL_USER: u32 = 65533;

#[test]
fn a_file_that_the_daemon_may_not_read_waits_and_the_log_says_what_to_do() {
    if !is_root() {
        return;
    }
    let sink = Sink::new();
    let house = house(&sink);
    house.run("nullmailer-queue", [""; 0], "a@b.c\nd@x.example\n\nSubject: x\n\n").success();
    give_away(&house);
    let id = house.only_queued().id;
    let queued = file(&house, "queue", &id);
    let own = house.path("nullmailer-send");
    copy_binary(&own);
    let once = || {
        let mut setpriv = Command::new("setpriv");
        let ids = [format!("--reuid={MAIL_USER}"), format!("--regid={MAIL_USER}")];
        setpriv.args(ids).arg("--clear-groups").arg(&own).env_clear();
        setpriv.env("NULLMAILER_TEST_PREFIX", house.path(""));
        run(&mut setpriv, "").success().stdout
    };
    chown(&queued, Some(0), Some(0)).unwrap();
    let log = once();
    let mend = format!("(os error 13): chown {MAIL_USER} {}", queued.display());
    assert!(log.contains(&format!("cannot read {}", queued.display())), "{log}");
    assert!(log.contains(&mend), "{log}");
    assert_eq!((house.names("queue"), house.names("failed")), (vec![id.clone()], vec![]), "{log}");
    // It is his, and yet closed to him.
    chown(&queued, Some(MAIL_USER), Some(MAIL_USER)).unwrap();
    fs::set_permissions(&queued, fs::Permissions::from_mode(0o000)).unwrap();
    let log = once();
    assert!(log.contains(&format!("(os error 13): chmod u+r {}", queued.display())), "{log}");
    fs::set_permissions(&queued, fs::Permissions::from_mode(0o600)).unwrap();
    once();
    assert_eq!(sink.messages().len(), 1);
}

/// Gives everything to the mail user.
fn give_away(house: &House) {
    for path in ["", "conf", "bin", "queue"] {
        fs::set_permissions(house.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for entry in fs::read_dir(house.path("conf")).unwrap() {
        chown(entry.unwrap().path(), Some(MAIL_USER), Some(MAIL_USER)).unwrap();
    }
    for folder in ["", "queue", "tmp", "failed", "status"] {
        let folder = house.path("queue").join(folder);
        fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(MAIL_USER), Some(MAIL_USER)).unwrap();
    }
}

/// Ways in which a file gets the name of a message, while that is delivered or rests: the file, and the name.
const REUSES: &[(&str, &str)] = &[
    ("mv", "mv \"$1\" \"$2\""),
    ("rm and mv", "rm \"$2\"; mv \"$1\" \"$2\""),
    ("rm and cp", "rm \"$2\"; cp \"$1\" \"$2\""),
    ("rm and cp -p", "rm \"$2\"; cp -p \"$1\" \"$2\""),
    (
        "rm and cp, as old as the message",
        "touch -r \"$2\" \"$1\"; rm \"$2\"; cp -p \"$1\" \"$2\"; echo >>\"$2\"",
    ),
    ("rm and ln", "rm \"$2\"; ln \"$1\" \"$2\"; rm \"$1\""),
    ("mv over a second name", "ln \"$2\" \"$2.old\"; mv \"$1\" \"$2\"; rm \"$2.old\""),
];

fn reuse(house: &House, how: &str, id: &str) {
    fs::write(house.path("new"), "root@h.example\ngood@x.example\n\nSubject: two\n\n").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-ec", how, "sh"]).arg(house.path("new")).arg(file(house, "queue", id));
    run(&mut shell, "").success();
}

#[test]
fn a_file_that_gets_the_name_of_a_message_under_delivery_is_not_removed_for_it() {
    for (what, how) in REUSES {
        let sink = Sink::new().answers(".", Answer::Hold);
        let house = house(&sink);
        house.control("pausetime", "1h");
        let mail = "root@h.example\ngood@x.example\n\nSubject: one\n\n";
        house.run("nullmailer-queue", [""; 0], mail).success();
        let id = house.only_queued().id;
        let daemon = Daemon::start(&house);
        sink.wait_for_command(".");
        reuse(&house, how, &id);
        sink.accept_everything();
        let got = sink.wait_for(2);
        let subjects = ["one", "two"].map(|one| {
            got.iter().filter(|mail| mail.text().contains(&format!("Subject: {one}"))).count()
        });
        assert_eq!(subjects, [1, 1], "{what}: {:#?}", daemon.log());
        daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
        let log = daemon.stop_with_log();
        let left = (house.names("queue"), house.names("failed"), house.names("status"));
        assert_eq!(left, Default::default(), "{what}: {log:#?}");
    }
}

#[test]
fn a_file_that_gets_the_name_of_a_message_at_rest_inherits_nothing_of_its_journal() {
    for (what, how) in REUSES {
        let sink = Sink::new().answers("RCPT TO:<later@*", "450 4.2.0 later");
        let house = house(&sink);
        let id = served_in_part(&house);
        reuse(&house, how, &id);
        let log = once(&house);
        assert_eq!(sink.messages().len(), 2, "{what}: {log}");
        assert!(sink.messages()[1].text().contains("Subject: two"), "{what}: {log}");
        assert!(house.names("queue").is_empty() && house.names("failed").is_empty(), "{log}");
    }
}

#[test]
fn a_second_name_of_a_message_or_of_its_journal_is_a_message_of_its_own() {
    for linked in [&["queue"][..], &["status"], &["queue", "status"]] {
        let sink = Sink::new().answers("RCPT TO:<later@*", "450 4.2.0 later");
        let house = house(&sink);
        let id = served_in_part(&house);
        for folder in linked {
            fs::hard_link(file(&house, folder, &id), file(&house, folder, "by-hand")).unwrap();
        }
        if !linked.contains(&"queue") {
            fs::copy(file(&house, "queue", &id), house.path("new")).unwrap();
            fs::rename(house.path("new"), file(&house, "queue", "by-hand")).unwrap();
        }
        sink.accept_everything();
        let log = once(&house);
        let served = |who: &str| {
            let all = sink.messages().into_iter().flat_map(|one| one.recipients);
            all.filter(|one| one.starts_with(who)).count()
        };
        // With its journal it knows who was served.
        let copies = if linked.len() == 2 { 1 } else { 2 };
        assert_eq!((served("good"), served("later")), (copies, 2), "{linked:?}: {log}");
        assert!(house.names("queue").is_empty() && house.names("failed").is_empty(), "{log}");
    }
}
