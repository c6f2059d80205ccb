//! What has to be known of a message before its envelope is sent: its size, and what is not ASCII.

use std::io;

use tokio::task::yield_now;

use super::body::read_block;
use crate::transport::Mail;

/// One pass over a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Bytes on the wire: line ends counted as two, dots not stuffed (RFC 1870 §5).
    pub(super) size: u64,
    /// The header has bytes beyond ASCII: raw UTF-8 (RFC 6532), or worse.
    pub(super) header: bool,
    /// So has the body.
    pub(super) body: bool,
}

impl Survey {
    /// Lets others go on between two blocks: a large message takes seconds.
    pub(super) async fn of(mail: &Mail<'_>) -> io::Result<Self> {
        let (mut at, end) = (mail.offset, mail.offset + mail.size);
        let (mut block, mut watch) = (Vec::new(), Watch::default());
        while read_block(mail.file, &mut at, end, &mut block)? {
            watch.see(&block);
            if at < end {
                yield_now().await;
            }
        }
        Ok(watch.done())
    }
}

#[derive(Default)]
struct Watch {
    found: Survey,
    in_body: bool,
    /// The last two bytes seen, for what lies across two blocks.
    before: [u8; 2],
}

impl Watch {
    fn see(&mut self, mut block: &[u8]) {
        let Some(last) = block.last() else { return };
        let before = self.before;
        self.before = match block {
            [only] => [before[1], *only],
            _ => [block[block.len() - 2], *last],
        };
        self.found.size += block.len() as u64 + bare_line_ends(before[1], block);
        if !self.in_body {
            match blank_line(before, block) {
                Some(at) => {
                    self.found.header |= !block[..at].is_ascii();
                    self.in_body = true;
                    block = &block[at..];
                }
                None => self.found.header |= !block.is_ascii(),
            }
        }
        self.found.body |= self.in_body && !block.is_ascii();
    }

    fn done(mut self) -> Survey {
        if self.found.size > 0 && self.before[1] != b'\n' {
            self.found.size += 2;
        }
        self.found
    }
}

/// LFs without a CR before them.
fn bare_line_ends(before: u8, block: &[u8]) -> u64 {
    let ends = memchr::memchr_iter(b'\n', block).count();
    let after_cr = |at: &usize| block.get(at + 1) == Some(&b'\n');
    let mut whole = memchr::memchr_iter(b'\r', block).filter(after_cr).count();
    whole += usize::from(before == b'\r' && block.first() == Some(&b'\n'));
    (ends - whole) as u64
}

/// Where the body begins: behind the first line end that follows another, or begins the message.
fn blank_line(before: [u8; 2], block: &[u8]) -> Option<usize> {
    let byte = |at: usize, back: usize| match at.checked_sub(back) {
        Some(at) => block[at],
        None => before[2 - (back - at)],
    };
    memchr::memchr_iter(b'\n', block).find_map(|at| {
        let (one, two) = (byte(at, 1), byte(at, 2));
        // NUL stands for what is before the first byte.
        let blank = one == b'\n' || one == 0 || (one == b'\r' && (two == b'\n' || two == 0));
        blank.then_some(at + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(text: &[u8], cut: usize) -> Survey {
        let mut watch = Watch::default();
        watch.see(&text[..cut]);
        watch.see(&text[cut..]);
        watch.done()
    }

    #[test]
    fn header_and_body_are_told_apart_wherever_the_text_is_cut() {
        for (text, size, header, body) in [
            ("", 0, false, false),
            ("A: b\n\nc\n", 11, false, false),
            ("A: b\r\n\r\nc\r\n", 11, false, false),
            ("A: ä\n\nc", 12, true, false),
            ("A: b\n\nä", 12, false, true),
            ("A: b\r\n\r\nä\r\n\r\n", 14, false, true),
            ("\nä\n", 6, false, true),
            ("A: ä\n", 7, true, false),
        ] {
            for cut in 0..=text.len() {
                let seen = survey(text.as_bytes(), cut);
                assert_eq!(seen, Survey { size, header, body }, "{text:?} cut at {cut}");
            }
        }
    }
}
