//! The human part of a report: what happened, to whom, and what the reader can do about it.

use std::fmt::Write as _;

use super::{Diagnostic, Failed, Kind, Report};
use crate::mail::{EnhancedCode, Printable, Protocol, Reason};

const WIDTH: usize = 74;
/// More of an answer is in the machine part.
const LONGEST_ANSWER: usize = 600;

/// Two paragraphs, as nullmailer has it: what this is, and the recipients, each on a line behind a
/// TAB, with the reason beneath. A notice of delay has one or two more.
pub(super) fn text(report: &Report<'_>) -> String {
    let me = Printable(report.reporter.me);
    let arrival = report.date(report.arrival);
    let by = match report.original_sender.as_str() {
        "" => String::new(),
        sender => format!(" by {sender}"),
    };
    let fate = match report.kind {
        Kind::Failed => "could not be delivered to:",
        Kind::Delayed { .. } => "has not been delivered yet to:",
    };
    let mut out = String::new();
    wrap(&mut out, "", &format!("This is the mail system (nullmailer) at {me}."));
    wrap(&mut out, "", &format!("The message below, sent{by} on {arrival}, {fate}"));
    out.push('\n');
    for failed in report.recipients {
        recipient(&mut out, failed);
    }
    if let Kind::Delayed { retry_until } = report.kind {
        if let Some(until) = retry_until {
            let _ = write!(out, "\nDelivery will be tried until {}.\n", report.date(until));
        }
        out.push_str(
            "\nThere is nothing that you need to do now. If the message cannot be\n\
             delivered in the end, you will get a final notice.\n",
        );
    }
    out
}

fn recipient(out: &mut String, failed: &Failed<'_>) {
    let _ = writeln!(out, "\t<{}>", failed.recipient);
    if let Some(meaning) = meaning(failed.status) {
        wrap(out, "\t  ", meaning);
    }
    let Some((said, text)) = failed.diagnostic.as_ref().and_then(answer) else { return };
    let mut answer = Printable(&text.lines().collect::<Vec<_>>().join(" ")).to_string();
    if let Some((cut, _)) = answer.char_indices().nth(LONGEST_ANSWER) {
        answer.truncate(cut);
        answer.push_str("...");
    }
    match (said, failed.remote) {
        (true, Some(remote)) => {
            wrap(out, "\t  ", &format!("{} answered: {answer}", Printable(remote)));
        }
        (true, None) => wrap(out, "\t  ", &format!("The mail server answered: {answer}")),
        (false, _) => wrap(out, "\t  ", &answer),
    }
}

/// The reason, and whether those are the words of a server.
fn answer(diagnostic: &Diagnostic<'_>) -> Option<(bool, String)> {
    let (said, text) = match diagnostic {
        Diagnostic::Verdict(_, Reason::Remote(reply)) => (true, reply.to_string()),
        Diagnostic::Verdict(Protocol::External(_), Reason::Local { text, .. }) => {
            (true, text.clone())
        }
        Diagnostic::Verdict(_, Reason::Local { text, .. }) => (false, text.clone()),
        Diagnostic::Given(text) => match text.split_once(';') {
            Some((kind, text)) => {
                (!kind.to_ascii_lowercase().starts_with("x-"), text.trim().to_owned())
            }
            None => (false, text.trim().to_owned()),
        },
    };
    (!text.is_empty()).then_some((said, text))
}

/// What a status means to somebody who sends mail (RFC 3463, RFC 5248); `None` where the code
/// says no more than that it failed.
fn meaning(status: EnhancedCode) -> Option<&'static str> {
    Some(match (status.subject, status.detail) {
        (1, 1) => "There is no such mailbox. Please check the address.",
        (1, 2 | 10) | (4, 4) => "The part behind the @ takes no mail. Please check the address.",
        (1, 3) => "This is not a valid address. Please check it.",
        (1, 6) | (2, 4) => "The mailbox has moved or is a list that cannot be reached.",
        (1, 7 | 8) | (7, 27) => "The address of the sender was not accepted.",
        (2, 1) => "The mailbox takes no mail at present.",
        (2, 2) => "The mailbox is full.",
        (2, 3) | (3, 4) => "The message is too large.",
        (4, 7) => "It was not possible to deliver the message in the time allowed.",
        (4, 1..=3) => "The mail server could not be reached.",
        (4, 6) | (3, 5) => "The mail servers are not set up correctly; an administrator can help.",
        (5, 3) => "The message has too many recipients.",
        (6, 1..=3 | 7 | 9) => "The message has contents that the mail server cannot take.",
        (7, 1) => "The mail server does not allow it.",
        (7, 0 | 2..=26 | 28..=30 | 509) => "The mail server refuses it by its rules of security.",
        _ => return None,
    })
}

/// Puts `text` down in lines that each begin with `indent`.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut column = 0;
    for word in text.split(' ').flat_map(pieces) {
        if column == 0 || column + 1 + word.chars().count() > WIDTH {
            if column > 0 {
                out.push('\n');
            }
            out.push_str(indent);
            column = indent.len();
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    if column > 0 {
        out.push('\n');
    }
}

/// The word, in pieces that fit a line of mail (998 bytes) whatever their script.
fn pieces(mut word: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let cut = word.char_indices().nth(200).map_or(word.len(), |(at, _)| at);
        let (piece, rest) = word.split_at(cut);
        word = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_nothing_is_lost() {
        let mut out = String::new();
        wrap(&mut out, "\t  ", &"word ".repeat(50));
        assert!(out.lines().all(|line| line.starts_with("\t  ") && line.len() <= WIDTH), "{out}");
        assert_eq!(out.matches("word").count(), 50);
    }

    #[test]
    fn a_word_without_end_still_fits_a_line_of_mail() {
        let mut out = String::new();
        wrap(&mut out, "\t  ", &"\u{1f4ec}".repeat(LONGEST_ANSWER));
        assert!(out.lines().all(|line| line.len() < 998), "{out}");
        assert_eq!(out.matches('\u{1f4ec}').count(), LONGEST_ANSWER);
    }

    #[test]
    fn a_status_that_says_nothing_is_not_explained() {
        assert_eq!(meaning(EnhancedCode::new(5, 0, 0)), None);
        assert!(meaning(EnhancedCode::new(5, 1, 1)).unwrap().contains("no such mailbox"));
    }

    #[test]
    fn what_we_concluded_ourselves_is_not_put_in_a_servers_mouth() {
        let ours = Reason::local(EnhancedCode::new(4, 4, 1), "timed out");
        assert_eq!(
            answer(&Diagnostic::Verdict(&Protocol::Smtp, &ours)),
            Some((false, "timed out".to_owned()))
        );
        assert_eq!(
            answer(&Diagnostic::Given("x-nullmailer; timed out")),
            Some((false, "timed out".to_owned()))
        );
        assert_eq!(answer(&Diagnostic::Given("smtp; ")), None);
    }
}
