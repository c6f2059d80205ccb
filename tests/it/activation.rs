//! A socket that is handed over, as systemd does it: sd_listen_fds(3).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::unistd::Pid;

use crate::daemon::Daemon;
use crate::house::{House, has, is_root, run};
use crate::smarthost::Sink;
use crate::socket::{MAIL, Open, wire};

/// The program of a house with `handed` as its descriptor 3. `$$` in a variable is its own process id.
fn activated(
    house: &House,
    program: &str,
    handed: Option<OwnedFd>,
    variables: &[(&str, &str)],
) -> Command {
    let plain = house.command(program);
    let mut command = Command::new("sh");
    let set = |(name, value): &(&str, &str)| format!("{name}={value} ");
    let set: String = variables.iter().map(set).collect();
    let close = if handed.is_none() { "3<&-" } else { "" };
    command.arg("-c").arg(format!("{set} exec \"$0\" \"$@\" {close}"));
    command.arg(plain.get_program()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mapping = handed.map(|parent_fd| FdMapping { parent_fd, child_fd: 3 });
    command.fd_mappings(mapping.into_iter().collect()).unwrap();
    command
}

const ONE: &[(&str, &str)] = &[("LISTEN_PID", "$$"), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "x")];

pub fn start(house: &House, listener: &UnixListener) -> Daemon {
    let handed = listener.try_clone().unwrap().into();
    Daemon::spawn(activated(house, "nullmailer-send", Some(handed), ONE))
}

/// Where programs of this house look.
fn place(house: &House) -> PathBuf {
    house.path("queue/submit")
}

fn say(socket: &Path) -> UnixStream {
    let mut client = UnixStream::connect(socket).unwrap();
    client.write_all(&wire(MAIL)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client
}

fn hear(mut client: UnixStream) -> String {
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    heard
}

/// By another process: one that is forked here meanwhile would keep it open, and then it cannot be run.
fn write_script(path: &Path, mode: &str, script: &str) {
    let mut write = Command::new("sh");
    write.args(["-c", "cat >\"$0\" && chmod \"$1\" \"$0\""]).arg(path).arg(mode);
    run(&mut write, format!("#!/bin/sh\n{script}\n")).success();
}

#[test]
fn mail_that_comes_over_it_is_delivered_and_its_file_is_left_alone() {
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote(""));
    let listener = UnixListener::bind(place(&house)).unwrap();
    let before = fs::metadata(place(&house)).unwrap().ino();
    let daemon = start(&house, &listener);
    daemon
        .wait_for_line(&format!("listening at={} socket=\"handed over\"", place(&house).display()));
    let answer = hear(say(&place(&house)));
    assert!(answer.starts_with("ready\nqueued "), "{answer}");
    assert_eq!(sink.wait_for(1)[0].recipients, ["d@e.f"]);
    let log = daemon.stop_with_log().join("\n");
    assert!(log.contains("submitted id=") && !log.contains("caution"), "{log}");
    assert_eq!(fs::metadata(place(&house)).unwrap().ino(), before);
}

#[test]
fn a_client_that_comes_while_no_daemon_runs_is_served_by_the_next_one() {
    let house = House::new();
    let listener = UnixListener::bind(place(&house)).unwrap();
    for round in 1..=2 {
        let client = say(&place(&house));
        let daemon = start(&house, &listener);
        let answer = hear(client);
        assert!(answer.starts_with("ready\nqueued "), "{answer}");
        assert_eq!(house.queued().len(), round);
        assert!(daemon.stop().success());
    }
}

#[test]
fn the_kernel_still_says_who_comes() {
    if !is_root() {
        return;
    }
    let open = Open::started(
        |house| {
            house.control("submitusers", "54321");
        },
        |house| {
            let listener = UnixListener::bind(place(house)).unwrap();
            fs::set_permissions(place(house), fs::Permissions::from_mode(0o666)).unwrap();
            start(house, &listener)
        },
    );
    open.as_user(54321, &["--no-new-privs"], &["sendmail", "d@e.f"], "x\n").success();
    let queued = open.house.only_queued().id;
    open.daemon.wait_for_line(&format!("submitted id={queued} uid=54321 "));
    let ran = open.as_user(54322, &[], &["sendmail", "d@e.f"], "x\n");
    ran.exit(77).complains("cannot queue for uid 54322");
}

#[test]
fn what_is_for_another_process_counts_for_nothing() {
    for variables in [
        &[("LISTEN_PID", "1"), ("LISTEN_FDS", "1")][..],
        &[("LISTEN_PID", "x"), ("LISTEN_FDS", "1")],
        &[("LISTEN_PID", ""), ("LISTEN_FDS", "1")],
        &[("LISTEN_PID", "$$0"), ("LISTEN_FDS", "x")],
        &[("LISTEN_FDS", "1")],
        &[("LISTEN_PID", "$$")],
        &[("LISTEN_PID", "$$"), ("LISTEN_FDS", "")],
    ] {
        let house = House::new();
        let elsewhere = UnixListener::bind(house.path("elsewhere")).unwrap();
        let command = activated(&house, "nullmailer-send", Some(elsewhere.into()), variables);
        let daemon = Daemon::spawn(command);
        let line = format!("listening at={} socket=own", place(&house).display());
        daemon.wait_for_line(&line);
        assert!(hear(say(&place(&house))).contains("queued "), "{variables:?}");
        assert!(!daemon.stop_with_log().join("\n").contains("caution"), "{variables:?}");
    }
}

#[test]
fn anything_but_one_socket_is_refused() {
    for count in ["x", "0", "2", "-1", "+1", "1x", "99999999999"] {
        let house = House::new();
        // So that one that does start ends.
        house.control("pausetime", "0");
        let listener = UnixListener::bind(house.path("elsewhere")).unwrap();
        let variables = [("LISTEN_PID", "$$"), ("LISTEN_FDS", count)];
        let mut command = activated(&house, "nullmailer-send", Some(listener.into()), &variables);
        let said = format!("handed over: LISTEN_FDS is \"{count}\", and one is taken, no more");
        run(&mut command, "").exit(78).complains(&said);
        assert!(!place(&house).exists());
    }
}

#[test]
fn what_is_no_unix_stream_socket_that_listens_is_refused_by_what_it_is() {
    let unix = |kind| socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let house = House::new();
    house.control("pausetime", "0");
    let bound = unix(SockType::Stream);
    let address = UnixAddr::new(&house.path("bound")).unwrap();
    bind(bound.as_raw_fd(), &address).unwrap();
    let connected = UnixStream::pair().unwrap().0;
    let not_listening = "a Unix stream socket that does not listen";
    let handed: [(Option<OwnedFd>, &str); 10] = [
        (None, "closed"),
        (Some(File::open("/dev/null").unwrap().into()), "no socket"),
        (Some(tempfile::tempfile().unwrap().into()), "no socket"),
        (Some(TcpListener::bind("127.0.0.1:0").unwrap().into()), "a TCP socket"),
        (Some(UdpSocket::bind("127.0.0.1:0").unwrap().into()), "an Internet socket"),
        (
            Some(UnixDatagram::bind(house.path("dgram")).unwrap().into()),
            "a Unix socket, but no stream",
        ),
        (Some(unix(SockType::SeqPacket)), "a Unix socket, but no stream"),
        (Some(connected.into()), not_listening),
        (Some(bound), not_listening),
        (Some(unix(SockType::Stream)), not_listening),
    ];
    for (handed, what) in handed {
        let mut command = activated(&house, "nullmailer-send", handed, ONE);
        let line = format!("the socket that was handed over: descriptor 3 is {what}\n");
        run(&mut command, "").exit(78).complains(&line);
        assert!(!place(&house).exists());
    }
}

#[test]
fn a_socket_that_nobody_finds_is_named() {
    let house = House::new();
    let looked_for = format!("programs look for {}", place(&house).display());
    let elsewhere = house.path("elsewhere");
    let listener = UnixListener::bind(&elsewhere).unwrap();
    let daemon = start(&house, &listener);
    daemon.wait_for_line(&format!("nobody finds the socket {}: {looked_for}", elsewhere.display()));
    // It works all the same.
    assert!(hear(say(&elsewhere)).contains("queued "));
    drop(daemon);

    let listener = UnixListener::bind(place(&house)).unwrap();
    fs::remove_file(place(&house)).unwrap();
    let daemon = start(&house, &listener);
    let gone = format!("nobody finds the socket: {} is gone", place(&house).display());
    daemon.wait_for_line(&gone);
    drop(daemon);

    let name = SocketAddr::from_abstract_name(elsewhere.as_os_str().as_encoded_bytes()).unwrap();
    let daemon = start(&house, &UnixListener::bind_addr(&name).unwrap());
    daemon.wait_for_line("listening at=\"no path\" socket=\"handed over\"");
    daemon.wait_for_line(&format!("nobody finds a socket without a path: {looked_for}"));
}

#[test]
fn a_path_that_leads_to_the_same_place_is_the_same() {
    let house = House::new();
    std::os::unix::fs::symlink(house.path("queue"), house.path("link")).unwrap();
    let listener = UnixListener::bind(house.path("link/submit")).unwrap();
    let log = start(&house, &listener).stop_with_log().join("\n");
    assert!(
        log.contains("link/submit socket=\"handed over\"") && !log.contains("caution"),
        "{log}"
    );
}

#[test]
fn no_program_of_the_daemon_is_given_the_socket_or_hears_of_it() {
    let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "235 2.7.0 ok");
    let house = House::new();
    let told = |name: &str| {
        let path = house.path("queue").join(name);
        format!("env >{0}.env; ls -l /proc/self/fd >{0}.fds", path.display())
    };
    let protocol = format!("{}; exit 1", told("protocol"));
    write_script(&house.path("protocols/dummy"), "755", &protocol);
    let options = format!("user=me passcmd=\"{}; echo secret\"", told("passcmd"));
    house.control("remotes", &format!("host.dom dummy\n{}", sink.remote(&options)));
    let listener = UnixListener::bind(place(&house)).unwrap();
    let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    let handed: OwnedFd = listener.into();
    let variables = [ONE, &[("LISTEN_PIDFDID", "1")]].concat();
    let daemon = Daemon::spawn(activated(&house, "nullmailer-send", Some(handed), &variables));
    assert!(hear(say(&place(&house))).contains("queued "));
    sink.wait_for(1);
    drop(daemon);
    for name in ["protocol", "passcmd"] {
        let read = |kind| fs::read_to_string(house.path(format!("queue/{name}.{kind}"))).unwrap();
        let (env, descriptors) = (read("env"), read("fds"));
        assert!(env.contains("\nPATH=") || env.starts_with("PATH="), "{name}: {env}");
        assert!(!env.contains("LISTEN_"), "{name}: {env}");
        assert!(descriptors.contains(" 0 -> "), "{name}: {descriptors}");
        assert!(!descriptors.contains(link.to_str().unwrap()), "{name}: {descriptors}");
    }
}

#[test]
fn the_sandbox_holds_as_it_does_without() {
    let house = House::new();
    house.control("remotes", "127.0.0.1");
    let limits = |daemon: Daemon| {
        let log = daemon.stop_with_log();
        log.into_iter().find(|line| line.starts_with("sandbox holds=")).expect("no line of it")
    };
    let plain = limits(Daemon::start(&house));
    fs::remove_file(place(&house)).unwrap();
    let listener = UnixListener::bind(place(&house)).unwrap();
    assert_eq!(limits(start(&house, &listener)), plain);
}

#[test]
fn process_one_takes_it_too() {
    let house = House::new();
    let Some(mut command) = crate::container::process_one(&house) else { return };
    let listener = UnixListener::bind(place(&house)).unwrap();
    house.control("remotes", "127.0.0.1 smtp port=1");
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    let handed = FdMapping { parent_fd: listener.into(), child_fd: 3 };
    command.fd_mappings(vec![handed]).unwrap();
    let daemon = Daemon::spawn(command);
    daemon.wait_for_line("socket=\"handed over\"");
    assert!(hear(say(&place(&house))).contains("queued "));
}

#[test]
fn programs_that_are_not_the_daemon_take_no_notice() {
    for (program, args, input) in [
        ("nullmailer-queue", &[][..], MAIL),
        ("sendmail", &["-t"], "To: d@e.f\n\nx\n"),
        ("nullmailer-inject", &[], "To: d@e.f\n\nx\n"),
    ] {
        for count in ["1", "x"] {
            let house = House::new();
            let listener = UnixListener::bind(house.path("elsewhere")).unwrap();
            let variables = [("LISTEN_PID", "$$"), ("LISTEN_FDS", count)];
            let mut command = activated(&house, program, Some(listener.into()), &variables);
            let ran = run(command.args(args), input).success();
            assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{program}");
            assert_eq!(house.only_queued().recipients, ["d@e.f"], "{program}");
        }
    }
}

#[test]
fn the_units_fit_each_other_and_packages_enable_the_daemon_alone() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd");
    let names = fs::read_dir(&folder).unwrap().map(|one| one.unwrap().file_name());
    let is_unit = |name: &String| name.ends_with(".service") || name.ends_with(".socket");
    let units: Vec<_> = names.map(|name| name.into_string().unwrap()).filter(is_unit).collect();
    // cargo-deb would have each of them started.
    assert_eq!(units, ["nullmailer.service"]);

    if !has("systemd-analyze") {
        return;
    }
    let house = House::new();
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    let service = read("nullmailer.service");
    let program = house.path("sbin/nullmailer-send").display().to_string();
    assert!(
        service.contains("\nRuntimeDirectoryPreserve=yes\n"),
        "the socket goes with the daemon"
    );
    fs::write(
        house.path("nullmailer.service"),
        service.replace("/usr/sbin/nullmailer-send", &program),
    )
    .unwrap();
    let socket = read("optional/nullmailer.socket");
    assert!(socket.contains("\nListenStream=/run/nullmailer/submit\nSocketMode=0666\n"));
    fs::write(house.path("nullmailer.socket"), socket).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    verify.args([house.path("nullmailer.service"), house.path("nullmailer.socket")]);
    let ran = run(&mut verify, "").success();
    assert_eq!(ran.stderr, "");
}

#[test]
fn systemd_itself_hands_it_over() {
    if !has("systemd-socket-activate") {
        return;
    }
    let house = House::new();
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(place(&house));
    command.arg("--setenv").arg(format!("NULLMAILER_TEST_PREFIX={}", house.path("").display()));
    command.arg(house.path("bin/nullmailer-send"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Guarded(command.spawn().unwrap());
    let stderr = child.0.stderr.take().unwrap();
    let mut said = BufReader::new(stderr).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("Listening on ")));
    // This is what starts it.
    let answer = hear(say(&place(&house)));
    assert!(answer.starts_with("ready\nqueued "), "{answer}");
    let pid = Pid::from_raw(child.0.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let mut log = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("submit socket=\"handed over\""), "{log}");
    assert!(child.0.wait().unwrap().success());
}

/// Is not left running by a test that fails.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
