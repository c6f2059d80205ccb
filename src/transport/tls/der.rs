//! As much DER as rustls leaves to us: where one certificate ends, and the common name in it.

/// The tag and the content of the first element, its whole length, and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    length: usize,
    rest: &'a [u8],
}

fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (&tag, after_tag) = bytes.split_first()?;
    let (&first, mut rest) = after_tag.split_first()?;
    let mut size = usize::from(first);
    if first & 0x80 != 0 {
        let digits = usize::from(first & 0x7f);
        // No certificate needs more; none at all is BER's open form.
        if !(1..=4).contains(&digits) {
            return None;
        }
        let (number, after) = rest.split_at_checked(digits)?;
        size = number.iter().fold(0, |size, digit| size << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(size)?;
    Some(Element { tag, content, length: bytes.len() - rest.len(), rest })
}

/// Cuts a file of one DER element behind another. `None` if there is anything else in it.
pub(super) fn split(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let element = element(bytes)?;
        found.push(&bytes[..element.length]);
        bytes = element.rest;
    }
    Some(found)
}

/// The last common name of a certificate's subject (RFC 5280 §4.1.2.6).
pub(super) fn common_name(certificate: &[u8]) -> Option<&str> {
    const SEQUENCE: u8 = 0x30;
    const OID: u8 = 0x06;
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const VERSION: u8 = 0xa0;
    let mut rest = element(element(certificate)?.content)?.content;
    // TBSCertificate: [0] version, serial, signature, issuer, validity, subject.
    let mut index = 0;
    let mut subject = loop {
        let field = element(rest)?;
        rest = field.rest;
        if field.tag == VERSION {
            continue;
        }
        if index == 4 {
            break (field.tag == SEQUENCE).then_some(field.content)?;
        }
        index += 1;
    };
    let mut found = None;
    while !subject.is_empty() {
        let set = element(subject)?;
        subject = set.rest;
        let attribute = element(element(set.content)?.content)?;
        if attribute.tag == OID && attribute.content == COMMON_NAME {
            found = str::from_utf8(element(attribute.rest)?.content).ok();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "org");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_found_behind_other_attributes() {
        assert_eq!(common_name(&named("mail.example")), Some("mail.example"));
    }

    #[test]
    fn certificates_one_behind_another_are_told_apart() {
        let (one, two) = (named("one"), named("two.example"));
        let both = [one.clone(), two.clone()].concat();
        assert_eq!(split(&both), Some(vec![&one[..], &two[..]]));
        assert_eq!(split(b"-----BEGIN"), None);
    }

    #[test]
    fn a_cut_or_bent_certificate_is_no_crash() {
        let whole = named("mail.example");
        for length in 0..whole.len() {
            let _ = common_name(&whole[..length]);
            let _ = split(&whole[..length]);
            let mut bent = whole.clone();
            bent[length] ^= 0xff;
            let _ = common_name(&bent);
        }
    }
}
