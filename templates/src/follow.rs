//! Replay that follows memory: values read come from the log and are compared with what memory
//! holds, and what is stored goes there.
//!
//! Guest address 0 is at a fixed distance from the state block, so an address is one operand. The
//! register that it is formed from is compared with the largest address once for each of its
//! values; what is left, a displacement, cannot lead beyond the guards on both sides of memory. The
//! protection of pages is that of the host: an access that it forbids raises a signal.

use crate::asm::{Alu, Cond, Gpr, Mem, Size};
use crate::emit::{Emitter, Lazy, Stub};
use crate::memory::size;
use crate::place::{A, D, STATE, field};
use hartlog_format::contract::{LAST_ADDRESS, offset};
use hartlog_format::witness::{Columns, image};
use hartlog_isa::{Inst, Op, Width};

/// An address before its parts are in registers.
#[derive(Clone, Copy)]
enum Address {
    Known(u64),
    /// The value of a register and a constant; the register that the instruction names has that
    /// value plus `moved`.
    Plain {
        base: u8,
        disp: i32,
        moved: i32,
    },
    /// `base + scale * index`, and a constant.
    Scaled {
        base: u8,
        index: u8,
        scale: u8,
        disp: i32,
    },
}

impl Address {
    /// Its registers; x0 where there is none.
    fn parts(self) -> [u8; 2] {
        match self {
            Address::Known(_) => [0, 0],
            Address::Plain { base, .. } => [base, 0],
            Address::Scaled { base, index, .. } => [base, index],
        }
    }
}

impl Emitter<'_> {
    /// Whether memory is followed.
    pub(crate) fn following(&self) -> bool {
        self.config.columns.contains(Columns::FOLLOW)
    }

    pub(crate) fn follow_load(&mut self, inst: &Inst, width: Width) {
        let address = self.whole_address(inst, inst.rd);
        self.loans.protect(address.parts());
        self.consume(inst);
        if inst.rd != 0 {
            self.define(inst.rd);
            self.loans.defining = Some(inst.rd);
        }
        let dst = if inst.rd == 0 { D } else { self.dst(inst.rd) };
        let memory = self.in_memory(inst, address);
        // The value must not be where the address is.
        let taken = memory.index.is_some_and(|(r, _)| r == dst);
        let at = if taken { D } else { dst };
        let logged = self.logged(width);
        match inst.op {
            Op::Lb | Op::Lh | Op::Lw => self.asm.movsx(size(width), at, logged),
            _ => self.asm.movzx(size(width), at, logged),
        }
        self.compare(width, at, memory, logged);
        self.loaded(inst, at);
    }

    pub(crate) fn follow_store(&mut self, inst: &Inst, width: Width) {
        let (value, immediate) = self.store_value(inst.rs2, width);
        let address = self.whole_address(inst, 0);
        self.loans.protect(address.parts());
        self.consume(inst);
        let memory = self.in_memory(inst, address);
        let value = self.still(inst.rs2, value);
        match immediate {
            Some(v) => self.asm.store_imm(size(width), memory, v),
            None => {
                let value = self.in_reg(value, Size::Q, D);
                self.asm.store(size(width), memory, value);
            }
        }
    }

    /// The old value stays in rdx.
    pub(crate) fn follow_amo(&mut self, inst: &Inst, width: Width) {
        let (memory, old) = self.follow_old(inst, width);
        let operand = self.home(inst.rs2);
        let operand = self.rm(operand);
        self.amo_combine(inst.op, size(width), operand);
        self.asm.store(size(width), memory, D);
        self.asm.mov(size(width), D, old);
    }

    /// The value stays in rdx.
    pub(crate) fn follow_load_reserved(&mut self, inst: &Inst, width: Width) {
        self.follow_old(inst, width);
    }

    /// The value that an atomic reads, into rdx; where it is in memory and in the log.
    fn follow_old(&mut self, inst: &Inst, width: Width) -> (Mem, Mem) {
        let memory = self.atomic_in_memory(inst);
        let logged = self.logged(width);
        self.asm.mov(size(width), D, logged);
        self.compare(width, D, memory, logged);
        (memory, logged)
    }

    /// A store conditional that stores; its address is in rax. A reservation that did not come from
    /// a load may be anything.
    pub(crate) fn follow_conditional(&mut self, width: Width, value: Gpr) {
        self.check_last(A);
        self.asm.store(size(width), in_memory(A, 0), value);
    }

    /// The address `rs1 + imm`, all 64 bits of it, folding a deferred rs1. `rd` is written
    /// afterwards (0: none).
    fn whole_address(&mut self, inst: &Inst, rd: u8) -> Address {
        let plain = Address::Plain {
            base: inst.rs1,
            disp: inst.imm,
            moved: 0,
        };
        let known = |c: i64| Address::Known(c.wrapping_add(i64::from(inst.imm)) as u64);
        let def = match self.lazy(inst.rs1) {
            _ if inst.rs1 == 0 => return known(0),
            Some(Lazy::Const(c)) => return known(c),
            None => return plain,
            Some(Lazy::Inst(def)) => def,
        };
        let scaled = |scale: u8| {
            (def.rs1 != 0 && def.rs2 != 0 && def.imm == 0).then_some(Address::Scaled {
                base: def.rs2,
                index: def.rs1,
                scale,
                disp: inst.imm,
            })
        };
        let folded = match def.op {
            Op::Addi if def.rs1 != 0 => {
                let disp = inst.imm + def.imm;
                (disp.abs() <= image::REACH).then_some(Address::Plain {
                    base: def.rs1,
                    disp,
                    moved: def.imm,
                })
            }
            Op::Add => scaled(1),
            Op::Sh1add => scaled(2),
            Op::Sh2add => scaled(4),
            Op::Sh3add => scaled(8),
            _ => None,
        };
        match folded {
            Some(address) if !self.flush_hits(rd, &def) => address,
            _ => {
                self.settle(inst.rs1);
                plain
            }
        }
    }

    /// Where memory has the bytes at an address. May use rax; uses rdx only until then.
    fn in_memory(&mut self, inst: &Inst, address: Address) -> Mem {
        for r in address.parts() {
            self.keep(r);
        }
        match address {
            Address::Known(addr) => {
                if addr > LAST_ADDRESS {
                    self.asm.alu(Alu::Cmp, Size::D, A, A);
                    self.jcc_stub(Cond::E, Stub::Address);
                }
                let disp = i32::try_from(addr).ok();
                match disp.and_then(|d| image::DISPLACEMENT.checked_add(d)) {
                    Some(disp) => Mem::host(STATE, disp),
                    None => {
                        self.asm.mov_imm(A, (addr & LAST_ADDRESS) as i64);
                        in_memory(A, 0)
                    }
                }
            }
            Address::Plain { base, disp, moved } => {
                let base = self.reg_full(base, A);
                if self.window.check_base(inst, moved) {
                    self.check_last(base);
                }
                in_memory(base, disp)
            }
            Address::Scaled {
                base,
                index,
                scale,
                disp,
            } => {
                let index = self.reg_full(index, A);
                let base = self.reg_full(base, D);
                let sum = Mem {
                    base: Some(base),
                    index: Some((index, scale)),
                    disp: 0,
                    narrow: false,
                };
                self.asm.lea(Size::Q, A, sum);
                if self.window.check_base(inst, 0) {
                    self.check_last(A);
                }
                in_memory(A, disp)
            }
        }
    }

    /// Where memory has the bytes that an atomic accesses; everything is settled.
    fn atomic_in_memory(&mut self, inst: &Inst) -> Mem {
        let base = self.reg_full(inst.rs1, A);
        self.check_last(base);
        in_memory(base, 0)
    }

    /// Leaves if a register is beyond the last address.
    fn check_last(&mut self, base: Gpr) {
        self.asm
            .alu(Alu::Cmp, Size::Q, base, field(offset::LAST_ADDRESS));
        self.jcc_stub(Cond::A, Stub::Address);
    }

    /// Leaves if a value read, from the place `logged`, is not what is in memory.
    fn compare(&mut self, width: Width, value: Gpr, memory: Mem, logged: Mem) {
        self.asm.cmp_mem(size(width), value, memory);
        self.unless_same(logged.disp);
    }
}

fn in_memory(base: Gpr, disp: i32) -> Mem {
    Mem {
        base: Some(STATE),
        index: Some((base, 1)),
        disp: image::DISPLACEMENT + disp,
        narrow: false,
    }
}
