//! Cuts a list into tokens. A cursor is a position and costs nothing to copy, so looking ahead and
//! going back need no list of tokens.

use super::ListFlaw;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// One of `< > @ , ; : .`
    Special(u8),
    /// With its parentheses.
    Comment(&'a [u8]),
    /// What stands between the quotes, backslashes and all.
    Quoted(&'a [u8]),
    Atom(&'a [u8]),
    /// With its brackets.
    Literal(&'a [u8]),
    End,
}

/// A place in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    pub(super) at: usize,
}

/// The blanks of C's isspace(3).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// nullmailer: every byte from 0x80 is fine in an atom, whatever its encoding.
pub(super) fn is_atom(byte: u8) -> bool {
    !matches!(
        byte,
        0..=b' '
            | 0x7f
            | b'('
            | b')'
            | b'<'
            | b'>'
            | b'['
            | b']'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'.'
    )
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    fn peek(self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// Passes blanks; true if there were any.
    pub(super) fn skip_blanks(&mut self) -> bool {
        let blanks = self.input[self.at..].iter().take_while(|byte| is_blank(**byte)).count();
        self.at += blanks;
        blanks > 0
    }

    /// The next token, blanks before it passed.
    pub(super) fn next(&mut self) -> Result<Token<'a>, ListFlaw> {
        self.skip_blanks();
        let start = self.at;
        match self.peek() {
            None => Ok(Token::End),
            Some(special @ (b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.')) => {
                self.at += 1;
                Ok(Token::Special(special))
            }
            Some(b'(') => self.comment(start),
            Some(b'"') => {
                self.pass_to(b'"').ok_or(ListFlaw::OpenQuote)?;
                Ok(Token::Quoted(&self.input[start + 1..self.at - 1]))
            }
            Some(b'[') => self.literal(start),
            Some(byte) if is_atom(byte) => {
                self.at += self.input[start..].iter().take_while(|byte| is_atom(**byte)).count();
                Ok(Token::Atom(&self.input[start..self.at]))
            }
            other => Err(ListFlaw::Unexpected(other)),
        }
    }

    /// The token after this place, which stays.
    pub(super) fn look(mut self) -> Result<Token<'a>, ListFlaw> {
        self.next()
    }

    /// From an opening byte to behind `closing`; a backslash protects the byte behind it.
    fn pass_to(&mut self, closing: u8) -> Option<()> {
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == closing {
                return Some(());
            }
        }
    }

    /// RFC 5322 §3.4.1, without quoted pairs: no address has ever needed one there.
    fn literal(&mut self, start: usize) -> Result<Token<'a>, ListFlaw> {
        loop {
            self.at += 1;
            match self.peek().ok_or(ListFlaw::OpenLiteral)? {
                b']' => break,
                byte if is_blank(byte) => {}
                byte if byte.is_ascii_control() || matches!(byte, b'[' | b'\\') => {
                    return Err(ListFlaw::Unexpected(Some(byte)));
                }
                _ => {}
            }
        }
        self.at += 1;
        Ok(Token::Literal(&self.input[start..self.at]))
    }

    fn comment(&mut self, start: usize) -> Result<Token<'a>, ListFlaw> {
        let mut depth = 0_usize;
        loop {
            let byte = self.peek().ok_or(ListFlaw::OpenComment)?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(Token::Comment(&self.input[start..self.at]));
            }
        }
    }
}
