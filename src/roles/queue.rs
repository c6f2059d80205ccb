//! nullmailer-queue(8): reads an envelope and a message on stdin and queues them.
//!
//! May be set-uid: it reads no environment and no options then, and executes nothing.

use std::io;

use super::process;
use crate::exit::{Exit, Failure};
use crate::role::Call;
use crate::submit::{self, Submission};

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let submitter = process::submitter(call.privilege);
    let spool = submitter.open_spool()?;
    let mut input = io::stdin().lock();
    let (sender, recipients, request) = submit::read_envelope(&mut input)?;
    let submission = Submission { sender, recipients, request, head: b"", body: &mut input };
    submitter.accept(&spool, submission)?;
    Ok(Exit::Ok)
}
