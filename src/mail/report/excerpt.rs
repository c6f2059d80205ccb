//! The part of the original that a report returns, read as it is needed and never held.

use std::io::{self, BufRead, Read};

use super::Kind;
use crate::mail::Ret;

/// How much of the original a report returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quote {
    Header,
    /// The header and so many lines of the body.
    Lines(u64),
    Everything,
}

impl Quote {
    /// The original's number: no lines, so many, or for a negative number all of them.
    pub(crate) fn lines(number: i64) -> Self {
        match u64::try_from(number) {
            Ok(0) => Self::Header,
            Ok(lines) => Self::Lines(lines),
            Err(_) => Self::Everything,
        }
    }

    /// What the sender asked for, if it asked. RFC 3461 §4.3: asking counts where mail failed; a
    /// notice of delay returns the header.
    pub(crate) fn for_request(self, ret: Option<Ret>, kind: Kind) -> Self {
        match (kind, ret) {
            (Kind::Failed, None) => self,
            (Kind::Failed, Some(Ret::Full)) => Self::Everything,
            (Kind::Failed, Some(Ret::Headers)) | (Kind::Delayed { .. }, _) => Self::Header,
        }
    }
}

/// Reads the header of `original` up to its first empty line, and as much more as is quoted.
/// What comes out ends with a line end.
pub(crate) struct Excerpt<R> {
    original: R,
    quote: Quote,
    place: Place,
    /// The line, or piece of a long one, that is handed out, and how much of it was.
    line: Vec<u8>,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the header or the body; `true` at the start of a line.
    Header(bool),
    Body(bool),
    End,
}

/// A longer line is handed out in pieces.
const PIECE: u64 = 8192;

impl<R: BufRead> Excerpt<R> {
    pub(crate) fn new(original: R, quote: Quote) -> Self {
        Self { original, quote, place: Place::Header(true), line: Vec::new(), at: 0 }
    }

    fn next_piece(&mut self) -> io::Result<()> {
        self.line.clear();
        self.at = 0;
        match (self.place, &mut self.quote) {
            (Place::End, _) | (Place::Body(true), Quote::Header | Quote::Lines(0)) => {
                self.place = Place::End;
                return Ok(());
            }
            (Place::Body(true), Quote::Lines(left)) => *left -= 1,
            _ => {}
        }
        (&mut self.original).take(PIECE).read_until(b'\n', &mut self.line)?;
        let ended = self.line.last() == Some(&b'\n');
        self.place = match (self.place, self.line.as_slice()) {
            (Place::Header(start) | Place::Body(start), b"") => {
                self.line.extend((!start).then_some(b'\n'));
                Place::End
            }
            // nullmailer takes a line of a lone CR for a field; a stored message with CRLF line
            // ends would be returned whole.
            (Place::Header(true), b"\n" | b"\r\n") => {
                if self.quote == Quote::Header {
                    self.line.clear();
                }
                Place::Body(true)
            }
            (Place::Header(_), _) => Place::Header(ended),
            (Place::Body(_) | Place::End, _) => Place::Body(ended),
        };
        Ok(())
    }
}

impl<R: BufRead> Read for Excerpt<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.line.len() && self.place != Place::End {
            self.next_piece()?;
        }
        let length = out.len().min(self.line.len() - self.at);
        out[..length].copy_from_slice(&self.line[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Whether the quoted part of `original` has bytes beyond ASCII.
pub(crate) fn is_eight_bit(original: impl BufRead, quote: Quote) -> io::Result<bool> {
    let mut excerpt = Excerpt::new(original, quote);
    while excerpt.place != Place::End {
        excerpt.next_piece()?;
        if !excerpt.line.is_ascii() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(original: &str, quote: Quote) -> String {
        let mut out = String::new();
        Excerpt::new(original.as_bytes(), quote).read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn the_header_ends_at_the_first_empty_line() {
        let original = "A: 1\n b\nB: 2\n\none\n\ntwo\nthree";
        assert_eq!(excerpt(original, Quote::Header), "A: 1\n b\nB: 2\n");
        assert_eq!(excerpt(original, Quote::Lines(1)), "A: 1\n b\nB: 2\n\none\n");
        assert_eq!(excerpt(original, Quote::Lines(9)), format!("{original}\n"));
        assert_eq!(excerpt(original, Quote::Everything), format!("{original}\n"));
    }

    #[test]
    fn a_body_with_crlf_is_not_taken_for_the_header() {
        assert_eq!(excerpt("A: 1\r\n\r\nsecret\r\n", Quote::Header), "A: 1\r\n");
    }

    #[test]
    fn an_original_that_is_torn_still_ends_its_line() {
        assert_eq!(excerpt("A: 1", Quote::Header), "A: 1\n");
        assert_eq!(excerpt("", Quote::Everything), "");
        assert_eq!(excerpt("\nbody", Quote::Header), "");
    }

    #[test]
    fn a_line_longer_than_a_piece_counts_once() {
        let long = "x".repeat(usize::try_from(PIECE).unwrap() * 2);
        let original = format!("{long}\n\n{long}\ntwo\n");
        assert_eq!(excerpt(&original, Quote::Lines(1)), format!("{long}\n\n{long}\n"));
        // A piece that happens to be a line end alone is not an empty line.
        let original = format!("{long}\nB: 2\n\n");
        assert_eq!(excerpt(&original, Quote::Header), format!("{long}\nB: 2\n"));
    }

    #[test]
    fn eight_bits_count_only_where_they_are_quoted() {
        let original = "A: 1\n\nj\u{f6}\n".as_bytes();
        assert!(!is_eight_bit(original, Quote::Header).unwrap());
        assert!(is_eight_bit(original, Quote::Lines(1)).unwrap());
    }

    #[test]
    fn the_sender_may_ask_for_more_or_less_of_failed_mail() {
        let configured = Quote::Lines(5);
        let delayed = Kind::Delayed { retry_until: None };
        assert_eq!(configured.for_request(None, Kind::Failed), configured);
        assert_eq!(configured.for_request(Some(Ret::Headers), Kind::Failed), Quote::Header);
        assert_eq!(configured.for_request(Some(Ret::Full), Kind::Failed), Quote::Everything);
        assert_eq!(configured.for_request(Some(Ret::Full), delayed), Quote::Header);
    }
}
