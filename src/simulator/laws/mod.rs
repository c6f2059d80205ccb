//! What must hold in every world, whatever happens in it.
//!
//! Each law looks at every event when it happens and at what is true then. A breach is told with its
//! time; the world prints what came before it.

mod limits;
mod logins;
mod reasons;
mod silence;
mod twice;
mod waiting;

use std::fmt;
use std::time::Duration;

use super::facts::Facts;
use super::record::{Clock, What};
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Law {
    /// Every recipient of what was taken in is served, its sender is told, or it is still queued.
    Silence,
    /// A name names one message.
    Names,
    /// Nobody is served twice but where the reply was not read.
    Twice,
    /// What may have been taken is not repeated before its pause is over, nor without a word.
    Repeat,
    /// Mail does not wait where a server is well.
    Waiting,
    /// A message that is tried again has its turn, however much new mail comes.
    Starving,
    /// A message is given up when its time is over.
    GivingUp,
    /// A sender is told of a failure as soon as that can be written and `bouncelimit` has room.
    Telling,
    /// A login that is refused is not tried again within the pause, nor side by side.
    Logins,
    Connections,
    MessagesPerSession,
    Rate,
    Bounces,
    /// A server that wants no more sessions than it has is well.
    Crowding,
    /// What `remotes` says now holds for mail that comes now.
    Edits,
    /// What is said of a recipient is the best reason that there is.
    Reasons,
    /// The log says each verdict once.
    Log,
    /// The daemon ends soon when it is told to.
    Stop,
    /// The daemon rests where it has nothing to do.
    Spin,
}

/// A law that did not hold.
#[derive(Clone, Debug)]
pub(super) struct Breach {
    pub(super) law: Law,
    pub(super) at: Duration,
    pub(super) text: String,
}

impl Breach {
    pub(super) fn new(law: Law, at: Duration, text: String) -> Self {
        Self { law, at, text }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.law, Clock(self.at), self.text)
    }
}

/// What a law is shown.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) at: Duration,
    pub(super) facts: &'a Facts,
    pub(super) world: &'a World,
}

trait Judge {
    /// Time has passed: `view` is how things stood until now.
    fn before(&mut self, _view: View<'_>, _found: &mut Vec<Breach>) {}

    /// This has happened, and is in the facts already.
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>);

    /// Nothing waits any more, or it is no use to wait for it.
    fn end(&mut self, _view: View<'_>, _found: &mut Vec<Breach>) {}
}

pub(super) struct Laws {
    judges: Vec<Box<dyn Judge>>,
    seen: Duration,
}

impl Laws {
    pub(super) fn new() -> Self {
        let judges: Vec<Box<dyn Judge>> = vec![
            Box::new(silence::Silence::default()),
            Box::new(silence::LogLines::default()),
            Box::new(twice::Twice::default()),
            Box::new(waiting::Waiting::default()),
            Box::new(logins::Logins),
            Box::new(logins::Crowding),
            Box::new(logins::Edits),
            Box::new(limits::Connections),
            Box::new(limits::Rate::default()),
            Box::new(limits::Bounces::default()),
            Box::new(limits::Rest::default()),
            Box::new(reasons::Reasons::default()),
        ];
        Self { judges, seen: Duration::ZERO }
    }

    pub(super) fn before(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        if view.at > self.seen {
            self.seen = view.at;
            self.judges.iter_mut().for_each(|judge| judge.before(view, found));
        }
    }

    pub(super) fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        self.judges.iter_mut().for_each(|judge| judge.see(what, view, found));
    }

    pub(super) fn end(&mut self, view: View<'_>, found: &mut Vec<Breach>) {
        self.judges.iter_mut().for_each(|judge| judge.end(view, found));
    }
}
