//! Delivery while the caller waits: `sendmail -odi`, and `deliverymode` = interactive.
//!
//! The message is written to the spool but is not in the queue while it is offered to the remotes.
//! Only what has to wait is queued; what was refused for everybody goes back to the caller, who is
//! there to hear it.

use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::Instant;

use super::outcome::{Attempt, Bouncer, Ledger, Line, Told};
use super::queue::{Age, Lane};
use super::remote::{Plan, Sites, Stir};
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
    let (mut sites, stir) = (Sites::default(), Stir::default());
    let plan = Plan::new(settings, dialer, None, &mut sites, &stir, 0);
    let time = entry.arrival;
    let mut ledger = Ledger::open(&entry, time);
    LocalSet::new().block_on(runtime, async {
        let age = Age::new(Duration::ZERO, Instant::now());
        let attempt = Attempt { plan: &plan, log, entry: &entry, age, book: None, leave: None };
        attempt.run(plan.routes_of(Lane::default()), &mut ledger, &mut None).await;
        plan.close().await;
    });
    let lines = ledger.lines();
    if lines.iter().all(Line::is_sent) {
        return Ok(Handed::Delivered);
    }
    if lines.iter().all(Line::is_failed)
        && let Some(Outcome::Failed(reason)) = lines.first().map(Line::outcome)
    {
        return Ok(Handed::Refused(reason.clone()));
    }
    let mut bounced = true;
    let failed = ledger.untold();
    if !failed.is_empty() {
        // Others are served or wait: whoever was refused without a bounce stays with the queue, so
        // that the caller does not send to all of them again.
        match bouncer.bounce(&plan.settings, &entry, &failed, time) {
            Ok(Told::Done(bounce)) => log.bounce(&entry.id, bounce),
            Ok(Told::NoRoom(_)) => bounced = false,
            Err(error) => {
                log.trouble(Some(&entry.id), &error);
                bounced = false;
            }
        }
        if bounced && !ledger.waits() {
            return Ok(Handed::Delivered);
        }
    }
    let events = ledger.events(|line| bounced || !line.is_failed());
    let request = &entry.envelope.request;
    incoming.commit(&Prior { request, events: &events, attempt: ledger.is_tried(), time })?;
    Ok(Handed::Queued)
}
