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

/// What has no shape of its own, in order: Default_Ignorable_Code_Point of Unicode 18.0 (DerivedCoreProperties.txt), in
/// which all of Bidi_Control (PropList.txt) lies; and the two separators beside it that end lines, U+2028 and U+2029.
const SHAPELESS: [(char, char); 17] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether whoever reads a text would not see this, or see what is around it in another place or colour.
pub(crate) fn is_hidden(c: char) -> bool {
    let at = SHAPELESS.partition_point(|(_, last)| *last < c);
    c.is_control() || SHAPELESS.get(at).is_some_and(|(first, _)| *first <= c)
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if is_hidden(c) => write!(f, "{}", c.escape_unicode())?,
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
    fn what_has_no_shape_is_hidden_to_the_edges_of_each_range() {
        let step = |c: char, by: i32| {
            u32::try_from(i64::from(u32::from(c)) + i64::from(by)).ok().and_then(char::from_u32)
        };
        for (at, (first, last)) in SHAPELESS.into_iter().enumerate() {
            assert!(first <= last && is_hidden(first) && is_hidden(last), "{first:?}");
            let next = SHAPELESS.get(at + 1).map(|(first, _)| *first);
            let before = step(first, -1).expect("it is a character");
            let behind = step(last, 1).expect("it is a character");
            assert!(next.is_none_or(|next| behind < next), "{last:?}");
            assert!(!is_hidden(before), "{before:?}");
            assert!(!is_hidden(behind), "{behind:?}");
        }
        // A vowel separator, a filler, a tag, the marks of direction, and the controls of two sets.
        for c in
            "\u{180e}\u{115f}\u{3164}\u{e0041}\u{202e}\u{2066}\u{200f}\u{0}\u{7f}\u{85}".chars()
        {
            assert!(is_hidden(c), "{c:?}");
            assert!(Printable(&c.to_string()).to_string().starts_with("\\u{"), "{c:?}");
        }
        assert!("az ~äß中🙂\u{10ffff}".chars().all(|c| !is_hidden(c)));
    }

    #[test]
    fn quoted_text_shows_where_it_ends() {
        assert_eq!(format!("{:?}", Printable("a\"b\\")), r#""a\"b\\""#);
    }
}
