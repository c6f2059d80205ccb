//! nullmailer-inject: the cases of the original's own test suite, and what it gets wrong.

use std::process::Command;

use crate::house::{House, Ran, run};

/// `inject -n -v` and what it printed: the sender, the recipients, the message.
struct Printed {
    sender: String,
    recipients: Vec<String>,
    message: String,
}

fn printed(ran: Ran) -> Printed {
    let ran = ran.success();
    let (envelope, message) = ran.stdout.split_once("\n\n").expect("an envelope");
    let mut lines = envelope.split('\n').map(str::to_owned);
    Printed {
        sender: lines.next().unwrap(),
        recipients: lines.collect(),
        message: message.to_owned(),
    }
}

impl Printed {
    /// The values of every field of this name.
    fn fields(&self, name: &str) -> Vec<&str> {
        let header = self.message.split("\n\n").next().unwrap_or_default();
        let lines = header.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
    }

    #[track_caller]
    fn field(&self, name: &str) -> &str {
        let found = self.fields(name);
        assert_eq!(found.len(), 1, "{name}: {}", self.message);
        found[0]
    }
}

fn inject(house: &House, args: &[&str], input: &str) -> Printed {
    inject_with(house, &[], args, input)
}

fn inject_with(house: &House, env: &[(&str, &str)], args: &[&str], input: &str) -> Printed {
    let mut command = house.command("nullmailer-inject");
    command.envs(env.iter().copied()).args(["-n", "-v"]).args(args);
    printed(run(&mut command, input))
}

#[test]
fn a_date_is_added_where_there_is_none_and_kept_where_there_is_one() {
    let house = House::new();
    let date = inject(&house, &[], "To: a@b.c\n\n").field("Date").to_owned();
    let words: Vec<_> = date.split(' ').collect();
    assert_eq!(words.len(), 6, "{date}");
    assert!(words[0].ends_with(',') && words[1].len() == 2 && words[5] == "+0000", "{date}");
    let kept = inject(&house, &[], "To: a@b.c\nDate: yesterday\n\n");
    assert_eq!(kept.field("Date"), "yesterday");
    let empty = inject(&house, &[], "To: a@b.c\ndate:\nMESSAGE-ID:\n\n");
    assert!(empty.message.contains("\ndate:\nMESSAGE-ID:\n") && !empty.message.contains("Date:"));
}

#[test]
fn a_date_is_local_time() {
    let house = House::new();
    let date = |zone: &str| {
        inject_with(&house, &[("TZ", zone)], &[], "To: a@b.c\n\n").field("Date").to_owned()
    };
    assert!(date("UTC-05:30").ends_with(" +0530"));
    assert!(date("XXX3:30").ends_with(" -0330"));
    assert!(date("Nowhere/At_All").ends_with(" +0000"));
    if std::path::Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists() {
        assert!(date("Asia/Kolkata").ends_with(" +0530"));
        assert!(date(":Asia/Kolkata").ends_with(" +0530"));
    }
}

#[test]
fn a_message_id_is_added_kept_or_replaced() {
    let house = House::new();
    let id = inject(&house, &[], "To: a@b.c\n\n").field("Message-Id").to_owned();
    assert!(id.starts_with('<') && id.ends_with(".nullmailer@f.q.d.n>"), "{id}");
    let kept = inject(&house, &[], "To: a@b.c\nMessage-ID: <x@y>\n\n");
    assert!(kept.message.contains("\nMessage-ID: <x@y>\n") && kept.fields("Message-Id").is_empty());
    let flags = [("NULLMAILER_FLAGS", "i")];
    let replaced = inject_with(&house, &flags, &[], "To: a@b.c\nMessage-Id: <x@y>\n\n");
    assert_ne!(replaced.field("Message-Id"), "<x@y>");
    house.control("idhost", "id");
    let id = inject(&house, &[], "To: a@b.c\n\n").field("Message-Id").to_owned();
    assert!(id.ends_with(".nullmailer@id.q.d.n>"), "{id}");
}

/// Each variable wins over those before it.
const HOSTS: [&str; 3] = ["HOSTNAME", "MAILHOST", "NULLMAILER_HOST"];
const USERS: [&str; 4] = ["LOGNAME", "USER", "MAILUSER", "NULLMAILER_USER"];
const NAMES: [&str; 3] = ["NAME", "MAILNAME", "NULLMAILER_NAME"];

#[test]
fn the_environment_names_user_host_and_name_in_the_originals_order() {
    let house = House::new();
    let mut env = vec![("USER", "u"), ("HOSTNAME", "")];
    for variable in HOSTS {
        env.push((variable, variable));
        let host = format!("{variable}.q.d.n");
        let found = inject_with(&house, &env, &[], "To: a@b.c\n\n");
        assert_eq!(found.field("From"), format!("u <u@{host}>"));
        assert_eq!(found.sender, format!("u@{host}"));
    }
    let mut env = vec![];
    for variable in USERS {
        env.push((variable, variable));
        let found = inject_with(&house, &env, &[], "To: a@b.c\n\n");
        assert_eq!(found.field("From"), format!("{variable} <{variable}@f.q.d.n>"));
        assert_eq!(found.sender, format!("{variable}@f.q.d.n"));
    }
    let mut env = vec![("USER", "u")];
    for variable in NAMES {
        env.push((variable, variable));
        let found = inject_with(&house, &env, &[], "To: a@b.c\n\n");
        assert_eq!(found.field("From"), format!("{variable} <u@f.q.d.n>"));
    }
    let env = [("USER", "u"), ("NULLMAILER_SUSER", "s"), ("NULLMAILER_SHOST", "h")];
    let found = inject_with(&house, &env, &[], "To: a@b.c\n\n");
    assert_eq!((found.sender.as_str(), found.field("From")), ("s@h.q.d.n", "u <u@f.q.d.n>"));
}

#[test]
fn without_any_variable_the_login_is_the_user() {
    let house = House::new();
    let login = Command::new("id").arg("-un").output().unwrap();
    let login = String::from_utf8(login.stdout).unwrap();
    let login = login.trim();
    let from = inject(&house, &[], "To: a@b.c\n\n").field("From").to_owned();
    assert_eq!(from, format!("{login} <{login}@f.q.d.n>"));
}

#[test]
fn the_host_of_a_generated_from_is_the_default_host() {
    let house = House::new();
    let from = |house: &House| {
        inject_with(house, &[("USER", "u")], &[], "To: a@b.c\n\n").field("From").to_owned()
    };
    for (host, full) in [("x.y", "x.y"), ("x", "x.q.d.n"), ("localhost", "localhost")] {
        house.control("defaulthost", host);
        assert_eq!(from(&house), format!("u <u@{full}>"));
    }
}

#[test]
fn a_from_is_kept_or_replaced_and_its_style_may_be_chosen() {
    let house = House::new();
    let user = ("USER", "u");
    let input = "To: a@b.c\nfrom: Me <x@y>\n\n";
    let found = inject_with(&house, &[user], &[], input);
    assert_eq!(found.field("From"), "Me <x@y.q.d.n>");
    let found = inject_with(&house, &[user, ("NULLMAILER_FLAGS", "f")], &[], input);
    assert_eq!(found.field("From"), "u <u@f.q.d.n>");
    let env = [user, ("NULLMAILER_FLAGS", "fc"), ("NAME", "A (B) C")];
    let found = inject_with(&house, &env, &[], input);
    assert_eq!(found.field("From"), "u@f.q.d.n (A \\(B\\) C)");
    let found = inject_with(&house, &[user], &[], "To: a@b.c\nFrom: \n\n");
    assert_eq!(found.field("From"), "u <u@f.q.d.n>");
}

#[test]
fn a_full_name_is_quoted_or_encoded_where_it_needs_it() {
    let house = House::new();
    for (name, from) in [
        ("Public, J", "\"Public, J\" <u@f.q.d.n>"),
        ("Jörg", "=?UTF-8?B?SsO2cmc=?= <u@f.q.d.n>"),
        ("x\nBcc: y@z", "\"x Bcc: y@z\" <u@f.q.d.n>"),
    ] {
        let found = inject_with(&house, &[("USER", "u"), ("NAME", name)], &[], "To: a@b.c\n\n");
        assert_eq!(found.field("From"), from);
        assert_eq!(found.recipients, ["a@b.c"]);
    }
}

#[test]
fn only_return_path_and_the_option_change_the_sender() {
    let house = House::new();
    let user = ("USER", "u");
    for name in [
        "Errors-To",
        "From",
        "Reply-To",
        "Resent-From",
        "Resent-Reply-To",
        "Resent-Sender",
        "Return-Receipt-To",
        "Sender",
    ] {
        let found = inject_with(&house, &[user], &["a@b.c"], &format!("{name}: x@y.z\n\n"));
        assert_eq!(found.sender, "u@f.q.d.n", "{name}");
        assert_eq!(found.field(name), "x@y.z");
    }
    for (value, sender) in
        [("x@y", "x@y.q.d.n"), ("<>", ""), ("a@b.c, d@e.f", "u@f.q.d.n"), ("", "u@f.q.d.n")]
    {
        let input = format!("Return-Path: {value}\n\n");
        let found = inject_with(&house, &[user], &["a@b.c"], &input);
        assert_eq!(found.sender, sender, "{value}");
        assert!(!found.message.to_ascii_lowercase().contains("return-path"));
        let env = [user, ("NULLMAILER_FLAGS", "s")];
        let found = inject_with(&house, &env, &["a@b.c"], &input);
        assert_eq!(found.sender, "u@f.q.d.n", "{value}");
        assert!(!found.message.contains("Return-Path"));
        assert_eq!(inject(&house, &["-f", "f@g.h", "a@b.c"], &input).sender, "f@g.h");
    }
    for (value, sender) in [
        ("", ""),
        ("<>", ""),
        ("a@b.c", "a@b.c"),
        ("<a@b.c>", "a@b.c"),
        ("a@b", "a@b.q.d.n"),
        ("<a@b>", "a@b.q.d.n"),
        ("Foo <z@z>", "z@z.q.d.n"),
        ("z", "z@f.q.d.n"),
    ] {
        let found = inject(&house, &["-f", value, "a@b.c"], "");
        assert_eq!(found.sender, sender, "{value}");
    }
    for bad in ["a b", "<", "a@b, c@d", "(x)"] {
        let ran = house.run("nullmailer-inject", ["-f", bad, "a@b.c"], "");
        ran.exit(65).complains("cannot use sender");
    }
}

#[test]
fn recipients_come_from_where_the_option_says() {
    let house = House::new();
    let header = "To: a@h\nCc: b@h\nBcc: c@h\nApparently-To: d@h\n\n";
    let of_header = ["a@h.q.d.n", "b@h.q.d.n", "c@h.q.d.n", "d@h.q.d.n"];
    let of_args = ["x@y.z", "w@v.u"];
    let args = ["x@y.z", "w@v.u"];
    let both = [&of_args[..], &of_header].concat();
    for (option, input, expected) in [
        ("-a", header, &of_args[..]),
        ("--use-args", "", &of_args),
        ("-b", header, &both),
        ("--use-both", "", &of_args),
        ("-e", header, &of_args),
        ("--use-either", "", &of_args),
        ("-h", header, &of_header),
        ("-ah", header, &of_header),
        ("-ha", header, &of_args),
    ] {
        let found = inject(&house, &[&[option][..], &args].concat(), input);
        assert_eq!(found.recipients, expected, "{option}");
        assert!(!found.message.contains("Bcc"));
    }
    for option in ["-b", "-e", "-h"] {
        assert_eq!(inject(&house, &[option], header).recipients, of_header, "{option}");
    }
    assert_eq!(inject(&house, &["-h", "<<"], header).recipients, of_header);
    for args in [&["-a"][..], &["-a", ""], &["-e", ""], &["-h", "a@b.c"]] {
        let input = if args[0] == "-h" { "\n" } else { header };
        house.run("nullmailer-inject", args, input).exit(64).complains("no recipients");
    }
    assert!(house.queued().is_empty());
}

#[test]
fn options_end_at_the_first_argument_that_is_none() {
    let house = House::new();
    for (args, recipients) in [
        (&["-fs@t.u", "x@y.z", "-a@b.c"][..], &["x@y.z", "-a@b.c"][..]),
        (&["--from=s@t.u", "--", "-a@b.c"], &["-a@b.c"]),
        (&["--from", "s@t.u", "-", "-a@b.c"], &["-a@b.c"]),
        (&["-af", "s@t.u", "x@y.z, w@v.u"], &["x@y.z", "w@v.u"]),
        (&["-f", "-", "-fs@t.u", "x@y.z"], &["x@y.z"]),
    ] {
        let found = inject(&house, args, "\n");
        assert_eq!(
            (found.sender.as_str(), found.recipients),
            ("s@t.u", recipients.iter().map(ToString::to_string).collect())
        );
    }
    for args in [&["-x", "a@b.c"][..], &["--use", "a@b.c"], &["-f"], &["--no-queue=1", "a@b.c"]] {
        house.run("nullmailer-inject", args, "\n").exit(64).complains("nullmailer-inject: ");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let house = House::new();
    let help = house.run("nullmailer-inject", ["--help"], "").success();
    assert!(help.stdout.contains("--use-either") && help.stderr.is_empty());
    assert!(
        house.run("nullmailer-inject", ["--version"], "").success().stdout.contains("nullmailer")
    );
}

#[test]
fn from_lines_before_the_header_vanish() {
    let house = House::new();
    for input in ["From x\nSubject: s\n\n", ">From x\nFrom y\nSubject: s\n\n"] {
        let found = inject(&house, &["a@b.c"], input);
        assert!(found.message.starts_with("Subject: s\n"), "{}", found.message);
    }
}

#[test]
fn a_line_that_is_no_field_ends_the_header_and_stays() {
    let house = House::new();
    for first in [" a@b.c", "to : a@b.c", "to"] {
        let input = format!("{first}\nTo: d@e.f\n");
        house.run("nullmailer-inject", [""; 0], &input).exit(64).complains("no recipients");
        let found = inject(&house, &["a@b.c"], &input);
        assert!(found.message.ends_with(&format!("\n\n{input}")), "{}", found.message);
    }
    let ran = house.run("nullmailer-inject", [""; 0], ":to a@b.c\n d@e.f\n");
    ran.exit(64).complains("no recipients");
}

#[test]
fn a_header_that_cannot_be_used_is_named_with_its_line() {
    let house = House::new();
    for (input, line) in [
        ("Subject: x\nfrom: foo<bar\n\n", "cannot use header line 2, \"from: foo<bar\": no '>'"),
        ("To: a@b.c,\n (x\n\n", "cannot use header line 1, \"To: a@b.c,\\n (x\": a '(' is never"),
        ("\u{1b}To: x\nTo: \u{1b}\n\n", "cannot use header line 2, \"To: \\u{1b}\": byte 0x1b"),
        ("To: b\u{ff}@c.d, \"x\"@\"y\"\n", "no domain follows"),
        ("To: a@b.c\nX: y\0z\n\n", "cannot use header line 2: it holds a NUL"),
        ("Bcc: a b@c..\nBcc: x y z@\n", "cannot use header line 2"),
    ] {
        let ran = house.run("nullmailer-inject", ["x@y.z"], input);
        ran.exit(65).complains(line);
    }
    let two = house.run("nullmailer-inject", ["-h"], "To: <\nCc: >\nSubject: x\n\n").exit(65);
    assert_eq!(two.stderr.lines().count(), 2, "{}", two.stderr);
    assert!(house.queued().is_empty() && house.names("tmp").is_empty());
}

#[test]
fn every_argument_that_is_no_recipient_is_named() {
    let house = House::new();
    let ran = house.run("nullmailer-inject", ["a@b.c", "<", "d@e.f", "g@\u{7}"], "\n").exit(65);
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot use recipient \"<\""), "{}", ran.stderr);
    assert!(ran.stderr.contains("\"g@\\u{7}\""), "{}", ran.stderr);
    assert!(house.queued().is_empty());
}

#[test]
fn a_message_is_queued_with_its_header_completed() {
    let house = House::new();
    house.run("nullmailer-inject", [""; 0], "To: a@b\nSubject: x\n\nhi\n").success();
    let queued = house.only_queued();
    assert_eq!(queued.recipients, ["a@b.q.d.n"]);
    assert!(queued.message.starts_with("To: a@b.q.d.n\nSubject: x\nDate: "), "{}", queued.message);
    assert!(queued.message.ends_with("@f.q.d.n>\n\nhi\n"), "{}", queued.message);
    assert!(house.names("tmp").is_empty());
}

#[test]
fn another_queue_program_takes_the_message_instead() {
    let house = House::new();
    let mut command = house.command("nullmailer-inject");
    // More than a pipe holds comes back on its stdout.
    let long = format!("To: a@b.c\n\n{}", "x\n".repeat(200_000));
    run(command.env("NULLMAILER_QUEUE", "/bin/cat"), long).success();
    assert!(house.queued().is_empty());
}

#[test]
fn a_queue_program_that_fails_is_quoted_and_its_code_passed_on() {
    let house = House::new();
    for (script, code, line) in [
        ("echo no room; exit 1", 75, "queue: no room"),
        ("echo out; echo err >&2; exit 73", 73, "queue: err"),
        ("kill -9 $$", 75, "queue was killed"),
        ("exit 3", 75, "queue failed with exit code 3"),
    ] {
        let program = house.path("queue.program");
        // By a process of its own: a file that any of ours has open for writing cannot be run.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\"; chmod +x \"$2\"";
        let mut sh = Command::new("/bin/sh");
        run(sh.args(["-c", write, "sh", script]).arg(&program), "").success();
        let mut command = house.command("nullmailer-inject");
        command.env("NULLMAILER_QUEUE", &program);
        let line = line.replace("queue", "queue.program");
        run(&mut command, "To: a@b.c\n\n").exit(code).complains(&line);
    }
    let mut command = house.command("nullmailer-inject");
    command.env("NULLMAILER_QUEUE", "/nonexistent/queue");
    run(&mut command, "To: a@b.c\n\n").exit(71).complains("cannot run /nonexistent/queue");
    assert!(house.queued().is_empty());
}

#[test]
fn resent_fields_replace_the_recipients_of_the_header_and_no_others() {
    let house = House::new();
    let header = "Return-Path: r@p.q\nTo: a@b.c\nBcc: e@f.g\nResent-To: x@y.z\nCc: d@e.f\n\n";
    let found = inject_with(&house, &[("USER", "u")], &[], header);
    assert_eq!(found.recipients, ["x@y.z"]);
    assert_eq!(found.sender, "u@f.q.d.n");
    for name in ["Resent-Date", "Resent-Message-Id", "Resent-From"] {
        found.field(name);
    }
    for name in ["Date", "Message-Id", "From", "Bcc", "Return-Path"] {
        assert!(found.fields(name).is_empty(), "{name}");
    }
    assert_eq!(inject(&house, &["-b", "w@v.u"], header).recipients, ["w@v.u", "x@y.z"]);
    assert_eq!(inject(&house, &["-a", "w@v.u"], header).recipients, ["w@v.u"]);
    let date_only = inject(&house, &["-b", "w@v.u"], "To: a@b.c\nResent-Date: x\n\n");
    assert_eq!(date_only.recipients, ["w@v.u"]);
}

#[test]
fn a_message_without_to_and_cc_says_so() {
    let house = House::new();
    let found = inject(&house, &["a@b.c", "d@e.f"], "Subject: x\n\n");
    assert_eq!(found.field("Cc"), "recipient list not shown: ;");
    let flags = [("NULLMAILER_FLAGS", "t")];
    let found = inject_with(&house, &flags, &["a@b.c", "d@e.f"], "Subject: x\n\n");
    assert_eq!(found.field("To"), "a@b.c, d@e.f");
    assert!(found.fields("Cc").is_empty());
    let found = inject_with(&house, &flags, &["a@b.c"], "Resent-From: x@y.z\n\n");
    assert_eq!((found.field("Resent-To"), found.fields("To").len()), ("a@b.c", 0));
    assert_eq!(found.field("Cc"), "recipient list not shown: ;");
}

#[test]
fn fields_are_kept_rewritten_or_removed() {
    let house = House::new();
    let found = inject(
        &house,
        &["-h"],
        "X-Folded: a\n\tb\nSUBJECT:  as is \ncontent-length: 7\nTO: a,\n \"b c\"@d,\n e@[1.2.3.4]\nMail-Followup-To: x\n\nbody\n.\nmore",
    );
    assert!(
        found.message.starts_with(
            "X-Folded: a\n\tb\nSUBJECT:  as is \nTo: a@f.q.d.n, \"b c\"@d.q.d.n, e@[1.2.3.4]\nMail-Followup-To: x\n"
        ),
        "{}",
        found.message
    );
    assert!(found.message.ends_with("\n\nbody\n.\nmore"));
    assert_eq!(found.recipients, ["a@f.q.d.n", "\"b c\"@d.q.d.n", "e@[1.2.3.4]"]);
}

#[test]
fn crlf_becomes_lf_everywhere() {
    let house = House::new();
    let input = "To: a@b.c,\r\n d@e.f\r\nX: y\r\n z\r\n\r\nbo\rdy\r\n\r\n.\r\nend";
    let found = inject(&house, &[], input);
    assert!(found.message.starts_with("To: a@b.c, d@e.f\nX: y\n z\nDate: "), "{}", found.message);
    assert!(found.message.ends_with("\n\nbo\rdy\n\n.\nend"), "{}", found.message);
}

#[test]
fn a_header_is_limited_and_the_limit_can_be_moved() {
    let house = House::new();
    let input = format!("To: a@b.c\n{}\n\n", "X: y\n".repeat(1000));
    house.run("nullmailer-inject", [""; 0], &input).success();
    house.control("maxheadersize", "2000");
    let ran = house.run("nullmailer-inject", [""; 0], &input);
    ran.exit(65).complains("the header is longer than 2000 bytes (maxheadersize)");
    let body = format!("To: a@b.c\n\n{}", "y\n".repeat(100_000));
    house.run("nullmailer-inject", [""; 0], body).success();
    assert_eq!(house.queued().len(), 2);
}

#[test]
fn a_long_list_of_recipients_is_folded_so_that_it_can_be_sent() {
    let house = House::new();
    let list: Vec<_> = (0..200).map(|n| format!("someone{n}@example.org")).collect();
    let found = inject(&house, &[], &format!("To: {}\n\n", list.join(",")));
    assert_eq!(found.recipients, list);
    assert!(found.message.lines().all(|line| line.len() <= 998));
    let unfolded = found.message.replace("\n ", " ");
    assert!(unfolded.starts_with(&format!("To: {}\n", list.join(", "))));
}

#[test]
fn a_large_message_needs_no_more_memory_than_a_small_one() {
    let house = House::new();
    let large = house.path("large");
    let file = std::fs::File::create(&large).unwrap();
    // A hole reads as zeros and costs nothing.
    file.set_len(40 << 20).unwrap();
    let limited = "ulimit -d 6144; { printf 'To: a@b.c\\n\\n'; cat \"$1\"; } | exec \"$0\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", limited]).arg(house.path("bin/nullmailer-inject")).arg(&large);
    run(command.env("NULLMAILER_TEST_PREFIX", house.path("")), "").success();
    let queued = house.path("queue/queue").join(&house.names("queue")[0]);
    assert!(std::fs::metadata(queued).unwrap().len() > 40 << 20);
}

#[test]
fn no_second_program_takes_part_where_the_spool_can_be_written() {
    let house = House::new();
    for name in ["bin/nullmailer-queue", "bin/nullmailer-inject", "sbin/nullmailer-queue"] {
        std::fs::remove_file(house.path(name)).unwrap();
    }
    let trap = house.path("sbin/nullmailer-queue");
    std::fs::write(&trap, "#!/bin/sh\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(&trap, mode).unwrap();
    house.run("sendmail", ["-t"], "To: a@b.c\n\n").success();
    house.only_queued();
}
