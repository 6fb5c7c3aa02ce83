//! A program for the examples of the documentation and for tests.

use hartlog_isa::{Inst, Op};

/// An ELF whose only segment holds these instructions, at 0x10000, with 4 KiB of zeroed, writable
/// memory behind the page.
pub fn elf(code: &[Inst]) -> Vec<u8> {
    const BASE: u64 = 0x1_0000;
    const HEADERS: u64 = 64 + 2 * 56;
    let text: Vec<u8> = code
        .iter()
        .flat_map(|i| i.raw.to_le_bytes()[..usize::from(i.len)].to_vec())
        .collect();
    let mut out = Vec::new();
    let half = |value: u16| value.to_le_bytes().to_vec();
    out.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.extend(half(2)); // ET_EXEC
    out.extend(half(243)); // EM_RISCV
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&(BASE + HEADERS).to_le_bytes());
    out.extend_from_slice(&64u64.to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes()); // EF_RISCV_RVC
    for field in [64, 56, 2, 64, 0, 0] {
        out.extend(half(field));
    }
    let size = HEADERS + text.len() as u64;
    let mut segment = |flags: u32, vaddr: u64, file: u64, memory: u64| {
        out.extend_from_slice(&1u32.to_le_bytes()); // PT_LOAD
        out.extend_from_slice(&flags.to_le_bytes());
        for field in [0, vaddr, vaddr, file, memory, 4096] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    };
    segment(5, BASE, size, size);
    segment(6, BASE + size.next_multiple_of(4096), 0, 4096);
    out.extend(text);
    out
}

/// A program that exits with status 0.
pub fn exit_elf() -> Vec<u8> {
    const EXIT: i32 = hartlog_abi::number::EXIT as i32;
    elf(&[
        Inst::new(Op::Addi, 17, 0, 0, EXIT),
        Inst::new(Op::Ecall, 0, 0, 0, 0),
    ])
}

/// The trace of a program that needs no input, by the reference interpreter.
///
/// # Errors
/// Those of the interpreter.
pub fn trace(program: &crate::program::Program) -> Result<Vec<u8>, crate::interp::InterpretError> {
    let mut file = Vec::new();
    crate::interp::Interpreter::new(program, crate::interp::Options::default())?
        .run_traced(&mut crate::io::Buffers::default(), &mut file)?;
    Ok(file)
}
