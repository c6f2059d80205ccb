//! The walls of docs/architecture.md: which room of the source names which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may name. Roles, `lib` and `exit` may name any.
const WALLS: &[(&str, &[&str])] = &[
    ("mail", &[]),
    ("sys", &[]),
    ("config", &["mail", "role", "log", "sys"]),
    ("spool", &["mail", "sys"]),
    ("transport", &["mail", "sys"]),
    ("log", &["mail", "spool"]),
    ("submit", &["mail", "config", "spool", "sys"]),
    ("delivery", &["mail", "config", "spool", "transport", "submit", "log"]),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of a folder, without tests: path below `src` and text.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            // Comments may name what they like.
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let below = path.strip_prefix(src()).unwrap().display().to_string();
            found.push((below, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

/// The rooms behind every `crate::`, in a list in braces too.
fn named(code: &str) -> BTreeSet<String> {
    let ident = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            rooms.insert(ident(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && depth == 0 && !c.is_whitespace() => {
                    rooms.insert(ident(&list[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn no_room_names_one_behind_a_wall() {
    assert_eq!(
        named("use crate::{a, b::{c, d}, e};\ncrate::f::g()").into_iter().collect::<String>(),
        "abef"
    );
    let mut wrong = Vec::new();
    for (room, allowed) in WALLS {
        let files = files(&src().join(room));
        assert!(!files.is_empty(), "{room} is gone");
        for (file, code) in files {
            for other in named(&code).iter().filter(|other| other != room) {
                if !allowed.contains(&other.as_str()) {
                    wrong.push(format!("{file} names {other}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Parts of the source that no program has.
const TESTS: [&str; 4] = ["simulator/", "spool/model/", "mail/linear.rs", "roles/completions.rs"];

#[test]
fn files_that_others_may_have_put_there_are_opened_by_the_floor_alone() {
    // The message that its caller hands to a protocol program, and a house that the demonstration made itself.
    let may = ["sys/", "roles/one_message.rs", "roles/demo/"];
    let opens = [
        "File::open",
        "File::create",
        "OpenOptions",
        "fs::read(",
        "fs::read_to_string",
        "fs::write(",
    ];
    let mut wrong = Vec::new();
    for (file, code) in files(&src()) {
        let is_test = TESTS.iter().any(|test| file.starts_with(test));
        for open in opens.iter().filter(|open| code.contains(**open)) {
            if !is_test && !may.iter().any(|door| file.starts_with(door)) {
                wrong.push(format!("{file} uses {open}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_kernel_lettre_and_openssl_have_one_door_each() {
    let uses = |code: &str, word: &str| {
        code.match_indices(word).any(|(at, _)| !code[..at].ends_with(char::is_alphanumeric))
    };
    for (word, door) in
        [("nix::", "sys/"), ("lettre::", "transport/smtp/"), ("openssl::", "transport/tls/")]
    {
        let mut users: Vec<String> = files(&src())
            .into_iter()
            .filter(|(_, code)| uses(code, word))
            .map(|(file, _)| file)
            .collect();
        assert!(!users.is_empty());
        users.retain(|file| !file.starts_with(door));
        assert!(users.is_empty(), "{word} is used in {users:?}");
    }
}
