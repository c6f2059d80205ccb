//! Where the control files, the spool and the programs are.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::role::Privilege;

/// The folders that every program works with.
#[derive(Clone, Debug)]
pub(crate) struct Directories {
    pub(crate) config: PathBuf,
    /// The queue root: holds `queue/`, `tmp/`, `failed/`, `status/` and `trigger`.
    pub(crate) spool: PathBuf,
    pub(crate) protocols: PathBuf,
    pub(crate) sbin: PathBuf,
}

const LOCAL: &str = if cfg!(target_os = "freebsd") { "/usr/local" } else { "" };

impl Directories {
    /// The compiled-in folders, unless the environment moves them.
    ///
    /// `NULLMAILER_TEST_PREFIX` moves all of them as the original has it;
    /// `NULLMAILER_CONFIG_DIR` and `NULLMAILER_SPOOL_DIR` move one each and win over the prefix. A set-uid
    /// process looks at none of them.
    pub(crate) fn find(privilege: Privilege, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut found = Self {
            config: PathBuf::from(format!("{LOCAL}/etc/nullmailer")),
            spool: PathBuf::from("/var/spool/nullmailer"),
            protocols: PathBuf::from(if LOCAL.is_empty() {
                "/usr/libexec/nullmailer"
            } else {
                "/usr/local/libexec/nullmailer"
            }),
            sbin: PathBuf::from(if LOCAL.is_empty() { "/usr/sbin" } else { "/usr/local/sbin" }),
        };
        if privilege == Privilege::SetUid {
            return found;
        }
        let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(prefix) = set("NULLMAILER_TEST_PREFIX") {
            found = Self {
                config: prefix.join("conf"),
                spool: prefix.join("queue"),
                protocols: prefix.join("protocols"),
                sbin: prefix.join("sbin"),
            };
        }
        if let Some(config) = set("NULLMAILER_CONFIG_DIR") {
            found.config = config;
        }
        if let Some(spool) = set("NULLMAILER_SPOOL_DIR") {
            found.spool = spool;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(privilege: Privilege, set: &[(&str, &str)]) -> Directories {
        Directories::find(privilege, |name| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_test_prefix_moves_every_folder() {
        let found = find(Privilege::None, &[("NULLMAILER_TEST_PREFIX", "/p")]);
        assert_eq!(found.config, PathBuf::from("/p/conf"));
        assert_eq!(found.spool, PathBuf::from("/p/queue"));
        assert_eq!(found.protocols, PathBuf::from("/p/protocols"));
    }

    #[test]
    fn a_set_uid_process_ignores_the_environment() {
        let everything = [
            ("NULLMAILER_TEST_PREFIX", "/p"),
            ("NULLMAILER_CONFIG_DIR", "/c"),
            ("NULLMAILER_SPOOL_DIR", "/s"),
        ];
        let found = find(Privilege::SetUid, &everything);
        assert_eq!(found.spool, PathBuf::from("/var/spool/nullmailer"));
        assert!(found.config.ends_with("etc/nullmailer"));
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let found = find(Privilege::None, &[("NULLMAILER_SPOOL_DIR", "")]);
        assert_eq!(found.spool, PathBuf::from("/var/spool/nullmailer"));
    }
}
