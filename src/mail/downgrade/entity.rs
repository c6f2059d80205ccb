//! What a MIME header says of its entity (RFC 2045 §5, §6; RFC 2046 §5).

use super::header::{fields, value_of};

/// What follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Leaf,
    Multipart,
    /// message/rfc822: a header again.
    Message,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) kind: Kind,
    pub(super) boundary: Option<Vec<u8>>,
    /// multipart/digest: its parts are messages unless they say otherwise.
    pub(super) digest: bool,
    /// multipart/signed (RFC 1847): not a byte may change.
    pub(super) sealed: bool,
    /// Content-Transfer-Encoding is 8bit or binary.
    pub(super) eight_bit: bool,
}

impl Entity {
    pub(super) fn read(header: &[u8], default: Kind) -> Self {
        let mut entity =
            Self { kind: default, boundary: None, digest: false, sealed: false, eight_bit: false };
        for field in fields(header) {
            if let Some(value) = value_of(field, b"Content-Type") {
                entity.content_type(value);
            } else if let Some(value) = value_of(field, b"Content-Transfer-Encoding") {
                let encoding = value.trim_ascii();
                entity.eight_bit = encoding.eq_ignore_ascii_case(b"8bit")
                    || encoding.eq_ignore_ascii_case(b"binary");
            }
        }
        entity
    }

    fn content_type(&mut self, value: &[u8]) {
        let (essence, parameters) = match memchr::memchr(b';', value) {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => (value, &b""[..]),
        };
        let essence = essence.trim_ascii().to_ascii_lowercase();
        self.boundary = None;
        self.kind = match essence.as_slice() {
            b"message/rfc822" => Kind::Message,
            multipart if multipart.starts_with(b"multipart/") => {
                self.digest = multipart == b"multipart/digest";
                self.sealed = multipart == b"multipart/signed";
                self.boundary = boundary(parameters);
                Kind::Multipart
            }
            _ => Kind::Leaf,
        };
    }
}

/// The value of the parameter `boundary`, out of its quotes.
fn boundary(mut parameters: &[u8]) -> Option<Vec<u8>> {
    loop {
        let equals = memchr::memchr(b'=', parameters)?;
        let name = parameters[..equals].trim_ascii();
        let found = name.eq_ignore_ascii_case(b"boundary");
        let (value, rest) = parameter_value(parameters[equals + 1..].trim_ascii_start());
        if found {
            return (!value.is_empty()).then_some(value);
        }
        let next = memchr::memchr(b';', rest)?;
        parameters = &rest[next + 1..];
    }
}

fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|b| matches!(b, b';' | b' ' | b'\t' | b'\r' | b'\n'));
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        return (value.to_vec(), rest);
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return (value, &quoted[at + 1..]),
            b'\\' => value.extend(bytes.next().map(|(_, escaped)| *escaped)),
            // A fold in a quoted string is not part of it.
            b'\r' | b'\n' => {}
            plain => value.push(*plain),
        }
    }
    (value, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_found_in_any_form() {
        for (value, wanted) in [
            ("multipart/mixed; boundary=abc", Some("abc")),
            ("Multipart/Mixed;\n\tBOUNDARY = \"a;b\\\"c\" ; x=y", Some("a;b\"c")),
            ("multipart/mixed; x=\"boundary=no\"; boundary=yes", Some("yes")),
            ("multipart/mixed; boundary=", None),
            ("multipart/mixed; boundary", None),
            ("multipart/mixed", None),
        ] {
            let entity = Entity::read(format!("content-type:{value}\n").as_bytes(), Kind::Leaf);
            assert_eq!(entity.kind, Kind::Multipart, "{value}");
            assert_eq!(entity.boundary.as_deref(), wanted.map(str::as_bytes), "{value}");
        }
    }
}
