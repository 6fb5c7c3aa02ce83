//! The unit of emission: a straight run of guest instructions with one entry, possibly several
//! side exits, and one end. It is charged to the step budget at once.

use hartlog_isa::{Flow, Inst, Op};

/// What the block does after a control transfer in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The next step is the next instruction in memory; a taken branch leaves the block.
    Fall,
    /// The next step is the target; a branch that is not taken leaves the block. `jalr` jumps to an
    /// address that the steps before it make known: they hold an `auipc`, or the call that it returns
    /// from.
    Target,
    /// A branch over the next steps, up to [`MAX_SKIPPED`], those with [`Step::perhaps`]: where it
    /// is taken they have no effect and do not count. They compute one register
    /// ([`is_skippable`], [`goes_on_skippable`]), and the last may be a jump to where the branch
    /// goes. Never the last step of a block.
    Skip,
}

/// One guest instruction of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its address.
    pub pc: u64,
    /// The instruction; `None` for bytes that are not one: executing them traps.
    pub inst: Option<Inst>,
    /// Where the block goes on; without meaning in the last step.
    pub follow: Follow,
    /// A branch before may skip it ([`Follow::Skip`]).
    pub perhaps: bool,
}

/// Shortest block in which registers may give up their homes to others.
pub const LONG: usize = 16;

/// Longest run of steps that a branch may skip.
pub const MAX_SKIPPED: usize = 4;

impl Step {
    /// Address of the next instruction in memory.
    pub fn next(&self) -> u64 {
        self.pc + self.inst.map_or(2, |i| u64::from(i.len))
    }

    /// Target of a direct branch or `jal`.
    pub fn target(&self) -> u64 {
        let imm = self.inst.map_or(0, |i| i64::from(i.imm));
        self.pc.wrapping_add(imm as u64)
    }

    /// Whether the block can be left here although it has a next step.
    pub fn has_side_exit(&self) -> bool {
        self.follow != Follow::Skip && self.inst.is_some_and(|i| i.flow() == Flow::Branch)
    }
}

/// What happens, within the block, to the value that a step writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// How often it is read before it is overwritten (saturating).
    pub uses: u8,
    /// It is overwritten before the end of the block.
    pub killed: bool,
    /// There is a side exit between its last read and the point where it is overwritten.
    pub exit_after_last_use: bool,
}

/// Of every register at some point of a block: what happens to the value that it has there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uses {
    /// Reads still to come (saturating).
    pub count: [u8; 32],
    /// Registers whose value is not read any more.
    pub none: u32,
    /// Registers with a side exit, or the end of the block, behind the last read.
    pub exit: u32,
}

impl Uses {
    /// At the end of a block.
    pub const END: Uses = Uses {
        count: [0; 32],
        none: u32::MAX,
        exit: u32::MAX,
    };

    /// `r` has a value of which this is known.
    #[inline]
    pub fn set(&mut self, r: u8, count: u8, exit: bool) {
        let bit = 1 << (r & 31);
        self.count[r as usize & 31] = count;
        self.none = (self.none & !bit) | (u32::from(count == 0) * bit);
        self.exit = (self.exit & !bit) | (u32::from(exit) * bit);
    }

    /// Registers whose value nobody needs.
    #[inline]
    pub fn dead(&self) -> u32 {
        self.none & !self.exit
    }

    /// The value of `r` is read.
    #[inline]
    pub fn consume(&mut self, r: u8) {
        let count = &mut self.count[r as usize & 31];
        if *count != u8::MAX && *count > 0 {
            *count -= 1;
            self.none |= u32::from(*count == 0) << (r & 31);
        }
    }

    /// The value of `r` is read once more.
    #[inline]
    fn add(&mut self, r: u8) {
        let count = &mut self.count[r as usize & 31];
        *count = count.saturating_add(1);
        self.none &= !(1 << (r & 31));
    }
}

/// [`Value`] of every step (into `out`), and [`Uses`] at the start of the block, by one backward
/// pass.
pub(crate) fn values(steps: &[Step], out: &mut Vec<Value>) -> Uses {
    let mut state = Uses::END;
    let mut killed = 0u32;
    out.clear();
    out.resize(steps.len(), Value::default());
    for (step, value) in steps.iter().zip(out).rev() {
        if step.has_side_exit() {
            // Exits before the last use do not count.
            state.exit |= state.none;
        }
        let Some(inst) = step.inst else { continue };
        if let Some(rd) = inst.writes() {
            let bit = 1 << (rd & 31);
            *value = Value {
                uses: state.count[rd as usize & 31],
                killed: killed & bit != 0,
                exit_after_last_use: state.exit & bit != 0,
            };
            killed |= bit;
            // Where the step is skipped, rd keeps its value.
            state.set(rd, u8::from(step.perhaps), false);
        }
        for r in inst.reads() {
            state.add(r);
        }
    }
    state
}

/// Whether an instruction may be made conditional instead of being branched over: it is cheap.
pub fn is_skippable(inst: &Inst) -> bool {
    use Op::*;
    inst.rd != 0
        && matches!(
            inst.op,
            Addi | Addiw
                | Add
                | Addw
                | Sub
                | Subw
                | And
                | Andi
                | Or
                | Ori
                | Xor
                | Xori
                | Slli
                | Srli
                | Srai
                | Slliw
                | Srliw
                | Sraiw
                | Lui
                | Auipc
                | Sh1add
                | Sh2add
                | Sh3add
                | AddUw
                | Andn
                | Orn
                | Xnor
                | SextB
                | SextH
                | ZextH
        )
}

/// Whether a conditional instruction may follow one that computes `rd`: it goes on with that value,
/// and nothing else is written.
pub fn goes_on_skippable(rd: u8, inst: &Inst) -> bool {
    use Op::*;
    let (first, second) = (inst.rs1 == rd, inst.rs2 == rd);
    inst.rd == rd
        && match inst.op {
            Addi | Addiw | Andi | Ori | Xori | Slli | Srli | Srai | Slliw | Srliw | Sraiw
            | SextB | SextH | ZextH => first,
            Add | Addw | And | Or | Xor => first != second,
            Sub | Subw => first && !second,
            AddUw => first && inst.rs2 == 0,
            _ => false,
        }
}

/// The steps that a branch skips, which are the first of these.
pub fn skipped(later: &[Step]) -> &[Step] {
    let end = later.iter().position(|s| !s.perhaps);
    &later[..end.unwrap_or(later.len())]
}

/// Whether an instruction only computes rd from rs1, rs2, immediate and pc.
pub fn is_pure(inst: &Inst) -> bool {
    use hartlog_isa::Format::*;
    match inst.op.format() {
        R | Unary | I | Shift | ShiftW | U => true,
        Fence | FenceI => false,
        Load | Store | Branch | J | Jalr | Csr | CsrImm | Amo | Lr | System => false,
    }
}

/// Whether a side exit or the end of the block follows every path through this instruction.
pub fn ends_block(inst: &Inst) -> bool {
    match inst.flow() {
        Flow::Next => {
            matches!(
                inst.op,
                Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci
            ) && !inst.reads_counter()
        }
        Flow::Branch | Flow::Jal | Flow::Jalr | Flow::Ecall | Flow::Trap => true,
    }
}
