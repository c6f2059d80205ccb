//! One line of a client.

use std::io::{self, BufRead};

/// A line without its end, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Without control characters.
    Command(&'a str),
    TooLong,
    Control,
    BareLf,
}

/// RFC 5321 §4.5.3.1.4 asks for 512; an address of [`crate::mail::Address::MAX`] with
/// parameters needs more.
const MAX: u64 = 2048;

impl<'a> Line<'a> {
    /// Reads a line into `buffer`; `None` at the end of the input, which a line that is not
    /// finished counts as. On a terminal nobody types a CR.
    pub(crate) fn read(
        input: &mut impl BufRead,
        buffer: &'a mut Vec<u8>,
        terminal: bool,
    ) -> io::Result<Option<Self>> {
        buffer.clear();
        io::Read::take(&mut *input, MAX).read_until(b'\n', buffer)?;
        let Some(line) = buffer.strip_suffix(b"\n") else {
            if (buffer.len() as u64) < MAX {
                return Ok(None);
            }
            return Ok(skip_line(input)?.then_some(Self::TooLong));
        };
        let line = match line.strip_suffix(b"\r") {
            Some(line) => line,
            None if terminal => line,
            None => return Ok(Some(Self::BareLf)),
        };
        let text = str::from_utf8(line).ok().filter(|text| !text.contains(forbidden));
        Ok(Some(text.map_or(Self::Control, Self::Command)))
    }
}

fn forbidden(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Passes the rest of a line; false if the input ends before it does.
fn skip_line(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = memchr::memchr(b'\n', buffer);
        let length = end.map_or(buffer.len(), |at| at + 1);
        input.consume(length);
        if end.is_some() {
            return Ok(true);
        }
    }
}
