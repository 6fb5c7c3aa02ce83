//! What each instruction does: the only statement of it outside the templates.

use crate::{Inst, Op, Width};

/// Value of [`Hart::reservation`] when none is held. No atomic can name this address, since it is
/// misaligned.
pub const NO_RESERVATION: u64 = u64::MAX;

/// Architectural state of the hart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hart {
    /// x0..x31; x0 is zero.
    pub x: [u64; 32],
    /// Address of the next instruction.
    pub pc: u64,
    /// Address reserved by `lr`, or [`NO_RESERVATION`].
    pub reservation: u64,
}

impl Hart {
    /// A hart about to execute the instruction at `pc`: registers zero, no reservation.
    pub const fn new(pc: u64) -> Hart {
        Hart {
            x: [0; 32],
            pc,
            reservation: NO_RESERVATION,
        }
    }
}

/// The hart's view of memory and time.
pub trait Port {
    /// Why an access failed.
    type Fault;

    /// Reads `width` bytes at `addr` (any alignment), little-endian, zero-extended. Called once
    /// for every entry of the read log, in order; the implementation logs.
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, Self::Fault>;

    /// Writes `width` bytes at `addr` (any alignment), little-endian. Bits of `value` above
    /// `width` are zero.
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), Self::Fault>;

    /// Number of instructions retired before this one, what the counters read as.
    fn steps(&mut self) -> u64;
}

/// How an instruction retired.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done; pc is at the next instruction.
    Next,
    /// `ecall`: pc is at the next instruction, and the caller performs the call.
    Ecall,
}

/// Address of the next instruction, from [`step`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// As [`Outcome::Next`].
    Next(u64),
    /// As [`Outcome::Ecall`].
    Ecall(u64),
}

/// Why an instruction did not retire. The hart is as it was before; a failing AMO may have read
/// through its port.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Trap<F> {
    /// Illegal instruction: a CSR access other than a counter read.
    Illegal,
    /// `ebreak`.
    Breakpoint,
    /// Atomic access at an address that is not a multiple of its size.
    Misaligned {
        /// The address.
        addr: u64,
    },
    /// The port refused the access.
    Memory(F),
}

/// Executes `inst`, which is the instruction at `hart.pc`.
///
/// # Errors
/// [`Trap`] if the instruction does not retire; then `hart` is unchanged.
#[inline(always)]
pub fn execute<P: Port>(
    hart: &mut Hart,
    inst: &Inst,
    port: &mut P,
) -> Result<Outcome, Trap<P::Fault>> {
    match step(&mut hart.x, &mut hart.reservation, hart.pc, inst, port)? {
        Step::Next(pc) => {
            hart.pc = pc;
            Ok(Outcome::Next)
        }
        Step::Ecall(pc) => {
            hart.pc = pc;
            Ok(Outcome::Ecall)
        }
    }
}

/// [`execute`] with the pc passed by value, for loops that keep it in a host register.
///
/// # Errors
/// [`Trap`] if the instruction does not retire; then `x` and `reservation` are unchanged.
#[inline(always)]
pub fn step<P: Port>(
    x: &mut [u64; 32],
    reservation: &mut u64,
    pc: u64,
    inst: &Inst,
    port: &mut P,
) -> Result<Step, Trap<P::Fault>> {
    let rs1 = x[usize::from(inst.rs1 & 31)];
    let rs2 = x[usize::from(inst.rs2 & 31)];
    let imm = i64::from(inst.imm) as u64;
    let next = pc.wrapping_add(u64::from(inst.len));

    // Writing x0 and clearing it again is cheaper than a branch.
    macro_rules! set {
        ($value:expr) => {{
            let value: u64 = $value;
            x[usize::from(inst.rd & 31)] = value;
            x[0] = 0;
        }};
    }
    macro_rules! load {
        ($width:ident, $extend:expr) => {{
            let value = port
                .load(rs1.wrapping_add(imm), Width::$width)
                .map_err(Trap::Memory)?;
            set!($extend(value))
        }};
    }
    macro_rules! store {
        ($width:ident) => {{
            let (addr, value) = (rs1.wrapping_add(imm), rs2 & Width::$width.mask());
            port.store(addr, Width::$width, value)
                .map_err(Trap::Memory)?
        }};
    }
    macro_rules! branch {
        ($taken:expr) => {
            // A branch, not a select: the host predicts it, and the next fetch does not wait.
            if $taken {
                return Ok(Step::Next(pc.wrapping_add(imm)));
            }
        };
    }
    macro_rules! reserve {
        ($width:ident, $extend:expr) => {{
            check_alignment(rs1, Width::$width)?;
            let value = port.load(rs1, Width::$width).map_err(Trap::Memory)?;
            set!($extend(value));
            *reservation = rs1;
        }};
    }
    macro_rules! store_conditional {
        ($width:ident) => {{
            check_alignment(rs1, Width::$width)?;
            let held = *reservation == rs1;
            if held {
                let value = rs2 & Width::$width.mask();
                port.store(rs1, Width::$width, value)
                    .map_err(Trap::Memory)?;
            }
            *reservation = NO_RESERVATION;
            set!(u64::from(!held))
        }};
    }
    macro_rules! amo_w {
        ($combine:expr) => {
            set!(sext_w(amo(port, rs1, Width::W, |old| {
                let combine: fn(u32, u32) -> u32 = $combine;
                u64::from(combine(old as u32, rs2 as u32))
            })?))
        };
    }
    macro_rules! amo_d {
        ($combine:expr) => {
            set!(amo(port, rs1, Width::D, |old| {
                let combine: fn(u64, u64) -> u64 = $combine;
                combine(old, rs2)
            })?)
        };
    }
    macro_rules! counter {
        () => {{
            if !inst.reads_counter() {
                return Err(Trap::Illegal);
            }
            set!(port.steps())
        }};
    }

    match inst.op {
        Op::Lui => set!(imm),
        Op::Auipc => set!(pc.wrapping_add(imm)),
        Op::Jal => {
            set!(next);
            return Ok(Step::Next(pc.wrapping_add(imm)));
        }
        Op::Jalr => {
            set!(next);
            return Ok(Step::Next(rs1.wrapping_add(imm) & !1));
        }
        Op::Beq => branch!(rs1 == rs2),
        Op::Bne => branch!(rs1 != rs2),
        Op::Blt => branch!((rs1 as i64) < rs2 as i64),
        Op::Bge => branch!(rs1 as i64 >= rs2 as i64),
        Op::Bltu => branch!(rs1 < rs2),
        Op::Bgeu => branch!(rs1 >= rs2),
        Op::Lb => load!(B, sext_b),
        Op::Lh => load!(H, sext_h),
        Op::Lw => load!(W, sext_w),
        Op::Ld => load!(D, same),
        Op::Lbu => load!(B, same),
        Op::Lhu => load!(H, same),
        Op::Lwu => load!(W, same),
        Op::Sb => store!(B),
        Op::Sh => store!(H),
        Op::Sw => store!(W),
        Op::Sd => store!(D),
        Op::Addi => set!(rs1.wrapping_add(imm)),
        Op::Slti => set!(u64::from((rs1 as i64) < imm as i64)),
        Op::Sltiu => set!(u64::from(rs1 < imm)),
        Op::Xori => set!(rs1 ^ imm),
        Op::Ori => set!(rs1 | imm),
        Op::Andi => set!(rs1 & imm),
        // The wrapping shifts use the low six (W forms: five) bits of the amount, as the
        // specification does for a shift amount in a register.
        Op::Slli => set!(rs1.wrapping_shl(imm as u32)),
        Op::Srli => set!(rs1.wrapping_shr(imm as u32)),
        Op::Srai => set!((rs1 as i64).wrapping_shr(imm as u32) as u64),
        Op::Add => set!(rs1.wrapping_add(rs2)),
        Op::Sub => set!(rs1.wrapping_sub(rs2)),
        Op::Sll => set!(rs1.wrapping_shl(rs2 as u32)),
        Op::Slt => set!(u64::from((rs1 as i64) < rs2 as i64)),
        Op::Sltu => set!(u64::from(rs1 < rs2)),
        Op::Xor => set!(rs1 ^ rs2),
        Op::Srl => set!(rs1.wrapping_shr(rs2 as u32)),
        Op::Sra => set!((rs1 as i64).wrapping_shr(rs2 as u32) as u64),
        Op::Or => set!(rs1 | rs2),
        Op::And => set!(rs1 & rs2),
        Op::Addiw => set!(sext_w(rs1.wrapping_add(imm))),
        Op::Slliw => set!(word((rs1 as u32).wrapping_shl(imm as u32))),
        Op::Srliw => set!(word((rs1 as u32).wrapping_shr(imm as u32))),
        Op::Sraiw => set!(word((rs1 as i32).wrapping_shr(imm as u32) as u32)),
        Op::Addw => set!(sext_w(rs1.wrapping_add(rs2))),
        Op::Subw => set!(sext_w(rs1.wrapping_sub(rs2))),
        Op::Sllw => set!(word((rs1 as u32).wrapping_shl(rs2 as u32))),
        Op::Srlw => set!(word((rs1 as u32).wrapping_shr(rs2 as u32))),
        Op::Sraw => set!(word((rs1 as i32).wrapping_shr(rs2 as u32) as u32)),
        Op::Fence | Op::FenceI => {}
        Op::Ecall => return Ok(Step::Ecall(next)),
        Op::Ebreak => return Err(Trap::Breakpoint),

        Op::Csrrw | Op::Csrrwi => return Err(Trap::Illegal),
        Op::Csrrs | Op::Csrrc | Op::Csrrsi | Op::Csrrci => counter!(),

        Op::Mul => set!(rs1.wrapping_mul(rs2)),
        Op::Mulh => set!(((i128::from(rs1 as i64) * i128::from(rs2 as i64)) >> 64) as u64),
        Op::Mulhsu => set!(((i128::from(rs1 as i64) * i128::from(rs2)) >> 64) as u64),
        Op::Mulhu => set!(((u128::from(rs1) * u128::from(rs2)) >> 64) as u64),
        // Division by zero gives all ones and leaves the dividend as the remainder; overflow
        // wraps (chapter 12.2, table 11).
        Op::Div if rs2 == 0 => set!(u64::MAX),
        Op::Div => set!((rs1 as i64).wrapping_div(rs2 as i64) as u64),
        Op::Divu => set!(rs1.checked_div(rs2).unwrap_or(u64::MAX)),
        Op::Rem if rs2 == 0 => set!(rs1),
        Op::Rem => set!((rs1 as i64).wrapping_rem(rs2 as i64) as u64),
        Op::Remu => set!(rs1.checked_rem(rs2).unwrap_or(rs1)),
        Op::Mulw => set!(sext_w(rs1.wrapping_mul(rs2))),
        Op::Divw if rs2 as u32 == 0 => set!(u64::MAX),
        Op::Divw => set!(word((rs1 as i32).wrapping_div(rs2 as i32) as u32)),
        Op::Divuw => set!(word(
            (rs1 as u32).checked_div(rs2 as u32).unwrap_or(u32::MAX)
        )),
        Op::Remw if rs2 as u32 == 0 => set!(sext_w(rs1)),
        Op::Remw => set!(word((rs1 as i32).wrapping_rem(rs2 as i32) as u32)),
        Op::Remuw => set!(word(
            (rs1 as u32).checked_rem(rs2 as u32).unwrap_or(rs1 as u32)
        )),

        Op::LrW => reserve!(W, sext_w),
        Op::LrD => reserve!(D, same),
        Op::ScW => store_conditional!(W),
        Op::ScD => store_conditional!(D),
        Op::AmoswapW => amo_w!(|_, new| new),
        Op::AmoaddW => amo_w!(u32::wrapping_add),
        Op::AmoxorW => amo_w!(|a, b| a ^ b),
        Op::AmoandW => amo_w!(|a, b| a & b),
        Op::AmoorW => amo_w!(|a, b| a | b),
        Op::AmominW => amo_w!(|a, b| (a as i32).min(b as i32) as u32),
        Op::AmomaxW => amo_w!(|a, b| (a as i32).max(b as i32) as u32),
        Op::AmominuW => amo_w!(u32::min),
        Op::AmomaxuW => amo_w!(u32::max),
        Op::AmoswapD => amo_d!(|_, new| new),
        Op::AmoaddD => amo_d!(u64::wrapping_add),
        Op::AmoxorD => amo_d!(|a, b| a ^ b),
        Op::AmoandD => amo_d!(|a, b| a & b),
        Op::AmoorD => amo_d!(|a, b| a | b),
        Op::AmominD => amo_d!(|a, b| (a as i64).min(b as i64) as u64),
        Op::AmomaxD => amo_d!(|a, b| (a as i64).max(b as i64) as u64),
        Op::AmominuD => amo_d!(u64::min),
        Op::AmomaxuD => amo_d!(u64::max),

        Op::AddUw => set!(zext_w(rs1).wrapping_add(rs2)),
        Op::Sh1add => set!((rs1 << 1).wrapping_add(rs2)),
        Op::Sh2add => set!((rs1 << 2).wrapping_add(rs2)),
        Op::Sh3add => set!((rs1 << 3).wrapping_add(rs2)),
        Op::Sh1addUw => set!((zext_w(rs1) << 1).wrapping_add(rs2)),
        Op::Sh2addUw => set!((zext_w(rs1) << 2).wrapping_add(rs2)),
        Op::Sh3addUw => set!((zext_w(rs1) << 3).wrapping_add(rs2)),
        Op::SlliUw => set!(zext_w(rs1).wrapping_shl(imm as u32)),

        Op::Andn => set!(rs1 & !rs2),
        Op::Orn => set!(rs1 | !rs2),
        Op::Xnor => set!(!(rs1 ^ rs2)),
        Op::Clz => set!(u64::from(rs1.leading_zeros())),
        Op::Ctz => set!(u64::from(rs1.trailing_zeros())),
        Op::Cpop => set!(u64::from(rs1.count_ones())),
        Op::Clzw => set!(u64::from((rs1 as u32).leading_zeros())),
        Op::Ctzw => set!(u64::from((rs1 as u32).trailing_zeros())),
        Op::Cpopw => set!(u64::from((rs1 as u32).count_ones())),
        Op::Max => set!((rs1 as i64).max(rs2 as i64) as u64),
        Op::Maxu => set!(rs1.max(rs2)),
        Op::Min => set!((rs1 as i64).min(rs2 as i64) as u64),
        Op::Minu => set!(rs1.min(rs2)),
        Op::SextB => set!(sext_b(rs1)),
        Op::SextH => set!(sext_h(rs1)),
        Op::ZextH => set!(rs1 & 0xffff),
        // Rotation takes its amount modulo the width, which masks it as the specification does.
        Op::Rol => set!(rs1.rotate_left(rs2 as u32 & 63)),
        Op::Ror => set!(rs1.rotate_right(rs2 as u32 & 63)),
        Op::Rori => set!(rs1.rotate_right(imm as u32 & 63)),
        Op::Rolw => set!(word((rs1 as u32).rotate_left(rs2 as u32 & 31))),
        Op::Rorw => set!(word((rs1 as u32).rotate_right(rs2 as u32 & 31))),
        Op::Roriw => set!(word((rs1 as u32).rotate_right(imm as u32 & 31))),
        Op::OrcB => set!(or_combine_bytes(rs1)),
        Op::Rev8 => set!(rs1.swap_bytes()),

        Op::Bclr => set!(rs1 & !bit(rs2)),
        Op::Bclri => set!(rs1 & !bit(imm)),
        Op::Bext => set!(rs1.wrapping_shr(rs2 as u32) & 1),
        Op::Bexti => set!(rs1.wrapping_shr(imm as u32) & 1),
        Op::Binv => set!(rs1 ^ bit(rs2)),
        Op::Binvi => set!(rs1 ^ bit(imm)),
        Op::Bset => set!(rs1 | bit(rs2)),
        Op::Bseti => set!(rs1 | bit(imm)),
    }
    Ok(Step::Next(next))
}

/// Read, combine, write; the old value. Nothing but the port is touched, so a fault in either half
/// leaves the hart unchanged.
#[inline(always)]
fn amo<P: Port>(
    port: &mut P,
    addr: u64,
    width: Width,
    combine: impl FnOnce(u64) -> u64,
) -> Result<u64, Trap<P::Fault>> {
    check_alignment(addr, width)?;
    let old = port.load(addr, width).map_err(Trap::Memory)?;
    port.store(addr, width, combine(old))
        .map_err(Trap::Memory)?;
    Ok(old)
}

#[inline(always)]
fn check_alignment<F>(addr: u64, width: Width) -> Result<(), Trap<F>> {
    if addr & (width.bytes() - 1) == 0 {
        Ok(())
    } else {
        Err(Trap::Misaligned { addr })
    }
}

#[inline(always)]
fn same(value: u64) -> u64 {
    value
}

#[inline(always)]
fn sext_b(value: u64) -> u64 {
    i64::from(value as i8) as u64
}

#[inline(always)]
fn sext_h(value: u64) -> u64 {
    i64::from(value as i16) as u64
}

#[inline(always)]
fn sext_w(value: u64) -> u64 {
    i64::from(value as i32) as u64
}

#[inline(always)]
fn zext_w(value: u64) -> u64 {
    u64::from(value as u32)
}

/// The result of a W form: sign-extended.
#[inline(always)]
fn word(value: u32) -> u64 {
    i64::from(value as i32) as u64
}

/// The bit that Zbs instructions select: the low six bits of `index`.
#[inline(always)]
fn bit(index: u64) -> u64 {
    1u64.wrapping_shl(index as u32)
}

/// Every byte becomes 0xff unless it is zero.
#[inline(always)]
fn or_combine_bytes(value: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // The addition carries into a byte's top bit iff one of its low seven bits is set.
    let nonzero = ((value & LOW).wrapping_add(LOW) | value) & !LOW;
    (nonzero >> 7) * 0xff
}
