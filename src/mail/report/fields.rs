//! The machine part of a report: message/delivery-status (RFC 3464 §2), always in ASCII.

use std::fmt::Write as _;

use super::{Diagnostic, Failed, Kind, Report};
use crate::mail::{Address, EnhancedCode, Printable, Protocol, Reason};

/// Where a line is folded; RFC 5322 §2.1.1 asks for 78.
const WIDTH: usize = 78;
/// Where a word is cut that is too long for any line (998).
const LONGEST_WORD: usize = 900;
/// More blanks in a row say no more.
const MOST_BLANKS: usize = 20;

/// A block about the message, then one for each recipient, each behind a blank line.
pub(super) fn delivery_status(report: &Report<'_>) -> String {
    let mut out = String::new();
    // nullmailer: `me` need not be known to DNS.
    field(&mut out, "Reporting-MTA", &format!("x-local-hostname; {}", report.reporter.me));
    field(&mut out, "Arrival-Date", &report.date(report.arrival));
    if let Some(id) = &report.request.envelope_id {
        field(&mut out, "Original-Envelope-Id", id.as_str());
    }
    for failed in report.recipients {
        out.push('\n');
        recipient(&mut out, report, failed);
    }
    out
}

fn recipient(out: &mut String, report: &Report<'_>, failed: &Failed<'_>) {
    let (action, status) = match report.kind {
        Kind::Failed => ("failed", failed.status),
        // A refused login delays mail, whatever its code: RFC 3464 §2.3.4 wants the class to agree.
        Kind::Delayed { .. } => ("delayed", EnhancedCode { class: 4, ..failed.status }),
    };
    field(out, "Final-Recipient", &typed_address(failed.recipient));
    field(out, "Action", action);
    field(out, "Status", &status.to_string());
    field(out, "Last-Attempt-Date", &report.date(report.last_attempt));
    if let Some(remote) = failed.remote {
        field(out, "Remote-MTA", &format!("dns; {remote}"));
    }
    if let Some(diagnostic) = failed.diagnostic {
        field(out, "Diagnostic-Code", &diagnostic_code(diagnostic));
    }
    if let Kind::Delayed { retry_until: Some(until) } = report.kind {
        field(out, "Will-Retry-Until", &report.date(until));
    }
}

/// `TYPE; TEXT`. The type says in whose words the text is (RFC 3464 §2.3.6).
fn diagnostic_code(diagnostic: Diagnostic<'_>) -> String {
    let text = match diagnostic {
        Diagnostic::Given(text) => text.to_owned(),
        Diagnostic::Verdict(Protocol::External(name), reason) => {
            format!("{}; {}", name.to_ascii_uppercase(), words(reason))
        }
        Diagnostic::Verdict(protocol, Reason::Remote(reply)) => {
            format!("{}; {reply}", protocol.name().to_ascii_uppercase())
        }
        Diagnostic::Verdict(_, Reason::Local { text, .. }) => format!("X-Nullmailer; {text}"),
    };
    // nullmailer means to write its lines so.
    text.trim().lines().collect::<Vec<_>>().join("/")
}

fn words(reason: &Reason) -> String {
    match reason {
        Reason::Remote(reply) => reply.to_string(),
        Reason::Local { text, .. } => text.clone(),
    }
}

/// The address with its type; beyond ASCII in the 7-bit form of RFC 6533 §3, which every reader of
/// message/delivery-status can take.
fn typed_address(address: &Address) -> String {
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    let mut out = String::from("utf-8; ");
    for c in address.as_str().chars() {
        match c {
            '!'..='~' if !matches!(c, '+' | '=' | '\\') => out.push(c),
            c => escape(&mut out, c),
        }
    }
    out
}

fn escape(out: &mut String, c: char) {
    let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
}

/// One field on one logical line: control characters shown as escapes, the rest in ASCII, folded at
/// blanks so that unfolding gives the text back.
fn field(out: &mut String, name: &str, value: &str) {
    let mut ascii = String::new();
    for c in Printable(value.trim()).to_string().chars() {
        if c.is_ascii() { ascii.push(c) } else { escape(&mut ascii, c) }
    }
    let _ = write!(out, "{name}:");
    let mut column = name.len() + 1;
    let mut rest = ascii.as_str();
    let mut first = true;
    while !rest.is_empty() {
        // A blank or more, then a word.
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        let word = rest[blanks..].find(' ').unwrap_or(rest.len() - blanks).min(LONGEST_WORD);
        let (piece, behind) = rest.split_at(blanks + word);
        let piece = &piece[blanks.saturating_sub(MOST_BLANKS)..];
        // The word that the field begins with, or that a cut left, has no blank yet.
        let lead = if blanks == 0 { " " } else { "" };
        let length = lead.len() + piece.len();
        if !first && (column + length > WIDTH || blanks == 0) {
            out.push('\n');
            column = 0;
        }
        out.push_str(lead);
        out.push_str(piece);
        column += length;
        first = false;
        rest = behind;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(value: &str) -> String {
        let mut out = String::new();
        field(&mut out, "Diagnostic-Code", value);
        out
    }

    #[test]
    fn a_long_text_is_folded_and_unfolds_to_itself() {
        let value = "smtp; 550 ".to_owned() + &"five  words ".repeat(40) + "end";
        let folded = fold(&value);
        assert!(folded.lines().all(|line| line.len() <= WIDTH), "{folded}");
        assert!(folded.lines().skip(1).all(|line| line.starts_with(' ')), "{folded}");
        assert!(folded.lines().all(|line| !line.trim().is_empty()), "{folded}");
        assert_eq!(folded.replace('\n', ""), format!("Diagnostic-Code: {value}"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_text_a_field_is_one_field(text in "(\\PC|[ \t\r\n\u{1b}é]| {900}|x{900}){0,40}") {
            let folded = fold(&text);
            proptest::prop_assert!(folded.is_ascii() && folded.ends_with('\n'));
            for (at, line) in folded.lines().enumerate() {
                proptest::prop_assert!(line.len() < 998 && !line.trim().is_empty(), "{}", line);
                proptest::prop_assert!(at == 0 || line.starts_with(' '), "{}", line);
                proptest::prop_assert!(!line.contains(|c: char| c.is_control()), "{}", line);
            }
        }
    }

    #[test]
    fn a_word_too_long_for_a_line_is_cut() {
        let folded = fold(&"x".repeat(2500));
        assert!(folded.lines().all(|line| line.len() < 998), "{folded}");
        assert_eq!(folded.matches('x').count(), 2500);
    }

    #[test]
    fn a_field_is_ascii_whatever_it_is_given() {
        assert_eq!(
            fold("smtp; 550 r\u{e9}fus\u{e9}\r\n\n x"),
            "Diagnostic-Code: smtp; 550 r\\x{E9}fus\\x{E9}\\r\\n\\n x\n"
        );
        assert_eq!(fold(""), "Diagnostic-Code:\n");
    }

    #[test]
    fn an_address_beyond_ascii_has_its_own_type() {
        let address = |text: &str| typed_address(&Address::parse(text.as_bytes()).unwrap());
        assert_eq!(address("a+b@x"), "rfc822; a+b@x");
        assert_eq!(address("j\u{f6}+b=c@x"), "utf-8; j\\x{F6}\\x{2B}b\\x{3D}c@x");
    }
}
