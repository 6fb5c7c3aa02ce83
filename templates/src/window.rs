//! Replay: which addresses are known to be inside the guest's window.
//!
//! The window is one interval, so of several accesses from one value of a base register only the
//! hull is checked, at the last of them: what is read comes from the log, so a check may come late,
//! as long as it comes before the block is left. A side exit in between has it on its cold path.
//! Adding a constant to the register moves the hull; what was checked is known until the register is
//! written, too, and also of the sum if that is another register.

use crate::block::{Follow, Step, ends_block};
use hartlog_format::witness::image::REACH;
use hartlog_isa::{Effect, Inst, Op};

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
    /// Per step that accesses memory: whether an access from the same value, moved or not, follows on
    /// the way to the end of the block.
    more: Vec<bool>,
    /// Per register what was checked of its value.
    known: [Option<Span>; 32],
    /// Per register what was accessed from its value and is still to be checked.
    unchecked: [Option<Span>; 32],
}

impl Window {
    /// Starts a block.
    pub fn start(&mut self, steps: &[Step]) {
        self.known = [None; 32];
        self.unchecked = [None; 32];
        self.more.clear();
        self.more.resize(steps.len(), false);
        let mut more = 0u32;
        for (i, step) in steps.iter().enumerate().rev() {
            let Some(inst) = step.inst else {
                more = 0;
                continue;
            };
            let access = Span::of(&inst);
            let goes_on = access.is_some() || inst.op.effect() == Effect::None;
            let skips = step.follow == Follow::Skip;
            if !goes_on || (ends_block(&inst) && !step.has_side_exit() && !skips && !step.perhaps) {
                more = 0;
            }
            if let Some(rd) = inst.writes() {
                let moved = sum(&inst, step.perhaps) && inst.rs1 == rd;
                more &= !(u32::from(!moved) << (rd & 31));
            }
            if let Some((base, _)) = access {
                self.more[i] = more & (1 << base) != 0;
                more |= 1 << base;
            }
        }
    }

    /// What has to be checked at an access by the step of this index; `None` if it is known, or is
    /// to be checked later. From then on it is known.
    pub fn check(&mut self, index: u32, inst: &Inst) -> Option<Span> {
        let (base, span) = Span::of(inst)?;
        let (known, unchecked) = (
            &mut self.known[base as usize],
            &mut self.unchecked[base as usize],
        );
        if !known.is_some_and(|k| k.contains(span)) {
            *unchecked = Some(unchecked.map_or(span, |u| u.hull(span)));
        }
        if self.more.get(index as usize) == Some(&true) {
            return None;
        }
        let hull = unchecked.take()?;
        *known = Some(known.map_or(hull, |k| k.hull(hull)));
        Some(hull)
    }

    /// What a side exit has to check, per register.
    pub fn unchecked(&self) -> Vec<(u8, Span)> {
        let spans = self.unchecked.iter().zip(0..);
        spans.filter_map(|(s, r)| Some((r, (*s)?))).collect()
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
        let (rd, from) = (rd as usize & 31, inst.rs1 as usize & 31);
        let sum = sum(inst, perhaps);
        let known = self.known[from].filter(|_| sum);
        self.known[rd] = known.and_then(|k| k.moved(inst.imm));
        let unchecked = self.unchecked[rd].filter(|_| sum && from == rd);
        debug_assert_eq!(
            unchecked, self.unchecked[rd],
            "checked before it is written"
        );
        self.unchecked[rd] = unchecked.and_then(|u| u.moved(inst.imm));
    }
}

/// Whether the value that a step writes is that of rs1 and a constant; `perhaps`: if it is executed.
fn sum(inst: &Inst, perhaps: bool) -> bool {
    inst.op == Op::Addi && !perhaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(insts: &[Inst]) -> Vec<Step> {
        let step = |inst: &Inst| Step {
            pc: 0x1_0000,
            inst: Some(*inst),
            follow: Follow::Fall,
            perhaps: false,
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
        let wanted = [None, None, Some((-1, 44)), Some((44, 48))];
        assert_eq!(checks(&insts), wanted);
    }

    #[test]
    fn what_follows_a_branch_is_checked_there_and_at_the_exit() {
        let i = Inst::new;
        let load = |imm| i(Op::Ld, 6, 5, 0, imm);
        let branch = i(Op::Bne, 0, 6, 7, 64);
        let insts = [load(0), branch, load(8), load(0)];
        assert_eq!(checks(&insts), [None, None, Some((0, 16))]);
        let mut window = Window::default();
        window.start(&steps(&insts));
        assert_eq!(window.check(0, &insts[0]), None);
        let first = Span { first: 0, end: 8 };
        assert_eq!(window.unchecked(), [(5, first)]);
    }

    #[test]
    fn nothing_is_checked_behind_what_may_leave_the_block_unseen() {
        let i = Inst::new;
        let load = |imm| i(Op::Ld, 6, 5, 0, imm);
        let wanted = [Some((0, 8)), Some((8, 16))];
        for other in [
            i(Op::AmoaddW, 6, 7, 6, 0),
            i(Op::Ebreak, 0, 0, 0, 0),
            i(Op::Addi, 5, 6, 0, 0),
        ] {
            assert_eq!(checks(&[load(0), other, load(8)]), wanted, "{other:?}");
        }
    }

    #[test]
    fn what_was_accessed_moves_with_the_register() {
        let i = Inst::new;
        let insts = [
            i(Op::Ld, 6, 5, 0, 0),
            i(Op::Addi, 5, 5, 0, 8),
            i(Op::Sd, 0, 5, 6, 0),
            i(Op::Addi, 5, 5, 0, 8),
            i(Op::Ld, 6, 5, 0, 0),
        ];
        assert_eq!(checks(&insts), [None, None, Some((-16, 8))]);
    }

    #[test]
    fn a_sum_that_may_be_skipped_moves_nothing() {
        let i = Inst::new;
        let insts = [
            i(Op::Ld, 6, 5, 0, 0),
            i(Op::Beq, 0, 6, 0, 8),
            i(Op::Addi, 5, 5, 0, 8),
            i(Op::Ld, 6, 5, 0, 0),
        ];
        let mut steps = steps(&insts);
        steps[1].follow = Follow::Skip;
        steps[2].perhaps = true;
        let mut window = Window::default();
        window.start(&steps);
        let span = Some(Span { first: 0, end: 8 });
        assert_eq!(window.check(0, &insts[0]), span);
        window.written(&insts[2], true);
        assert_eq!(window.check(3, &insts[3]), span);
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
