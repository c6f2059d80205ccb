//! Takes secrets out of what others say, before any of it is kept.
//!
//! A server may quote the line that it did not understand, and that was a password. Whoever tells somebody a secret gives
//! it to a [`Mask`] too and has what comes back go through that.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// So many characters in a row of a secret, or of an encoding of one, are taken for it: a quotation may be cut off at
/// either end. Fewer occur in any text.
const PART: usize = 8;
/// A secret or encoding shorter than a part is looked for as a whole; one shorter than this occurs in any text.
const LEAST: usize = 4;

const SHOWN: &[u8] = b"[secret]";

/// Secrets to be hidden, in each form in which they may come back. Case does not count.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    /// Hashes of all parts, sorted. Wrong once in many millions of parts, which hides a word too many.
    parts: Zeroizing<Vec<u32>>,
    /// What is shorter than a part.
    short: Vec<Zeroizing<Vec<u8>>>,
}

impl Mask {
    /// Hides a secret: as it is, and its base64 wherever it stands in what was encoded.
    pub(crate) fn hide(&mut self, secret: &[u8]) {
        self.add(secret);
        self.hide_encoded(secret);
        for before in 0..3 {
            let mut message = Zeroizing::new(vec![0; before]);
            message.extend_from_slice(secret);
            let encoded = Zeroizing::new(STANDARD.encode(&*message));
            // The first and last characters may hold bits of what stands beside the secret.
            let begin = (before * 8).div_ceil(6);
            let end = (before + secret.len()) * 8 / 6;
            self.add(encoded.as_bytes().get(begin..end).unwrap_or_default());
        }
    }

    /// Hides the base64 of a message that holds a secret, and not the message itself.
    pub(crate) fn hide_encoded(&mut self, message: &[u8]) {
        self.add(Zeroizing::new(STANDARD.encode(message)).as_bytes());
    }

    fn add(&mut self, form: &[u8]) {
        if form.len() >= PART {
            // Whole at once: growing would leave copies behind.
            let mut parts = Zeroizing::new(Vec::with_capacity(self.parts.len() + form.len()));
            parts.extend_from_slice(&self.parts);
            parts.extend(form.windows(PART).map(hash));
            parts.sort_unstable();
            parts.dedup();
            self.parts = parts;
        } else if form.len() >= LEAST {
            self.short.push(Zeroizing::new(form.to_vec()));
        }
    }

    /// The text without the secrets: `[secret]` stands for each.
    pub(crate) fn apply<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        let mut note = |begin: usize, length: usize| match found.last_mut() {
            Some((_, end)) if *end >= begin => *end = (*end).max(begin + length),
            _ => found.push((begin, begin + length)),
        };
        if self.parts.is_empty() && self.short.is_empty() {
            return Cow::Borrowed(text);
        }
        for begin in 0..text.len() {
            let rest = &text[begin..];
            let is_part = |part| self.parts.binary_search(&hash(part)).is_ok();
            if rest.get(..PART).is_some_and(is_part) {
                note(begin, PART);
            }
            for short in &self.short {
                if rest.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short)) {
                    note(begin, short.len());
                }
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut masked, mut at) = (Vec::with_capacity(text.len()), 0);
        for (begin, end) in found {
            masked.extend_from_slice(&text[at..begin]);
            masked.extend_from_slice(SHOWN);
            at = end;
        }
        masked.extend_from_slice(&text[at..]);
        Cow::Owned(masked)
    }
}

/// FNV-1a.
fn hash(part: &[u8]) -> u32 {
    part.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(...)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(secret: &[u8]) -> Mask {
        let mut mask = Mask::default();
        mask.hide(secret);
        mask
    }

    fn shown(mask: &Mask, text: &str) -> String {
        String::from_utf8(mask.apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_secret_is_hidden_in_each_form() {
        let mask = mask(b"hunter2");
        for (text, left) in [
            ("no such user hunter2", "no such user [secret]"),
            ("HUNTER2!hunter2", "[secret]![secret]"),
            ("\"AUTH PLAIN AHUAaHVudGVyMg==\" what?", "\"AUTH PLAIN AHUA[secret]\" what?"),
            ("aHVudGVyMg==", "[secret]"),
            ("5.5.2 what", "5.5.2 what"),
            ("hunter", "hunter"),
        ] {
            assert_eq!(shown(&mask, text), left, "{text}");
        }
    }

    #[test]
    fn a_quotation_that_is_cut_off_is_hidden_too() {
        let mask = mask(b"correct horse battery staple");
        for (text, left) in [
            ("what is correct hors", "what is [secret]"),
            ("y staple is what", "[secret] is what"),
            ("rect hor", "[secret]"),
            ("the correctness", "the correctness"),
        ] {
            assert_eq!(shown(&mask, text), left, "{text}");
        }
    }

    #[test]
    fn what_is_too_short_to_be_told_from_any_text_hides_nothing() {
        for secret in ["", "a", "250"] {
            let text = "250 a message of 250 bytes";
            assert_eq!(shown(&mask(secret.as_bytes()), text), text, "{secret}");
        }
        assert_eq!(shown(&Mask::default(), "x"), "x");
    }

    #[test]
    fn a_mask_shows_nothing_of_what_it_hides() {
        assert_eq!(format!("{:?}", mask(b"hunter2")), "Mask(...)");
    }

    proptest! {
        #[test]
        fn base64_is_hidden_wherever_the_secret_stands(
            before in prop::collection::vec(any::<u8>(), 0..20),
            secret in prop::collection::vec(any::<u8>(), 9..40),
            after in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let message = [&before[..], &secret, &after].concat();
            let text = format!("what is {}?", STANDARD.encode(&message));
            let left = mask(&secret).apply(text.as_bytes()).into_owned();
            let left = String::from_utf8(left).unwrap();
            let begin = 8 + (before.len() * 8).div_ceil(6);
            let end = 8 + (before.len() + secret.len()) * 8 / 6;
            prop_assert!(left.len() <= text.len() - (end - begin) + SHOWN.len(), "{left}");
        }

        #[test]
        fn any_text_goes_through_and_what_is_long_enough_does_not(
            secret in "[ -~]{8,30}", before in "[ -~]{0,30}", after in "[ -~]{0,30}"
        ) {
            let left = shown(&mask(secret.as_bytes()), &format!("{before}{secret}{after}"));
            prop_assert!(left.contains("[secret]"));
            prop_assert!(!left.contains(&secret) || "[secret]".contains(&secret));
        }
    }
}
