//! One event: what it is called, how grave it is, and what belongs to it.

use std::fmt::{self, Display, Write as _};

use crate::mail::{Printable, is_hidden};

/// The severities of syslog(3) that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// Built by the functions of [`super::Log`], written by a [`super::Sink`].
#[derive(Debug)]
pub(super) struct Event {
    pub(super) severity: Severity,
    /// A fixed verb.
    pub(super) name: &'static str,
    /// Names that never change, and values from anywhere.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The lines that the original prints, where it has some for this: they stand for the event
    /// in a classic log.
    pub(super) classic: Vec<String>,
}

impl Event {
    pub(super) fn new(severity: Severity, name: &'static str) -> Self {
        Self { severity, name, fields: Vec::new(), classic: Vec::new() }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.fields.push((key, value.to_string()));
        self
    }

    pub(super) fn with_some(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// A line in the words of the original. Text from outside is escaped here.
    pub(super) fn line(mut self, line: impl Display) -> Self {
        self.classic.push(Printable(&line.to_string()).to_string());
        self
    }

    /// All that it says, but for what is fixed.
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        self.fields.iter_mut().map(|(_, value)| value).chain(&mut self.classic)
    }

    /// The event as one JSON object, with `time` in front.
    pub(super) fn json(&self, time: &str) -> String {
        let mut text = String::from("{\"time\":");
        push_string(&mut text, time);
        text.push_str(",\"event\":");
        push_string(&mut text, self.name);
        for (key, value) in &self.fields {
            let _ = write!(text, ",\"{key}\":");
            push_string(&mut text, value);
        }
        if self.fields.is_empty() {
            text.push_str(",\"text\":");
            push_string(&mut text, &self.classic.join("\n"));
        }
        text.push('}');
        text
    }
}

/// RFC 8259 §7. What a reader would not see is escaped too: ids and names of files come here as they are.
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if is_hidden(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

/// `NAME key=value key="a value"`: a line of ours.
impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (key, value) in &self.fields {
            let bare = !value.is_empty()
                && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
            if bare {
                write!(f, " {key}={}", Printable(value))?;
            } else {
                write!(f, " {key}={:?}", Printable(value))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::new(Severity::Info, "sent").with("id", "1.2").with("reply", "250 \"ok\"\n{\u{1b}\\")
    }

    #[test]
    fn a_value_cannot_end_its_line_or_its_quotes() {
        assert_eq!(event().to_string(), r#"sent id=1.2 reply="250 \"ok\"\n{\u{1b}\\""#);
    }

    #[test]
    fn a_name_that_would_not_be_seen_is_escaped_in_either_format() {
        let event = Event::new(Severity::Info, "sent").with("id", "1\u{202e}2\u{e0041}\u{180e}");
        assert_eq!(event.to_string(), r"sent id=1\u{202e}2\u{e0041}\u{180e}");
        assert_eq!(
            event.json("now"),
            r#"{"time":"now","event":"sent","id":"1\u202e2\udb40\udc41\u180e"}"#
        );
    }

    #[test]
    fn an_event_is_one_json_object() {
        assert_eq!(
            event().json("2026-11-22T21:15:42Z"),
            r#"{"time":"2026-11-22T21:15:42Z","event":"sent","id":"1.2","reply":"250 \"ok\"\n{\u001b\\"}"#
        );
    }
}
