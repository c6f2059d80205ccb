//! Quoted-printable (RFC 2045 §6.7), for text: line ends stay line ends.

/// RFC 2045 §6.7 (5): a line is at most 76 characters, a soft break's `=` among them.
const WIDTH: usize = 76;

#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
    /// A blank that may turn out to end its line, or a CR that may be half a line end.
    held: Option<u8>,
}

impl QuotedPrintable {
    pub(super) fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for byte in text {
            if *byte == b'\n' {
                self.line_end(out);
                continue;
            }
            if let Some(held) = self.held.take() {
                self.put(held, held == b'\r', out);
            }
            match byte {
                b' ' | b'\t' | b'\r' => self.held = Some(*byte),
                b'=' | 0..=b' ' | b'\x7f'.. => self.put(*byte, true, out),
                plain => self.put(*plain, false, out),
            }
        }
    }

    /// A last line without an end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(held) = self.held.take() {
            self.put(held, true, out);
        }
        self.column = 0;
    }

    fn line_end(&mut self, out: &mut Vec<u8>) {
        let end = match self.held.take() {
            Some(b'\r') => {
                // The blank before it, if there was one, has been put out as it was.
                if let Some(blank @ (b' ' | b'\t')) = out.last().copied()
                    && self.column > 0
                {
                    out.pop();
                    self.column -= 1;
                    self.put(blank, true, out);
                }
                &b"\r\n"[..]
            }
            held => {
                if let Some(blank) = held {
                    self.put(blank, true, out);
                }
                b"\n"
            }
        };
        out.extend_from_slice(end);
        self.column = 0;
    }

    fn put(&mut self, byte: u8, quoted: bool, out: &mut Vec<u8>) {
        let length = if quoted { 3 } else { 1 };
        if self.column + length > WIDTH - 1 {
            out.extend_from_slice(b"=\n");
            self.column = 0;
        }
        self.column += length;
        if quoted {
            out.extend_from_slice(format!("={byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let (mut encoder, mut out) = (QuotedPrintable::default(), Vec::new());
        encoder.feed(text, &mut out);
        encoder.finish(&mut out);
        out
    }

    /// RFC 2045 §6.7, strictly.
    fn decode(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let [first, tail @ ..] = rest {
            rest = tail;
            match (first, tail) {
                (b'=', [b'\n', after @ ..]) => rest = after,
                (b'=', [high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    out.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
                    rest = after;
                }
                _ => out.push(*first),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself_in_short_lines_of_plain_text(
            text in prop::collection::vec(prop_oneof![
                any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n'), b'a'..=b'z'
            ], 0..400)
        ) {
            let encoded = encode(&text);
            prop_assert_eq!(decode(&encoded), text);
            prop_assert!(encoded.is_ascii());
            for line in encoded.split(|b| *b == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() <= 76 && !line.ends_with(b" ") && !line.contains(&b'\r'));
            }
        }
    }
}
