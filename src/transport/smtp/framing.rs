//! Bytes of a server → replies (RFC 5321 §4.2). Pure: `wire` feeds it, a fuzz target too.
//!
//! Taken as they come: a bare LF as line end, a code without text, a tab behind it, a second digit
//! of 6 to 9, text that is not UTF-8. Refused, because the next reply would then be taken for an
//! answer to something else: whatever does not begin with a code, and classes mixed in one reply.
//!
//! Replies are made here, and nowhere else of what a server sends; so here is where secrets that it quotes are taken out.

use crate::mail::{Mask, Printable, Reply};

/// A line longer than this is not kept to its end: RFC 5321 §4.5.3.1.5 knows 512 bytes.
const MAX_LINE: usize = 4096;
/// More lines than any EHLO reply has.
const MAX_LINES: usize = 256;
/// What is kept of a line's text.
const KEPT: usize = 900;

/// Splits what a server sends into replies. Holds no more than one line and one reply.
#[derive(Debug, Default)]
pub(super) struct Framer {
    raw: Vec<u8>,
    /// Where the part of `raw` begins that has not been looked at.
    begin: usize,
    /// The lines of a reply whose last line has not come.
    open: Vec<String>,
    class: u16,
    mask: Mask,
}

impl Framer {
    /// Takes bytes as they came from the network.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.raw.drain(..self.begin);
        self.begin = 0;
        self.raw.extend_from_slice(bytes);
    }

    /// What no reply shows from now on.
    /// What is to be taken out of all that is kept. A line that is no reply goes through it here; a reply has yet to be
    /// read, and goes through it in the session.
    pub(super) fn mask(&mut self) -> &mut Mask {
        &mut self.mask
    }

    /// The next whole reply; `None` until more is fed.
    ///
    /// # Errors
    /// What the server broke, in words; the stream is then of no further use.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, String> {
        while let Some(length) = memchr::memchr(b'\n', &self.raw[self.begin..]) {
            let line = &self.raw[self.begin..self.begin + length];
            let parsed = Line::parse(line, &self.mask)?;
            self.begin += length + 1;
            if !self.open.is_empty() && self.class != parsed.code / 100 {
                return Err(format!(
                    "server mixed {}yz and {} in one reply",
                    self.class, parsed.code
                ));
            }
            self.class = parsed.code / 100;
            self.open.push(parsed.text);
            if parsed.last {
                // nullmailer: where the codes of the lines differ, the last one counts.
                return Ok(Some(Reply {
                    code: parsed.code,
                    lines: std::mem::take(&mut self.open),
                }));
            }
            if self.open.len() >= MAX_LINES {
                return Err(format!("server sent a reply of more than {MAX_LINES} lines"));
            }
        }
        if self.raw.len() - self.begin > MAX_LINE {
            return Err(format!("server sent a line of more than {MAX_LINE} bytes"));
        }
        Ok(None)
    }

    /// True between replies, with nothing left over.
    pub(super) fn is_idle(&self) -> bool {
        self.begin == self.raw.len() && self.open.is_empty()
    }
}

struct Line {
    code: u16,
    last: bool,
    text: String,
}

impl Line {
    fn parse(line: &[u8], mask: &Mask) -> Result<Self, String> {
        let end = line.iter().rposition(|b| *b != b'\r').map_or(0, |at| at + 1);
        let line = &line[..end];
        if line.len() > MAX_LINE {
            return Err(format!("server sent a line of more than {MAX_LINE} bytes"));
        }
        let no_reply = || {
            let line = mask.apply(line);
            let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
            format!("server sent what is no reply: {:?}", Printable(&shown))
        };
        let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
            return Err(no_reply());
        };
        let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
        let (last, text) = match rest {
            [] => (true, rest),
            [b' ' | b'\t', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(no_reply()),
        };
        let text = String::from_utf8_lossy(&text[..text.len().min(KEPT)]).into_owned();
        Ok(Self { code, last, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(chunks: &[&[u8]]) -> Result<Vec<Reply>, String> {
        let mut framer = Framer::default();
        let mut replies = Vec::new();
        for chunk in chunks {
            framer.feed(chunk);
            while let Some(reply) = framer.next()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    #[test]
    fn odd_replies_that_say_what_they_mean_are_taken() {
        for (sent, code, text) in [
            (&b"250\r\n"[..], 250, ""),
            (b"250-a\r\n250\r\n", 250, "a\n"),
            (b"250\tok\r\n", 250, "ok"),
            (b"571 no\r\n", 571, "no"),
            (b"250 ok\n", 250, "ok"),
            (b"250 ok\r\r\n", 250, "ok"),
            (b"250-a\r\n251 b\r\n", 251, "a\nb"),
            (b"550 caf\xe9\r\n", 550, "caf\u{fffd}"),
        ] {
            assert_eq!(frame(&[sent]), Ok(vec![Reply::new(code, text)]), "{sent:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error_that_quotes_it() {
        for sent in
            ["199 x", "600 x", "25 ok", "HTTP/1.1 400", "", "250ok", "25", "-250 x", "\u{0}"]
        {
            let error = frame(&[sent.as_bytes(), b"\r\n"]).unwrap_err();
            assert_eq!(error, format!("server sent what is no reply: {:?}", Printable(sent)));
        }
        let mixed = frame(&[b"550-no\r\n450 later\r\n"]).unwrap_err();
        assert_eq!(mixed, "server mixed 5yz and 450 in one reply");
    }

    #[test]
    fn an_endless_line_or_reply_is_cut_off() {
        assert!(frame(&[&[b'2'; MAX_LINE + 1]]).unwrap_err().contains("4096 bytes"));
        assert!(frame(&[&b"250-x\r\n".repeat(MAX_LINES)]).unwrap_err().contains("256 lines"));
        let long = [b"550 ", "x".repeat(2000).as_bytes(), b"\r\n"].concat();
        assert_eq!(frame(&[&long]).unwrap()[0].lines[0].len(), KEPT);
    }

    #[test]
    fn replies_are_the_same_however_the_bytes_arrive() {
        let sent = b"220 hi\r\n250-a\r\n250-\r\n250 b\n550\r\n";
        let whole = frame(&[sent]).unwrap();
        assert_eq!(whole.len(), 3);
        for cut in 0..sent.len() {
            assert_eq!(frame(&[&sent[..cut], &sent[cut..]]).unwrap(), whole);
        }
        let single: Vec<&[u8]> = sent.chunks(1).collect();
        assert_eq!(frame(&single).unwrap(), whole);
    }

    #[test]
    fn half_a_reply_is_not_idle() {
        for (sent, idle) in
            [(&b""[..], true), (b"250 ok\r\n", true), (b"250-a\r\n", false), (b"2", false)]
        {
            let mut framer = Framer::default();
            framer.feed(sent);
            while framer.next().unwrap().is_some() {}
            assert_eq!(framer.is_idle(), idle, "{sent:?}");
        }
    }
}
