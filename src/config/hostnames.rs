//! What this machine is called, and what is appended to names that lack a part.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::{Control, Error};
use crate::sys;

/// The names from `me`, `defaulthost`, `defaultdomain`, `idhost` and `helohost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hostnames {
    /// Our own name: `me`, else `/etc/mailname`, else what the system knows.
    pub(crate) me: String,
    /// Appended to bare user names; canonical already.
    pub(crate) default_host: String,
    /// Appended to host names without a dot.
    pub(crate) default_domain: String,
    /// The right side of Message-Ids.
    pub(crate) id_host: String,
    /// What `helohost` says, word for word; `None` leaves the choice to the session.
    pub(crate) helo_host: Option<String>,
}

impl Hostnames {
    /// Reads the names. `kernel_name` is the kernel's host name, used when no file says better.
    pub(crate) fn read(control: &Control, kernel_name: Option<&str>) -> Result<Self, Error> {
        let configured = match control.text("me")? {
            Some(me) => Some(me),
            // /etc/mailname stands beside /etc/nullmailer.
            None => control.parent().text("mailname")?,
        };
        let named = configured.is_some();
        let me = match (configured, kernel_name) {
            (Some(me), _) => me,
            (None, Some(name)) => qualify_by_hosts(name),
            // nullmailer: a machine without any name calls itself "me".
            (None, None) => "me".to_owned(),
        };
        // A kernel name without a dot is no domain: `host.host` would help nobody.
        let fallback = match () {
            () if named || me.contains('.') => (me.as_str(), me.as_str()),
            () if kernel_name.is_some() => (me.as_str(), ""),
            () => ("defaulthost", "defaultdomain"),
        };
        let default_host = control.text("defaulthost")?.unwrap_or_else(|| fallback.0.to_owned());
        let default_domain =
            control.text("defaultdomain")?.unwrap_or_else(|| fallback.1.to_owned());
        let mut names = Self {
            me,
            default_host,
            default_domain,
            id_host: String::new(),
            helo_host: control.text("helohost")?,
        };
        names.default_host = names.canonical(&names.default_host);
        names.id_host = match control.text("idhost")? {
            Some(host) => names.canonical(&host),
            None => names.me.clone(),
        };
        Ok(names)
    }

    /// The full form of `host`: the default host if empty, with the default domain if it has no dot.
    ///
    /// `localhost` and address literals stay as they are.
    pub(crate) fn canonical(&self, host: &str) -> String {
        match host {
            "" => self.default_host.clone(),
            "localhost" => host.to_owned(),
            _ if host.contains('.') || host.starts_with('[') || self.default_domain.is_empty() => {
                host.to_owned()
            }
            _ => format!("{host}.{}", self.default_domain),
        }
    }
}

/// The name as /etc/hosts completes it: the first name with a dot on the line that has `name`.
///
/// The file is not ours: it may be long, of any encoding, or not there.
fn qualify_by_hosts(name: &str) -> String {
    if name.contains('.') {
        return name.to_owned();
    }
    let lines = sys::open_file(Path::new("/etc/hosts"))
        .into_iter()
        .flat_map(|hosts| BufReader::new(hosts).split(b'\n').map_while(Result::ok));
    let full = lines.into_iter().find_map(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        let line = line.split('#').next().unwrap_or_default();
        let mut names = line.split_ascii_whitespace().skip(1);
        let ours = names.clone().any(|one| one == name);
        names.find(|one| ours && one.contains('.')).map(str::to_owned)
    });
    full.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[(&str, &str)], kernel: Option<&str>) -> Hostnames {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("nullmailer");
        std::fs::create_dir(&conf).unwrap();
        for (name, content) in files {
            std::fs::write(conf.join(name), content).unwrap();
        }
        Hostnames::read(&Control::new(&conf), kernel).unwrap()
    }

    #[test]
    fn me_serves_for_every_name_that_is_not_given() {
        let names = names(&[("me", "f.q.d.n"), ("defaultdomain", "q.d.n")], Some("kernel"));
        assert_eq!(names.me, "f.q.d.n");
        assert_eq!(names.default_host, "f.q.d.n");
        assert_eq!(names.id_host, "f.q.d.n");
    }

    #[test]
    fn a_host_without_a_dot_gets_the_default_domain() {
        let names =
            names(&[("me", "f.q.d.n"), ("defaulthost", "h"), ("defaultdomain", "d.d")], None);
        assert_eq!(names.default_host, "h.d.d");
        assert_eq!(names.canonical("x"), "x.d.d");
        assert_eq!(names.canonical(""), "h.d.d");
        for whole in ["localhost", "x.y", "x.", "[IPv6:::1]"] {
            assert_eq!(names.canonical(whole), whole);
        }
        assert_eq!(names.canonical("LOCALHOST"), "LOCALHOST.d.d");
    }

    #[test]
    fn mailname_beside_the_folder_names_us_when_me_does_not() {
        let names = names(&[("../mailname", "mail.example\n")], Some("kernel"));
        assert_eq!(names.me, "mail.example");
    }

    #[test]
    fn without_any_name_the_originals_words_stand_in() {
        let names = names(&[], None);
        assert_eq!(
            (names.me.as_str(), names.default_host.as_str()),
            ("me", "defaulthost.defaultdomain")
        );
    }
}
