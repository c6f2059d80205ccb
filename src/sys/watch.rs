//! Which names appear in a folder, from the kernel, so that the arrival of one message costs no
//! look at the others. Linux only; elsewhere the folder is read again.

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// What happened since the last look.
#[derive(Debug)]
pub(crate) enum Names {
    Appeared {
        /// Moved here, or closed by whoever wrote them.
        whole: Vec<OsString>,
        /// Made here: by a link, and then whole, or by somebody who is about to write.
        made: Vec<OsString>,
        /// Written to here; they come again as whole.
        written: Vec<OsString>,
    },
    /// More than the kernel kept: read the folder.
    TooMany,
    /// The folder itself was moved or removed: nothing more will be told of its name.
    Lost,
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::Watch;
#[cfg(target_os = "linux")]
pub(crate) use linux::Watch;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, AsRawFd, RawFd};

    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::io::unix::AsyncFd;

    use super::{Names, Path, io};

    pub(crate) struct Watch(AsyncFd<Events>);

    struct Events(Inotify);

    impl AsRawFd for Events {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    impl Watch {
        /// Watches for names that are linked, moved or made in the folder.
        ///
        /// # Errors
        /// Those of inotify(7): the user's limit of watches is common in containers.
        pub(crate) fn new(folder: &Path) -> io::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            inotify.add_watch(
                folder,
                AddWatchFlags::IN_CREATE
                    | AddWatchFlags::IN_MOVED_TO
                    | AddWatchFlags::IN_MODIFY
                    | AddWatchFlags::IN_CLOSE_WRITE
                    | AddWatchFlags::IN_MOVE_SELF
                    | AddWatchFlags::IN_DELETE_SELF
                    | AddWatchFlags::IN_ONLYDIR,
            )?;
            #[expect(
                deprecated,
                reason = "its successor is an unsafe fn; Inotify owns the descriptor and keeps it open"
            )]
            let events = AsyncFd::new(Events(inotify))?;
            Ok(Self(events))
        }

        /// Waits until something appears.
        pub(crate) async fn next(&mut self) -> io::Result<Names> {
            loop {
                let mut ready = self.0.readable_mut().await?;
                match ready.get_inner().0.read_events() {
                    Ok(events) => {
                        if events.iter().any(|e| e.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)) {
                            return Ok(Names::TooMany);
                        }
                        let lost = AddWatchFlags::IN_MOVE_SELF
                            | AddWatchFlags::IN_DELETE_SELF
                            | AddWatchFlags::IN_IGNORED;
                        if events.iter().any(|event| event.mask.intersects(lost)) {
                            return Ok(Names::Lost);
                        }
                        let (mut whole, mut made, mut written) = Default::default();
                        for event in events {
                            let names: &mut Vec<_> =
                                if event.mask.contains(AddWatchFlags::IN_CREATE) {
                                    &mut made
                                } else if event.mask.contains(AddWatchFlags::IN_MODIFY) {
                                    &mut written
                                } else {
                                    &mut whole
                                };
                            names.extend(event.name);
                        }
                        return Ok(Names::Appeared { whole, made, written });
                    }
                    Err(Errno::EAGAIN) => ready.clear_ready(),
                    Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Names, Path, io};

    /// Never made.
    pub(crate) enum Watch {}

    impl Watch {
        pub(crate) fn new(_: &Path) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) async fn next(&mut self) -> io::Result<Names> {
            match *self {}
        }
    }
}
