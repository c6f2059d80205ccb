//! A message for a server that cannot take it as it is: 8-bit text becomes quoted-printable (RFC
//! 6152 §3), raw UTF-8 in the header becomes encoded words (RFC 2047).
//!
//! Used by `transport::smtp` while it reads the stored message. As Postfix has it, only text that
//! says it is 8-bit is converted; what says nothing, and whatever is signed, goes as it is.

mod entity;
mod header;
mod quoted_printable;

use entity::{Entity, Kind};
use quoted_printable::QuotedPrintable;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Encoded words for the fields of the message.
    pub(crate) header: bool,
    /// Quoted-printable for its parts.
    pub(crate) body: bool,
}

/// A header that is longer goes as it is, with the whole of its entity.
const MAX_HEADER: usize = 1 << 20;
/// The part of a body line that is looked at: a boundary line is shorter (RFC 2046 §5.1.1).
const PIECE: usize = 4096;
/// Multiparts within multiparts; what lies deeper goes as it is.
const MAX_DEPTH: usize = 100;

/// Converts a message, fed in any pieces. Line ends come out as they went in.
#[derive(Debug)]
pub(crate) struct Downgrade {
    changes: Changes,
    /// Bytes of a line, or of a header, that is not complete.
    held: Vec<u8>,
    /// How much of `held` was looked at, in a header: whole lines only.
    seen: usize,
    state: State,
    /// The multiparts that we are in, outermost first.
    open: Vec<Multipart>,
    /// The header of the message itself is still to come.
    outermost: bool,
    line_start: bool,
}

#[derive(Debug)]
enum State {
    /// In a header; `kind` is what it is without a Content-Type.
    Header(Kind),
    AsItIs,
    Encoded(QuotedPrintable),
}

#[derive(Debug)]
struct Multipart {
    boundary: Vec<u8>,
    /// What its parts are without a Content-Type.
    parts: Kind,
    /// Signed: nothing in it may change.
    sealed: bool,
}

impl Downgrade {
    pub(crate) fn new(changes: Changes) -> Self {
        Self {
            changes,
            held: Vec::new(),
            seen: 0,
            state: State::Header(Kind::Leaf),
            open: Vec::new(),
            outermost: true,
            line_start: true,
        }
    }

    pub(crate) fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(text);
        self.work(false, out);
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.work(true, out);
    }

    fn work(&mut self, last: bool, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let length = match &self.state {
                State::Header(kind) => {
                    let kind = *kind;
                    match header_end(rest, self.seen) {
                        Ok(length) => {
                            self.seen = 0;
                            self.header(&rest[..length], kind, out);
                            length
                        }
                        Err(seen) if !last && rest.len() < MAX_HEADER => {
                            self.seen = seen;
                            break;
                        }
                        Err(_) => {
                            self.seen = 0;
                            if rest.len() < MAX_HEADER {
                                self.header(rest, kind, out);
                            } else {
                                out.extend_from_slice(rest);
                                self.state = State::AsItIs;
                            }
                            rest.len()
                        }
                    }
                }
                State::AsItIs | State::Encoded(_) => {
                    let line = memchr::memchr(b'\n', rest).map(|at| at + 1);
                    let length = match line {
                        Some(length) => length.min(PIECE),
                        None if rest.len() >= PIECE => PIECE,
                        None if last => rest.len(),
                        None => break,
                    };
                    self.body(&rest[..length], out);
                    length
                }
            };
            rest = &rest[length..];
        }
        self.held = rest.to_vec();
        if last && let State::Encoded(encoder) = &mut self.state {
            encoder.finish(out);
        }
    }

    /// A whole header with its blank line, if it has one.
    fn header(&mut self, text: &[u8], kind: Kind, out: &mut Vec<u8>) {
        let outermost = std::mem::take(&mut self.outermost);
        self.line_start = true;
        let entity = Entity::read(text, kind);
        let sealed = self.open.iter().any(|multipart| multipart.sealed);
        let relabel = self.changes.body && entity.eight_bit && !sealed && !entity.sealed;
        let encode = self.changes.header && outermost;
        if !relabel && !encode {
            out.extend_from_slice(text);
        } else {
            for field in header::fields(text) {
                if relabel && header::is_named(field, b"Content-Transfer-Encoding") {
                    let name = &field[..b"Content-Transfer-Encoding".len()];
                    out.extend_from_slice(name);
                    out.extend_from_slice(match entity.kind {
                        Kind::Leaf => b": quoted-printable",
                        Kind::Multipart | Kind::Message => b": 7bit",
                    });
                    out.extend_from_slice(if field.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
                } else if encode && !field.is_ascii() {
                    header::encode(field, out);
                } else {
                    out.extend_from_slice(field);
                }
            }
        }
        self.state = match entity.kind {
            Kind::Leaf if relabel => State::Encoded(QuotedPrintable::default()),
            Kind::Leaf => State::AsItIs,
            Kind::Message => State::Header(Kind::Leaf),
            Kind::Multipart => {
                if let Some(boundary) = entity.boundary
                    && self.open.len() < MAX_DEPTH
                {
                    let parts = if entity.digest { Kind::Message } else { Kind::Leaf };
                    self.open.push(Multipart { boundary, parts, sealed: entity.sealed });
                }
                State::AsItIs
            }
        };
    }

    /// A line of a body, or a piece of a long one.
    fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let begins = std::mem::replace(&mut self.line_start, piece.ends_with(b"\n"));
        if begins && let Some((depth, closes)) = self.boundary(piece) {
            if let State::Encoded(encoder) = &mut self.state {
                encoder.finish(out);
            }
            out.extend_from_slice(piece);
            self.open.truncate(depth + 1);
            self.state = if closes {
                self.open.pop();
                State::AsItIs
            } else {
                State::Header(self.open[depth].parts)
            };
            return;
        }
        match &mut self.state {
            State::Encoded(encoder) => encoder.feed(piece, out),
            State::Header(_) | State::AsItIs => out.extend_from_slice(piece),
        }
    }

    /// Which multipart a line delimits, innermost first, and whether it is its end.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        self.open.iter().enumerate().rev().find_map(|(depth, multipart)| {
            match line.strip_prefix(multipart.boundary.as_slice())? {
                b"" => Some((depth, false)),
                b"--" => Some((depth, true)),
                _ => None,
            }
        })
    }
}

/// How long the header is with its blank line; else where to go on looking when more has come.
fn header_end(text: &[u8], from: usize) -> Result<usize, usize> {
    let mut begin = from;
    while let Some(length) = memchr::memchr(b'\n', &text[begin..]) {
        let line = &text[begin..begin + length];
        begin += length + 1;
        if line.is_empty() || line == b"\r" {
            return Ok(begin);
        }
    }
    Err(begin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: Changes = Changes { header: true, body: true };

    fn convert(text: &[u8], changes: Changes, pieces: usize) -> Vec<u8> {
        let mut downgrade = Downgrade::new(changes);
        let mut out = Vec::new();
        for piece in text.chunks(pieces) {
            downgrade.feed(piece, &mut out);
        }
        downgrade.finish(&mut out);
        out
    }

    #[track_caller]
    fn becomes(text: &str, wanted: &str) {
        for pieces in [1, 2, 7, 4096] {
            let out = convert(text.as_bytes(), BOTH, pieces);
            assert_eq!(String::from_utf8_lossy(&out), wanted, "in pieces of {pieces}");
        }
    }

    #[test]
    fn text_that_says_it_is_8_bit_becomes_quoted_printable() {
        becomes(
            "Content-Type: text/plain; charset=utf-8\nContent-transfer-encoding: 8bit\nX: y\n\nGrüße = \nz",
            "Content-Type: text/plain; charset=utf-8\nContent-transfer-encoding: quoted-printable\nX: y\n\n\
             Gr=C3=BC=C3=9Fe =3D=20\nz",
        );
    }

    #[test]
    fn text_that_does_not_say_so_goes_as_it_is() {
        for text in [
            "Subject: x\n\nGrüße\n",
            "Content-Transfer-Encoding: 7bit\n\nGrüße\n",
            "Content-Transfer-Encoding: base64\n\nGrüße=\n",
            "\nContent-Transfer-Encoding: 8bit\n\nGrüße=\n",
            "",
        ] {
            becomes(text, text);
        }
    }

    #[test]
    fn each_part_of_a_multipart_is_judged_by_itself() {
        becomes(
            "Content-Type: multipart/mixed;\n boundary=\"a b\"\nContent-Transfer-Encoding: 8bit\n\n\
             präamble\n--a b\nContent-Transfer-Encoding: 8BIT\n\nä\n--a bc\n--a b\n\nä=\n--a b  \n\
             Content-Type: message/rfc822\nContent-Transfer-Encoding: binary\n\n\
             Content-Transfer-Encoding: 8bit\n\nä\n--a b--\nContent-Transfer-Encoding: 8bit\n\nä\n",
            "Content-Type: multipart/mixed;\n boundary=\"a b\"\nContent-Transfer-Encoding: 7bit\n\n\
             präamble\n--a b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--a bc\n--a b\n\nä=\n--a b  \n\
             Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
             Content-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--a b--\nContent-Transfer-Encoding: 8bit\n\nä\n",
        );
    }

    #[test]
    fn what_is_signed_is_not_touched_and_what_follows_it_is() {
        let signed = "Content-Type: multipart/signed; boundary=s\nContent-Transfer-Encoding: 8bit\n\n\
             --s\nContent-Transfer-Encoding: 8bit\n\nä\n--s\n\nsignature\n--s--\n";
        becomes(signed, signed);
        let around = "Content-Type: multipart/mixed; boundary=m\n\n--m\n";
        becomes(
            &format!("{around}{signed}--m\nContent-Transfer-Encoding: 8bit\n\nä"),
            &format!("{around}{signed}--m\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4"),
        );
    }

    #[test]
    fn the_parts_of_a_digest_are_messages() {
        becomes(
            "Content-Type: multipart/digest; boundary=d\n\n--d\n\nContent-Transfer-Encoding: 8bit\n\nä\n--d--\n",
            "Content-Type: multipart/digest; boundary=d\n\n--d\n\n\
             Content-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--d--\n",
        );
    }

    #[test]
    fn only_what_is_asked_for_is_changed() {
        let text = "Subject: ä\nContent-Transfer-Encoding: 8bit\n\nä\n".as_bytes();
        let header = Changes { header: true, body: false };
        assert!(convert(text, header, 100).ends_with("8bit\n\nä\n".as_bytes()));
        let body = Changes { header: false, body: true };
        assert!(convert(text, body, 100).starts_with("Subject: ä\n".as_bytes()));
        assert_eq!(convert(text, Changes::default(), 3), text);
    }

    #[test]
    fn line_ends_come_out_as_they_went_in() {
        becomes(
            "Content-Transfer-Encoding: 8bit\r\n\r\nä\r\nb \r\n",
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\nb=20\r\n",
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_kept_back_whatever_comes(
            text in prop::collection::vec(prop_oneof![
                Just(b"Content-Type: multipart/mixed; boundary=b\n".to_vec()),
                Just(b"Content-Transfer-Encoding: 8bit\n".to_vec()),
                Just(b"\n".to_vec()), Just(b"--b\n".to_vec()), Just(b"--b--\r\n".to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ], 0..30),
            pieces in 1usize..50,
        ) {
            let text = text.concat();
            prop_assert_eq!(&convert(&text, Changes::default(), pieces), &text);
            prop_assert_eq!(convert(&text, BOTH, pieces), convert(&text, BOTH, 1 << 20));
        }
    }
}
