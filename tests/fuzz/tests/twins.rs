//! The trace of one program given out for that of its twin, which differs in what its memory may be
//! used for: everything else fits, so only the protections of memory tell.

use fuzz::alter::{assemble, records, repair};
use hartlog_elf::Elf;
use hartlog_format::status::FaultKind;
use hartlog_format::trace::{ChunkHeader, FileHeader};
use hartlog_isa::{Inst, Op};
use replay::check::{self, CheckError};
use replay::engine::{Cache, Choice, Engine};
use replay::error::DifferenceKind;
use replay::interp::{End, Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::{Trace, TraceError};
use replay::witness::Columns;
use std::mem::offset_of;
use tests::elf::{Image, PF_R, PF_W, PF_X, Segment};
use zerocopy::{FromBytes, IntoBytes};

const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x1000_0000;

/// Code at [`CODE`], with 8 bytes at [`DATA`] for which these flags are set, or nothing there.
fn program(code: &[Inst], data: Option<u32>) -> Program {
    let bytes = code.iter().flat_map(|i| i.encode().to_le_bytes()).collect();
    let mut segments = vec![Segment::new(CODE, bytes, PF_R | PF_X)];
    segments.extend(data.map(|flags| Segment::new(DATA, vec![0; 8], flags)));
    let image = Image {
        entry: CODE,
        segments,
        ..Image::default()
    };
    Program::new(Elf::parse(image.build()).expect("a program"))
}

/// An access to [`DATA`], then an exit with status 0.
fn code(access: Inst) -> Vec<Inst> {
    vec![
        Inst::new(Op::Lui, 8, 0, 0, DATA as i32),
        access,
        Inst::new(Op::Addi, 10, 0, 0, 0),
        Inst::new(Op::Addi, 17, 0, 0, 93),
        Inst::new(Op::Ecall, 0, 0, 0, 0),
    ]
}

fn trace_of(program: &Program, chunk_steps: u64) -> (End, Vec<u8>) {
    let mut bytes = Vec::new();
    let options = Options {
        chunk_steps,
        ..Options::default()
    };
    let end = Interpreter::new(program, options)
        .and_then(|mut i| i.run_traced(&mut Buffers::default(), &mut bytes))
        .expect("it runs");
    (end, bytes)
}

/// The trace of `of` with the name of `twin` in it.
fn given_out_for(of: &Program, twin: &Program) -> (End, Trace) {
    let (end, mut bytes) = trace_of(of, 1 << 18);
    let at = offset_of!(FileHeader, elf_sha256);
    bytes[at..at + 32].copy_from_slice(&twin.elf().sha256);
    let _ = repair(&mut bytes);
    (end, Trace::from_bytes(bytes).expect("a trace"))
}

fn refusal(trace: &Trace, program: &Program, no_memory: bool) -> DifferenceKind {
    let options = check::Options {
        jobs: Some(1),
        no_memory,
        ..Default::default()
    };
    let difference = |result| match result {
        Err(CheckError::Difference(difference)) => *difference,
        other => panic!("it is not the twin's: {other:?}"),
    };
    let wanted = difference(check::check(trace, program, &options, &mut |_| {}));
    // Compiled code finds the same: what memory forbids, by a signal where memory is followed.
    let sets: &[Columns] = match no_memory {
        true => &[Columns::NONE],
        false => &[Columns::FOLLOW, Columns::MEMORY],
    };
    for columns in sets {
        let (engine, _) = Engine::choose(program, *columns, Choice::Compiled, &Cache::none())
            .unwrap_or_else(|e| panic!("no compiled code: {e}"));
        let found = check::check_with(trace, &engine, &options, &mut |_| {});
        assert_eq!(difference(found), wanted, "{columns:?}");
    }
    wanted.kind
}

#[test]
fn memory_that_may_not_be_used_so_is_not() {
    let load = code(Inst::new(Op::Ld, 5, 8, 0, 0));
    let store = code(Inst::new(Op::Sd, 0, 8, 5, 0));
    let add = code(Inst::new(Op::AmoaddD, 5, 8, 6, 0));
    let writable = Some(PF_R | PF_W);
    let cases = [
        ("a load from nothing", &load, writable, None, false),
        ("a store to nothing", &store, writable, None, true),
        (
            "a store to what is read-only",
            &store,
            writable,
            Some(PF_R),
            true,
        ),
        (
            "an atomic of what is read-only",
            &add,
            writable,
            Some(PF_R),
            true,
        ),
    ];
    for (name, code, of, twin, write) in cases {
        let (of, twin) = (program(code, of), program(code, twin));
        let (end, trace) = given_out_for(&of, &twin);
        assert_eq!(end, End::Exit(0), "{name}");
        let expected = DifferenceKind::Access { addr: DATA, write };
        assert_eq!(refusal(&trace, &twin, false), expected, "{name}");
        // And the other way round: the twin faults where it does not.
        let (end, trace) = given_out_for(&twin, &of);
        let End::Fault(fault) = end else {
            panic!("{name}: {end:?}")
        };
        let expected = DifferenceKind::NoFault { expected: fault };
        assert_eq!(refusal(&trace, &of, false), expected, "{name}");
    }
}

/// The header of the last chunk, altered.
fn with_last(bytes: &[u8], alter: impl Fn(&mut ChunkHeader)) -> Vec<u8> {
    let mut records = records(bytes);
    let last = records.last_mut().expect("a chunk");
    let (mut chunk, _) = ChunkHeader::read_from_prefix(last).expect("a record");
    alter(&mut chunk);
    last[..size_of::<ChunkHeader>()].copy_from_slice(chunk.as_bytes());
    assemble(bytes, &records)
}

#[test]
fn without_memory_a_fault_still_fits_its_instruction() {
    let program = program(&code(Inst::new(Op::Ld, 5, 8, 0, 0)), None);
    let (end, bytes) = trace_of(&program, 1 << 18);
    assert!(matches!(end, End::Fault(f) if f.kind == FaultKind::LoadAccess));
    for kind in 0..=255 {
        let Some(kind) = FaultKind::from_code(kind).filter(|k| *k != FaultKind::LoadAccess) else {
            continue;
        };
        let altered = with_last(&bytes, |chunk| chunk.end_code = (kind as u32).into());
        let trace = Trace::from_bytes(altered).expect("a trace");
        let found = refusal(&trace, &program, true);
        assert!(matches!(found, DifferenceKind::NoFault { .. }), "{found:?}");
    }
    let altered = with_last(&bytes, |chunk| chunk.end_value = (DATA + 8).into());
    let trace = Trace::from_bytes(altered).expect("a trace");
    let found = refusal(&trace, &program, true);
    assert!(matches!(found, DifferenceKind::NoFault { .. }), "{found:?}");
}

#[test]
fn a_fault_does_not_end_a_full_chunk() {
    let program = program(&code(Inst::new(Op::Ld, 5, 8, 0, 0)), None);
    let (_, bytes) = trace_of(&program, 1);
    let own = records(&bytes);
    let [full, fault] = &own[..] else {
        panic!(
            "a full chunk, and the fault in one of its own: {}",
            own.len()
        );
    };
    let (fault, _) = ChunkHeader::read_from_prefix(fault).expect("a record");
    let (mut chunk, _) = ChunkHeader::read_from_prefix(full).expect("a record");
    (chunk.end_kind, chunk.end_code, chunk.end_value) =
        (fault.end_kind, fault.end_code, fault.end_value);
    let mut record = full.clone();
    record[..size_of::<ChunkHeader>()].copy_from_slice(chunk.as_bytes());
    let error = Trace::from_bytes(assemble(&bytes, &[record])).expect_err("no run writes that");
    assert!(
        matches!(error, TraceError::Order { chunk: 0, .. }),
        "{error}"
    );
}

#[test]
fn chunks_are_numbered_from_0() {
    const STEPS: u64 = 16;
    let program = program(&code(Inst::new(Op::Addi, 5, 0, 0, 0)), None);
    let (_, bytes) = trace_of(&program, STEPS);
    // Everything as if there had been a chunk before: number, steps, and the step of the event.
    let mut moved = bytes.clone();
    let trace = Trace::from_bytes(bytes).expect("a trace");
    let chunk = trace.chunk(0).expect("it is there");
    assert!(chunk.log.is_empty() && chunk.events().count() == 1);
    let at = chunk.offset as usize;
    for (field, value) in [
        (offset_of!(ChunkHeader, index), 1),
        (offset_of!(ChunkHeader, first_step), STEPS),
        (
            size_of::<ChunkHeader>(),
            STEPS + chunk.header.steps.get() - 1,
        ),
    ] {
        moved[at + field..][..8].copy_from_slice(&u64::to_le_bytes(value));
    }
    let _ = repair(&mut moved);
    let error = Trace::from_bytes(moved).expect_err("its first chunk is missing");
    assert!(
        matches!(error, TraceError::Order { chunk: 0, .. }),
        "{error}"
    );
}
