//! Objects of compiled replays that are damaged, another's or hostile, and caches that hold them.

mod common;

use common::{other_program, program, trace_bytes};
use hartlog_format::contract::{CONTRACT_VERSION, PROGRAM_MAGIC, Program as Descriptor};
use hartlog_isa::{Inst, Op};
use replay::check::{self, check, check_with};
use replay::engine::{Cache, Choice, CompileError, Engine, ObjectError};
use replay::program::Program;
use replay::trace::Trace;
use replay::witness::Columns;
use std::mem::offset_of;
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// The object of a program, by way of a cache.
fn object(program: &Program, columns: Columns) -> Vec<u8> {
    let scratch = directory();
    let cache = Cache::at(scratch.path());
    make(program, columns, &cache);
    std::fs::read(cache.path(program, columns).expect("a path")).expect("it was kept")
}

fn make(program: &Program, columns: Columns, cache: &Cache) {
    match Engine::choose(program, columns, Choice::Compiled, cache) {
        Ok((engine, None)) => assert!(engine.is_compiled()),
        Ok((_, Some(e))) | Err(e) => panic!("no compiled code: {e}"),
    }
}

fn refused(program: &Program, columns: Columns, object: Vec<u8>) -> Option<ObjectError> {
    match Engine::compiled(program, columns, object) {
        Ok(_) => None,
        Err(CompileError::Object(error)) => Some(error),
        Err(error) => panic!("{error}"),
    }
}

fn descriptor(object: &[u8]) -> usize {
    let magic = PROGRAM_MAGIC.to_le_bytes();
    let at = object.windows(8).position(|w| w == magic);
    at.expect("a descriptor")
}

#[test]
fn objects_of_others_are_refused() {
    let program = program();
    let good = object(&program, Columns::RD);
    assert_eq!(refused(&program, Columns::RD, good.clone()), None);
    let other = refused(&other_program(), Columns::RD, good.clone());
    assert_eq!(other, Some(ObjectError::OtherElf));
    let columns = refused(&program, Columns::ALL, good.clone());
    let expected = Some(ObjectError::Columns {
        found: Columns::RD,
        wanted: Columns::ALL,
    });
    assert_eq!(columns, expected);
    let flags = |byte: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[descriptor(&good) + offset_of!(Descriptor, flags) + byte] = value;
        let refused = refused(&program, Columns::RD, bytes);
        refused.map_or_else(|| "accepted".to_owned(), |e| e.to_string())
    };
    assert_eq!(flags(0, 0), "flags is 0x0, expected 0x4");
    assert_eq!(flags(3, 0xff), "it has columns that do not exist");
    let mut version = good.clone();
    version[descriptor(&good) + offset_of!(Descriptor, version)] += 1;
    let expected = Some(ObjectError::Field {
        field: "version",
        expected: CONTRACT_VERSION.into(),
        found: u64::from(CONTRACT_VERSION) + 1,
    });
    assert_eq!(refused(&program, Columns::RD, version), expected);
}

/// Offset of the flags of the program header that has these flags.
fn flags_at(object: &[u8], wanted: u32) -> usize {
    const HEADERS: usize = 64;
    const SIZE: usize = 56;
    let flags = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().expect("4 bytes"));
    (0..5)
        .map(|i| HEADERS + SIZE * i + 4)
        .find(|at| flags(*at) == wanted)
        .expect("a segment")
}

#[test]
fn objects_that_are_no_replays_are_refused() {
    let program = program();
    let good = object(&program, Columns::NONE);
    let change = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        f(&mut bytes);
        let refused = refused(&program, Columns::NONE, bytes);
        refused.map_or_else(|| "accepted".to_owned(), |e| e.to_string())
    };
    let writable = |b: &mut Vec<u8>| {
        let at = flags_at(b, 5);
        b[at] = 7;
    };
    assert_eq!(change(&writable), "a segment is writable and executable");
    let executable = |b: &mut Vec<u8>| b[16] = 2;
    assert_eq!(change(&executable), "e_type is 0x2, expected 0x3");
    let machine = |b: &mut Vec<u8>| b[18] = 183;
    assert_eq!(change(&machine), "e_machine is 0xb7, expected 0x3e");
    // The first jump-table entry.
    let table = 0x1000 + 4096;
    let jump = |b: &mut Vec<u8>| b[table + 3] = 0x7f;
    assert_eq!(change(&jump), "a jump leads out of the code");
    assert!(change(&|b| b.clear()).starts_with("not an ELF file"));
    let elf = program.elf().bytes().to_vec();
    assert!(refused(&program, Columns::NONE, elf).is_some());
}

#[test]
fn damaged_objects_do_not_panic() {
    let program = program();
    let good = object(&program, Columns::MEMORY);
    for len in (0..good.len()).step_by(37) {
        let cut = good[..len].to_vec();
        // What is after the last segment is for linkers.
        let _ = refused(&program, Columns::MEMORY, cut);
    }
    let half = good[..good.len() / 2].to_vec();
    assert!(refused(&program, Columns::MEMORY, half).is_some());
    // Nothing of it is executed here, so any byte may be wrong.
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let _ = refused(&program, Columns::MEMORY, bytes);
    }
    let at = descriptor(&good);
    for offset in [
        offset_of!(Descriptor, magic),
        offset_of!(Descriptor, flags),
        offset_of!(Descriptor, elf_sha256),
        offset_of!(Descriptor, isa),
    ] {
        let mut bytes = good.clone();
        bytes[at + offset] ^= 4;
        assert!(
            refused(&program, Columns::MEMORY, bytes).is_some(),
            "{offset}"
        );
    }
}

#[test]
fn a_cached_file_is_used_only_if_it_is_right() {
    let (program, other) = (program(), other_program());
    let scratch = directory();
    let cache = Cache::at(scratch.path().join("deep/er"));
    make(&program, Columns::NONE, &cache);
    let path = cache.path(&program, Columns::NONE).expect("a path");
    let good = std::fs::read(&path).expect("it was kept");
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).expect("a file"));
    let first = inode();
    make(&program, Columns::NONE, &cache);
    assert_eq!(inode(), first, "it was used again");
    let foreign = object(&other, Columns::NONE);
    for wrong in [foreign, Vec::new(), good[..good.len() / 2].to_vec()] {
        std::fs::write(&path, wrong).expect("it can be overwritten");
        make(&program, Columns::NONE, &cache);
        assert_eq!(std::fs::read(&path).expect("it was made anew"), good);
    }
    // A file that others can write is nobody's.
    let before = inode();
    let mut permissions = std::fs::metadata(&path).expect("a file").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o666);
    std::fs::set_permissions(&path, permissions).expect("it is ours");
    make(&program, Columns::NONE, &cache);
    assert_ne!(inode(), before, "it was made anew");
    // Where nothing can be kept, it is made each time.
    let file = scratch.path().join("file");
    std::fs::write(&file, "").expect("a file");
    make(&program, Columns::NONE, &Cache::at(file.join("below")));
}

/// The errors of those of these traces that are wrong, which every engine has to find alike.
fn differences(program: &Program, traces: &[Trace], no_memory: bool) -> Vec<String> {
    let options = check::Options {
        jobs: Some(1),
        no_memory,
        ..check::Options::default()
    };
    // With memory: followed in order, or brought together from what each chunk read and wrote.
    let sets: &[Columns] = match no_memory {
        true => &[Columns::NONE],
        false => &[Columns::FOLLOW, Columns::MEMORY],
    };
    assert!(sets.contains(&options.columns()));
    let engines: Vec<_> = sets
        .iter()
        .map(|columns| {
            Engine::choose(program, *columns, Choice::Compiled, &Cache::none())
                .unwrap_or_else(|e| panic!("no compiled code: {e}"))
                .0
        })
        .collect();
    let text = |r: Result<check::Report, check::CheckError>| r.map_err(|e| e.to_string());
    let mut wrong = Vec::new();
    for trace in traces {
        let wanted = text(check(trace, program, &options, &mut |_| {})).err();
        for engine in &engines {
            let found = text(check_with(trace, engine, &options, &mut |_| {}));
            assert_eq!(found.err(), wanted);
        }
        wrong.extend(wanted);
    }
    wrong
}

/// The trace with some bits of a byte turned over and checksums that fit, if it can be opened.
fn altered(good: &[u8], at: usize, bits: u8) -> Option<Trace> {
    let mut bytes = good.to_vec();
    bytes[at] ^= bits;
    common::repair(&mut bytes)?;
    Trace::from_bytes(bytes).ok()
}

/// Every altered trace gives the same error, whatever engine checks it.
#[test]
fn both_engines_find_the_same_differences() {
    let program = program();
    for (chunk_steps, no_memory) in [(16, false), (16, true), (1 << 18, false)] {
        let good = trace_bytes(&program, chunk_steps);
        let traces: Vec<Trace> = (0..good.len())
            .filter_map(|at| altered(&good, at, 1 << (at % 8)))
            .collect();
        assert!(traces.len() > 500, "{} can be opened", traces.len());
        let wrong = differences(&program, &traces, no_memory).len();
        assert!(wrong > 300, "{wrong} are wrong");
    }
}

/// A run ends where an atomic is misaligned. An altered trace may go on behind it: whatever
/// compiled code computes from there on, the interpreter's error is found.
#[test]
fn a_trace_that_goes_on_behind_a_misaligned_atomic_is_wrong() {
    const POINTER: u8 = 5;
    const BASE: u8 = 8;
    let i = Inst::new;
    let place = 0x11008u64;
    let mut code = vec![
        i(Op::Lui, BASE, 0, 0, 0x11000),
        i(Op::Addi, POINTER, BASE, 0, 8),
        i(Op::Sd, 0, BASE, POINTER, 0),
    ];
    let atomics = [
        Op::LrW,
        Op::ScW,
        Op::LrD,
        Op::ScD,
        Op::AmoaddW,
        Op::AmoswapD,
        Op::AmomaxuW,
        Op::AmominD,
    ];
    for op in atomics {
        for (rd, rs2) in [(6, 7), (POINTER, 7), (6, POINTER), (7, 7), (0, 0)] {
            let rs2 = if matches!(op, Op::LrW | Op::LrD) {
                0
            } else {
                rs2
            };
            code.extend([
                i(Op::Ld, POINTER, BASE, 0, 0),
                i(Op::Addi, 7, 7, 0, 3),
                i(op, rd, POINTER, rs2, 0),
                i(Op::Add, 6, 6, rd, 0),
            ]);
        }
    }
    code.extend([
        i(Op::Addi, 10, 0, 0, 0),
        i(Op::Addi, 17, 0, 0, hartlog_abi::number::EXIT as i32),
        i(Op::Ecall, 0, 0, 0, 0),
    ]);
    let program = common::parse(&code);
    for chunk_steps in [3, 16, 1 << 18] {
        let good = trace_bytes(&program, chunk_steps);
        let pointers = (0..good.len() - 8).filter(|at| good[*at..*at + 8] == place.to_le_bytes());
        let traces: Vec<Trace> = pointers
            .flat_map(|at| [1, 2, 4, 7].map(|bits| altered(&good, at, bits)))
            .flatten()
            .collect();
        for no_memory in [true, false] {
            let wrong = differences(&program, &traces, no_memory);
            let misaligned = wrong.iter().filter(|e| e.contains("misaligned")).count();
            match no_memory {
                true => assert!(misaligned > 40, "{misaligned} of {}", traces.len()),
                false => assert_eq!(wrong.len(), traces.len()),
            }
        }
    }
}
