//! What is loaded, and what is refused with which error.

use hartlog_elf::{Elf, ElfError, MAX_SEGMENTS, Warning};
use hartlog_format::layout::{GUEST_END, GUEST_MIN};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A program header.
#[derive(Clone, Copy)]
struct Ph {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    file_size: u64,
    mem_size: u64,
    align: u64,
}

const LOAD: u32 = 1;
const X: u32 = 1;
const W: u32 = 2;
const R: u32 = 4;
const BASE: u64 = 0x1_0000;

impl Ph {
    fn load(vaddr: u64, flags: u32, file_size: u64, mem_size: u64) -> Ph {
        Ph {
            kind: LOAD,
            flags,
            offset: 0,
            vaddr,
            file_size,
            mem_size,
            align: 1,
        }
    }
}

/// Text at [`BASE`] that is the whole file, entry behind the headers.
fn file(headers: &[Ph]) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let end = 64 + 56 * headers.len() as u64;
    out.extend(2u16.to_le_bytes());
    out.extend(243u16.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend((BASE + end).to_le_bytes());
    out.extend(64u64.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    for field in [64u16, 56, headers.len() as u16, 64, 0, 0] {
        out.extend(field.to_le_bytes());
    }
    for ph in headers {
        out.extend(ph.kind.to_le_bytes());
        out.extend(ph.flags.to_le_bytes());
        for field in [
            ph.offset,
            ph.vaddr,
            ph.vaddr,
            ph.file_size,
            ph.mem_size,
            ph.align,
        ] {
            out.extend(field.to_le_bytes());
        }
    }
    out.extend(0x0000_0073u32.to_le_bytes()); // ecall
    out
}

fn text(count: usize) -> Ph {
    let size = 64 + 56 * count as u64 + 4;
    Ph::load(BASE, R | X, size, size)
}

fn with(other: Ph) -> Result<Elf, ElfError> {
    Elf::parse(file(&[text(2), other]))
}

fn patched(at: usize, bytes: &[u8]) -> Result<Elf, ElfError> {
    let mut file = file(&[text(1)]);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    Elf::parse(file)
}

#[test]
fn a_minimal_file_is_loaded() {
    let elf = Elf::parse(file(&[text(1)])).expect("it is fine");
    assert_eq!(elf.entry, BASE + 120);
    assert_eq!(elf.segments.len(), 1);
    assert!(elf.compressed() && elf.symbols.is_empty() && elf.warnings.is_empty());
    assert_eq!(elf.code_at(elf.entry), Some(&[0x73, 0, 0, 0][..]));
    assert_eq!(elf.code_at(elf.entry + 4), None);
    assert_eq!(elf.code_at(BASE - 1), None);
    assert_eq!(elf.locate(elf.entry).to_string(), "0x10078");
}

#[test]
fn identification() {
    assert_eq!(
        Elf::parse(Vec::new()).err(),
        Some(ElfError::NotElf { len: 0 })
    );
    assert!(matches!(
        patched(0, b"\x7fELG"),
        Err(ElfError::NotElf { .. })
    ));
    assert_eq!(
        patched(4, &[1]).err(),
        Some(ElfError::Class {
            found: 1,
            offset: 4
        })
    );
    assert_eq!(
        patched(5, &[2]).err(),
        Some(ElfError::Endianness {
            found: 2,
            offset: 5
        })
    );
    assert_eq!(
        patched(18, &[62]).err(),
        Some(ElfError::Machine {
            found: 62,
            offset: 18
        })
    );
    assert_eq!(
        patched(16, &[1]).err(),
        Some(ElfError::Type {
            found: 1,
            offset: 16
        })
    );
    assert!(matches!(
        patched(16, &[3]),
        Err(ElfError::Dynamic { offset: 16, .. })
    ));
}

#[test]
fn abi_flags() {
    for float in [2u8, 4, 6] {
        assert!(matches!(
            patched(48, &[float]),
            Err(ElfError::FloatAbi { offset: 48, .. })
        ));
    }
    assert!(matches!(
        patched(48, &[8]),
        Err(ElfError::EmbeddedAbi { offset: 48, .. })
    ));
    assert!(!patched(48, &[0]).expect("it is fine").compressed());
}

#[test]
fn dynamic_linking() {
    // PT_DYNAMIC and PT_INTERP.
    for kind in [2, 3] {
        let ph = Ph {
            kind,
            ..Ph::load(BASE, R, 4, 4)
        };
        assert!(matches!(
            with(ph),
            Err(ElfError::Dynamic { offset: 120, .. })
        ));
    }
}

#[test]
fn tables() {
    assert!(matches!(
        patched(54, &[32]),
        Err(ElfError::EntrySize {
            offset: 54,
            found: 32,
            ..
        })
    ));
    assert!(matches!(
        patched(56, &[0]),
        Err(ElfError::NoSegments { .. })
    ));
    assert!(matches!(
        patched(32, &1000u64.to_le_bytes()),
        Err(ElfError::Truncated {
            what: "program headers",
            offset: 1000,
            ..
        })
    ));
    assert!(matches!(
        patched(32, &u64::MAX.to_le_bytes()),
        Err(ElfError::Truncated {
            what: "program headers",
            ..
        })
    ));
    // More program headers than the field holds, counted by a section that is not there.
    assert!(matches!(
        patched(56, &[0xff, 0xff]),
        Err(ElfError::Truncated {
            what: "program headers",
            ..
        })
    ));
    assert!(matches!(
        patched(40, &100_000u64.to_le_bytes()),
        Err(ElfError::Truncated {
            what: "section headers",
            ..
        })
    ));
    let many: Vec<_> = (0..=MAX_SEGMENTS as u64)
        .map(|i| Ph::load(0x100_0000 + 16 * i, R, 0, 8))
        .collect();
    let offset = 64 + 56 * MAX_SEGMENTS as u64;
    assert_eq!(
        Elf::parse(file(&many)).err(),
        Some(ElfError::TooManySegments { offset })
    );
}

#[test]
fn segments() {
    let vaddr_at = 120 + 16;
    assert_eq!(
        with(Ph::load(GUEST_MIN - 1, R, 0, 1)).err(),
        Some(ElfError::BelowWindow {
            vaddr: GUEST_MIN - 1,
            offset: vaddr_at
        })
    );
    let above = |vaddr, mem_size| {
        let offset = vaddr_at;
        let expected = ElfError::AboveWindow {
            vaddr,
            mem_size,
            offset,
        };
        assert_eq!(with(Ph::load(vaddr, R, 0, mem_size)).err(), Some(expected));
    };
    above(GUEST_END, 1);
    above(GUEST_END - 1, 2);
    above(0x1_0000_0000, 8);
    above(u64::MAX, 8);
    above(0x2_0000, u64::MAX);
    assert!(with(Ph::load(GUEST_END - 1, R, 0, 1)).is_ok());
    assert!(with(Ph::load(0x4000_0000, R | W, 0, 3 << 30)).is_err());
    assert!(
        with(Ph::load(0x2_0000, R | W, 0, 3 << 30)).is_ok(),
        "a large bss"
    );
    assert_eq!(
        with(Ph::load(0x2_0000, R, 9, 8)).err(),
        Some(ElfError::FileSize {
            file_size: 9,
            mem_size: 8,
            offset: 120 + 32
        })
    );
    assert!(matches!(
        with(Ph::load(0x2_0000, R, 1000, 1000)),
        Err(ElfError::Truncated {
            what: "segment",
            offset: 0,
            size: 1000,
            ..
        })
    ));
    let overlap = with(Ph::load(BASE + 100, R, 0, 1)).expect_err("inside the text");
    assert!(matches!(
        overlap,
        ElfError::Overlap {
            offset: 120,
            first_offset: 64,
            ..
        }
    ));
    let touching = Ph::load(BASE + 64 + 2 * 56 + 4, R, 0, 1);
    assert!(with(touching).is_ok(), "touching is not overlapping");
    assert!(matches!(
        with(Ph::load(0x2_0001, R | X, 4, 4)),
        Err(ElfError::CodeMisaligned {
            vaddr: 0x2_0001,
            ..
        })
    ));
    let empty = Ph::load(0, R, 0, 0);
    assert_eq!(with(empty).expect("it takes no memory").segments.len(), 1);
    let odd = Ph {
        align: 4096,
        ..Ph::load(0x2_0008, R, 4, 4)
    };
    let warnings = with(odd).expect("it is only odd").warnings;
    assert!(matches!(
        warnings[..],
        [Warning::Alignment { offset: 128, .. }]
    ));
}

#[test]
fn entry() {
    let entry = |value: u64| patched(24, &value.to_le_bytes()).err();
    assert_eq!(
        entry(BASE + 121),
        Some(ElfError::EntryMisaligned {
            entry: BASE + 121,
            offset: 24
        })
    );
    for outside in [0, BASE + 124, u64::MAX - 1] {
        let expected = ElfError::EntryNotExecutable {
            entry: outside,
            offset: 24,
        };
        assert_eq!(entry(outside), Some(expected));
    }
    let size = 64 + 56 + 4;
    let data = file(&[Ph::load(BASE, R | W, size, size)]);
    assert_eq!(
        Elf::parse(data).err(),
        Some(ElfError::NoCode { offset: 32 })
    );
}

fn guest() -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/prebuilt/c");
    let path: PathBuf = dir.join("hello.elf");
    std::fs::read(path).expect("a prebuilt guest")
}

#[test]
fn a_real_program() {
    let bytes = guest();
    let elf = Elf::parse(bytes.clone()).expect("it is fine");
    let start = elf
        .symbols
        .iter()
        .find(|s| elf.name(s) == "_start")
        .expect("it has a start");
    assert_eq!(start.addr, elf.entry);
    let located = elf.locate(start.addr + 2).to_string();
    assert_eq!(located, format!("{:#x} <_start+0x2>", start.addr + 2));
    assert!(elf.text.iter().any(|r| r.contains(&start.addr)));
    assert!(elf.symbols.windows(2).all(|w| w[0].addr < w[1].addr));
    assert!(elf.symbols.iter().all(|s| !elf.name(s).starts_with('$')));
    assert_eq!(elf.bytes(), bytes);
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = guest();
    // The section headers are last: what is cut off is always missed.
    for len in 0..bytes.len() {
        let error = Elf::parse(bytes[..len].to_vec()).err();
        let error = error.unwrap_or_else(|| panic!("{len} of {} bytes", bytes.len()));
        assert!(
            matches!(error, ElfError::Truncated { .. } | ElfError::NotElf { .. }),
            "{len}: {error}"
        );
    }
}

#[test]
fn every_flipped_bit_of_the_headers_ends_well() {
    let bytes = guest();
    let shoff = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
    let headers = (0..512).chain(shoff..bytes.len());
    for at in headers {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            let start = Instant::now();
            if let Ok(elf) = Elf::parse(altered) {
                // What is accepted is sound.
                assert!(elf.code_at(elf.entry).is_some());
                assert!(
                    elf.segments
                        .iter()
                        .all(|s| s.vaddr >= GUEST_MIN && s.end() <= GUEST_END)
                );
                for symbol in &elf.symbols {
                    let _ = elf.name(symbol);
                }
            }
            assert!(start.elapsed() < Duration::from_secs(1), "byte {at:#x}");
        }
    }
}

/// Sections and a symbol table added to the minimal file.
fn with_symbols(symbols: &[(u32, u8, u64, u64)], strings: &[u8]) -> Vec<u8> {
    let mut out = file(&[text(1)]);
    let strings_at = out.len();
    out.extend(strings);
    let symbols_at = out.len();
    for (name, info, value, size) in symbols {
        out.extend(name.to_le_bytes());
        out.extend([*info, 0, 1, 0]);
        out.extend(value.to_le_bytes());
        out.extend(size.to_le_bytes());
    }
    let sections_at = out.len();
    let mut section = |kind: u32, offset: usize, size: usize, link: u32, entry: u64| {
        out.extend(0u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        for field in [0, 0, offset as u64, size as u64] {
            out.extend(field.to_le_bytes());
        }
        out.extend(link.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend(1u64.to_le_bytes());
        out.extend(entry.to_le_bytes());
    };
    section(0, 0, 0, 0, 0);
    section(2, symbols_at, 24 * symbols.len(), 2, 24);
    section(3, strings_at, strings.len(), 0, 0);
    out[40..48].copy_from_slice(&(sections_at as u64).to_le_bytes());
    out[60..62].copy_from_slice(&3u16.to_le_bytes());
    out
}

const GLOBAL_FUNCTION: u8 = 0x12;
const LOCAL_LABEL: u8 = 0;

#[test]
fn one_symbol_per_address() {
    let strings = b"\0$x\0.L1\0local\0main\0alias\0\xff\0";
    let at = BASE + 120;
    let file = with_symbols(
        &[
            (8, LOCAL_LABEL, at, 0),
            (14, GLOBAL_FUNCTION, at, 4),
            (19, GLOBAL_FUNCTION, at, 4),
            (1, LOCAL_LABEL, BASE + 64, 0),
            (4, LOCAL_LABEL, BASE + 66, 0),
            (8, LOCAL_LABEL, BASE + 68, 0),
            (25, GLOBAL_FUNCTION, BASE + 70, 2),
            (8, GLOBAL_FUNCTION, BASE + 71, 2),
            (8, GLOBAL_FUNCTION, 0x5000_0000, 2),
            (9999, GLOBAL_FUNCTION, BASE + 72, 2),
        ],
        strings,
    );
    let elf = Elf::parse(file).expect("it is fine");
    let found: Vec<_> = elf
        .symbols
        .iter()
        .map(|s| (s.addr - BASE, elf.name(s).into_owned()))
        .collect();
    let expected = [(68, "local"), (70, "\u{fffd}"), (120, "alias")];
    assert_eq!(found, expected.map(|(a, n)| (a, n.to_owned())));
    assert!(matches!(
        elf.warnings[..],
        [Warning::SymbolNames { count: 1, .. }]
    ));
}

#[test]
fn names_say_nothing_to_a_terminal() {
    let file = with_symbols(
        &[(1, GLOBAL_FUNCTION, BASE + 120, 4)],
        "\0a\x1b[2J\u{9b}\nä\0".as_bytes(),
    );
    let elf = Elf::parse(file).expect("it is fine");
    let located = elf.locate(BASE + 120).to_string();
    assert_eq!(located, "0x10078 <a\u{fffd}[2J\u{fffd}\u{fffd}ä>");
}

#[test]
fn a_million_symbols_with_one_endless_name_are_quick() {
    let symbols = vec![(0, GLOBAL_FUNCTION, BASE + 120, 4); 1_000_000];
    let file = with_symbols(&symbols, &vec![b'a'; 1 << 20]);
    let start = Instant::now();
    let elf = Elf::parse(file).expect("it is fine");
    assert!(elf.symbols.is_empty());
    assert!(start.elapsed() < Duration::from_secs(10));
}
