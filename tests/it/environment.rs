//! Control files that come as environment variables, and as files that variables name.

use std::os::unix::ffi::OsStrExt;

use crate::daemon::Daemon;
use crate::house::{House, Ran, run};
use crate::smarthost::Sink;

const MESSAGE: &str = "From: me@h.example\nSubject: x\n\nhi\n";

/// Runs the program with these variables.
fn with(house: &House, set: &[(&str, &str)], program: &str, args: &[&str]) -> Ran {
    run(house.command(program).args(args).envs(set.iter().copied()), MESSAGE)
}

/// One pass through the queue.
fn one_pass(house: &House, set: &[(&str, &str)]) -> String {
    let set = [set, &[("NULLMAILER_PAUSETIME", "0")]].concat();
    with(house, &set, "nullmailer-send", &[]).success().stdout
}

#[test]
fn a_value_that_is_wrong_is_named_by_its_variable_and_its_line() {
    let house = House::new();
    let args = ["-n", "a@x.example"];
    for (variable, value, line) in [
        (
            "NULLMAILER_MAXHEADERSIZE",
            "big",
            "NULLMAILER_MAXHEADERSIZE: \"big\" is not a whole number",
        ),
        ("NULLMAILER_ME", "a\u{1}b", "NULLMAILER_ME: holds a control character"),
    ] {
        let ran = with(&house, &[(variable, value)], "nullmailer-inject", &args).exit(78);
        assert_eq!(ran.stderr, format!("nullmailer-inject: {line}\n"));
    }
    let mut command = house.command("nullmailer-inject");
    command.args(args).env("NULLMAILER_ME", std::ffi::OsStr::from_bytes(b"\xff"));
    run(&mut command, MESSAGE).exit(78).complains("NULLMAILER_ME: is not UTF-8");

    for (set, line) in [
        (("NULLMAILER_MAXPAUSE", "soon"), "NULLMAILER_MAXPAUSE: \\\"soon\\\" is not a duration"),
        (("NULLMAILER_RATELIMIT", "soon"), "NULLMAILER_RATELIMIT: \\\"soon\\\" is not a rate"),
        (("NULLMAILER_HELOHOST", "a b"), "NULLMAILER_HELOHOST: \\\"a b\\\" "),
        (("NULLMAILER_REMOTES", "h\nh smtp prot=1"), "NULLMAILER_REMOTES:2: unknown option prot"),
    ] {
        let log = one_pass(&house, &[set]);
        let line = line.replace('\\', "");
        assert!(log.contains(&format!("Could not load the config: {line}")), "{log}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_its_variable_and_the_mail_waits() {
    let house = House::new();
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    let missing = house.path("nowhere").display().to_string();
    let set = [("NULLMAILER_REMOTES_FILE", missing.as_str())];
    let log = one_pass(&house, &set);
    let line = format!("cannot read {missing} (NULLMAILER_REMOTES_FILE): No such file");
    assert!(log.contains(&line), "{log}");
    assert_eq!(house.queued().len(), 1);
    let set = [("NULLMAILER_ME_FILE", missing.as_str())];
    with(&house, &set, "sendmail", &["a@x.example"]).exit(78).complains("(NULLMAILER_ME_FILE): ");
}

#[test]
fn a_value_and_a_file_for_the_same_thing_are_an_error() {
    let house = House::new();
    house.control("other", "b.example");
    let file = house.path("conf/other").display().to_string();
    let both = [("NULLMAILER_ME", "a.example"), ("NULLMAILER_ME_FILE", file.as_str())];
    let ran = with(&house, &both, "nullmailer-inject", &["-n", "a@x.example"]).exit(78);
    ran.complains("NULLMAILER_ME: NULLMAILER_ME_FILE is set too: unset one");
    // An empty one counts as unset.
    let one = [("NULLMAILER_ME", ""), ("NULLMAILER_ME_FILE", file.as_str())];
    let ran = with(&house, &one, "nullmailer-inject", &["-n", "bare"]).success();
    assert!(ran.stdout.contains("@b.example>"), "{}", ran.stdout);
}

#[test]
fn a_secret_file_may_end_as_editors_and_windows_end_it_but_holds_no_nul() {
    let sink = Sink::new();
    let house = House::new();
    let file = house.path("conf/secret").display().to_string();
    let set = [("NULLMAILER_REMOTES_FILE", file.as_str())];
    let line = sink.remote("").trim_end().to_owned();
    for (end, served) in [("", 1), ("\n", 2), ("\r\n", 3), ("\r\n\r\n", 4)] {
        house.control("secret", &format!("{line}{end}"));
        house.run("sendmail", ["a@x.example"], MESSAGE).success();
        one_pass(&house, &set);
        assert_eq!(sink.messages().len(), served, "{end:?}");
    }
    house.control("secret", &format!("{line}\0\n"));
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    let log = one_pass(&house, &set);
    assert!(log.contains(&format!("Could not load the config: {file}:1: holds a NUL")), "{log}");
    assert_eq!(house.queued().len(), 1);
}

#[test]
fn the_environment_wins_over_the_files() {
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", "nowhere.invalid").control("me", "file.example");
    let remotes = format!("# several lines\n{}\n", sink.remote(""));
    let set = [("NULLMAILER_REMOTES", remotes.as_str()), ("NULLMAILER_ME", "env.example")];
    with(&house, &set, "sendmail", &["-odi", "a@x.example"]).success();
    let got = sink.only_message().text();
    assert!(got.contains("\nMessage-Id: <") && got.contains("@env.example>\n"), "{got}");
}

#[test]
fn a_file_is_read_anew_at_each_run() {
    let sink = Sink::new();
    let house = House::new();
    let file = house.path("conf/secret");
    let mut command = house.command("nullmailer-send");
    command.env("NULLMAILER_REMOTES_FILE", &file);
    let daemon = Daemon::spawn(command);
    daemon.wait_for_line("(NULLMAILER_REMOTES_FILE): ");
    house.control("secret", &sink.remote(""));
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    daemon.wait_for_line("Delivery complete, 0 message(s) remain.");
    assert_eq!(sink.messages().len(), 1);
}

#[test]
fn the_daemon_names_a_wrong_variable_in_one_line_and_sendmail_is_silent() {
    let house = House::new();
    let wrong = [("NULLMAILER_REMOTE", "h")];
    let log = one_pass(&house, &wrong);
    let named: Vec<_> = log.lines().filter(|line| line.contains("NULLMAILER_REMOTE:")).collect();
    let line =
        "caution about=\"NULLMAILER_REMOTE: no such variable, NULLMAILER_REMOTES is the nearest\"";
    assert_eq!(named, [line]);
    let ran = with(&house, &wrong, "sendmail", &["a@x.example"]).success();
    assert_eq!(ran.stderr, "");
}

#[test]
fn the_variables_of_the_original_name_no_control_file() {
    let house = House::new();
    let set = [("NULLMAILER_NAME", "A Name"), ("NULLMAILER_USER", "u"), ("NULLMAILER_HOST", "h")];
    let ran = with(&house, &set, "nullmailer-inject", &["-n", "a@x.example"]).success();
    assert_eq!(ran.stderr, "");
    let mut bare = house.command("nullmailer-inject");
    bare.args(["-n", "a@x.example"]).envs(set);
    let found = run(&mut bare, "\n").success().stdout;
    assert!(found.contains("From: A Name <u@h.q.d.n>\n"), "{found}");
}

/// Writes what it has been given into `env`, and is a `passcmd`, a protocol or a queue program.
fn plant(house: &House, name: &str) -> String {
    let path = house.path(name);
    let mut write = std::process::Command::new("sh");
    write.args(["-c", "cat >\"$0\" && chmod +x \"$0\""]).arg(&path);
    let report = house.path("seen").display().to_string();
    run(&mut write, format!("#!/bin/sh\nenv >>'{report}'\necho word\nexit 0\n")).success();
    path.display().to_string()
}

#[test]
fn no_program_that_we_run_is_given_the_passwords_of_others() {
    let sink = Sink::new().offers(&["AUTH PLAIN"]);
    for kind in ["passcmd", "protocol", "queue"] {
        let house = House::new();
        let program = plant(&house, if kind == "protocol" { "protocols/dummy" } else { "program" });
        let first = match kind {
            "protocol" => "h.example dummy".to_owned(),
            _ => sink.remote(&format!("user=u passcmd='{program}'")).trim_end().to_owned(),
        };
        let remotes = format!("{first}\nother.invalid smtp user=u pass=hunter2");
        let set = [
            ("NULLMAILER_REMOTES", remotes.as_str()),
            ("NULLMAILER_ME", "env.example"),
            ("SOME_TOKEN", "hunter3"),
            ("LC_TIME", "C"),
            ("TZ", "UTC"),
        ];
        if kind == "queue" {
            let set = [&set[..], &[("NULLMAILER_QUEUE", &program)]].concat();
            with(&house, &set, "sendmail", &["a@x.example"]).success();
        } else {
            with(&house, &set, "sendmail", &["-odi", "a@x.example"]).success();
        }
        let seen = std::fs::read_to_string(house.path("seen")).unwrap();
        let has = |part: &str| seen.lines().any(|line| line.starts_with(part));
        assert!(!seen.contains("hunter2"), "{kind}: {seen}");
        assert!(has("PATH=") && has("LC_TIME=C") && has("TZ=UTC"), "{kind}: {seen}");
        assert_eq!(has("HELOHOST=env.example"), kind == "protocol", "{kind}: {seen}");
        // A queue program has its caller's environment, but for that.
        assert_eq!(has("NULLMAILER_ME=") || has("SOME_TOKEN="), kind == "queue", "{kind}: {seen}");
    }
}
