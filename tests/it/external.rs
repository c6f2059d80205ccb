//! Protocol programs that are not ours: what they are given, and what becomes of what they say.

use std::fs;
use std::process::Command;

use crate::daemon::Daemon;
use crate::house::{House, run};

/// A house whose only remote is `host.dom dummy OPTIONS`, and `dummy` is this shell script.
fn house(options: &str, script: &str) -> House {
    let house = House::new();
    house.control("remotes", &format!("host.dom dummy {options}\n")).control("pausetime", "0");
    // Written by another process: one that is forked here meanwhile would keep it open for
    // writing, and then it cannot be run.
    let mut write = Command::new("sh");
    write.args(["-c", "cat >\"$0\" && chmod +x \"$0\""]).arg(house.path("protocols/dummy"));
    run(&mut write, format!("#!/bin/sh\n{script}\n")).success();
    house
}

fn queue(house: &House, sender: &str) {
    let mail = format!("{sender}\na@x.y\nb@x.y\n\nSubject: x\n\nthe body\n");
    house.run("nullmailer-queue", [""; 0], mail).success();
}

fn send(house: &House) -> String {
    house.run("nullmailer-send", [""; 0], "").success().stdout
}

fn read(house: &House, name: &str) -> String {
    fs::read_to_string(house.path(name)).unwrap()
}

/// The module of the original's tests: its second line is the code to exit with.
const CODE: &str = "read host; read code; echo \"5.2.1 $host\"; exit $code";

#[test]
fn a_program_is_given_the_options_the_message_and_our_name() {
    let script = "D=$(dirname \"$0\"); cat >$D/options; cat <&3 >$D/message; \
                  echo \"$# $HELOHOST\" >$D/call; echo done";
    let house = house("--port=1 pass='a b' -x", script);
    queue(&house, "s@x.y");
    let stored = read(&house, &format!("queue/queue/{}", house.only_queued().id));
    let log = send(&house);
    assert!(house.queued().is_empty(), "{log}");
    assert_eq!(read(&house, "protocols/options"), "host=host.dom\nport=1\npass=a b\n-x\n\n");
    assert_eq!(read(&house, "protocols/message"), stored);
    assert_eq!(read(&house, "protocols/call"), "0 f.q.d.n\n");
    assert!(log.contains("\nStarting delivery: host: host.dom protocol: dummy file: "), "{log}");
    assert!(!log.contains("a b"), "{log}");
}

#[test]
fn the_exit_code_decides_what_becomes_of_the_message() {
    for (code, queued, failed) in [(0, 0, 0), (1, 1, 0), (16, 1, 0), (33, 0, 1), (64, 1, 0)] {
        let house = house(&code.to_string(), CODE);
        queue(&house, "");
        let log = send(&house);
        assert_eq!(
            (house.queued().len(), house.names("failed").len()),
            (queued, failed),
            "{code}: {log}"
        );
        let expected = if code == 0 { "Sent file." } else { "Sending failed: " };
        assert!(log.contains(expected), "{code}: {log}");
    }
}

#[test]
fn a_refused_message_is_bounced_with_the_programs_words() {
    let house = house("33", CODE);
    queue(&house, "s@x.y");
    let log = send(&house);
    assert_eq!(house.names("failed").len(), 1, "{log}");
    // The bounce had no better luck in the same run, or waits for the next.
    let names = house.names("queue");
    let texts: Vec<_> = names
        .iter()
        .map(|name| read(&house, &format!("queue/queue/{name}")))
        .chain(
            house.names("failed").iter().map(|name| read(&house, &format!("queue/failed/{name}"))),
        )
        .collect();
    let bounce = texts.iter().find(|text| text.starts_with("\ns@x.y\n\n")).expect(&log);
    for part in [
        "\nFinal-Recipient: rfc822; a@x.y\nAction: failed\nStatus: 5.2.1\n",
        "\nDiagnostic-Code: DUMMY; 5.2.1 host=host.dom\n",
        "\nSubject: x\n",
    ] {
        assert!(bounce.contains(part), "{part:?} is not in: {bounce}");
    }
    assert!(!bounce.contains("the body"), "{bounce}");
}

#[test]
fn a_password_that_a_program_quotes_is_kept_nowhere() {
    // Its options as it read them, and as a server might have quoted what came of them.
    let script = "tr '\\n' ' '; echo AUTH PLAIN AHVAeABjb3JyZWN0OQ==; exit 33";
    let house = house("user=u@x pass=correct9 --api-Token=correct8 port=2525", script);
    queue(&house, "s@x.y");
    let mut kept = send(&house);
    for folder in ["queue", "failed"] {
        let names = house.names(folder);
        kept.extend(names.iter().map(|name| read(&house, &format!("queue/{folder}/{name}"))));
    }
    assert!(kept.contains("user=u@x pass=[secret] api-Token=[secret] port=2525"), "{kept}");
    for secret in ["correct", "jb3JyZWN0"] {
        assert!(!kept.contains(secret), "{secret}: {kept}");
    }
}

#[test]
fn only_those_who_still_wait_are_in_the_file() {
    let house = house("", "cat <&3 >$(dirname \"$0\")/message; exit 1");
    queue(&house, "s@x.y");
    // The smarthost before it took the message for one of them.
    let sink = crate::smarthost::Sink::new().answers("RCPT TO:<b@*", "450 later");
    house.control("remotes", &format!("{}\nhost.dom dummy\n", sink.remote("").trim()));
    send(&house);
    assert_eq!(sink.only_message().recipients, ["a@x.y"]);
    let message = read(&house, "protocols/message");
    assert!(message.starts_with("s@x.y\nb@x.y\n\nReceived: "), "{message}");
    assert!(message.ends_with("\nSubject: x\n\nthe body\n"), "{message}");
}

#[test]
fn more_output_than_a_pipe_holds_stops_nobody() {
    let house = house("", "yes 'a long line' | head -c 10000000; exit 0");
    queue(&house, "s@x.y");
    send(&house);
    assert!(house.queued().is_empty());
}

#[test]
fn a_program_that_does_not_read_or_leaves_children_is_no_trouble() {
    // The child would hold the output open for ever.
    let house = house(&"option ".repeat(20_000), "sleep 1000 & exit 0");
    queue(&house, "s@x.y");
    send(&house);
    assert!(house.queued().is_empty());
}

#[test]
fn a_program_that_has_ended_is_not_waited_for_whatever_it_left_behind() {
    // In a session of its own, it is out of our reach.
    let script = "D=$(dirname \"$0\"); echo done
        setsid sh -c \"echo \\$\\$ >$D/pid; exec sleep 1000 2>&-\" 2>&- &
        until test -s $D/pid; do sleep 0.01; done";
    let house = house("", script);
    queue(&house, "s@x.y");
    let log = send(&house);
    let left = read(&house, "protocols/pid");
    run(Command::new("kill").arg(left.trim()), "").success();
    assert!(house.queued().is_empty(), "{log}");
    assert!(log.contains("done"), "{log}");
}

#[test]
fn a_queue_program_that_has_ended_is_not_waited_for_either() {
    let script = "cat >/dev/null; echo no room; sleep 1000 & echo $! >$0.pid; exit 73";
    let house = house("", script);
    let mut inject = house.command("nullmailer-inject");
    inject.env("NULLMAILER_QUEUE", house.path("protocols/dummy"));
    let begun = std::time::Instant::now();
    let ran = run(&mut inject, "To: a@b.c\n\n");
    let took = begun.elapsed().as_secs();
    let left = read(&house, "protocols/dummy.pid");
    run(Command::new("kill").arg(left.trim()), "").success();
    ran.exit(73).complains("dummy: no room");
    assert!(took < 500, "{took} s: the child was waited for");
}

#[test]
fn a_program_that_cannot_be_run_delays_mail() {
    let house = house("", "exit 0");
    house.control("remotes", "host.dom nosuch\n");
    queue(&house, "s@x.y");
    let log = send(&house);
    assert_eq!(house.queued().len(), 1);
    assert!(log.contains("nosuch: No such file or directory"), "{log}");
}

#[test]
fn a_program_that_dies_delays_mail() {
    let house = house("", "kill -9 $$");
    queue(&house, "s@x.y");
    let log = send(&house);
    assert_eq!((house.queued().len(), house.names("failed").len()), (1, 0));
    assert!(log.contains("crashed or was killed; the message may have been taken"), "{log}");
}

#[test]
fn at_the_deadline_a_program_is_killed_with_its_children() {
    // Whoever of them lives holds the FIFO open for writing.
    let script = "exec 4>$(dirname \"$0\")/held; trap '' TERM; sleep 1000 & wait; sleep 1000";
    let house = house("", script);
    house.control("sendtimeout", "1");
    let fifo = house.path("protocols/held");
    run(Command::new("mkfifo").arg(&fifo), "").success();
    queue(&house, "s@x.y");
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    let log = send(&house);
    assert!(reader.join().unwrap().is_empty());
    assert_eq!(house.queued().len(), 1, "{log}");
    assert!(log.contains("sendtimeout is over; the message may have been taken"), "{log}");
}

#[test]
fn a_daemon_that_is_stopped_leaves_no_program_behind() {
    let script =
        "exec 4>$(dirname \"$0\")/held; trap '' TERM; echo >$(dirname \"$0\")/up; sleep 1000";
    let house = house("", script);
    house.control("pausetime", "60");
    let (fifo, up) = (house.path("protocols/held"), house.path("protocols/up"));
    for path in [&fifo, &up] {
        run(Command::new("mkfifo").arg(path), "").success();
    }
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    queue(&house, "s@x.y");
    let daemon = Daemon::start(&house);
    // Opening waits for the program.
    fs::read(up).unwrap();
    daemon.stop();
    assert!(reader.join().unwrap().is_empty());
    assert_eq!(house.queued().len(), 1);
}

#[test]
fn of_a_program_that_cannot_log_in_one_is_run_in_each_pause() {
    let house = house("", "echo >>$(dirname \"$0\")/runs; cat >/dev/null; echo 5.7.8 no; exit 20");
    house.control("pausetime", "1h");
    (0..5).for_each(|_| queue(&house, "s@x.y"));
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("remote-failed remote=host.dom ");
    queue(&house, "s@x.y");
    daemon.wait_for_line("Trigger pulled.");
    daemon.stop();
    assert_eq!(read(&house, "protocols/runs").lines().count(), 1);
    assert_eq!(house.queued().len(), 6);
}
