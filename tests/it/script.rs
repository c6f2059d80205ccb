//! A Python program that a test goes on with step by step: it says numbers, and waits for lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Script {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Script {
    pub fn start(text: &str, arguments: &[String]) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", text]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// The next number that it says.
    pub fn says(&mut self) -> usize {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    /// Lets it go on where it waits.
    pub fn goes_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
