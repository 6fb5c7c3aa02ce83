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

/// Every manifest of the workspace.
fn manifests() -> Vec<PathBuf> {
    let workspace = text("Cargo.toml");
    let members = workspace
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .unwrap_or_default();
    quoted_by(members, '"')
        .iter()
        .map(|member| root().join(member).join("Cargo.toml"))
        .collect()
}

/// What stands between pairs of a character.
fn quoted_by(text: &str, mark: char) -> Vec<String> {
    text.split(mark)
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_oldest_compiler_is_the_same_everywhere() {
    let workspace = text("Cargo.toml");
    let version = workspace
        .lines()
        .find_map(|l| l.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .expect("the workspace says which compiler it needs");
    for page in ["README.md", "scripts/common.sh"] {
        let named = text(page).contains(&format!("Rust {version}"));
        assert!(named, "{page} does not say Rust {version}");
    }
    let manifests = manifests();
    assert!(manifests.len() >= 12, "the members are found");
    for manifest in manifests {
        let source = std::fs::read_to_string(&manifest).expect("a manifest");
        for line in ["rust-version.workspace = true", "edition.workspace = true"] {
            assert!(source.contains(line), "{}: {line}", manifest.display());
        }
    }
}

#[test]
fn dependencies_have_the_features_that_they_need_and_no_more() {
    // Those whose default features are what is used of them.
    const WITH_DEFAULTS: [&str; 8] = [
        "clap",
        "core_affinity",
        "faerie",
        "memmap2",
        "serde",
        "serde_json",
        "target-lexicon",
        "thiserror",
    ];
    for manifest in manifests() {
        // What is built for tests only is not part of any product.
        let source = std::fs::read_to_string(&manifest).expect("a manifest");
        let product = !manifest.starts_with(root().join("tests"));
        let section = source.split("[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        for line in section.lines().filter(|_| product) {
            let Some((name, value)) = line.split_once(" = ") else {
                continue;
            };
            let own = name.ends_with(".workspace") || value.contains("workspace = true");
            let minimal = value.contains("default-features = false");
            assert!(
                own || minimal || line.starts_with('#') || WITH_DEFAULTS.contains(&name),
                "{}: {name} with its default features",
                manifest.display()
            );
        }
    }
}
