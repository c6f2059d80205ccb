//! Where events go: stdout, the system log, or the journal.

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixDatagram;

use jiff::Timestamp;

use super::event::Event;

/// The control file `logformat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// The original's lines, and ours for what it does not say.
    #[default]
    Classic,
    /// One JSON object an event.
    Json,
}

/// The control file `logto`.
pub(crate) enum Sink {
    Stream(RefCell<Box<dyn Write>>),
    /// syslog(3)'s socket, facility mail.
    Syslog {
        socket: UnixDatagram,
        path: &'static str,
        pid: u32,
    },
    /// The native protocol of systemd-journald.
    Journal(UnixDatagram),
}

/// Facility mail, as it is in a priority.
const MAIL: u8 = 2 << 3;

impl Sink {
    /// Writes an event at `seconds` since 1970, and never waits for whoever reads it. Losing the log is no reason to
    /// lose mail, so all that an error does is to make this false.
    pub(super) fn write(&self, format: Format, event: &Event, seconds: u64) -> bool {
        let lines = match format {
            Format::Json => vec![event.json(&timestamp(seconds))],
            Format::Classic if event.classic.is_empty() => vec![event.to_string()],
            Format::Classic => event.classic.clone(),
        };
        match self {
            Self::Stream(out) => {
                let mut out = out.borrow_mut();
                let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
                out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
            }
            Self::Syslog { socket, path, pid } => {
                let priority = MAIL | event.severity as u8;
                lines.iter().all(|line| {
                    let line = format!("<{priority}>nullmailer-send[{pid}]: {line}");
                    let send = || socket.send(line.as_bytes()).is_ok();
                    // A log daemon that was started anew listens on a new socket of that name.
                    send() || (socket.connect(path).is_ok() && send())
                })
            }
            Self::Journal(socket) => {
                lines.iter().all(|line| socket.send(&journal_entry(event, line)).is_ok())
            }
        }
    }
}

fn timestamp(seconds: u64) -> String {
    let seconds = seconds.try_into().unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// `KEY=VALUE` lines; a value with a line end is announced by its length instead.
fn journal_entry(event: &Event, message: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    let mut field = |key: &str, value: &str| {
        entry.extend_from_slice(key.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    };
    field("MESSAGE", message);
    field("PRIORITY", &(event.severity as u8).to_string());
    field("SYSLOG_FACILITY", &(MAIL >> 3).to_string());
    field("SYSLOG_IDENTIFIER", "nullmailer-send");
    for (key, value) in &event.fields {
        field(&format!("NULLMAILER_{}", key.to_ascii_uppercase()), value);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::super::event::Severity;
    use super::*;

    #[test]
    fn a_line_end_in_a_value_cannot_make_a_journal_field() {
        let event = Event::new(Severity::Warning, "deferred").with("reply", "a\nPRIORITY=0");
        let entry = journal_entry(&event, "m");
        let length = b"NULLMAILER_REPLY\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n";
        assert!(entry.ends_with(length), "{}", String::from_utf8_lossy(&entry));
        assert!(entry.starts_with(b"MESSAGE=m\nPRIORITY=4\nSYSLOG_FACILITY=2\n"));
    }
}
