//! Arithmetic on numbers of several words, as compilers emit it: sums and differences whose carries
//! are added somewhat later, with products, loads and stores in between.

use super::{BASE_DATA, BASE_HIGH, Maker};
use hartlog_isa::{Inst, Op};

impl Maker {
    pub(super) fn multiword(&mut self, out: &mut Vec<Inst>) {
        // Few names, so that a carry meets the registers of another one.
        let few = 3 + self.rng.below(5) as usize;
        let names: Vec<u8> = (0..few).map(|_| self.reg()).collect();
        let base = self.rng.pick(&[BASE_DATA, BASE_HIGH]);
        let mut late: Vec<Inst> = Vec::new();
        for limb in 0..1 + self.rng.below(4) as i32 {
            let [mut sum, low, high, carry] = [(); 4].map(|()| self.rng.pick(&names));
            if self.rng.one_in(3) {
                out.push(Inst::new(Op::Ld, sum, base, 0, 8 * limb));
            }
            if self.rng.one_in(2) {
                let (a, b) = (self.src(), self.rng.pick(&names));
                out.push(Inst::new(Op::Mul, low, a, b, 0));
                out.push(Inst::new(Op::Mulhu, high, a, b, 0));
            }
            let words = [sum, low];
            if self.rng.one_in(4) {
                sum = self.rng.pick(&names);
            }
            let borrow = self.rng.one_in(3);
            let op = if borrow { Op::Sub } else { Op::Add };
            let step = Inst::new(op, sum, words[0], words[1], 0);
            let compared = if borrow {
                (words[0], words[1])
            } else {
                (sum, self.rng.pick(&words))
            };
            let less = Inst::new(Op::Sltu, carry, compared.0, compared.1, 0);
            let borrow_first = borrow && self.rng.one_in(2);
            out.extend(if borrow_first {
                [less, step]
            } else {
                [step, less]
            });
            // What becomes of the carry, at once or after some of what follows.
            let to = if self.rng.one_in(4) {
                self.rng.pick(&names)
            } else {
                high
            };
            let (x, y) = if borrow || self.rng.one_in(2) {
                (high, carry)
            } else {
                (carry, high)
            };
            let op = if self.rng.one_in(8) { Op::Or } else { op };
            late.push(Inst::new(op, to, x, y, 0));
            if self.rng.one_in(3) {
                out.push(Inst::new(Op::Sd, 0, base, sum, 8 * limb));
            }
            while late.len() > self.rng.below(3) as usize {
                out.push(late.remove(0));
            }
            if self.rng.one_in(4) {
                let inst = self.any_pure();
                out.push(inst);
            }
        }
        out.append(&mut late);
        // Carries die: only then may they be left out.
        for r in names {
            if !self.rng.one_in(3) {
                let imm = self.rng.imm12();
                out.push(Inst::new(Op::Addi, r, 0, 0, imm));
            }
        }
    }
}
