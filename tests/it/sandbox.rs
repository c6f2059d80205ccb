//! The daemon's sandbox: what it says holds, does, and nothing that is needed is refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::house::{House, has};
use crate::smarthost::{Certificates, Sink};

fn house(remotes: &str) -> House {
    let house = House::new();
    house.control("remotes", remotes);
    house
}

fn queue(house: &House, recipients: &str) {
    let mail = format!("root@h.example\n{recipients}\n\nSubject: x\n\nhi\n");
    house.run("nullmailer-queue", [""; 0], mail).success();
}

/// What the daemon says of its sandbox on this machine.
fn holds() -> String {
    let house = house("127.0.0.1");
    house.control("pausetime", "0");
    let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
    let line = log.lines().find(|line| line.starts_with("sandbox holds=")).expect("no line of it");
    line.to_owned()
}

fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn the_kernel_confirms_what_the_log_says_of_the_filter() {
    let sink = Sink::new();
    for (sandbox, confined) in [("auto", holds().contains("seccomp")), ("off", false)] {
        let house = house(&sink.remote(""));
        house.control("sandbox", sandbox);
        let daemon = Daemon::start(&house);
        let filters = status(daemon.id(), "Seccomp_filters");
        let outside = status(std::process::id(), "Seccomp_filters");
        assert_eq!(filters != outside, confined, "{sandbox}: {filters}");
        if confined {
            assert_eq!(status(daemon.id(), "NoNewPrivs"), "1");
        }
    }
}

#[test]
fn a_port_that_was_added_since_is_named_and_the_mail_waits_for_a_restart() {
    let (first, second) = (Sink::new(), Sink::new());
    let house = house(&first.remote(""));
    let daemon = Daemon::start(&house);
    house.control("remotes", &second.remote(""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_lines("configured remotes=", 2);
    queue(&house, "a@x.example");
    if holds().contains("tcp") {
        let sentence = format!(
            "the sandbox was closed at start: restart nullmailer-send to use port {}",
            second.port()
        );
        daemon.wait_for_line(&sentence);
        assert_eq!((house.queued().len(), second.connections()), (1, 0));
        drop(daemon);
        let _daemon = Daemon::start(&house);
        // It may rest after the attempt that failed.
        house.run("nullmailer", ["flush"], "").success();
        second.wait_for(1);
    } else {
        second.wait_for(1);
    }
}

#[test]
fn a_file_that_was_added_since_is_named_and_one_that_was_renewed_is_read() {
    let certificates = Certificates::new();
    let sink = Sink::new().starttls(&certificates);
    let house = house("");
    for folder in ["trust", "elsewhere"] {
        fs::create_dir(house.path(folder)).unwrap();
    }
    let (ca, new) = (house.path("trust/ca.pem"), house.path("trust/new.pem"));
    fs::write(&ca, "no certificate").unwrap();
    let remote = |file: &Path| sink.remote(&format!("starttls x509cafile={}", file.display()));
    house.control("remotes", &remote(&ca));
    let daemon = Daemon::start(&house);
    fs::write(&new, &certificates.authority).unwrap();
    fs::rename(&new, &ca).unwrap();
    queue(&house, "a@x.example");
    sink.wait_for(1);
    let other = house.path("elsewhere/ca.pem");
    fs::write(&other, &certificates.authority).unwrap();
    house.control("remotes", &remote(&other));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_lines("configured remotes=", 2);
    queue(&house, "a@x.example");
    if holds().contains("files") {
        daemon.wait_for_line(&format!("restart nullmailer-send to use {}", other.display()));
    } else {
        sink.wait_for(2);
    }
}

#[test]
fn the_daemon_itself_cannot_read_beyond_its_folders() {
    if !holds().contains("files") {
        return;
    }
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    fs::create_dir(house.path("outside")).unwrap();
    fs::write(house.path("outside/secret"), "1h").unwrap();
    let daemon = Daemon::start(&house);
    symlink(house.path("outside/secret"), house.path("conf/maxpause")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let path = house.path("conf/maxpause");
    daemon.wait_for_line(&format!("cannot read {}: Permission denied", path.display()));
    // Whatever a link stands for when the daemon starts is part of the configuration.
    drop(daemon);
    let daemon = Daemon::start(&house);
    daemon.wait_for_line("configured remotes=");
}

#[test]
fn a_program_of_ours_is_run_in_the_sandbox_and_writes_to_the_spool_only() {
    let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "235 2.7.0 ok");
    let house = house("");
    let (spool, outside) = (house.path("queue/token"), Path::new("/usr/nullmailer-x"));
    let command = format!(
        "echo x >{}; echo y >{} 2>{}; echo secret",
        spool.display(),
        outside.display(),
        house.path("queue/errors").display()
    );
    house.control("remotes", &sink.remote(&format!("user=me passcmd='{command}'")));
    let daemon = Daemon::start(&house);
    queue(&house, "a@x.example");
    sink.wait_for(1);
    drop(daemon);
    assert_eq!(fs::read_to_string(spool).unwrap(), "x\n");
    if holds().contains("files") {
        assert!(!outside.exists());
    }
    let _ = fs::remove_file(outside);
}

#[test]
fn a_sandbox_that_is_required_and_cannot_be_had_keeps_the_daemon_from_starting() {
    let house = house("");
    house.control("sandbox", "require").control("pausetime", "0");
    let line = holds();
    let ran = house.run("nullmailer-send", [""; 0], "");
    if line.contains("lacks=") {
        ran.exit(71).complains("cannot close the sandbox: ");
    } else {
        ran.success();
    }
    house.control("sandbox", "on");
    let ran = house.run("nullmailer-send", [""; 0], "").exit(78);
    ran.complains("sandbox:1: \"on\" is none of auto, require, off");
    house.control("sandbox", "off");
    let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
    assert!(log.contains("sandbox holds=nothing lacks=\"it is off\""), "{log}");
}

#[test]
fn nothing_that_a_normal_run_needs_is_refused() {
    if !has("strace") {
        return;
    }
    let certificates = Certificates::new();
    let sink = Sink::new()
        .starttls(&certificates)
        .offers(&["AUTH PLAIN"])
        .answers("AUTH*", "235 2.7.0 ok")
        .answers("RCPT TO:<gone@*", "550 5.1.1 no such mailbox");
    let house = house("");
    fs::create_dir(house.path("keys")).unwrap();
    let (ca, pass) = (house.path("keys/ca.pem"), house.path("keys/pass"));
    fs::write(&ca, &certificates.authority).unwrap();
    fs::write(&pass, "secret\n").unwrap();
    let options = format!(
        "starttls x509cafile={} user=me passfile={} source=127.0.0.1",
        ca.display(),
        pass.display()
    );
    // By name, so that it is looked up.
    let remote = sink.remote(&options).replacen("127.0.0.1", "localhost", 1);
    house.control("remotes", &format!("{} ipv4 tls-name=127.0.0.1\n", remote.trim_end()));
    let trace = house.path("trace");
    let mut traced = Command::new("strace");
    // The daemon stays our child, and its tracer is nobody's.
    traced.args(["-D", "-f", "-q", "-o"]).arg(&trace).arg(house.path("bin/nullmailer-send"));
    let plain = house.command("nullmailer-send");
    traced.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let daemon = Daemon::spawn(traced);
    queue(&house, "a@x.example\ngone@x.example");
    sink.wait_for(2);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_lines("configured remotes=", 2);
    let pid = daemon.id();
    assert!(daemon.stop().success());
    let trace = whole(&trace, pid);
    assert!(trace.contains("sendto(") || trace.contains("writev("), "there is no trace");
    let closed = trace.find("seccomp(SECCOMP_SET_MODE_FILTER").unwrap_or(0);
    let refused: Vec<_> = trace[closed..]
        .lines()
        .filter(|line| {
            line.contains(" EPERM") || line.contains(" EACCES") || line.contains("EXDEV")
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// The trace, once the tracer has seen the process end.
fn whole(trace: &Path, pid: u32) -> String {
    let end = format!("{pid} ");
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let text = fs::read_to_string(trace).unwrap();
        let over = |line: &str| line.starts_with(&end) && line.contains("+++ exited with ");
        if text.lines().any(over) {
            return text;
        }
        assert!(Instant::now() < patience, "the trace does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_password_is_nowhere_but_on_the_wire() {
    use base64::Engine as _;
    let marker = "correct-horse-battery";
    let coded = base64::engine::general_purpose::STANDARD.encode(format!("\0me\0{marker}"));
    let alone = base64::engine::general_purpose::STANDARD.encode(marker);
    let certificates = Certificates::new();
    let sinks = [
        Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "235 2.7.0 ok"),
        Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "535 5.7.8 no"),
        Sink::new().offers(&["AUTH LOGIN"]).answers("AUTH*", "\u{1b}garbage"),
        Sink::new().starttls(&certificates),
    ];
    for (number, sink) in sinks.iter().enumerate() {
        let house = house("");
        let options = if number == 3 { "starttls" } else { "" };
        house.control("remotes", &sink.remote(&format!("{options} user=me pass={marker}")));
        let daemon = Daemon::start(&house);
        queue(&house, "a@x.example");
        daemon.wait_for_line("Delivery complete, ");
        let process = format!("/proc/{}", daemon.id());
        let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        let mut seen = fs::read(format!("{process}/environ")).unwrap_or_default();
        seen.extend(fs::read(format!("{process}/cmdline")).unwrap());
        for folder in ["queue", "failed", "status", "tmp"] {
            for name in house.names(folder) {
                seen.extend(fs::read(house.path("queue").join(folder).join(name)).unwrap());
            }
        }
        seen.extend(daemon.stop_with_log().join("\n").into_bytes());
        let seen = String::from_utf8_lossy(&seen);
        for secret in [marker, &coded, &alone] {
            assert!(!seen.contains(secret), "{number}: {seen}");
        }
        if number == 0 {
            assert!(sink.commands().contains(&format!("AUTH PLAIN {coded}")));
        }
    }
}

#[test]
fn a_daemon_that_a_signal_ends_shows_no_password_and_leaves_no_core() {
    use base64::Engine as _;
    use nix::sys::signal::Signal;
    let marker = "correct-horse-battery";
    let coded = base64::engine::general_purpose::STANDARD.encode(format!("\0me\0{marker}"));
    for signal in [Signal::SIGABRT, Signal::SIGQUIT, Signal::SIGXCPU] {
        let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "235 2.7.0 ok");
        let house = house(&sink.remote(&format!("user=me pass={marker}")));
        // A shell has what it runs in the background ignore SIGQUIT.
        let mut command = house.command("/usr/bin/env");
        command.arg("--default-signal=QUIT").arg(house.path("bin/nullmailer-send"));
        // Where a core file would be, on a machine that names them so; with every reason to tell much.
        command.current_dir(house.path("queue")).env("RUST_BACKTRACE", "full");
        let daemon = Daemon::spawn(command);
        queue(&house, "a@x.example");
        daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
        assert!(sink.commands().contains(&format!("AUTH PLAIN {coded}")));
        let said = daemon.die_of(signal);
        assert!(said.contains("configured remotes="), "{said}");
        assert!(!said.contains(marker) && !said.contains(&coded), "{signal}: {said}");
        assert!(house.names("").iter().all(|name| !name.contains("core")), "{signal}");
    }
}

#[test]
fn a_password_that_everybody_can_read_is_worth_a_line_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let house = house("127.0.0.1 smtp user=me pass=secret\n127.0.0.1 smtp user=me passfile=pass\n");
    house.control("pass", "secret").control("pausetime", "0");
    for (mode, lines) in [(0o640, 0), (0o644, 2)] {
        for name in ["remotes", "pass"] {
            fs::set_permissions(house.path("conf").join(name), fs::Permissions::from_mode(mode))
                .unwrap();
        }
        let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
        let cautions = log.lines().filter(|line| line.contains(" has mode 0644: everybody "));
        assert_eq!(cautions.count(), lines, "{log}");
    }
}

#[test]
fn a_password_file_without_a_folder_is_a_credential_or_stands_beside_remotes() {
    use base64::Engine as _;
    let coded =
        |pass: &str| base64::engine::general_purpose::STANDARD.encode(format!("\0me\0{pass}"));
    let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "235 2.7.0 ok");
    let house = house(&sink.remote("user=me passfile=pass"));
    house.control("pausetime", "0").control("pass", "beside");
    fs::create_dir(house.path("credentials")).unwrap();
    fs::write(house.path("credentials/pass"), "credential").unwrap();
    for (credentials, pass) in [(false, "beside"), (true, "credential")] {
        queue(&house, "a@x.example");
        let mut command = house.command("nullmailer-send");
        if credentials {
            command.env("CREDENTIALS_DIRECTORY", house.path("credentials"));
        }
        let log = crate::house::run(&mut command, "").success().stdout;
        assert!(sink.commands().contains(&format!("AUTH PLAIN {}", coded(pass))), "{log}");
    }
}

#[test]
fn the_service_manager_is_told_of_readiness_of_a_reload_and_of_the_end() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let house = house("127.0.0.1");
    let path = house.path("notify");
    let name = format!("nullmailer-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, variable) in [
        (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
        (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}")),
    ] {
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let next = || {
            let mut bytes = [0; 512];
            let length = socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        let mut command = house.command("nullmailer-send");
        command.env("NOTIFY_SOCKET", variable);
        let daemon = Daemon::spawn(command);
        let ready = "READY=1\nSTATUS=0 message(s) in the queue";
        assert_eq!(next(), ready);
        daemon.signal(Signal::SIGHUP);
        assert_eq!((next(), next()), ("RELOADING=1".to_owned(), ready.to_owned()));
        assert!(daemon.stop().success());
        assert_eq!(next(), "STOPPING=1");
    }
}

#[test]
fn the_unit_leaves_the_daemon_no_more_than_it_needs() {
    if !has("systemd-analyze") {
        return;
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd/nullmailer.service");
    let mut rated = Command::new("systemd-analyze");
    // In tenths, as the option has it: 1.5.
    rated.args(["security", "--offline=true", "--threshold=15", "--no-pager"]).arg(unit);
    let ran = crate::house::run(&mut rated, "").success();
    assert!(ran.stdout.contains("Overall exposure level"), "{}", ran.stdout);
}
