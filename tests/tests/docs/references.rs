//! Tests and paths that the pages name exist; promises name who holds them.

use super::{pages, quoted, root, rows, text};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whether a source file has a test (or a property for quickcheck) of this name.
fn has_test(path: &str, name: &str) -> bool {
    let Ok(source) = std::fs::read_to_string(root().join(path)) else {
        return false;
    };
    let function = format!("fn {name}(");
    let Some(at) = source.find(&function) else {
        return false;
    };
    let before = &source[..at];
    let attribute = before
        .rfind("#[test]")
        .is_some_and(|i| !before[i..].contains("fn "));
    let property = before
        .rfind("quickcheck! {")
        .is_some_and(|i| !before[i..].contains("\n}"));
    attribute || property
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut count = 0;
    for page in pages() {
        for token in quoted(&text(&page))
            .into_iter()
            .filter(|t| t.contains(".rs::"))
        {
            let (path, name) = token.split_once("::").unwrap_or_default();
            assert!(has_test(path, name), "{page}: there is no test `{token}`");
            count += 1;
        }
    }
    assert!(count >= 20, "the pages name tests: {count}");
}

#[test]
fn every_promise_is_held_by_a_test_or_says_that_it_is_not() {
    let page = "SPECIFICATION.md";
    let mut promises = 0;
    for line in text(page).lines().filter(|l| l.starts_with("| ")) {
        let (promise, held) = line
            .trim_matches('|')
            .rsplit_once(" | ")
            .unwrap_or_default();
        if held.trim() == "Held by" {
            continue;
        }
        promises += 1;
        let named = quoted(held)
            .iter()
            .any(|t| t.contains(".rs::") || t.starts_with("scripts/"));
        assert!(
            named || held.contains("**not tested**"),
            "{page}: who holds `{promise}`?"
        );
    }
    assert!(promises >= 30, "{page} has promises: {promises}");
}

#[test]
fn every_path_that_a_page_names_exists() {
    let folders = [
        "compiler/",
        "templates/",
        "rt-nostd/",
        "replay/",
        "tests/",
        "scripts/",
        "docs/",
        ".ci/",
    ];
    for page in pages() {
        let all = text(&page);
        for token in quoted(&all) {
            let path = token.split("::").next().unwrap_or_default();
            if folders.iter().any(|f| path.starts_with(f)) && !path.contains([' ', '*', '{', '<']) {
                assert!(root().join(path).exists(), "{page}: there is no `{path}`");
            }
        }
        let folder = root().join(&page);
        let folder = folder.parent().unwrap_or(Path::new("."));
        for link in all
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !link.contains("://") {
                assert!(folder.join(target).exists(), "{page}: broken link ({link})");
            }
        }
    }
}

/// Source files below a folder.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder)
        .expect("a folder of the repository")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn unsafe_code_is_where_the_page_says() {
    let root = root();
    let mut files = Vec::new();
    for krate in [
        "compiler",
        "templates",
        "templates/isa",
        "rt-nostd",
        "rt-nostd/format",
        "rt-nostd/abi",
        "rt-nostd/config",
        "rt-nostd/filter",
        "replay",
        "replay/elf",
    ] {
        sources(&root.join(krate).join("src"), &mut files);
    }
    assert!(files.len() > 60, "the sources are found");
    // Assembly can do anything, too.
    let marks = [
        "unsafe {",
        "unsafe fn",
        "unsafe extern",
        "unsafe impl",
        "#[unsafe(",
        "asm!(",
    ];
    let is_unsafe = |source: &str| {
        let code = source.lines().filter(|l| !l.trim_start().starts_with("//"));
        code.into_iter()
            .any(|line| marks.iter().any(|m| line.contains(m)))
    };
    let mut found = BTreeSet::new();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("a source file");
        if is_unsafe(&source) {
            let name = file.strip_prefix(&root).expect("below the root");
            found.insert(name.to_string_lossy().into_owned());
        }
    }
    let listed = rows("SECURITY.md", "Where `unsafe` is");
    let listed: BTreeSet<String> = listed.into_iter().map(|r| r[0].clone()).collect();
    assert_eq!(listed, found, "SECURITY.md: where `unsafe` is");
}
