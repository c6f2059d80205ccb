//! A stored message as it goes over the wire: read in blocks, every line end CRLF, dots stuffed.
//!
//! Whatever the file holds, what leaves has no CR and no LF but in CRLF, and no line that is a lone
//! dot, so no receiver can take part of a message for a command (SMTP smuggling).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::mail::downgrade::{Changes, Downgrade};
use crate::transport::Mail;

/// What is read at once. With the CRs that mail of usual lines gains it goes into one write of
/// 64 KiB: four TLS records, as much as rustls buffers.
const BLOCK: usize = 60 * 1024;

/// What is copied at once.
const PIECE: usize = 32;

/// Whether a line that begins with a dot gets one more (RFC 5321 §4.5.2): DATA needs it, BDAT
/// must not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dots {
    Stuffed,
    AsTheyAre,
}

/// Reads a message from its file.
pub(super) struct Body<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    block: Vec<u8>,
    downgrade: Option<Downgrade>,
    /// The block as `downgrade` leaves it.
    text: Vec<u8>,
    lines: Lines,
}

impl<'a> Body<'a> {
    pub(super) fn new(mail: &Mail<'a>, changes: Changes, dots: Dots) -> Self {
        Self {
            file: mail.file,
            at: mail.offset,
            end: mail.offset + mail.size,
            block: Vec::new(),
            downgrade: (changes != Changes::default()).then(|| Downgrade::new(changes)),
            text: Vec::new(),
            lines: Lines::new(dots),
        }
    }

    /// Appends the next block to `wire`; false when that was the last.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than it was. The message must then not be ended.
    pub(super) fn next(&mut self, wire: &mut Vec<u8>) -> io::Result<bool> {
        read_block(self.file, &mut self.at, self.end, &mut self.block)?;
        let more = self.at < self.end;
        match &mut self.downgrade {
            None => self.lines.feed(&self.block, wire),
            Some(downgrade) => {
                self.text.clear();
                downgrade.feed(&self.block, &mut self.text);
                if !more {
                    downgrade.finish(&mut self.text);
                }
                self.lines.feed(&self.text, wire);
            }
        }
        if !more {
            self.lines.finish(wire);
        }
        Ok(more)
    }
}

/// Reads the next block of a file up to `end`; false if there is none.
pub(super) fn read_block(
    file: &File,
    at: &mut u64,
    end: u64,
    block: &mut Vec<u8>,
) -> io::Result<bool> {
    let wanted = usize::try_from(end.saturating_sub(*at)).unwrap_or(BLOCK).min(BLOCK);
    block.resize(wanted, 0);
    file.read_exact_at(block, *at)?;
    *at += wanted as u64;
    Ok(wanted > 0)
}

/// Makes lines fit for the wire, however they are cut into blocks.
#[derive(Debug)]
pub(super) struct Lines {
    dots: Dots,
    /// CRs whose next byte has not come.
    pending: usize,
    at_line_start: bool,
}

impl Lines {
    pub(super) fn new(dots: Dots) -> Self {
        Self { dots, pending: 0, at_line_start: true }
    }

    /// LF and CR LF become CR LF. CRs before a line end go with it, as two conversions in a row
    /// leave them; any other CR becomes a blank, as Postfix has it.
    pub(super) fn feed(&mut self, mut text: &[u8], wire: &mut Vec<u8>) {
        wire.reserve(text.len() + text.len() / 16);
        if self.pending == 0 && memchr::memchr(b'\r', text).is_none() {
            text = self.feed_unix(text, wire);
        }
        while let Some(at) = memchr::memchr2(b'\r', b'\n', text) {
            self.plain(&text[..at], wire);
            if text[at] == b'\r' {
                self.pending += 1;
            } else {
                self.pending = 0;
                self.at_line_start = true;
                wire.extend_from_slice(b"\r\n");
            }
            text = &text[at + 1..];
        }
        self.plain(text, wire);
    }

    /// The same for text without CR, what a stored message nearly always is, but for a rest
    /// shorter than a piece. Lines are short: to copy a fixed length and take back what lies
    /// behind a line end costs less than to search for each end and copy up to it.
    fn feed_unix<'a>(&mut self, mut text: &'a [u8], wire: &mut Vec<u8>) -> &'a [u8] {
        while let Some((piece, rest)) = text.split_first_chunk::<PIECE>() {
            if self.at_line_start && piece[0] == b'.' && self.dots == Dots::Stuffed {
                wire.push(b'.');
            }
            let begin = wire.len();
            wire.extend_from_slice(piece);
            let end = line_end(piece);
            self.at_line_start = end.is_some();
            text = match end {
                Some(length) => {
                    wire.truncate(begin + length);
                    wire.extend_from_slice(b"\r\n");
                    &text[length + 1..]
                }
                None => rest,
            };
        }
        text
    }

    /// Ends the last line, if it has no end of its own.
    pub(super) fn finish(&mut self, wire: &mut Vec<u8>) {
        self.pending = 0;
        if !self.at_line_start {
            self.at_line_start = true;
            wire.extend_from_slice(b"\r\n");
        }
    }

    fn plain(&mut self, text: &[u8], wire: &mut Vec<u8>) {
        let Some(first) = text.first() else { return };
        if self.pending > 0 {
            wire.resize(wire.len() + self.pending, b' ');
            self.pending = 0;
        } else if self.at_line_start && *first == b'.' && self.dots == Dots::Stuffed {
            wire.push(b'.');
        }
        self.at_line_start = false;
        wire.extend_from_slice(text);
    }
}

/// Where the first LF is, eight bytes at a time: a byte less one borrows only if it was 0, and what
/// the borrow spoils lies behind the one that is looked for.
fn line_end(piece: &[u8; PIECE]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const LINE_ENDS: u64 = u64::from_ne_bytes([b'\n'; 8]);
    let (words, _) = piece.as_chunks::<8>();
    words.iter().enumerate().find_map(|(at, word)| {
        let word = u64::from_le_bytes(*word) ^ LINE_ENDS;
        let zeros = word.wrapping_sub(ONES) & !word & HIGH;
        (zeros != 0).then(|| at * 8 + zeros.trailing_zeros() as usize / 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_wire(text: &[u8], dots: Dots, cut: usize) -> Vec<u8> {
        let mut lines = Lines::new(dots);
        let mut wire = Vec::new();
        lines.feed(&text[..cut], &mut wire);
        lines.feed(&text[cut..], &mut wire);
        lines.finish(&mut wire);
        wire
    }

    #[test]
    fn every_line_end_is_crlf_and_a_leading_dot_is_doubled_wherever_the_text_is_cut() {
        for (text, wire) in [
            ("", ""),
            ("a", "a\r\n"),
            ("a\n", "a\r\n"),
            ("a\n\n", "a\r\n\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            (".\n", "..\r\n"),
            ("a\n.b\n..\n", "a\r\n..b\r\n...\r\n"),
            ("a.b\n", "a.b\r\n"),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(
                    on_wire(text.as_bytes(), Dots::Stuffed, cut),
                    wire.as_bytes(),
                    "{text:?}"
                );
            }
        }
        assert_eq!(on_wire(b".\n", Dots::AsTheyAre, 1), b".\r\n");
    }

    #[test]
    fn a_lone_cr_never_leaves() {
        for (text, wire) in [
            ("a\rb\n", "a b\r\n"),
            ("a\r\r\nb", "a\r\nb\r\n"),
            ("\r.\r\n", " .\r\n"),
            ("a\n\r.\n", "a\r\n .\r\n"),
            ("a\r", "a\r\n"),
            ("\r", ""),
            ("\n.\r\rx\r\n", "\r\n..  x\r\n"),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(
                    on_wire(text.as_bytes(), Dots::Stuffed, cut),
                    wire.as_bytes(),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_and_no_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(BLOCK as u64 + 10).unwrap();
        let mail = Mail {
            sender: &crate::mail::ReversePath::Null,
            recipients: &[],
            request: &crate::mail::DeliveryRequest::default(),
            file: &file,
            offset: 0,
            size: BLOCK as u64 + 20,
        };
        let mut body = Body::new(&mail, Changes::default(), Dots::Stuffed);
        let mut wire = Vec::new();
        assert!(body.next(&mut wire).unwrap());
        assert_eq!(body.next(&mut wire).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(wire.len(), BLOCK);
    }

    /// What [`Lines`] promises, byte by byte.
    fn by_the_book(text: &[u8], dots: Dots) -> Vec<u8> {
        let (mut wire, mut crs, mut at_line_start) = (Vec::new(), 0, true);
        for byte in text {
            match byte {
                b'\r' => crs += 1,
                b'\n' => {
                    crs = 0;
                    at_line_start = true;
                    wire.extend_from_slice(b"\r\n");
                }
                byte => {
                    let dot = crs == 0 && at_line_start && *byte == b'.';
                    wire.extend(std::iter::repeat_n(b' ', std::mem::take(&mut crs)));
                    wire.extend((dot && dots == Dots::Stuffed).then_some(b'.'));
                    wire.push(*byte);
                    at_line_start = false;
                }
            }
        }
        if !at_line_start {
            wire.extend_from_slice(b"\r\n");
        }
        wire
    }

    proptest::proptest! {
        #[test]
        fn text_of_any_lines_goes_as_the_rules_say(
            text in proptest::collection::vec(
                // 0x0b is what a search for 0x0a by words may take for one.
                proptest::sample::select(b"\n\n.\x0b\x8aaaaaaaaaaaaaaaaaaaaaaa\r".as_slice()), 0..400),
            crs: bool, stuffed: bool, cut in 0usize..400,
        ) {
            let text: Vec<u8> = text.into_iter().filter(|byte| crs || *byte != b'\r').collect();
            let dots = if stuffed { Dots::Stuffed } else { Dots::AsTheyAre };
            let cut = cut.min(text.len());
            proptest::prop_assert_eq!(on_wire(&text, dots, cut), by_the_book(&text, dots));
        }

        #[test]
        fn no_message_can_end_itself(text: Vec<u8>, pieces in 1usize..9) {
            let mut lines = Lines::new(Dots::Stuffed);
            let mut wire = b"\r\n".to_vec();
            for piece in text.chunks(pieces) {
                lines.feed(piece, &mut wire);
            }
            lines.finish(&mut wire);
            assert!(!wire.windows(5).any(|end| end == b"\r\n.\r\n"));
            let (crs, lfs) = (memchr::memchr_iter(b'\r', &wire), memchr::memchr_iter(b'\n', &wire));
            assert!(crs.map(|at| at + 1).eq(lfs));
        }
    }
}
