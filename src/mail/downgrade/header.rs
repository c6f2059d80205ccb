//! Raw UTF-8 in a header field → encoded words (RFC 2047), where the field allows them.
//!
//! Allowed are unstructured text, and names and comments in lists of addresses. A field whose text
//! is something else, or is not UTF-8, goes as it is: mail is not bounced for its header alone.

use crate::mail::encoded_word;

/// The fields of a header with their line ends; the blank line comes as one of them.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            end += memchr::memchr(b'\n', &rest[end..]).map_or(rest.len() - end, |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, tail) = rest.split_at(end);
        rest = tail;
        (!field.is_empty()).then_some(field)
    })
}

pub(super) fn is_named(field: &[u8], name: &[u8]) -> bool {
    value_of(field, name).is_some()
}

/// What stands behind the colon, if the field has that name.
pub(super) fn value_of<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = field.split_at_checked(name.len())?;
    let value = value.trim_ascii_start().strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

/// Fields of addresses; all `Resent-` ones as well.
const ADDRESSES: &[&str] = &[
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "disposition-notification-to",
    "errors-to",
    "mail-followup-to",
    "mail-reply-to",
];

/// Fields whose text is neither addresses nor free.
const STRUCTURED: &[&str] = &[
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "received",
    "return-path",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
    "content-language",
    "content-location",
    "auto-submitted",
    "authentication-results",
    "dkim-signature",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
    "autocrypt",
    "resent-date",
    "resent-message-id",
];

/// Appends the field with its text encoded.
pub(super) fn encode(field: &[u8], out: &mut Vec<u8>) {
    match encoded(field) {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => out.extend_from_slice(field),
    }
}

fn encoded(field: &[u8]) -> Option<String> {
    let text = str::from_utf8(field).ok()?;
    let (name, value) = text.split_once(':')?;
    let lower = name.trim_end().to_ascii_lowercase();
    if !name.is_ascii() || STRUCTURED.contains(&lower.as_str()) || lower.starts_with("list-") {
        return None;
    }
    let end = if text.ends_with("\r\n") { "\r\n" } else { "\n" };
    // RFC 5322 §2.2.3: unfolding is taking the line ends out.
    let value = value.replace("\r\n", "").replace('\n', "");
    let plain = lower.strip_prefix("resent-").unwrap_or(&lower);
    let value = if ADDRESSES.contains(&plain) { addresses(&value)? } else { unstructured(&value) };
    let mut line = String::from(name) + ":";
    let mut width = line.chars().count();
    // RFC 2047 §2: a line with an encoded word has at most 76 characters.
    for word in value.split_inclusive([' ', '\n']) {
        let length = word.trim_end_matches(['\n', ' ']).chars().count();
        if width + length > 76 && line.ends_with(' ') {
            line.pop();
            line.push_str(end);
            line.push(' ');
            width = 1;
        }
        let broken = word.ends_with('\n');
        line.push_str(word.trim_end_matches('\n'));
        width += word.chars().count();
        if broken {
            line.push(' ');
        }
    }
    Some(line.trim_end().to_owned() + end)
}

/// From the first word that is not ASCII to the last, all becomes encoded words.
fn unstructured(text: &str) -> String {
    let words: Vec<&str> = text.split_inclusive([' ', '\t']).collect();
    let raw = |word: &&str| !word.is_ascii();
    let (Some(first), Some(last)) = (words.iter().position(raw), words.iter().rposition(raw))
    else {
        return text.to_owned();
    };
    let run = words[first..=last].concat();
    let inner = run.trim_end_matches([' ', '\t']);
    let words_of_it = encoded_word::encode(inner).replace("\n ", "\n");
    format!(
        "{}{words_of_it}{}{}",
        words[..first].concat(),
        &run[inner.len()..],
        words[last + 1..].concat()
    )
}

/// Names before `<`, and comments, become encoded words; the addresses themselves stay.
fn addresses(text: &str) -> Option<String> {
    let mut out = String::new();
    // What may turn out to be a name.
    let mut phrase = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                phrase.push('"');
                loop {
                    let inner = chars.next()?;
                    phrase.push(inner);
                    match inner {
                        '"' => break,
                        '\\' => phrase.push(chars.next()?),
                        _ => {}
                    }
                }
            }
            '(' => {
                out.push_str(&std::mem::take(&mut phrase));
                out.push_str(&comment(&mut chars)?);
            }
            '<' | ':' => {
                out.push_str(&name(&phrase));
                phrase.clear();
                out.push(c);
                if c == '<' {
                    out.push_str(&route(&mut chars)?);
                }
            }
            ',' | ';' => {
                out.push_str(&std::mem::take(&mut phrase));
                out.push(c);
            }
            _ => phrase.push(c),
        }
    }
    Some(out + &phrase)
}

/// What stands between `<` and `>`, and the `>`.
fn route(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let (inner, rest) = chars.as_str().split_once('>')?;
    *chars = rest.chars();
    Some(format!("{inner}>"))
}

/// A name: words and quoted strings, with the blanks around them.
fn name(phrase: &str) -> String {
    if phrase.is_ascii() {
        return phrase.to_owned();
    }
    let inner = phrase.trim();
    let start = phrase.len() - phrase.trim_start().len();
    let (before, after) = (&phrase[..start], &phrase[start + inner.len()..]);
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
            '\\' => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    format!("{before}{}{after}", encoded_word::encode(&text).replace("\n ", "\n"))
}

/// The rest of a comment whose `(` has been read.
fn comment(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let (mut depth, mut raw, mut text) = (1, String::from("("), String::new());
    while depth > 0 {
        let c = chars.next()?;
        raw.push(c);
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => {
                let escaped = chars.next()?;
                raw.push(escaped);
                text.push(escaped);
                continue;
            }
            _ => {}
        }
        if depth > 0 {
            text.push(c);
        }
    }
    if raw.is_ascii() {
        return Some(raw);
    }
    Some(format!("({})", encoded_word::encode(&text).replace("\n ", "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(field: &str, wanted: &str) {
        let mut out = Vec::new();
        encode(field.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn free_text_is_encoded_from_the_first_raw_word_to_the_last() {
        becomes("Subject: Grüße\n", "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\n");
        becomes(
            "Subject: [list] Grüße an Jörg today\r\n",
            "Subject: [list] =?UTF-8?B?R3LDvMOfZSBhbiBKw7ZyZw==?= today\r\n",
        );
        becomes("X-Ähnlich: ä\n", "X-Ähnlich: ä\n");
        becomes("X-Note:\n ä\n", "X-Note: =?UTF-8?B?w6Q=?=\n");
    }

    #[test]
    fn names_and_comments_are_encoded_and_addresses_are_not() {
        becomes(
            "From: Jörg Müller <j@x.example>\n",
            "From: =?UTF-8?B?SsO2cmcgTcO8bGxlcg==?= <j@x.example>\n",
        );
        becomes(
            "To: \"Jörg, jr.\" <j@x>, b@x (Büro), jö@x\n",
            "To: =?UTF-8?B?SsO2cmcsIGpyLg==?= <j@x>, b@x (=?UTF-8?B?QsO8cm8=?=), jö@x\n",
        );
        becomes("Cc: Büro: a@x, b@x;\n", "Cc: =?UTF-8?B?QsO8cm8=?=: a@x, b@x;\n");
    }

    #[test]
    fn what_does_not_allow_it_goes_as_it_is() {
        for field in [
            "Content-Type: text/plain; name=\"ä\"\n",
            "Message-ID: <ä@x>\n",
            "List-Id: ä <x.y>\n",
            "To: \"ä <a@x>\n",
        ] {
            becomes(field, field);
        }
        let mut out = Vec::new();
        encode(b"Subject: caf\xe9\n", &mut out);
        assert_eq!(out, b"Subject: caf\xe9\n");
    }

    #[test]
    fn a_long_text_is_folded_so_that_no_line_is_too_long() {
        let field = format!("Subject: {}\n", "äöü ".repeat(60));
        let mut out = Vec::new();
        encode(field.as_bytes(), &mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(out.lines().count() > 3 && out.ends_with("?=\n"), "{out}");
        for line in out.lines() {
            assert!(
                line.len() <= 76 && (line.starts_with("Subject:") || line.starts_with(" =?")),
                "{out}"
            );
        }
    }
}
