//! Hides addresses in text: `logaddresses`.
//!
//! [`super::Log`] puts every value and line of every event through it, whoever wrote them, so that no event can forget it.
//! Whatever could be an address counts as one: too much is hidden rather than too little.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

/// How much of an address the log shows: the control file `logaddresses`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Addresses {
    #[default]
    Full,
    /// A number that is the same for the same address while this daemon runs, and the domain.
    Hashed,
    None,
}

impl Addresses {
    /// The text with its addresses shown as they may be.
    pub(super) fn veil<'a>(self, text: &'a str, salt: &RandomState) -> Cow<'a, str> {
        if self == Self::Full || !(text.contains('@') || text.contains("%40")) {
            return text.into();
        }
        let mut veiled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(found) = Found::first(rest) {
            veiled.push_str(&rest[..found.begin]);
            let (local_part, domain) =
                (&rest[found.begin..found.at], &rest[found.domain..found.end]);
            match self {
                Self::Hashed => {
                    let hash = salt.hash_one((local_part, domain)) & 0xffff_ffff;
                    let _ = write!(veiled, "{hash:08x}@{domain}");
                }
                Self::Full | Self::None => veiled.push_str("..."),
            }
            rest = &rest[found.end..];
        }
        veiled.push_str(rest);
        veiled.into()
    }
}

/// Where an address stands: its local part, the sign behind that, and its domain, which may be missing.
struct Found {
    begin: usize,
    at: usize,
    domain: usize,
    end: usize,
}

impl Found {
    fn first(text: &str) -> Option<Self> {
        let mut from = 0;
        while let Some((at, sign)) = next_sign(text, from) {
            let (local_part, in_brackets) = local_part(&text[from..at], sign);
            let behind = at + sign.len();
            let mut found = Self { begin: at - local_part.len(), at, domain: behind, end: behind };
            let bracketed = if in_brackets { up_to_bracket(&text[behind..]) } else { None };
            found.end += bracketed.unwrap_or_else(|| domain(&text[behind..])).len();
            // The last sign divides: a@b@c is of the domain c.
            while let Some((at, sign)) = next_sign(text, found.domain)
                && at <= found.end
            {
                (found.at, found.domain) = (at, at + sign.len());
                let end = found.domain + domain(&text[found.domain..]).len();
                found.end = found.end.max(end);
            }
            if found.begin < found.at {
                return Some(found);
            }
            from = found.end;
        }
        None
    }
}

/// The next sign that may stand between a local part and a domain: in plain text, or as links have it.
fn next_sign(text: &str, mut from: usize) -> Option<(usize, &'static str)> {
    loop {
        let at = from + text[from..].find(['@', '%'])?;
        let sign = ["@", "%40"].into_iter().find(|sign| text[at..].starts_with(sign));
        match sign {
            Some(sign) => return Some((at, sign)),
            None => from = at + 1,
        }
    }
}

/// The local part that `text` ends in. Behind a `<` it is all from there on, and true; elsewhere it ends at what an
/// address has only in quotes.
fn local_part<'a>(text: &'a str, sign: &str) -> (&'a str, bool) {
    let (mut begin, mut cut) = (text.len(), None);
    while let Some(last) = text[..begin].chars().next_back() {
        let behind = &text[begin..];
        let ends = match last {
            '<' => return (behind, true),
            '>' => true,
            '"' if behind.is_empty() || behind.starts_with('.') => {
                if let Some(open) = open_quote(&text[..begin]) {
                    begin = open;
                    continue;
                }
                false
            }
            '"' => !behind.is_empty() && !behind.starts_with('@'),
            c => c.is_whitespace() || c.is_control(),
        };
        if ends {
            break;
        }
        let divides = "()[],;:".contains(last) || (sign != "@" && "=&?/".contains(last));
        if divides && cut.is_none() {
            cut = Some(begin);
        }
        begin -= last.len_utf8();
    }
    (text[cut.unwrap_or(begin)..].trim_start_matches(['\'', '`']), false)
}

/// Where the quoted string begins that `text` ends in. Its quotes may be escaped themselves.
fn open_quote(text: &str) -> Option<usize> {
    let escapes = |end: usize| text[..end].len() - text[..end].trim_end_matches('\\').len();
    let close = text.len() - 1;
    let level = escapes(close);
    let quotes = text[..close].rmatch_indices('"');
    let mut opening = quotes.map(|(at, _)| (at, escapes(at))).filter(|(_, found)| *found <= level);
    opening.next().map(|(at, found)| at - found)
}

/// What is left of an address in angle brackets.
fn up_to_bracket(text: &str) -> Option<&str> {
    let end = text.find(|c: char| c == '>' || c.is_whitespace())?;
    text[end..].starts_with('>').then_some(&text[..end])
}

/// The domain that `text` begins with: a name, without the dots that end a sentence, or an address literal.
fn domain(text: &str) -> &str {
    let literal = text.strip_prefix('[').and_then(up_to_square_bracket);
    if let Some(length) = literal {
        return &text[..length];
    }
    let is_part = |c: char| c.is_alphanumeric() || "-._".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

/// How long a literal is with its brackets, given what is behind the first.
fn up_to_square_bracket(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || ".:-".contains(c)))?;
    text[end..].starts_with(']').then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(text: &str) -> String {
        Addresses::None.veil(text, &RandomState::new()).into_owned()
    }

    #[test]
    fn what_could_be_an_address_is_hidden_wherever_it_stands() {
        for (text, veiled) in [
            ("<a@x.y>: no", "<...>: no"),
            ("a.b+c@x.y... User unknown", "...... User unknown"),
            ("to <\"a b\"@x>, no", "to <...>, no"),
            ("no \"a b\"@x", "no ..."),
            ("no \"a \\\" b\"@x", "no ..."),
            ("no \"a b\".c@x", "no ..."),
            (r#"cannot use "\"a b\"@x" here"#, r#"cannot use "..." here"#),
            ("no a b\"@x", "no a ..."),
            ("\"a@x\" is none", "\"...\" is none"),
            ("'a@x' is none", "'...' is none"),
            ("o'b@x", "..."),
            ("<a:b@x:y>", "<...>"),
            ("<@r,@s:a@x>", "<...>"),
            ("rcpt:a@x,b@y;c@z (d@w)", "rcpt:...,...;... (...)"),
            ("a@b@c.d.", "...."),
            ("jö@bücher.example", "..."),
            ("a@[127.0.0.1] a@[IPv6:::1]", "... ..."),
            ("a@ and @x and @", "... and @x and @"),
            ("http://x.y/?a=b&id=c%40x.y&d=100%", "http://x.y/?a=b&id=...&d=100%"),
            ("a@x", "..."),
            ("5.1.1 <", "5.1.1 <"),
            ("@@x", "..."),
        ] {
            assert_eq!(none(text), veiled, "{text}");
        }
    }

    #[test]
    fn a_hash_is_the_same_wherever_the_address_stands_and_keeps_the_domain() {
        let salt = RandomState::new();
        let hashed = |text| Addresses::Hashed.veil(text, &salt).into_owned();
        let one = hashed("a@x.y");
        assert!(one.ends_with("@x.y") && one.len() == 12, "{one}");
        for (text, around) in [("<a@x.y>", "<>"), ("a@x.y.", "."), ("id=1 a@x.y no", "id=1  no")] {
            assert_eq!(hashed(text).replace(&one, ""), around);
        }
        assert_ne!(hashed("b@x.y"), one);
        assert_eq!(Addresses::Full.veil("a@x", &salt), "a@x");
    }

    #[test]
    fn a_line_of_many_addresses_takes_no_longer_for_each() {
        // Quadratic, this would take minutes.
        assert_eq!(none(&"<a@x>, ".repeat(100_000)), "<...>, ".repeat(100_000));
        let none_at_all = ":@".repeat(100_000);
        assert_eq!(none(&none_at_all), none_at_all);
    }
}
