//! A small program that reads, writes and calls in every way, and tools to alter its trace.
#![allow(dead_code)]

use hartlog_format::trace::*;
use hartlog_isa::{Inst, Op};
use replay::check::{self, check};
use replay::interp::{Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use std::mem::offset_of;
use zerocopy::FromBytes;

const ZERO: u8 = 0;
const SP: u8 = 2;
const T0: u8 = 5;
const T1: u8 = 6;
const T2: u8 = 7;
const S0: u8 = 8;
const A0: u8 = 10;
const A1: u8 = 11;
const A2: u8 = 12;
const A3: u8 = 13;
const A7: u8 = 17;

fn call(code: &mut Vec<Inst>, number: u64) {
    code.push(Inst::new(Op::Addi, A7, ZERO, 0, number as i32));
    code.push(Inst::new(Op::Ecall, 0, 0, 0, 0));
}

fn code(status: i32) -> Vec<Inst> {
    use hartlog_abi::number;
    let i = Inst::new;
    let mut code = vec![
        i(Op::Lui, S0, 0, 0, 0x11000),
        i(Op::Addi, T0, ZERO, 0, 5),
        // Loop.
        i(Op::Sd, 0, S0, T0, 0),
        i(Op::Ld, T1, S0, 0, 0),
        i(Op::Lw, T2, S0, 0, 2),
        i(Op::AmoaddD, T1, S0, T0, 0),
        i(Op::LrD, T1, S0, 0, 0),
        i(Op::ScD, T2, S0, T0, 0),
        i(Op::Lbu, T1, S0, 0, 64),
        i(Op::Sh, 0, S0, T1, 63),
        i(Op::Addi, T0, T0, 0, -1),
        i(Op::Bne, 0, T0, ZERO, -36),
        i(Op::Ld, A3, SP, 0, 0),
        i(Op::Addi, A0, ZERO, 0, 1),
        i(Op::Addi, A1, S0, 0, 0),
        i(Op::Addi, A2, ZERO, 0, 8),
    ];
    call(&mut code, number::WRITE);
    code.extend([
        i(Op::Addi, A0, S0, 0, 128),
        i(Op::Addi, A1, ZERO, 0, 13),
        i(Op::Addi, A2, ZERO, 0, 0),
    ]);
    call(&mut code, number::GETRANDOM);
    code.extend([
        i(Op::Ld, T1, S0, 0, 128),
        i(Op::Addi, A0, ZERO, 0, 1),
        i(Op::Addi, A1, S0, 0, 256),
    ]);
    call(&mut code, number::CLOCK_GETTIME);
    code.push(i(Op::Addi, A0, ZERO, 0, 0));
    call(&mut code, number::BRK);
    code.extend([i(Op::Addi, T0, A0, 0, 0), i(Op::Addi, A0, A0, 0, 2047)]);
    call(&mut code, number::BRK);
    code.extend([
        i(Op::Ld, T1, T0, 0, 8),
        i(Op::Sd, 0, T0, T0, 8),
        i(Op::Ld, T1, T0, 0, 8),
        i(Op::Csrrs, T2, ZERO, 0, 0xc00),
        i(Op::Addi, A0, ZERO, 0, status),
    ]);
    call(&mut code, number::EXIT);
    code
}

/// The program.
pub fn program() -> Program {
    parse(&code(3))
}

/// Almost the same program.
pub fn other_program() -> Program {
    parse(&code(4))
}

pub fn parse(code: &[Inst]) -> Program {
    Program::new(hartlog_elf::Elf::parse(replay::doc::elf(code)).expect("a valid ELF"))
}

/// Its trace.
pub fn trace_bytes(program: &Program, chunk_steps: u64) -> Vec<u8> {
    let options = Options {
        chunk_steps,
        ..Options::default()
    };
    let mut bytes = Vec::new();
    Interpreter::new(program, options)
        .expect("it loads")
        .run_traced(&mut Buffers::default(), &mut bytes)
        .expect("it runs");
    bytes
}

/// Opens and checks a trace that must be complete.
pub fn check_bytes(program: &Program, bytes: Vec<u8>) -> Result<(), String> {
    let trace = Trace::from_bytes(bytes).map_err(|e| e.to_string())?;
    let options = check::Options {
        jobs: Some(1),
        ..check::Options::default()
    };
    check(&trace, program, &options, &mut |_| {}).map_err(|e| e.to_string())?;
    if trace.is_complete() {
        Ok(())
    } else {
        Err("incomplete".to_owned())
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn len_at(bytes: &[u8], at: usize) -> Option<usize> {
    let len = usize::try_from(u64_at(bytes, at)?).ok()?;
    (len <= bytes.len()).then_some(len)
}

fn padded(len: usize) -> usize {
    pad8(len as u64) as usize
}

/// End of the chunk record at an offset, if it is whole.
pub fn chunk_end(bytes: &[u8], at: usize) -> Option<usize> {
    let log = len_at(bytes, at + offset_of!(ChunkHeader, log_len))?;
    let events = len_at(bytes, at + offset_of!(ChunkHeader, events_len))?;
    let end = at + size_of::<ChunkHeader>() + padded(log) + events;
    (end <= bytes.len()).then_some(end)
}

/// Makes all checksums right, as far as the structure can be followed.
pub fn repair(bytes: &mut [u8]) -> Option<()> {
    let args = len_at(bytes, offset_of!(FileHeader, args_len))?;
    let args_at = size_of::<FileHeader>();
    let (header, _) = FileHeader::read_from_prefix(bytes).ok()?;
    let seed = header_checksum(&header, bytes.get(args_at..args_at + args)?);
    let mut at = args_at + padded(args);
    bytes
        .get_mut(at..at + 8)?
        .copy_from_slice(&seed.to_le_bytes());
    at += 8;
    while bytes.get(at..at + 4) == Some(&CHUNK_MAGIC) {
        let end = chunk_end(bytes, at)?;
        let (header, _) = ChunkHeader::read_from_prefix(&bytes[at..]).ok()?;
        let log_at = at + size_of::<ChunkHeader>();
        let log = len_at(bytes, at + offset_of!(ChunkHeader, log_len))?;
        let events = &bytes[log_at + padded(log)..end];
        let sum = chunk_checksum(&header, &bytes[log_at..log_at + log], events);
        let field = at + offset_of!(ChunkHeader, checksum);
        bytes[field..field + 8].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
    let tail = bytes.len().checked_sub(size_of::<FooterTail>())?;
    let sum = checksum_after(seed, bytes.get(at..tail)?);
    let field = tail + offset_of!(FooterTail, checksum);
    bytes[field..field + 8].copy_from_slice(&sum.to_le_bytes());
    Some(())
}

/// Writes a footer that fits the chunk records from `first` on, except for the output.
pub fn rebuild_footer(bytes: &mut Vec<u8>, first: usize, count: usize) {
    let (mut at, mut steps, mut offsets, mut end) = (first, 0, Vec::new(), None);
    for _ in 0..count {
        let (header, _) = ChunkHeader::read_from_prefix(&bytes[at..]).expect("a whole header");
        offsets.extend_from_slice(&(at as u64).to_le_bytes());
        steps += header.steps.get();
        end = Some((header.end_kind, header.end_code));
        at = chunk_end(bytes, at).expect("a whole record");
    }
    let (mut footer, _) = FooterHeader::read_from_prefix(&bytes[at..]).expect("a whole footer");
    footer.chunks = (count as u64).into();
    footer.total_steps = steps.into();
    (footer.end_kind, footer.end_code) = end.expect("a chunk");
    let tail = FooterTail {
        checksum: 0.into(),
        footer_offset: (at as u64).into(),
        magic: TAIL_MAGIC,
    };
    bytes.truncate(at);
    bytes.extend_from_slice(zerocopy::IntoBytes::as_bytes(&footer));
    bytes.extend_from_slice(&offsets);
    bytes.extend_from_slice(zerocopy::IntoBytes::as_bytes(&tail));
}
