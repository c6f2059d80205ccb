//! Descriptors that a client would pass along (SCM_RIGHTS).

use std::os::unix::net::UnixListener;

/// From now on whoever connects cannot pass any, where the kernel knows how to refuse them: Linux 6.16.
pub(crate) fn refuse_descriptors(listener: &UnixListener) {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = nix::sys::socket::setsockopt(listener, linux::PassRights, &false);
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = listener;
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    use nix::{libc, setsockopt_impl, sockopt_impl};

    /// The number is that of most machines.
    const SO_PASSRIGHTS: i32 = 83;

    sockopt_impl!(
        /// socket(7).
        PassRights,
        SetOnly,
        libc::SOL_SOCKET,
        SO_PASSRIGHTS,
        bool
    );
}
