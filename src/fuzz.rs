//! What fuzzers call: every parser that meets text from outside on its way in, with the promises it
//! makes. Compiled only for them (`cargo fuzz`, which sets `cfg(fuzzing)`); see `fuzz/`.

use std::io::{BufReader, Read};

use crate::mail::smtp_server::{Conversation, DataReader, Line, Step};
use crate::mail::{
    Address, AddressList, Author, Flags, Header, Orders, ReversePath, UnixLines, prepare,
};
use crate::submit::read_envelope;

fn canonical(host: &str) -> String {
    match host {
        "" => "h.example".to_owned(),
        _ if host.contains('.') || host.starts_with('[') => host.to_owned(),
        _ => format!("{host}.example"),
    }
}

/// A list that is printed reads as the same addresses, and never begins a line of its own.
pub fn address_list(data: &[u8]) {
    let Ok(list) = AddressList::parse(data, &canonical) else { return };
    let again = AddressList::parse(&list.text, &canonical).expect("what is printed can be read");
    assert_eq!((&list.addresses, list.nulls), (&again.addresses, again.nulls));
    assert_one_field(&list.text);
    assert!(list.folds.iter().all(|at| list.text[*at] == b' '));
}

/// No line of the text but the first begins without a blank.
fn assert_one_field(text: &[u8]) {
    let mut lines = text.split(|byte| *byte == b'\n').skip(1);
    assert!(lines.all(|line| line.first().is_some_and(u8::is_ascii_whitespace)));
}

/// The header that is written is one: it can be read and used again, holds no Bcc, and names
/// nobody whom the first one did not name.
pub fn header(data: &[u8]) {
    let mut input = BufReader::with_capacity(16, data);
    let Ok(header) = Header::read(&mut input, 4096) else { return };
    let author = Author::find(|_| None, || Some("me".to_owned()), &canonical);
    let orders = || Orders {
        arguments: vec![Address::parse(b"a@b.example").expect("it is one")],
        from_header: true,
        sender: None,
        flags: Flags::default(),
        author: &author,
        canonical: &canonical,
        date: &|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned(),
        message_id: &|| "<1@h.example>".to_owned(),
    };
    let Ok(prepared) = prepare(&header, orders()) else { return };
    assert!(prepared.head.ends_with(b"\n\n"));

    let mut head = prepared.head.as_slice();
    let written = Header::read(&mut head, usize::MAX >> 1).expect("what is written can be read");
    assert!(written.rest.is_empty() && head.is_empty());
    assert!(written.fields.iter().all(|field| !field.name().eq_ignore_ascii_case(b"bcc")));
    let again = prepare(&written, orders()).expect("what is written can be used");
    for recipient in again.recipients.iter() {
        assert!(prepared.recipients.iter().any(|known| known == recipient));
    }

    let mut body = Vec::new();
    let read = UnixLines::new(header.rest.as_slice().chain(input)).read_to_end(&mut body);
    read.expect("memory can be read");
    let count = |text: &[u8], part: &[u8]| text.windows(part.len()).filter(|p| *p == part).count();
    assert!(count(&body, b"\r\n") <= count(data, b"\r\r\n"));
}

/// What is read as an envelope can stand in a queue file and in SMTP commands.
pub fn queue_grammar(data: &[u8]) {
    let mut input = BufReader::with_capacity(16, data);
    let Ok((sender, recipients, request)) = read_envelope(&mut input) else { return };
    let mut envelope = format!("{sender}{request}\n");
    for recipient in recipients.iter() {
        assert!(!recipient.as_str().contains(char::is_control));
        envelope.push_str(recipient.as_str());
        envelope.push('\n');
    }
    let again = read_envelope(&mut envelope.as_bytes()).expect("what is written can be read");
    assert_eq!(again, (sender, recipients, request));
}

/// Each line has one answer, made of whole lines; data ends or is an error; nothing of it is taken
/// for a command.
pub fn smtpd(data: &[u8]) {
    let mut input = BufReader::with_capacity(16, data);
    let mut talk = Conversation::new("h.example", 1000, &canonical);
    let mut buffer = Vec::new();
    while let Ok(Some(line)) = Line::read(&mut input, &mut buffer, false) {
        match talk.take(line) {
            Step::Say(answer) => assert_answer(&answer),
            Step::Close(answer) => return assert_answer(&answer),
            Step::Data(answer, sender, recipients) => {
                assert_answer(&answer);
                assert!(matches!(sender, ReversePath::Null) || sender.as_str().contains('@'));
                assert!(!recipients.as_slice().is_empty());
                let mut text = Vec::new();
                let mut reader = DataReader::new(&mut input, 1000);
                if reader.read_to_end(&mut text).is_err() && reader.drain().is_err() {
                    return;
                }
                assert!(text.len() <= 1000);
            }
        }
    }
}

fn assert_answer(answer: &str) {
    for line in answer.split("\r\n") {
        assert!(line.len() >= 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit));
        assert!(line.chars().all(|c| c.is_ascii_graphic() || c == ' '));
    }
}

/// A client of the daemon's socket, up to what is in the queue then.
pub fn submission(data: &[u8]) {
    let folders = |below: &std::path::Path| {
        let prefix = ("NULLMAILER_TEST_PREFIX".into(), below.into());
        crate::config::Directories::find(crate::role::Privilege::None, [prefix])
    };
    let _ = crate::submit::fuzz::submission(data, folders);
}

/// Replies of a server: the same however their bytes arrive.
pub fn smtp_framing(data: &[u8]) {
    crate::transport::fuzz::framing(data);
}

/// A session against whatever a server sends; `\xff` waits for the client to speak.
pub fn smtp_session(data: &[u8]) {
    crate::transport::fuzz::session(data);
}

/// A session with a server that says a reply too many or too few: what it did not take does not count as sent.
pub fn smtp_lying(data: &[u8]) {
    crate::transport::fuzz::lying(data);
}

/// The conversion of a message for 7 bits: nothing panics, and it is the same however it arrives.
pub fn downgrade(data: &[u8]) {
    use crate::mail::downgrade::{Changes, Downgrade};
    let convert = |pieces| {
        let mut downgrade = Downgrade::new(Changes { header: true, body: true });
        let mut out = Vec::new();
        for piece in data.chunks(pieces) {
            downgrade.feed(piece, &mut out);
        }
        downgrade.finish(&mut out);
        out
    };
    assert_eq!(convert(1), convert(data.len().max(1)));
}
