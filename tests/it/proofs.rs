//! docs/hostile-servers.md names tests and dialogues: there is each of them, and a row without one says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the functions behind `#[test]` in all files below a folder, those of `proptest!` too.
fn tests(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let names = text.split("#[test]").skip(1).filter_map(|rest| {
                let (_, rest) = rest.split_once("fn ")?;
                rest.split_once('(').map(|(name, _)| name.to_owned())
            });
            found.extend(names);
        }
    }
}

fn dialogues() -> BTreeSet<String> {
    let files = ["hostile.txt", "hostile-tls.txt"];
    let text =
        files.map(|name| fs::read_to_string(root().join("tests/dialogues").join(name)).unwrap());
    let titles =
        text.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("== "));
    titles.map(str::to_owned).collect()
}

/// What stands between two of these marks.
fn quoted(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).collect()
}

#[test]
fn every_row_names_a_test_that_there_is_or_says_why_it_has_none() {
    let page = fs::read_to_string(root().join("docs/hostile-servers.md")).unwrap();
    let mut known = BTreeSet::new();
    tests(&root().join("src"), &mut known);
    tests(&root().join("tests/it"), &mut known);
    let dialogues = dialogues();
    let mut rows = 0;
    let mut wrong = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[what, here, shown] = &cells[..] else { panic!("{row}") };
        if shown == "shown by" {
            continue;
        }
        rows += 1;
        let (names, titles) = (quoted(shown, '`'), quoted(shown, '"'));
        let shown_by_none = names.is_empty() && titles.is_empty();
        if shown_by_none != (here == "-") || (shown_by_none && shown.is_empty()) {
            wrong.push(format!("{what}: neither a test nor a reason"));
        } else if here != "-" {
            let missing = names.iter().filter(|name| !known.contains(**name));
            let missing = missing.chain(titles.iter().filter(|title| !dialogues.contains(**title)));
            wrong.extend(missing.map(|name| format!("{what}: there is no {name}")));
        }
    }
    assert!(rows > 100, "{rows}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
