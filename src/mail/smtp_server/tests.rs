//! The conversation, answer by answer.

use std::io::{BufReader, Read};

use proptest::prelude::*;

use super::*;

fn canonical(host: &str) -> String {
    if host.is_empty() { "h.example".to_owned() } else { host.to_owned() }
}

/// Every line of the session and the code of its answer.
fn play(lines: &[(&str, &str)]) {
    let mut talk = Conversation::new("me.example", 1000, &canonical);
    for (line, code) in lines {
        let (Step::Say(answer) | Step::Data(answer, ..) | Step::Close(answer)) =
            talk.take(Line::Command(line));
        assert!(answer.starts_with(code), "{line:?}: {answer}");
    }
}

#[test]
fn commands_have_the_originals_codes() {
    play(&[
        ("HELO", "501 5.5.2"),
        ("EHLO", "501 5.5.2"),
        ("MAIL", "501 5.5.2"),
        ("RCPT TO:<a@b>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("helo x", "250 me.example"),
        ("MAIL FROM:<a@b>", "250 2.1.0"),
        ("DATA", "503 5.5.1"),
        ("RCPT", "501 5.5.2"),
        ("rcpt to:<c@d>", "250 2.1.5"),
        ("DATA now", "501 5.5.2"),
        ("NOOP x", "250 2.3.0"),
        ("HELP", "214 2.0.0"),
        ("VRFY x", "252 2.5.2"),
        ("EXPN x", "500 5.5.1"),
        ("", "500 5.5.1"),
        ("DATA", "354"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<>", "250 2.1.0"),
        ("RSET", "250 2.3.0"),
        ("RCPT TO:<a@b>", "503 5.5.1"),
        ("QUIT", "221 2.0.0"),
    ]);
}

#[test]
fn a_path_is_an_address_and_nothing_else() {
    play(&[
        ("MAIL FROM:", "501"),
        ("MAIL FROM <a@b>", "501"),
        ("MAIL TO:<a@b>", "501"),
        ("MAIL FROM:<a@b", "501"),
        ("MAIL FROM:<a b@c>", "501 5.1.7"),
        ("MAIL FROM:<a@b>x", "555"),
        ("MAIL FROM: <a@b> ", "250"),
        ("MAIL FROM:a@b", "250"),
        ("MAIL FROM:a@b SIZE=3", "250"),
        ("MAIL FROM:<\"a > b\"@c> SIZE=3", "250"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<@a>", "501 5.1.3"),
        ("RCPT TO:<@a,@b:c@d>", "250"),
        ("RCPT TO:<postmaster>", "250"),
        ("RCPT TO:<jö@bücher.example>", "250"),
        ("RCPT TO:<a@b> NOTIFY=NEVER", "555"),
    ]);
}

#[test]
fn parameters_are_those_that_were_offered() {
    play(&[
        ("MAIL FROM:<a@b> SIZE=1000 BODY=8BITMIME SMTPUTF8", "250"),
        ("MAIL FROM:<a@b> body=7bit", "250"),
        ("MAIL FROM:<a@b> SIZE=1001", "552 5.3.4"),
        ("MAIL FROM:<a@b> SIZE=99999999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a@b> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<a@b> AUTH=<>", "555 5.5.4"),
    ]);
}

#[test]
fn a_transaction_holds_what_it_was_given_and_is_over_after_data() {
    let mut talk = Conversation::new("me", 1000, &canonical);
    for line in ["MAIL FROM:<old@b>", "RCPT TO:<old@d>", "MAIL FROM:<a@b>", "RCPT TO:<c>"] {
        talk.take(Line::Command(line));
    }
    talk.take(Line::Command("RCPT TO:<c@h.example>"));
    let Step::Data(_, sender, recipients) = talk.take(Line::Command("DATA")) else { panic!() };
    assert_eq!(sender.as_str(), "a@b");
    let recipients: Vec<_> = recipients.iter().map(Address::as_str).collect();
    assert_eq!(recipients, ["c@h.example"]);
    assert!(matches!(talk.take(Line::Command("DATA")), Step::Say(_)));
}

#[test]
fn recipients_and_mistakes_are_limited() {
    let mut talk = Conversation::new("me", 1000, &canonical);
    talk.take(Line::Command("MAIL FROM:<a@b>"));
    for n in 0..MAX_RECIPIENTS {
        talk.take(Line::Command(&format!("RCPT TO:<a{n}@b>")));
    }
    assert_eq!(
        talk.take(Line::Command("RCPT TO:<more@b>")),
        Step::Say("452 4.5.3 too many recipients".into())
    );
    for _ in 0..MAX_MISTAKES {
        assert!(matches!(talk.take(Line::Command("GET / HTTP/1.1")), Step::Say(_)));
    }
    assert!(matches!(talk.take(Line::TooLong), Step::Close(_)));
}

/// The lines of `input`, as words for what they are.
fn lines(input: &str) -> Vec<String> {
    let mut input = BufReader::with_capacity(7, input.as_bytes());
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    while let Some(line) = Line::read(&mut input, &mut buffer, false).unwrap() {
        found.push(format!("{line:?}"));
    }
    found
}

#[test]
fn a_line_ends_in_cr_lf_and_holds_neither() {
    assert_eq!(lines("NOOP\r\n\r\nQUIT"), ["Command(\"NOOP\")", "Command(\"\")"]);
    assert_eq!(lines("MAIL FROM:<a@b>\nRCPT"), ["BareLf"]);
    assert_eq!(lines("NO\rOP\r\nN\0\r\n\u{85}\r\n"), ["Control", "Control", "Control"]);
    let long = format!("NOOP {}\r\nQUIT\r\n", "x".repeat(5000));
    assert_eq!(lines(&long), ["TooLong", "Command(\"QUIT\")"]);
    assert!(lines(&"x".repeat(5000)).is_empty());
}

fn data(input: &str, limit: u64) -> (Result<String, String>, String) {
    let mut input = BufReader::with_capacity(3, input.as_bytes());
    let mut reader = DataReader::new(&mut input, limit);
    let mut text = String::new();
    let read = reader.read_to_string(&mut text).map_err(|error| error.to_string());
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    (read.map(|_| text), rest)
}

#[test]
fn data_ends_at_a_dot_between_line_ends_and_nowhere_else() {
    for (input, text, rest) in [
        (".\r\nQUIT", "", "QUIT"),
        ("a\r\n.\r\nb", "a\n", "b"),
        ("a\r\n..\r\n.\r\n", "a\n.\n", ""),
        ("..a\r\n.b\r\n.\r\n", ".a\nb\n", ""),
        ("a\n.\nb\r\n.\r\n", "a\n.\nb\n", ""),
        ("a\n.\r\nb\r\n.\r\n", "a\n.\nb\n", ""),
        ("a\r.\rb\r\n.\r\n", "a\r.\rb\n", ""),
        ("a\r\n.\rb\r\n.\r\n", "a\n\rb\n", ""),
        ("a\r\n.\nb\r\n.\r\n", "a\n\nb\n", ""),
        ("a\r\r\n.\r\n", "a\r\n", ""),
    ] {
        assert_eq!(data(input, 100), (Ok(text.to_owned()), rest.to_owned()), "{input:?}");
    }
}

#[test]
fn data_that_does_not_end_or_is_too_large_is_an_error() {
    for input in ["", "a", "a\r\n", "a\r\n.", "a\r\n.\r", "a\r\n.\n"] {
        assert!(data(input, 100).0.unwrap_err().contains("before its last dot"), "{input:?}");
    }
    assert!(data("abcdef\r\n.\r\n", 5).0.unwrap_err().contains("too large"));
    let mut input = &b"abcdef\r\n.\r\nNOOP"[..];
    let mut reader = DataReader::new(&mut input, 5);
    assert!(reader.read(&mut [0; 100]).is_err());
    reader.drain().unwrap();
    assert_eq!(input, b"NOOP");
}

proptest! {
    #[test]
    fn what_a_client_stuffs_is_what_is_read(
        lines in prop::collection::vec("[.a\r]{0,4}", 0..8), rest in "[.\r\na]{0,8}", capacity in 1_usize..9
    ) {
        // A CR at the end of a line would be one with the line end.
        let lines: Vec<_> = lines.iter().map(|line| line.trim_end_matches('\r')).collect();
        let mut wire = String::new();
        for line in &lines {
            wire.push_str(if line.starts_with('.') { "." } else { "" });
            wire.push_str(line);
            wire.push_str("\r\n");
        }
        wire.push_str(".\r\n");
        wire.push_str(&rest);
        let mut input = BufReader::with_capacity(capacity, wire.as_bytes());
        let mut text = String::new();
        DataReader::new(&mut input, 1000).read_to_string(&mut text).unwrap();
        let mut after = String::new();
        input.read_to_string(&mut after).unwrap();
        prop_assert_eq!(text, lines.iter().map(|line| (*line).to_owned() + "\n").collect::<Vec<_>>().concat());
        prop_assert_eq!(after, rest);
    }

    #[test]
    fn every_line_has_one_answer_with_a_code(lines in prop::collection::vec("(MAIL FROM:|RCPT TO:|DATA|RSET|.{0,3})[ -~ö]{0,30}", 0..20)) {
        let mut talk = Conversation::new("me.example", 1000, &canonical);
        for line in &lines {
            let (Step::Say(answer) | Step::Data(answer, ..) | Step::Close(answer)) = talk.take(Line::Command(line));
            prop_assert!(answer.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{}", answer);
            prop_assert!(answer.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{}", answer);
        }
    }
}
