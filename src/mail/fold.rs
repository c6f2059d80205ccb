//! Header fields that we write ourselves: on one line as the original does, folded only where that
//! line would be longer than RFC 5322 §2.1.1 allows.

/// The longest line that may be sent, and the longest that a folded one should have.
const MAX: usize = 998;
const GOOD: usize = 78;

/// Appends `NAME: TEXT`. `folds` are the places of blanks where it may be broken, in order.
pub(crate) fn push_field(head: &mut Vec<u8>, name: &str, text: &[u8], folds: &[usize]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    let mut length = name.len() + 2;
    if length + text.len() <= MAX {
        head.extend_from_slice(text);
    } else {
        let mut start = 0;
        for end in folds.iter().copied().chain([text.len()]) {
            let part = &text[start..end];
            if start > 0 && length + part.len() > GOOD {
                head.push(b'\n');
                length = 0;
            }
            head.extend_from_slice(part);
            length += part.len();
            start = end;
        }
    }
    head.push(b'\n');
}

/// The addresses as one list, and where it may be broken.
pub(crate) fn join<'a>(addresses: impl Iterator<Item = &'a str>) -> (String, Vec<usize>) {
    let (mut text, mut folds) = (String::new(), Vec::new());
    for address in addresses {
        if !text.is_empty() {
            folds.push(text.len() + 1);
            text.push_str(", ");
        }
        text.push_str(address);
    }
    (text, folds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(addresses: &[String]) -> String {
        let (text, folds) = join(addresses.iter().map(String::as_str));
        let mut head = Vec::new();
        push_field(&mut head, "To", text.as_bytes(), &folds);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn a_list_that_fits_one_line_stays_on_it() {
        let addresses = vec!["someone@example.org".to_owned(); 40];
        let line = field(&addresses);
        assert_eq!(line.lines().count(), 1);
        assert!(line.len() > 800);
    }

    proptest! {
        #[test]
        fn a_long_list_is_folded_and_unfolds_to_itself(
            addresses in prop::collection::vec("[a-z]{1,30}@[a-z]{1,30}", 1..200)
        ) {
            let folded = field(&addresses);
            let unfolded = folded.replace("\n ", " ");
            prop_assert_eq!(unfolded, format!("To: {}\n", addresses.join(", ")));
            prop_assert!(folded.lines().all(|line| line.len() <= 998));
        }
    }
}
