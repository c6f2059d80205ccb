//! nullmailer-queue(8): reads an envelope and a message on stdin and queues them.
//!
//! May be set-uid: it reads no environment and no options then, and executes nothing.

use std::io;

use super::process;
use crate::exit::{Exit, Failure};
use crate::role::{Call, Privilege};
use crate::submit::{self, Submission};

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let mut submitter = process::submitter(call.privilege);
    // We are the queue program.
    submitter.queue_program = None;
    let mut input = io::stdin().lock();
    // With the rights of a caller any way in is as good; with more there is one.
    match (call.privilege, submitter.open_spool()) {
        (_, Ok(spool)) => submitter.accept_from(&spool, &mut input, u64::MAX).map(|_| ())?,
        (Privilege::SetUid, Err(closed)) => return Err(closed.into()),
        (Privilege::None, Err(_)) => {
            let (sender, recipients, request) = submit::read_envelope(&mut input)?;
            let submission =
                Submission { sender, recipients, request, head: b"", body: &mut input };
            submitter.submit(submission).map(|_| ())?;
        }
    }
    Ok(Exit::Ok)
}
