//! Servers that misbehave, in every phase: `tests/dialogues/hostile*.txt`, case by case.
//!
//! None may make the program hang past its limit, crash, take a refusal for an acceptance, or bounce
//! mail for what is only a broken session.

use std::sync::Mutex;

use crate::house::House;
use crate::smarthost::{Certificates, Dialogue};
use crate::smtp::smtp;

/// One case of the file.
#[derive(Debug, Default)]
struct Case {
    about: String,
    /// More than one where it is for the kernel to say who notices first.
    exits: Vec<i32>,
    says: String,
    options: Vec<String>,
    mail: String,
    dialogue: String,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(about) = line.strip_prefix("== ") {
            cases.push(Case { about: about.to_owned(), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "exit" => {
                let (codes, says) = rest.split_once(' ').expect("exit CODE TEXT");
                case.exits = codes.split('|').map(|code| code.parse().unwrap()).collect();
                says.clone_into(&mut case.says);
            }
            "with" => case.options = rest.split(' ').map(str::to_owned).collect(),
            "mail" => rest.clone_into(&mut case.mail),
            _ => {
                case.dialogue.push_str(line);
                case.dialogue.push('\n');
            }
        }
    }
    cases
}

impl Case {
    /// What went otherwise than the case says, if anything did.
    fn run(&self, house: &House, certificates: &Certificates) -> Option<String> {
        let message = match self.mail.as_str() {
            "two" => "s@x.example\na@x.example\nb@x.example\n\nSubject: x\n\nbody\n".to_owned(),
            "long" => {
                let line = "one of very many lines of a message that is rather long\n";
                format!("s@x.example\na@x.example\n\nSubject: x\n\n{}", line.repeat(75_000))
            }
            _ => "s@x.example\na@x.example\n\nSubject: x\n\nbody\n".to_owned(),
        };
        let host = Dialogue::secure(&self.dialogue, Some(certificates));
        let port = format!("--port={}", host.port());
        let authority = house.path("conf/ca.pem").display().to_string();
        let mut options: Vec<_> =
            self.options.iter().map(|option| option.replace("CA", &authority)).collect();
        options.push(port);
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let ran = smtp(house, &options, message);
        let played = host.played();
        let mut flaws = Vec::new();
        if !ran.code.is_some_and(|code| self.exits.contains(&code)) {
            flaws.push(format!("exit {:?} instead of {:?}", ran.code, self.exits));
        }
        if ran.stderr.lines().count() != 1 || !ran.stderr.contains(&self.says) {
            flaws.push(format!("no line with {:?}", self.says));
        }
        if ran.stderr.contains(|c: char| c.is_control() && c != '\n') {
            flaws.push("a control character on stderr".to_owned());
        }
        flaws.extend(played.departed);
        let heard = &played.heard[..played.heard.len().min(400)];
        (!flaws.is_empty()).then(|| {
            format!(
                "{}: {}\n  stderr: {:?}\n  heard: {heard:?}",
                self.about,
                flaws.join("; "),
                ran.stderr
            )
        })
    }
}

fn run(text: &str) {
    let cases = cases(text);
    let (house, certificates) = (House::new(), Certificates::new());
    house.control("ca.pem", &certificates.authority);
    let (next, flaws) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().unwrap().next() else { return };
                    let found = case.run(&house, &certificates);
                    flaws.lock().unwrap().extend(found);
                }
            });
        }
    });
    let flaws = flaws.into_inner().unwrap();
    assert!(flaws.is_empty(), "{} of {}:\n{}", flaws.len(), cases.len(), flaws.join("\n"));
}

#[test]
fn no_server_makes_the_client_hang_crash_bounce_or_believe() {
    run(include_str!("../dialogues/hostile.txt"));
}

#[test]
fn no_server_gets_around_tls() {
    run(include_str!("../dialogues/hostile-tls.txt"));
}
