//! Delivery while the caller waits: `sendmail -odi`, and `deliverymode` = interactive.
//!
//! The message is written to the spool but is not in the queue while it is offered to the remotes.
//! Only what has to wait is queued; what was refused for everybody goes back to the caller, who is
//! there to hear it.

use std::time::Duration;

use tokio::task::LocalSet;

use super::attempt::{Verdict, attempt};
use super::bounce::Bouncer;
use super::ledger::Ledger;
use super::plan::Plan;
use crate::config::Settings;
use crate::log::Log;
use crate::mail::{Outcome, Reason};
use crate::spool::{Prior, Spool};
use crate::submit::{self, Submission, Submitter};
use crate::transport::Dialer;

/// What became of the message.
#[derive(Debug)]
pub(crate) enum Handed {
    /// Every recipient was served, or its refusal bounced.
    Delivered,
    /// The message is safely queued for those who have to wait.
    Queued,
    /// Every recipient was refused for good, for this reason first; nothing is queued.
    Refused(Reason),
}

/// Offers the message to the remotes of `settings` and queues what must wait.
pub(crate) fn deliver_now(
    runtime: &tokio::runtime::Runtime,
    settings: Settings,
    log: &Log,
    submitter: &Submitter,
    bouncer: &Bouncer,
    spool: &Spool,
    submission: Submission<'_>,
) -> Result<Handed, submit::Error> {
    let (mut incoming, envelope) = submitter.prepare(spool, submission)?;
    let entry = incoming.entry(envelope)?;
    let dialer = Dialer::new(settings.helo.clone(), submitter.directories.protocols.clone());
    let plan = Plan::new(settings, dialer);
    let tried = LocalSet::new().block_on(runtime, async {
        let pending = entry.pending();
        let tried = attempt(&plan, log, &entry, pending, Duration::ZERO, &Ledger::default()).await;
        plan.close().await;
        tried
    });
    let is_sent = |one: &&Verdict| matches!(one.outcome, Outcome::Sent(_));
    if tried.verdicts.iter().all(|one| is_sent(&one)) {
        return Ok(Handed::Delivered);
    }
    let refused: Vec<_> =
        tried.verdicts.iter().filter(|one| matches!(one.outcome, Outcome::Failed(_))).collect();
    if refused.len() == tried.verdicts.len()
        && let Some(Outcome::Failed(reason)) = refused.first().map(|one| &one.outcome)
    {
        return Ok(Handed::Refused(reason.clone()));
    }
    let time = entry.arrival;
    let mut bounced = true;
    if !refused.is_empty() {
        // Others are served or wait: whoever was refused without a bounce stays with the queue, so
        // that the caller does not send to all of them again.
        match bouncer.bounce(&plan.settings, &entry, &refused, time) {
            Ok(bounce) => log.bounce(&entry.id, bounce),
            Err(error) => {
                log.trouble(Some(&entry.id), &error);
                bounced = false;
            }
        }
        if bounced && tried.waiting().next().is_none() {
            return Ok(Handed::Delivered);
        }
    }
    let is_known = |one: &&Verdict| bounced || !matches!(one.outcome, Outcome::Failed(_));
    let events: Vec<_> = tried.verdicts.iter().filter(is_known).map(Verdict::event).collect();
    let request = &entry.envelope.request;
    incoming.commit(&Prior { request, events: &events, attempt: tried.tried, time })?;
    Ok(Handed::Queued)
}
