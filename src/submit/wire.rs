//! What goes over the daemon's socket (docs/protocols.md): a line with our name and the version,
//! the grammar in chunks, an end that a client which dies cannot have sent, and one line back.
//!
//! ```text
//! nullmailer-submit 1 LF
//! LENGTH LF BYTES          as often as needed
//! 0 LF
//! ```

use std::io::{self, BufRead, Read, Write};

pub(super) const HELLO: &str = "nullmailer-submit 1\n";
/// In the place of it: a question to the daemon, which answers `well` or `failed CODE SENTENCE`.
pub(super) const HEALTH: &str = "nullmailer-health 1\n";

/// What a client comes for.
pub(super) enum Errand<R> {
    Mail(Chunks<R>),
    Health,
}

impl<R: BufRead> Errand<R> {
    /// Reads the greeting.
    pub(super) fn read(mut input: R) -> io::Result<Self> {
        match read_line(&mut input)?.as_str() {
            HELLO => Ok(Self::Mail(Chunks { input, left: Some(0) })),
            HEALTH => Ok(Self::Health),
            _ => Err(broken("this is no nullmailer-submit 1")),
        }
    }
}

/// No line of the wire is longer.
const LINE: u64 = 4096;

/// Reads chunks up to the one that ends the message; an end before that is an error.
pub(super) struct Chunks<R> {
    input: R,
    /// Bytes of the chunk that are still to come; `None` behind the last one.
    left: Option<u64>,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return Ok(0) };
        if left == 0 {
            let line = read_line(&mut self.input)?;
            let digits = line.trim_end_matches('\n');
            // `parse` would take a sign.
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let length = digits.parse::<u32>().ok().filter(|_| plain);
            let length = length.ok_or_else(|| broken("a chunk has no length"))?;
            self.left = (length > 0).then_some(length.into());
            return self.read(buffer);
        }
        let length = (&mut self.input).take(left).read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            return Err(gone());
        }
        self.left = Some(left - length as u64);
        Ok(length)
    }
}

/// A line with its end.
pub(super) fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 == LINE { broken("a line is too long") } else { gone() });
    }
    String::from_utf8(line).map_err(|_| broken("a line is not text"))
}

pub(super) fn write_chunk(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    out.write_all(format!("{}\n", bytes.len()).as_bytes())?;
    out.write_all(bytes)
}

pub(super) fn write_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"0\n")
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the other side is gone")
}

fn broken(flaw: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, flaw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let Errand::Mail(mut chunks) = Errand::read(text)? else { panic!("{text:?}") };
        chunks.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn chunks_come_out_as_they_went_in() {
        let mut wire = HELLO.as_bytes().to_vec();
        for chunk in [&b"a@b\n"[..], b"", b"0\n"] {
            write_chunk(&mut wire, chunk).unwrap();
        }
        write_end(&mut wire).unwrap();
        assert_eq!(read(&wire).unwrap(), b"a@b\n0\n");
    }

    #[test]
    fn a_message_that_breaks_off_anywhere_is_not_taken_for_a_whole_one() {
        let whole = format!("{HELLO}3\nabc12\n0\n0\n0\n0\n0\n0\n0\n");
        assert_eq!(read(whole.as_bytes()).unwrap(), b"abc0\n0\n0\n0\n0\n0\n");
        for cut in 0..whole.len() {
            assert!(read(&whole.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for garbage in ["", "GET / HTTP/1.0\n", "nullmailer-submit 2\n0\n"] {
            assert!(read(garbage.as_bytes()).is_err(), "{garbage}");
        }
        for length in ["", "-1", "+1", "x", "1 ", "4294967296", "99999999999999999999"] {
            assert!(read(format!("{HELLO}{length}\nabc0\n").as_bytes()).is_err(), "{length}");
        }
        assert!(read(&[b'1'; 10_000]).is_err());
    }
}
