//! Jumps inside a definition. They are emitted with 32-bit displacements; once all code is there,
//! those that are near get a short form, and everything behind moves up.

use super::{Label, UNBOUND};

/// A jump that was emitted.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    index: u32,
    /// Offset behind it, in the code as emitted.
    pub end: u32,
}

/// Bytes of a short jump, conditional or not: opcode and displacement.
const SHORT: u32 = 2;

/// Bytes of a jump with a 32-bit displacement.
const JMP: u32 = 5;
const JCC: u32 = 6;

/// Shortening brings others near; more rounds than this find next to none.
const ROUNDS: usize = 2;

/// Farther apart than this, nothing brings two places near: not even if all between are jumps.
const FAR: u32 = 128 / SHORT * JCC;

#[derive(Clone, Copy)]
enum Target {
    /// Another definition: it keeps its long form, for the linker.
    Open,
    Label(Label),
    At(u32),
}

#[derive(Clone, Copy)]
struct Jump {
    /// Offset behind the jump.
    end: u32,
    target: Target,
    /// Bytes of the long form.
    bytes: u32,
    short: bool,
}

/// The jumps of a definition, in order.
#[derive(Default)]
pub(super) struct Branches {
    jumps: Vec<Jump>,
    /// Of each short jump, in order: offset behind it as emitted, bytes saved up to there.
    saved: Vec<(u32, u32)>,
}

impl Branches {
    /// A jump in its long form was emitted, up to `end`.
    pub fn push(&mut self, end: u32, conditional: bool, label: Option<Label>) -> Branch {
        let index = self.jumps.len() as u32;
        self.jumps.push(Jump {
            end,
            target: label.map_or(Target::Open, Target::Label),
            bytes: if conditional { JCC } else { JMP },
            short: false,
        });
        Branch { index, end }
    }

    /// Makes a jump go to an offset of the code as emitted.
    pub fn aim(&mut self, branch: Branch, offset: u32) {
        self.jumps[branch.index as usize].target = Target::At(offset);
    }

    /// The code with its jumps shortened and filled in.
    pub fn finish(&mut self, code: &[u8], labels: &[u32]) -> Vec<u8> {
        for jump in &mut self.jumps {
            if let Target::Label(label) = jump.target {
                let target = labels[label.0 as usize];
                debug_assert_ne!(target, UNBOUND, "label is not bound");
                jump.target = Target::At(target);
            }
        }
        self.saved.clear();
        for _ in 0..ROUNDS {
            if !self.shorten() {
                break;
            }
        }
        let saved = self.saved.last().map_or(0, |s| s.1);
        let mut out = Vec::with_capacity(code.len() - saved as usize);
        let mut copied = 0;
        for jump in &self.jumps {
            let end = jump.end as usize;
            let bytes = if jump.short {
                let start = end - jump.bytes as usize;
                out.extend_from_slice(&code[copied..start]);
                out.push(short_opcode(&code[start..]));
                1
            } else {
                out.extend_from_slice(&code[copied..end - 4]);
                4
            };
            copied = end;
            let end = out.len() as u32 + bytes;
            let displacement = match jump.target {
                Target::At(target) => self.moved(target).wrapping_sub(end),
                _ => 0,
            };
            out.extend_from_slice(&displacement.to_le_bytes()[..bytes as usize]);
        }
        out.extend_from_slice(&code[copied..]);
        self.jumps.clear();
        out
    }

    /// Marks jumps that are near after what was saved so far; returns whether there are any.
    fn shorten(&mut self) -> bool {
        let mut found = false;
        for i in 0..self.jumps.len() {
            let Jump {
                end, target, bytes, ..
            } = self.jumps[i];
            let Target::At(target) = target else { continue };
            if self.jumps[i].short || end.abs_diff(target) > FAR {
                continue;
            }
            let (end, target) = (self.moved(end), self.moved(target));
            // What is between gets no longer; a jump backwards is part of its own way.
            let near = match target >= end {
                true => target - end <= i8::MAX as u32,
                false => end - bytes + SHORT - target <= i8::MIN.unsigned_abs().into(),
            };
            self.jumps[i].short = near;
            found |= near;
        }
        if found {
            let mut sum = 0;
            self.saved.clear();
            for jump in self.jumps.iter().filter(|j| j.short) {
                sum += jump.bytes - SHORT;
                self.saved.push((jump.end, sum));
            }
        }
        found
    }

    /// Moves offsets as [`Branches::moved`] does; they should ascend.
    pub fn move_all<'a>(&self, offsets: impl Iterator<Item = &'a mut u32>) {
        let (mut next, mut last) = (0, 0);
        for offset in offsets {
            if *offset < last {
                next = 0;
            }
            last = *offset;
            while self.saved.get(next).is_some_and(|s| s.0 <= last) {
                next += 1;
            }
            *offset -= next.checked_sub(1).map_or(0, |i| self.saved[i].1);
        }
    }

    /// Where an offset of the code as emitted is in what [`Branches::finish`] returned last.
    pub fn moved(&self, offset: u32) -> u32 {
        let behind = self.saved.partition_point(|s| s.0 <= offset);
        match behind.checked_sub(1) {
            Some(last) => offset - self.saved[last].1,
            None => offset,
        }
    }
}

/// Opcode of the short form of a jump with a 32-bit displacement (Intel SDM volume 2, Jcc and JMP).
fn short_opcode(long: &[u8]) -> u8 {
    match *long {
        // jmp rel32, jmp rel8
        [0xe9, ..] => 0xeb,
        // 0f 8c jcc rel32, 7c jcc rel8
        [0x0f, jcc, ..] => jcc - 0x10,
        _ => unreachable!("not a jump with a displacement"),
    }
}

#[cfg(test)]
mod tests {
    use crate::asm::{Asm, Cond, Gpr};
    use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction};
    use quickcheck::{TestResult, quickcheck};

    /// Bytes of `push rax`, which stands between the jumps.
    const FILLER: u32 = 1;

    /// What to emit: a jump (conditional, to the start of this part), or so many fillers.
    type Part = (bool, u8, u8);

    /// Emits the parts; returns the code, and for each part where it starts in it.
    fn emit(parts: &[Part]) -> (Vec<u8>, Vec<u32>) {
        let mut asm = Asm::new();
        let labels: Vec<_> = parts.iter().map(|_| asm.label()).collect();
        let mut starts = Vec::new();
        for ((is_jump, to, count), label) in parts.iter().zip(&labels) {
            asm.bind(*label);
            starts.push(asm.pos());
            let target = labels[usize::from(*to) % labels.len()];
            match (is_jump, count % 2) {
                (true, 0) => asm.jmp(target),
                (true, _) => asm.jcc(Cond::Le, target),
                (false, _) => (0..*count).for_each(|_| asm.push(Gpr::Rax)),
            }
        }
        let code = asm.finish();
        let starts = starts.into_iter().map(|at| asm.moved(at)).collect();
        (code, starts)
    }

    fn decode(code: &[u8]) -> Vec<Instruction> {
        Decoder::with_ip(64, code, 0, DecoderOptions::NONE)
            .into_iter()
            .collect()
    }

    fn is_jump(i: &Instruction) -> bool {
        i.flow_control() != FlowControl::Next
    }

    /// Bytes from behind a jump to where it goes, if it were short.
    fn distance(i: &Instruction) -> i64 {
        let (from, to) = (i.next_ip() as i64, i.near_branch64() as i64);
        // A jump backwards would itself be shorter.
        let saved = if to < from { i.len() as i64 - 2 } else { 0 };
        to - from + saved
    }

    quickcheck! {
        fn jumps_go_where_they_went(parts: Vec<Part>) -> TestResult {
            if parts.is_empty() {
                return TestResult::discard();
            }
            let (code, starts) = emit(&parts);
            let mut found = decode(&code).into_iter();
            for ((jump, to, count), start) in parts.iter().zip(&starts) {
                if *jump {
                    let Some(i) = found.next() else { return TestResult::failed() };
                    let target = starts[usize::from(*to) % starts.len()];
                    let conditional = i.is_jcc_short_or_near();
                    if i.ip() != u64::from(*start)
                        || conditional != (count % 2 == 1)
                        || conditional && i.condition_code() != iced_x86::ConditionCode::le
                        || i.near_branch64() != u64::from(target)
                    {
                        return TestResult::error(format!("{i} at {start}"));
                    }
                } else if !(0..*count).all(|_| found.next().map(|i| i.code()) == Some(Code::Push_r64)) {
                    return TestResult::failed();
                }
            }
            TestResult::from_bool(found.next().is_none())
        }
    }

    /// A jump over so many fillers, and one back over them.
    fn over(count: u32) -> Vec<Instruction> {
        let mut asm = Asm::new();
        let (front, back) = (asm.label(), asm.label());
        asm.jmp(front);
        asm.bind(back);
        (0..count).for_each(|_| asm.push(Gpr::Rax));
        asm.bind(front);
        asm.jcc(Cond::E, back);
        decode(&asm.finish()).into_iter().filter(is_jump).collect()
    }

    #[test]
    fn near_jumps_are_short_and_others_are_not() {
        for count in 100..150 {
            for i in over(count) {
                let near = i8::try_from(distance(&i)).is_ok();
                assert_eq!(i.len() == 2, near, "{i} over {} bytes", count * FILLER);
            }
        }
        assert_eq!(over(126).iter().map(Instruction::len).sum::<usize>(), 4);
        assert_eq!(over(127).iter().map(Instruction::len).sum::<usize>(), 8);
        assert_eq!(over(128).iter().map(Instruction::len).sum::<usize>(), 11);
    }

    #[test]
    fn what_gets_near_by_shortening_is_shortened() {
        let mut asm = Asm::new();
        let (far, near) = (asm.label(), asm.label());
        asm.jmp(far);
        (0..100).for_each(|_| asm.push(Gpr::Rax));
        (0..10).for_each(|_| asm.jmp(near));
        asm.bind(near);
        asm.bind(far);
        let code = asm.finish();
        assert_eq!(code.len(), 2 + 100 + 10 * 2);
    }

    #[test]
    fn flow_ends_behind_a_jump_and_nowhere_else() {
        let mut asm = Asm::new();
        assert!(!asm.is_flow_ended());
        let end = asm.jmp_open().end;
        assert!(asm.is_flow_ended());
        asm.finish();
        // At the same offset of other code.
        (0..end).for_each(|_| asm.push(Gpr::Rax));
        assert!(!asm.is_flow_ended());
        asm.ud2();
        assert!(asm.is_flow_ended());
        let label = asm.label();
        asm.bind(label);
        assert!(!asm.is_flow_ended());
    }

    #[test]
    fn jumps_out_of_the_code_stay_long() {
        let mut asm = Asm::new();
        let label = asm.label();
        asm.jmp(label);
        asm.bind(label);
        let open = asm.jcc_open(Cond::B);
        let aimed = asm.jmp_open();
        asm.aim(aimed, open.end);
        let code = asm.finish();
        let lengths: Vec<usize> = decode(&code).iter().map(Instruction::len).collect();
        assert_eq!(lengths, [2, 6, 2]);
        assert_eq!(asm.moved(open.end), 8);
        assert_eq!(decode(&code)[2].near_branch64(), 8);
    }
}
