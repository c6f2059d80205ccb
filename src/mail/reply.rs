//! What a server said: RFC 5321 §4.2 replies and RFC 3463 enhanced status codes.

use std::fmt;

/// An enhanced status code, such as 5.1.1 (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnhancedCode {
    pub(crate) class: u16,
    pub(crate) subject: u16,
    pub(crate) detail: u16,
}

impl EnhancedCode {
    pub(crate) const fn new(class: u16, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads the code that `text` begins with; it must end at a blank or with the text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let word = text.split([' ', '\t']).next()?;
        let mut parts = word.split('.');
        let mut number = |digits| {
            let part = parts.next()?;
            let plain = part.len() <= digits && part.bytes().all(|b| b.is_ascii_digit());
            if plain { part.parse::<u16>().ok() } else { None }
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        match (class, parts.next()) {
            (2 | 4 | 5, None) => Some(Self { class, subject, detail }),
            _ => None,
        }
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A whole reply: its code and the text of each line, without the codes.
///
/// The text is as the server sent it, decoded as UTF-8 with replacement; it is still a guest and
/// is shown only through [`super::Printable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Three digits; below 10 a class alone, where a protocol has no more.
    pub(crate) code: u16,
    pub(crate) lines: Vec<String>,
}

impl Reply {
    /// What QMQP servers and protocol programs say: yes, later or no (2, 4 or 5), and a text.
    pub(crate) fn without_code(class: u16, text: &str) -> Self {
        Self { code: class, lines: text.lines().map(str::to_owned).collect() }
    }

    /// The same reply with what `change` makes of each line.
    pub(crate) fn map_text(mut self, change: impl Fn(&str) -> String) -> Self {
        self.lines.iter_mut().for_each(|line| *line = change(line));
        self
    }

    /// The first digit.
    pub(crate) fn class(&self) -> u16 {
        if self.code < 10 { self.code } else { self.code / 100 }
    }

    #[cfg(test)]
    pub(crate) fn new(code: u16, text: &str) -> Self {
        Self { code, lines: text.split('\n').map(str::to_owned).collect() }
    }

    /// 2yz.
    pub(crate) fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// The enhanced status code of the first line, if its class is that of the reply (RFC 2034 §4).
    pub(crate) fn enhanced(&self) -> Option<EnhancedCode> {
        let code = EnhancedCode::parse(self.lines.first()?)?;
        (code.class == self.class()).then_some(code)
    }

    /// The status for a report: the enhanced code, else X.0.0 of the reply's class.
    pub(crate) fn status(&self) -> EnhancedCode {
        let class = if self.class() == 4 {
            4
        } else if self.is_positive() {
            2
        } else {
            5
        };
        self.enhanced().unwrap_or(EnhancedCode::new(class, 0, 0))
    }
}

/// One line: the code if there is one, then the lines of text joined by a blank.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        if self.code >= 10 {
            write!(f, "{}", self.code)?;
            blank = " ";
        }
        for line in self.lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
            write!(f, "{blank}{}", super::Printable(line))?;
            blank = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enhanced_code_counts_only_where_its_class_is_that_of_the_reply() {
        assert_eq!(Reply::new(550, "5.1.1 gone").enhanced(), Some(EnhancedCode::new(5, 1, 1)));
        assert_eq!(Reply::new(550, "4.1.1 gone").enhanced(), None);
        assert_eq!(Reply::new(550, "4.1.1 gone").status(), EnhancedCode::new(5, 0, 0));
    }

    #[test]
    fn a_number_with_dots_is_not_always_an_enhanced_code() {
        for text in
            ["127.0.0.1 blocked", "7.0.0 x", "5.1 x", "5.1.1234 x", "5.+1.1 x", "5.1.1.1", ""]
        {
            assert_eq!(EnhancedCode::parse(text), None, "{text}");
        }
        assert_eq!(EnhancedCode::parse("5.7.509"), Some(EnhancedCode::new(5, 7, 509)));
    }

    #[test]
    fn a_reply_without_a_code_shows_none_and_still_has_a_class() {
        let reply = Reply::without_code(5, "5.2.1 mailbox\nis full");
        assert_eq!(reply.to_string(), "5.2.1 mailbox is full");
        assert_eq!(reply.status(), EnhancedCode::new(5, 2, 1));
        assert!(Reply::without_code(2, "").is_positive());
        assert_eq!(Reply::without_code(4, "x").status(), EnhancedCode::new(4, 0, 0));
    }

    #[test]
    fn a_reply_is_shown_on_one_line() {
        assert_eq!(
            Reply::new(550, "5.7.1 first\nsecond\u{7}").to_string(),
            "550 5.7.1 first second\\u{7}"
        );
    }
}
