//! One message through the remotes, in their order.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::ledger::Ledger;
use super::plan::{Plan, Route};
use super::pool::Slot;
use crate::log::{Log, Via};
use crate::mail::{Address, EnhancedCode, Outcome, Protocol, Reason, Remote};
use crate::spool::{Entry, Event};
use crate::transport::{Cause, Delivery, Fault, Mail, Phase, Served, Session};

/// What an attempt came to, for each recipient that was waiting.
pub(super) struct Attempt {
    pub(super) verdicts: Vec<Verdict>,
    /// False if no remote looked at the message: nothing was learnt about it, only about them.
    pub(super) tried: bool,
    /// The report of those who failed is queued: settling that is tried again sends no second one.
    pub(super) bounced: bool,
}

/// The last word on one recipient.
pub(super) struct Verdict {
    pub(super) recipient: Address,
    /// The host that decided; `None` where no remote could be asked.
    pub(super) host: Option<String>,
    pub(super) protocol: Protocol,
    pub(super) outcome: Outcome,
    /// It is in the journal already.
    pub(super) written: bool,
}

/// Offers the message to each remote until no recipient waits or no remote is left.
///
/// Recipients that are served or refused are done with; the others go on to the next remote.
pub(super) async fn attempt(
    plan: &Plan,
    log: &Log,
    entry: &Entry,
    pending: Vec<Address>,
    age: Duration,
    ledger: &Ledger<'_>,
) -> Attempt {
    let waiting = |recipient| Verdict {
        recipient,
        host: None,
        protocol: Protocol::Smtp,
        outcome: Outcome::Deferred(Reason::local(
            EnhancedCode::new(4, 3, 5),
            "no remote to send to",
        )),
        written: false,
    };
    let verdicts = pending.into_iter().map(waiting).collect();
    let mut result = Attempt { verdicts, tried: false, bounced: false };
    if let Some(reason) = circles(plan, entry) {
        log.sending_failed(&reason);
        for verdict in &mut result.verdicts {
            verdict.outcome = Outcome::Failed(reason.clone());
        }
        result.tried = true;
        return result;
    }
    for route in &plan.routes {
        let rest: Vec<Address> = result.waiting().map(|one| one.recipient.clone()).collect();
        if rest.is_empty() {
            break;
        }
        match through(plan, log, entry, route, &rest, age, ledger).await {
            Ok(delivery) => {
                result.tried = true;
                log_outcome(log, delivery.fault.as_ref(), &delivery.outcomes);
                result.merge(&route.remote, delivery.outcomes);
            }
            Err(reason) => {
                let outcomes = rest.iter().map(|_| Outcome::Deferred(reason.clone())).collect();
                result.merge(&route.remote, outcomes);
            }
        }
    }
    for verdict in &mut result.verdicts {
        verdict.written = ledger.is_written(&verdict.recipient);
    }
    result
}

/// Too many machines had the message before us: it goes round and round (RFC 5321 §6.3).
fn circles(plan: &Plan, entry: &Entry) -> Option<Reason> {
    let limit = plan.settings.max_hops;
    // A file that cannot be read is met again by whoever sends it.
    let hops = entry.hops(limit).unwrap_or(0);
    let text = || format!("too many hops: more than {limit} Received fields");
    (hops > limit).then(|| Reason::local(EnhancedCode::new(5, 4, 6), text()))
}

impl Verdict {
    /// As the journal has it.
    pub(super) fn event(&self) -> Event<'_> {
        Event {
            recipient: &self.recipient,
            remote: self.host.as_deref().unwrap_or_default(),
            outcome: &self.outcome,
        }
    }
}

impl Attempt {
    /// Those whose last word is "later".
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|one| matches!(one.outcome, Outcome::Deferred(_)))
    }

    /// Takes over the outcomes of one remote, which are those of the waiting, in their order.
    fn merge(&mut self, remote: &Remote, outcomes: Vec<Outcome>) {
        let waiting =
            self.verdicts.iter_mut().filter(|one| matches!(one.outcome, Outcome::Deferred(_)));
        for (verdict, outcome) in waiting.zip(outcomes) {
            verdict.outcome = outcome;
            verdict.host = Some(remote.host.clone());
            verdict.protocol = remote.protocol.clone();
        }
    }
}

/// One remote. `Err` if no session could be had: the reason is the remote's, not the message's.
async fn through(
    plan: &Plan,
    log: &Log,
    entry: &Entry,
    route: &Route,
    recipients: &[Address],
    age: Duration,
    ledger: &Ledger<'_>,
) -> Result<Delivery, Reason> {
    if let Some(reason) = route.resting() {
        return Err(reason);
    }
    let mut slot = route.pool.slot().await;
    // It may have failed for another message while this one waited.
    if let Some(reason) = route.resting() {
        return Err(reason);
    }
    let turn = route.pace.borrow_mut().turn(Instant::now());
    sleep_until(turn).await;
    log.attempt(&entry.id, &route.remote, &entry.envelope, &entry.message_ids());
    let mail = Mail {
        sender: &entry.envelope.sender,
        recipients,
        request: &entry.envelope.request,
        file: &entry.file,
        offset: entry.offset,
        size: entry.size,
    };
    let remote = route.remote.host.as_str();
    let served = |which: &[usize], outcome: &Outcome| {
        ledger.take(which.iter().map(|which| Event {
            recipient: &recipients[*which],
            remote,
            outcome,
        }));
    };
    loop {
        let (mut session, carried) = session(plan, log, route, &mut slot).await?;
        let mut delivery = deliver(plan, &mut session, &mail, &served).await;
        for (recipient, outcome) in recipients.iter().zip(&mut delivery.outcomes) {
            if let Some(served) = ledger.outcome(recipient) {
                *outcome = served;
            }
        }
        let verdicts = recipients.iter().zip(&delivery.outcomes);
        let sent = verdicts.filter(|(_, outcome)| matches!(outcome, Outcome::Sent(_)));
        ledger.take(sent.map(|(recipient, outcome)| Event { recipient, remote, outcome }));
        // A server may close a session that it finds too old at any time; that the message came next
        // is chance, and nothing of it was taken.
        let broke_early = |fault: &Fault| fault.phase == Phase::Envelope;
        let used = carried > 0;
        if used && delivery.fault.as_ref().is_some_and(broke_early) && nothing_settled(&delivery) {
            slot.lost();
            continue;
        }
        for (recipient, outcome) in recipients.iter().zip(&delivery.outcomes) {
            log.recipient(&entry.id, recipient, &via(route, &session), age.as_secs(), outcome);
        }
        match &delivery.fault {
            None => {
                route.health.borrow_mut().answered();
                slot.keep(session, carried + 1, Instant::now());
                return Ok(delivery);
            }
            // One file that cannot be read is no reason to keep other mail from the remote.
            Some(fault) if fault.phase == Phase::Message => return Ok(delivery),
            Some(fault) => {
                let (reason, now) = (fault.reason(), Instant::now());
                let mut health = route.health.borrow_mut();
                match fault.phase {
                    Phase::Envelope | Phase::Data => health.broke(reason, &plan.schedule, now),
                    // A protocol program connects only when it has a message.
                    _ => health.failed(reason, &plan.schedule, now, now),
                }
                return Ok(delivery);
            }
        }
    }
}

/// A session, and how many messages it has carried; or writes down that the remote is unwell.
async fn session(
    plan: &Plan,
    log: &Log,
    route: &Route,
    slot: &mut Slot,
) -> Result<(Session, u32), Reason> {
    loop {
        if let Some(kept) = slot.reuse() {
            return Ok(kept);
        }
        let begun = Instant::now();
        route.health.borrow_mut().trying(begun, &plan.schedule);
        let fault = match plan.dialer.open(&route.remote).await {
            Ok(session) => {
                slot.opened();
                if route.health.borrow_mut().opened() {
                    log.remote_recovered(&route.remote);
                }
                return Ok((session, 0));
            }
            Err(fault) => fault,
        };
        let now = Instant::now();
        if fault.is_turned_away()
            && let Some(sessions) = slot.refused(&plan.schedule, now)
        {
            log.remote_crowded(&route.remote, sessions, &fault);
            *slot = route.pool.slot().await;
            match route.resting() {
                Some(reason) => return Err(reason),
                None => continue,
            }
        }
        log.remote_failed(&route.remote, &fault);
        log.sending_failed(&fault);
        let reason = fault.reason();
        route.health.borrow_mut().failed(reason.clone(), &plan.schedule, begun, now);
        return Err(reason);
    }
}

/// The transaction, within `sendtimeout`. A session whose time is up is dropped as it is: a QUIT
/// might land in the middle of the message.
async fn deliver(
    plan: &Plan,
    session: &mut Session,
    mail: &Mail<'_>,
    served: Served<'_>,
) -> Delivery {
    let Some(limit) = plan.settings.send_timeout else {
        return session.deliver(mail, served).await;
    };
    if let Ok(delivery) = timeout(limit, session.deliver(mail, served)).await {
        return delivery;
    }
    let cause = Cause::Broke("sendtimeout is over".to_owned());
    let fault = Fault { phase: Phase::Data, peer: session.peer().address, cause };
    let outcomes = mail.recipients.iter().map(|_| Outcome::Deferred(fault.reason())).collect();
    Delivery { outcomes, fault: Some(fault) }
}

fn nothing_settled(delivery: &Delivery) -> bool {
    delivery.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Deferred(_)))
}

fn via<'a>(route: &'a Route, session: &'a Session) -> Via<'a> {
    let peer = session.peer();
    Via { remote: &route.remote, address: peer.address, tls: peer.tls.as_deref() }
}

/// The original's line at the end of a transaction.
fn log_outcome(log: &Log, fault: Option<&Fault>, outcomes: &[Outcome]) {
    let refused = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Sent(_) => None,
        Outcome::Deferred(reason) | Outcome::Failed(reason) => Some(reason),
    });
    match (fault, refused) {
        (Some(fault), _) => log.sending_failed(fault),
        (None, Some(reason)) => log.sending_failed(reason),
        (None, None) => log.sent_file(),
    }
}
