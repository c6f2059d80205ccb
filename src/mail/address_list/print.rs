//! How the parts of an address are written again: which quotes stay, which do not.

use super::lexer::{is_atom, is_blank};

/// The content of a quoted string without its backslashes.
pub(super) fn unescape(quoted: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        content.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    content
}

pub(super) fn push_quoted(text: &mut Vec<u8>, content: &[u8]) {
    text.push(b'"');
    for byte in content {
        if matches!(byte, b'"' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text.push(b'"');
}

/// Without the blanks at its ends, the vertical tab among them, which `trim_ascii` leaves.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let begin = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(*byte)).map_or(begin, |last| last + 1);
    &text[begin..end]
}

/// A quoted word of a name. nullmailer: blanks at its ends go, and so do the quotes, unless the
/// content holds one of the specials.
pub(super) fn push_name_word(text: &mut Vec<u8>, quoted: &[u8], alone: bool) {
    let content = unescape(quoted);
    let content = trim(&content);
    // A line end that begins no fold would begin a field of its own.
    let content: Vec<u8> = (0..content.len())
        .map(|at| match content[at] {
            b'\n' if is_fold(content, at) => b'\n',
            b'\r' | b'\n' => b' ',
            byte => byte,
        })
        .collect();
    let plain = content.iter().all(|byte| is_atom(*byte) || is_blank(*byte));
    if plain && (alone || !content.is_empty()) {
        text.extend_from_slice(&content);
    } else {
        push_quoted(text, &content);
    }
}

/// A quoted word of a local part, for a header. Every blank in it counts. True if it keeps its
/// quotes.
pub(super) fn push_local_word(text: &mut Vec<u8>, content: &[u8]) -> bool {
    let quoted = content.is_empty() || !content.iter().all(|byte| is_atom(*byte));
    if quoted {
        push_quoted(text, content);
    } else {
        text.extend_from_slice(content);
    }
    quoted
}

/// A local part for the envelope: with quotes if it cannot do without them (RFC 5321 §4.1.2).
pub(crate) fn local_part(content: &[u8]) -> Vec<u8> {
    let dot_string = content
        .split(|byte| *byte == b'.')
        .all(|atom| !atom.is_empty() && atom.iter().all(|byte| is_atom(*byte)));
    if dot_string {
        return content.to_owned();
    }
    let mut text = Vec::with_capacity(content.len() + 2);
    push_quoted(&mut text, content);
    text
}

/// Folds disappear: the line end goes, the blank behind it stays. A line end that is no fold would
/// begin a field of its own and becomes a blank.
pub(super) fn unfold(text: &[u8]) -> Vec<u8> {
    let unfolded = text.iter().enumerate().filter_map(|(at, byte)| match byte {
        b'\n' | b'\r' => (!is_fold(text, at)).then_some(b' '),
        byte => Some(*byte),
    });
    unfolded.collect()
}

/// Whether the text has a line end that is no fold.
pub(super) fn breaks_line(text: &[u8]) -> bool {
    (0..text.len()).any(|at| matches!(text[at], b'\n' | b'\r') && !is_fold(text, at))
}

/// Whether the line end here has a blank behind it (RFC 5322 §2.2.3).
fn is_fold(text: &[u8], at: usize) -> bool {
    match text[at..] {
        [b'\r', b'\n', ..] => is_fold(text, at + 1),
        [b'\n', next, ..] => matches!(next, b' ' | b'\t'),
        _ => false,
    }
}
