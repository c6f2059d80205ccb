//! Whether a remote is well. Pure: time comes in as an argument.
//!
//! A failure of session scope (no address, no connection, a bad certificate, a refused login) says
//! nothing about mail, so it is the remote that waits, not each message: no reconnect per message,
//! and at most one login attempt per pause.

use std::time::Duration;

use tokio::time::Instant;

use super::RetrySchedule;
use crate::mail::Reason;

/// What we know of one remote.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Set while it is unwell.
    trouble: Option<Trouble>,
    /// Messages in a row that broke a session of theirs; a single one says more about the message.
    broken: u32,
}

#[derive(Debug)]
struct Trouble {
    failures: u32,
    last: Instant,
    again: Instant,
    reason: Reason,
}

/// So many messages in a row that break their sessions make the remote unwell.
const BROKEN_LIMIT: u32 = 3;

impl Health {
    #[cfg(test)]
    pub(crate) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    /// Why it is unwell.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        self.trouble.as_ref().map(|trouble| &trouble.reason)
    }

    /// Whether it may be tried: it is well, or its pause is over.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.again <= now)
    }

    /// When it may be tried again; `None` for a remote that is well.
    pub(crate) fn again(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.again)
    }

    /// What began at `begun` could not open a session: it rests for `pausetime`, doubling to `maxpause`.
    ///
    /// Sessions that fail side by side are one failure.
    pub(crate) fn failed(
        &mut self,
        reason: Reason,
        schedule: &RetrySchedule,
        begun: Instant,
        now: Instant,
    ) {
        if self.trouble.as_ref().is_some_and(|trouble| begun < trouble.last) {
            return;
        }
        let failures =
            self.trouble.as_ref().map_or(1, |trouble| trouble.failures.saturating_add(1));
        let again = now + schedule.pause_after(failures, 0);
        self.trouble = Some(Trouble { failures, last: now, again, reason });
    }

    /// A fresh session broke in the middle of a message.
    pub(crate) fn broke(&mut self, reason: Reason, schedule: &RetrySchedule, now: Instant) {
        self.broken += 1;
        if self.broken >= BROKEN_LIMIT {
            self.broken = 0;
            self.failed(reason, schedule, now, now);
        }
    }

    /// A session is open. True when that is news.
    pub(crate) fn opened(&mut self) -> bool {
        self.trouble.take().is_some()
    }

    /// A message got its answer.
    pub(crate) fn answered(&mut self) {
        self.broken = 0;
    }

    /// New mail has come: nullmailer starts its pause anew. The remote is tried again no sooner
    /// than one `pausetime` after the last failure.
    pub(crate) fn new_mail(&mut self, pause: Duration) {
        if let Some(trouble) = &mut self.trouble {
            trouble.again = trouble.again.min(trouble.last + pause);
        }
    }

    /// The administrator wants it tried now.
    pub(crate) fn flush(&mut self, now: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.again = now;
        }
    }

    /// One message tries it: the others wait for what comes of that.
    pub(crate) fn trying(&mut self, now: Instant, schedule: &RetrySchedule) {
        if let Some(trouble) = &mut self.trouble {
            trouble.again = now + schedule.max_pause.max(Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Reply;

    const SCHEDULE: RetrySchedule = RetrySchedule {
        pause: Duration::from_secs(60),
        max_pause: Duration::from_secs(3600),
        lifetime: Duration::from_secs(604_800),
    };

    fn reason() -> Reason {
        Reason::Remote(Reply::new(535, "5.7.8 no"))
    }

    #[test]
    fn a_remote_that_failed_rests_longer_each_time() {
        let (mut health, now) = (Health::default(), Instant::now());
        health.failed(reason(), &SCHEDULE, now, now);
        assert!(!health.may_try(now + Duration::from_secs(50)));
        assert!(health.may_try(now + Duration::from_secs(70)));
        health.failed(reason(), &SCHEDULE, now, now);
        assert!(!health.may_try(now + Duration::from_secs(100)));
    }

    #[test]
    fn sessions_that_fail_side_by_side_are_one_failure() {
        let (mut health, begun) = (Health::default(), Instant::now());
        for n in 1..=4 {
            let now = begun + n * Duration::from_secs(1);
            health.failed(reason(), &SCHEDULE, begun, now);
        }
        assert!(health.may_try(begun + Duration::from_secs(70)));
    }

    #[test]
    fn new_mail_shortens_the_rest_to_one_pause_and_no_further() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..9 {
            health.failed(reason(), &SCHEDULE, now, now);
        }
        health.new_mail(SCHEDULE.pause);
        assert!(!health.may_try(now + Duration::from_secs(59)));
        assert!(health.may_try(now + Duration::from_secs(60)));
    }

    #[test]
    fn one_message_that_breaks_its_sessions_does_not_make_the_remote_unwell() {
        let (mut health, now) = (Health::default(), Instant::now());
        health.broke(reason(), &SCHEDULE, now);
        assert!(health.is_well());
        health.answered();
        for _ in 0..BROKEN_LIMIT {
            health.opened();
            assert!(health.is_well());
            health.broke(reason(), &SCHEDULE, now);
        }
        assert!(!health.is_well());
    }

    #[test]
    fn while_one_message_tries_the_others_wait() {
        let (mut health, now) = (Health::default(), Instant::now());
        health.failed(reason(), &SCHEDULE, now, now);
        health.flush(now);
        assert!(health.may_try(now));
        health.trying(now, &SCHEDULE);
        assert!(!health.may_try(now));
        assert!(health.opened() && !health.opened());
    }
}
