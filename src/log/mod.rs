//! Delivery events for the log: one function each, with fixed names.
//!
//! The original's lines are kept word for word, for the eyes and tools that know them; beside them
//! stands one line of ours for each recipient: `sent id=… to=… remote=… reply=…`. Text from outside is
//! escaped, so that nobody adds a line, and shows no more of addresses than it may.

mod event;
mod manager;
mod sink;
mod veil;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use self::event::{Event, Severity};
pub(crate) use self::manager::Manager;
pub(crate) use self::sink::{Format, Sink};
pub(crate) use self::veil::Addresses;
use crate::mail::{Address, Envelope, Moment, Outcome, Reason, Remote};
use crate::spool::QueueId;

/// The time, from the role that owns the clock.
pub(crate) type Clock = fn() -> Moment;

/// The log of one daemon.
pub(crate) struct Log {
    pub(crate) sink: Sink,
    pub(crate) format: Format,
    pub(crate) addresses: Addresses,
    /// Makes hashes of addresses useless elsewhere.
    pub(crate) salt: std::hash::RandomState,
    pub(crate) clock: Clock,
    pub(crate) manager: Manager,
    /// Events that nobody took, and that were not told of yet.
    pub(crate) missed: Cell<u64>,
}

/// How a recipient was reached.
pub(crate) struct Via<'a> {
    pub(crate) remote: &'a Remote,
    /// The address and port that were connected to.
    pub(crate) address: Option<std::net::SocketAddr>,
    /// TLS version and cipher suite.
    pub(crate) tls: Option<&'a str>,
}

/// What became of the duty to tell the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounce {
    Queued,
    /// The mail was a bounce itself, and nobody wants to hear of those.
    Double,
    /// NOTIFY has no FAILURE.
    Unwanted,
    /// `bouncelimit` is 0.
    Off,
}

impl Log {
    /// Writes an event behind the number of those that nobody took.
    fn write(&self, event: Event) {
        let missed = self.missed.get();
        let heard = (missed == 0 || self.lost(missed)) && self.pass(event);
        self.missed.set(match (heard, self.missed.get()) {
            (true, _) => 0,
            (false, missed) => missed + 1,
        });
    }

    /// Whoever reads the log took so many events less than there were.
    pub(crate) fn lost(&self, count: u64) -> bool {
        let told = self.pass(Event::new(Severity::Warning, "log-lost").with("count", count));
        if told {
            self.missed.set(0);
        }
        told
    }

    /// The only way to the sink, so that nothing gets past `addresses`.
    fn pass(&self, mut event: Event) -> bool {
        for text in event.texts() {
            if let Cow::Owned(veiled) = self.addresses.veil(text, &self.salt) {
                *text = veiled;
            }
        }
        self.sink.write(self.format, &event, (self.clock)().seconds)
    }

    fn note(&self, name: &'static str, line: impl Display) {
        self.write(Event::new(Severity::Notice, name).line(line));
    }

    pub(crate) fn started(&self, version: &str, spool: &Path) {
        let event = Event::new(Severity::Notice, "started").with("version", version);
        self.write(event.with("spool", spool.display()));
    }

    /// Where mail comes in, and whether somebody else opened that socket.
    pub(crate) fn listening(&self, at: &dyn Display, handed_over: bool) {
        let socket = if handed_over { "handed over" } else { "own" };
        let event = Event::new(Severity::Notice, "listening").with("at", at);
        self.write(event.with("socket", socket));
    }

    /// The service manager may go on with what needs us.
    pub(crate) fn ready(&self, messages: usize) {
        self.manager.tell(&format!("READY=1\nSTATUS={messages} message(s) in the queue"));
    }

    pub(crate) fn reloading(&self) {
        self.manager.tell("RELOADING=1");
    }

    pub(crate) fn stopping(&self) {
        self.manager.tell("STOPPING=1");
    }

    /// What works, and is perhaps not what was meant.
    pub(crate) fn caution(&self, about: &dyn Display) {
        self.write(Event::new(Severity::Warning, "caution").with("about", about));
    }

    /// What the daemon can no longer do, and why it is not more.
    pub(crate) fn sandbox(&self, holds: &str, lacks: &str) {
        let event = Event::new(Severity::Notice, "sandbox").with("holds", holds);
        self.write(event.with_some("lacks", Some(lacks).filter(|lacks| !lacks.is_empty())));
    }

    pub(crate) fn stopped(&self, messages: usize) {
        self.write(Event::new(Severity::Notice, "stopped").with("queued", messages));
    }

    pub(crate) fn rescanning(&self) {
        self.write(Event::new(Severity::Info, "rescan").line("Rescanning queue."));
    }

    pub(crate) fn trigger_pulled(&self) {
        self.write(Event::new(Severity::Info, "trigger").line("Trigger pulled."));
    }

    pub(crate) fn starting(&self, messages: usize) {
        let line = format_args!("Starting delivery, {messages} message(s) in queue.");
        self.write(Event::new(Severity::Info, "run").line(line));
    }

    pub(crate) fn complete(&self, messages: usize) {
        self.manager.tell(&format!("STATUS={messages} message(s) in the queue"));
        let line = format_args!("Delivery complete, {messages} message(s) remain.");
        self.write(Event::new(Severity::Info, "complete").line(line));
    }

    pub(crate) fn no_remotes(&self) {
        let event = Event::new(Severity::Error, "no-remotes");
        self.write(event.line("No remote hosts listed for delivery"));
    }

    /// The configuration, or a line of it, cannot be used.
    pub(crate) fn config_error(&self, error: &dyn Display) {
        let line = format_args!("Could not load the config: {error}");
        self.write(Event::new(Severity::Error, "config-error").with("error", error).line(line));
    }

    pub(crate) fn configured(&self, remotes: &[Remote]) {
        let hosts: Vec<_> = remotes.iter().map(|remote| remote.host.as_str()).collect();
        self.write(Event::new(Severity::Notice, "configured").with("remotes", hosts.join(",")));
    }

    /// An attempt begins: the original's lines, the message's own Message-Id fields among them.
    pub(crate) fn attempt(
        &self,
        id: &QueueId,
        remote: &Remote,
        envelope: &Envelope,
        message_ids: &[String],
    ) {
        let (host, protocol) = (&remote.host, remote.protocol.name());
        let event = Event::new(Severity::Info, "attempt")
            .line(format_args!("Starting delivery: host: {host} protocol: {protocol} file: {id}"));
        let to: Vec<_> = envelope.recipients.iter().map(|one| format!("<{one}>")).collect();
        let event = event.line(format_args!("From: <{}> to: {}", envelope.sender, to.join(", ")));
        let event = message_ids.iter().fold(event, Event::line);
        self.write(event.with("id", id).with("remote", host).with("protocol", protocol));
    }

    /// What became of one recipient; `delay` is the age of its message in seconds.
    pub(crate) fn recipient(
        &self,
        id: &QueueId,
        recipient: &Address,
        via: &Via<'_>,
        delay: u64,
        outcome: &Outcome,
    ) {
        let (severity, name, reply) = match outcome {
            Outcome::Sent(reply) => (Severity::Info, "sent", reply.to_string()),
            Outcome::Deferred(reason) => (Severity::Warning, "deferred", reason.to_string()),
            Outcome::Failed(reason) => (Severity::Error, "failed", reason.to_string()),
        };
        let remote = match via.remote.effective_port() {
            Some(port) => format!("{}:{port}", via.remote.host),
            None => via.remote.host.clone(),
        };
        self.write(
            Event::new(severity, name)
                .with("id", id)
                .with("to", format_args!("<{recipient}>"))
                .with("remote", remote)
                .with_some("addr", via.address)
                .with("tls", via.tls.unwrap_or("none"))
                .with("delay", delay)
                .with("reply", reply),
        );
    }

    /// One recipient will not get it, and no remote has said so; `delay` as in [`Log::recipient`].
    pub(crate) fn refused_here(&self, id: &QueueId, to: &Address, delay: u64, why: &Reason) {
        let event = Event::new(Severity::Error, "failed").with("id", id);
        let event = event.with("to", format_args!("<{to}>"));
        self.write(event.with("delay", delay).with("reply", why));
    }

    pub(crate) fn sent_file(&self) {
        self.write(Event::new(Severity::Info, "sent-file").line("Sent file."));
    }

    pub(crate) fn sending_failed(&self, why: &dyn Display) {
        let line = format_args!("Sending failed: {why}");
        self.write(Event::new(Severity::Warning, "sending-failed").line(line));
    }

    pub(crate) fn moving_to_failed(&self, id: &QueueId) {
        self.note("set-aside", format_args!("Moving message {id} into failed"));
    }

    /// What was moved to `failed/` lies there; a line only where that is under another name.
    pub(crate) fn lies_in_failed(&self, id: &QueueId, name: &QueueId) {
        if id != name {
            let path = format_args!("failed/{name}");
            self.write(Event::new(Severity::Notice, "kept").with("id", id).with("file", path));
        }
    }

    /// A file that had the name of another message has one of its own now.
    pub(crate) fn renamed(&self, id: &QueueId, name: &QueueId) {
        let why = "the journal of that name is another message's";
        let event = Event::new(Severity::Warning, "renamed").with("id", id).with("new", name);
        self.write(event.with("why", why));
    }

    /// The sender is told of what failed, or is not.
    pub(crate) fn bounce(&self, id: &QueueId, bounce: Bounce) {
        match bounce {
            Bounce::Queued => self.bouncing(id),
            Bounce::Double => self.no_double_bounce(id),
            Bounce::Unwanted => self.not_bounced(id, "its sender does not want to know"),
            Bounce::Off => {
                self.not_bounced(id, "bouncelimit is 0; the message is kept in failed/");
            }
        }
    }

    /// The sender will be told later: until then the message stays in the queue.
    pub(crate) fn bounce_waits(&self, id: &QueueId) {
        let event = Event::new(Severity::Notice, "bounce-waits").with("id", id);
        self.write(event.with("why", "bouncelimit is reached"));
    }

    /// Everybody has had an answer, and yet the message was in the queue.
    pub(crate) fn nobody_left(&self, id: &QueueId) {
        let why = "nobody waits for it and nobody failed; it is kept in failed/";
        self.write(Event::new(Severity::Error, "anomaly").with("id", id).with("why", why));
    }

    pub(crate) fn bouncing(&self, id: &QueueId) {
        self.note("bounce", format_args!("Generating bounce for {id}"));
    }

    pub(crate) fn no_double_bounce(&self, id: &QueueId) {
        self.note("no-bounce", format_args!("Not generating double bounce for {id}"));
    }

    pub(crate) fn not_bounced(&self, id: &QueueId, why: &str) {
        self.write(Event::new(Severity::Notice, "no-bounce").with("id", id).with("why", why));
    }

    /// The sender is told that its mail still waits.
    pub(crate) fn warning(&self, id: &QueueId) {
        self.write(Event::new(Severity::Notice, "delay-warning").with("id", id));
    }

    /// Files that lay in `failed/` too long are gone.
    pub(crate) fn expired(&self, files: usize) {
        self.write(Event::new(Severity::Notice, "failed-expired").with("files", files));
    }

    /// A message that is none: it was set aside.
    pub(crate) fn unusable(&self, id: &QueueId, why: &dyn Display) {
        self.write(Event::new(Severity::Error, "unusable").with("id", id).with("why", why));
    }

    /// A remote could not be used.
    pub(crate) fn remote_failed(&self, remote: &Remote, why: &dyn Display) {
        let event = Event::new(Severity::Error, "remote-failed").with("remote", &remote.host);
        self.write(event.with_some("port", remote.effective_port()).with("error", why));
    }

    /// A remote did not want one session more than those it has.
    pub(crate) fn remote_crowded(&self, remote: &Remote, sessions: usize, why: &dyn Display) {
        let event = Event::new(Severity::Notice, "remote-crowded").with("remote", &remote.host);
        self.write(event.with("sessions", sessions).with("error", why));
    }

    pub(crate) fn remote_recovered(&self, remote: &Remote) {
        self.write(Event::new(Severity::Notice, "remote-works").with("remote", &remote.host));
    }

    /// How many messages there are: due, waiting for their own clock, and being delivered.
    pub(crate) fn status(&self, due: usize, later: usize, running: usize) {
        let event = Event::new(Severity::Notice, "status").with("due", due).with("later", later);
        self.write(event.with("running", running));
    }

    /// How a remote stands; for one that is unwell, why and how long it rests.
    pub(crate) fn remote_status(&self, host: &str, trouble: Option<(&dyn Display, Duration)>) {
        let event = Event::new(Severity::Notice, "remote-status").with("remote", host);
        let event = event.with_some("rests", trouble.as_ref().map(|(_, rest)| rest.as_secs()));
        self.write(event.with_some("error", trouble.map(|(why, _)| why)));
    }

    /// Something that start-up put right.
    pub(crate) fn repaired(&self, what: &str) {
        self.write(Event::new(Severity::Notice, "repaired").with("what", what));
    }

    /// A message came over the socket.
    pub(crate) fn submitted(&self, id: &QueueId, uid: u32, pid: u32) {
        let event = Event::new(Severity::Info, "submitted").with("id", id);
        self.write(event.with("uid", uid).with("pid", pid));
    }

    /// A message that came over the socket was not taken.
    pub(crate) fn not_submitted(&self, uid: u32, pid: u32, error: &dyn Display) {
        let event = Event::new(Severity::Warning, "not-submitted").with("uid", uid);
        self.write(event.with("pid", pid).with("error", error));
    }

    /// Clients are turned away from the socket.
    pub(crate) fn crowded(&self, uid: u32) {
        self.write(Event::new(Severity::Warning, "crowded").with("uid", uid));
    }

    /// More were refused or turned away than are told one by one.
    pub(crate) fn not_told(&self, count: u64, uid: u32) {
        let event = Event::new(Severity::Warning, "not-told").with("count", count);
        self.write(event.with("uid", uid));
    }

    /// Our own trouble with files, about one message or in general.
    pub(crate) fn trouble(&self, id: Option<&QueueId>, error: &dyn Display) {
        self.write(Event::new(Severity::Error, "trouble").with_some("id", id).with("error", error));
    }
}

#[cfg(test)]
mod tests;
