//! A running nullmailer-send, and what it has logged.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::house::House;

/// Stopped with SIGKILL when it is dropped.
pub struct Daemon {
    child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

/// How long a test waits for what must come; a test that passes never waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Daemon {
    /// Starts it and waits until it has looked at the queue.
    pub fn start(house: &House) -> Self {
        Self::spawn(house.command("nullmailer-send"))
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (lines, sink) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                sink.0.lock().unwrap().push(line);
                sink.1.notify_all();
            }
        });
        let daemon = Self { child, log };
        daemon.wait_for_line("Rescanning queue.");
        daemon
    }

    /// Waits until some line has `part` in it.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str) {
        self.wait_for_lines(part, 1);
    }

    #[track_caller]
    pub fn wait_for_lines(&self, part: &str, count: usize) {
        let enough = |lines: &mut Vec<String>| {
            lines.iter().filter(|line| line.contains(part)).count() >= count
        };
        let (log, late) = self
            .log
            .1
            .wait_timeout_while(self.log.0.lock().unwrap(), PATIENCE, |lines| !enough(lines))
            .unwrap();
        assert!(!late.timed_out(), "{part:?} never came {count} time(s): {log:#?}");
    }

    /// Waits until some line has `first` in it and a later one has `then`.
    #[track_caller]
    pub fn wait_for_line_behind(&self, first: &str, then: &str) {
        let found = |lines: &mut Vec<String>| {
            let behind = lines.iter().skip_while(|line| !line.contains(first)).skip(1);
            behind.into_iter().any(|line| line.contains(then))
        };
        let (log, late) = self
            .log
            .1
            .wait_timeout_while(self.log.0.lock().unwrap(), PATIENCE, |lines| !found(lines))
            .unwrap();
        assert!(!late.timed_out(), "{then:?} never came behind {first:?}: {log:#?}");
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Stops it where it is, as SIGSTOP does, and returns when it stands still. SIGCONT lets it go on.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        while !std::fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .unwrap()
            .contains(") T ")
        {
            std::thread::yield_now();
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, and says with what.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it as an administrator does, and says what it ended with.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap()
    }

    /// The same, and returns all that it has logged.
    pub fn stop_with_log(self) -> Vec<String> {
        self.signal(Signal::SIGTERM);
        self.end_with_log()
    }

    /// Waits for an end that somebody has asked for, and returns all that it has logged.
    pub fn end_with_log(mut self) -> Vec<String> {
        assert!(self.child.wait().unwrap().success());
        self.wait_for_line("stopped queued=");
        self.log()
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.0.lock().unwrap().clone()
    }

    /// Ends it by a signal that it does not catch, and returns all that it has logged and said on stderr.
    pub fn die_of(mut self, signal: Signal) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        self.signal(signal);
        assert_eq!(self.child.wait().unwrap().signal(), Some(signal as i32));
        let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        said + &self.log().join("\n")
    }

    /// Ends it as a crash does.
    pub fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The most memory it ever held, in KiB.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.child.id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// VmHWM of a running process, in KiB.
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}
