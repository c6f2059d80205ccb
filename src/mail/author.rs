//! Who writes, as far as the message does not say: user, host and name from the environment.

use super::address_list::{Canonical, local_part};
use super::{Address, AddressError, encoded_word};

/// The parts of the generated From and of the envelope sender.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    user: String,
    /// In full.
    pub(crate) host: String,
    /// `None`: the user's.
    pub(crate) name: Option<String>,
    sender_user: String,
    /// In full.
    sender_host: String,
    /// The command line says who it is.
    given: Option<Address>,
}

/// How the generated From is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `NAME <ADDRESS>`
    Angle,
    /// `ADDRESS (NAME)`
    Comment,
}

impl Author {
    /// nullmailer: the first variable of each row that is not empty; the name of the login only
    /// where no variable names the user.
    pub(crate) fn find(
        variable: impl Fn(&str) -> Option<String>,
        login: impl FnOnce() -> Option<String>,
        canonical: Canonical<'_>,
    ) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let user = first(&["NULLMAILER_USER", "MAILUSER", "USER", "LOGNAME"])
            .or_else(login)
            .unwrap_or_else(|| "unknown".to_owned());
        let host = first(&["NULLMAILER_HOST", "MAILHOST", "HOSTNAME"]).unwrap_or_default();
        let host = canonical(&host);
        Self {
            name: first(&["NULLMAILER_NAME", "MAILNAME", "NAME"]),
            sender_user: first(&["NULLMAILER_SUSER"]).unwrap_or_else(|| user.clone()),
            sender_host: first(&["NULLMAILER_SHOST"])
                .map_or_else(|| host.clone(), |host| canonical(&host)),
            user,
            host,
            given: None,
        }
    }

    /// Makes the address of this author the one that the command line gives.
    pub(crate) fn is(&mut self, address: &Address) {
        address.local_part().clone_into(&mut self.user);
        self.given = Some(address.clone());
    }

    /// The envelope sender where nothing else says who it is.
    pub(crate) fn sender(&self) -> Result<Address, AddressError> {
        address(&self.sender_user, &self.sender_host)
    }

    /// The value of a generated From.
    pub(crate) fn from(&self, style: Style) -> Result<String, AddressError> {
        let address = match &self.given {
            Some(address) => address.clone(),
            None => address(&self.user, &self.host)?,
        };
        // A line feed in the environment would begin a field of its own.
        let name = self.name.as_ref().unwrap_or(&self.user).replace(char::is_control, " ");
        let name = name.trim();
        Ok(match style {
            _ if name.is_empty() => format!("<{address}>"),
            Style::Angle => format!("{} <{address}>", phrase(name)),
            Style::Comment => format!("{address} ({})", comment(name)),
        })
    }
}

fn address(user: &str, host: &str) -> Result<Address, AddressError> {
    Address::parse(&[&local_part(user.as_bytes()), &b"@"[..], host.as_bytes()].concat())
}

/// RFC 5322 §3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Encoded words go on several lines, while a name in quotes stays on the one that has the address, and
/// RFC 5322 §2.1.1 allows that 998 bytes.
fn is_encoded(name: &str) -> bool {
    const LONG: usize = 200;
    !name.is_ascii() || name.len() > LONG
}

/// The name as words, as a quoted string, or encoded.
fn phrase(name: &str) -> String {
    if is_encoded(name) {
        return encoded_word::encode(name);
    }
    if name.split(' ').all(|word| !word.is_empty() && word.bytes().all(is_atext)) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn comment(name: &str) -> String {
    if is_encoded(name) {
        return encoded_word::encode(name);
    }
    name.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(variables: &[(&str, &str)]) -> Author {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let canonical =
            |host: &str| if host.is_empty() { "h.d".to_owned() } else { host.to_owned() };
        Author::find(variable, || Some("login".to_owned()), &canonical)
    }

    #[test]
    fn a_name_is_quoted_or_encoded_where_it_needs_it() {
        for (name, angle, comment) in [
            ("", "login <login@h.d>", "login@h.d (login)"),
            ("John Doe", "John Doe <login@h.d>", "login@h.d (John Doe)"),
            ("Public, J", "\"Public, J\" <login@h.d>", "login@h.d (Public, J)"),
            ("J. \"X\" (y)", "\"J. \\\"X\\\" (y)\" <login@h.d>", "login@h.d (J. \"X\" \\(y\\))"),
            ("Jörg", "=?UTF-8?B?SsO2cmc=?= <login@h.d>", "login@h.d (=?UTF-8?B?SsO2cmc=?=)"),
            ("a\nBcc: x", "\"a Bcc: x\" <login@h.d>", "login@h.d (a Bcc: x)"),
        ] {
            let variables = [("NULLMAILER_NAME", name)];
            let author = author(if name.is_empty() { &[] } else { &variables });
            assert_eq!(author.from(Style::Angle).unwrap(), angle);
            assert_eq!(author.from(Style::Comment).unwrap(), comment);
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_a_line_goes_on_several() {
        let name = "\"(John)\" ".repeat(200);
        let author = author(&[("NULLMAILER_NAME", name.as_str())]);
        for style in [Style::Angle, Style::Comment] {
            let value = author.from(style).unwrap();
            assert!(value.lines().all(|line| line.len() <= 100), "{value}");
            assert!(value.lines().skip(1).all(|line| line.starts_with(" =?UTF-8?B?")), "{value}");
        }
    }

    #[test]
    fn a_user_that_is_no_local_part_is_quoted_and_a_line_feed_in_it_is_refused() {
        let sender = |user| author(&[("USER", user)]).sender();
        assert_eq!(sender("a@b").unwrap().as_str(), "\"a@b\"@h.d");
        assert_eq!(sender("John Doe").unwrap().as_str(), "\"John Doe\"@h.d");
        assert!(sender("a\nb").is_err());
    }
}
