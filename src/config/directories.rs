//! Where the control files, the spool and the programs are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Control, Environment};
use crate::role::Privilege;

/// The folders that every program works with.
#[derive(Clone, Debug)]
pub(crate) struct Directories {
    pub(crate) config: PathBuf,
    /// The queue root: holds `queue/`, `tmp/`, `failed/`, `status/` and `trigger`.
    pub(crate) spool: PathBuf,
    pub(crate) protocols: PathBuf,
    pub(crate) sbin: PathBuf,
    /// Where the daemon may listen, the best first.
    pub(crate) sockets: Vec<PathBuf>,
    /// What stands in the place of control files.
    pub(crate) environment: Arc<Environment>,
}

const LOCAL: &str = if cfg!(target_os = "freebsd") { "/usr/local" } else { "" };

impl Directories {
    /// The compiled-in folders, unless the environment moves them.
    ///
    /// `NULLMAILER_TEST_PREFIX` moves all of them as the original has it;
    /// `NULLMAILER_CONFIG_DIR` and `NULLMAILER_SPOOL_DIR` move one each and win over the prefix. A set-uid
    /// process looks at none of them, nor at those that stand in the place of control files.
    pub(crate) fn find(
        privilege: Privilege,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut found = Self {
            config: PathBuf::from(format!("{LOCAL}/etc/nullmailer")),
            spool: PathBuf::from("/var/spool/nullmailer"),
            protocols: PathBuf::from(if LOCAL.is_empty() {
                "/usr/libexec/nullmailer"
            } else {
                "/usr/local/libexec/nullmailer"
            }),
            sbin: PathBuf::from(if LOCAL.is_empty() { "/usr/sbin" } else { "/usr/local/sbin" }),
            sockets: vec!["/run/nullmailer/submit".into(), "/var/spool/nullmailer/submit".into()],
            environment: Arc::default(),
        };
        if privilege == Privilege::SetUid {
            return found;
        }
        let environment = Environment::capture(variables);
        let set = |name| environment.other(name).map(PathBuf::from);
        if let Some(prefix) = set("NULLMAILER_TEST_PREFIX") {
            found.config = prefix.join("conf");
            found.spool = prefix.join("queue");
            found.protocols = prefix.join("protocols");
            found.sbin = prefix.join("sbin");
        }
        if let Some(config) = set("NULLMAILER_CONFIG_DIR") {
            found.config = config;
        }
        if let Some(spool) = set("NULLMAILER_SPOOL_DIR") {
            found.spool = spool;
        }
        // Another spool has another daemon.
        if found.spool != Path::new("/var/spool/nullmailer") {
            found.sockets = vec![found.spool.join("submit")];
        }
        found.environment = Arc::new(environment);
        found
    }

    /// The control files, and the variables in their place.
    pub(crate) fn control(&self) -> Control {
        Control::new(&self.config).with_environment(&self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(privilege: Privilege, set: &[(&str, &str)]) -> Directories {
        Directories::find(privilege, set.iter().map(|(name, value)| (name.into(), value.into())))
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
            ("NULLMAILER_ADMINADDR", "a@b.example"),
        ];
        let found = find(Privilege::SetUid, &everything);
        assert_eq!(found.spool, PathBuf::from("/var/spool/nullmailer"));
        assert!(found.config.ends_with("etc/nullmailer"));
        assert_eq!(found.control().text("adminaddr").unwrap_or_default(), None);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let found = find(Privilege::None, &[("NULLMAILER_SPOOL_DIR", "")]);
        assert_eq!(found.spool, PathBuf::from("/var/spool/nullmailer"));
    }
}
