//! The data of a message: up to CR LF . CR LF, dots taken off, line ends made LF.

use std::fmt;
use std::io::{self, BufRead, Read};

/// Reads the data of one message and nothing behind it.
///
/// Only CR LF begins a line: `LF . LF`, `LF . CR LF` and `CR . CR` are text, so nothing can be
/// smuggled behind them. The end of the input is an error, never the end of the message.
#[derive(Debug)]
pub(crate) struct DataReader<R> {
    input: R,
    state: State,
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LineStart,
    /// `.` at the start of a line.
    Dot,
    /// `. CR` at the start of a line.
    DotCr,
    Text,
    /// CR after text.
    Cr,
    End,
}

/// The message is larger than was allowed.
#[derive(Debug)]
pub(crate) struct TooLarge;

impl<R: BufRead> DataReader<R> {
    pub(crate) fn new(input: R, limit: u64) -> Self {
        Self { input, state: State::LineStart, left: limit }
    }

    /// Passes what has not been read, so that the next command can be.
    ///
    /// # Errors
    /// Those of the input, and its end.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let mut scrap = [0; 4096];
        loop {
            // A limit that was passed does not matter any more.
            self.left = u64::MAX;
            if self.read(&mut scrap)? == 0 {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Read for DataReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.state == State::End {
            return Ok(0);
        }
        let mut length = 0;
        while length == 0 && self.state != State::End {
            length = self.step(out)?;
        }
        self.left = self.left.checked_sub(length as u64).ok_or_else(too_large)?;
        Ok(length)
    }
}

impl<R: BufRead> DataReader<R> {
    /// Takes one byte, or a run of text. How much of `out` it filled.
    fn step(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let input = self.input.fill_buf()?;
        let Some(&byte) = input.first() else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it ends before its last dot",
            ));
        };
        let (state, taken, put) = match (self.state, byte) {
            (State::LineStart, b'.') => (State::Dot, 1, None),
            (State::Dot, b'\r') => (State::DotCr, 1, None),
            (State::DotCr, b'\n') => (State::End, 1, None),
            (State::Cr, b'\n') => (State::LineStart, 1, Some(b'\n')),
            (State::DotCr | State::Cr, _) => (State::Text, 0, Some(b'\r')),
            (_, b'\r') => (State::Cr, 1, None),
            _ => {
                let text = memchr::memchr(b'\r', input).unwrap_or(input.len()).min(out.len());
                out[..text].copy_from_slice(&input[..text]);
                self.input.consume(text);
                self.state = State::Text;
                return Ok(text);
            }
        };
        self.input.consume(taken);
        self.state = state;
        Ok(put.map_or(0, |byte| {
            out[0] = byte;
            1
        }))
    }
}

fn too_large() -> io::Error {
    io::Error::other(TooLarge)
}

impl TooLarge {
    /// Whether this is why reading ended.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is too large")
    }
}

impl std::error::Error for TooLarge {}
