//! sendmail: what its options change. The command lines of real callers are in `callers`.

use std::process::Command;

use crate::house::{House, run};

const MESSAGE: &str = "To: a@b.c\nSubject: x\n\nhi\n";

#[test]
fn recipients_of_the_header_and_of_the_arguments_add_up() {
    for (args, recipients) in [
        (&["-t"][..], &["a@b.c"][..]),
        (&[], &["a@b.c"]),
        (&["-t", "d@e.f", "a@b.c"], &["d@e.f", "a@b.c"]),
        (&["d@e.f"], &["d@e.f"]),
        (&["--", "-x@e.f"], &["-x@e.f"]),
        (&["a..b@docomo.example", "c.@d.example"], &["a..b@docomo.example", "c.@d.example"]),
    ] {
        let house = House::new();
        house.run("sendmail", args, MESSAGE).success();
        assert_eq!(house.only_queued().recipients, recipients, "{args:?}");
    }
}

#[test]
fn the_sender_option_names_sender_and_author_and_beats_a_return_path() {
    for (args, sender, from) in [
        (&["-fme@x.y"][..], "me@x.y", "me <me@x.y>"),
        (&["-f", "<me@x.y>"], "me@x.y", "me <me@x.y>"),
        (&["-r", "me"], "me@h.q.d.n", "me <me@h.q.d.n>"),
        (&["-f", "me@x", "-FFull Name"], "me@x.q.d.n", "Full Name <me@x.q.d.n>"),
        (&["-f", ""], "", "u <u@h.q.d.n>"),
        (&["-f<>", "-F", "N"], "", "N <u@h.q.d.n>"),
        (&["-f", "a..b@x.y"], "a..b@x.y", "\"a..b\" <a..b@x.y>"),
    ] {
        let house = House::new();
        let mut command = house.command("sendmail");
        command.args(["-t"]).args(args).env("USER", "u").env("NULLMAILER_HOST", "h");
        run(&mut command, format!("Return-Path: other@x.y\n{MESSAGE}")).success();
        let queued = house.only_queued();
        assert_eq!(queued.sender, sender, "{args:?}");
        assert!(queued.message.contains(&format!("\nFrom: {from}\n")), "{}", queued.message);
    }
}

#[test]
fn the_header_names_the_author_where_it_does() {
    let house = House::new();
    house.run("sendmail", ["-t", "-f", "env@x.y"], format!("From: h@x.y\n{MESSAGE}")).success();
    let queued = house.only_queued();
    assert_eq!(queued.sender, "env@x.y");
    assert!(queued.message.starts_with("From: h@x.y\n"));
}

#[test]
fn a_lone_dot_is_text_on_a_pipe_with_or_without_the_option() {
    for args in [&["-t"][..], &["-ti"]] {
        let house = House::new();
        house.run("sendmail", args, format!("{MESSAGE}.\nmore\n")).success();
        assert!(house.only_queued().message.ends_with("\n\nhi\n.\nmore\n"));
    }
}

/// Types the text on a terminal of its own and returns what was queued.
fn typed(house: &House, command: &str, text: &str) -> String {
    let mut script = Command::new("script");
    script.args(["-qefc", command, "/dev/null"]).env("SHELL", "/bin/sh");
    for (name, value) in house.command("sendmail").get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    script.env("PATH", format!("{}:/usr/bin:/bin", house.path("bin").display()));
    run(&mut script, text).success();
    house.only_queued().message
}

#[test]
fn on_a_terminal_a_lone_dot_ends_the_message_unless_it_is_told_not_to() {
    if !crate::house::has("script") {
        return;
    }
    let text = "Subject: x\n\nhi\n.\nmore\n\u{4}";
    let message = typed(&House::new(), "sendmail a@b.c", text);
    assert!(message.ends_with("\n\nhi\n"), "{message}");
    for option in ["-i", "-oi", "-O IgnoreDots=True"] {
        let message = typed(&House::new(), &format!("sendmail {option} a@b.c"), text);
        assert!(message.ends_with("\n\nhi\n.\nmore\n"), "{message}");
    }
    let message = typed(&House::new(), "nullmailer-inject a@b.c", text);
    assert!(message.ends_with("\n\nhi\n.\nmore\n"), "{message}");
    let message = typed(&House::new(), "sendmail a@b.c", "Subject: x\n.\nmore\n\u{4}");
    assert!(message.ends_with(">\nCc: recipient list not shown: ;\n\n"), "{message}");
}

#[test]
fn on_a_terminal_one_end_is_enough_wherever_it_is_typed() {
    if !crate::house::has("script") {
        return;
    }
    for command in ["sendmail a@b.c", "sendmail -i a@b.c", "nullmailer-inject a@b.c"] {
        for text in ["Subject: x\n", "no field\n", "Subject: x\n\nhi\n"] {
            let message =
                typed(&House::new(), command, &format!("{text}\u{4}more\n\u{4}\u{4}\u{4}"));
            assert!(message.contains(text.trim_end().rsplit('\n').next().unwrap()), "{message}");
            assert!(!message.contains("more"), "{command}: {message}");
        }
    }
}

#[test]
fn a_command_line_that_cannot_be_used_is_named_and_nothing_is_queued() {
    for (args, code, line) in [
        (&["-t", "-y"][..], 64, "cannot use option \"-y\""),
        (&["-t", "-f"], 64, "option -f: it needs a value"),
        (&["-N", "often", "a@b.c"], 64, "cannot use -N \"often\""),
        (&["-i"], 64, "no recipients"),
        (&["-f", "<", "a@b.c"], 65, "cannot use sender \"<\""),
        (&["a@\u{1b}[31m"], 65, "cannot use recipient \"a@\\u{1b}[31m\""),
        (&["a;b@c"], 65, "cannot use recipient"),
    ] {
        let house = House::new();
        house.run("sendmail", args, "Subject: x\n\n").exit(code).complains(line);
        assert!(house.queued().is_empty() && house.names("tmp").is_empty());
    }
}

#[test]
fn a_setting_without_meaning_is_warned_of_and_disturbs_nothing() {
    let house = House::new();
    let ran = house.run("sendmail", ["-O", "Timeout.queuereturn=5d", "-t"], MESSAGE).success();
    assert!(
        ran.stderr.contains("option \"-O Timeout.queuereturn=5d\" means nothing here"),
        "{}",
        ran.stderr
    );
    house.only_queued();
}

#[test]
fn modes_that_queue_nothing() {
    let house = House::new();
    for args in [&["-bi"][..], &["-I"], &["-bh"], &["-q1h"]] {
        let ran = house.run("sendmail", args, MESSAGE).success();
        assert!(ran.stdout.is_empty() && ran.stderr.is_empty(), "{args:?}");
    }
    assert!(house.run("sendmail", ["--help"], "").success().stdout.starts_with("usage: sendmail"));
    assert!(house.run("sendmail", ["--version"], "").success().stdout.starts_with("sendmail "));
    house.run("newaliases", [""; 0], "").success();
    house.run("sendmail", ["-q"], "").exit(75).complains("nullmailer-send is not running");
    assert!(house.queued().is_empty());
}

#[test]
fn the_queue_is_printed_by_the_same_process() {
    let house = House::new();
    house.run("sendmail", ["-f", "s@t.u", "a@b.c"], "").success();
    let listed = house.run("sendmail", ["-bp"], "").success();
    assert!(listed.stdout.contains(" from <s@t.u>\n  to <a@b.c>\n"), "{}", listed.stdout);
}

#[test]
fn verifying_says_where_mail_would_go_and_through_what() {
    let house = House::new();
    house.control("adminaddr", "admin@x.y");
    let ran = house.run("sendmail", ["-bv", "root@localhost"], "").success();
    assert_eq!(ran.stdout, "root@localhost ... admin@x.y by no remote that is known\n");
    house.control("remotes", "# none\nsmart.example smtp starttls port=587\nother.example\n");
    let ran = house.run("sendmail", ["-bv", "a@b, c@d.e", "f", "root@localhost"], "").success();
    let by = "by smtp smart.example port 587 starttls";
    assert_eq!(
        ran.stdout,
        format!(
            "a@b.q.d.n ... a@b.q.d.n {by}\nc@d.e ... c@d.e {by}\n\
             f@f.q.d.n ... admin@x.y {by}\nroot@localhost ... admin@x.y {by}\n"
        )
    );
    house.run("sendmail", ["-bv", "a@b", "<"], "").exit(65).complains("cannot use recipient \"<\"");
    house.run("sendmail", ["-bv"], "").exit(64).complains("no recipients");
    assert!(house.queued().is_empty());
}

#[test]
fn what_is_asked_of_delivery_stands_beside_the_message() {
    let house = House::new();
    let args = ["-N", "failure,delay", "-Rhdrs", "-V", "id 1", "a@b.c"];
    house.run("sendmail", args, "x\n").success();
    let id = house.only_queued().id;
    let journal = std::fs::read_to_string(house.path("queue/status").join(id)).unwrap();
    let (file, asked) = journal.split_once('\n').unwrap();
    assert!(file.starts_with("file\t"), "{journal}");
    assert_eq!(asked, "request\tNOTIFY=FAILURE,DELAY RET=HDRS ENVID=id+201\n");
}
