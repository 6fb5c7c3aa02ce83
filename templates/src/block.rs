//! The unit of emission: a straight run of guest instructions with one entry, possibly several
//! side exits, and one end. It is charged to the step budget at once.

use hartlog_isa::{Flow, Inst, Op};

/// What the block does after a control transfer in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The next step is the next instruction in memory; a taken branch leaves the block.
    Fall,
    /// The next step is the target; a branch that is not taken leaves the block.
    Target,
    /// A branch over exactly the next step, which then has no effect and does not count. Never
    /// the last or last but one step of a block.
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
}

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

/// [`Value`] of every step (into `out`), and of every register at the start of the block, by one
/// backward pass.
pub fn values(steps: &[Step], out: &mut Vec<Value>) -> [Value; 32] {
    let mut state = [Value {
        uses: 0,
        killed: false,
        exit_after_last_use: true,
    }; 32];
    out.clear();
    out.resize(steps.len(), Value::default());
    for (i, (step, value)) in steps.iter().zip(out).enumerate().rev() {
        if step.has_side_exit() {
            for s in &mut state {
                // Exits before the last use do not count: `uses` is not 0 then.
                if s.uses == 0 {
                    s.exit_after_last_use = true;
                }
            }
        }
        let Some(inst) = step.inst else { continue };
        if let Some(rd) = inst.writes() {
            *value = state[rd as usize];
            state[rd as usize] = Value {
                uses: 0,
                killed: true,
                exit_after_last_use: false,
            };
            if i > 0 && steps[i - 1].follow == Follow::Skip {
                // Where the step is skipped, rd keeps its value.
                state[rd as usize].uses = 1;
            }
        }
        let (a, b) = inst.sources();
        for r in [a, b].into_iter().flatten() {
            let s = &mut state[r as usize & 31];
            s.uses = s.uses.saturating_add(1);
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
