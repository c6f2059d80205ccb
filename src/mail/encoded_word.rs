//! Text that is not ASCII in a header: encoded words (RFC 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An encoded word is at most 75 characters: `=?UTF-8?B?`, 60 of base64, `?=`.
const BYTES: usize = 45;

/// The text as encoded words, one a line where it takes several.
pub(crate) fn encode(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (0..=rest.len().min(BYTES)).rev().find(|at| rest.is_char_boundary(*at));
        let (chunk, tail) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(chunk)));
        rest = tail;
    }
    words.join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_into_words_that_fit_a_line() {
        let words = encode(&"ö€".repeat(40));
        let mut decoded = String::new();
        for word in words.split("\n ") {
            assert!(word.len() <= 75, "{word}");
            let base64 = word.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap();
            decoded.push_str(&String::from_utf8(STANDARD.decode(base64).unwrap()).unwrap());
        }
        assert_eq!(decoded, "ö€".repeat(40));
        assert_eq!(encode("Jörg"), "=?UTF-8?B?SsO2cmc=?=");
    }
}
