//! Text from outside, made fit for one line of a log, a terminal or a bounce.

use std::fmt::{self, Write as _};

/// Shows `self.0` with control characters and invisible or direction-changing ones escaped as
/// `\u{..}`, so that a server or a file cannot add lines to a log or colours to a terminal.
/// With `{:?}` it stands in double quotes; inner quotes and backslashes are then escaped too.
#[derive(Clone, Copy)]
pub(crate) struct Printable<'a>(pub(crate) &'a str);

/// Shows the beginning of `self.0` in double quotes, as much as fits a message to the user.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if hidden(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c => write!(f, "{}", Printable(c.encode_utf8(&mut [0; 4])))?,
            }
        }
        f.write_char('"')
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 100;
        let cut = self.0.char_indices().nth(SHOWN).map_or(self.0.len(), |(at, _)| at);
        write!(f, "{:?}", Printable(&self.0[..cut]))?;
        if cut < self.0.len() { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_start_a_line_or_colour_a_terminal() {
        let shown = Printable("550 no\r\nOct 1 sshd: root\u{1b}[31m\u{202e}").to_string();
        assert_eq!(shown, "550 no\\r\\nOct 1 sshd: root\\u{1b}[31m\\u{202e}");
    }

    #[test]
    fn quoted_text_shows_where_it_ends() {
        assert_eq!(format!("{:?}", Printable("a\"b\\")), r#""a\"b\\""#);
    }
}
