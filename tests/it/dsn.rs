//! nullmailer-dsn: the reports it makes, as a mail program reads them.

use std::process::Stdio;

use crate::house::{House, Ran, has};
use crate::report::assert_lines;

const MAIL: &str = "root@h.example\ngone@x.example\nb@y.example\n\n\
                    Received: (nullmailer pid 1 invoked by uid 0);\n\tdate\nSubject: test\n\n\
                    one\ntwo\nthree\n";

/// What a mail program finds in the report, which stands behind its envelope.
#[track_caller]
fn read(output: &str) -> String {
    let (_, report) = output.split_once("\n\n").expect("an envelope and a message");
    crate::report::read(report)
}

fn dsn(house: &House, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    house.run("nullmailer-dsn", args, input)
}

#[test]
fn a_report_is_read_by_mail_programs() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let args = [
        "--remote=smart.example",
        "--diagnostic-code=SMTP; 550 5.1.1 no such mailbox",
        "--envelope-id=job 7",
        "--orig-timestamp=1795382142",
        "--last-attempt=1795382200",
        "5.1.1",
    ];
    let ran = dsn(&house, &args, MAIL).success();
    assert!(ran.stdout.starts_with("\nroot@h.example\n\nFrom: "), "{}", ran.stdout);
    assert_lines(
        &read(&ran.stdout),
        &[
            "from: 'Message Delivery Subsystem <MAILER-DAEMON@f.q.d.n>'",
            "to: 'root@h.example'",
            "original: 'message/rfc822'",
            "subject: 'test'",
            "body: ''",
            "Reporting-MTA: 'x-local-hostname; f.q.d.n'",
            "Arrival-Date: 'Sun, 22 Nov 2026 21:15:42 +0000'",
            "Original-Envelope-Id: 'job 7'",
            "1.Final-Recipient: 'rfc822; gone@x.example'",
            "1.Action: 'failed'",
            "1.Status: '5.1.1'",
            "1.Last-Attempt-Date: 'Sun, 22 Nov 2026 21:16:40 +0000'",
            "1.Remote-MTA: 'dns; smart.example'",
            "1.Diagnostic-Code: 'SMTP; 550 5.1.1 no such mailbox'",
            "2.Final-Recipient: 'rfc822; b@y.example'",
            "2.Status: '5.1.1'",
        ],
    );
}

#[test]
fn what_a_server_said_cannot_forge_a_report() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let said =
        "SMTP; 550 no\r\nStatus: 2.0.0\n\n--x--\nAction: delivered \u{1b}[2J r\u{e9}fus\u{e9} ";
    let args = ["--diagnostic-code", &(said.to_owned() + &"x".repeat(3000)), "5.7.1"];
    let found = read(&dsn(&house, &args, MAIL).success().stdout);
    assert_lines(&found, &["1.Status: '5.7.1'", "1.Action: 'failed'", "2.Status: '5.7.1'"]);
    let code = found.lines().find(|line| line.starts_with("1.Diagnostic-Code: ")).unwrap();
    assert!(code.contains("r\\\\x{E9}fus\\\\x{E9}"), "{code}");
}

#[test]
fn a_host_name_or_id_from_outside_cannot_add_a_field() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let args = ["--remote=evil\nStatus: 2.0.0", "5.0.0"];
    assert_lines(&read(&dsn(&house, &args, MAIL).success().stdout), &["1.Status: '5.0.0'"]);
    dsn(&house, &["--envelope-id=a\nStatus: 2.0.0", "5.0.0"], MAIL).exit(64).complains("envelope");
}

#[test]
fn the_report_goes_to_the_sender_or_where_bounceto_says() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    house.control("bounceto", "bounces@h.example\n");
    let ran = dsn(&house, &["5.0.0"], MAIL).success();
    assert!(ran.stdout.starts_with("\nbounces@h.example\n\n"), "{}", ran.stdout);
    assert_lines(&read(&ran.stdout), &["to: 'root@h.example'"]);
}

#[test]
fn a_report_on_a_report_goes_to_the_administrator_or_nowhere() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let bounce = "\na@x.example\n\nSubject: x\n\n";
    dsn(&house, &["5.0.0"], bounce).exit(78).complains("neither doublebounceto nor adminaddr");
    house.control("adminaddr", "admin@h.example, other@h.example");
    let ran = dsn(&house, &["5.0.0"], bounce).success();
    assert!(ran.stdout.starts_with("#@[]\nadmin@h.example\nother@h.example\n\n"), "{}", ran.stdout);
    house.control("doublebounceto", "double@h.example");
    let ran = dsn(&house, &["5.0.0"], bounce).success();
    assert!(ran.stdout.starts_with("#@[]\ndouble@h.example\n\n"), "{}", ran.stdout);
    assert_lines(&read(&ran.stdout), &["to: 'double@h.example'"]);
    // Both ends of the pipe are ours: the mark becomes the null sender.
    house.run("nullmailer-queue", [""; 0], ran.stdout).success();
    assert_eq!(house.only_queued().sender, "");
}

#[test]
fn a_report_carries_as_much_of_the_body_as_is_asked_for() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let body = |args: &[&str]| {
        let found = read(&dsn(&house, args, MAIL).success().stdout);
        found.lines().find_map(|line| line.strip_prefix("body: ")).unwrap().to_owned()
    };
    assert_eq!(body(&["5.0.0"]), "''");
    assert_eq!(body(&["--max-lines=0", "5.0.0"]), "''");
    assert_eq!(body(&["--max-lines=1", "5.0.0"]), "'one\\n'");
    assert_eq!(body(&["--max-lines", "2", "5.0.0"]), "'one\\ntwo\\n'");
    assert_eq!(body(&["--max-lines", "-1", "5.0.0"]), "'one\\ntwo\\nthree\\n'");
    house.control("bouncelines", "2\n");
    assert_eq!(body(&["5.0.0"]), "'one\\ntwo\\n'");
    assert_eq!(body(&["--max-lines=1", "5.0.0"]), "'one\\n'");
    house.control("bouncelines", "-1\n");
    assert_eq!(body(&["5.0.0"]), "'one\\ntwo\\nthree\\n'");
    house.control("bouncelines", "some\n");
    dsn(&house, &["5.0.0"], MAIL).exit(78).complains("bouncelines:1: \"some\" is not a whole");
}

#[test]
fn a_delay_is_told_with_its_end_and_without_alarm() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let args = ["--retry-until=1795400000", "4.2.2"];
    let found = read(&dsn(&house, &args, MAIL).success().stdout);
    assert_lines(
        &found,
        &[
            "1.Action: 'delayed'",
            "1.Status: '4.2.2'",
            "1.Will-Retry-Until: 'Mon, 23 Nov 2026 02:13:20 +0000'",
        ],
    );
    assert!(found.contains("There is nothing that you need to do now."), "{found}");
    let found = read(&dsn(&house, &["5.2.2"], MAIL).success().stdout);
    assert!(!found.contains("Will-Retry-Until"), "{found}");
}

#[test]
fn eight_bits_are_announced_and_seven_are_not_called_eight() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let mail = "r@h.example\na@x.example\n\nSubject: x\n\nj\u{f6}\n";
    // A file can be looked at first.
    let file = house.path("mail");
    std::fs::write(&file, mail).unwrap();
    let from_file = |args: &[&str]| {
        let mut command = house.command("nullmailer-dsn");
        command.args(args).stdin(Stdio::from(std::fs::File::open(&file).unwrap()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        read(&String::from_utf8(output.stdout).unwrap())
    };
    assert_lines(&from_file(&["--max-lines=0", "5.0.0"]), &["encoding: '7bit'"]);
    assert_lines(&from_file(&["--max-lines=1", "5.0.0"]), &["encoding: '8bit'"]);
    // A pipe cannot.
    let found = read(&dsn(&house, &["--max-lines=1", "5.0.0"], mail).success().stdout);
    assert_lines(&found, &["encoding: '8bit'", "body: 'j\u{f6}\\n'"]);
}

#[test]
fn an_address_beyond_ascii_is_reported_in_ascii() {
    if !has("python3") {
        return;
    }
    let house = House::new();
    let mail = "r@h.example\nj\u{f6}@b\u{fc}cher.example\n\nSubject: x\n\n";
    let found = read(&dsn(&house, &["5.1.1"], mail).success().stdout);
    assert_lines(
        &found,
        &[
            r"1.Final-Recipient: 'utf-8; j\\x{F6}@b\\x{FC}cher.example'",
            "original: 'message/global'",
            "encoding: '8bit'",
        ],
    );
    assert!(found.contains("<j\u{f6}@b\u{fc}cher.example>"), "{found}");
}

#[test]
fn what_is_no_status_or_no_message_is_refused() {
    let house = House::new();
    for status in ["", "2.0.0", "5.1", "7.0.0", "5.1.1.1", "5.01.1", "x"] {
        dsn(&house, &[status], MAIL).exit(64).complains("a status is 4.X.Y or 5.X.Y");
    }
    dsn(&house, &[], MAIL).exit(64).complains("<STATUS>");
    dsn(&house, &["5.0.0", "5.0.0"], MAIL).exit(64).complains("unexpected argument");
    dsn(&house, &["--max-lines=x", "5.0.0"], MAIL).exit(64).complains("--max-lines");
    for time in ["--last-attempt", "--orig-timestamp", "--retry-until"] {
        for beyond in ["253402300800", "-62135596801", "9223372036854775807", "soon"] {
            dsn(&house, &["4.0.0", time, beyond], MAIL).exit(64).complains(time);
        }
    }
    dsn(&house, &["5.0.0"], "").exit(65).complains("no sender line");
    dsn(&house, &["5.0.0"], "a@b\n\nbody\n").exit(64).complains("no recipients");
    let ran = dsn(&house, &["5.0.0"], "\u{1b}[2J@b\n\n\n").exit(65).complains("control character");
    assert!(!ran.stderr.contains('\u{1b}'));
}

#[test]
fn help_is_no_error() {
    let house = House::new();
    let ran = dsn(&house, &["--help"], "").success();
    assert!(ran.stdout.contains("--diagnostic-code") && ran.stderr.is_empty());
}

#[test]
fn output_that_nobody_takes_is_an_error_and_no_panic() {
    let house = House::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mail = house.path("mail");
    std::fs::write(&mail, MAIL).unwrap();
    let mut command = house.command("nullmailer-dsn");
    command.arg("5.0.0").stdin(std::fs::File::open(&mail).unwrap()).stdout(full);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}
