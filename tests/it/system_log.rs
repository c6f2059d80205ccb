//! Where the log goes: `logto` = syslog and journal, for a daemon that sees our sockets in the place of the system's; and a
//! reader of stdout that has stopped reading.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::house::{House, run};
use crate::smarthost::Sink;

/// Runs the daemon once, in a mount namespace where `place` leads to the socket, and returns what came.
fn logged(target: &str, place: &str) -> Option<Vec<String>> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let sink = Sink::new().answers("RCPT TO:<b@*", "451 4.2.0 later");
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0").control("logto", target);
    let input = "s@h.example\na@x.example\nb@x.example\n\nSubject: x\n\nhi\n";
    house.run("nullmailer-queue", [""; 0], input).success();
    let socket = UnixDatagram::bind(house.path("log")).unwrap();
    socket.set_nonblocking(true).unwrap();

    let send = house.command("nullmailer-send");
    // Both folders become empty ones of this namespace.
    let script = "mount -t tmpfs none /run && mount -t tmpfs none /dev && \
                  mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && \
                  mkdir -p \"${1%/*}\" && ln -s \"$2\" \"$1\" && exec \"$3\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script, "sh", place]);
    command.arg(house.path("log")).arg(send.get_program()).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(send.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = run(&mut command, "").success();
    assert_eq!(ran.stdout, "", "what goes to the system's log goes nowhere else");
    assert_eq!(sink.only_message().recipients, ["a@x.example"]);

    let mut came = Vec::new();
    let mut datagram = [0; 4096];
    while let Ok(length) = socket.recv(&mut datagram) {
        came.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
    }
    Some(came)
}

#[test]
fn syslog_gets_each_line_under_facility_mail_with_its_severity() {
    let Some(lines) = logged("syslog", "/dev/log") else { return };
    // Mail is 2: 22 is info, 20 is warning, 21 is notice.
    for (priority, part) in
        [("<22>", " sent id="), ("<20>", " deferred id="), ("<21>", " started version=")]
    {
        let line =
            lines.iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{lines:?}"));
        assert!(line.starts_with(&format!("{priority}nullmailer-send[")), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn the_journal_gets_each_event_with_its_fields() {
    let Some(entries) = logged("journal", "/run/systemd/journal/socket") else { return };
    let entry = entries.iter().find(|entry| entry.starts_with("MESSAGE=deferred id="));
    let lines: Vec<_> = entry.unwrap_or_else(|| panic!("{entries:?}")).lines().collect();
    for field in [
        "PRIORITY=4",
        "SYSLOG_FACILITY=2",
        "SYSLOG_IDENTIFIER=nullmailer-send",
        "NULLMAILER_TO=<b@x.example>",
        "NULLMAILER_REPLY=451 4.2.0 later",
    ] {
        assert!(lines.contains(&field), "{field} is not in {lines:?}");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_mail_and_tells_what_it_has_missed() {
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "1h");
    let mut daemon = house.command("nullmailer-send").spawn().unwrap();
    // Each has some hundred KiB of lines: together they are more than a pipe holds, and what is kept for it.
    let names = (0..1000).map(|nth| format!("user{nth}{}@x.example\n", "x".repeat(80)));
    let to = names.collect::<Vec<_>>().concat();
    for _ in 0..8 {
        house.run("nullmailer-queue", [""; 0], format!("a@b.c\n{to}\nx\n")).success();
    }
    // A server takes a thousand at once, and as many as it is given.
    while sink.wait_for(1).iter().map(|one| one.recipients.len()).sum::<usize>() < 8000 {
        std::thread::yield_now();
    }
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = Pid::from_raw(daemon.id().try_into().unwrap());
    // Now somebody reads, and something happens now and then.
    let mut found = |start: &str| {
        let mut next = |nth| {
            if nth % 500 == 0 {
                kill(pid, Signal::SIGUSR1).unwrap();
            }
            lines.next().filter(|line| line.starts_with(start))
        };
        (1..).find_map(&mut next).unwrap()
    };
    let lost = found("log-lost count=");
    assert!(lost.split_once('=').unwrap().1.parse::<u64>().unwrap() > 0, "{lost}");
    found("status due=0");
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(lines.last().unwrap(), "stopped queued=0");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_daemon_whose_log_nobody_reads_ends_when_it_is_told_to() {
    let house = House::new();
    house.control("remotes", "127.0.0.1 smtp --port=1\n").control("pausetime", "1h");
    let mut daemon = house.command("nullmailer-send").spawn().unwrap();
    let pid = Pid::from_raw(daemon.id().try_into().unwrap());
    let long = format!("a@b.c\n{}\nx\n", format!("{}@x.example\n", "x".repeat(880)).repeat(3000));
    house.run("nullmailer-queue", [""; 0], long).success();
    run(house.command("nullmailer").arg("health"), "").success();
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}
