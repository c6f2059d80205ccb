//! `sendmail -bv`: what would become of each recipient. Nothing is queued.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::super::{intake, process};
use crate::config::{Control, Hostnames};
use crate::exit::{Exit, Failure};
use crate::mail::{DeliveryRequest, Recipients, ReversePath};
use crate::role::Call;
use crate::submit::Policy;

/// Prints each argument and the addresses that its mail would go to.
pub(super) fn run(call: &Call, arguments: &[OsString]) -> Result<Exit, Failure> {
    let control = Control::new(&process::directories(call.privilege).config);
    let names = Hostnames::read(&control, crate::sys::host_name().as_deref())?;
    let policy = Policy::read(&control, || Ok(names.me.clone()))?;
    if arguments.is_empty() {
        return Err(crate::submit::Error::NoRecipients.into());
    }
    let mut lines = String::new();
    for argument in arguments {
        let one = std::slice::from_ref(argument);
        let addresses = intake::recipients(call, one, &|host| names.canonical(host))?;
        for address in addresses {
            let alone = Recipients::new([address.clone()]).map_err(crate::submit::Error::from)?;
            let admitted = policy.admit(ReversePath::Null, alone, DeliveryRequest::default())?;
            for recipient in admitted.recipients.iter() {
                let _ = writeln!(lines, "{address} ... {recipient}");
            }
        }
    }
    super::print(&lines)
}
