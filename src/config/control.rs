//! Reads one control file: a text, a duration, a number, a list.
//!
//! nullmailer: only the first line counts, blanks around it do not, and a file that is missing,
//! empty or blank is the same as one that was never written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::environment::{Source, variable_of};
use super::{Environment, Error};
use crate::mail::Address;
use crate::sys;

/// The folder of control files, and the environment that wins over it.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    dir: PathBuf,
    environment: Arc<Environment>,
}

/// No control file is longer; a device or a log by mistake is not read to its end.
const MAX_SIZE: u64 = 1 << 20;

impl Control {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), environment: Arc::default() }
    }

    pub(super) fn with_environment(self, environment: &Arc<Environment>) -> Self {
        Self { environment: Arc::clone(environment), ..self }
    }

    /// The folder this one stands in: /etc for /etc/nullmailer. What is there is no control file.
    pub(super) fn parent(&self) -> Self {
        Self::new(&self.dir.join(".."))
    }

    /// An error about the value of `name`.
    pub(crate) fn invalid(&self, name: &str, flaw: impl Into<String>) -> Error {
        match self.environment.source(name) {
            // It is one line.
            Ok(Source::Content { variable, .. }) => Error::invalid(variable, flaw),
            _ => self.invalid_line(name, 1, flaw),
        }
    }

    /// An error about one line of `name`.
    pub(super) fn invalid_line(&self, name: &str, line: usize, flaw: impl Into<String>) -> Error {
        Error::invalid(format!("{}:{line}", self.place(name)), flaw)
    }

    /// An error about a control file that has to be there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        let variable = variable_of(name);
        Error::invalid(self.place(name), format!("holds nothing, and {variable} is not set"))
    }

    /// What to call `name` in an error: the file that was read, or the variable.
    fn place(&self, name: &str) -> String {
        match self.environment.source(name) {
            Ok(Source::Content { variable, .. }) => variable.to_owned(),
            Ok(Source::Path { path, .. }) => Path::new(path).display().to_string(),
            _ => self.dir.join(name).display().to_string(),
        }
    }

    /// The first line of the file, without blanks around it; `None` if that leaves nothing.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(whole) = self.whole(name)? else { return Ok(None) };
        let line = whole.lines().next().unwrap_or_default();
        let text = line.trim_matches(is_blank);
        if text.contains(char::is_control) {
            return Err(self.invalid(name, "holds a control character"));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// A time span: bare seconds as in the original, or with units (`5m`, `1h 30m`, `7days`).
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        time_span(&text).map(Some).ok_or_else(|| {
            let flaw =
                format!("{text:?} is not a duration: write seconds, or units as in 5m or 1h 30m");
            self.invalid(name, flaw)
        })
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let flaw = format!("{text:?} is not a whole number");
            self.invalid(name, flaw)
        })
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(number) = self.integer(name)? else { return Ok(None) };
        let flaw = |_| self.invalid(name, "is negative");
        number.try_into().map(Some).map_err(flaw)
    }

    /// One of a few words; the default where the file is not set.
    pub(crate) fn choice<T: Copy + Default>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<T, Error> {
        let Some(text) = self.text(name)? else { return Ok(T::default()) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let flaw = format!("{text:?} is none of {}", known.join(", "));
            self.invalid(name, flaw)
        })
    }

    /// One address.
    pub(crate) fn address(&self, name: &str) -> Result<Option<Address>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        self.parse_address(name, &text).map(Some)
    }

    /// Addresses with commas between them; none if the file is not set.
    pub(crate) fn addresses(&self, name: &str) -> Result<Vec<Address>, Error> {
        let text = self.text(name)?.unwrap_or_default();
        let listed = text.split(',').map(|one| one.trim_matches(is_blank));
        listed.filter(|_| !text.is_empty()).map(|one| self.parse_address(name, one)).collect()
    }

    fn parse_address(&self, name: &str, text: &str) -> Result<Address, Error> {
        Address::parse(text.as_bytes()).map_err(|error| self.invalid(name, error.to_string()))
    }

    /// Every line with its number (from 1), without blanks around it; empty lines and lines that
    /// begin with `#` are left out.
    pub(crate) fn lines(&self, name: &str) -> Result<Vec<(usize, String)>, Error> {
        let whole = self.whole(name)?.unwrap_or_default();
        let lines = whole.lines().zip(1..).map(|(line, at)| (at, line.trim_matches(is_blank)));
        Ok(lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| (at, line.to_owned()))
            .collect())
    }

    /// Where the control file is read; `None` where a variable holds its content.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        match self.environment.source(name) {
            Ok(Source::Folder) => Some(self.dir.join(name)),
            Ok(Source::Path { path, .. }) => Some(PathBuf::from(path)),
            _ => None,
        }
    }

    /// A file that a control file names: without a folder it is a credential of the service, else it
    /// stands beside the control files.
    pub(super) fn named(&self, file: &Path) -> PathBuf {
        let credential = self.environment.credentials().map(|folder| folder.join(file));
        credential.filter(|path| path.exists()).unwrap_or_else(|| self.dir.join(file))
    }

    /// The files that are read, now or later: those of the folder as they are now, one for the folder as such, and
    /// those that the environment names.
    #[allow(clippy::disallowed_methods, reason = "only the names in the folder are read")]
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let there = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = there.map(|entry| entry.path()).collect();
        files.push(self.dir.join("remotes"));
        files.extend(self.environment.paths().map(Path::to_owned));
        files
    }

    /// Words with blanks or commas between them; none if the file is not set.
    pub(crate) fn words(&self, name: &str) -> Result<Vec<String>, Error> {
        let text = self.text(name)?.unwrap_or_default();
        let words = text.split(|c| c == ',' || is_blank(c)).filter(|word| !word.is_empty());
        Ok(words.map(str::to_owned).collect())
    }

    fn whole(&self, name: &str) -> Result<Option<String>, Error> {
        match self.environment.source(name)? {
            Source::Folder => match read(&self.dir.join(name)) {
                Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    Ok(None)
                }
                read => read.map(Some),
            },
            Source::Content { variable, value } => match value.to_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(Error::invalid(variable, "is not UTF-8")),
            },
            // What was asked for by name has to be there.
            Source::Path { variable, path } => match read(Path::new(path)) {
                Err(Error::Read { place, source }) => {
                    Err(Error::Read { place: format!("{place} ({variable})"), source })
                }
                read => read.map(Some),
            },
        }
    }
}

/// Bare seconds, or a number with units.
pub(crate) fn time_span(text: &str) -> Option<Duration> {
    match text.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// The blanks of C's isspace(3), which the original strips.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// Reads a whole file.
fn read(path: &Path) -> Result<String, Error> {
    let place = || path.display().to_string();
    let read = sys::read_file(path, MAX_SIZE);
    let bytes = read.map_err(|source| Error::Read { place: place(), source })?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(Error::invalid(place(), "longer than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid(place(), "is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Control) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let control = Control::new(dir.path());
        (dir, control)
    }

    #[test]
    fn only_the_first_line_counts_and_blanks_around_it_do_not() {
        let (_dir, control) = control(&[
            ("me", b" \t h.example \r\nother\n"),
            ("blank", b"\nlater\n"),
            ("empty", b""),
        ]);
        assert_eq!(control.text("me").unwrap().as_deref(), Some("h.example"));
        for unset in ["blank", "empty", "missing"] {
            assert_eq!(control.text(unset).unwrap(), None, "{unset}");
        }
    }

    #[test]
    fn a_duration_is_bare_seconds_or_has_units() {
        let (_dir, control) = control(&[
            ("a", b"90"),
            ("b", b"1h 30m"),
            ("zero", b"0"),
            ("bad", b"soon"),
            ("neg", b"-1"),
        ]);
        assert_eq!(control.duration("a").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(control.duration("b").unwrap(), Some(Duration::from_secs(5400)));
        assert_eq!(control.duration("zero").unwrap(), Some(Duration::ZERO));
        for bad in ["bad", "neg"] {
            let line = control.duration(bad).unwrap_err().to_string();
            assert!(line.contains(&format!("{bad}:1: ")), "{line}");
        }
    }

    #[test]
    fn list_lines_keep_their_numbers() {
        let (_dir, control) = control(&[("remotes", b"# c\n\n  a b \n\t#x\nc#d\n")]);
        let lines = control.lines("remotes").unwrap();
        assert_eq!(lines, [(3, "a b".to_owned()), (5, "c#d".to_owned())]);
    }

    #[test]
    fn a_file_that_is_no_text_is_an_error_that_names_it() {
        let (dir, control) = control(&[("me", b"\xff\xfe")]);
        assert!(control.text("me").unwrap_err().to_string().contains("/me: is not UTF-8"));
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(control.text("folder").unwrap_err().to_string().starts_with("cannot read "));
    }
}
