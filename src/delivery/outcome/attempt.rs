//! One message through the remotes, in their order.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use tokio::time::{Instant, sleep, sleep_until};

use super::leave::Leave;
use super::ledger::{Book, Ledger};
use crate::delivery::queue::Age;
use crate::delivery::remote::{Opening, Plan, Route, Slot, Trial, Underway};
use crate::log::{Log, Via};
use crate::mail::{Address, EnhancedCode, Outcome, Reason};
use crate::spool::Entry;
use crate::transport::{Fault, Mail, Phase, Session};

/// What an attempt works with.
#[derive(Clone, Copy)]
pub(in crate::delivery) struct Attempt<'a> {
    pub(in crate::delivery) plan: &'a Plan,
    pub(in crate::delivery) log: &'a Log,
    pub(in crate::delivery) entry: &'a Entry,
    pub(in crate::delivery) age: Age,
    /// `None` for a message that is not in the queue: a crash is its caller's to see.
    pub(in crate::delivery) book: Option<Book<'a>>,
    /// `None` for a delivery that nobody ends.
    pub(in crate::delivery) leave: Option<&'a Leave>,
}

/// Why a remote did not get to see the message.
enum Passed {
    Resting(Reason),
    /// A session was tried and failed.
    Failed(Reason),
}

/// For a message that is too old to wait for a turn: says why it has none.
pub(in crate::delivery) fn without_a_turn<'r>(
    routes: impl Iterator<Item = &'r Rc<Route>>,
    ledger: &mut Ledger,
) {
    let waits = || Reason::local(EnhancedCode::new(4, 3, 2), "other mail goes before it");
    for route in routes {
        let reason = route.resting().unwrap_or_else(waits);
        ledger.passed_by(&ledger.offered(), &reason, true, &route.remote);
    }
}

impl Attempt<'_> {
    /// Offers the message to each of `routes` until no recipient waits or no remote is left.
    ///
    /// Recipients that are served or refused are done with; the others go on to the next remote.
    /// `underway` counts it for the remote it sets out for.
    pub(in crate::delivery) async fn run<'r>(
        &self,
        routes: impl Iterator<Item = &'r Rc<Route>>,
        ledger: &mut Ledger,
        underway: &mut Option<Underway>,
    ) {
        if let Some(reason) = self.circles() {
            self.log.sending_failed(&reason);
            ledger.refuse_all(&reason, |recipient, reason| {
                self.log.refused_here(&self.entry.id, recipient, self.delay(), reason);
            });
            return;
        }
        for (nth, route) in routes.enumerate() {
            let offered = ledger.offered();
            if offered.is_empty() {
                break;
            }
            if nth > 0 && route.resting().is_none() {
                *underway = Some(route.enter_from_another());
            }
            let has_turn = underway.as_mut().is_some_and(|one| one.take_turn(route));
            match self.through(route, has_turn, &offered, ledger).await {
                Ok(()) => {}
                Err(Passed::Resting(reason)) => {
                    ledger.passed_by(&offered, &reason, true, &route.remote);
                }
                Err(Passed::Failed(reason)) => {
                    ledger.passed_by(&offered, &reason, false, &route.remote);
                }
            }
            if self.leave.is_some_and(Leave::is_taken) {
                break;
            }
        }
    }

    /// Too many machines had the message before us: it goes round and round (RFC 5321 §6.3).
    fn circles(&self) -> Option<Reason> {
        let limit = self.plan.settings.max_hops;
        // A file that cannot be read is met again by whoever sends it.
        let hops = self.entry.hops(limit).unwrap_or(0);
        let text = || format!("too many hops: more than {limit} Received fields");
        (hops > limit).then(|| Reason::local(EnhancedCode::new(5, 4, 6), text()))
    }

    /// One remote. An error if no session could be had: the reason is the remote's, not the message's.
    async fn through(
        &self,
        route: &Route,
        has_turn: bool,
        offered: &[usize],
        ledger: &mut Ledger,
    ) -> Result<(), Passed> {
        let entry = self.entry;
        let mut slot = route.slot(has_turn).await.map_err(Passed::Resting)?;
        self.log.attempt(&entry.id, &route.remote, &entry.envelope, &entry.message_ids());
        let recipients: Vec<Address> =
            offered.iter().map(|at| ledger.line(*at).recipient.clone()).collect();
        let mail = Mail {
            sender: &entry.envelope.sender,
            recipients: &recipients,
            request: &entry.envelope.request,
            file: &entry.file,
            offset: entry.offset,
            size: entry.size,
        };
        loop {
            let (mut session, carried, trial);
            (session, carried, slot, trial) = self.session(route, slot).await?;
            let begun = Instant::now();
            ledger.ask(offered);
            let fault = self.transact(route, &mut session, &mail, offered, ledger).await.err();
            // A server may close a session that it finds too old at any time; that the message came
            // next is chance, and nothing of it was taken.
            let is_early = fault.as_ref().is_some_and(|fault| fault.phase == Phase::Envelope);
            if carried > 0 && is_early && ledger.unanswered(offered) {
                ledger.try_again(offered);
                slot.lost();
                continue;
            }
            ledger.was_tried();
            let Some(fault) = fault else {
                self.log_end(None, offered, ledger);
                self.opened(route, trial);
                route.health.answered();
                slot.keep(session, carried + 1, Instant::now());
                return Ok(());
            };
            let reason = fault.reason();
            self.log_broken(route, &session, offered, ledger, &reason);
            ledger.broke(offered, &reason, fault.may_have_been_taken(), &route.remote);
            self.log_end(Some(&fault), offered, ledger);
            let (schedule, now) = (&self.plan.schedule, Instant::now());
            match fault.phase {
                // One file that cannot be read is no reason to keep other mail from the remote.
                Phase::Message => self.opened(route, trial),
                Phase::Envelope | Phase::Data | Phase::Answer => {
                    self.opened(route, trial);
                    route.health.broke(reason, schedule, now);
                }
                // A protocol program connects only when it has a message.
                _ => {
                    self.log.remote_failed(&route.remote, &fault);
                    match trial {
                        Some(trial) => trial.failed(reason, schedule, now),
                        None => route.health.failed(reason, schedule, begun, now),
                    }
                }
            }
            return Ok(());
        }
    }

    /// The transaction, within `sendtimeout`; each verdict is in the ledger, and then in the log, as soon
    /// as it is known. A session whose time is up is dropped as it is: a QUIT might land in the middle of
    /// the message.
    async fn transact(
        &self,
        route: &Route,
        session: &mut Session,
        mail: &Mail<'_>,
        offered: &[usize],
        ledger: &mut Ledger,
    ) -> Result<(), Fault> {
        let peer = session.peer().clone();
        let ledger = RefCell::new(ledger);
        let report = |which: &[usize], outcome: &Outcome| {
            let places = which.iter().map(|which| offered[*which]);
            ledger.borrow_mut().take(places, outcome, &route.remote, self.book.as_ref());
            let via =
                Via { remote: &route.remote, address: peer.address, tls: peer.tls.as_deref() };
            for which in which {
                let recipient = &mail.recipients[*which];
                self.log.recipient(&self.entry.id, recipient, &via, self.delay(), outcome);
            }
        };
        let why = tokio::select! {
            biased;
            delivered = session.deliver(mail, &report) => return delivered,
            why = self.cut() => why,
        };
        let fault = session.cut_short(why);
        if self.leave.is_some_and(Leave::is_taken) && !fault.may_have_been_taken() {
            // Nothing is known that the next daemon would not find out.
            return pending().await;
        }
        Err(fault)
    }

    /// Returns when a transaction has to end, with the reason.
    async fn cut(&self) -> &'static str {
        let limit = self.plan.settings.send_timeout;
        tokio::select! {
            () = sleep(limit.unwrap_or_default()), if limit.is_some() => "sendtimeout is over",
            () = Leave::called_by(self.leave) => "the daemon ends",
        }
    }

    /// The trial of a session is over, and it is well.
    fn opened(&self, route: &Route, trial: Option<Trial>) {
        if trial.is_some_and(Trial::opened) {
            self.log.remote_recovered(&route.remote);
        }
    }

    /// A session, how many messages it has carried, and its slot; or finds that the remote is unwell. The trial is
    /// not over where a session is opened only with its message.
    async fn session(
        &self,
        route: &Route,
        slot: Slot,
    ) -> Result<(Session, u32, Slot, Option<Trial>), Passed> {
        let (plan, remote, mut slot) = (self.plan, &route.remote, slot);
        loop {
            if let Some((session, carried)) = slot.reuse() {
                return Ok((session, carried, slot, None));
            }
            let trial = match route.begin(Instant::now()) {
                Opening::Go(trial) => trial,
                Opening::No(reason) => return Err(Passed::Resting(reason)),
                Opening::Wait(until) => {
                    let until_then = sleep_until(until.unwrap_or_else(Instant::now));
                    tokio::select! {
                        () = route.health.trial_ended() => {}
                        () = slot.kept() => {}
                        () = route.retirement() => {}
                        () = until_then, if until.is_some() => {}
                    }
                    continue;
                }
            };
            slot.dial().await;
            let fault = match plan.dialer.open(remote).await {
                Ok(session) => {
                    slot.opened();
                    if !session.is_open() {
                        return Ok((session, 0, slot, Some(trial)));
                    }
                    self.opened(route, Some(trial));
                    return Ok((session, 0, slot, None));
                }
                Err(fault) => fault,
            };
            let now = Instant::now();
            if fault.is_turned_away()
                && let Some(sessions) = slot.refused(&plan.schedule, now)
            {
                trial.crowded();
                self.log.remote_crowded(remote, sessions, &fault);
                if slot.has_idle() {
                    continue;
                }
                // Another remote may have room, and else it is the index that waits for some here.
                return Err(Passed::Resting(fault.reason()));
            }
            self.log.remote_failed(remote, &fault);
            self.log.sending_failed(&fault);
            let reason = fault.reason();
            trial.failed(reason.clone(), &plan.schedule, now);
            return Err(Passed::Failed(reason));
        }
    }

    /// Says of those that the session broke for what that means.
    fn log_broken(
        &self,
        route: &Route,
        session: &Session,
        offered: &[usize],
        ledger: &Ledger,
        reason: &Reason,
    ) {
        let peer = session.peer();
        let via = Via { remote: &route.remote, address: peer.address, tls: peer.tls.as_deref() };
        let deferred = Outcome::Deferred(reason.clone());
        for at in offered.iter().filter(|at| ledger.line(**at).is_asked()) {
            let recipient = &ledger.line(*at).recipient;
            self.log.recipient(&self.entry.id, recipient, &via, self.delay(), &deferred);
        }
    }

    /// How old the message is, in seconds.
    fn delay(&self) -> u64 {
        self.age.at(Instant::now()).as_secs()
    }

    /// The original's line at the end of a transaction.
    fn log_end(&self, fault: Option<&Fault>, offered: &[usize], ledger: &Ledger) {
        let refused = offered.iter().find_map(|at| match ledger.line(*at).outcome() {
            Outcome::Sent(_) => None,
            Outcome::Deferred(reason) | Outcome::Failed(reason) => Some(reason),
        });
        match (fault, refused) {
            (Some(fault), _) => self.log.sending_failed(fault),
            (None, Some(reason)) => self.log.sending_failed(reason),
            (None, None) => self.log.sent_file(),
        }
    }
}
