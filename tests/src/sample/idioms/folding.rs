//! Instructions that templates fold into one another, and what goes wrong most easily around them.

use super::{BASE_DATA, BASE_HIGH, Maker};
use hartlog_isa::{CSR_CYCLE, CSR_INSTRET, CSR_TIME, Format, Inst, Op};

impl Maker {
    /// Instructions that each use the result of the one before, mostly of the kinds that templates
    /// fold into one another.
    pub(super) fn chain(&mut self, out: &mut Vec<Inst>) {
        const FOLDED: [Op; 24] = [
            Op::Slli,
            Op::Srli,
            Op::Srai,
            Op::Slliw,
            Op::Srliw,
            Op::Sraiw,
            Op::Add,
            Op::Addi,
            Op::Addiw,
            Op::Addw,
            Op::AddUw,
            Op::SlliUw,
            Op::Sh1add,
            Op::Sh2add,
            Op::Sh3addUw,
            Op::Slt,
            Op::Sltu,
            Op::Sltiu,
            Op::Xori,
            Op::Mul,
            Op::Sub,
            Op::Andi,
            Op::ZextH,
            Op::Or,
        ];
        let (mut t, mut u) = (self.reg(), self.reg());
        let mut a = self.src();
        for _ in 0..2 + self.rng.below(5) {
            let op = if self.rng.one_in(8) {
                self.any_binary()
            } else {
                self.rng.pick(&FOLDED)
            };
            let other = if self.rng.one_in(2) { u } else { self.src() };
            let (x, y) = if self.rng.one_in(3) {
                (other, a)
            } else {
                (a, other)
            };
            let imm = match op.format() {
                Format::I if op == Op::Addiw => self.rng.pick(&[0, 0, 0, 1, -1]),
                Format::I => self.rng.imm12(),
                Format::Shift => self.amount(64),
                Format::ShiftW => self.amount(32),
                _ => 0,
            };
            let x = if matches!(op.format(), Format::R) {
                x
            } else {
                a
            };
            out.push(Inst::new(op, t, x, y, imm));
            a = t;
            if self.rng.one_in(3) {
                std::mem::swap(&mut t, &mut u);
            }
        }
        if self.rng.one_in(2) {
            let d = self.dst();
            let imm = self.rng.pick(&[0, 0, 1]);
            out.push(Inst::new(
                self.rng.pick(&[Op::Addiw, Op::Addi]),
                d,
                a,
                0,
                imm,
            ));
        }
    }

    /// A shift amount, mostly one that means something.
    pub(super) fn amount(&mut self, bits: i32) -> i32 {
        let common: &[i32] = if bits == 64 {
            &[32, 48, 56, 16, 63, 1, 3, 0]
        } else {
            &[16, 24, 8, 31, 1, 0]
        };
        if self.rng.one_in(2) {
            self.rng.pick(common)
        } else {
            self.rng.below(bits as u64) as i32
        }
    }

    pub(super) fn idiom(&mut self, out: &mut Vec<Inst>) {
        let (a, b, d) = (self.src(), self.src(), self.dst());
        let (t, u) = (self.reg(), self.reg());
        let mut op = |op, rd, rs1, rs2, imm| out.push(Inst::new(op, rd, rs1, rs2, imm));
        match self.rng.below(35) {
            0 => {
                // Zero- and sign-extension, and other fields cut out by two shifts.
                let n = self.amount(64);
                let m = if self.rng.one_in(3) {
                    self.amount(64)
                } else {
                    n
                };
                let right = self.rng.pick(&[Op::Srli, Op::Srai]);
                op(Op::Slli, t, a, 0, n);
                op(right, if self.rng.one_in(3) { d } else { t }, t, 0, m);
            }
            1 => {
                let n = self.amount(32);
                let m = if self.rng.one_in(3) {
                    self.amount(32)
                } else {
                    n
                };
                let right = self.rng.pick(&[Op::Srliw, Op::Sraiw, Op::Srli, Op::Srai]);
                op(
                    self.rng.pick(&[Op::Slliw, Op::Slliw, Op::SlliUw]),
                    t,
                    a,
                    0,
                    n,
                );
                op(right, if self.rng.one_in(3) { d } else { t }, t, 0, m);
            }
            2 | 30 => {
                // A rotate (or nearly one) from two shifts.
                let word = self.rng.one_in(2);
                let (left, right, bits) = if word {
                    (Op::Slliw, Op::Srliw, 32)
                } else {
                    (Op::Slli, Op::Srli, 64)
                };
                let n = 1 + self.rng.below(bits as u64 - 1) as i32;
                let m = if self.rng.one_in(4) {
                    1 + self.rng.below(bits as u64 - 1) as i32
                } else {
                    bits - n
                };
                let other = if self.rng.one_in(8) { b } else { a };
                op(left, t, a, 0, n);
                op(right, u, other, 0, m);
                let join = self.rng.pick(&[Op::Or, Op::Or, Op::Xor, Op::Add, Op::Addw]);
                let (x, y) = if self.rng.one_in(2) { (t, u) } else { (u, t) };
                op(join, if self.rng.one_in(2) { t } else { d }, x, y, 0);
                if self.rng.one_in(2) {
                    op(Op::Lui, t, 0, 0, 0x7000);
                    op(Op::Addi, u, 0, 0, n);
                }
            }
            3 => {
                // 32-bit arithmetic, and the sign extension after a 64-bit one.
                let first = self.rng.pick(&[
                    Op::Add,
                    Op::Sub,
                    Op::Mul,
                    Op::Addw,
                    Op::Subw,
                    Op::Mulw,
                    Op::And,
                ]);
                op(first, t, a, b, 0);
                let imm = if self.rng.one_in(3) {
                    self.rng.imm12()
                } else {
                    0
                };
                op(Op::Addiw, if self.rng.one_in(2) { t } else { d }, t, 0, imm);
            }
            4 => {
                // Carries, and a chain of two.
                op(Op::Add, t, a, b, 0);
                op(Op::Sltu, u, t, self.rng.pick(&[a, b]), 0);
                if self.rng.one_in(2) {
                    let (e, g) = (self.reg(), self.reg());
                    op(Op::Add, e, t, g, 0);
                    op(Op::Sltu, g, e, g, 0);
                    op(self.rng.pick(&[Op::Or, Op::Add]), d, u, g, 0);
                } else {
                    op(Op::Add, d, d, u, 0);
                }
            }
            5 => {
                // Borrows.
                let first = self.rng.one_in(2);
                if first {
                    op(Op::Sltu, u, a, b, 0);
                }
                op(Op::Sub, t, a, b, 0);
                if !first {
                    op(Op::Sltu, u, a, self.rng.pick(&[t, b]), 0);
                }
                op(Op::Sub, d, d, u, 0);
            }
            6 => {
                // Constants.
                let high = (self.rng.value() as i32) & !0xfff;
                op(self.rng.pick(&[Op::Lui, Op::Lui, Op::Auipc]), t, 0, 0, high);
                let low = self.rng.imm12();
                op(self.rng.pick(&[Op::Addiw, Op::Addi]), t, t, 0, low);
                if self.rng.one_in(2) {
                    op(Op::Slli, t, t, 0, 12);
                    op(Op::Addi, d, t, 0, low);
                }
            }
            7 => {
                op(Op::Addi, t, 0, 0, self.rng.imm12());
                op(
                    self.any_binary(),
                    d,
                    if self.rng.one_in(2) { t } else { a },
                    t,
                    0,
                );
            }
            8 => {
                // Both halves of a product.
                let high = self.rng.pick(&[Op::Mulhu, Op::Mulhu, Op::Mulh, Op::Mulhsu]);
                let order = if self.rng.one_in(4) { (b, a) } else { (a, b) };
                if self.rng.one_in(2) {
                    op(Op::Mul, t, a, b, 0);
                    op(high, u, order.0, order.1, 0);
                } else {
                    op(high, t, a, b, 0);
                    op(Op::Mul, u, order.0, order.1, 0);
                }
            }
            9 => {
                // Quotient and remainder.
                let (div, rem) = self.rng.pick(&[
                    (Op::Div, Op::Rem),
                    (Op::Divu, Op::Remu),
                    (Op::Divw, Op::Remw),
                    (Op::Divuw, Op::Remuw),
                    (Op::Div, Op::Remu),
                ]);
                let (first, second) = if self.rng.one_in(3) {
                    (rem, div)
                } else {
                    (div, rem)
                };
                op(first, t, a, b, 0);
                op(second, u, a, b, 0);
            }
            10 => {
                // A negation that and, or and xor absorb.
                op(Op::Xori, t, a, 0, -1);
                let (x, y) = if self.rng.one_in(4) { (t, b) } else { (b, t) };
                op(
                    self.rng.pick(&[Op::And, Op::Or, Op::Xor]),
                    if self.rng.one_in(2) { t } else { d },
                    x,
                    y,
                    0,
                );
            }
            11 => {
                // Overwritten before it is read.
                op(self.any_binary(), t, a, b, 0);
                op(self.any_binary(), t, a, u, 0);
            }
            12 => {
                // Copies.
                op(Op::Addi, t, a, 0, 0);
                op(self.any_binary(), a.max(1), u, t, 0);
                op(Op::Add, d, 0, t, 0);
            }
            13 => {
                // Truth values.
                op(
                    self.rng.pick(&[Op::Sltiu, Op::Slti]),
                    t,
                    a,
                    0,
                    self.rng.pick(&[1, 0, -1]),
                );
                op(Op::Xori, t, t, 0, 1);
                op(Op::Sltu, u, 0, t, 0);
                op(Op::And, d, u, t, 0);
            }
            14 => {
                let csr = self.rng.pick(&[CSR_CYCLE, CSR_TIME, CSR_INSTRET]);
                op(
                    self.rng
                        .pick(&[Op::Csrrs, Op::Csrrc, Op::Csrrsi, Op::Csrrci]),
                    d,
                    0,
                    0,
                    i32::from(csr),
                );
            }
            15 => op(self.rng.pick(&[Op::Fence, Op::FenceI]), 0, 0, 0, 0x33),
            16 | 17 => self.access(out),
            18 => self.indexed(out),
            19 => self.atomic(out),
            20..=23 => self.chain(out),
            24 => {
                // Any result, extended.
                let inst = self.any_pure();
                out.push(inst);
                let (x, n) = (inst.rd, self.rng.pick(&[32, 32, 48, 56]));
                match self.rng.below(3) {
                    0 => out.push(Inst::new(Op::Addiw, d, x, 0, 0)),
                    1 => {
                        out.push(Inst::new(Op::Slli, t, x, 0, n));
                        out.push(Inst::new(self.rng.pick(&[Op::Srli, Op::Srai]), d, t, 0, n));
                    }
                    _ => out.push(Inst::new(Op::AddUw, d, x, self.rng.pick(&[0, b]), 0)),
                }
            }
            25 => {
                // Two 32-bit values compared or combined as 64-bit ones.
                let word = [
                    Op::Addw,
                    Op::Subw,
                    Op::Sllw,
                    Op::Addiw,
                    Op::Sraw,
                    Op::Mulw,
                    Op::Rorw,
                ];
                for r in [t, u] {
                    let (x, y, imm) = (self.src(), self.src(), self.rng.imm12());
                    let first = if self.rng.one_in(4) {
                        self.any_binary()
                    } else {
                        self.rng.pick(&word)
                    };
                    out.push(Inst::new(first, r, x, y, imm));
                }
                let second = self.rng.pick(&[
                    Op::Slt,
                    Op::Sltu,
                    Op::And,
                    Op::Or,
                    Op::Xor,
                    Op::Min,
                    Op::Maxu,
                ]);
                out.push(Inst::new(second, d, t, u, 0));
            }
            26 | 27 => self.facts(out),
            28 => self.hazard(out),
            31 | 32 => self.multiword(out),
            33 => self.multiple(out),
            _ => {
                let inst = self.any_pure();
                out.push(inst);
            }
        }
    }

    /// A value and its multiples, as a product with a constant is written; sometimes another value.
    fn multiple(&mut self, out: &mut Vec<Inst>) {
        let (t, u, a) = (self.reg(), self.reg(), self.src());
        out.push(match self.rng.below(4) {
            0 => Inst::new(Op::Addi, t, 0, 0, self.rng.imm12()),
            1 => Inst::new(Op::Slliw, t, a, 0, self.amount(32)),
            _ => Inst::new(Op::Slli, t, a, 0, self.amount(64)),
        });
        for _ in 0..1 + self.rng.below(4) {
            let other = match self.rng.below(6) {
                0 => u,
                1 => self.src(),
                _ => a,
            };
            let (x, y) = if self.rng.one_in(2) {
                (t, other)
            } else {
                (other, t)
            };
            let d = if self.rng.one_in(5) { u } else { t };
            out.push(match self.rng.below(8) {
                0 => Inst::new(Op::Mul, d, x, y, 0),
                1 => Inst::new(Op::Slli, d, t, 0, self.amount(64)),
                2 => Inst::new(Op::Slli, d, t, 0, self.rng.below(8) as i32),
                3 | 4 => Inst::new(Op::Sub, d, x, y, 0),
                5 => Inst::new(self.rng.pick(&[Op::Addw, Op::Subw, Op::Mulw]), d, x, y, 0),
                _ => Inst::new(Op::Add, d, x, y, 0),
            });
        }
        let d = self.dst();
        if self.rng.one_in(2) {
            out.push(Inst::new(Op::Addiw, d, t, 0, 0));
        }
        if self.rng.one_in(2) {
            out.push(Inst::new(Op::Lui, t, 0, 0, 0x5000));
        }
    }

    /// A value whose upper half is nearly always known (or nearly never), and an instruction to
    /// which that matters.
    pub(super) fn facts(&mut self, out: &mut Vec<Inst>) {
        let pair = [self.reg(), self.reg()];
        for t in pair {
            let (a, b) = (self.src(), self.src());
            let edge = self.rng.pick(&[31, 32, 33]);
            let small = self.rng.pick(&[1, 31, 0]);
            let base = self.rng.pick(&[BASE_DATA, BASE_HIGH]);
            let at = 8 * self.rng.below(8) as i32;
            out.push(match self.rng.below(20) {
                0 | 1 => Inst::new(Op::Srli, t, a, 0, edge),
                2 => Inst::new(Op::Srai, t, a, 0, edge),
                3 => Inst::new(Op::Srliw, t, a, 0, small),
                4 => Inst::new(
                    Op::Lui,
                    t,
                    0,
                    0,
                    self.rng.pick(&[i32::MIN, 0x7fff_f000, -4096]),
                ),
                5 => Inst::new(Op::Andi, t, a, 0, self.rng.pick(&[-1, -2, 255, 2047])),
                6 => Inst::new(
                    self.rng.pick(&[Op::Lw, Op::Lwu, Op::Ld, Op::Lb]),
                    t,
                    base,
                    0,
                    at,
                ),
                7 => Inst::new(Op::AddUw, t, a, 0, 0),
                8 => Inst::new(Op::Slli, t, a, 0, edge),
                9 => Inst::new(
                    self.rng.pick(&[Op::Divuw, Op::Remuw, Op::Divw, Op::Remw]),
                    t,
                    a,
                    b,
                    0,
                ),
                10 => Inst::new(
                    self.rng.pick(&[Op::Max, Op::Min, Op::Maxu, Op::Minu]),
                    t,
                    a,
                    b,
                    0,
                ),
                11 => Inst::new(
                    self.rng.pick(&[Op::Mulw, Op::Subw, Op::Rolw, Op::Sllw]),
                    t,
                    a,
                    b,
                    0,
                ),
                12 => Inst::new(
                    self.rng.pick(&[Op::And, Op::Or, Op::Xor, Op::Andn]),
                    t,
                    pair[0],
                    pair[1],
                    0,
                ),
                13 => Inst::new(
                    self.rng.pick(&[Op::Xori, Op::Ori]),
                    t,
                    a,
                    0,
                    self.rng.imm12(),
                ),
                14 => Inst::new(Op::Addi, t, a, 0, 0),
                15 => Inst::new(
                    self.rng.pick(&[Op::Bext, Op::Slt, Op::Bset, Op::Bclr]),
                    t,
                    a,
                    b,
                    0,
                ),
                _ => Inst::new(Op::Addiw, t, a, 0, self.rng.pick(&[0, 0, 1, -1])),
            });
        }
        let (d, [t, u]) = (self.dst(), pair);
        match self.rng.below(10) {
            0..=2 => out.push(Inst::new(Op::Addiw, d, t, 0, 0)),
            3 => {
                out.push(Inst::new(Op::Slli, u, t, 0, 32));
                out.push(Inst::new(self.rng.pick(&[Op::Srai, Op::Srli]), d, u, 0, 32));
            }
            4 | 5 => out.push(Inst::new(
                self.rng.pick(&[Op::Slt, Op::Sltu, Op::Min, Op::Maxu]),
                d,
                t,
                u,
                0,
            )),
            6 => out.push(Inst::new(
                self.rng
                    .pick(&[Op::Or, Op::And, Op::Xor, Op::Xnor, Op::Orn]),
                d,
                t,
                u,
                0,
            )),
            7 => out.push(Inst::new(Op::Sd, 0, BASE_DATA, t, 64)),
            8 => out.push(Inst::new(
                self.rng.pick(&[Op::Add, Op::Sub, Op::Sh1add]),
                d,
                t,
                u,
                0,
            )),
            _ => out.push(Inst::new(
                self.rng.pick(&[Op::Slti, Op::Sltiu]),
                d,
                t,
                0,
                self.rng.imm12(),
            )),
        }
    }

    /// A deferred value whose source changes before it is used, by an instruction that writes the
    /// source of that change.
    pub(super) fn hazard(&mut self, out: &mut Vec<Inst>) {
        let (t, v, r, e) = (self.reg(), self.reg(), self.reg(), self.src());
        let base = self.rng.pick(&[BASE_DATA, BASE_HIGH]);
        let small = 1 + self.rng.below(3) as i32;
        let address = self.rng.one_in(2);
        if address {
            out.push(Inst::new(Op::Andi, v, e, 0, 0xff));
        }
        out.push(match self.rng.below(if address { 3 } else { 6 }) {
            0 => Inst::new(Op::Add, t, v, base, 0),
            1 => Inst::new(
                self.rng.pick(&[Op::Sh1add, Op::Sh3add, Op::AddUw]),
                t,
                v,
                base,
                0,
            ),
            2 => Inst::new(Op::Add, t, base, v, 0),
            3 => Inst::new(Op::Sltu, t, v, e, 0),
            4 => Inst::new(Op::Sltu, t, e, v, 0),
            _ => Inst::new(
                self.rng.pick(&[Op::Slli, Op::Slliw, Op::Xori, Op::Addi]),
                t,
                v,
                0,
                small,
            ),
        });
        out.push(match self.rng.below(5) {
            0 => Inst::new(Op::Slli, v, r, 0, small),
            1 => Inst::new(Op::Addi, v, r, 0, small),
            2 => Inst::new(Op::Srliw, v, r, 0, small),
            3 => Inst::new(Op::Addi, v, 0, 0, small),
            _ => Inst::new(Op::Sub, v, r, e, 0),
        });
        if address {
            let op = self.any_load_or_store();
            out.push(Inst::new(op, r, t, e, small));
        } else {
            let op = self
                .rng
                .pick(&[Op::Add, Op::Add, Op::Sub, Op::Or, Op::And, Op::Addw]);
            let (x, y) = if self.rng.one_in(3) { (t, e) } else { (e, t) };
            out.push(Inst::new(op, r, x, y, 0));
        }
        if self.rng.one_in(2) {
            out.push(Inst::new(Op::Add, self.dst(), v, e, 0));
        }
        for dead in [t, v] {
            if !self.rng.one_in(4) {
                out.push(Inst::new(Op::Addi, dead, 0, 0, small));
            }
        }
    }
}
