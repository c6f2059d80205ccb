//! The command lines that real programs run, word for word, and what must come of each.
//!
//! `tests/callers.sh` runs the programs themselves where they can be installed.

use crate::house::{House, run};

struct Caller {
    name: &'static str,
    args: &'static [&'static str],
    input: &'static str,
    sender: &'static str,
    recipients: &'static [&'static str],
    /// The name in the generated From; `None` where the caller writes the field itself.
    author: Option<&'static str>,
}

const USER: &str = "daemon@f.q.d.n";

/// What cron and its like write.
const CRON: &str = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@h> job\nContent-Type: text/plain; charset=UTF-8\nX-Cron-Env: <LOGNAME=root>\n\noutput\n.\nmore\n";
const TO_ROOT: &str = "To: root\nSubject: report\n\nall is well\n.\nreally\n";
const WEB: &str = "To: Ann <ann@example.org>, bob@example.org\r\nSubject: Hi\r\nFrom: Shop <shop@example.com>\r\nCc: carl@example.org\r\nBcc: dora@example.org\r\n\r\nline\r\n.\r\nend\r\n";
const WEB_ALL: &[&str] =
    &["ann@example.org", "bob@example.org", "carl@example.org", "dora@example.org"];
const MAILER: &str = "From: App <app@example.com>\nTo: ann@example.org\nMessage-ID: <1@example.com>\nSubject: Hi\n\nbody\n.\nend\n";

const CALLERS: &[Caller] = &[
    Caller {
        name: "Vixie cron",
        args: &["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
        input: CRON,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: None,
    },
    Caller {
        name: "Vixie cron, job without output headers",
        args: &["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
        input: "just text\n",
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("CronDaemon"),
    },
    Caller {
        name: "cronie",
        args: &["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"],
        input: CRON,
        sender: "root@f.q.d.n",
        recipients: &["root@f.q.d.n"],
        author: None,
    },
    Caller {
        name: "classic ISC cron",
        args: &["-FCronDaemon", "-odi", "-oem", "-oi", "-t"],
        input: CRON,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: None,
    },
    Caller {
        name: "anacron",
        args: &["-FAnacron", "-odi", "root"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("Anacron"),
    },
    Caller {
        name: "bcron",
        args: &["-FCronDaemon", "-i", "-odi", "-oem", "root"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("CronDaemon"),
    },
    Caller {
        name: "busybox crond",
        args: &["-ti"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
    Caller {
        name: "systemd-cron 1",
        args: &["-i", "-B8BITMIME", "root"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
    Caller {
        name: "systemd-cron 2",
        args: &["-i", "-B", "8BITMIME", "root"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
    Caller {
        name: "atd",
        args: &["-i", "root"],
        input: "Subject: Output from your job        3\nTo: root\n\nx\n",
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
    Caller {
        name: "PHP mail()",
        args: &["-t", "-i"],
        input: WEB,
        sender: USER,
        recipients: WEB_ALL,
        author: None,
    },
    Caller {
        name: "PHP mail() with a fifth argument",
        args: &["-t", "-i", "-fbounce@example.com"],
        input: WEB,
        sender: "bounce@example.com",
        recipients: WEB_ALL,
        author: None,
    },
    Caller {
        name: "PHPMailer",
        args: &["-fbounce@example.com", "-i", "-t"],
        input: WEB,
        sender: "bounce@example.com",
        recipients: WEB_ALL,
        author: None,
    },
    Caller {
        name: "Symfony Mailer with -t",
        args: &["-i", "-fapp@example.com", "ann@example.org", "dora@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org", "dora@example.org"],
        author: None,
    },
    Caller {
        name: "Nextcloud, pipe",
        args: &["-t"],
        input: WEB,
        sender: USER,
        recipients: WEB_ALL,
        author: None,
    },
    Caller {
        name: "Ruby mail",
        args: &["-i", "-f", "app@example.com", "--", "ann@example.org", "-odd@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org", "-odd@example.org"],
        author: None,
    },
    Caller {
        name: "Ruby mail, exim variant",
        args: &["-i", "-t"],
        input: MAILER,
        sender: USER,
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "Perl Email::Sender",
        args: &["-i", "-f", "app@example.com", "--", "ann@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "nodemailer",
        args: &["-i", "-f", "app@example.com", "ann@example.org", "bob@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org", "bob@example.org"],
        author: None,
    },
    Caller {
        name: "lettre",
        args: &["-i", "-f", "app@example.com", "--", "ann@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "lettre, null sender",
        args: &["-i", "-f", "", "--", "ann@example.org"],
        input: MAILER,
        sender: "",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "git send-email",
        args: &["-f", "app@example.com", "-i", "ann@example.org", "list@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org", "list@example.org"],
        author: None,
    },
    Caller {
        name: "mutt",
        args: &[
            "-oem",
            "-oi",
            "-B8BITMIME",
            "-f",
            "app@example.com",
            "-N",
            "failure,delay",
            "-R",
            "hdrs",
            "--",
            "ann@example.org",
        ],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "bsd-mailx",
        args: &["-i", "root", "ann@example.org"],
        input: "To: root, ann@example.org\nSubject: x\n\nbody\n",
        sender: USER,
        recipients: &["root@f.q.d.n", "ann@example.org"],
        author: Some("daemon"),
    },
    Caller {
        name: "s-nail",
        args: &["-i", "-m", "-v", "-f", "app@example.com", "--", "ann@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "mailutils mail",
        args: &["-oi", "-t", "-f", "app@example.com"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "unattended-upgrades, apt-listchanges",
        args: &["-oi", "-t"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
    Caller {
        name: "logwatch, mdadm, sudo",
        args: &["-t"],
        input: TO_ROOT,
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
    Caller {
        name: "fail2ban",
        args: &["-f", "fail2ban@h.example", "root"],
        input: "Subject: [Fail2Ban] sshd: banned\nDate: Mon, 23 Nov 2026 08:00:00 +0000\nFrom: Fail2Ban <fail2ban@h.example>\nTo: root\n\nHi,\n.\n",
        sender: "fail2ban@h.example",
        recipients: &["root@f.q.d.n"],
        author: None,
    },
    Caller {
        name: "reportbug",
        args: &["-f", "app@example.com", "-oi", "-oem", "ann@example.org"],
        input: MAILER,
        sender: "app@example.com",
        recipients: &["ann@example.org"],
        author: None,
    },
    Caller {
        name: "popularity-contest",
        args: &["-oi", "-f", "root", "survey@example.org"],
        input: "To: survey@example.org\nSubject: popularity-contest submission\n\nx\n",
        sender: "root@f.q.d.n",
        recipients: &["survey@example.org"],
        author: Some("root"),
    },
    Caller {
        name: "netdata",
        args: &["-t", "-F", "netdata on h", "-f", "netdata@h.example"],
        input: "To: root\nSubject: alarm\n\nx\n",
        sender: "netdata@h.example",
        recipients: &["root@f.q.d.n"],
        author: Some("netdata on h"),
    },
    Caller {
        name: "cron's empty output",
        args: &["-i", "root"],
        input: "",
        sender: USER,
        recipients: &["root@f.q.d.n"],
        author: Some("daemon"),
    },
];

#[test]
fn every_caller_hands_in_its_message_with_its_own_command_line() {
    assert!(CALLERS.len() >= 25);
    for caller in CALLERS {
        let name = caller.name;
        let house = House::new();
        let mut command = house.command("sendmail");
        let ran = run(command.env("USER", "daemon").args(caller.args), caller.input);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{name}");
        let queued = house.only_queued();
        assert_eq!(queued.sender, caller.sender, "{name}");
        assert_eq!(queued.recipients, caller.recipients, "{name}");

        let input = caller.input.replace("\r\n", "\n");
        let (head, body) = input.split_once("\n\n").unwrap_or(("", &input));
        let (new_head, new_body) = queued.message.split_once("\n\n").unwrap();
        assert_eq!(new_body, body, "{name}");
        let kept = ["Subject", "Message-ID", "Date", "Content-Type", "X-Cron-Env"];
        for line in head.lines().filter(|line| kept.iter().any(|field| line.starts_with(field))) {
            assert!(new_head.lines().any(|kept| kept == line), "{name}: {line}: {new_head}");
        }
        let count = |field: &str| {
            let field = field.to_ascii_lowercase() + ":";
            new_head.lines().filter(|line| line.to_ascii_lowercase().starts_with(&field)).count()
        };
        assert_eq!((count("date"), count("message-id"), count("from")), (1, 1, 1), "{name}");
        assert_eq!(count("bcc"), 0, "{name}");
        if let Some(author) = caller.author {
            let local = caller.sender.replace("@f.q.d.n", "");
            let from = if author == local {
                format!("From: {author} <{}>", caller.sender)
            } else {
                format!("From: {author} <")
            };
            assert!(new_head.contains(&from), "{name}: {from}: {new_head}");
        }
    }
}

/// Symfony's SendmailTransport with its default, `-bs`, which Nextcloud, Drupal and Laravel use too.
#[test]
fn a_caller_that_speaks_smtp_is_answered() {
    let house = House::new();
    let session = "EHLO [127.0.0.1]\r\nMAIL FROM:<app@example.com>\r\nRCPT TO:<ann@example.org>\r\n\
                   DATA\r\nSubject: Hi\r\n\r\n..\r\nend\r\n.\r\nNOOP\r\nRSET\r\nMAIL FROM:<app@example.com>\r\n\
                   RCPT TO:<bob@example.org>\r\nDATA\r\nSubject: 2\r\n\r\n\r\n.\r\nQUIT\r\n";
    let ran = house.run("sendmail", ["-bs"], session).success();
    assert_eq!(ran.stdout.matches("250 2.6.0").count(), 2, "{}", ran.stdout);
    let queued = house.queued();
    assert_eq!(queued[0].message, "Subject: Hi\n\n.\nend\n");
    assert_eq!(queued[1].recipients, ["bob@example.org"]);
}

/// Debian's maintainer scripts.
#[test]
fn newaliases_and_its_like_do_nothing_and_succeed() {
    let house = House::new();
    for (program, args) in
        [("newaliases", &[][..]), ("sendmail", &["-bi"]), ("sendmail", &["-I"]), ("mailq", &[])]
    {
        std::fs::create_dir_all(house.path("queue/queue")).unwrap();
        let ran = house.run(program, args, "").success();
        assert_eq!(ran.stdout + &ran.stderr, "", "{program} {args:?}");
    }
}
