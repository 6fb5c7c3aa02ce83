//! Loads, stores and atomics.

use super::{BASE_DATA, BASE_HIGH, BASE_ODD, Maker};
use hartlog_isa::{Effect, Format, Inst, Op};

impl Maker {
    pub(super) fn any_load_or_store(&mut self) -> Op {
        loop {
            let op = self.rng.pick(Op::ALL);
            if matches!(op.effect(), Effect::Read(_) | Effect::Write(_)) {
                return op;
            }
        }
    }

    /// Loads and stores near a base.
    pub(super) fn access(&mut self, out: &mut Vec<Inst>) {
        let base = self.rng.pick(&[BASE_DATA, BASE_DATA, BASE_HIGH, BASE_ODD]);
        let at = if self.rng.one_in(3) {
            self.rng.imm12()
        } else {
            self.rng.below(16) as i32
        };
        for _ in 0..1 + self.rng.below(3) {
            let op = self.any_load_or_store();
            let (rd, rs2) = (self.dst(), self.src());
            let near = self.rng.pick(&[0, 0, 1, 2, 4, 8, -1]);
            out.push(Inst::new(op, rd, base, rs2, (at + near).clamp(-2048, 2047)));
        }
    }

    /// A load or store at a computed address.
    pub(super) fn indexed(&mut self, out: &mut Vec<Inst>) {
        let (i, t, a) = (self.reg(), self.reg(), self.src());
        let base = self.rng.pick(&[BASE_DATA, BASE_HIGH]);
        let mut op = |op, rd, rs1, rs2, imm| out.push(Inst::new(op, rd, rs1, rs2, imm));
        let scale = self.rng.below(4) as i32;
        op(Op::Andi, i, a, 0, 0xff);
        match self.rng.below(8) {
            0 | 1 => {
                op(Op::Slli, t, i, 0, scale);
                let (x, y) = if self.rng.one_in(2) {
                    (t, base)
                } else {
                    (base, t)
                };
                op(Op::Add, t, x, y, 0);
            }
            2 => {
                // Zero-extended index.
                op(Op::Slli, i, i, 0, 32);
                op(Op::Srli, i, i, 0, 32 - scale);
                op(Op::Add, t, base, i, 0);
            }
            3 => op(
                self.rng.pick(&[Op::Sh1add, Op::Sh2add, Op::Sh3add]),
                t,
                i,
                base,
                0,
            ),
            4 => op(
                self.rng
                    .pick(&[Op::AddUw, Op::Sh1addUw, Op::Sh2addUw, Op::Sh3addUw]),
                t,
                i,
                base,
                0,
            ),
            5 => {
                // A 32-bit sum: for the low base only, where it does not change the sign.
                op(self.rng.pick(&[Op::Addw, Op::Add]), t, i, BASE_DATA, 0);
                op(Op::Addiw, t, t, 0, self.rng.pick(&[0, 4]));
            }
            6 => {
                op(Op::Add, t, i, base, 0);
                op(Op::Addi, t, t, 0, self.rng.pick(&[-8, 1, 16]));
            }
            _ => op(Op::Sub, t, base, i, 0),
        }
        let memory = self.any_load_or_store();
        let (rd, rs2) = (if self.rng.one_in(3) { t } else { self.dst() }, self.src());
        let imm = self.rng.pick(&[0, 0, 8, -4, 1, 255]);
        out.push(Inst::new(memory, rd, t, rs2, imm));
        if self.rng.one_in(3) {
            out.push(Inst::new(
                self.any_load_or_store(),
                self.dst(),
                t,
                self.src(),
                imm,
            ));
        }
    }

    /// Atomics, at aligned addresses nearly always.
    pub(super) fn atomic(&mut self, out: &mut Vec<Inst>) {
        let (t, a) = (self.reg(), self.src());
        let base = self.rng.pick(&[BASE_DATA, BASE_HIGH]);
        if self.rng.one_in(2) {
            out.push(Inst::new(
                Op::Andi,
                t,
                a,
                0,
                if self.rng.one_in(64) { 0xff } else { 0x78 },
            ));
            out.push(Inst::new(Op::Add, t, t, base, 0));
        } else {
            out.push(Inst::new(
                Op::Addi,
                t,
                base,
                0,
                8 * self.rng.below(4) as i32,
            ));
        }
        let choices: Vec<Op> = Op::ALL
            .iter()
            .copied()
            .filter(|o| matches!(o.format(), Format::Amo | Format::Lr))
            .collect();
        for _ in 0..1 + self.rng.below(3) {
            let op = match self.rng.below(8) {
                0 | 1 => self.rng.pick(&[Op::LrW, Op::LrD]),
                2 | 3 => self.rng.pick(&[Op::ScW, Op::ScD]),
                _ => self.rng.pick(&choices),
            };
            // The address has to survive for the next.
            let mut rd = self.dst();
            while rd == t && self.pool.len() > 1 && !self.rng.one_in(8) {
                rd = self.dst();
            }
            let mut inst = Inst::new(op, rd, t, self.src(), 0);
            // aq and rl.
            inst.raw |= (self.rng.below(4) as u32) << 25;
            out.push(inst);
        }
    }
}
