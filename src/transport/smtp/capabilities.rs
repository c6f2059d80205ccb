//! What a server offers: the lines of its EHLO reply (RFC 5321 §4.1.1.1), in any case.

use crate::mail::Reply;

/// Empty after HELO.
#[allow(clippy::struct_excessive_bools, reason = "each keyword is offered or not")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(super) pipelining: bool,
    pub(super) chunking: bool,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    pub(super) dsn: bool,
    pub(super) starttls: bool,
    pub(super) size: Size,
    auth: Vec<String>,
}

/// RFC 1870 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Size {
    #[default]
    NotOffered,
    /// Offered without a number, or with 0: no fixed limit.
    Unlimited,
    AtMost(u64),
}

impl Capabilities {
    pub(super) fn parse(reply: &Reply) -> Self {
        let mut offered = Self::default();
        // The first line is the server's name and greeting.
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace().map(str::to_ascii_uppercase);
            let Some(keyword) = words.next() else { continue };
            match keyword.as_str() {
                "PIPELINING" => offered.pipelining = true,
                "CHUNKING" => offered.chunking = true,
                "8BITMIME" => offered.eight_bit = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "DSN" => offered.dsn = true,
                "STARTTLS" => offered.starttls = true,
                "SIZE" => offered.size = Size::parse(words.next().as_deref()),
                "AUTH" => offered.auth.extend(words),
                // Before RFC 2554 it was written so, and some still do.
                _ => {
                    if let Some(first) = keyword.strip_prefix("AUTH=") {
                        offered.auth.push(first.to_owned());
                        offered.auth.extend(words);
                    }
                }
            }
        }
        offered
    }

    /// The SASL mechanisms of all AUTH lines, in upper case.
    pub(crate) fn auth_mechanisms(&self) -> &[String] {
        &self.auth
    }
}

impl Size {
    fn parse(number: Option<&str>) -> Self {
        match number.map(str::parse) {
            Some(Ok(limit)) if limit > 0 => Self::AtMost(limit),
            // 0, no number, or one beyond 2^64.
            _ => Self::Unlimited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> Capabilities {
        Capabilities::parse(&Reply::new(250, lines))
    }

    #[test]
    fn keywords_are_read_in_any_case_and_with_any_blanks() {
        let offered =
            parse("h.example PIPELINING\nstarttls\n8bitMIME\nSize 100\nauth plain\t LOGIN");
        assert!(offered.starttls && offered.eight_bit && !offered.pipelining);
        assert_eq!(offered.size, Size::AtMost(100));
        assert_eq!(offered.auth_mechanisms(), ["PLAIN", "LOGIN"]);
    }

    #[test]
    fn a_size_that_is_none_sets_no_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE x", "SIZE 99999999999999999999999"] {
            assert_eq!(parse(&format!("h\n{line}")).size, Size::Unlimited, "{line}");
        }
        assert_eq!(parse("h").size, Size::NotOffered);
    }

    #[test]
    fn the_old_form_of_auth_counts() {
        let offered = parse("h\nAUTH=LOGIN PLAIN\nAUTH CRAM-MD5");
        assert_eq!(offered.auth_mechanisms(), ["LOGIN", "PLAIN", "CRAM-MD5"]);
    }
}
