//! What may be sent before the server has agreed to take it, and how that is known.
//!
//! Text is a local user's, and a server that refuses an envelope, or BDAT itself, may take what follows for commands: it
//! ought to read and drop the chunk (RFC 3030 §2), and not every server does. So BDAT carries only text in which no line
//! could be a command ([`Harmless`]); other text waits for the 354 to DATA. A message goes out with its envelope, unasked,
//! only where the server took the one before it of this session from the same sender ([`Trust`]): a server that answers
//! each line of it by an error would not put up with that for long.

use super::turns::Batch;
use crate::mail::{Reply, ReversePath};
use crate::transport::Mail;

/// The verbs that are registered with IANA, and LMTP's. RFC 5321 §2.2.2, §4.1.5: any other begins with X. They are listed
/// because their shape, a word and a blank, is that of any sentence.
const VERBS: &str = "ATRN AUTH BDAT BURL DATA EHLO ETRN EXPN HELO HELP LHLO MAIL NOOP QUIT RCPT RSET SAML SEND SOML \
                     STARTTLS TURN VRFY";

/// No private verb is longer: XCLIENT, XFORWARD, X-LINK2STATE. Lines of base64 are.
const LONGEST_PRIVATE: usize = 16;

/// A text as it goes over the wire, in which no line could be taken for a command.
pub(super) struct Harmless(Vec<u8>);

impl Harmless {
    /// `None` where some line could be one.
    pub(super) fn check(text: Vec<u8>) -> Option<Self> {
        // Some servers drop control characters, so that M NUL A I L is a verb too.
        let odd = text.iter().any(|byte| is_odd(*byte));
        let harmless = !odd && !text.split(|byte| *byte == b'\n').any(could_be_command);
        harmless.then_some(Self(text))
    }

    /// Adds the command that sends it, and the text behind that (RFC 3030 §2).
    ///
    /// RSET goes with it, at no further round trip. A reply too many before the answer to the text would be taken for
    /// that; but then the answer stands where that to RSET should, and shows. DATA needs no such thing: 354 answers nothing
    /// else. And a text that is refused leaves nothing behind (RFC 3030 §2).
    pub(super) fn append_to(&self, batch: &mut Batch) {
        batch.text(|bytes| bytes.extend(format!("BDAT {} LAST\r\n", self.0.len()).bytes()));
        batch.end_message(&self.0);
        batch.command("RSET");
    }
}

/// The last message of a session was taken, and who sent it.
#[derive(Debug)]
pub(super) struct Trust(ReversePath);

impl Trust {
    /// What the answer to a message means for the next one.
    pub(super) fn earned(mail: &Mail<'_>, answer: &Reply) -> Option<Self> {
        answer.is_positive().then(|| Self(mail.sender.clone()))
    }

    pub(super) fn allows<'a>(&self, mail: &Mail<'_>, text: &'a Harmless) -> Option<Unasked<'a>> {
        (self.0 == *mail.sender).then_some(Unasked(text))
    }
}

/// A text that may go out behind its own envelope.
pub(super) struct Unasked<'a>(&'a Harmless);

impl Unasked<'_> {
    pub(super) fn append_to(&self, batch: &mut Batch) {
        self.0.append_to(batch);
    }
}

fn is_odd(byte: u8) -> bool {
    byte == 0x7f || (byte < b' ' && byte != b'\t' && byte != b'\n' && byte != b'\r')
}

/// Verbs count by their letters alone, in any case, whatever stands before or behind them: some servers look no further.
fn could_be_command(line: &[u8]) -> bool {
    let Some(begin) = line.iter().position(u8::is_ascii_alphabetic) else { return false };
    let line = &line[begin..];
    let begins = |verb: &str| {
        let letters = line.get(..verb.len());
        letters.is_some_and(|letters| letters.eq_ignore_ascii_case(verb.as_bytes()))
    };
    VERBS.split(' ').any(begins) || is_private(line)
}

/// A word with an X before it, which no colon makes a header field.
fn is_private(line: &[u8]) -> bool {
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let begins = word.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'X'));
    begins && word.len() <= LONGEST_PRIVATE && !word.contains(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_harmless(text: &str) -> bool {
        Harmless::check(text.as_bytes().to_vec()).is_some()
    }

    #[test]
    fn a_line_that_could_be_a_command_is_found() {
        for line in [
            "MAIL FROM:<a@x>",
            "mail from:<a@x>",
            "rCpT\tTO:<a@x>",
            "DATA",
            "data",
            " \t QUIT",
            ".RSET",
            "> HELP",
            "\"MAIL\" FROM:<a@x>",
            "BDAT 3 LAST",
            "StartTLS",
            "MAILFROM:<a@x>",
            "XCLIENT NAME=x",
            "xforward",
            "X-LINK2STATE LAST",
            "X-EXPS",
            "EHLO x",
            "ä MAIL FROM:<a@x>",
            "\u{b}MAIL FROM:<a@x>",
            "M\0AIL FROM:<a@x>",
            "a\u{7f}",
            "\rMAIL FROM:<a@x>",
        ] {
            for text in [line.to_owned(), format!("A: b\n\n{line}\n"), format!("{line}\r\nc\r\n")] {
                assert!(!is_harmless(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn usual_mail_is_harmless() {
        let text = "Received: from a (b [127.0.0.1])\r\n by c; now\nMessage-Id: <a@b>\nX-Mailer: c\nFrom: root@x\n\
                    Subject: MAIL FROM:<a@x>\nContent-Type: text/plain\n\nDear Bob,\nthe mail of data is 5% full\n\n\
                    Xk9mQ2hlY2tlZCBhbmQgdGhlbiBzb21lIG1vcmUgb2YgaXQ\nx:y\n-- \nä\n";
        assert!(is_harmless(text) && is_harmless(""));
    }
}
