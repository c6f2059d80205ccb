//! What the daemon says in its log, as far as anybody here listens: the one place that knows its words.

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News<'a> {
    /// A message has its turn with a remote.
    Offered {
        id: &'a str,
        host: &'a str,
    },
    /// What became of a recipient.
    Verdict {
        id: &'a str,
        to: &'a str,
        remote: &'a str,
        state: State,
        reply: &'a str,
    },
    /// The sender of a message will be told later that it failed.
    Owed {
        id: &'a str,
    },
    /// The sender was told that it waits.
    Warned {
        id: &'a str,
    },
    Aside {
        id: &'a str,
    },
    /// The control files were read, and say something new.
    Configured,
    /// Nothing is under way any more.
    Complete,
    RemoteFailed {
        remote: &'a str,
    },
    /// Something that should not be.
    Anomaly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Sent,
    Deferred,
    Failed,
}

impl<'a> News<'a> {
    /// `None` for what nobody listens to.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        if let Some(rest) = line.strip_prefix("Starting delivery: host: ") {
            let (rest, id) = rest.rsplit_once(" file: ")?;
            return Some(Self::Offered { id, host: rest.split(' ').next()? });
        }
        if let Some(rest) = line.strip_prefix("Moving message ") {
            return Some(Self::Aside { id: rest.split(' ').next()? });
        }
        if line.starts_with("Delivery complete") {
            return Some(Self::Complete);
        }
        let (event, _) = line.split_once(' ')?;
        let id = || field(line, "id");
        let verdict = |state| {
            let to = field(line, "to")?.trim_matches(['<', '>']);
            let remote = field(line, "remote")?.split(':').next()?;
            Some(Self::Verdict { id: id()?, to, remote, state, reply: field(line, "reply")? })
        };
        match event {
            "sent" => verdict(State::Sent),
            "deferred" => verdict(State::Deferred),
            "failed" => verdict(State::Failed),
            "bounce-waits" => Some(Self::Owed { id: id()? }),
            "trouble" if line.contains("cannot bounce") => Some(Self::Owed { id: id()? }),
            "delay-warning" => Some(Self::Warned { id: id()? }),
            "configured" => Some(Self::Configured),
            "remote-failed" => Some(Self::RemoteFailed { remote: field(line, "remote")? }),
            "anomaly" => Some(Self::Anomaly),
            _ => None,
        }
    }
}

/// The value of a field, without its quotes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let at = line.find(&format!(" {name}="))? + name.len() + 2;
    let value = &line[at..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split(' ').next(),
    }
}

#[test]
fn the_words_of_the_log_are_understood() {
    let line =
        r#"deferred id=1.2 to=<a@x> remote=h:25 addr=192.0.2.1:25 tls=none delay=0 reply="450 w7""#;
    let state = State::Deferred;
    let verdict = News::Verdict { id: "1.2", to: "a@x", remote: "h", state, reply: "450 w7" };
    assert_eq!(News::read(line), Some(verdict));
    let line = "Starting delivery: host: h protocol: smtp file: 1.2";
    assert_eq!(News::read(line), Some(News::Offered { id: "1.2", host: "h" }));
    assert_eq!(News::read("Starting delivery, 1 message(s) in queue."), None);
}
