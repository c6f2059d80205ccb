//! Which program a call means. Called by `lib` once, before anything else is looked at.
//!
//! The caller chooses `argv[0]`, even for a set-uid file, so names match exactly and a set-uid
//! process may be `nullmailer-queue` or `mailq` and nothing else.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use crate::mail::Printable;

/// The programs that the one binary can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Send,
    Queue,
    Inject,
    Sendmail,
    Mailq,
    Dsn,
    Smtpd,
    Newaliases,
    Smtp,
    Qmqp,
    /// The bare name: `nullmailer SUBCOMMAND`.
    Nullmailer,
}

/// Whether the rights we run with are more than our caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    None,
    SetUid,
}

/// One call of the binary: what it is to be, as whom, and with which arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) role: Role,
    /// The name for messages: the program's own, never what the caller made up.
    pub(crate) name: String,
    /// Everything behind the name that chose the role.
    pub(crate) args: Vec<OsString>,
    pub(crate) privilege: Privilege,
}

/// Why a call was turned away before any program ran.
#[derive(Debug)]
pub(crate) enum Refusal {
    UnknownName(OsString),
    NotSetUid(Role),
}

/// Every name and the role it chooses; the first name of a role is its own.
const NAMES: &[(&str, Role)] = &[
    ("nullmailer-send", Role::Send),
    ("nullmailer-queue", Role::Queue),
    ("nullmailer-inject", Role::Inject),
    ("nullmailer-dsn", Role::Dsn),
    ("nullmailer-smtpd", Role::Smtpd),
    ("sendmail", Role::Sendmail),
    ("send-mail", Role::Sendmail),
    ("mailq", Role::Mailq),
    ("newaliases", Role::Newaliases),
    ("hoststat", Role::Newaliases),
    ("purgestat", Role::Newaliases),
    ("smtp", Role::Smtp),
    ("qmqp", Role::Qmqp),
    ("nullmailer", Role::Nullmailer),
];

impl Role {
    /// The name the program has on disk.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, role)| *role == self).expect("every role has a name").0
    }

    fn by_name(name: &OsStr) -> Option<Self> {
        NAMES.iter().find(|(known, _)| name == *known).map(|(_, role)| *role)
    }

    /// The words that [`Self::by_word`] takes in their short form.
    #[cfg(test)]
    pub(crate) fn words() -> impl Iterator<Item = &'static str> {
        let programs = NAMES.iter().filter(|(_, role)| *role != Role::Nullmailer);
        programs.map(|(name, _)| name.strip_prefix("nullmailer-").unwrap_or(name))
    }

    /// The word after `nullmailer`: the program's name, with or without the `nullmailer-`.
    fn by_word(word: &OsStr) -> Option<Self> {
        let word = word.to_str()?;
        NAMES
            .iter()
            .filter(|(_, role)| *role != Role::Nullmailer)
            .find(|(name, _)| *name == word || name.strip_prefix("nullmailer-") == Some(word))
            .map(|(_, role)| *role)
    }
}

impl Call {
    /// The call that another program's options amount to, without arguments.
    pub(crate) fn into_role(self, role: Role) -> Self {
        Self { role, args: Vec::new(), ..self }
    }

    /// Picks the role from the name we were invoked by, or from the first argument when that
    /// name is `nullmailer`.
    pub(crate) fn parse(
        mut argv: impl Iterator<Item = OsString>,
        privilege: Privilege,
    ) -> Result<Self, Refusal> {
        let argv0 = argv.next().unwrap_or_default();
        let name = Path::new(&argv0).file_name().unwrap_or_default();
        let mut role = Role::by_name(name).ok_or_else(|| Refusal::UnknownName(name.to_owned()))?;
        let mut args: Vec<OsString> = argv.collect();
        if role == Role::Nullmailer
            && privilege == Privilege::None
            && let Some(word) = args.first().and_then(|first| Role::by_word(first))
        {
            role = word;
            args.remove(0);
        }
        match (privilege, role) {
            (Privilege::None, _) | (Privilege::SetUid, Role::Queue | Role::Mailq) => {
                Ok(Self { role, name: role.name().to_owned(), args, privilege })
            }
            (Privilege::SetUid, _) => Err(Refusal::NotSetUid(role)),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName(name) => {
                let name = name.to_string_lossy();
                write!(f, "cannot run as {:?}: not a name of this program (", Printable(&name))?;
                for (i, (known, _)) in NAMES.iter().enumerate() {
                    write!(f, "{}{known}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::NotSetUid(role) => {
                write!(
                    f,
                    "cannot run as {} with set-uid rights: only nullmailer-queue and mailq may be set-uid",
                    role.name()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(argv: &[&str], privilege: Privilege) -> Result<Call, Refusal> {
        Call::parse(argv.iter().map(OsString::from), privilege)
    }

    #[test]
    fn the_name_chooses_the_role_and_the_path_before_it_does_not_matter() {
        let call = call(&["/usr/sbin/nullmailer-queue", "x"], Privilege::None).unwrap();
        assert_eq!((call.role, call.args.len()), (Role::Queue, 1));
    }

    #[test]
    fn under_its_own_name_the_first_argument_chooses() {
        let call = call(&["nullmailer", "send", "-x"], Privilege::None).unwrap();
        assert_eq!((call.role, call.args), (Role::Send, vec![OsString::from("-x")]));
    }

    #[test]
    fn a_name_that_only_resembles_ours_is_refused() {
        for name in ["Sendmail", "sendmail2", "nullmailer-", "", "queue"] {
            assert!(
                matches!(call(&[name], Privilege::None), Err(Refusal::UnknownName(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_set_uid_copy_is_queue_or_mailq_by_its_own_name_only() {
        assert!(call(&["nullmailer-queue"], Privilege::SetUid).is_ok());
        assert!(call(&["mailq"], Privilege::SetUid).is_ok());
        for argv in [&["nullmailer-send"][..], &["nullmailer", "queue"], &["sendmail"], &["smtp"]] {
            assert!(
                matches!(call(argv, Privilege::SetUid), Err(Refusal::NotSetUid(_))),
                "{argv:?}"
            );
        }
    }
}
