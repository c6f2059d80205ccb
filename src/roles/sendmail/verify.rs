//! `sendmail -bv`: what would become of each recipient. Nothing is queued.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::super::{complain, intake, process};
use crate::config::{Control, Hostnames, remotes};
use crate::exit::{Exit, Failure};
use crate::mail::{DeliveryRequest, Recipients, Remote, ReversePath, Security};
use crate::role::Call;
use crate::submit::Policy;

/// Prints each address as it is completed, where its mail would go, and through what.
pub(super) fn run(call: &Call, arguments: &[OsString]) -> Result<Exit, Failure> {
    let control = process::directories(call.privilege).control();
    let names = Hostnames::read(&control, crate::sys::host_name().as_deref())?;
    let policy = Policy::read(&control, || Ok(names.me.clone()))?;
    if arguments.is_empty() {
        return Err(crate::submit::Error::NoRecipients.into());
    }
    let by = first_remote(call, &control);
    let mut lines = String::new();
    for argument in arguments {
        let one = std::slice::from_ref(argument);
        let addresses = intake::recipients(call, one, &|host| names.canonical(host))?;
        for address in addresses {
            let alone = Recipients::new([address.clone()]).map_err(crate::submit::Error::from)?;
            let admitted = policy.admit(ReversePath::Null, alone, DeliveryRequest::default())?;
            for recipient in admitted.recipients.iter() {
                let _ = writeln!(lines, "{address} ... {recipient} by {by}");
            }
        }
    }
    super::print(&lines)
}

/// The remote that is tried first. Its file may be for the daemon's eyes only.
fn first_remote(call: &Call, control: &Control) -> String {
    let (remotes, errors) = remotes::read(control);
    for error in &errors {
        complain(&call.name, error);
    }
    remotes.first().map_or_else(|| "no remote that is known".to_owned(), describe)
}

fn describe(remote: &Remote) -> String {
    let mut text = format!("{} {}", remote.protocol.name(), remote.host);
    if let Some(port) = remote.effective_port() {
        let _ = write!(text, " port {port}");
    }
    match remote.security {
        Security::Plain => text,
        Security::StartTls => text + " starttls",
        Security::Implicit => text + " tls",
    }
}
