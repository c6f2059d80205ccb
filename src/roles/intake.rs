//! What inject and sendmail share: from what was asked for, and stdin, to a queued message.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;

use super::{complain, foreground, process};
use crate::config::{Control, Hostnames, Limits};
use crate::exit::{Exit, Failure};
use crate::mail::{
    Address, AddressError, AddressList, Author, Canonical, DeliveryRequest, Flags, Header, Orders,
    Prepared, Quoted, ReversePath, Typed, UnixLines, Unusable, prepare, rfc5322_date,
};
use crate::role::Call;
use crate::submit::Submission;

/// A message to take from stdin, as the command line has it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) recipients: RecipientsFrom,
    pub(super) arguments: Vec<OsString>,
    pub(super) sender: Sender,
    /// The full name for a generated From.
    pub(super) name: Option<String>,
    pub(super) delivery: DeliveryRequest,
    /// Whether a line with a dot ends a message that is typed on a terminal.
    pub(super) dot_ends: bool,
    pub(super) then: Then,
}

/// Where the recipients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecipientsFrom {
    Arguments,
    Both,
    /// In the arguments if there are any, else in the header.
    Either,
    Header,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sender {
    /// Return-Path, else the environment.
    #[default]
    Unsaid,
    /// The envelope's sender only: inject's `-f`.
    Envelope(OsString),
    /// The author too, as far as the header does not name one: sendmail's `-f`.
    Author(OsString),
}

/// What is done with the finished message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Queued or delivered; `None` leaves the time to `deliverymode`.
    Queue(Option<Timing>),
    /// Written to stdout, the envelope too if asked for.
    Print { envelope: bool },
}

/// When the caller wants it delivered: `-odX` of sendmail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Timing {
    /// `i`: now, while the caller waits.
    Foreground,
    /// `b`: soon.
    #[default]
    Background,
    /// `q` and `d`: with the next run of the queue.
    NextRun,
}

/// Takes the message in.
pub(super) fn take(call: &Call, request: Request) -> Result<Exit, Failure> {
    let submitter = process::submitter(call.privilege);
    let control = submitter.directories.control();
    let names = Hostnames::read(&control, submitter.kernel_name.as_deref())?;
    let limits = Limits::read(&control)?;
    let canonical: Canonical<'_> = &|host| names.canonical(host);

    let flags = Flags::parse(&process::variable("NULLMAILER_FLAGS").unwrap_or_default());
    let mut author = Author::find(process::variable, process::login, canonical);
    if let Some(name) = request.name {
        author.name = Some(name);
    }
    let sender = sender(request.sender, &mut author, canonical)?;
    let from_header = match request.recipients {
        RecipientsFrom::Arguments => false,
        RecipientsFrom::Both | RecipientsFrom::Header => true,
        RecipientsFrom::Either => request.arguments.is_empty(),
    };
    let arguments = match request.recipients {
        // nullmailer: arguments that do not count are not even looked at.
        RecipientsFrom::Header => Vec::new(),
        _ => recipients(call, &request.arguments, canonical)?,
    };

    let stdin = io::stdin().lock();
    let mut input: Box<dyn BufRead> = if stdin.is_terminal() {
        Box::new(Typed::new(stdin, request.dot_ends))
    } else {
        Box::new(stdin)
    };
    let header = Header::read(&mut input, limits.header)?;
    header.check_text(input.fill_buf().map_err(crate::submit::Error::Input)?)?;

    let moment = process::moment();
    let orders = Orders {
        arguments,
        from_header,
        sender,
        flags,
        author: &author,
        canonical,
        date: &|| rfc5322_date(moment.unix(), &process::time_zone()),
        message_id: &|| moment.message_id(&names.id_host),
    };
    let prepared = prepare(&header, orders).map_err(|unusable| report(call, unusable))?;
    let mut body = UnixLines::new(header.rest.as_slice().chain(input));
    match request.then {
        Then::Print { envelope } => print(&prepared, &mut body, envelope),
        Then::Queue(timing) => {
            let Prepared { sender, recipients, head } = prepared;
            let request = request.delivery;
            let submission =
                Submission { sender, recipients, request, head: &head, body: &mut body };
            match timing.map_or_else(|| delivery_mode(&control), Ok)? {
                Timing::Foreground => foreground::deliver(&submitter, submission),
                // A queued message is a success whoever delivers it, and when.
                Timing::Background | Timing::NextRun => {
                    submitter.submit(submission)?;
                    Ok(Exit::Ok)
                }
            }
        }
    }
}

/// The control file `deliverymode`.
fn delivery_mode(control: &Control) -> Result<Timing, Failure> {
    let words = [("background", Timing::Background), ("interactive", Timing::Foreground)];
    Ok(control.choice("deliverymode", &words)?)
}

/// Writes the message to stdout. A reader that has seen enough is no reason to fail.
fn print(prepared: &Prepared, body: &mut dyn Read, envelope: bool) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    if envelope {
        for line in [prepared.sender.as_str()]
            .into_iter()
            .chain(prepared.recipients.iter().map(Address::as_str))
            .chain([""])
        {
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
    }
    lines.extend_from_slice(&prepared.head);
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(&lines)
        .and_then(|()| io::copy(body, &mut stdout))
        .and_then(|_| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::IoErr, format!("cannot print the message: {error}")))
        }
        _ => Ok(Exit::Ok),
    }
}

/// One line for each field that cannot be used; the last one is the failure.
fn report(call: &Call, unusable: Unusable) -> Failure {
    let Unusable::Fields(mut flaws) = unusable else { return unusable.into() };
    let last = flaws.pop();
    for flaw in &flaws {
        complain(&call.name, flaw);
    }
    Unusable::Fields(last.into_iter().collect()).into()
}

/// The sender that the command line gives, if it gives one.
fn sender(
    sender: Sender,
    author: &mut Author,
    canonical: Canonical<'_>,
) -> Result<Option<ReversePath>, Failure> {
    let (text, names_author) = match sender {
        Sender::Unsaid => return Ok(None),
        Sender::Envelope(text) => (text, false),
        Sender::Author(text) => (text, true),
    };
    if matches!(text.as_bytes().trim_ascii(), b"" | b"<>") {
        return Ok(Some(ReversePath::Null));
    }
    let host = author.host.clone();
    // A bare user is at the host that the environment names.
    let complete =
        |name: &str| if names_author && name.is_empty() { host.clone() } else { canonical(name) };
    let mut addresses = addresses(text.as_bytes(), &complete).map_err(cannot_use("sender"))?;
    let (Some(address), None) = (addresses.pop(), addresses.pop()) else {
        let flaw = "it is not one address".to_owned();
        return Err(cannot_use("sender")((quoted(text.as_bytes()), flaw)));
    };
    if names_author {
        author.is(&address);
    }
    Ok(Some(ReversePath::Mailbox(address)))
}

/// nullmailer: an argument is a list. Every one that is none is named.
pub(super) fn recipients(
    call: &Call,
    arguments: &[OsString],
    canonical: Canonical<'_>,
) -> Result<Vec<Address>, Failure> {
    let mut found = Vec::new();
    let mut failure: Option<Failure> = None;
    for argument in arguments {
        match addresses(argument.as_bytes(), canonical) {
            Ok(addresses) => found.extend(addresses),
            Err(flaw) => {
                let next = cannot_use("recipient")(flaw);
                if let Some(before) = failure.replace(next) {
                    complain(&call.name, &before);
                }
            }
        }
    }
    failure.map_or(Ok(found), Err)
}

/// The addresses in an argument; else the argument for a message, and what is wrong with it.
fn addresses(argument: &[u8], canonical: Canonical<'_>) -> Result<Vec<Address>, (String, String)> {
    match AddressList::parse(argument, canonical) {
        Ok(list) => {
            let addresses = list.addresses.iter().map(|one| Address::parse(one));
            addresses
                .collect::<Result<_, AddressError>>()
                .map_err(|error| (String::new(), error.to_string()))
        }
        // Some have dots where RFC 5321 allows none; callers that pass them on are obeyed.
        Err(flaw) => match Address::parse(argument) {
            Ok(address) if address.is_dotted_atoms() => Ok(vec![address]),
            _ => Err((quoted(argument), flaw.to_string())),
        },
    }
}

fn cannot_use(what: &'static str) -> impl FnOnce((String, String)) -> Failure {
    move |(text, flaw)| {
        let space = if text.is_empty() { "" } else { " " };
        Failure::new(Exit::DataErr, format!("cannot use {what}{space}{text}: {flaw}"))
    }
}

fn quoted(text: &[u8]) -> String {
    Quoted(&String::from_utf8_lossy(text)).to_string()
}
