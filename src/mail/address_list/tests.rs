//! What the original's parser answers, vector by vector, and where ours means to answer otherwise.

use proptest::prelude::*;

use super::*;

const FAIL: &str = "FAIL";

/// As the original's: default host `dh.example`, default domain `dd.example`.
fn canonical(host: &str) -> String {
    match host {
        "" => "dh.example".to_owned(),
        "localhost" => host.to_owned(),
        _ if host.contains('.') || host.starts_with('[') => host.to_owned(),
        _ => format!("{host}.dd.example"),
    }
}

fn parse(input: impl AsRef<[u8]>) -> Result<AddressList, ListFlaw> {
    AddressList::parse(input.as_ref(), &canonical)
}

fn check(vectors: &[(&str, &str, &str)]) {
    for (input, text, envelope) in vectors {
        let found = match parse(input) {
            Err(_) => (FAIL.to_owned(), String::new()),
            Ok(list) => (
                String::from_utf8(list.text).unwrap(),
                String::from_utf8(list.addresses.join(&b'|')).unwrap(),
            ),
        };
        assert_eq!((found.0.as_str(), found.1.as_str()), (*text, *envelope), "for {input:?}");
    }
}

/// Input, text for the header, addresses for the envelope.
const ORIGINAL: &[(&str, &str, &str)] = &[
    ("", "", ""),
    ("  \t ", "", ""),
    ("(c1)", "(c1)", ""),
    ("(c1)(c2)", FAIL, ""),
    ("(x) , (y)", FAIL, ""),
    ("(z), a@b.c", FAIL, ""),
    ("a", "a@dh.example", "a@dh.example"),
    ("a@b", "a@b.dd.example", "a@b.dd.example"),
    ("a@localhost", "a@localhost", "a@localhost"),
    ("a@LOCALHOST", "a@LOCALHOST.dd.example", "a@LOCALHOST.dd.example"),
    ("A@B.C", "A@B.C", "A@B.C"),
    ("a@b.c,", "a@b.c", "a@b.c"),
    (",a@b.c", FAIL, ""),
    ("a@b.c,,d@e.f", "a@b.c, d@e.f", "a@b.c|d@e.f"),
    ("a@b.c d@e.f", "a@b.c, d@e.f", "a@b.c|d@e.f"),
    ("a b", "a@dh.example, b@dh.example", "a@dh.example|b@dh.example"),
    ("<a>", "<a@dh.example>", "a@dh.example"),
    ("foo<a@b.c>bar", "foo <a@b.c>, bar@dh.example", "a@b.c|bar@dh.example"),
    ("a [b] <c@d.e>", FAIL, ""),
    ("a@b@c.d", "a@b@c.d", "a@b@c.d"),
    ("a@x@y@z", "a@x@y@z.dd.example", "a@x@y@z.dd.example"),
    ("a@", FAIL, ""),
    ("@b", FAIL, ""),
    ("a@.b", FAIL, ""),
    ("a@..", FAIL, ""),
    ("a@b.", "a@b.", "a@b."),
    ("a@b..c", "a@b..c", "a@b..c"),
    ("a@b...", "a@b...", "a@b..."),
    ("a.@b.c", FAIL, ""),
    (".a@b.c", FAIL, ""),
    ("a..b@c.d", FAIL, ""),
    ("a@ b . c", "a@b.c", "a@b.c"),
    (" a . b @ c . d ", "a.b@c.d", "a.b@c.d"),
    ("\"a.b\"@x.y", "\"a.b\"@x.y", "a.b@x.y"),
    ("\"a\".\"b\"@c.d", "a.b@c.d", "a.b@c.d"),
    ("\"\" <a@b.c>", " <a@b.c>", "a@b.c"),
    ("\"John Doe\" <a@b.c>", "John Doe <a@b.c>", "a@b.c"),
    ("\"Doe, John\" <a@b.c>", "\"Doe, John\" <a@b.c>", "a@b.c"),
    ("Doe, John <a@b.c>", "Doe@dh.example, John <a@b.c>", "Doe@dh.example|a@b.c"),
    ("John Q. Public <a@b.c>", "John Q. Public <a@b.c>", "a@b.c"),
    ("J.R. <a@b.c>", "J.R. <a@b.c>", "a@b.c"),
    ("O'Brien <a@b.c>", "O'Brien <a@b.c>", "a@b.c"),
    ("\"x\" y <a@b.c>", "x y <a@b.c>", "a@b.c"),
    ("\"x\"y <a@b.c>", "xy <a@b.c>", "a@b.c"),
    ("\"x\" . y <a@b.c>", "x . y <a@b.c>", "a@b.c"),
    ("a   b <a@b.c>", "a b <a@b.c>", "a@b.c"),
    ("\"a  b\" <a@b.c>", "a  b <a@b.c>", "a@b.c"),
    ("\" lead@sp \" <a@b.c>", "\"lead@sp\" <a@b.c>", "a@b.c"),
    ("\"a\\\"b\" <x@y.z>", "\"a\\\"b\" <x@y.z>", "x@y.z"),
    ("\"a\\\\b\" <x@y.z>", "\"a\\\\b\" <x@y.z>", "x@y.z"),
    ("a\\b@c.d", FAIL, ""),
    ("a\\ b", FAIL, ""),
    ("<@r1,@r2:a@b.c>", FAIL, ""),
    ("<@r1@r2:a@b.c>", "<a@b.c>", "a@b.c"),
    ("<@r1:a@b.c>", "<a@b.c>", "a@b.c"),
    ("@x:a@b", FAIL, ""),
    ("g:;", "g: ;", ""),
    ("undisclosed-recipients:;", "undisclosed-recipients: ;", ""),
    ("g:a,b;", "g: a@dh.example, b@dh.example;", "a@dh.example|b@dh.example"),
    (
        "g:a,b;,c",
        "g: a@dh.example, b@dh.example;, c@dh.example",
        "a@dh.example|b@dh.example|c@dh.example",
    ),
    ("a:;b:;", "a: ;, b: ;", ""),
    ("g:a", FAIL, ""),
    ("g: h: a;;", FAIL, ""),
    ("g (x): a;", FAIL, ""),
    ("g:,a;", FAIL, ""),
    ("g:,;", FAIL, ""),
    ("g:(x);", "g:  (x);", ""),
    ("(x) g: a;", "g: a@dh.example;", "a@dh.example"),
    ("\"g:h\": a;", "\"g:h\": a@dh.example;", "a@dh.example"),
    ("a (c)", "a@dh.example (c)", "a@dh.example"),
    ("(c) a", "a@dh.example (c)", "a@dh.example"),
    ("a(c)@b(d).e(f)", "a@b.e (c) (d) (f)", "a@b.e"),
    ("Foo (c) <a@b.c> (d)", "Foo <a@b.c> (c) (d)", "a@b.c"),
    ("(c) Foo <a@b.c>", "Foo (c) <a@b.c>", "a@b.c"),
    ("Foo (c) Bar <a@b.c>", "Foo Bar (c) <a@b.c>", "a@b.c"),
    ("a@b.c (x) (y), (z)", "a@b.c (x) (y) (z)", "a@b.c"),
    ("a, (x), b", "a@dh.example (x), b@dh.example", "a@dh.example|b@dh.example"),
    ("a@b.c (x(y)z)", "a@b.c (x(y)z)", "a@b.c"),
    ("(\\)) a@b.c", "a@b.c (\\))", "a@b.c"),
    ("a@b.c (x", FAIL, ""),
    ("\"x <a@b.c>", FAIL, ""),
    ("a)", FAIL, ""),
    ("a>", FAIL, ""),
    ("a;", FAIL, ""),
    ("a;b", FAIL, ""),
    ("a:b", FAIL, ""),
    ("mailto:a@b.c", FAIL, ""),
    ("foo@bar <d@e.f>", "foo@bar.dd.example, <d@e.f>", "foo@bar.dd.example|d@e.f"),
    ("a@b.c,\n d@e.f", "a@b.c, d@e.f", "a@b.c|d@e.f"),
    ("\"foo\n bar\" <a@b.c>", "foo\n bar <a@b.c>", "a@b.c"),
    ("=?utf-8?q?J=C3=B6?= <a@b.c>", "=?utf-8?q?J=C3=B6?= <a@b.c>", "a@b.c"),
    ("Jörg <jö@b.c>", "Jörg <jö@b.c>", "jö@b.c"),
    ("a+b@c.d", "a+b@c.d", "a+b@c.d"),
    ("a%b@c.d", "a%b@c.d", "a%b@c.d"),
    ("a=b@c.d", "a=b@c.d", "a=b@c.d"),
    ("a*b@c.d", "a*b@c.d", "a*b@c.d"),
    ("a!b", "a!b@dh.example", "a!b@dh.example"),
    ("/dev/null", "/dev/null@dh.example", "/dev/null@dh.example"),
    ("|/bin/cmd", "|/bin/cmd@dh.example", "|/bin/cmd@dh.example"),
    ("a\u{1}b@c.d", FAIL, ""),
    ("a\u{7f}b@c.d", FAIL, ""),
    ("a@b.c\r", "a@b.c", "a@b.c"),
    ("\"s\\'b\"@d.e", "s'b@d.e", "s'b@d.e"),
    ("g: <@r:a@b.c>, \"\n x \n\" <d@e.f>;", "g: <a@b.c>, x <d@e.f>;", "a@b.c|d@e.f"),
];

#[test]
fn every_list_that_the_original_reads_reads_the_same() {
    check(ORIGINAL);
}

#[test]
fn where_the_original_loses_quotes_that_are_needed_they_stay() {
    check(&[
        ("\"john doe\"@x.y", "\"john doe\"@x.y", "\"john doe\"@x.y"),
        ("\"a@b\"@x.y", "\"a@b\"@x.y", "\"a@b\"@x.y"),
        ("\"\"@x.y", "\"\"@x.y", "\"\"@x.y"),
        ("\" a\"@x.y", "\" a\"@x.y", "\" a\"@x.y"),
        ("\"a b\".c@x.y", "\"a b\".c@x.y", "\"a b.c\"@x.y"),
        ("\"a\"@b@x.y", "a@b@x.y", "a@b@x.y"),
        ("\"a\".b c@x.y", "a.b@dh.example, c@x.y", "a.b@dh.example|c@x.y"),
        ("\"a.\"@x.y", "\"a.\"@x.y", "\"a.\"@x.y"),
        ("\"s\\\"a\\\"b\"@d.e", "\"s\\\"a\\\"b\"@d.e", "\"s\\\"a\\\"b\"@d.e"),
        ("\"\": a;", "\"\": a@dh.example;", "a@dh.example"),
        // A vertical tab is a blank too.
        ("\"\u{b}\": a;", "\"\": a@dh.example;", "a@dh.example"),
        ("\"\" . x <a@b.c>", "\"\" . x <a@b.c>", "a@b.c"),
        ("\"a\u{1}b\" <a@b.c>", "\"a\u{1}b\" <a@b.c>", "a@b.c"),
    ]);
}

#[test]
fn where_the_original_rejects_a_literal_or_a_folded_comment_they_are_read() {
    check(&[
        ("a@[1.2.3.4]", "a@[1.2.3.4]", "a@[1.2.3.4]"),
        ("<a@[ IPv6:::1 ]> (x)", "<a@[IPv6:::1]> (x)", "a@[IPv6:::1]"),
        ("(foo\n bar) a@b.c", "a@b.c (foo bar)", "a@b.c"),
        ("(foo\n bar)", "(foo bar)", ""),
        ("a@[1.2", FAIL, ""),
        ("a@[\\\n]", FAIL, ""),
        ("a@[[1]", FAIL, ""),
    ]);
}

#[test]
fn where_the_original_rejects_the_null_address_it_is_counted() {
    check(&[
        ("<>", "<>", ""),
        ("foo <>", "foo <>", ""),
        ("<(c)>, a", "<> (c), a@dh.example", "a@dh.example"),
    ]);
    assert_eq!(parse("<>").unwrap().nulls, 1);
}

#[test]
fn a_line_feed_in_a_name_never_begins_a_line_without_a_blank() {
    for input in [
        "\"a\n\nb\n\u{b}c\r\nd\" <a@b.c>",
        "\"a\nBcc: x\" <a@b.c>",
        "\"a\\\nBcc: x\" <a@b.c>",
        "\"a\"\n\"Bcc\" <a@b.c>",
    ] {
        let text = parse(input).unwrap().text;
        let line = String::from_utf8(text).unwrap();
        assert!(line.split('\n').skip(1).all(|rest| rest.starts_with(' ')), "{line:?}");
    }
}

#[test]
fn latin_1_in_a_name_passes_and_in_a_domain_does_not() {
    assert_eq!(parse(b"J\xf6rg <a@b.c>").unwrap().text, b"J\xf6rg <a@b.c>");
    assert_eq!(parse(b"a@b\xf6.c"), Err(ListFlaw::NotUtf8));
}

#[test]
fn a_hundred_thousand_words_are_read_once_and_not_once_for_each() {
    for unit in ["a ", "a (c) ", "\"a\" ", "a,", "a.b ", "g:;", "(c) a "] {
        let many = parse(unit.repeat(100_000)).unwrap();
        assert!(many.text.len() > 100_000, "{unit}");
    }
    assert!(parse(format!("{}x", "(".repeat(1_000_000))).is_err());
}

#[test]
fn a_break_of_the_line_may_go_where_a_comma_is() {
    let list = parse("\"a, b\" <a@b.c>, d@e.f (x, y), g: h@i.j, k@l.m;").unwrap();
    let mut text = list.text.clone();
    for at in &list.folds {
        assert_eq!(text[*at], b' ');
        text[*at] = b'\n';
    }
    let lines = String::from_utf8(text).unwrap();
    assert_eq!(lines, "\"a, b\" <a@b.c>,\nd@e.f (x, y),\ng: h@i.j,\nk@l.m;");
}

/// Blanks count as one, and comments do not count.
fn meaning(list: &AddressList) -> (Vec<Vec<u8>>, usize, Vec<u8>) {
    let words = list.text.split(|b| lexer::is_blank(*b)).filter(|word| !word.is_empty());
    (list.addresses.clone(), list.nulls, words.collect::<Vec<_>>().join(&b' '))
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~ö-]{1,6}",
        "[ -!#-\\[\\]-~ö]{0,6}".prop_map(|text| format!("\"{text}\"")),
        "[ -~]{0,4}".prop_map(|text| {
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            format!("\"{escaped}\"")
        }),
    ]
}

fn mailbox() -> impl Strategy<Value = String> {
    let domain = prop_oneof![
        Just(String::new()),
        "@[a-z]{1,4}(\\.[a-z]{1,4}){0,2}",
        Just("@[127.0.0.1]".to_owned()),
    ];
    let address = (prop::collection::vec(word(), 1..3), domain)
        .prop_map(|(words, domain)| format!("{}{domain}", words.join(".")))
        .boxed();
    let name = prop::collection::vec(prop_oneof![word(), Just("x. ".to_owned())], 1..4);
    prop_oneof![
        address.clone(),
        address.clone().prop_map(|address| format!("<{address}>")),
        (name, address).prop_map(|(name, address)| format!("{} <{address}>", name.join(" "))),
        Just("Nobody <>".to_owned()),
    ]
}

fn list() -> impl Strategy<Value = String> {
    let element = prop_oneof![
        4 => mailbox(),
        1 => (word(), prop::collection::vec(mailbox(), 0..3))
            .prop_map(|(name, members)| format!("{name}: {};", members.join(", "))),
    ];
    prop::collection::vec(element, 1..5).prop_map(|elements| elements.join(" , "))
}

proptest! {
    #[test]
    fn a_printed_list_reads_as_the_list_that_was_printed(input in list()) {
        let once = parse(&input).unwrap();
        let twice = parse(&once.text).unwrap();
        prop_assert_eq!(meaning(&once), meaning(&twice), "{:?} became {:?}", input, String::from_utf8_lossy(&once.text));
    }

    #[test]
    fn whatever_is_read_has_the_same_addresses_once_printed(input in "[ab\"\\\\()<>@,;:.\\[\\] \n\r\u{1}ö]{0,24}") {
        if let Ok(once) = parse(&input) {
            let twice = parse(&once.text);
            prop_assert_eq!(
                twice.as_ref().map(|list| (&list.addresses, list.nulls)),
                Ok((&once.addresses, once.nulls)),
                "{:?} became {:?}", input, String::from_utf8_lossy(&once.text)
            );
        }
    }

    #[test]
    fn no_bytes_make_the_parser_fall_over(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(input);
    }
}

#[test]
fn a_long_list_is_read_in_linear_time() {
    super::super::linear::assert_linear(5_000, |count| {
        let list: Vec<_> = (0..count).map(|number| format!("\"u\" <user{number}@x>")).collect();
        let list = AddressList::parse(list.join(", ").as_bytes(), &str::to_owned).unwrap();
        assert_eq!(list.addresses.len(), count);
    });
}
