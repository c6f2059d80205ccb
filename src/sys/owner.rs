//! With whose rights root uses a folder: with its owner's, who may have put anything there.
//!
//! Called by `folder` alone, around each call to the kernel. Linux has rights on files for a thread by itself
//! (setfsuid(2)); elsewhere root stays root, and what it makes is given away.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::{Uid, User};

/// `None` where this process uses its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights(Option<Owner>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// The group that has no files, for an owner of whom nothing is known.
const NOBODY: u32 = 65_534;

impl Rights {
    /// Those for a folder: its owner's, if we are root and it is not.
    pub(super) fn of(folder: &Metadata) -> io::Result<Self> {
        if folder.uid() == 0 || !nix::unistd::geteuid().is_root() {
            return Ok(Self(None));
        }
        system::leave_groups()?;
        // The folder's group need not be one of his: root's own would be a right that he has not.
        let known = User::from_uid(Uid::from_raw(folder.uid())).ok().flatten();
        let gid = match known {
            Some(user) => user.gid.as_raw(),
            None if folder.gid() != 0 => folder.gid(),
            None => NOBODY,
        };
        Ok(Self(Some(Owner { uid: folder.uid(), gid })))
    }

    /// These; for a folder that is inside another one of our own, those of the folder itself.
    pub(super) fn or(self, folder: &Metadata) -> io::Result<Self> {
        if self.0.is_some() { Ok(self) } else { Self::of(folder) }
    }

    pub(super) fn uid(self) -> Option<u32> {
        self.0.map(|owner| owner.uid)
    }

    /// Takes these rights, in this thread, until what is returned is dropped.
    ///
    /// # Errors
    /// The system does not let us; nothing must be done then.
    pub(super) fn act(self) -> io::Result<Acting> {
        let Some(owner) = self.0 else { return Ok(Acting(None)) };
        let before = system::take(owner);
        let acting = Acting(Some(before));
        // It does not say whether it was obeyed; the second call tells what the first one left.
        if system::take(owner) == owner {
            return Ok(acting);
        }
        let flaw = format!("root may not act as uid {}, who owns the spool", owner.uid);
        Err(io::Error::new(io::ErrorKind::PermissionDenied, flaw))
    }
}

/// Gives the rights back when it is dropped.
#[must_use]
pub(super) struct Acting(Option<Owner>);

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            system::take(before);
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use nix::unistd::{getgroups, setfsgid, setfsuid, setgroups};

    use super::{Owner, io};

    /// Returns whose rights were used before.
    pub(super) fn take(owner: Owner) -> Owner {
        let gid = setfsgid(owner.gid.into()).as_raw();
        let uid = setfsuid(owner.uid.into()).as_raw();
        Owner { uid, gid }
    }

    /// Root's other groups would be rights that the owner has not. Root itself needs none.
    pub(super) fn leave_groups() -> io::Result<()> {
        match getgroups() {
            Ok(groups) if groups.is_empty() => Ok(()),
            _ => Ok(setgroups(&[])?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Owner, io};

    /// There are no such rights: what we do we do as root, through descriptors.
    pub(super) fn take(owner: Owner) -> Owner {
        owner
    }

    pub(super) fn leave_groups() -> io::Result<()> {
        Ok(())
    }
}
