//! The body of a message on its way in: line ends become LF, and what is typed on a terminal ends once.

use std::io::{self, BufRead, Read};

/// Reads with CR LF replaced by LF. A CR elsewhere stays.
///
/// On the wire every line end is CR LF whatever it was here, so nothing is lost.
#[derive(Debug)]
pub(crate) struct UnixLines<R> {
    input: R,
    /// A CR was read, and what follows it was not.
    cr: bool,
}

impl<R: BufRead> UnixLines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, cr: false }
    }
}

impl<R: BufRead> Read for UnixLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.input.fill_buf()?;
            if self.cr {
                self.cr = false;
                if input.first() != Some(&b'\n') {
                    out[0] = b'\r';
                    return Ok(1);
                }
            }
            // Up to the next CR at most, so that what follows it can be looked at.
            let length = memchr::memchr(b'\r', input).unwrap_or(input.len()).min(out.len());
            if length > 0 || input.is_empty() {
                out[..length].copy_from_slice(&input[..length]);
                self.input.consume(length);
                return Ok(length);
            }
            self.cr = true;
            self.input.consume(1);
        }
    }
}

/// Reads what is typed on a terminal: up to the first end, or to a line that holds a dot and nothing
/// else where that ends it.
///
/// A terminal goes on behind an end; a second look would wait for a second one.
#[derive(Debug)]
pub(crate) struct Typed<R> {
    input: R,
    dot_ends: bool,
    line: Vec<u8>,
    at: usize,
    over: bool,
}

impl<R: BufRead> Typed<R> {
    pub(crate) fn new(input: R, dot_ends: bool) -> Self {
        Self { input, dot_ends, line: Vec::new(), at: 0, over: false }
    }
}

impl<R: BufRead> BufRead for Typed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        /// Enough for a terminal; a longer line comes in pieces.
        const PIECE: u64 = 64 * 1024;
        if self.at == self.line.len() && !self.over {
            let fresh = self.line.is_empty() || self.line.ends_with(b"\n");
            self.line.clear();
            self.at = 0;
            (&mut self.input).take(PIECE).read_until(b'\n', &mut self.line)?;
            let dot = fresh && matches!(&self.line[..], b"." | b".\n" | b".\r\n");
            if self.line.is_empty() || dot && self.dot_ends {
                self.line.clear();
                self.over = true;
            }
        }
        Ok(&self.line[self.at..])
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
    }
}

impl<R: BufRead> Read for Typed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dot_ends_the_text_only_where_it_stands_alone() {
        for (input, text) in
            [("a\n.\nb\n", "a\n"), (".\r\nb", ""), ("a.\n..\n .\n.", "a.\n..\n .\n"), ("a", "a")]
        {
            let mut read = String::new();
            Typed::new(input.as_bytes(), true).read_to_string(&mut read).unwrap();
            assert_eq!(read, text, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn line_ends_become_lf_wherever_the_input_is_cut(
            input in "[a\r\n]{0,40}", inner in 1_usize..8, outer in 1_usize..8
        ) {
            let input_reader = io::BufReader::with_capacity(inner, input.as_bytes());
            let mut reader = UnixLines::new(input_reader);
            let (mut read, mut piece) = (Vec::new(), vec![0; outer]);
            loop {
                let length = reader.read(&mut piece).unwrap();
                if length == 0 { break }
                read.extend_from_slice(&piece[..length]);
            }
            prop_assert_eq!(String::from_utf8(read).unwrap(), input.replace("\r\n", "\n"));
        }
    }
}
