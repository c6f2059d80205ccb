//! Logging in: what goes over the wire, what comes of a refusal, and who may listen.

use std::fmt::Write as _;

use crate::daemon::Daemon;
use crate::house::{House, Ran};
use crate::smarthost::{Certificates, Dialogue, Sink};
use crate::smtp::smtp;

const MAIL: &str = "s@x.example\na@x.example\n\nSubject: x\n\nbody\n";

/// Greeting and EHLO of a server that offers `mechanisms`, the exchange, and after a success the mail.
fn dialogue(mechanisms: &str, exchange: &str) -> String {
    let mut text = format!(
        "S: 220 smarthost.example ESMTP\nC: EHLO me.example\n\
         S: 250-smarthost.example\nS: 250 AUTH {mechanisms}\n{exchange}\n"
    );
    let succeeds = exchange.lines().next_back().is_some_and(|last| last.trim().starts_with("S: 2"));
    let rest = if succeeds {
        "C: MAIL FROM:<s@x.example>\nS: 250 ok\nC: RCPT TO:<a@x.example>\nS: 250 ok\n\
         C: DATA\nS: 354 go\nC: ...\nS: 250 taken\nC: QUIT\nS: 221 bye"
    } else {
        ""
    };
    writeln!(text, "{rest}").unwrap();
    text
}

/// Runs the program against the dialogue; the client must have said just what is written.
fn log_in(options: &[&str], mechanisms: &str, exchange: &str) -> Ran {
    let host = Dialogue::play(&dialogue(mechanisms, exchange));
    let port = format!("--port={}", host.port());
    let ran = smtp(&House::new(), &[&[port.as_str()], options].concat(), MAIL);
    assert_eq!(host.played().departed, None, "{}", ran.stderr);
    ran
}

const USER: &[&str] = &["--user=u", "--pass=hunter2"];

#[test]
fn plain_goes_out_in_one_command_with_no_identity_but_the_user() {
    log_in(USER, "PLAIN LOGIN", "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 235 2.7.0 ok").success();
    // The original takes any 2yz.
    log_in(USER, "PLAIN", "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 250 ok").success();
    log_in(&["--user=", "--pass="], "PLAIN", "C: AUTH PLAIN AAA=\nS: 235 ok").success();
}

#[test]
fn the_obsolete_form_of_the_offer_counts_and_case_does_not() {
    let exchange = "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 235 ok";
    for offer in ["AUTH=plain", "auth Plain"] {
        let text = dialogue("X", exchange).replace("AUTH X", offer);
        let host = Dialogue::play(&text);
        let port = format!("--port={}", host.port());
        smtp(&House::new(), &[&port, USER[0], USER[1]], MAIL).success();
        assert_eq!(host.played().departed, None);
    }
}

#[test]
fn login_answers_in_order_whatever_the_challenge_says() {
    for challenge in ["334 UGFzc3dvcmQ6", "334 UGFzc3dvcnQ", "334 ?", "334", "350 go on"] {
        let exchange = format!("C: AUTH LOGIN dQ==\nS: {challenge}\nC: aHVudGVyMg==\nS: 250 ok");
        log_in(&[USER, &["--auth-login"]].concat(), "PLAIN", &exchange).success();
        log_in(USER, "LOGIN", &exchange).success();
    }
}

#[test]
fn a_refused_login_delays_mail_and_says_what_the_server_said() {
    for (reply, code) in [
        ("450 4.7.0 later", 16),
        ("454 4.7.0 later", 16),
        ("535 5.7.8 no", 20),
        ("550 no", 20),
        ("534 5.7.9 use an application password", 20),
    ] {
        let exchange = format!("C: AUTH PLAIN AHUAaHVudGVyMg==\nS: {reply}\nC: QUIT");
        let ran = log_in(USER, "PLAIN LOGIN", &exchange).exit(code);
        assert!(ran.stderr.contains(&format!("login: server said {reply}")), "{}", ran.stderr);
        let exchange = format!(
            "C: AUTH LOGIN dQ==\nS: 334 UGFzc3dvcmQ6\nC: aHVudGVyMg==\nS: {reply}\nC: QUIT"
        );
        log_in(USER, "LOGIN", &exchange).exit(code);
    }
}

#[test]
fn a_mechanism_that_the_server_does_not_know_after_all_is_passed_over() {
    let exchange = "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 504 5.5.4 no\n\
                    C: AUTH LOGIN dQ==\nS: 334 x\nC: aHVudGVyMg==\nS: 235 ok";
    log_in(USER, "LOGIN PLAIN", exchange).success();
    let exchange = "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 504 5.5.4 no\nC: QUIT";
    log_in(USER, "PLAIN", exchange).exit(20);
}

#[test]
fn a_server_that_asks_for_more_is_told_that_there_is_no_more() {
    let exchange = "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 334 \nC: *\nS: 501 cancelled\n> nothing";
    log_in(USER, "PLAIN", exchange).exit(16).complains("asks for more");
    let exchange =
        "C: AUTH LOGIN dQ==\nS: 334 x\nC: aHVudGVyMg==\nS: 334 x\nC: *\nS: 501 no\n> nothing";
    log_in(USER, "LOGIN", exchange).exit(16).complains("asks for more");
    // And one that takes the cancellation for a success is not believed.
    let exchange = "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 334 \nC: *\nS: 235 welcome\n> nothing";
    let text = dialogue("PLAIN", "").replace("\n\n", "\n") + exchange;
    let host = Dialogue::play(&text);
    smtp(&House::new(), &[&format!("--port={}", host.port()), USER[0], USER[1]], MAIL).exit(16);
    assert_eq!(host.played().departed, None);
}

#[test]
fn a_server_that_offers_nothing_of_ours_gets_no_password() {
    let ran = log_in(USER, "GSSAPI NTLM", "> nothing").exit(16);
    assert!(ran.stderr.contains("server offers GSSAPI, NTLM"), "{}", ran.stderr);
    let sink = Sink::new();
    smtp(&House::new(), &[&format!("--port={}", sink.port()), USER[0], USER[1]], MAIL)
        .exit(16)
        .complains("server offers no login at all");
    assert!(sink.messages().is_empty());
}

#[test]
fn external_names_nobody_unless_it_is_told_to() {
    log_in(&["--auth-external"], "EXTERNAL", "C: AUTH EXTERNAL =\nS: 235 ok").success();
    log_in(&["--auth-external", "--user=u"], "EXTERNAL", "C: AUTH EXTERNAL =\nS: 235 ok").success();
    log_in(&["--auth=external", "--user=u"], "EXTERNAL", "C: AUTH EXTERNAL dQ==\nS: 235 ok")
        .success();
    log_in(&["--auth-external"], "EXTERNAL", "C: AUTH EXTERNAL =\nS: 535 no\nC: QUIT").exit(20);
    let asked = "C: AUTH EXTERNAL =\nS: 334 \nC: *\nS: 501 no\n> nothing";
    log_in(&["--auth-external"], "EXTERNAL", asked).exit(16);
    log_in(&["--auth-external"], "PLAIN", "> nothing").exit(16);
}

#[test]
fn the_order_asked_for_decides_among_what_is_offered() {
    let options = [USER, &["--auth=scram-sha-256,cram-md5,plain"]].concat();
    let exchange = "C: AUTH CRAM-MD5\n\
                    S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n\
                    C: dSAzZDE5NzM5YjNkNmMxNGQyMTY4YmFhMjRhODFiYTU0Nw==\nS: 235 ok";
    log_in(&options, "PLAIN CRAM-MD5", exchange).success();
}

#[test]
fn a_scram_server_that_does_not_prove_itself_is_not_believed() {
    let options = [USER, &["--auth=scram-sha-256"]].concat();
    let exchange = "C: AUTH SCRAM-SHA-256 biwsbj11LHI9*\nS: 235 welcome\n> nothing";
    let text = dialogue("SCRAM-SHA-256", "").replace("\n\n", "\n") + exchange;
    let host = Dialogue::play(&text);
    let port = format!("--port={}", host.port());
    let ran = smtp(&House::new(), &[&[port.as_str()], &options[..]].concat(), MAIL).exit(16);
    assert!(ran.stderr.contains("did not prove"), "{}", ran.stderr);
    assert_eq!(host.played().departed, None);
}

#[test]
fn a_refused_token_is_heard_out() {
    // {"status":"401"}
    let error = "334 eyJzdGF0dXMiOiI0MDEifQ==";
    let exchange = format!(
        "C: AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIGh1bnRlcjIBAQ==\nS: {error}\nC:\nS: 535 5.7.8 expired\nC: QUIT"
    );
    let ran = log_in(&[USER, &["--auth=xoauth2"]].concat(), "XOAUTH2", &exchange).exit(20);
    assert!(ran.stderr.contains("535 5.7.8 expired"), "{}", ran.stderr);
    let exchange =
        format!("C: AUTH OAUTHBEARER *\nS: {error}\nC: AQ==\nS: 535 5.7.8 expired\nC: QUIT");
    log_in(&[USER, &["--auth=oauthbearer"]].concat(), "OAUTHBEARER", &exchange).exit(20);
}

#[test]
fn what_does_not_fit_a_command_waits_for_a_challenge() {
    let token = format!("--pass={}", "t".repeat(9000));
    let exchange = "C: AUTH XOAUTH2\nS: 334 \nC: dXNlcj11*\nS: 235 ok";
    log_in(&["--user=u", &token, "--auth=xoauth2"], "XOAUTH2", exchange).success();
}

#[test]
fn a_password_from_a_file_or_a_command_is_read_for_each_login() {
    let house = House::new();
    house.control("secret", "hunter2\nnot this\n");
    let file = format!("--passfile={}", house.path("conf/secret").display());
    let exchange = "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 235 ok";
    log_in(&["--user=u", &file], "PLAIN", exchange).success();
    log_in(&["--user=u", "--passcmd=echo hunt''er2; echo not this"], "PLAIN", exchange).success();
    log_in(&["--user=u", "--passfile=/nowhere"], "PLAIN", "> nothing")
        .exit(16)
        .complains("cannot read passfile /nowhere");
    log_in(&["--user=u", "--passcmd=exit 7"], "PLAIN", "> nothing")
        .exit(16)
        .complains("exit status: 7");
}

#[test]
fn a_password_is_never_printed() {
    for exchange in [
        "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 235 ok",
        "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 535 no\nC: QUIT",
        "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: nonsense\n> nothing",
        "C: AUTH PLAIN AHUAaHVudGVyMg==\n> close",
        "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 334 \nC: *\n> close",
    ] {
        let ran = log_in(USER, "PLAIN", exchange);
        for word in ["hunter2", "AHUAaHVudGVyMg"] {
            assert!(!(ran.stdout.clone() + &ran.stderr).contains(word), "{}", ran.stderr);
        }
    }
}

#[test]
fn an_offer_made_before_tls_does_not_count_after_it() {
    let certificates = Certificates::new();
    let house = House::new();
    house.control("ca.pem", &certificates.authority);
    let ca = format!("--x509cafile={}", house.path("conf/ca.pem").display());
    let before = "S: 220 h\nC: EHLO me.example\nS: 250-h\nS: 250-STARTTLS\nS: 250 AUTH PLAIN\n\
                  C: STARTTLS\nS: 220 go\n> tls\nC: EHLO me.example\n";
    let host = Dialogue::secure(&format!("{before}S: 250 h\n> nothing"), Some(&certificates));
    let port = format!("--port={}", host.port());
    let options = [&port, "--starttls", &ca, USER[0], USER[1]];
    smtp(&house, &options, MAIL).exit(16).complains("no login at all");
    assert_eq!(host.played().departed, None);
}

#[test]
fn a_passcmd_that_has_ended_is_not_waited_for_whatever_it_left_behind() {
    let house = House::new();
    let pid = house.path("pid").display().to_string();
    // In a session of its own, with the output that was the password's.
    let leave = format!("setsid sh -c 'echo $$ >{pid}; exec sleep 1000 2>&-' 2>&- &");
    let wait = format!("until test -s {pid}; do sleep 0.01; done");
    let host = Dialogue::play(&dialogue("PLAIN", "C: AUTH PLAIN AHUAaHVudGVyMg==\nS: 235 ok"));
    let port = format!("--port={}", host.port());
    let command = format!("--passcmd=echo hunter2; {leave} {wait}");
    let begun = std::time::Instant::now();
    smtp(&house, &[&port, "--user=u", &command], MAIL).success();
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_eq!(host.played().departed, None);
    let left = std::fs::read_to_string(&pid).unwrap();
    assert!(std::process::Command::new("kill").arg(left.trim()).status().unwrap().success());
}

const PASSWORD: &str = "correct horse=battery9";

/// Whatever is long enough to be told from any text, of the password or of what was sent of it in base64.
fn shows_secret(text: &str, sent: &[&str]) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let parts = [&[PASSWORD], sent].concat().into_iter().flat_map(|secret| {
        let bytes: Vec<_> = secret.to_ascii_lowercase().bytes().collect();
        bytes.windows(8).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect::<Vec<_>>()
    });
    parts.into_iter().find(|part| text.contains(part.as_str()))
}

/// Replies to AUTH that quote it, whole or in part, and one in the middle of a base64 of the server's own.
#[test]
fn a_password_that_the_server_quotes_is_kept_nowhere() {
    // "\0u@x.example\0" and the password; the password; "pw=" and the password and "!".
    let plain = "AHVAeC5leGFtcGxlAGNvcnJlY3QgaG9yc2U9YmF0dGVyeTk=";
    let alone = "Y29ycmVjdCBob3JzZT1iYXR0ZXJ5OQ==";
    let aside = "IHB3PWNvcnJlY3QgaG9yc2U9YmF0dGVyeTkh";
    let quotations = [
        format!("500 5.5.1 unrecognized: \"AUTH PLAIN {plain}\""),
        format!("500-5.5.1 {}\nS: 500 {}", &plain[..30], &plain[20..]),
        format!("535 5.7.8 no {}", plain.to_uppercase()),
        format!("535 5.7.8 wrong password '{PASSWORD}' for u@x.example"),
        format!("535 5.7.8 wrong password {}", PASSWORD.to_uppercase()),
        format!("454 4.7.0 {} and {}", &PASSWORD[..9], &PASSWORD[10..]),
        format!("454 4.7.0 {aside} {alone}"),
        format!("AUTH PLAIN {plain}: what?"),
    ];
    for quotation in &quotations {
        let house = House::new();
        let host = Dialogue::play(&format!(
            "S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH *\nS: {quotation}\n> anything"
        ));
        let options = format!("--user=u@x.example '--pass={PASSWORD}'");
        house.control("remotes", &format!("127.0.0.1 smtp --port={} {options}\n", host.port()));
        let daemon = Daemon::start(&house);
        house.run("nullmailer-queue", [""; 0], MAIL).success();
        daemon.wait_for_line("Sending failed: ");
        let mailq = house.run("mailq", [""; 0], "").success().stdout;
        let mut kept = daemon.stop_with_log();
        host.played();
        let journal = house.path("queue/status").join(house.only_queued().id);
        kept.extend([mailq, std::fs::read_to_string(journal).unwrap()]);
        let kept = kept.join("\n");
        assert_eq!(shows_secret(&kept, &[plain, alone, aside]), None, "{quotation}: {kept}");
        assert!(kept.contains("[secret]"), "{kept}");
    }
}

#[test]
fn a_password_that_the_server_quotes_later_is_in_no_bounce() {
    for (mechanism, exchange, sent) in [
        ("PLAIN", "", "AHVAeC5leGFtcGxlAGNvcnJlY3QgaG9yc2U9YmF0dGVyeTk="),
        ("LOGIN", "S: 334 x\nC: *\n", "Y29ycmVjdCBob3JzZT1iYXR0ZXJ5OQ=="),
        // What the password can be guessed with, in a dictionary.
        (
            "CRAM-MD5",
            "S: 334 PDFAaD4=\nC: *\n",
            "dUB4LmV4YW1wbGUgNzQ1ZmExYWUzMjJjYmI3NmJjODZjM2MzYThlNTQxMTE=",
        ),
        ("XOAUTH2", "", "dXNlcj11QHguZXhhbXBsZQFhdXRoPUJlYXJlciBjb3JyZWN0IGhvcnNlPWJhdHRlcnk5AQE="),
    ] {
        let house = House::new();
        let host = Dialogue::play(&format!(
            "S: 220 hi
             C: EHLO *
             S: 250-hi
             S: 250 AUTH {mechanism}
             C: AUTH *
             {exchange}S: 235 ok
             C: MAIL *
             S: 250 ok
             C: RCPT *
             S: 550-5.1.1 no such user; you are {PASSWORD}
             S: 550 5.1.1 you said {sent}
             C: RSET
             S: 250 ok
             > anything"
        ));
        let options = format!("--auth={mechanism} --user=u@x.example '--pass={PASSWORD}'");
        house.control("remotes", &format!("127.0.0.1 smtp --port={} {options}\n", host.port()));
        let daemon = Daemon::start(&house);
        house.run("nullmailer-queue", [""; 0], MAIL).success();
        daemon.wait_for_line("bounce");
        let mut kept = daemon.stop_with_log();
        for folder in ["queue/queue", "queue/failed"] {
            for file in std::fs::read_dir(house.path(folder)).unwrap() {
                kept.push(std::fs::read_to_string(file.unwrap().path()).unwrap());
            }
        }
        let kept = kept.join("\n");
        assert!(kept.contains("no such user"), "{kept}");
        assert_eq!(shows_secret(&kept, &[sent]), None, "{mechanism}: {kept}");
    }
}

#[test]
fn a_password_that_is_a_word_of_the_protocol_hides_nothing_of_it_and_is_kept_nowhere() {
    let options = ["--user=u", "--pass=plain"];
    log_in(&options, "PLAIN", "C: AUTH PLAIN AHUAcGxhaW4=\nS: 235 ok").success();
    let exchange = "C: AUTH PLAIN AHUAcGxhaW4=\nS: 535 no plain, AHUAcGxhaW4=\nC: QUIT";
    let ran = log_in(&options, "PLAIN", exchange).exit(20);
    assert!(ran.stderr.contains("535 no [secret], [secret]"), "{}", ran.stderr);
}
