//! Control files as environment variables: NAME is `NULLMAILER_NAME`, or `NULLMAILER_NAME_FILE` for a file to
//! read, as containers are given their settings and secrets.
//!
//! A role captures the environment once; [`super::Control`] looks here before it opens a file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;

/// Every control file.
pub(crate) const FILES: &[&str] = &[
    "adminaddr",
    "allmailfrom",
    "bouncelimit",
    "bouncelines",
    "bounceto",
    "defaultdomain",
    "defaulthost",
    "delaywarning",
    "deliverymode",
    "doublebounceto",
    "failedlifetime",
    "helohost",
    "idhost",
    "logaddresses",
    "logformat",
    "logto",
    "maxheadersize",
    "maxhops",
    "maxmessagesize",
    "maxpause",
    "me",
    "minfree",
    "pausetime",
    "queuelifetime",
    "ratelimit",
    "remotes",
    "sandbox",
    "sendtimeout",
    "submitusers",
];

/// Variables of the same prefix that mean something else, and stand for no control file.
const OTHERS: &[&str] = &[
    "NULLMAILER_CONFIG_DIR",
    "NULLMAILER_FLAGS",
    "NULLMAILER_HOST",
    "NULLMAILER_NAME",
    "NULLMAILER_QUEUE",
    "NULLMAILER_SHOST",
    "NULLMAILER_SPOOL_DIR",
    "NULLMAILER_SUSER",
    "NULLMAILER_TEST_PREFIX",
    "NULLMAILER_USER",
];

/// What Kubernetes sets in every container beside a service that is called nullmailer.
const SERVICE_LINKS: &[&str] = &["NULLMAILER_SERVICE_", "NULLMAILER_PORT"];

const PREFIX: &str = "NULLMAILER_";

/// The variables that may concern us; those that are empty count as unset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    set: Vec<Variable>,
    /// Where systemd has put what LoadCredential= names.
    credentials: Option<PathBuf>,
}

#[derive(Clone)]
struct Variable {
    name: String,
    value: OsString,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The content of this control file.
    Content(&'static str),
    /// Which file to read in the place of this control file.
    Path(&'static str),
    Other,
    Unknown,
}

/// Where a control file is to be found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// In the folder of control files.
    Folder,
    /// In the variable itself.
    Content { variable: &'a str, value: &'a OsStr },
    /// In the file that the variable names.
    Path { variable: &'a str, path: &'a OsStr },
}

impl Environment {
    /// Takes what begins with our prefix out of the environment.
    pub(super) fn capture(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = |(name, value): (OsString, OsString)| {
            let name = name.to_str().filter(|name| name.starts_with(PREFIX))?;
            let meaning = Meaning::of(name);
            (!value.is_empty()).then(|| Variable { name: name.to_owned(), value, meaning })
        };
        let mut credentials = None;
        let variables = variables.into_iter().inspect(|(name, value)| {
            if name == "CREDENTIALS_DIRECTORY" && !value.is_empty() {
                credentials = Some(PathBuf::from(value));
            }
        });
        let set = variables.filter_map(ours).collect();
        Self { set, credentials }
    }

    /// The value of a variable that stands for no control file.
    pub(super) fn other(&self, name: &str) -> Option<&OsStr> {
        self.set.iter().find(|one| one.name == name).map(|one| one.value.as_os_str())
    }

    /// Where `file` is to be found.
    pub(super) fn source(&self, file: &str) -> Result<Source<'_>, Error> {
        let mut set = self.set.iter();
        let content =
            set.clone().find(|one| matches!(one.meaning, Meaning::Content(name) if name == file));
        let path = set.find(|one| matches!(one.meaning, Meaning::Path(name) if name == file));
        match (content, path) {
            (None, None) => Ok(Source::Folder),
            (Some(one), None) => Ok(Source::Content { variable: &one.name, value: &one.value }),
            (None, Some(one)) => Ok(Source::Path { variable: &one.name, path: &one.value }),
            (Some(content), Some(path)) => {
                Err(Error::invalid(&content.name, format!("{} is set too: unset one", path.name)))
            }
        }
    }

    /// The folder of credentials, for the service that was given any.
    pub(super) fn credentials(&self) -> Option<&Path> {
        self.credentials.as_deref()
    }

    /// The files that are read in the place of control files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let paths = self.set.iter().filter(|one| matches!(one.meaning, Meaning::Path(_)));
        paths.map(|one| Path::new(&one.value))
    }

    /// The variables that look like ours and are not, each in one line with what may be meant.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = impl fmt::Display> {
        let unknown = self.set.iter().filter(|one| one.meaning == Meaning::Unknown);
        unknown.filter(|one| !SERVICE_LINKS.iter().any(|link| one.name.starts_with(link))).map(
            |one| format!("{}: no such variable, {} is the nearest", one.name, nearest(&one.name)),
        )
    }
}

impl Meaning {
    fn of(variable: &str) -> Self {
        let known = |name: &str| {
            let name = name.strip_prefix(PREFIX)?;
            FILES.iter().find(|file| file.bytes().map(|b| b.to_ascii_uppercase()).eq(name.bytes()))
        };
        if OTHERS.contains(&variable) {
            Self::Other
        } else if let Some(file) = known(variable) {
            Self::Content(file)
        } else if let Some(file) = variable.strip_suffix("_FILE").and_then(known) {
            Self::Path(file)
        } else {
            Self::Unknown
        }
    }
}

/// Without the value, which may hold a password.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The variable that stands for the control file.
pub(super) fn variable_of(file: &str) -> String {
    PREFIX.to_owned() + &file.to_ascii_uppercase()
}

/// The variable of ours that takes the fewest letters to change.
fn nearest(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let contents = FILES.iter().map(|file| variable_of(file));
    let paths = contents.clone().map(|name| name + "_FILE");
    let all = contents.chain(OTHERS.iter().map(ToString::to_string)).chain(paths);
    all.min_by_key(|known| strsim::osa_distance(known, &upper)).expect("there are variables")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> Environment {
        Environment::capture(set.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn mistakes(names: &[&str]) -> Vec<String> {
        let set: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
        environment(&set).mistakes().map(|line| line.to_string()).collect()
    }

    #[test]
    fn a_wrong_variable_is_named_with_the_nearest_right_one() {
        for (wrong, right) in [
            ("NULLMAILER_REMOTE", "NULLMAILER_REMOTES"),
            ("NULLMAILER_REMOTES_FILES", "NULLMAILER_REMOTES_FILE"),
            ("NULLMAILER_pausetime", "NULLMAILER_PAUSETIME"),
            ("NULLMAILER_SPOOLDIR", "NULLMAILER_SPOOL_DIR"),
        ] {
            let lines = mistakes(&[wrong]);
            assert_eq!(lines, [format!("{wrong}: no such variable, {right} is the nearest")]);
        }
    }

    #[test]
    fn right_variables_and_those_of_others_are_no_mistakes() {
        let kubernetes =
            ["NULLMAILER_SERVICE_HOST", "NULLMAILER_SERVICE_PORT", "NULLMAILER_PORT_25_TCP_ADDR"];
        assert!(mistakes(&kubernetes).is_empty());
        assert!(mistakes(OTHERS).is_empty());
        let files: Vec<_> = FILES
            .iter()
            .flat_map(|file| {
                let name = variable_of(file);
                [name.clone() + "_FILE", name]
            })
            .collect();
        assert!(mistakes(&files.iter().map(String::as_str).collect::<Vec<_>>()).is_empty());
        assert!(mistakes(&["PATH", "NULLMAILERX", "nullmailer_me"]).is_empty());
    }

    #[test]
    fn no_debug_output_shows_a_value() {
        let shown = format!("{:?}", environment(&[("NULLMAILER_REMOTES", "h smtp pass=hunter2")]));
        assert!(shown.contains("NULLMAILER_REMOTES") && !shown.contains("hunter2"), "{shown}");
    }
}
