//! The floor beneath the doors: what the kernel says and does. The only importer of nix.
//!
//! Used by roles and by the other doors; uses nothing of ours.
#![allow(clippy::disallowed_methods, reason = "the kernel's door")]

mod access;
mod confine;
mod fifo;
mod files;
mod handover;
mod identity;
mod inheritance;
mod moves;
mod nameless;
mod nudge;
mod outlet;
mod passing;
mod processes;
mod secrecy;
mod signals;
mod socket;
mod space;
mod watch;

pub(crate) use access::{check_folder, descriptors, lacks_descriptors};
pub(crate) use confine::{Allowed, confine};
pub(crate) use fifo::make_fifo;
pub(crate) use files::{no_file, open_file, read_file, regular};
pub(crate) use handover::take_listener;
pub(crate) use identity::{host_name, identity, no_new_privileges, user_name};
pub(crate) use inheritance::{own_what_we_make, shed_inheritance};
pub(crate) use moves::move_file;
pub(crate) use nameless::{O_TMPFILE, can_name_files, name_file, reopen};
pub(crate) use nudge::{feel_nudges, nudge};
pub(crate) use outlet::write_within;
pub(crate) use passing::refuse_descriptors;
pub(crate) use processes::{Reaped, is_alive, kill_group, reap_orphan};
pub(crate) use secrecy::keep_memory_private;
pub(crate) use signals::{keep_exits, outlive_file_limit, runtime};
pub(crate) use socket::{connect, limit_waiting, listen};
pub(crate) use space::{free_bytes, passing_kind};
pub(crate) use watch::{Names, Watch};

/// open(2): do not wait for the other end of a FIFO.
pub(crate) const O_NONBLOCK: i32 = nix::libc::O_NONBLOCK;
/// open(2): fail on a symbolic link.
pub(crate) const O_NOFOLLOW: i32 = nix::libc::O_NOFOLLOW;
/// What open(2) says to a socket, and to the device of nothing.
pub(crate) const ENXIO: i32 = nix::libc::ENXIO;
/// What open(2) says to a link under `O_NOFOLLOW`.
pub(crate) const ELOOP: i32 =
    if cfg!(target_os = "freebsd") { nix::libc::EMLINK } else { nix::libc::ELOOP };
