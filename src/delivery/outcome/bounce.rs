//! Tells the sender what failed: one report per attempt, queued like any mail.

use std::cell::RefCell;

use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::line::Line;
use super::quota::Quotas;
use crate::config::Settings;
use crate::log::{Bounce, Clock, Log};
use crate::mail::report::{Failed, Kind, Report, Reporter, is_eight_bit};
use crate::mail::{DeliveryRequest, Notify, Outcome, Recipients, ReversePath};
use crate::spool::{Entry, Spool, Stamp};
use crate::submit::{self, Submission, Submitter};

/// Composes bounces and puts them into the queue.
pub(crate) struct Bouncer {
    spool: Spool,
    submitter: Submitter,
    clock: Clock,
    zone: TimeZone,
    bounces: RefCell<Quotas>,
    /// Of their own, so that no warning takes the place of a bounce.
    warnings: RefCell<Quotas>,
}

/// Whether the duty to tell the sender is done with.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Told {
    Done(Bounce),
    /// As many as `bouncelimit` allows were sent to this sender: there is room for one more then.
    NoRoom(Instant),
}

impl Bouncer {
    pub(crate) fn new(spool: Spool, submitter: Submitter, clock: Clock, zone: TimeZone) -> Self {
        Self {
            spool,
            submitter,
            clock,
            zone,
            bounces: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Reports the recipients that failed in the attempt at `time`. After `Ok` the report is as safe as
    /// any mail, or there is to be none, or it is owed.
    pub(in crate::delivery) fn bounce(
        &self,
        settings: &Settings,
        entry: &Entry,
        failed: &[&Line],
        time: i64,
    ) -> Result<Told, submit::Error> {
        let sender = &entry.envelope.sender;
        // Nobody hears of a bounce that bounces (RFC 5321 §4.5.5).
        let to = settings.bounces.recipients(sender).filter(|_| !sender.is_null());
        let Some(to) = to else { return Ok(Told::Done(Bounce::Double)) };
        let request = &entry.envelope.request;
        if matches!(request.notify, Some(Notify::Never | Notify::On { failure: false, .. })) {
            return Ok(Told::Done(Bounce::Unwanted));
        }
        if settings.bounce_limit == 0 {
            return Ok(Told::Done(Bounce::Off));
        }
        let (limit, now) = (settings.bounce_limit, Instant::now());
        if let Err(until) = self.bounces.borrow_mut().take(sender, limit, now) {
            return Ok(Told::NoRoom(until));
        }
        self.queue(settings, entry, to, Kind::Failed, failed, time)
            .inspect_err(|_| self.bounces.borrow_mut().give_back(sender))?;
        Ok(Told::Done(Bounce::Queued))
    }

    /// Tells the sender that its mail still waits, until it is given up at `retry_until`. False if
    /// nobody is to be told.
    pub(super) fn warn(
        &self,
        settings: &Settings,
        log: &Log,
        entry: &Entry,
        waiting: &[&Line],
        time: i64,
    ) -> Result<bool, submit::Error> {
        let sender = &entry.envelope.sender;
        let wanted = match entry.envelope.request.notify {
            None => true,
            Some(Notify::Never) => false,
            Some(Notify::On { delay, .. }) => delay,
        };
        let to = settings.bounces.recipients(sender).filter(|_| wanted && !sender.is_null());
        let Some(to) = to else { return Ok(false) };
        let (limit, now) = (settings.bounce_limit, Instant::now());
        if self.warnings.borrow_mut().take(sender, limit, now).is_err() {
            return Ok(false);
        }
        log.warning(&entry.id);
        let lifetime = settings.lifetime.as_secs().try_into().unwrap_or(i64::MAX);
        let retry_until = Some(entry.arrival.saturating_add(lifetime));
        self.queue(settings, entry, to, Kind::Delayed { retry_until }, waiting, time)
            .inspect_err(|_| self.warnings.borrow_mut().give_back(sender))?;
        Ok(true)
    }

    fn queue(
        &self,
        settings: &Settings,
        entry: &Entry,
        recipients: Recipients,
        kind: Kind,
        about: &[&Line],
        time: i64,
    ) -> Result<(), submit::Error> {
        let moment = (self.clock)();
        let failed: Vec<_> = about
            .iter()
            .filter_map(|one| match one.outcome() {
                Outcome::Failed(reason) | Outcome::Deferred(reason) => {
                    Some(Failed::new(&one.recipient, one.protocol(), reason, one.host()))
                }
                Outcome::Sent(_) => None,
            })
            .collect();
        let quote = settings.bounces.quote.for_request(entry.envelope.request.ret, kind);
        let report = Report {
            reporter: Reporter {
                me: &settings.names.me,
                id_host: &settings.names.id_host,
                zone: &self.zone,
                moment,
            },
            kind,
            original_sender: &entry.envelope.sender,
            to: &format!("<{}>", entry.envelope.sender),
            arrival: entry.arrival,
            last_attempt: time,
            request: &entry.envelope.request,
            recipients: &failed,
            quote,
            eight_bit: is_eight_bit(entry.reader(), quote).map_err(submit::Error::Input)?,
        };
        let submitter = Submitter {
            stamp: Stamp { seconds: moment.seconds, pid: moment.pid },
            ..self.submitter.clone()
        };
        let submission = Submission {
            sender: ReversePath::Null,
            recipients,
            request: DeliveryRequest::default(),
            head: b"",
            body: &mut report.stream(entry.reader()),
        };
        submitter.accept_report(&self.spool, submission)?;
        Ok(())
    }
}
