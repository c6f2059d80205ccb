//! Files with passwords or keys that everybody on the machine may read or write.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Control;
use crate::mail::{Remote, SecretSource};

/// One line for each, with what to do. A group may read them: who is in it is the administrator's to know.
pub(crate) fn exposed(control: &Control, remotes: &[Remote]) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |path: &Path, what: &str| {
        let mode = std::fs::metadata(path).map_or(0, |meta| meta.mode() & 0o7777);
        let path = path.display();
        if mode & 0o006 != 0 {
            let line = format!(
                "{path} has mode {mode:04o}: everybody has access to the {what} in it; chmod o-rwx {path}"
            );
            if !found.contains(&line) {
                found.push(line);
            }
        }
    };
    for remote in remotes {
        let password = remote.login.as_ref().map(|login| &login.secret);
        match password {
            Some(SecretSource::File(path)) => look(path, "password"),
            // Any word for a program that is not ours may be one.
            Some(SecretSource::Inline(_)) => in_remotes(control, &mut look),
            _ if !remote.options.is_empty() => in_remotes(control, &mut look),
            _ => {}
        }
        if let Some((_, key)) = &remote.tls.identity {
            look(key, "key");
        }
    }
    found
}

fn in_remotes(control: &Control, look: &mut dyn FnMut(&Path, &str)) {
    if let Some(path) = control.path("remotes") {
        look(&path, "passwords");
    }
}
