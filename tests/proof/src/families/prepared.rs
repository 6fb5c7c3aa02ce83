//! Instructions whose operands were written just before: with a stale upper half, known to be
//! sign-extended, constant, deferred.

use super::{MEMORY, PINNED, Scope, Visit, modes, operands, placed, places};
use crate::case::{self, Case};
use hartlog_isa::{Effect, Flow, Format, Inst, Op};
use templates::emit::Mode;

/// What stands before the instruction for one of its operands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Preparation {
    /// Nothing.
    None,
    /// A 32-bit operation: the upper half of its host register is not extended yet.
    Dirty,
    /// A result that is known to be sign-extended.
    Word,
    /// `addi r, x0, v`.
    Small(i32),
    /// `lui r, v`.
    Upper(i32),
    /// `v << 40`: no constant of 32 bits.
    Wide(i32),
}

const ALL: [Preparation; 10] = [
    Preparation::None,
    Preparation::Dirty,
    Preparation::Word,
    Preparation::Small(0),
    Preparation::Small(1),
    Preparation::Small(-1),
    Preparation::Small(64),
    Preparation::Upper(i32::MIN),
    Preparation::Upper(0x7fff_f000),
    Preparation::Wide(-5),
];

const FEW: [Preparation; 5] = [
    Preparation::None,
    Preparation::Dirty,
    Preparation::Word,
    Preparation::Small(1),
    Preparation::Upper(i32::MIN),
];

impl Preparation {
    fn insts(self, r: u8) -> Vec<Inst> {
        let new = |op, rs1, imm| Inst::new(op, r, rs1, 0, imm);
        match self {
            Preparation::None => Vec::new(),
            Preparation::Dirty => vec![new(Op::Addiw, r, 0)],
            Preparation::Word => vec![new(Op::Srliw, r, 3)],
            Preparation::Small(v) => vec![new(Op::Addi, 0, v)],
            Preparation::Upper(v) => vec![new(Op::Lui, 0, v)],
            Preparation::Wide(v) => vec![new(Op::Addi, 0, v), new(Op::Slli, r, 40)],
        }
    }
}

/// Immediates: a few.
fn immediates(op: Op) -> &'static [i32] {
    match op.format() {
        Format::I | Format::Load | Format::Store => &[0, 1, -1, 255, 2047],
        Format::Jalr => &[0, -4],
        Format::Shift => &[0, 1, 31, 32, 33, 63],
        Format::ShiftW => &[0, 1, 31],
        Format::Branch => &[64],
        _ => &[0],
    }
}

/// Every instruction with prepared operands; the operands stay alive or are overwritten after.
pub fn prepared(op: Op, scope: Scope, visit: Visit) {
    let [_, first, second] = operands(op);
    if !first && !second {
        return;
    }
    let memory = op.effect() != Effect::None;
    for (mode, checked) in modes() {
        // Without trace everything is as with it, but for the log.
        let all = match scope {
            Scope::Full if mode != Mode::Fast => &ALL[..],
            Scope::Full | Scope::Quick => &FEW[..],
        };
        // What accesses no memory is the same in every mode.
        if !memory && (mode != Mode::Trace || checked) {
            continue;
        }
        let config = placed(mode, checked, 0);
        for places in places(op) {
            let [rd, rs1, rs2] = places;
            let quick = scope == Scope::Quick;
            // Quick: without the second register of a kind in places where it is like the first.
            if quick && (rd == PINNED[2] || rd == MEMORY[2]) {
                continue;
            }
            let prepare = |r: u8| if r == 0 { &ALL[..1] } else { all };
            for x in prepare(rs1) {
                let others = if rs2 == rs1 { &ALL[..1] } else { prepare(rs2) };
                for y in others {
                    for imm in immediates(op) {
                        for kill in [false, true] {
                            let mut insts = x.insts(rs1);
                            insts.extend(y.insts(rs2));
                            let inst = Inst::new(op, rd, rs1, rs2, *imm);
                            insts.push(inst);
                            if kill {
                                if !matches!(inst.flow(), Flow::Next | Flow::Branch) {
                                    continue;
                                }
                                insts.extend(
                                    [rs1, rs2]
                                        .into_iter()
                                        .filter(|r| *r != 0 && *r != rd)
                                        .map(|r| Inst::new(Op::Lui, r, 0, 0, 0x5000)),
                                );
                            }
                            visit(&Case::new(&config, case::straight(&insts)), None);
                        }
                    }
                }
            }
        }
    }
}
