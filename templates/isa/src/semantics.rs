//! What each instruction does: the only statement of it outside the templates.

use crate::table::known;
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

/// Defines a function that executes `$inst`. `$on` is its operation, with values named in `$ops`.
/// `$d` stands for `$` in the macros inside.
macro_rules! define_step {
    (($d:tt) $(#[$meta:meta])* $name:ident<$($known:ident)?>($inst:ident) match $on:expr, $ops:ident $(, $rest:pat)?) => {
        $(#[$meta])*
        #[inline(always)]
        pub fn $name<P: Port $(, const $known: u8)?>(
            x: &mut [u64; 32],
            reservation: &mut u64,
            pc: u64,
            $inst: &Inst,
            port: &mut P,
        ) -> Result<Step, Trap<P::Fault>> {
            let rs1 = x[usize::from($inst.rs1 & 31)];
            let rs2 = x[usize::from($inst.rs2 & 31)];
            let imm = i64::from($inst.imm) as u64;
            let next = pc.wrapping_add(u64::from($inst.len));

            // Writing x0 and clearing it again is cheaper than a branch.
            macro_rules! set {
                ($d value:expr) => {{
                    let value: u64 = $d value;
                    x[usize::from($inst.rd & 31)] = value;
                    x[0] = 0;
                }};
            }
            macro_rules! load {
                ($d width:ident, $d extend:expr) => {{
                    let value = port
                        .load(rs1.wrapping_add(imm), Width::$d width)
                        .map_err(Trap::Memory)?;
                    set!($d extend(value))
                }};
            }
            macro_rules! store {
                ($d width:ident) => {{
                    let (addr, value) = (rs1.wrapping_add(imm), rs2 & Width::$d width.mask());
                    port.store(addr, Width::$d width, value)
                        .map_err(Trap::Memory)?
                }};
            }
            macro_rules! branch {
                ($d taken:expr) => {
                    // A branch, not a select: the host predicts it, and the next fetch does not wait.
                    if $d taken {
                        return Ok(Step::Next(pc.wrapping_add(imm)));
                    }
                };
            }
            macro_rules! reserve {
                ($d width:ident, $d extend:expr) => {{
                    check_alignment(rs1, Width::$d width)?;
                    let value = port.load(rs1, Width::$d width).map_err(Trap::Memory)?;
                    set!($d extend(value));
                    *reservation = rs1;
                }};
            }
            macro_rules! store_conditional {
                ($d width:ident) => {{
                    check_alignment(rs1, Width::$d width)?;
                    let held = *reservation == rs1;
                    if held {
                        let value = rs2 & Width::$d width.mask();
                        port.store(rs1, Width::$d width, value)
                            .map_err(Trap::Memory)?;
                    }
                    *reservation = NO_RESERVATION;
                    set!(u64::from(!held))
                }};
            }
            macro_rules! amo_w {
                ($d combine:expr) => {
                    set!(sext_w(amo(port, rs1, Width::W, |old| {
                        let combine: fn(u32, u32) -> u32 = $d combine;
                        u64::from(combine(old as u32, rs2 as u32))
                    })?))
                };
            }
            macro_rules! amo_d {
                ($d combine:expr) => {
                    set!(amo(port, rs1, Width::D, |old| {
                        let combine: fn(u64, u64) -> u64 = $d combine;
                        combine(old, rs2)
                    })?)
                };
            }
            macro_rules! counter {
                () => {{
                    if !$inst.reads_counter() {
                        return Err(Trap::Illegal);
                    }
                    set!(port.steps())
                }};
            }

            match $on {
                $ops::Lui => set!(imm),
                $ops::Auipc => set!(pc.wrapping_add(imm)),
                $ops::Jal => {
                    set!(next);
                    return Ok(Step::Next(pc.wrapping_add(imm)));
                }
                $ops::Jalr => {
                    set!(next);
                    return Ok(Step::Next(rs1.wrapping_add(imm) & !1));
                }
                $ops::Beq => branch!(rs1 == rs2),
                $ops::Bne => branch!(rs1 != rs2),
                $ops::Blt => branch!((rs1 as i64) < rs2 as i64),
                $ops::Bge => branch!(rs1 as i64 >= rs2 as i64),
                $ops::Bltu => branch!(rs1 < rs2),
                $ops::Bgeu => branch!(rs1 >= rs2),
                $ops::Lb => load!(B, sext_b),
                $ops::Lh => load!(H, sext_h),
                $ops::Lw => load!(W, sext_w),
                $ops::Ld => load!(D, same),
                $ops::Lbu => load!(B, same),
                $ops::Lhu => load!(H, same),
                $ops::Lwu => load!(W, same),
                $ops::Sb => store!(B),
                $ops::Sh => store!(H),
                $ops::Sw => store!(W),
                $ops::Sd => store!(D),
                $ops::Addi => set!(rs1.wrapping_add(imm)),
                $ops::Slti => set!(u64::from((rs1 as i64) < imm as i64)),
                $ops::Sltiu => set!(u64::from(rs1 < imm)),
                $ops::Xori => set!(rs1 ^ imm),
                $ops::Ori => set!(rs1 | imm),
                $ops::Andi => set!(rs1 & imm),
                // The wrapping shifts use the low six (W forms: five) bits of the amount, as the
                // specification does for a shift amount in a register.
                $ops::Slli => set!(rs1.wrapping_shl(imm as u32)),
                $ops::Srli => set!(rs1.wrapping_shr(imm as u32)),
                $ops::Srai => set!((rs1 as i64).wrapping_shr(imm as u32) as u64),
                $ops::Add => set!(rs1.wrapping_add(rs2)),
                $ops::Sub => set!(rs1.wrapping_sub(rs2)),
                $ops::Sll => set!(rs1.wrapping_shl(rs2 as u32)),
                $ops::Slt => set!(u64::from((rs1 as i64) < rs2 as i64)),
                $ops::Sltu => set!(u64::from(rs1 < rs2)),
                $ops::Xor => set!(rs1 ^ rs2),
                $ops::Srl => set!(rs1.wrapping_shr(rs2 as u32)),
                $ops::Sra => set!((rs1 as i64).wrapping_shr(rs2 as u32) as u64),
                $ops::Or => set!(rs1 | rs2),
                $ops::And => set!(rs1 & rs2),
                $ops::Addiw => set!(sext_w(rs1.wrapping_add(imm))),
                $ops::Slliw => set!(word((rs1 as u32).wrapping_shl(imm as u32))),
                $ops::Srliw => set!(word((rs1 as u32).wrapping_shr(imm as u32))),
                $ops::Sraiw => set!(word((rs1 as i32).wrapping_shr(imm as u32) as u32)),
                $ops::Addw => set!(sext_w(rs1.wrapping_add(rs2))),
                $ops::Subw => set!(sext_w(rs1.wrapping_sub(rs2))),
                $ops::Sllw => set!(word((rs1 as u32).wrapping_shl(rs2 as u32))),
                $ops::Srlw => set!(word((rs1 as u32).wrapping_shr(rs2 as u32))),
                $ops::Sraw => set!(word((rs1 as i32).wrapping_shr(rs2 as u32) as u32)),
                $ops::Fence | $ops::FenceI => {}
                $ops::Ecall => return Ok(Step::Ecall(next)),
                $ops::Ebreak => return Err(Trap::Breakpoint),

                $ops::Csrrw | $ops::Csrrwi => return Err(Trap::Illegal),
                $ops::Csrrs | $ops::Csrrc | $ops::Csrrsi | $ops::Csrrci => counter!(),

                $ops::Mul => set!(rs1.wrapping_mul(rs2)),
                $ops::Mulh => set!(((i128::from(rs1 as i64) * i128::from(rs2 as i64)) >> 64) as u64),
                $ops::Mulhsu => set!(((i128::from(rs1 as i64) * i128::from(rs2)) >> 64) as u64),
                $ops::Mulhu => set!(((u128::from(rs1) * u128::from(rs2)) >> 64) as u64),
                // Division by zero gives all ones and leaves the dividend as the remainder; overflow
                // wraps (chapter 12.2, table 11).
                $ops::Div if rs2 == 0 => set!(u64::MAX),
                $ops::Div => set!((rs1 as i64).wrapping_div(rs2 as i64) as u64),
                $ops::Divu => set!(rs1.checked_div(rs2).unwrap_or(u64::MAX)),
                $ops::Rem if rs2 == 0 => set!(rs1),
                $ops::Rem => set!((rs1 as i64).wrapping_rem(rs2 as i64) as u64),
                $ops::Remu => set!(rs1.checked_rem(rs2).unwrap_or(rs1)),
                $ops::Mulw => set!(sext_w(rs1.wrapping_mul(rs2))),
                $ops::Divw if rs2 as u32 == 0 => set!(u64::MAX),
                $ops::Divw => set!(word((rs1 as i32).wrapping_div(rs2 as i32) as u32)),
                $ops::Divuw => set!(word(
                    (rs1 as u32).checked_div(rs2 as u32).unwrap_or(u32::MAX)
                )),
                $ops::Remw if rs2 as u32 == 0 => set!(sext_w(rs1)),
                $ops::Remw => set!(word((rs1 as i32).wrapping_rem(rs2 as i32) as u32)),
                $ops::Remuw => set!(word(
                    (rs1 as u32).checked_rem(rs2 as u32).unwrap_or(rs1 as u32)
                )),

                $ops::LrW => reserve!(W, sext_w),
                $ops::LrD => reserve!(D, same),
                $ops::ScW => store_conditional!(W),
                $ops::ScD => store_conditional!(D),
                $ops::AmoswapW => amo_w!(|_, new| new),
                $ops::AmoaddW => amo_w!(u32::wrapping_add),
                $ops::AmoxorW => amo_w!(|a, b| a ^ b),
                $ops::AmoandW => amo_w!(|a, b| a & b),
                $ops::AmoorW => amo_w!(|a, b| a | b),
                $ops::AmominW => amo_w!(|a, b| (a as i32).min(b as i32) as u32),
                $ops::AmomaxW => amo_w!(|a, b| (a as i32).max(b as i32) as u32),
                $ops::AmominuW => amo_w!(u32::min),
                $ops::AmomaxuW => amo_w!(u32::max),
                $ops::AmoswapD => amo_d!(|_, new| new),
                $ops::AmoaddD => amo_d!(u64::wrapping_add),
                $ops::AmoxorD => amo_d!(|a, b| a ^ b),
                $ops::AmoandD => amo_d!(|a, b| a & b),
                $ops::AmoorD => amo_d!(|a, b| a | b),
                $ops::AmominD => amo_d!(|a, b| (a as i64).min(b as i64) as u64),
                $ops::AmomaxD => amo_d!(|a, b| (a as i64).max(b as i64) as u64),
                $ops::AmominuD => amo_d!(u64::min),
                $ops::AmomaxuD => amo_d!(u64::max),

                $ops::AddUw => set!(zext_w(rs1).wrapping_add(rs2)),
                $ops::Sh1add => set!((rs1 << 1).wrapping_add(rs2)),
                $ops::Sh2add => set!((rs1 << 2).wrapping_add(rs2)),
                $ops::Sh3add => set!((rs1 << 3).wrapping_add(rs2)),
                $ops::Sh1addUw => set!((zext_w(rs1) << 1).wrapping_add(rs2)),
                $ops::Sh2addUw => set!((zext_w(rs1) << 2).wrapping_add(rs2)),
                $ops::Sh3addUw => set!((zext_w(rs1) << 3).wrapping_add(rs2)),
                $ops::SlliUw => set!(zext_w(rs1).wrapping_shl(imm as u32)),

                $ops::Andn => set!(rs1 & !rs2),
                $ops::Orn => set!(rs1 | !rs2),
                $ops::Xnor => set!(!(rs1 ^ rs2)),
                $ops::Clz => set!(u64::from(rs1.leading_zeros())),
                $ops::Ctz => set!(u64::from(rs1.trailing_zeros())),
                $ops::Cpop => set!(u64::from(rs1.count_ones())),
                $ops::Clzw => set!(u64::from((rs1 as u32).leading_zeros())),
                $ops::Ctzw => set!(u64::from((rs1 as u32).trailing_zeros())),
                $ops::Cpopw => set!(u64::from((rs1 as u32).count_ones())),
                $ops::Max => set!((rs1 as i64).max(rs2 as i64) as u64),
                $ops::Maxu => set!(rs1.max(rs2)),
                $ops::Min => set!((rs1 as i64).min(rs2 as i64) as u64),
                $ops::Minu => set!(rs1.min(rs2)),
                $ops::SextB => set!(sext_b(rs1)),
                $ops::SextH => set!(sext_h(rs1)),
                $ops::ZextH => set!(rs1 & 0xffff),
                // Rotation takes its amount modulo the width, which masks it as the specification does.
                $ops::Rol => set!(rs1.rotate_left(rs2 as u32 & 63)),
                $ops::Ror => set!(rs1.rotate_right(rs2 as u32 & 63)),
                $ops::Rori => set!(rs1.rotate_right(imm as u32 & 63)),
                $ops::Rolw => set!(word((rs1 as u32).rotate_left(rs2 as u32 & 31))),
                $ops::Rorw => set!(word((rs1 as u32).rotate_right(rs2 as u32 & 31))),
                $ops::Roriw => set!(word((rs1 as u32).rotate_right(imm as u32 & 31))),
                $ops::OrcB => set!(or_combine_bytes(rs1)),
                $ops::Rev8 => set!(rs1.swap_bytes()),

                $ops::Bclr => set!(rs1 & !bit(rs2)),
                $ops::Bclri => set!(rs1 & !bit(imm)),
                $ops::Bext => set!(rs1.wrapping_shr(rs2 as u32) & 1),
                $ops::Bexti => set!(rs1.wrapping_shr(imm as u32) & 1),
                $ops::Binv => set!(rs1 ^ bit(rs2)),
                $ops::Binvi => set!(rs1 ^ bit(imm)),
                $ops::Bset => set!(rs1 | bit(rs2)),
                $ops::Bseti => set!(rs1 | bit(imm)),
                $($rest => return Err(Trap::Illegal),)?
            }
            Ok(Step::Next(next))
        }
    };
}

define_step! {
    ($)
    /// [`execute`] with the pc passed by value, for loops that keep it in a host register.
///
/// # Errors
/// [`Trap`] if the instruction does not retire; then `x` and `reservation` are unchanged.
    step<>(inst) match inst.op, Op
}

define_step! {
    ($)
    /// [`step`] for an instruction whose operation is known when this is compiled (`OP` is its
    /// number): nothing of the others is.
    step_known<OP>(inst) match OP, known, _
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
