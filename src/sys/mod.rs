//! The floor beneath the doors: what the kernel says and does. The only importer of nix.
//!
//! Used by roles and by the other doors; uses nothing of ours.
#![allow(clippy::disallowed_methods, reason = "the kernel's door")]

mod access;
mod confine;
mod files;
mod folder;
mod handover;
mod identity;
mod inheritance;
mod moves;
mod nameless;
mod nudge;
mod outlet;
mod owner;
mod passing;
mod processes;
mod secrecy;
mod signals;
mod socket;
mod space;
mod watch;

pub(crate) use access::{check_folder, descriptors, lacks_descriptors};
pub(crate) use confine::{Allowed, confine};
#[cfg(test)]
pub(crate) use files::make_fifo;
pub(crate) use files::{open_file, read_file};
pub(crate) use folder::{Folder, Stat};
pub(crate) use handover::take_listener;
pub(crate) use identity::{host_name, identity, no_new_privileges, user_name};
pub(crate) use inheritance::{own_what_we_make, shed_inheritance};
pub(crate) use nameless::reopen;
pub(crate) use nudge::{feel_nudges, nudge};
pub(crate) use outlet::write_within;
pub(crate) use passing::refuse_descriptors;
pub(crate) use processes::{Reaped, is_alive, kill_group, reap_orphan};
pub(crate) use secrecy::keep_memory_private;
pub(crate) use signals::{keep_exits, outlive_file_limit, runtime};
pub(crate) use socket::{connect, limit_waiting, listen};
pub(crate) use space::{free_bytes, passing_kind};
pub(crate) use watch::{Names, Watch};
