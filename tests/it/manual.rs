//! The manual pages against the program: what one knows, the other has to know too.

use std::collections::{BTreeMap, BTreeSet};
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
        ".words(\"",
        "seconds(\"",
        "seconds(control,\"",
        "bytes(\"",
    ] {
        read.extend(between(&source, call, '"', lower));
    }
    // It stands beside the folder and belongs to the whole machine.
    read.remove("mailname");
    let table = between(&page("nullmailer.7"), "\n.It Pa ", ' ', lower);
    assert_eq!(read, table);
    let environment = fs::read_to_string(root().join("src/config/environment.rs")).unwrap();
    let (_, list) = environment.split_once("const FILES: &[&str] = &[").unwrap();
    let list = list.split_once("];").unwrap().0;
    assert_eq!(between(list, "    \"", '"', lower), table);
    for (name, page) in pages() {
        for file in between(&page, "\n.It Pa ", '\n', lower) {
            let in_the_spool = ["trigger", "lock"].contains(&file.as_str());
            assert!(table.contains(&file) || in_the_spool, "{name}: {file}");
        }
    }
}

/// Not ours, but known to the program.
fn is_of_kubernetes(name: &str) -> bool {
    ["SERVICE_", "PORT"].contains(&name)
}

#[test]
fn every_variable_is_in_a_page_and_every_one_there_is_read() {
    fn upper(c: char) -> bool {
        c.is_ascii_uppercase() || c == '_'
    }
    let source = source();
    // An empty name is that of a control file, in the source and in the page alike.
    let mut read = between(&source, "\"NULLMAILER_", '"', upper);
    read.retain(|name| !is_of_kubernetes(name));
    read.insert(String::new());
    let mut written = BTreeSet::new();
    for (_, page) in pages() {
        for line in page.lines().filter(|line| line.contains(".Ev ") || line.contains(".It Ev ")) {
            let words = line.split(' ').filter_map(|word| word.strip_prefix("NULLMAILER_"));
            written.extend(words.map(str::to_owned));
        }
    }
    // Those that stand for control files are described as one.
    let files = between(&page("nullmailer.7"), "\n.It Pa ", ' ', lower);
    let file_of = |name: &str| name.strip_suffix("_FILE").unwrap_or(name).to_ascii_lowercase();
    for names in [&mut read, &mut written] {
        names.retain(|name| !files.contains(&file_of(name)));
    }
    assert_eq!(read, written);
}

#[test]
fn every_option_is_in_the_page_and_every_one_there_is_taken() {
    let house = House::new();
    for (program, file) in [
        ("nullmailer-dsn", "nullmailer-dsn.1"),
        ("nullmailer-inject", "nullmailer-inject.1"),
        ("nullmailer", "nullmailer.1"),
    ] {
        let help = |args: &[&str]| house.run(program, args, "").success().stdout;
        let mut taken = long_options(&help(&["--help"]), " --");
        if program == "nullmailer" {
            for word in subcommands(&help(&["--help"])) {
                taken.extend(long_options(&help(&[&word, "--help"]), " --"));
            }
        }
        taken.insert("help".to_owned());
        let page = page(file);
        let marked = page.lines().filter(|line| line.contains("Fl "));
        let written = marked.flat_map(|line| long_options(line, " -")).collect::<BTreeSet<_>>();
        assert_eq!(taken, written, "{program}");
    }
}

/// The words that clap lists under "Commands:".
fn subcommands(help: &str) -> BTreeSet<String> {
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    let words = lines.filter_map(|line| line.split_whitespace().next());
    words.filter(|word| *word != "help").map(str::to_owned).collect()
}

#[test]
fn every_subcommand_is_in_the_page_and_every_one_there_is_taken() {
    let house = House::new();
    let taken = subcommands(&house.run("nullmailer", ["--help"], "").success().stdout);
    let written = between(&page("nullmailer.1"), "\n.It Cm ", '\n', lower);
    assert_eq!(taken, written);
}

/// sendmail has no table of its options: each letter is tried.
#[test]
fn every_letter_of_sendmail_is_in_its_page_and_every_one_there_is_taken() {
    let house = House::new();
    let page = page("sendmail.1");
    let mut written = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with(".It Fl ") || line.starts_with(".Fl "))
    {
        // -bm, -odi and -oi: the first letter is the option.
        let options =
            line.split(' ').filter(|word| word.len() == 1 || word.starts_with(['b', 'o']));
        written.extend(
            options.filter_map(|word| word.chars().next()).filter(char::is_ascii_alphanumeric),
        );
    }
    let letters = ('0'..='9').chain('a'..='z').chain('A'..='Z');
    let taken: BTreeSet<_> = letters
        // A letter behind it is its value, or one of a cluster, or the mode -bm.
        .filter(|letter| {
            let ran = house.run("sendmail", [format!("-{letter}m")], "");
            !ran.stderr.contains("it is not known")
        })
        .collect();
    assert_eq!(taken, written);
}

/// The lines that the pages show for `remotes` are taken by the program as they stand there.
#[test]
fn every_line_for_remotes_in_a_page_is_one_that_is_taken() {
    let mut lines = Vec::new();
    for (_, page) in pages() {
        let shown = page.lines().map(|line| line.strip_prefix(".Dl ").unwrap_or(line));
        let remotes = shown.filter(|line| line.contains(" smtp ") && !line.starts_with(['.', ' ']));
        lines.extend(remotes.filter(|line| line.contains("tls")).map(str::to_owned));
    }
    assert!(lines.len() > 12, "{lines:?}");
    let house = House::new();
    house.control("remotes", &lines.join("\n"));
    house.control("pausetime", "0");
    let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
    let hosts: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert!(log.contains(&format!("configured remotes={}\n", hosts.join(","))), "{log}");
    assert!(!log.contains("Could not load"), "{log}");
}

/// Name and keys of every event, as the functions of the log write them and as the page has them.
#[test]
fn every_event_of_the_log_is_in_the_page_with_its_keys_and_every_one_there_is_logged() {
    let source = fs::read_to_string(root().join("src/log/mod.rs")).unwrap();
    let mut logged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for function in source.split("    pub(crate) fn ").skip(1) {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
        let mut names = between(function, ".note(\"", '"', is_name);
        for severity in ["Error", "Warning", "Notice", "Info"] {
            names.extend(between(function, &format!("Severity::{severity}, \""), '"', is_name));
        }
        let mut keys = between(function, ".with(\"", '"', lower);
        keys.extend(between(function, ".with_some(\"", '"', lower));
        for name in names {
            logged.entry(name).or_default().extend(keys.clone());
        }
    }
    let page = page("nullmailer-send.8");
    let (_, section) = page.split_once(".Sh LOG LINES").unwrap();
    let section = section.split("\n.Sh ").next().unwrap();
    let mut written = BTreeMap::new();
    for line in section.lines().filter_map(|line| line.strip_prefix(".It Li ")) {
        let mut words = line.split(' ').map(str::to_owned);
        written.insert(words.next().unwrap(), words.collect());
    }
    assert_eq!(logged, written);
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

/// The numbers behind `.It` in the section of that name.
fn exit_statuses(page: &str) -> BTreeSet<String> {
    let (_, section) = page.split_once(".Sh EXIT STATUS").expect("every page has one");
    let section = section.split("\n.Sh ").next().unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix(".It "));
    items.flat_map(|line| line.split(" , ")).map(str::to_owned).collect()
}

#[test]
fn every_exit_status_is_in_nullmailer_7_and_every_one_in_a_page_is_there() {
    let exit = fs::read_to_string(root().join("src/exit.rs")).unwrap();
    let ours = between(&exit, " => ", ',', |c| c.is_ascii_digit());
    assert!(ours.contains("75"), "{ours:?}");
    assert_eq!(ours, exit_statuses(&page("nullmailer.7")));
    for (name, page) in pages() {
        // The protocol programs have the original's numbers.
        if !["nullmailer-smtp.8", "nullmailer-qmqp.8"].contains(&name.as_str()) {
            let strange: Vec<_> = exit_statuses(&page).difference(&ours).cloned().collect();
            assert!(strange.is_empty(), "{name}: {strange:?}");
        }
    }
}

#[test]
fn every_page_has_every_section_in_the_usual_order() {
    const USUAL: &[&str] = &[
        "NAME",
        "DESCRIPTION",
        "ENVIRONMENT",
        "FILES",
        "EXIT STATUS",
        "EXAMPLES",
        "DIAGNOSTICS",
        "SEE ALSO",
    ];
    for (name, page) in pages() {
        let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".Sh ")).collect();
        let found: Vec<_> = sections.iter().filter(|one| USUAL.contains(one)).collect();
        assert_eq!(found, USUAL.iter().collect::<Vec<_>>(), "{name}");
        let overview = name == "nullmailer.7";
        assert!(overview || sections.contains(&"OPTIONS"), "{name} has no OPTIONS");
    }
}
