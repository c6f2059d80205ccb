//! The header block of a message as it comes in: fields with their line numbers, and where the
//! body begins. The body is not touched; it stays in the reader.
//!
//! Called by the roles that take a message from a person or a program.

use std::fmt;
use std::io::{self, BufRead, Read};

use super::printable::Quoted;

/// The fields of a message, and what was read of the body to find their end.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) fields: Vec<Field>,
    /// The first line of the body, where no blank line came before it.
    pub(crate) rest: Vec<u8>,
}

/// One field with its continuation lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Where it begins; the first line of the input is 1.
    pub(crate) line: usize,
    /// As it came, without carriage returns before line feeds and without the last line feed.
    pub(crate) text: Vec<u8>,
    colon: usize,
}

/// Why there is no usable header.
#[derive(Debug)]
pub(crate) enum HeaderError {
    Input(io::Error),
    TooLong {
        line: usize,
        limit: usize,
    },
    Nul {
        line: usize,
    },
    /// No header, and what there is instead holds a NUL.
    Binary,
}

impl Field {
    fn new(line: usize, text: Vec<u8>) -> Self {
        let colon = text.iter().position(|byte| *byte == b':').expect("begins_field() saw it");
        Self { line, text, colon }
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.text[..self.colon]
    }

    /// Everything behind the colon.
    pub(crate) fn value(&self) -> &[u8] {
        &self.text[self.colon + 1..]
    }
}

impl Header {
    /// Reads up to the blank line, which goes, or to the first line that is no field, which is
    /// then the first one of the body. Nothing more is taken from `input`.
    ///
    /// nullmailer: "From " and ">From " lines before the first field are dropped; a line of blanks
    /// continues a field.
    pub(crate) fn read(input: &mut impl BufRead, limit: usize) -> Result<Self, HeaderError> {
        let mut header = Self::default();
        let mut left = limit;
        for number in 1.. {
            let mut line = Vec::new();
            let allowed = left as u64 + 1;
            input.take(allowed).read_until(b'\n', &mut line).map_err(HeaderError::Input)?;
            let whole = line.len() <= left;
            left = left.saturating_sub(line.len());
            let text = without_end(&line);
            if text.is_empty() && whole {
                break;
            }
            let known = header.fields.last_mut();
            let continues = known.is_some() && text.first().is_some_and(|first| is_blank(*first));
            let ignored =
                known.is_none() && (text.starts_with(b"From ") || text.starts_with(b">From "));
            let field = continues || ignored || begins_field(text);
            // Only a first line that was cut shows enough of itself to tell that it is no field.
            if !whole && (field || number > 1) {
                return Err(HeaderError::TooLong { line: number, limit });
            }
            if !field {
                header.rest = line;
                break;
            }
            if ignored {
                continue;
            }
            if text.contains(&0) {
                return Err(HeaderError::Nul { line: number });
            }
            match known {
                Some(field) if continues => {
                    field.text.push(b'\n');
                    field.text.extend_from_slice(text);
                }
                _ => {
                    line.truncate(text.len());
                    header.fields.push(Field::new(number, line));
                }
            }
        }
        Ok(header)
    }

    /// Refuses what is no message: an input without any field that begins with binary data.
    /// `next` is what can be read next.
    pub(crate) fn check_text(&self, next: &[u8]) -> Result<(), HeaderError> {
        let binary = self.fields.is_empty() && (self.rest.contains(&0) || next.contains(&0));
        if binary { Err(HeaderError::Binary) } else { Ok(()) }
    }
}

/// nullmailer: a colon before any blank makes a line a field, even with nothing before it.
fn begins_field(line: &[u8]) -> bool {
    let end = line.iter().position(|byte| *byte == b':' || is_blank(*byte));
    end.is_some_and(|at| line[at] == b':')
}

/// The blanks of C's isspace(3).
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A line that is nothing but carriage returns is empty: somebody on the way would take it for the end
/// of the header, and what follows it for the body.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    &line[..end]
}

/// Its beginning, for a message to the user.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(&String::from_utf8_lossy(&self.text)).fmt(f)
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "cannot read the message: {error}"),
            Self::TooLong { line, limit } => {
                write!(
                    f,
                    "cannot use header line {line}: the header is longer than {limit} bytes (maxheadersize)"
                )
            }
            Self::Nul { line } => write!(f, "cannot use header line {line}: it holds a NUL"),
            Self::Binary => {
                f.write_str("cannot use the message: it has no header and holds binary data")
            }
        }
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: impl AsRef<[u8]>) -> (Vec<(usize, String)>, String) {
        let mut input = input.as_ref();
        let header = Header::read(&mut input, 1000).unwrap();
        let fields = header.fields.iter();
        let fields =
            fields.map(|field| (field.line, String::from_utf8_lossy(&field.text).into_owned()));
        let body = [&header.rest, input].concat();
        (fields.collect(), String::from_utf8_lossy(&body).into_owned())
    }

    fn fields(of: &[(usize, &str)]) -> Vec<(usize, String)> {
        of.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn fields_keep_their_folds_and_know_their_lines() {
        let (found, body) = read("From x\n>From y\nA: 1\n\t2\n \nB:3\r\n 4\r\n\r\nC: no\n");
        assert_eq!(found, fields(&[(3, "A: 1\n\t2\n "), (6, "B:3\n 4")]));
        assert_eq!(body, "C: no\n");
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_body_and_is_not_lost() {
        for (input, count, body) in [
            ("A: 1\nhello\nB: 2\n", 1, "hello\nB: 2\n"),
            ("A: 1\nB : 2\n", 1, "B : 2\n"),
            (" A: 1\n", 0, " A: 1\n"),
            ("hello", 0, "hello"),
            ("A: 1\nFrom x\n", 1, "From x\n"),
            ("", 0, ""),
            ("\n\n", 0, "\n"),
            (":x\nA: 1", 2, ""),
            ("A: 1\n\r\r\nB: 2\n", 1, "B: 2\n"),
            ("A: 1\r\r\n\r\nB: 2\n", 1, "B: 2\n"),
        ] {
            let (found, rest) = read(input);
            assert_eq!((found.len(), rest.as_str()), (count, body), "{input:?}");
        }
    }

    #[test]
    fn a_header_without_end_is_not_read_to_its_end() {
        for endless in ["a: b\n", "a:b", "a: b\n c\n", "From x\n"] {
            let mut input = io::BufReader::new(Endless(endless.as_bytes(), 0));
            let error =
                Header::read(&mut input, 10_000).map(|header| header.fields.len()).unwrap_err();
            assert!(error.to_string().contains("longer than 10000 bytes"), "{endless:?}: {error}");
        }
    }

    #[test]
    fn a_line_without_end_that_is_no_field_is_a_body() {
        let mut input = io::BufReader::new(Endless(b"x", 0));
        let header = Header::read(&mut input, 10_000).unwrap();
        assert!(header.fields.is_empty() && header.rest.len() == 10_001);
    }

    struct Endless(&'static [u8], usize);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in &mut *buffer {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_nul_in_the_header_is_refused_with_its_line() {
        let error = Header::read(&mut &b"a: b\nc: d\n\0e\n\n"[..], 100).unwrap();
        assert_eq!(error.rest, b"\0e\n");
        let error = Header::read(&mut &b"a: b\nc: d\n \0e\n\n"[..], 100).unwrap_err();
        assert_eq!(error.to_string(), "cannot use header line 3: it holds a NUL");
    }

    proptest! {
        #[test]
        fn header_and_body_together_are_the_input(
            input in "([ab:>\t ]{0,5}(\r?\n)){0,8}[ab: \r]{0,3}"
        ) {
            let mut rest = input.as_bytes();
            let header = Header::read(&mut rest, 1000).unwrap();
            let mut printed = Vec::new();
            for field in &header.fields {
                printed.extend_from_slice(&field.text);
                printed.push(b'\n');
            }
            let body = String::from_utf8([&header.rest, rest].concat()).unwrap();
            let head = input.strip_suffix(&body).expect("the body is the end of the input");
            let head: String = head.replace("\r\n", "\n");
            let printed = String::from_utf8(printed).unwrap();
            // A blank line between them goes; so does a carriage return at the very end.
            let head = head.trim_end_matches('\r');
            prop_assert_eq!(printed.trim_end_matches('\n'), head.trim_end_matches('\n'));
        }

        #[test]
        fn a_folded_field_is_one_field_with_its_lines(
            parts in prop::collection::vec("[ \t][a-z:,]{0,20}", 0..10), crlf in any::<bool>()
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let lines = [&["X: 0".to_owned()], &parts[..], &["Y: 1".to_owned()]].concat();
            let folded = format!("{}{end}{end}body", lines.join(end));
            let (found, body) = read(&folded);
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(&found[0].1, &[vec!["X: 0".to_owned()], parts.clone()].concat().join("\n"));
            prop_assert_eq!(found[1].0, parts.len() + 2);
            prop_assert_eq!(body, "body");
        }
    }
}
