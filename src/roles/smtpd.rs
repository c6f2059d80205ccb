//! nullmailer-smtpd(8), and `sendmail -bs`: takes mail in over SMTP on stdin and stdout.
//!
//! Under inetd or socket activation stdin and stdout are one connection. Like the original it takes
//! no options, ignores what it is given, and ends with 0 however the session went.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::{complain, process};
use crate::config::{Hostnames, Limits};
use crate::exit::{Exit, Failure};
use crate::mail::smtp_server::{Answer, Conversation, DataReader, Line, Step, TooLarge, too_large};
use crate::mail::{DeliveryRequest, Recipients, ReversePath};
use crate::role::Call;
use crate::submit::{self, Submission, Submitter};
use crate::{spool, sys};

/// How long a client on a socket may be silent (RFC 5321 §4.5.3.2.7).
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let cannot = |error| Failure::new(Exit::OsErr, format!("cannot use stdin: {error}"));
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?);
    // A pipe has no time limit: whoever holds its other end is on this machine, and its end is ours.
    let _ = sys::limit_waiting(&stdin, PATIENCE);
    let mut channel = Channel {
        terminal: stdin.is_terminal(),
        quiet: same_file(&stdin),
        input: BufReader::new(stdin),
        output: BufWriter::new(io::stdout()),
    };
    let submitter = process::submitter(call.privilege);
    match settings(&submitter) {
        Ok((names, limits)) => {
            let canonical = |host: &str| names.canonical(host);
            let talk = Conversation::new(&names.me, limits.message, &canonical);
            let session = Session { call: &call, submitter, limit: limits.message };
            // The session ends where the connection does, and there is nobody left to tell.
            let _ = session.hold(&mut channel, talk);
            Ok(Exit::Ok)
        }
        Err(failure) => {
            let _ = channel.say("421 4.3.5 the configuration cannot be used");
            let _ = channel.output.flush();
            if channel.quiet { Ok(failure.exit) } else { Err(failure) }
        }
    }
}

fn settings(submitter: &Submitter) -> Result<(Hostnames, Limits), Failure> {
    let control = submitter.directories.control();
    let names = Hostnames::read(&control, submitter.kernel_name.as_deref())?;
    Ok((names, Limits::read(&control)?))
}

/// The client.
struct Channel {
    input: BufReader<File>,
    output: BufWriter<io::Stdout>,
    terminal: bool,
    /// Stderr is the client too, as under inetd.
    quiet: bool,
}

impl Channel {
    fn say(&mut self, answer: &str) -> io::Result<()> {
        write!(self.output, "{answer}\r\n")
    }

    /// Reads a line. Answers go out together where commands came together (RFC 2920).
    fn line<'a>(&mut self, buffer: &'a mut Vec<u8>) -> io::Result<Option<Line<'a>>> {
        if self.input.buffer().is_empty() {
            self.output.flush()?;
        }
        Line::read(&mut self.input, buffer, self.terminal)
    }
}

struct Session<'a> {
    call: &'a Call,
    submitter: Submitter,
    limit: u64,
}

impl Session<'_> {
    fn hold(mut self, channel: &mut Channel, mut talk: Conversation<'_>) -> io::Result<()> {
        channel.say(&talk.greeting())?;
        let mut buffer = Vec::new();
        loop {
            let line = match channel.line(&mut buffer) {
                Err(error) if is_timeout(&error) => {
                    channel.say("421 4.4.2 too long without a command")?;
                    return channel.output.flush();
                }
                other => other?,
            };
            let Some(line) = line else { return channel.output.flush() };
            match talk.take(line) {
                Step::Say(answer) => channel.say(&answer)?,
                Step::Close(answer) => {
                    channel.say(&answer)?;
                    return channel.output.flush();
                }
                Step::Data(answer, sender, recipients) => {
                    channel.say(&answer)?;
                    channel.output.flush()?;
                    let answer = self.receive(channel, sender, recipients)?;
                    channel.say(&answer)?;
                }
            }
        }
    }

    /// Queues the data. An error means that the client is gone, and nothing was queued.
    fn receive(
        &mut self,
        channel: &mut Channel,
        sender: ReversePath,
        recipients: Recipients,
    ) -> io::Result<Answer> {
        self.submitter.stamp = process::stamp();
        let mut data = DataReader::new(&mut channel.input, self.limit);
        let request = DeliveryRequest::default();
        let submission = Submission { sender, recipients, request, head: b"", body: &mut data };
        match self.submitter.submit(submission) {
            Ok(_) => Ok("250 2.6.0 message queued".into()),
            Err(submit::Error::Input(error)) if !TooLarge::is(&error) => Err(error),
            Err(error) => {
                data.drain()?;
                if !channel.quiet {
                    complain(&self.call.name, &error);
                }
                Ok(self.refusal(&error))
            }
        }
    }

    /// What the client hears where the message could not be queued; the details are not for it.
    fn refusal(&self, error: &submit::Error) -> Answer {
        match error {
            submit::Error::Input(_) | submit::Error::TooLarge { .. } => too_large(self.limit),
            submit::Error::Full { .. } => "452 4.3.1 the disk is full".into(),
            submit::Error::Sender(_) | submit::Error::Recipient(_) => {
                "554 5.1.0 an address cannot be used".into()
            }
            submit::Error::Spool(spool::Error::Io { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                "452 4.3.1 the disk is full".into()
            }
            submit::Error::NotAllowed { .. } | submit::Error::Answered { code: 77, .. } => {
                "550 5.7.1 this user may not submit mail".into()
            }
            submit::Error::Answered { code: 65, .. } => {
                "554 5.6.0 the message cannot be used".into()
            }
            submit::Error::Config(_) => "451 4.3.5 the configuration cannot be used".into(),
            _ => "451 4.3.0 the message cannot be queued".into(),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether stderr is what stdin is: a line of ours would then be taken for an answer.
fn same_file(stdin: &File) -> bool {
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned().map(File::from) else {
        return true;
    };
    match (stdin.metadata(), stderr.metadata()) {
        (Ok(stdin), Ok(stderr)) => {
            (stdin.dev(), stdin.ino()) == (stderr.dev(), stderr.ino())
                && !io::stderr().is_terminal()
        }
        _ => true,
    }
}
