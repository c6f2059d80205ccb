//! Who runs us, and on which machine.

use nix::unistd;

/// Real and effective ids of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) euid: u32,
    pub(crate) gid: u32,
    pub(crate) egid: u32,
}

impl Identity {
    /// True in a set-uid or set-gid process, whose caller must not be trusted.
    pub(crate) fn is_elevated(self) -> bool {
        self.uid != self.euid || self.gid != self.egid
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        uid: unistd::getuid().as_raw(),
        euid: unistd::geteuid().as_raw(),
        gid: unistd::getgid().as_raw(),
        egid: unistd::getegid().as_raw(),
    }
}

/// Whether set-uid files are without effect for this process, as under NoNewPrivileges=yes.
pub(crate) fn no_new_privileges() -> bool {
    #[cfg(target_os = "linux")]
    return nix::sys::prctl::get_no_new_privs().unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    false
}

/// The login name of `uid`, if the system has an entry for it; containers often have none.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name)
}

/// The kernel's host name, which may be a bare label or a container's id.
pub(crate) fn host_name() -> Option<String> {
    unistd::gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty())
}
