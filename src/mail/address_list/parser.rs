//! The grammar. Once a phrase is followed by `<` or `:`, or a local part by `@`, nothing else can
//! be meant, so the parser never goes back over what it has understood.

use super::lexer::{Cursor, Token};
use super::{AddressList, Canonical, ListFlaw, print};

pub(super) struct Parser<'a> {
    cursor: Cursor<'a>,
    canonical: Canonical<'a>,
    list: AddressList,
    /// No phrase before this place is followed by `<` or `:`. Without it a long run of words
    /// would be read once for each of its words.
    no_name_before: usize,
}

/// What stands before `<` or `:`.
struct Phrase<'a> {
    text: Vec<u8>,
    comments: Vec<&'a [u8]>,
}

/// The parts of an address, as they are read.
#[derive(Default)]
struct AddrSpec<'a> {
    /// For a header.
    local: Vec<u8>,
    /// Without quotes.
    bare_local: Vec<u8>,
    /// A word needs its quotes.
    quoted: bool,
    domain: Vec<u8>,
    comments: Vec<&'a [u8]>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(input: &'a [u8], canonical: Canonical<'a>) -> Self {
        Self {
            cursor: Cursor::new(input),
            canonical,
            list: AddressList::default(),
            no_name_before: 0,
        }
    }

    pub(super) fn list(mut self) -> Result<AddressList, ListFlaw> {
        let mut after = self.cursor;
        match after.next()? {
            Token::End => return Ok(self.list),
            // nullmailer: one comment alone is a list, two are not.
            Token::Comment(comment) if after.look()? == Token::End => {
                self.list.text.extend(print::unfold(comment));
                return Ok(self.list);
            }
            _ => {}
        }
        self.address()?;
        while self.separators()? != Token::End {
            self.separate();
            self.address()?;
        }
        Ok(self.list)
    }

    /// Passes commas and comments, which go to the element before them. The token that follows.
    fn separators(&mut self) -> Result<Token<'a>, ListFlaw> {
        loop {
            let mut after = self.cursor;
            match after.next()? {
                Token::Special(b',') => {}
                Token::Comment(comment) => self.push_comment(comment),
                other => return Ok(other),
            }
            self.cursor = after;
        }
    }

    fn separate(&mut self) {
        self.list.folds.push(self.list.text.len() + 1);
        self.list.text.extend_from_slice(b", ");
    }

    fn push_comment(&mut self, comment: &[u8]) {
        self.list.text.push(b' ');
        self.list.text.extend(print::unfold(comment));
    }

    /// A group or a mailbox.
    fn address(&mut self) -> Result<(), ListFlaw> {
        let Some((phrase, after)) = self.phrase()? else { return self.mailbox() };
        if after.look()? == Token::Special(b':') {
            return self.group(phrase, after);
        }
        self.named_mailbox(Some(phrase), after)
    }

    fn group(&mut self, phrase: Phrase<'a>, after: Cursor<'a>) -> Result<(), ListFlaw> {
        self.cursor = after;
        self.cursor.next()?;
        if print::trim(&phrase.text).is_empty() {
            self.list.text.extend_from_slice(b"\"\"");
        } else {
            self.list.text.extend_from_slice(&phrase.text);
        }
        self.list.text.extend_from_slice(b": ");
        // nullmailer: a comma cannot come first.
        let mut after = self.cursor;
        while let Token::Comment(_) = after.look()? {
            after.next()?;
        }
        if after.look()? != Token::Special(b';') {
            self.mailbox()?;
        }
        loop {
            match self.separators()? {
                Token::Special(b';') => break,
                Token::End => return Err(ListFlaw::OpenGroup),
                _ => {
                    self.separate();
                    self.mailbox()?;
                }
            }
        }
        self.cursor.next()?;
        self.list.text.push(b';');
        Ok(())
    }

    fn mailbox(&mut self) -> Result<(), ListFlaw> {
        match self.phrase()? {
            Some((phrase, after)) => self.named_mailbox(Some(phrase), after),
            None => self.named_mailbox(None, self.cursor),
        }
    }

    /// `PHRASE <ADDRESS>`, or an address alone. `after` stands behind the phrase.
    fn named_mailbox(
        &mut self,
        phrase: Option<Phrase<'a>>,
        after: Cursor<'a>,
    ) -> Result<(), ListFlaw> {
        let mut ahead = after;
        let mut comments = Vec::new();
        let opening = loop {
            match ahead.next()? {
                Token::Comment(comment) => comments.push(comment),
                other => break other,
            }
        };
        if opening != Token::Special(b'<') {
            self.no_name_before = self.no_name_before.max(after.at);
            return self.bare_mailbox();
        }
        self.cursor = ahead;
        if let Some(phrase) = phrase {
            self.list.text.extend_from_slice(&phrase.text);
            phrase.comments.iter().for_each(|comment| self.push_comment(comment));
            self.list.text.push(b' ');
        }
        let address = self.angle_address(comments)?;
        self.list.text.push(b'<');
        if let Some(spec) = &address.0 {
            self.push_address(spec)?;
        } else {
            self.list.nulls += 1;
        }
        self.list.text.push(b'>');
        address.1.iter().for_each(|comment| self.push_comment(comment));
        Ok(())
    }

    fn bare_mailbox(&mut self) -> Result<(), ListFlaw> {
        let spec = self.addr_spec()?;
        self.push_address(&spec)?;
        spec.comments.iter().for_each(|comment| self.push_comment(comment));
        Ok(())
    }

    /// What stands behind `<`, up to and with the `>`: an address, or nothing; and the comments.
    fn angle_address(
        &mut self,
        mut comments: Vec<&'a [u8]>,
    ) -> Result<(Option<AddrSpec<'a>>, Vec<&'a [u8]>), ListFlaw> {
        self.take_comments(&mut comments)?;
        let address = match self.cursor.look()? {
            Token::Special(b'>') => None,
            Token::Special(b'@') => {
                self.route(&mut comments)?;
                Some(self.addr_spec()?)
            }
            _ => Some(self.addr_spec()?),
        };
        if let Some(spec) = &address {
            comments.extend_from_slice(&spec.comments);
        }
        self.take_comments(&mut comments)?;
        match self.cursor.next()? {
            Token::Special(b'>') => Ok((address, comments)),
            _ => Err(ListFlaw::OpenAngle),
        }
    }

    /// `@a@b:`, which is dropped (RFC 5321 §3.6.1).
    fn route(&mut self, comments: &mut Vec<&'a [u8]>) -> Result<(), ListFlaw> {
        loop {
            match self.cursor.next()? {
                Token::Special(b'@') => {
                    self.domain(comments)?;
                }
                Token::Special(b':') => return Ok(()),
                Token::Comment(comment) => comments.push(comment),
                other => return Err(unexpected(other)),
            }
        }
    }

    fn take_comments(&mut self, comments: &mut Vec<&'a [u8]>) -> Result<(), ListFlaw> {
        loop {
            let mut after = self.cursor;
            let Token::Comment(comment) = after.next()? else { return Ok(()) };
            comments.push(comment);
            self.cursor = after;
        }
    }

    /// Words and dots from here on, and the place behind them; `None` if no word comes first, or
    /// if it is known that no `<` or `:` follows.
    fn phrase(&mut self) -> Result<Option<(Phrase<'a>, Cursor<'a>)>, ListFlaw> {
        let mut ahead = self.cursor;
        ahead.skip_blanks();
        if ahead.at < self.no_name_before {
            return Ok(None);
        }
        let mut end = ahead;
        let mut parts: Vec<(Token<'a>, bool)> = Vec::new();
        let (mut comments, mut pending) = (Vec::new(), Vec::new());
        let mut spaced = false;
        loop {
            spaced |= ahead.skip_blanks();
            let token = ahead.next()?;
            match token {
                Token::Comment(comment) => {
                    // Between two words a comment is as good as a blank.
                    spaced = true;
                    pending.push(comment);
                    continue;
                }
                Token::Atom(_) | Token::Quoted(_) => comments.append(&mut pending),
                Token::Special(b'.') if !parts.is_empty() && pending.is_empty() => {}
                _ => break,
            }
            parts.push((token, spaced && !parts.is_empty()));
            spaced = false;
            end = ahead;
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        let alone = parts.len() == 1;
        for (part, spaced) in parts {
            if spaced {
                text.push(b' ');
            }
            match part {
                Token::Quoted(quoted) => print::push_name_word(&mut text, quoted, alone),
                Token::Atom(atom) => text.extend_from_slice(atom),
                _ => text.push(b'.'),
            }
        }
        Ok(Some((Phrase { text, comments }, end)))
    }

    /// `LOCAL@DOMAIN`. nullmailer: of several domains all but the last belong to the local part.
    fn addr_spec(&mut self) -> Result<AddrSpec<'a>, ListFlaw> {
        let mut spec = AddrSpec::default();
        self.word(&mut spec)?;
        loop {
            let mut ahead = self.cursor;
            let mut comments = Vec::new();
            let token = loop {
                match ahead.next()? {
                    Token::Comment(comment) => comments.push(comment),
                    other => break other,
                }
            };
            match token {
                Token::Special(b'.') if spec.domain.is_empty() => {
                    self.cursor = ahead;
                    spec.comments.append(&mut comments);
                    spec.local.push(b'.');
                    spec.bare_local.push(b'.');
                    self.word(&mut spec)?;
                }
                Token::Special(b'@') => {
                    self.cursor = ahead;
                    spec.comments.append(&mut comments);
                    if !spec.domain.is_empty() {
                        for local in [&mut spec.local, &mut spec.bare_local] {
                            local.push(b'@');
                            local.extend_from_slice(&spec.domain);
                        }
                    }
                    spec.domain = self.domain(&mut spec.comments)?;
                }
                _ => return Ok(spec),
            }
        }
    }

    /// One word of a local part.
    fn word(&mut self, spec: &mut AddrSpec<'a>) -> Result<(), ListFlaw> {
        self.take_comments(&mut spec.comments)?;
        match self.cursor.next()? {
            Token::Atom(atom) => {
                spec.local.extend_from_slice(atom);
                spec.bare_local.extend_from_slice(atom);
            }
            Token::Quoted(quoted) => {
                let content = print::unescape(quoted);
                if print::breaks_line(&content) {
                    return Err(ListFlaw::Unexpected(Some(b'\n')));
                }
                let content = print::unfold(&content);
                spec.quoted |= print::push_local_word(&mut spec.local, &content);
                spec.bare_local.extend_from_slice(&content);
            }
            other => return Err(unexpected(other)),
        }
        Ok(())
    }

    /// Behind `@`: a literal, or atoms with dots, which may also end it.
    fn domain(&mut self, comments: &mut Vec<&'a [u8]>) -> Result<Vec<u8>, ListFlaw> {
        self.take_comments(comments)?;
        let mut domain = match self.cursor.next()? {
            Token::Literal(literal) => {
                let inner = |byte: &u8| !super::lexer::is_blank(*byte);
                return Ok(literal.iter().copied().filter(inner).collect());
            }
            Token::Atom(atom) => atom.to_owned(),
            _ => return Err(ListFlaw::NoDomain),
        };
        loop {
            let mut ahead = self.cursor;
            let mut found = Vec::new();
            let token = loop {
                match ahead.next()? {
                    Token::Comment(comment) => found.push(comment),
                    other => break other,
                }
            };
            match token {
                Token::Special(b'.') => domain.push(b'.'),
                Token::Atom(atom) if domain.ends_with(b".") => domain.extend_from_slice(atom),
                _ => return Ok(domain),
            }
            comments.append(&mut found);
            self.cursor = ahead;
        }
    }

    /// Writes the address to the text, and to the addresses.
    fn push_address(&mut self, spec: &AddrSpec<'_>) -> Result<(), ListFlaw> {
        let domain = str::from_utf8(&spec.domain).map_err(|_| ListFlaw::NotUtf8)?;
        let domain = (self.canonical)(domain);
        let local =
            if spec.quoted { print::local_part(&spec.bare_local) } else { spec.local.clone() };
        self.list.addresses.push([&local, &b"@"[..], domain.as_bytes()].concat());
        self.list.text.extend_from_slice(&spec.local);
        self.list.text.push(b'@');
        self.list.text.extend_from_slice(domain.as_bytes());
        Ok(())
    }
}

fn unexpected(token: Token<'_>) -> ListFlaw {
    ListFlaw::Unexpected(match token {
        Token::Special(byte) => Some(byte),
        Token::Literal(_) => Some(b'['),
        Token::Comment(_) => Some(b'('),
        Token::Quoted(_) => Some(b'"'),
        Token::Atom(atom) => atom.first().copied(),
        Token::End => None,
    })
}
