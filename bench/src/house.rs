//! An installation in a folder of its own, for either implementation.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Whose programs run.
#[derive(Clone)]
pub struct Peer {
    pub name: &'static str,
    pub inject: PathBuf,
    pub send: PathBuf,
    pub mailq: PathBuf,
    /// Folders to be linked into the installation: the original looks for its programs there.
    pub protocols: Option<PathBuf>,
    pub sbin: Option<PathBuf>,
}

impl Peer {
    pub fn ours(binary: &Path) -> Self {
        let binary = || binary.to_owned();
        Self {
            name: "ours",
            inject: binary(),
            send: binary(),
            mailq: binary(),
            protocols: None,
            sbin: None,
        }
    }

    /// The original, unpacked into `root`.
    pub fn original(root: &Path) -> Self {
        Self {
            name: "nullmailer 2.2",
            inject: root.join("usr/bin/nullmailer-inject"),
            send: root.join("usr/sbin/nullmailer-send"),
            mailq: root.join("usr/bin/mailq"),
            protocols: Some(root.join("usr/lib/nullmailer")),
            sbin: Some(root.join("usr/sbin")),
        }
    }
}

pub struct House<'a> {
    pub root: PathBuf,
    pub peer: &'a Peer,
}

impl<'a> House<'a> {
    pub fn new(root: &Path, peer: &'a Peer, remote: &str) -> Self {
        let _ = fs::remove_dir_all(root);
        for folder in ["conf", "queue/queue", "queue/tmp", "queue/failed", "queue/status"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (name, from) in [("protocols", &peer.protocols), ("sbin", &peer.sbin)] {
            match from {
                Some(from) => std::os::unix::fs::symlink(from, root.join(name)).unwrap(),
                None => fs::create_dir(root.join(name)).unwrap(),
            }
        }
        assert!(Command::new("mkfifo").arg(root.join("queue/trigger")).status().unwrap().success());
        let house = Self { root: root.to_owned(), peer };
        house.control("me", "bench.example");
        house.control("remotes", remote);
        house
    }

    pub fn control(&self, name: &str, text: &str) {
        fs::write(self.root.join("conf").join(name), format!("{text}\n")).unwrap();
    }

    fn command(&self, program: &Path, name: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("NULLMAILER_TEST_PREFIX", &self.root)
            .env("PATH", "/usr/bin:/bin")
            .env("USER", "bench");
        command.arg0(name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn inject(&self) -> Command {
        let mut command = self.command(&self.peer.inject, "nullmailer-inject");
        command.args(["-f", "bench@bench.example", "to@x.example"]).stdin(Stdio::piped());
        command
    }

    pub fn send(&self) -> Daemon {
        let mut command = self.command(&self.peer.send, "nullmailer-send");
        let log = fs::File::create(self.root.join("log")).unwrap();
        Daemon(command.stderr(log.try_clone().unwrap()).stdout(log).spawn().unwrap())
    }

    pub fn mailq(&self) -> Command {
        self.command(&self.peer.mailq, "mailq")
    }

    /// Puts `count` messages of `size` bytes into the queue, as nullmailer-queue names and writes them.
    pub fn fill(&self, count: usize, size: usize) {
        let text = message(size);
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        for number in 0..count {
            let path = self.root.join(format!("queue/queue/{now}.{}", 100_000 + number));
            let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
            file.write_all(b"bench@bench.example\nto@x.example\n\n").unwrap();
            file.write_all(&text).unwrap();
        }
    }
}

impl House<'_> {
    /// Each message was tried once, a while ago.
    pub fn journals(&self) {
        for entry in fs::read_dir(self.root.join("queue/queue")).unwrap().flatten() {
            let lines = "1000\tattempt\n1000\tdeferred\tto@x.example\t127.0.0.1\t450 4.2.0 later\n";
            fs::write(self.root.join("queue/status").join(entry.file_name()), lines).unwrap();
        }
    }
}

/// A message of about `size` bytes, in lines of 70.
pub fn message(size: usize) -> Vec<u8> {
    let mut text =
        b"Subject: bench\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nFrom: bench@bench.example\n\n"
            .to_vec();
    let line = [&[b'x'; 69][..], b"\n"].concat();
    while text.len() < size {
        text.extend_from_slice(&line);
    }
    text
}

/// A running nullmailer-send; killed when dropped.
pub struct Daemon(Child);

impl Daemon {
    /// A line of /proc/PID/status or smaps_rollup, in kB.
    pub fn memory(&self, file: &str, line: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap();
        let line = text.lines().find(|found| found.starts_with(line)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// User and system time so far, in ms.
    pub fn cpu(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.0.id())).unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
