//! Reads one control file: a text, a duration, a number, a list.
//!
//! nullmailer: only the first line counts, blanks around it do not, and a file that is missing,
//! empty or blank is the same as one that was never written.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use crate::mail::Address;

/// The folder of control files.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    dir: PathBuf,
}

/// No control file is longer; a device or a log by mistake is not read to its end.
const MAX_SIZE: u64 = 1 << 20;

impl Control {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder this one stands in: /etc for /etc/nullmailer.
    pub(super) fn parent(&self) -> Self {
        Self { dir: self.dir.join("..") }
    }

    /// The place to name in an error about the value of `name`.
    pub(crate) fn place(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The first line of the file, without blanks around it; `None` if that leaves nothing.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(whole) = self.whole(name)? else { return Ok(None) };
        let line = whole.lines().next().unwrap_or_default();
        let text = line.trim_matches(is_blank);
        if text.contains(char::is_control) {
            return Err(Error::invalid(
                format!("{}:1", self.place(name)),
                "holds a control character",
            ));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// A time span: bare seconds as in the original, or with units (`5m`, `1h 30m`, `7days`).
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        time_span(&text).map(Some).ok_or_else(|| {
            let flaw =
                format!("{text:?} is not a duration: write seconds, or units as in 5m or 1h 30m");
            Error::invalid(format!("{}:1", self.place(name)), flaw)
        })
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let flaw = format!("{text:?} is not a whole number");
            Error::invalid(format!("{}:1", self.place(name)), flaw)
        })
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(number) = self.integer(name)? else { return Ok(None) };
        let flaw = |_| Error::invalid(format!("{}:1", self.place(name)), "is negative");
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
            Error::invalid(format!("{}:1", self.place(name)), flaw)
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
        Address::parse(text.as_bytes())
            .map_err(|error| Error::invalid(format!("{}:1", self.place(name)), error.to_string()))
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

    fn whole(&self, name: &str) -> Result<Option<String>, Error> {
        read(&self.dir.join(name))
    }
}

/// Bare seconds, or a number with units.
pub(super) fn time_span(text: &str) -> Option<Duration> {
    match text.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// The blanks of C's isspace(3), which the original strips.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// Reads a whole file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(Error::invalid(path.display().to_string(), "longer than 1 MiB"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::invalid(path.display().to_string(), "is not UTF-8")),
    }
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
