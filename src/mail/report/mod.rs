//! Delivery reports: what a sender is told about mail that failed or waits (RFC 3464, RFC 6522).
//!
//! One report speaks for all recipients that failed in one attempt. Composed by the daemon when it
//! settles a message and by nullmailer-dsn(1); who gets it, and the null reverse-path, are theirs.
//! The skeleton and the fields are nullmailer's, in its order; scripts cut it by its blank lines.

mod excerpt;
mod explain;
mod fields;

use std::io::{self, BufRead, Read};

use jiff::tz::TimeZone;

pub(crate) use excerpt::{Excerpt, Quote, is_eight_bit};

use super::{
    Address, DeliveryRequest, EnhancedCode, Moment, Protocol, Reason, ReversePath, rfc5322_date,
};

/// Who reports, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter<'a> {
    /// Our own name.
    pub(crate) me: &'a str,
    /// The right side of the Message-Id.
    pub(crate) id_host: &'a str,
    pub(crate) zone: &'a TimeZone,
    pub(crate) moment: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is over for these recipients.
    Failed,
    /// They are still tried, until then if that is known.
    Delayed { retry_until: Option<i64> },
}

/// A recipient that the report is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed<'a> {
    pub(crate) recipient: &'a Address,
    /// What the report says in its Status field; not always that of the last reply: mail that was
    /// given up for its age has 4.4.7 or 5.4.7.
    pub(crate) status: EnhancedCode,
    pub(crate) diagnostic: Option<Diagnostic<'a>>,
    /// The host that was spoken to.
    pub(crate) remote: Option<&'a str>,
}

/// Why, as the Diagnostic-Code field has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Diagnostic<'a> {
    /// The verdict of an attempt that was made by this protocol.
    Verdict(&'a Protocol, &'a Reason),
    /// `TYPE; TEXT`, as the caller of nullmailer-dsn has it.
    Given(&'a str),
}

/// All that a report says; [`Report::stream`] makes it a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) reporter: Reporter<'a>,
    pub(crate) kind: Kind,
    /// Who sent the message; the report need not go there.
    pub(crate) original_sender: &'a ReversePath,
    /// What stands in the To field.
    pub(crate) to: &'a str,
    /// When the message came, seconds since 1970.
    pub(crate) arrival: i64,
    pub(crate) last_attempt: i64,
    pub(crate) request: &'a DeliveryRequest,
    pub(crate) recipients: &'a [Failed<'a>],
    /// How much of the original follows.
    pub(crate) quote: Quote,
    /// Whether that part has bytes beyond ASCII: [`is_eight_bit`].
    pub(crate) eight_bit: bool,
}

impl<'a> Failed<'a> {
    /// A recipient with the status of its verdict.
    pub(crate) fn new(
        recipient: &'a Address,
        protocol: &'a Protocol,
        reason: &'a Reason,
        remote: Option<&'a str>,
    ) -> Self {
        let diagnostic = Some(Diagnostic::Verdict(protocol, reason));
        Self { recipient, status: reason.status(), diagnostic, remote }
    }
}

impl Report<'_> {
    /// The whole message, read as it is needed; `original` stands at its header.
    pub(crate) fn stream<'s, R: BufRead + 's>(&self, original: R) -> impl Read + use<'s, R> {
        let (head, tail) = (io::Cursor::new(self.head()), io::Cursor::new(self.tail()));
        head.chain(Excerpt::new(original, self.quote)).chain(tail)
    }

    /// Everything before the original: header, human part, machine part, and the header of the
    /// third part.
    pub(crate) fn head(&self) -> Vec<u8> {
        let boundary = self.reporter.moment.boundary();
        let text = explain::text(self);
        let eight_bit = self.eight_bit || !text.is_ascii();
        let mut head = self.header(&boundary, eight_bit);
        head.push_str(&part(
            &boundary,
            if text.is_ascii() {
                "Content-Type: text/plain; charset=us-ascii\n"
            } else {
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
            },
        ));
        head.push_str(&text);
        head.push('\n');
        head.push_str(&part(&boundary, "Content-Type: message/delivery-status\n"));
        head.push_str(&fields::delivery_status(self));
        head.push('\n');
        head.push_str(&part(
            &boundary,
            match (self.eight_bit, self.is_international()) {
                (false, _) => "Content-Type: message/rfc822\n",
                (true, false) => "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n",
                // RFC 6533 §6.5: its header may hold UTF-8.
                (true, true) => "Content-Type: message/global\nContent-Transfer-Encoding: 8bit\n",
            },
        ));
        head.into_bytes()
    }

    /// What follows the original: the closing boundary.
    pub(crate) fn tail(&self) -> Vec<u8> {
        format!("\n--{}--\n", self.reporter.moment.boundary()).into_bytes()
    }

    fn header(&self, boundary: &str, eight_bit: bool) -> String {
        let Reporter { me, id_host, moment, .. } = self.reporter;
        let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\n" } else { "" };
        format!(
            "From: Message Delivery Subsystem <MAILER-DAEMON@{me}>\n\
             To: {to}\n\
             Subject: Returned mail: Could not send message\n\
             Date: {date}\n\
             Message-Id: {message_id}\n\
             Auto-Submitted: auto-replied\n\
             MIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status;\n\
             \tboundary=\"{boundary}\"\n\
             {encoding}\n",
            to = self.to,
            date = self.date(moment.unix()),
            message_id = moment.message_id(id_host),
        )
    }

    fn date(&self, seconds: i64) -> String {
        rfc5322_date(seconds, self.reporter.zone)
    }

    fn is_international(&self) -> bool {
        !self.original_sender.as_str().is_ascii()
            || self.recipients.iter().any(|failed| !failed.recipient.is_ascii())
    }
}

/// The line that opens a part, its header, and the blank line.
fn part(boundary: &str, header: &str) -> String {
    format!("--{boundary}\n{header}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{EnvelopeId, Reply};

    fn compose(recipients: &[Failed<'_>], kind: Kind, eight_bit: bool) -> String {
        let report = Report {
            reporter: Reporter {
                me: "f.q.d.n",
                id_host: "id.host",
                zone: &TimeZone::UTC,
                moment: Moment { seconds: 1_795_382_142, micros: 42, pid: 7 },
            },
            kind,
            original_sender: &ReversePath::parse(b"root@h.example").unwrap(),
            to: "<root@h.example>",
            arrival: 1_795_382_000,
            last_attempt: 1_795_382_100,
            request: &DeliveryRequest {
                envelope_id: EnvelopeId::new("job 7"),
                ..DeliveryRequest::default()
            },
            recipients,
            quote: Quote::Lines(1),
            eight_bit,
        };
        let mut whole = String::new();
        let original = &b"Subject: x\n\none\ntwo\n"[..];
        report.stream(original).read_to_string(&mut whole).unwrap();
        whole
    }

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_a_server_says_cannot_add_a_field_or_a_part() {
        let gone = address("gone@x.example");
        let said = "5.1.1 no\rStatus: 2.0.0\n--1795382142.000042.7--\n\u{1b}[2J";
        let reason = Reason::Remote(Reply::new(550, said));
        let protocol = Protocol::Smtp;
        let failed = Failed::new(&gone, &protocol, &reason, Some("smarthost.example"));
        let whole = compose(&[failed], Kind::Failed, false);
        assert_eq!(whole.matches("\nStatus: ").count(), 1, "{whole}");
        assert_eq!(whole.matches("\n--1795382142.000042.7--").count(), 1, "{whole}");
        assert!(!whole.contains(['\r', '\u{1b}']), "{whole}");
        assert!(whole.contains("\nDiagnostic-Code: SMTP; 550 5.1.1 no\\rStatus: 2.0.0"), "{whole}");
    }

    #[test]
    fn the_skeleton_is_the_originals() {
        let gone = address("gone@x.example");
        let reason = Reason::Remote(Reply::new(550, "5.1.1 no such mailbox"));
        let protocol = Protocol::Smtp;
        let whole =
            compose(&[Failed::new(&gone, &protocol, &reason, Some("h"))], Kind::Failed, false);
        let blocks: Vec<&str> = whole.split("\n\n").collect();
        assert_eq!(
            blocks[4], "--1795382142.000042.7\nContent-Type: message/delivery-status",
            "{whole}"
        );
        assert_eq!(
            blocks[5],
            "Reporting-MTA: x-local-hostname; f.q.d.n\n\
             Arrival-Date: Sun, 22 Nov 2026 21:13:20 +0000\n\
             Original-Envelope-Id: job 7"
        );
        assert_eq!(
            blocks[6],
            "Final-Recipient: rfc822; gone@x.example\nAction: failed\nStatus: 5.1.1\n\
             Last-Attempt-Date: Sun, 22 Nov 2026 21:15:00 +0000\nRemote-MTA: dns; h\n\
             Diagnostic-Code: SMTP; 550 5.1.1 no such mailbox"
        );
        assert!(whole.ends_with("\nSubject: x\n\none\n\n--1795382142.000042.7--\n"), "{whole}");
        assert!(whole.is_ascii() && !whole.contains("8bit"), "{whole}");
    }

    #[test]
    fn a_recipient_beyond_ascii_leaves_the_machine_part_in_ascii() {
        let gone = address("jö@bücher.example");
        let whole = compose(
            &[Failed {
                recipient: &gone,
                status: EnhancedCode::new(5, 1, 1),
                diagnostic: None,
                remote: None,
            }],
            Kind::Failed,
            true,
        );
        assert!(
            whole.contains("\nFinal-Recipient: utf-8; j\\x{F6}@b\\x{FC}cher.example\n"),
            "{whole}"
        );
        assert!(whole.contains("charset=utf-8\nContent-Transfer-Encoding: 8bit\n"), "{whole}");
        assert!(whole.contains("message/global\nContent-Transfer-Encoding: 8bit\n"), "{whole}");
    }

    #[test]
    fn only_words_of_a_server_are_put_in_its_mouth() {
        let late = address("late@x.example");
        let reason = Reason::local(EnhancedCode::new(4, 4, 1), "192.0.2.1:25: connect: timed out");
        let kind = Kind::Delayed { retry_until: Some(1_795_400_000) };
        for (protocol, code) in [
            (Protocol::Smtp, "X-Nullmailer; 192.0.2.1:25: connect: timed out"),
            (Protocol::External("dummy".into()), "DUMMY; 192.0.2.1:25: connect: timed out"),
        ] {
            let whole = compose(&[Failed::new(&late, &protocol, &reason, None)], kind, false);
            assert!(whole.contains(&format!("\nDiagnostic-Code: {code}\n")), "{whole}");
            assert!(whole.contains("\nAction: delayed\nStatus: 4.4.1\n"), "{whole}");
            assert!(
                whole.contains("\nWill-Retry-Until: Mon, 23 Nov 2026 02:13:20 +0000\n"),
                "{whole}"
            );
        }
    }

    #[test]
    fn a_delay_is_never_reported_with_the_status_of_a_failure() {
        let late = address("late@x.example");
        let reason = Reason::Remote(Reply::new(535, "5.7.8 bad credentials"));
        let failed = Failed::new(&late, &Protocol::Smtp, &reason, Some("h"));
        let whole = compose(&[failed], Kind::Delayed { retry_until: None }, false);
        assert!(whole.contains("\nAction: delayed\nStatus: 4.7.8\n"), "{whole}");
    }

    #[test]
    fn a_report_on_many_is_written_in_linear_time() {
        use crate::mail::linear::{addresses, assert_linear};
        let (reason, protocol) = (Reason::Remote(Reply::new(550, "5.1.1 no")), Protocol::Smtp);
        assert_linear(5_000, |count| {
            let all = addresses(count);
            let failed = |one| Failed::new(one, &protocol, &reason, Some("h"));
            let failed: Vec<_> = all.iter().map(failed).collect();
            let whole = compose(&failed, Kind::Failed, false);
            assert_eq!(whole.matches("\nFinal-Recipient: ").count(), count);
        });
    }
}
