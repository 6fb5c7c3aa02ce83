//! Replay: which addresses are known to be inside the guest's window.
//!
//! The window is one interval, so of several accesses from one value of a base register only the
//! hull is checked, at the first of them: together with those that certainly follow it. What was
//! checked stays known until the register is written, and moves with it when a constant is added.

use crate::block::{Follow, Step, ends_block};
use hartlog_format::witness::image::REACH;
use hartlog_isa::{Effect, Flow, Inst, Op};

/// Bytes from the first to one past the last, relative to the value of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: i32,
    pub end: i32,
}

impl Span {
    fn of(inst: &Inst) -> Option<(u8, Span)> {
        match inst.op.effect() {
            Effect::Read(width) | Effect::Write(width) => Some((
                inst.rs1 & 31,
                Span {
                    first: inst.imm,
                    end: inst.imm + width.bytes() as i32,
                },
            )),
            _ => None,
        }
    }

    /// Bytes.
    pub fn len(self) -> u64 {
        i64::from(self.end).abs_diff(i64::from(self.first))
    }

    fn hull(self, other: Span) -> Span {
        Span {
            first: self.first.min(other.first),
            end: self.end.max(other.end),
        }
    }

    fn contains(self, other: Span) -> bool {
        self.first <= other.first && other.end <= self.end
    }

    /// The same bytes, relative to a value that is larger by `by`.
    fn moved(self, by: i32) -> Option<Span> {
        Some(Span {
            first: self.first.checked_sub(by)?,
            end: self.end.checked_sub(by)?,
        })
    }
}

/// What is known in a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// Per step that accesses memory: the hull of it and what certainly follows from the same
    /// value.
    ahead: Vec<Span>,
    /// Per register what was checked of its value.
    known: [Option<Span>; 32],
}

impl Window {
    /// Starts a block.
    pub fn start(&mut self, steps: &[Step]) {
        self.known = [None; 32];
        self.ahead.clear();
        self.ahead.resize(steps.len(), Span::default());
        let mut ahead: [Option<Span>; 32] = [None; 32];
        for (step, place) in steps.iter().zip(&mut self.ahead).rev() {
            let Some(inst) = step.inst else {
                ahead = [None; 32];
                continue;
            };
            let access = Span::of(&inst);
            let certain = access.is_some() || inst.op.effect() == Effect::None;
            let skip = step.follow == Follow::Skip && inst.flow() == Flow::Branch;
            if !certain || step.has_side_exit() || (ends_block(&inst) && !skip) {
                ahead = [None; 32];
            }
            if let Some(rd) = inst.writes() {
                ahead[rd as usize & 31] = None;
            }
            if let Some((base, span)) = access {
                let hull = ahead[base as usize].map_or(span, |s| s.hull(span));
                ahead[base as usize] = Some(hull);
                *place = hull;
            }
        }
    }

    /// What has to be checked at an access by the step of this index; `None` if it is known. From
    /// then on it is.
    pub fn check(&mut self, index: u32, inst: &Inst) -> Option<Span> {
        let (base, span) = Span::of(inst)?;
        let known = &mut self.known[base as usize];
        if known.is_some_and(|k| k.contains(span)) {
            return None;
        }
        let ahead = self.ahead.get(index as usize).copied().unwrap_or(span);
        let hull = ahead.hull(span);
        *known = Some(known.map_or(hull, |k| k.hull(hull)));
        Some(hull)
    }

    /// Replay that follows memory: whether the value of the base register, less `moved`, is still to
    /// be compared with the last address. From then on it is known as far as that goes.
    pub fn check_base(&mut self, inst: &Inst, moved: i32) -> bool {
        let Some((base, span)) = Span::of(inst) else {
            return true;
        };
        let known = &mut self.known[base as usize];
        if known.is_some_and(|k| k.contains(span)) {
            return false;
        }
        *known = Some(Span {
            first: -REACH - moved,
            end: REACH + 8 - moved,
        });
        true
    }

    /// The instruction was executed; `perhaps`: or it was not.
    pub fn written(&mut self, inst: &Inst, perhaps: bool) {
        let Some(rd) = inst.writes() else { return };
        let sum = inst.op == Op::Addi && !perhaps;
        let known = self.known[inst.rs1 as usize & 31].filter(|_| sum);
        self.known[rd as usize & 31] = known.and_then(|k| k.moved(inst.imm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(insts: &[Inst]) -> Vec<Step> {
        let step = |inst: &Inst| Step {
            pc: 0x1_0000,
            inst: Some(*inst),
            follow: Follow::Fall,
        };
        insts.iter().map(step).collect()
    }

    fn checks(insts: &[Inst]) -> Vec<Option<(i32, i32)>> {
        let mut window = Window::default();
        window.start(&steps(insts));
        let mut out = Vec::new();
        for (i, inst) in insts.iter().enumerate() {
            if Span::of(inst).is_some() {
                let span = window.check(i as u32, inst);
                out.push(span.map(|s| (s.first, s.end)));
            }
            window.written(inst, false);
        }
        out
    }

    #[test]
    fn accesses_from_one_value_are_checked_at_once() {
        let i = Inst::new;
        let insts = [
            i(Op::Ld, 6, 5, 0, 16),
            i(Op::Sb, 0, 5, 6, -1),
            i(Op::Lw, 5, 5, 0, 40),
            i(Op::Lw, 6, 5, 0, 44),
        ];
        let wanted = [Some((-1, 44)), None, None, Some((44, 48))];
        assert_eq!(checks(&insts), wanted);
    }

    #[test]
    fn nothing_is_checked_before_it_is_certain() {
        let i = Inst::new;
        let load = |imm| i(Op::Ld, 6, 5, 0, imm);
        let branch = i(Op::Bne, 0, 6, 7, 64);
        let insts = [load(0), branch, load(8), load(0)];
        let wanted = [Some((0, 8)), Some((0, 16)), None];
        assert_eq!(checks(&insts), wanted);
        let amo = i(Op::AmoaddW, 6, 7, 6, 0);
        let wanted = [Some((0, 8)), Some((8, 16))];
        assert_eq!(checks(&[load(0), amo, load(8)]), wanted);
    }

    #[test]
    fn what_is_known_moves_with_sums() {
        let i = Inst::new;
        let insts = [
            i(Op::Ld, 6, 5, 0, 16),
            i(Op::Addi, 7, 5, 0, 16),
            i(Op::Ld, 6, 7, 0, 0),
            i(Op::Addiw, 7, 7, 0, 0),
            i(Op::Ld, 6, 7, 0, 0),
        ];
        assert_eq!(checks(&insts), [Some((16, 24)), None, Some((0, 8))]);
    }
}
