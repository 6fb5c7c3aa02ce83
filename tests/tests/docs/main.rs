//! The documentation is what the code says: byte tables, statuses, variables, calls and constants
//! are compared with their source, listings are made anew, and every test and path that a page
//! names exists.
//!
//! `HARTLOG_UPDATE_DOCS=1 cargo test -p tests --test docs` writes the listings into the page. The
//! tables are written by hand, so that each row says what the number means.

mod architecture;
mod references;

use hartlog_format::status::FaultKind;
use hartlog_format::trace::{
    self, ChunkHeader, EventHeader, FileHeader, FooterHeader, FooterTail, RangeHeader,
};
use hartlog_format::{contract, layout};
use std::collections::BTreeSet;
use std::mem::offset_of;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(name: &str) -> String {
    match std::fs::read_to_string(root().join(name)) {
        Ok(text) => text,
        Err(e) => panic!("{name}: {e}"),
    }
}

/// Pages of documentation: those at the root and in `docs`.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder of the repository");
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                let path = Path::new(folder).join(name);
                pages.push(path.to_string_lossy().into_owned());
            }
        }
    }
    pages.sort();
    assert!(pages.len() >= 8, "the pages are found: {pages:?}");
    pages
}

/// What stands between backticks on one line.
fn quoted(text: &str) -> Vec<&str> {
    let parts = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    parts.collect()
}

/// Rows of the table below a heading, without its head; the cells without backticks.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let all = text(page);
    let mut lines = all.lines();
    let is_heading = |l: &str| l.starts_with('#') && l.trim_start_matches('#').trim() == heading;
    assert!(
        lines.any(is_heading),
        "{page}: there is no heading `{heading}`"
    );
    let section = lines.take_while(|l| !l.starts_with('#'));
    let table = section.filter(|l| l.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim().trim_matches('|').split(" | ");
        cells
            .map(|c| c.trim().trim_matches('`').to_owned())
            .collect()
    };
    let rows: Vec<Vec<String>> = table.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "{page}: no table below `{heading}`");
    rows
}

/// Compares the first columns of a table with what they must hold.
fn assert_table(page: &str, heading: &str, expected: &[Vec<String>]) {
    let count = expected.first().map_or(0, Vec::len);
    let mut found = rows(page, heading);
    for row in &mut found {
        row.truncate(count);
    }
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{page}: `{heading}`");
    }
    let (found, expected) = (found.len(), expected.len());
    assert_eq!(found, expected, "{page}: rows of `{heading}`");
}

/// Constants `pub const NAME: TYPE = NUMBER;` of a source file, in order.
fn constants(source: &str, kind: &str) -> Vec<(String, u64)> {
    let pattern = format!(": {kind} = ");
    let constants: Vec<(String, u64)> = text(source)
        .lines()
        .filter_map(|line| {
            let (name, value) = line
                .trim()
                .strip_prefix("pub const ")?
                .split_once(&pattern)?;
            Some((name.to_owned(), value.strip_suffix(';')?.parse().ok()?))
        })
        .collect();
    assert!(
        !constants.is_empty(),
        "{source}: no constants of type {kind}"
    );
    constants
}

/// Offset, size and name of every field of a structure of the trace.
macro_rules! fields {
    ($type:ident { $($field:ident),+ $(,)? }) => {{
        // A field that is not named here does not compile.
        let _ = |value: $type| {
            let $type { $($field: _),+ } = value;
        };
        let mut bounds = vec![$(offset_of!($type, $field)),+];
        bounds.push(size_of::<$type>());
        let names = [$(stringify!($field)),+];
        let row = |(i, name): (usize, &&str)| {
            let size = bounds[i + 1] - bounds[i];
            vec![bounds[i].to_string(), size.to_string(), (*name).to_owned()]
        };
        names.iter().enumerate().map(row).collect::<Vec<_>>()
    }};
}

#[test]
fn byte_tables_are_those_of_the_format() {
    let page = "docs/trace.md";
    let tables = [
        (
            "FileHeader",
            fields!(FileHeader {
                magic,
                version,
                header_len,
                xlen,
                abi,
                isa,
                chunk_steps,
                elf_sha256,
                log_form,
                argc,
                args_len,
                reserved,
            }),
        ),
        (
            "ChunkHeader",
            fields!(ChunkHeader {
                magic,
                header_len,
                index,
                first_step,
                steps,
                start_pc,
                regs,
                reservation,
                end_kind,
                end_code,
                end_pc,
                end_value,
                log_len,
                events_len,
                checksum,
            }),
        ),
        (
            "EventHeader",
            fields!(EventHeader {
                step,
                result,
                ranges,
                reserved
            }),
        ),
        (
            "RangeHeader",
            fields!(RangeHeader {
                addr,
                len,
                kind,
                reserved
            }),
        ),
        (
            "FooterHeader",
            fields!(FooterHeader {
                magic,
                chunks,
                total_steps,
                end_kind,
                end_code,
                output_len,
                output_sha256,
            }),
        ),
        (
            "FooterTail",
            fields!(FooterTail {
                checksum,
                footer_offset,
                magic
            }),
        ),
    ];
    for (heading, expected) in tables {
        assert_table(page, heading, &expected);
    }
    // A structure that gets no table is missed here.
    let structures = text("rt-nostd/format/src/trace.rs")
        .matches("\npub struct ")
        .count();
    assert_eq!(
        structures, 6,
        "every structure of the format has a table in {page}"
    );
}

#[test]
fn numbers_of_the_trace_are_those_of_the_format() {
    let page = "docs/trace.md";
    let magic = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\x00", "\\0");
    let words = vec![
        vec!["FILE_MAGIC".to_owned(), magic(&trace::FILE_MAGIC)],
        vec!["CHUNK_MAGIC".to_owned(), magic(&trace::CHUNK_MAGIC)],
        vec!["FOOTER_MAGIC".to_owned(), magic(&trace::FOOTER_MAGIC)],
        vec!["TAIL_MAGIC".to_owned(), magic(&trace::TAIL_MAGIC)],
    ];
    assert_table(page, "Magic numbers", &words);
    // In the order of the source: constants of the file header, ends, kinds of ranges.
    let mut found = Vec::new();
    for heading in ["Numbers", "Ends", "Kinds of ranges"] {
        for row in rows(page, heading).into_iter().filter(|r| r[0] != "ISA") {
            found.push((row[0].clone(), row[1].parse().expect("a number")));
        }
    }
    assert_eq!(
        found,
        constants("rt-nostd/format/src/trace.rs", "u32"),
        "{page}"
    );
    let isa = format!("{:#x}", trace::ISA);
    let row = rows(page, "Numbers").into_iter().find(|r| r[0] == "ISA");
    assert_eq!(row.map(|r| r[1].clone()), Some(isa), "{page}: ISA");
}

#[test]
fn statuses_and_faults_are_those_of_the_format() {
    let page = "docs/faults.md";
    let statuses = constants("rt-nostd/format/src/status.rs", "u8");
    let expected: Vec<_> = statuses
        .iter()
        .map(|(name, n)| vec![n.to_string(), name.clone()])
        .collect();
    assert_table(page, "Exit statuses", &expected);
    let kinds = FaultKind::ALL.map(|kind| {
        let number = (kind as u32).to_string();
        let status = kind.exit_status().to_string();
        vec![
            number,
            format!("{kind:?}"),
            kind.describe().to_owned(),
            status,
        ]
    });
    assert_table(page, "Fault kinds", &kinds);
}

#[test]
fn calls_and_layout_are_those_of_the_abi() {
    let page = "docs/abi.md";
    let calls = constants("rt-nostd/abi/src/number.rs", "u64");
    let expected: Vec<_> = calls
        .iter()
        .map(|(name, n)| vec![n.to_string(), name.to_lowercase()])
        .collect();
    assert_table(page, "Calls", &expected);
    let constants = [
        ("PAGE", layout::PAGE),
        ("GUEST_MIN", layout::GUEST_MIN),
        ("GUEST_END", layout::GUEST_END),
        ("STACK_SIZE", layout::STACK_SIZE),
        ("STACK_GUARD", layout::STACK_GUARD),
    ];
    let expected = constants.map(|(name, value)| vec![name.to_owned(), format!("{value:#x}")]);
    assert_table(page, "Memory", &expected);
}

#[test]
fn variables_are_those_of_the_runtime() {
    let source = text("rt-nostd/config/src/lib.rs");
    let names = source.lines().filter_map(|line| {
        let value = line.strip_prefix("const ")?.split_once(": &str = \"")?.1;
        value.strip_suffix("\";")
    });
    let known: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(
        known.contains("HARTLOG_TRACE"),
        "the names are found: {known:?}"
    );
    let rows = rows("README.md", "Environment of a translated program");
    let documented: BTreeSet<String> = rows.into_iter().map(|r| r[0].clone()).collect();
    assert_eq!(
        documented, known,
        "README.md: environment of a translated program"
    );
    // The crate's page has the same list.
    let page = text("rt-nostd/src/lib.rs");
    for name in known {
        assert!(
            page.contains(&format!("//! | `{name}` |")),
            "rt-nostd/src/lib.rs lacks {name}"
        );
    }
}

#[test]
fn linker_script_has_the_addresses_of_the_layout() {
    let script = text("x86-64.ld");
    let base = format!(". = {:#x};", layout::HOST_BASE);
    assert!(script.contains(&base), "x86-64.ld does not start at {base}");
    let state = format!("KEEP(*(.data.{}))", contract::SYMBOL_STATE);
    assert!(script.contains(&state), "x86-64.ld does not place {state}");
}

#[test]
fn the_security_page_counts_the_rules_of_the_filter() {
    let page = text("SECURITY.md");
    let says = format!("There are\n  {} rules,", hartlog_filter::RULE_COUNT);
    assert!(page.contains(&says), "SECURITY.md does not say: {says}");
}

#[test]
fn witness_tables_are_those_of_the_files() {
    use replay::tables::{self, Column};
    let page = "docs/witness.md";
    let row = |(name, kind, null): (String, String, bool)| {
        vec![name, kind, if null { "yes" } else { "no" }.to_owned()]
    };
    let instructions: Vec<_> = Column::ALL.iter().map(|c| c.describe()).map(row).collect();
    assert_table(page, "Instructions", &instructions);
    let memory: Vec<_> = tables::describe_memory().into_iter().map(row).collect();
    assert_table(page, "Memory operations", &memory);
    let keys: Vec<_> = tables::METADATA
        .iter()
        .map(|k| vec![(*k).to_owned()])
        .collect();
    assert_table(page, "Metadata", &keys);
    let version = &rows(page, "Metadata")[0][1];
    assert!(
        version.ends_with(&format!(": {}", tables::VERSION)),
        "{version}"
    );
}
