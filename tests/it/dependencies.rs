//! docs/dependencies.md has a row for each crate that Cargo.toml names, and for no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The lines below the heading that is `heading`, up to the next one that begins with `mark`.
fn below<'a>(text: &'a str, heading: &str, mark: &str) -> impl Iterator<Item = &'a str> {
    let (_, rest) =
        text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading} is gone"));
    rest.lines().take_while(move |line| !line.starts_with(mark))
}

/// The crates of every section whose heading ends in one of these words, those of single systems among them.
fn named(endings: &[&str]) -> BTreeSet<String> {
    let text = text("Cargo.toml");
    let headings = text.lines().filter(|line| endings.iter().any(|end| line.ends_with(end)));
    headings
        .flat_map(|heading| below(&text, heading, "["))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn explained(heading: &str) -> BTreeSet<String> {
    below(&text("docs/dependencies.md"), heading, "#")
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, reason)| {
            assert!(reason.len() > 20, "{name} has no reason");
            name.to_owned()
        })
        .collect()
}

#[test]
fn every_direct_dependency_has_a_reason_and_every_reason_a_dependency() {
    for (sections, heading) in [
        (&["[dependencies]", "'.dependencies]"][..], "## In the binary"),
        (&["[dev-dependencies]"], "## For the tests only"),
    ] {
        let named = named(sections);
        assert!(!named.is_empty());
        assert_eq!(
            named,
            explained(heading),
            "{sections:?} of Cargo.toml and docs/dependencies.md"
        );
    }
}
