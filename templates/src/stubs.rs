//! Entry to and exit from generated code; one definition of every object.

use crate::asm::{Asm, Gpr, Mem, Size};
use crate::emit::{Config, Mode};
use crate::place::{A, BUDGET, D, LOG, STATE, field, slot};
use hartlog_format::contract::{STATE_BIAS, offset, reason};

/// Code of the stubs and where each of them starts.
#[derive(Clone, Debug)]
pub struct Stubs {
    /// The code. It refers to nothing outside.
    pub code: Vec<u8>,
    /// Leaves with `reason::JUMP`; at offset 0. Guest pc in rdx, as a number of entries of the jump
    /// table from its base. Entries at which no block starts lead here.
    pub far: u32,
    /// The same; guest pc in rax.
    pub jump: u32,
    /// Leaves with `reason::CHUNK_END`; guest pc in rax.
    pub chunk_end: u32,
    /// Leaves with `reason::ECALL`; guest pc in rax.
    pub ecall: u32,
    /// Leaves with `reason::ADDRESS`; rax is stored as the pc.
    pub address: u32,
    /// Leaves with `reason::MISMATCH`; rax is stored as the pc.
    pub mismatch: u32,
    /// Leaves with pc and reason as they are in the state block.
    pub leave: u32,
    /// `extern "C" fn(state, target)`: see `hartlog_format::contract`.
    pub enter: u32,
}

/// Registers that the System V ABI has the callee preserve (psABI x86-64, 3.2.1).
const SAVED: [Gpr; 6] = [Gpr::Rbx, Gpr::Rbp, Gpr::R12, Gpr::R13, Gpr::R14, Gpr::R15];

/// Assembles the stubs for a register placement.
pub fn stubs(config: &Config) -> Stubs {
    let log = config.mode != Mode::Fast;
    let rows = config.row_counter().map(|r| (offset::ROWS, r));
    let ops = config.op_pointer().map(|r| (offset::OPS, r));
    let pointers: Vec<(i32, Gpr)> = rows.into_iter().chain(ops).collect();
    let mut asm = Asm::new();
    let leave_label = asm.label();
    let with_reason = |asm: &mut Asm, reason: u64| {
        let at = asm.pos();
        asm.store(Size::Q, field(offset::PC), A);
        asm.store_imm(Size::Q, field(offset::REASON), reason as i32);
        asm.jmp(leave_label);
        at
    };
    let far = asm.pos();
    asm.mov_imm(A, config.table_base as i64);
    let pc = Mem {
        base: Some(A),
        index: Some((D, 2)),
        disp: 0,
        narrow: false,
    };
    asm.lea(Size::Q, A, pc);
    let jump = with_reason(&mut asm, reason::JUMP);
    let chunk_end = with_reason(&mut asm, reason::CHUNK_END);
    let ecall = with_reason(&mut asm, reason::ECALL);
    let address = with_reason(&mut asm, reason::ADDRESS);
    let mismatch = with_reason(&mut asm, reason::MISMATCH);

    let leave = asm.pos();
    asm.bind(leave_label);
    for (r, home) in config.placement.pinned() {
        asm.store(Size::Q, slot(r), home);
    }
    if log {
        asm.store(Size::Q, field(offset::LOG), LOG);
    }
    for (place, pointer) in pointers.iter().copied() {
        asm.store(Size::Q, field(place), pointer);
    }
    asm.store(Size::Q, field(offset::BUDGET), BUDGET);
    asm.mov(Size::Q, Gpr::Rsp, field(offset::HOST_RSP));
    for r in SAVED.into_iter().rev() {
        asm.pop(r);
    }
    asm.ret();

    let enter = asm.pos();
    for r in SAVED {
        asm.push(r);
    }
    asm.lea(Size::Q, STATE, Mem::host(Gpr::Rdi, STATE_BIAS));
    asm.store(Size::Q, field(offset::HOST_RSP), Gpr::Rsp);
    asm.mov(Size::Q, A, Gpr::Rsi);
    for (r, home) in config.placement.pinned() {
        asm.mov(Size::Q, home, slot(r));
    }
    asm.mov(Size::Q, BUDGET, field(offset::BUDGET));
    if log {
        asm.mov(Size::Q, LOG, field(offset::LOG));
    }
    for (place, pointer) in pointers {
        asm.mov(Size::Q, pointer, field(place));
    }
    asm.jmp_reg(A);
    let code = asm.finish();
    Stubs {
        code,
        far: asm.moved(far),
        jump: asm.moved(jump),
        chunk_end: asm.moved(chunk_end),
        ecall: asm.moved(ecall),
        address: asm.moved(address),
        mismatch: asm.moved(mismatch),
        leave: asm.moved(leave),
        enter: asm.moved(enter),
    }
}
