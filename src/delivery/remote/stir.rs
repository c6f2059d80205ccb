//! How the remotes have the engine look again.

use std::ops::Deref;
use std::rc::Rc;

use tokio::sync::Notify;

/// Tells the engine that a remote has changed, so that it looks again at who may go.
#[derive(Clone, Debug, Default)]
pub(in crate::delivery) struct Stir(Rc<Notify>);

impl Deref for Stir {
    type Target = Notify;

    fn deref(&self) -> &Notify {
        &self.0
    }
}
