//! What remotes need of the system: ports, files, programs. The daemon's sandbox is made to fit it, once, and a remote
//! that was changed since and needs more is told apart from one that does not work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::mail::{Protocol, Remote, SecretSource};

/// The limits of a sandbox on what remotes may use; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) ports: Option<BTreeSet<u16>>,
    /// Folders, as they are without symbolic links.
    pub(crate) folders: Option<Vec<PathBuf>>,
    pub(crate) no_programs: bool,
}

/// The files that the remote's options name.
pub(crate) fn files(remote: &Remote) -> impl Iterator<Item = &Path> {
    let password = match remote.login.as_ref().map(|login| &login.secret) {
        Some(SecretSource::File(path)) => Some(path),
        _ => None,
    };
    let identity = remote.tls.identity.as_ref().map(|(certificate, key)| [certificate, key]);
    let trust = [&remote.tls.ca_file, &remote.tls.crl_file].into_iter().flatten();
    trust.chain(identity.into_iter().flatten()).chain(password).map(PathBuf::as_path)
}

/// What has to be run for the remote: `passcmd`, or the program of its protocol.
pub(crate) fn program(remote: &Remote) -> Option<&str> {
    match (&remote.protocol, remote.login.as_ref().map(|login| &login.secret)) {
        (Protocol::External(name), _) => Some(name),
        (_, Some(SecretSource::Command(_))) => Some("passcmd"),
        _ => None,
    }
}

impl Reach {
    /// In one sentence, what the remote needs and cannot have.
    pub(super) fn refusal(&self, remote: &Remote) -> Option<String> {
        let port = remote.effective_port();
        let port = port.filter(|port| self.ports.as_ref().is_some_and(|all| !all.contains(port)));
        let missing = if let Some(program) = program(remote).filter(|_| self.no_programs) {
            program.to_owned()
        } else if let Some(port) = port {
            format!("port {port}")
        } else {
            files(remote).find(|file| self.is_beyond(file))?.display().to_string()
        };
        Some(format!("the sandbox was closed at start: restart nullmailer-send to use {missing}"))
    }

    /// A file that is not there is for whoever opens it to complain about.
    fn is_beyond(&self, file: &Path) -> bool {
        let Some(folders) = &self.folders else { return false };
        let real = std::fs::canonicalize(file);
        real.is_ok_and(|real| !folders.iter().any(|folder| real.starts_with(folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Login, Tls};

    #[test]
    fn what_a_changed_remote_needs_beyond_the_sandbox_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("ca.pem"), "").unwrap();
        }
        let reach = Reach {
            ports: Some([25].into()),
            folders: Some(vec![inside.canonicalize().unwrap()]),
            no_programs: true,
        };
        let remote = Remote::new("h", Protocol::Smtp);
        assert_eq!(reach.refusal(&remote), None);
        let elsewhere = Remote { port: Some(2525), ..remote.clone() };
        assert!(reach.refusal(&elsewhere).unwrap().ends_with("to use port 2525"));
        assert_eq!(Reach::default().refusal(&elsewhere), None);
        for (folder, refused) in [(&inside, false), (&outside, true)] {
            let ca_file = Some(folder.join("ca.pem"));
            let pinned = Remote { tls: Tls { ca_file, ..Tls::default() }, ..remote.clone() };
            assert_eq!(reach.refusal(&pinned).is_some(), refused, "{folder:?}");
        }
        let external = Remote::new("h", Protocol::External("uucp".to_owned()));
        assert!(reach.refusal(&external).unwrap().ends_with("to use uucp"));
        let login = Login {
            user: "me".to_owned(),
            secret: SecretSource::Command("true".to_owned()),
            mechanisms: Vec::new(),
            cleartext: false,
        };
        let asks = Remote { login: Some(login), ..remote };
        assert!(reach.refusal(&asks).unwrap().ends_with("to use passcmd"));
    }
}
