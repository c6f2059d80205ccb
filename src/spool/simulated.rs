//! Tells a test of each message that gets a name in `queue/`, at the very moment.
//!
//! Set by the simulator alone, which gives the file the time of its own clock and has the daemon told, as the
//! kernel would.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use super::Stamp;

/// Told of the file and of the stamp it was made with.
pub(crate) type Watcher = Rc<dyn Fn(&Path, Stamp)>;

thread_local! {
    /// What the next tail is made of while somebody watches, so that a world can be played again.
    static TAILS: Cell<u64> = const { Cell::new(0) };
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Has the messages of this thread told to `watcher` until what is returned is dropped.
#[must_use]
pub(crate) fn watch(watcher: Watcher) -> Watched {
    WATCHER.set(Some(watcher));
    TAILS.set(1);
    Watched(())
}

pub(crate) struct Watched(());

impl Drop for Watched {
    fn drop(&mut self) {
        WATCHER.set(None);
    }
}

/// The bits of the next tail, in the place of the system's; `None` where nobody watches.
pub(super) fn tail() -> Option<u64> {
    let nth = TAILS.get();
    TAILS.set(nth + 1);
    // An odd factor: no two numbers give the same.
    WATCHER.with_borrow(Option::is_some).then(|| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(super) fn queued(file: &Path, stamp: Stamp) {
    if let Some(watcher) = WATCHER.with_borrow(Clone::clone) {
        watcher(file, stamp);
    }
}
