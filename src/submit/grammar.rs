//! The envelope as nullmailer-queue reads it and as a queue file begins:
//!
//! ```text
//! SENDER LF            empty = null reverse-path
//! RECIPIENT LF         one or more
//! LF
//! ```
//!
//! On the way in, not in the file, parameters may follow the sender behind a blank, in the words
//! of RFC 3461: `NOTIFY=NEVER RET=HDRS ENVID=xtext`.

use std::io::{BufRead, Read};

use super::Error;
use crate::mail::{Address, DeliveryRequest, Envelope, Recipients, ReversePath};

/// The longest line of an envelope; an [`Address`] and its parameters fit with room to spare.
const MAX_LINE: u64 = 4096;

/// An envelope as it came in: what nobody has admitted yet.
pub(crate) type Claimed = (ReversePath, Recipients, DeliveryRequest);

/// Reads an envelope up to and with the blank line; what follows is the message.
///
/// nullmailer: the end of the input stands for the blank line; the message is then empty.
pub(crate) fn read_envelope(input: &mut impl BufRead) -> Result<Claimed, Error> {
    let (mut lines, sender, request) = Lines::begin(input, u64::MAX)?;
    let mut recipients = Vec::new();
    while let Some(recipient) = lines.recipient()? {
        recipients.push(recipient);
    }
    Ok((sender, Recipients::new(recipients)?, request))
}

/// The recipients of an envelope, read one at a time: a million of them take no more room than one.
pub(super) struct Lines<'a, R> {
    input: &'a mut R,
    /// Bytes that the envelope may still have.
    left: u64,
}

impl<'a, R: BufRead> Lines<'a, R> {
    /// Reads the first line, of an envelope of so many bytes at the most.
    pub(super) fn begin(
        input: &'a mut R,
        limit: u64,
    ) -> Result<(Self, ReversePath, DeliveryRequest), Error> {
        let mut lines = Self { input, left: limit };
        let first = lines.next()?.ok_or(Error::Grammar("no sender line"))?;
        let (sender, request) = match first_bare_blank(&first) {
            Some(at) => {
                (&first[..at], DeliveryRequest::parse(&first[at + 1..]).map_err(Error::Grammar)?)
            }
            None => (&first[..], DeliveryRequest::default()),
        };
        let sender = ReversePath::parse(sender).map_err(Error::Sender)?;
        Ok((lines, sender, request))
    }

    /// The next one; `None` behind the last.
    pub(super) fn recipient(&mut self) -> Result<Option<Address>, Error> {
        match self.next()?.filter(|line| !line.is_empty()) {
            Some(line) => Address::parse(&line).map(Some).map_err(Error::Recipient),
            None => Ok(None),
        }
    }

    /// One line without its LF; `None` at the end of the input.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let limit = MAX_LINE.min(self.left);
        let mut line = Vec::new();
        let length =
            self.input.take(limit).read_until(b'\n', &mut line).map_err(Error::Input)? as u64;
        self.left -= length;
        match line.last() {
            Some(b'\n') => {
                line.pop();
                Ok(Some(line))
            }
            _ if self.left == 0 => Err(Error::Grammar("it is longer than 1 MiB")),
            Some(_) if length == MAX_LINE => Err(Error::Grammar("a line is too long")),
            Some(_) => Ok(Some(line)),
            None => Ok(None),
        }
    }
}

/// Where the first blank stands that is in no quoted string.
fn first_bare_blank(line: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    line.iter().position(|byte| {
        let bare = !quoted && !escaped;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        *byte == b' ' && bare
    })
}

/// The envelope as the original writes it, for the queue file.
pub(super) fn write_envelope(envelope: &Envelope) -> Vec<u8> {
    write(&envelope.sender, &envelope.recipients, &DeliveryRequest::default())
}

/// The envelope for a queue program. One that asks for nothing is as the original's wants it.
pub(super) fn write(
    sender: &ReversePath,
    recipients: &Recipients,
    request: &DeliveryRequest,
) -> Vec<u8> {
    let mut lines = format!("{sender}{request}\n");
    for recipient in recipients.iter() {
        lines.push_str(recipient.as_str());
        lines.push('\n');
    }
    lines.push('\n');
    lines.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Vec<String>), Error> {
        let (sender, recipients, _) = read_envelope(&mut text.as_bytes())?;
        Ok((sender.to_string(), recipients.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn an_envelope_is_a_sender_recipients_and_a_blank_line() {
        let mut input = &b"a@b.c\nd@e.f\ng@h\n\nSubject: x\n"[..];
        let (sender, recipients, _) = read_envelope(&mut input).unwrap();
        assert_eq!(sender.as_str(), "a@b.c");
        assert_eq!(recipients.as_slice().len(), 2);
        assert_eq!(input, b"Subject: x\n");
    }

    #[test]
    fn parameters_stand_behind_the_first_blank_that_is_not_quoted() {
        let mut input = &b"\"j \\\" d\"@x NOTIFY=NEVER\nd@e.f\n\n"[..];
        let (sender, _, request) = read_envelope(&mut input).unwrap();
        assert_eq!(sender.as_str(), "\"j \\\" d\"@x");
        assert_eq!(request.to_string(), " NOTIFY=NEVER");
    }

    #[test]
    fn the_null_reverse_path_is_an_empty_line() {
        assert_eq!(read("\nd@e.f\n").unwrap(), (String::new(), vec!["d@e.f".to_owned()]));
    }

    #[test]
    fn what_is_no_envelope_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no sender line"),
            ("a@b\n\n", "no recipients"),
            ("@b.c\nd@e.f\n\n", "nothing before its @"),
            ("a@b.c\n@e.f\n\n", "nothing before its @"),
            ("a@b.c\nd@e.f\r\n\n", "control character"),
            ("a@b.c\nd\n\n", "no domain"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_read_to_its_end() {
        let mut endless = std::io::BufReader::new(std::io::repeat(b'a'));
        assert!(matches!(read_envelope(&mut endless), Err(Error::Grammar(_))));
    }

    #[test]
    fn a_long_envelope_is_read_in_linear_time() {
        crate::mail::linear::assert_linear(5_000, |count| {
            let lines: Vec<_> = (0..count).map(|number| format!("user{number}@x")).collect();
            let (_, recipients) = read(&format!("a@b\n{}\n\n", lines.join("\n"))).unwrap();
            assert_eq!(recipients.len(), count);
        });
    }
}
