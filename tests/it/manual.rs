//! The manual pages against the program: what one knows, the other has to know too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{House, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages: name and text.
fn pages() -> Vec<(String, String)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    fs::read_dir(root().join("docs/man")).unwrap().map(read).collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs/man").join(name)).unwrap()
}

/// The source of the program, without its tests.
fn source() -> String {
    fn collect(dir: PathBuf, out: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(path, out);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(path).unwrap();
                out.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }
    let mut out = String::new();
    collect(root().join("src"), &mut out);
    out
}

/// The words between `open` and `close` that are made of the letters `takes`.
fn between(text: &str, open: &str, close: char, takes: fn(char) -> bool) -> BTreeSet<String> {
    text.split(open)
        .skip(1)
        .filter_map(|rest| rest.split_once(close))
        .map(|(word, _)| word)
        .filter(|word| !word.is_empty() && word.chars().all(takes))
        .map(str::to_owned)
        .collect()
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

/// The long options in the text of a help or a page.
fn long_options(text: &str, mark: &str) -> BTreeSet<String> {
    text.split(mark)
        .skip(1)
        .map(|rest| {
            let takes = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
            rest.chars().take_while(takes).collect::<String>()
        })
        .filter(|name| name.chars().any(|c| c.is_ascii_alphabetic()))
        .collect()
}

#[test]
fn every_name_has_a_page() {
    let house = House::new();
    let stranger = house.path("stranger");
    std::os::unix::fs::symlink(crate::house::binary(), &stranger).unwrap();
    let refusal = run(&mut Command::new(&stranger), "").exit(64).stderr;
    let (_, names) = refusal.split_once("not a name of this program (").unwrap();
    let pages = pages();
    for name in names.trim_end().trim_end_matches(')').split(", ") {
        let documented = pages.iter().any(|(_, page)| {
            page.lines().any(|line| {
                line.strip_prefix(".Nm ").is_some_and(|line| line.trim_end_matches(" ,") == name)
            })
        });
        assert!(documented, "no page has .Nm {name}");
    }
}

#[test]
fn every_control_file_is_in_the_table_and_every_row_is_read_by_the_program() {
    // As one line, however it is broken.
    let source: String = source().split_whitespace().collect();
    let mut read = BTreeSet::new();
    for call in [
        ".text(\"",
        ".duration(\"",
        ".integer(\"",
        ".number(\"",
        ".choice(\"",
        ".address(\"",
        ".addresses(\"",
        ".lines(\"",
        "seconds(\"",
        "bytes(\"",
    ] {
        read.extend(between(&source, call, '"', lower));
    }
    // It stands beside the folder and belongs to the whole machine.
    read.remove("mailname");
    let table = between(&page("nullmailer.7"), "\n.It Pa ", ' ', lower);
    assert_eq!(read, table);
    for (name, page) in pages() {
        for file in between(&page, "\n.It Pa ", '\n', lower) {
            let in_the_spool = ["trigger", "lock"].contains(&file.as_str());
            assert!(table.contains(&file) || in_the_spool, "{name}: {file}");
        }
    }
}

#[test]
fn every_variable_is_in_a_page_and_every_one_there_is_read() {
    fn upper(c: char) -> bool {
        c.is_ascii_uppercase() || c == '_'
    }
    let source = source();
    let mut read = between(&source, "\"NULLMAILER_", '"', upper);
    read.remove("");
    let mut written = BTreeSet::new();
    for (_, page) in pages() {
        for line in page.lines().filter(|line| line.contains(".Ev ") || line.contains(".It Ev ")) {
            let words = line.split(' ').filter_map(|word| word.strip_prefix("NULLMAILER_"));
            written.extend(words.map(str::to_owned));
        }
    }
    assert_eq!(read, written);
}

#[test]
fn every_option_is_in_the_page_and_every_one_there_is_taken() {
    let house = House::new();
    for (program, file) in
        [("nullmailer-dsn", "nullmailer-dsn.1"), ("nullmailer-inject", "nullmailer-inject.1")]
    {
        let help = house.run(program, ["--help"], "").success().stdout;
        let mut taken = long_options(&help, " --");
        taken.insert("help".to_owned());
        let page = page(file);
        let marked = page.lines().filter(|line| line.contains("Fl "));
        let written = marked.flat_map(|line| long_options(line, " -")).collect::<BTreeSet<_>>();
        assert_eq!(taken, written, "{program}");
    }
}

#[test]
fn every_option_of_a_remote_is_in_the_page_and_every_one_there_is_taken() {
    let mut smtp = Command::new(crate::house::binary());
    smtp.args(["smtp", "--help"]).env_clear();
    let help = run(&mut smtp, "").success().stdout;
    let taken = long_options(&help, "\n  --");
    let page = page("nullmailer-send.8");
    let mut written = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix(".It Cm ")) {
        let names = line.split(" Ns ").next().unwrap();
        written.extend(names.split(" , ").map(str::to_owned));
    }
    assert_eq!(taken, written);
}

#[test]
fn every_exit_status_in_a_page_is_one_of_ours() {
    let exit = fs::read_to_string(root().join("src/exit.rs")).unwrap();
    let known = between(&exit, " => ", ',', |c| c.is_ascii_digit());
    assert!(known.contains("75"), "{known:?}");
    for (name, page) in pages() {
        if ["nullmailer-smtp.8", "nullmailer-qmqp.8"].contains(&name.as_str()) {
            // The protocol programs have the original's numbers.
            continue;
        }
        let (_, section) = page.split_once(".Sh EXIT STATUS").expect("every page has one");
        let section = section.split("\n.Sh ").next().unwrap();
        for line in section.lines().filter_map(|line| line.strip_prefix(".It ")) {
            for code in line.split(" , ") {
                assert!(known.contains(code), "{name}: {code}");
            }
        }
    }
}
