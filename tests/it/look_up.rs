//! A name server that does not answer: the daemon waits for it a limited time and with one thread.

use std::net::UdpSocket;
use std::process::Command;

use crate::daemon::Daemon;
use crate::house::{House, has, is_root};

/// Where nobody else has a name server; traffic to it stays on loopback.
const SERVER: &str = "127.53.53.1";

/// The daemon in a mount namespace where that is the name server.
fn daemon(house: &House) -> Option<Daemon> {
    if !is_root() || !has("unshare") {
        return None;
    }
    let resolv = house.path("resolv.conf");
    std::fs::write(&resolv, format!("nameserver {SERVER}\noptions timeout:30 attempts:5\n"))
        .unwrap();
    let send = house.command("nullmailer-send");
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" /etc/resolv.conf && exec \"$2\"";
    command.args(["--mount", "sh", "-ec", script, "sh"]).arg(resolv).arg(send.get_program());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(send.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Some(Daemon::spawn(command))
}

#[test]
fn a_name_server_that_does_not_answer_is_left_in_time_and_asked_once() {
    if !is_root() {
        return;
    }
    let server = UdpSocket::bind((SERVER, 53)).unwrap();
    server.set_nonblocking(true).unwrap();
    let house = House::new();
    house.control("remotes", "smarthost.example smtp timeout=1\n");
    house.control("pausetime", "1").control("maxpause", "1");
    house.run("nullmailer-queue", [""; 0], "s@x\na@x\n\nSubject: x\n\nhi\n").success();
    let Some(daemon) = daemon(&house) else { return };
    daemon.wait_for_lines("remote-failed remote=smarthost.example", 3);
    assert!(
        daemon
            .log()
            .iter()
            .any(|line| line.contains(r#"name look-up: \"smarthost.example\": timed out"#))
    );
    // The addresses of both families, asked for by one look-up.
    let mut asked = 0;
    while server.recv(&mut [0; 1024]).is_ok() {
        asked += 1;
    }
    assert!((1..=2).contains(&asked), "{asked}");
    daemon.stop();
}
