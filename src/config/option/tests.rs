//! What options mean, alone and together.

use super::*;

fn smtp(words: &[&str]) -> Result<Remote, String> {
    let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    parse(Some("h.example".to_owned()), Protocol::Smtp, &words, 2)
}

#[track_caller]
fn refused(words: &[&str]) -> String {
    smtp(words).expect_err("it should have been refused")
}

#[test]
fn an_option_is_the_same_with_and_without_dashes() {
    for words in [["port=2525", "starttls"], ["--port=2525", "--starttls"], ["-p2525", "starttls"]]
    {
        let remote = smtp(&words).unwrap();
        assert_eq!((remote.port, remote.security), (Some(2525), Security::StartTls), "{words:?}");
    }
    assert_eq!(smtp(&["-", "--", "help"]), Ok(Remote::new("h.example", Protocol::Smtp)));
}

#[test]
fn two_words_are_no_option_and_the_error_says_how_to_write_it() {
    assert_eq!(refused(&["port", "25"]), "port: write port=PORT");
    assert_eq!(refused(&["-p", "25"]), "port: write port=PORT");
    assert_eq!(refused(&["tls=1"]), "tls: takes no value");
    assert_eq!(refused(&["-p=25"]), "port: takes a number up to 65535");
    assert_eq!(refused(&["prot=1"]), "unknown option prot, port is the nearest");
    assert_eq!(refused(&["stattls"]), "unknown option stattls, starttls is the nearest");
}

#[test]
fn an_error_never_shows_a_password() {
    for words in [
        &["user=u", "pass=my", "hunter2"][..],
        &["user=u", "pass=hunter2", "passfile=/f"],
        &["pass=hunter2"],
        &["-pass=hunter2"],
        &["pas=hunter2"],
        &["user=u", "pass=hunter2\0"],
        &["user=u", "passcmd=echo", "hunter2"],
        &["user=u", "hunter2"],
        &["user=u", "--hunter2"],
        &["user=u", "-hunter2"],
        &["user=u", "hunter2=x"],
        &["user=u", "Hunter2=", "pass=x"],
    ] {
        let flaw = refused(words);
        assert!(!flaw.to_lowercase().contains("hunter2"), "{flaw}");
    }
    assert!(refused(&["user=u", "tls", "hunter2"]).starts_with("word 5 is no option; "));
    let remote = smtp(&["user=u", "pass=hunter2"]).unwrap();
    assert!(!format!("{remote:?}").contains("hunter2"));
}

#[test]
fn the_port_is_the_protocols_own_unless_it_is_given() {
    let port = |words: &[&str]| smtp(words).unwrap().effective_port();
    assert_eq!(port(&[]), Some(25));
    assert_eq!(port(&["tls"]), Some(465));
    assert_eq!(port(&["ssl", "starttls"]), Some(465));
    assert_eq!(port(&["starttls"]), Some(25));
    assert_eq!(port(&["port=0"]), Some(25));
    assert_eq!(port(&["port="]), Some(25));
    assert_eq!(port(&["port=1", "port=+587"]), Some(587));
    for bad in ["port=-1", "port=65536", "port=smtp", "port=25 "] {
        assert!(refused(&[bad]).starts_with("port: "), "{bad}");
    }
    let qmqp = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(Some("h".to_owned()), Protocol::Qmqp, &words, 2).map(|r| r.effective_port())
    };
    assert_eq!(qmqp(&[]), Ok(Some(628)));
    assert_eq!(qmqp(&["tls", "port=6280"]), Ok(Some(6280)));
    assert!(qmqp(&["tls"]).unwrap_err().starts_with("port: "));
    assert!(qmqp(&["starttls"]).unwrap_err().starts_with("starttls: "));
    assert_eq!(qmqp(&["user=u"]), Ok(Some(628)));
}

#[test]
fn a_host_is_a_name_or_an_address_and_nothing_else() {
    for (given, meant) in [
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("under_score.example.", "under_score.example."),
    ] {
        assert_eq!(host(given).as_deref(), Ok(meant));
    }
    for bad in ["", "-x", "a b", "a/b", "[a.example]", "a\r\nb", "::g", "user@host", "user=u"] {
        assert!(host(bad).is_err(), "{bad}");
    }
    assert!(host("h.example:587").unwrap_err().ends_with("write h.example smtp port=587"));
    assert_eq!(smtp(&["host=other"]).unwrap().host, "other");
}

#[test]
fn a_login_is_whole_or_it_is_none() {
    let login = |words: &[&str]| smtp(words).unwrap().login.unwrap();
    assert_eq!(login(&["user=u", "pass=p", "auth-login"]).mechanisms, [Mechanism::Login]);
    assert_eq!(login(&["user=", "pass="]).user, "");
    let list = login(&["user=u", "passfile=/f", "auth=scram-sha-256,PLAIN"]);
    assert_eq!(list.mechanisms, [Mechanism::ScramSha256, Mechanism::Plain]);
    assert_eq!(list.secret, SecretSource::File("/f".into()));
    // The original's sends no user; ours may name whom to act for.
    assert_eq!(login(&["auth-login", "auth-external", "user=u", "pass=p"]).user, "");
    assert_eq!(login(&["auth=external", "user=u"]).user, "u");
    assert_eq!(smtp(&[]).unwrap().login, None);
    for (words, start) in [
        (&["user=u"][..], "user: "),
        (&["pass=p"], "user: "),
        (&["auth=plain"], "user: "),
        (&["user=u", "pass=p", "auth=ntlm"], "auth: "),
        (&["user=u", "pass=p", "auth="], "auth: "),
        (&["user=u", "pass=p", "auth=plain", "auth-login"], "auth-login: "),
        (&["user=u", "pass=p", "auth=plain", "auth-external"], "auth-external: "),
        (&["user=u", "pass=p", "passcmd=x"], "pass, passfile and passcmd: "),
        (&["user=u", "passfile="], "passfile: "),
    ] {
        let flaw = refused(words);
        assert!(flaw.starts_with(start), "{words:?}: {flaw}");
    }
}

#[test]
fn tls_options_that_contradict_each_other_are_refused() {
    let fingerprint = format!("tls-pin=sha256:{}", "aB:".repeat(32).trim_end_matches(':'));
    assert_eq!(smtp(&["tls", &fingerprint]).unwrap().tls.pins, [[0xab; 32]]);
    assert!(smtp(&["starttls", "tls-min=1.3"]).unwrap().tls.only_13);
    let both = smtp(&["tls", "x509certfile=/c"]).unwrap().tls.identity;
    assert_eq!(both, Some(("/c".into(), "/c".into())));
    // Idle, and always were.
    assert!(smtp(&["insecure", "x509cafile=/c"]).is_ok());
    for (words, start) in [
        (&["tls", "insecure", &fingerprint][..], "tls-pin: "),
        (&[&fingerprint], "tls-pin: "),
        (&["tls", "tls-pin=sha256:00"], "tls-pin: "),
        (&["tls", "tls-pin=sha1:00"], "tls-pin: "),
        (&["tls-name=x"], "tls-name: "),
        (&["tls-min=1.3"], "tls-min: "),
        (&["tls", "tls-min=1.1"], "tls-min: "),
        (&["tls", "x509keyfile=/k"], "x509keyfile: "),
        (&["tls", "tls-anon-auth"], "tls-anon-auth: must be used with insecure"),
        (&["insecure", "tls-anon-auth"], "tls-anon-auth: needs tls or starttls"),
        (&["tls", "insecure", "tls-anon-auth", "x509cafile=/c"], "tls-anon-auth: has no use"),
        (&["tls", "insecure", "tls-anon-auth", "x509certfile=/c"], "tls-anon-auth: has no use"),
        (&["tls", "insecure", "tls-anon-auth", "tls-name=x"], "tls-anon-auth: has no use"),
        (&["tls", "insecure", "tls-anon-auth", "tls-min=1.3"], "tls-anon-auth: there is none"),
        (&["tls", "insecure", "tls-anon-auth", &fingerprint], "tls-pin: "),
        (&["ipv4", "ipv6"], "ipv4 and ipv6: "),
        (&["timeout=0"], "timeout: "),
        (&["connections=0"], "connections: "),
        (&["messages=-1"], "messages: "),
    ] {
        let flaw = refused(words);
        assert!(flaw.starts_with(start), "{words:?}: {flaw}");
    }
}

#[test]
#[cfg(not(feature = "tls-anon-auth"))]
fn a_build_without_anonymous_tls_refuses_the_remote_and_says_what_to_do() {
    let flaw = refused(&["tls", "insecure", "tls-anon-auth"]);
    assert!(flaw.contains("this build has no anonymous TLS"), "{flaw}");
}

#[test]
#[cfg(feature = "tls-anon-auth")]
fn a_build_with_anonymous_tls_takes_the_remote() {
    for way in ["tls", "starttls"] {
        let tls = smtp(&[way, "insecure", "tls-anon-auth"]).unwrap().tls;
        assert_eq!(tls.verify, Verify::Anonymous);
    }
}
