//! Replay: witness rows and memory operations, and the check of addresses.
//!
//! Row `i` of a block goes to the place that the row counter names plus `i`; the counter moves
//! once, when the block is left, as the log pointer does. Where rows are written, every value is
//! computed where it stands: nothing but constants is deferred.
//!
//! An address outside the guest's window leaves at once, with the registers as they happen to be:
//! the chunk is wrong then, and is executed again by the interpreter, which says where.

use crate::asm::{Alu, Cond, Gpr, Mem, Size};
use crate::emit::{Emitter, Lazy, Mode, Src, Stub};
use crate::place::{A, D, STATE, field};
use crate::window::Span;
use hartlog_format::contract::{WINDOW, offset};
use hartlog_format::layout::{GUEST_END, GUEST_MIN};
use hartlog_format::witness::{Columns, MemoryOp, area, displacement};
use hartlog_isa::{Effect, Inst, Width};
use std::mem::{offset_of, size_of};

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// What is left to do when a block is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Rows.
    pub rows: u32,
    /// Bytes of memory operations.
    pub ops: u32,
}

impl Written {
    pub fn nothing(self) -> bool {
        self == Written::default()
    }
}

impl Emitter<'_> {
    /// Whether rows are written.
    pub(crate) fn recording(&self) -> bool {
        self.config.columns.has_rows()
    }

    fn wants(&self, columns: Columns) -> bool {
        self.config.columns.intersects(columns)
    }

    /// Whether the values of an access are wanted in any form.
    pub(crate) fn wants_value(&self, access: Access) -> bool {
        self.wants(Columns::MEMORY)
            || self.wants(match access {
                Access::Read => Columns::READ,
                Access::Write => Columns::WRITTEN,
            })
    }

    /// A field of the current row.
    fn column(&self, column: Columns) -> Option<Mem> {
        if !self.wants(column) {
            return None;
        }
        let scale = if column == Columns::PC { 4 } else { 8 };
        Some(Mem {
            base: Some(STATE),
            index: Some((self.config.row_counter()?, scale)),
            disp: displacement(area::column(column)) + self.index as i32 * i32::from(scale),
            narrow: false,
        })
    }

    /// A field of the next memory operation.
    fn op(&self, field: usize) -> Option<Mem> {
        let base = self.config.op_pointer()?;
        Some(Mem::host(base, (self.ops as usize + field) as i32))
    }

    /// Stores a value of 64 bits.
    fn put(&mut self, place: Mem, value: Src) {
        match value {
            Src::Imm(v) => match i32::try_from(v) {
                Ok(v) => self.asm.store_imm(Size::Q, place, v),
                Err(_) => {
                    self.asm.mov_imm(A, v);
                    self.asm.store(Size::Q, place, A);
                }
            },
            value => {
                let host = self.in_reg(value, Size::Q, A);
                self.asm.store(Size::Q, place, host);
            }
        }
    }

    /// Writes what is known before an instruction: pc and sources. Fields that it does not have
    /// are zero already.
    pub(crate) fn row_sources(&mut self, inst: &Inst) {
        self.row = self.index + 1;
        if let Some(place) = self.column(Columns::PC) {
            self.asm.store_imm(Size::D, place, self.pc as i32);
        }
        let (rs1, rs2) = inst.sources();
        if let Some(r) = rs1.filter(|r| *r != 0)
            && let Some(place) = self.column(Columns::RS1)
        {
            let value = self.value_full(r);
            self.put(place, value);
        }
        if let Some(place) = self.column(Columns::RS2) {
            let value = match rs2 {
                Some(r) => self.value_full(r),
                None => Src::Imm(i64::from(inst.imm)),
            };
            self.put(place, value);
        }
    }

    /// Writes the value that the instruction gave to `rd`. Leaves the flags alone, and rax where
    /// the value is a constant of 32 bits or in a host register.
    pub(crate) fn row_result(&mut self, rd: u8) {
        if rd == 0 || !self.recording() {
            return;
        }
        if let Some(place) = self.column(Columns::RD) {
            let value = self.value_full(rd);
            self.put(place, value);
        }
    }

    /// Writes a constant result.
    pub(crate) fn row_constant(&mut self, rd: u8, value: i64, scratch: Gpr) {
        if rd == 0 {
            return;
        }
        if let Some(place) = self.column(Columns::RD) {
            match i32::try_from(value) {
                Ok(v) => self.asm.store_imm(Size::Q, place, v),
                Err(_) => {
                    self.asm.mov_imm(scratch, value);
                    self.asm.store(Size::Q, place, scratch);
                }
            }
        }
    }

    /// Replay of an access: checks the address `rs1 + imm` and writes it where it is wanted. Uses
    /// rax and rdx.
    pub(crate) fn access_address(&mut self, inst: &Inst, width: Width, access: Access) {
        let wanted = self.wants(Columns::ADDR | Columns::MEMORY);
        if let Some(addr) = self.known_address(inst) {
            if addr.wrapping_sub(GUEST_MIN) > WINDOW[window(width)] {
                // Always outside.
                self.asm.alu(Alu::Cmp, Size::D, A, A);
                self.jcc_stub(Cond::E, Stub::Address);
            }
            if wanted {
                self.asm.mov_imm(A, addr as i64);
                self.put_address(A);
            }
            self.begin_op(width, access);
            return;
        }
        // Atomics are checked each on its own.
        let plain = matches!(inst.op.effect(), Effect::Read(_) | Effect::Write(_));
        let span = if plain {
            self.window.check(self.index, inst)
        } else {
            let end = width.bytes() as i32;
            Some(Span { first: 0, end })
        };
        if span.is_none() && !wanted {
            return;
        }
        let mut mem = self.address_operand(inst);
        if wanted {
            let host = match mem {
                Mem {
                    base: Some(r),
                    index: None,
                    disp: 0,
                    ..
                } => r,
                _ => {
                    self.asm.lea(Size::Q, A, mem);
                    A
                }
            };
            self.put_address(host);
            mem = Mem::host(host, 0);
        }
        if let Some(span) = span {
            self.check_span(mem, inst.imm, span);
        }
        self.begin_op(width, access);
    }

    /// An access at an address in a host register that is known to be inside the window. Uses rax.
    pub(crate) fn access_at(&mut self, host: Gpr, width: Width, access: Access) {
        self.put_address(host);
        self.begin_op(width, access);
    }

    /// A side exit, with everything in place: checks what was accessed on the way to it.
    pub(crate) fn check_spans(&mut self, unchecked: &[(u8, Span)]) {
        for (r, span) in unchecked {
            let base = self.reg_full(*r, A);
            self.check_span(Mem::host(base, 0), 0, *span);
        }
    }

    /// Checks what is relative to a register, of which `mem` is the value plus `imm`. Uses rax and
    /// rdx.
    fn check_span(&mut self, mut mem: Mem, imm: i32, span: Span) {
        // From `mem` to the first byte of what is checked, as an offset in the window.
        let more = span.first - imm - GUEST_MIN as i32;
        if let Some(disp) = mem.disp.checked_add(more) {
            mem.disp = disp;
            self.asm.lea(Size::Q, A, mem);
        } else {
            self.asm.lea(Size::Q, A, mem);
            self.asm.alu_imm(Alu::Add, Size::Q, A, more);
        }
        self.check_window(span.len());
    }

    /// rax is an address less `GUEST_MIN`: leaves if not all of so many bytes are inside the window.
    /// Uses rdx.
    fn check_window(&mut self, len: u64) {
        if len <= 8 && len.is_power_of_two() {
            let place = field(offset::WINDOW + 8 * len.trailing_zeros() as i32);
            self.asm.alu(Alu::Cmp, Size::Q, A, place);
        } else {
            self.asm.mov_imm(D, (GUEST_END - GUEST_MIN - len) as i64);
            self.asm.alu(Alu::Cmp, Size::Q, A, D);
        }
        self.jcc_stub(Cond::A, Stub::Address);
    }

    fn put_address(&mut self, host: Gpr) {
        if let Some(place) = self.column(Columns::ADDR) {
            self.asm.store(Size::Q, place, host);
        }
        if let Some(place) = self.op(offset_of!(MemoryOp, addr)) {
            self.asm.store(Size::Q, place, host);
        }
    }

    /// Step and kind of a memory operation. Uses rax.
    fn begin_op(&mut self, width: Width, access: Access) {
        let kind = width.bytes() as u32
            | match access {
                Access::Read => 0,
                Access::Write => MemoryOp::WRITE,
            };
        let Some(place) = self.op(offset_of!(MemoryOp, kind)) else {
            return;
        };
        self.asm.store_imm(Size::D, place, kind as i32);
        if self.wants(Columns::STEPS)
            && let Some(place) = self.op(offset_of!(MemoryOp, step))
        {
            // Steps left: the reader knows how many there were.
            let charged = (self.steps - self.index) as i32;
            self.asm
                .lea(Size::D, A, Mem::host(crate::place::BUDGET, charged));
            self.asm.store(Size::D, place, A);
        }
    }

    /// The value of an access, zero-extended in a host register.
    pub(crate) fn access_value(&mut self, access: Access, value: Gpr) {
        let column = match access {
            Access::Read => Columns::READ,
            Access::Write => Columns::WRITTEN,
        };
        if let Some(place) = self.column(column) {
            self.asm.store(Size::Q, place, value);
        }
        if let Some(place) = self.op(offset_of!(MemoryOp, value)) {
            self.asm.store(Size::Q, place, value);
            self.ops += size_of::<MemoryOp>() as u32;
        }
    }

    /// The value that a store writes.
    pub(crate) fn stored_value(&mut self, inst: &Inst, size: Size, width: Width) {
        if !self.wants_value(Access::Write) {
            return;
        }
        let value = match width {
            Width::D => self.value_full(inst.rs2),
            _ => self.value(inst.rs2),
        };
        let host = match value {
            Src::Imm(v) => {
                self.asm.mov_imm(A, v & width.mask() as i64);
                A
            }
            Src::Reg(r) if width == Width::D => r,
            Src::Reg(r) => {
                self.asm.movzx(size, A, r);
                A
            }
            Src::Slot(m) => {
                self.asm.movzx(size, A, m);
                A
            }
        };
        self.access_value(Access::Write, host);
    }

    /// The address `rs1 + imm`, if it is a constant.
    fn known_address(&self, inst: &Inst) -> Option<u64> {
        let base = match self.lazy(inst.rs1) {
            _ if inst.rs1 == 0 => 0,
            Some(Lazy::Const(c)) => c,
            _ => return None,
        };
        Some(base.wrapping_add(i64::from(inst.imm)) as u64)
    }

    /// The address `rs1 + imm`, all 64 bits of it. May use rax and rdx.
    fn address_operand(&mut self, inst: &Inst) -> Mem {
        if let Some(Lazy::Inst(def)) = self.lazy(inst.rs1) {
            if let Some(mem) = self.folded_address(&def, inst.imm) {
                return mem;
            }
            self.settle(inst.rs1);
        }
        self.loans.protect([inst.rs1]);
        self.keep(inst.rs1);
        let base = self.reg_full(inst.rs1, A);
        Mem::host(base, inst.imm)
    }

    /// A deferred sum as part of an address. Its own sources are in place.
    fn folded_address(&mut self, def: &Inst, imm: i32) -> Option<Mem> {
        use hartlog_isa::Op;
        let disp = imm.checked_add(def.imm)?;
        let scale = match def.op {
            Op::Addi => {
                if def.rs1 == 0 {
                    return None;
                }
                let base = self.reg_full(def.rs1, A);
                return Some(Mem::host(base, disp));
            }
            Op::Add => 1,
            Op::Sh1add => 2,
            Op::Sh2add => 4,
            Op::Sh3add => 8,
            _ => return None,
        };
        if def.rs1 == 0 || def.rs2 == 0 {
            return None;
        }
        let index = self.reg_full(def.rs1, A);
        let base = self.reg_full(def.rs2, D);
        Some(Mem {
            base: Some(base),
            index: Some((index, scale)),
            disp,
            narrow: false,
        })
    }

    /// Advances the log pointer, the row counter and the pointer to memory operations over what
    /// this block wrote. Leaves the flags alone.
    pub(crate) fn advance(&mut self, log: u32, written: Written) {
        if log != 0 {
            let pointer = crate::place::LOG;
            self.asm
                .lea(Size::Q, pointer, Mem::host(pointer, log as i32));
        }
        if written.rows != 0
            && let Some(counter) = self.config.row_counter()
        {
            self.asm
                .lea(Size::Q, counter, Mem::host(counter, written.rows as i32));
        }
        if written.ops != 0
            && let Some(pointer) = self.config.op_pointer()
        {
            self.asm
                .lea(Size::Q, pointer, Mem::host(pointer, written.ops as i32));
        }
    }

    /// What the steps so far wrote, the current one included.
    pub(crate) fn written_so_far(&self) -> Written {
        Written {
            rows: if self.recording() { self.row } else { 0 },
            ops: self.ops,
        }
    }

    /// Whether the code is that of a replay.
    pub(crate) fn replaying(&self) -> bool {
        self.config.mode == Mode::Replay
    }
}

/// Index into `WINDOW` and the state block's copy of it.
fn window(width: Width) -> usize {
    width.bytes().trailing_zeros() as usize
}
