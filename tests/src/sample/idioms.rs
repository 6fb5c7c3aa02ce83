//! What random programs are made of.

mod multiword;

use super::{BASE_DATA, BASE_HIGH, BASE_ODD, BASE_TABLE, COUNTER, Item, Kind, POINTERS, Sample};
use crate::random::Rng;
use hartlog_isa::{CSR_CYCLE, CSR_INSTRET, CSR_TIME, Effect, Format, Inst, Op};

/// Registers that idioms may write: all but x0, the bases and the counter.
const POOL: [u8; 25] = [
    1, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
];

struct Maker {
    rng: Rng,
    /// The few registers that this program uses, so that hazards are likely.
    pool: Vec<u8>,
    items: Vec<Item>,
    size: usize,
}

pub fn sample(seed: u64, size: usize) -> Sample {
    let mut rng = Rng::new(seed);
    let mut pool = POOL.to_vec();
    rng.shuffle(&mut pool);
    // Now and then a long run with more values than the host has registers.
    let crowded = rng.one_in(4);
    let size = if crowded { 2 * size } else { size };
    if !crowded {
        let few = if rng.one_in(2) { 4 } else { 10 };
        pool.truncate(3 + rng.below(few) as usize);
    }
    let mut x = [0; 32];
    for v in &mut x[1..] {
        *v = rng.value();
    }
    let mut order: Vec<u8> = (1..32).collect();
    rng.shuffle(&mut order);
    match rng.below(4) {
        // What the program uses is mostly in registers, or mostly in memory.
        0 | 1 => order.sort_by_key(|r| !pool.contains(r)),
        2 => order.sort_by_key(|r| pool.contains(r)),
        _ => {}
    }
    let mut maker = Maker {
        rng,
        pool,
        items: Vec::new(),
        size,
    };
    let straight = maker.rng.one_in(4);
    while maker.items.len() < size {
        if crowded {
            match maker.rng.below(32) {
                0 => maker.part(),
                1 => maker.branch(),
                2 => maker.skip(),
                _ => maker.run(),
            }
        } else if straight {
            maker.run();
        } else {
            maker.part();
        }
    }
    maker.end();
    let Maker {
        mut rng, mut items, ..
    } = maker;
    let len = items.len() as u64;
    // 16-bit forms: none, some, or all that there are.
    let short = rng.below(3);
    for item in &mut items {
        item.short = short == 2 || (short == 1 && rng.one_in(2));
    }
    let target = |rng: &mut Rng| rng.below(len) as u16;
    let pointers = [(); POINTERS].map(|()| target(&mut rng));
    let symbols = (0..rng.below(4))
        .map(|_| (target(&mut rng), if rng.one_in(8) { 2 } else { 0 }))
        .collect();
    Sample {
        seed,
        items,
        pointers,
        symbols,
        x,
        order,
    }
}

impl Maker {
    fn reg(&mut self) -> u8 {
        self.rng.pick(&self.pool)
    }

    /// A register to read: x0 and the bases now and then.
    fn src(&mut self) -> u8 {
        match self.rng.below(16) {
            0 => 0,
            1 => self.rng.pick(&[BASE_DATA, BASE_HIGH, COUNTER]),
            _ => self.reg(),
        }
    }

    /// A register to write: x0 now and then.
    fn dst(&mut self) -> u8 {
        if self.rng.one_in(24) { 0 } else { self.reg() }
    }

    fn target(&mut self) -> u16 {
        // Near by, mostly forward.
        let here = self.items.len() as i64;
        let distance = match self.rng.below(8) {
            0 => self.rng.below(self.size as u64 + 1) as i64 - here,
            1 => -(self.rng.below(8) as i64),
            _ => 1 + self.rng.below(8) as i64,
        };
        (here + distance).max(0) as u16
    }

    fn push(&mut self, inst: Inst) {
        self.items.push(inst.into());
    }

    /// A run of code with some structure around it.
    fn part(&mut self) {
        match self.rng.below(16) {
            0 => {
                let to = self.target();
                let rd = self.rng.pick(&[0, 0, 1, 5]);
                self.control(Inst::new(Op::Jal, rd, 0, 0, 0), to);
            }
            1 => self.switch(),
            2 => self.computed_jump(),
            3 => self.counted_loop(),
            4 => {
                let (rd, via, to) = (self.rng.pick(&[0, 1, 5]), self.reg(), self.target());
                self.items.push(Item {
                    kind: Kind::Far { rd, via, to },
                    short: false,
                });
            }
            5 => {
                // A return: to wherever x1 or x5 points.
                let rs1 = self.rng.pick(&[1, 5]);
                self.push(Inst::new(Op::Jalr, 0, rs1, 0, 0));
            }
            6 if self.rng.one_in(4) => {
                let number = self.rng.below(90) as i32;
                self.push(Inst::new(Op::Addi, 17, 0, 0, number));
                self.push(Inst::new(Op::Ecall, 0, 0, 0, 0));
            }
            7 => self.skip(),
            8..=10 => {
                self.branch();
                self.run();
            }
            _ => self.run(),
        }
    }

    fn end(&mut self) {
        match self.rng.below(4) {
            0 => self.push(Inst::new(Op::Ebreak, 0, 0, 0, 0)),
            1 => self.items.push(Item {
                kind: Kind::Half(0),
                short: false,
            }),
            _ => {
                self.push(Inst::new(Op::Addi, 17, 0, 0, crate::reference::EXIT as i32));
                self.push(Inst::new(Op::Ecall, 0, 0, 0, 0));
            }
        }
    }

    fn control(&mut self, inst: Inst, to: u16) {
        self.items.push(Item {
            kind: Kind::To(inst, to),
            short: false,
        });
    }

    fn branch(&mut self) {
        let op = self
            .rng
            .pick(&[Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu]);
        let (rs1, rs2) = (self.src(), if self.rng.one_in(3) { 0 } else { self.src() });
        let to = self.target();
        if self.rng.one_in(3) {
            // A comparison in front of it.
            let (t, a, b) = (self.reg(), self.src(), self.src());
            let imm = self.rng.imm12();
            let compare = match self.rng.below(4) {
                0 => Inst::new(Op::Slt, t, a, b, 0),
                1 => Inst::new(Op::Sltu, t, a, b, 0),
                2 => Inst::new(Op::Slti, t, a, 0, imm),
                _ => Inst::new(Op::Sltiu, t, a, 0, imm),
            };
            self.push(compare);
            let op = self.rng.pick(&[Op::Beq, Op::Bne]);
            let (a, b) = if self.rng.one_in(4) { (0, t) } else { (t, 0) };
            self.control(Inst::new(op, 0, a, b, 0), to);
        } else {
            self.control(Inst::new(op, 0, rs1, rs2, 0), to);
        }
    }

    /// Branches over one instruction: minima, absolute values and the like.
    fn skip(&mut self) {
        for _ in 0..1 + self.rng.below(3) {
            if self.rng.one_in(2) {
                self.run();
            }
            let op = self
                .rng
                .pick(&[Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu]);
            let (a, b, d) = (self.src(), self.src(), self.dst());
            // Something is known about the value that may stay, and matters afterwards.
            let before = match self.rng.below(6) {
                0 => Some(Inst::new(Op::Addiw, d, a, 0, 0)),
                1 => Some(Inst::new(Op::Subw, d, a, b, 0)),
                2 => Some(Inst::new(Op::Srliw, d, b, 0, 1)),
                _ => None,
            };
            before.into_iter().for_each(|inst| self.push(inst));
            let to = self.items.len() as u16 + 2;
            self.control(Inst::new(op, 0, a, b, 0), to);
            let inst = match self.rng.below(6) {
                0 => Inst::new(Op::Addi, d, self.src(), 0, 0),
                1 => Inst::new(Op::Sub, a.max(1), 0, a, 0),
                2 => Inst::new(Op::Addi, d, d, 0, self.rng.imm12()),
                3 => Inst::new(Op::Addi, d, 0, 0, self.rng.imm12()),
                4 => Inst::new(Op::Add, d, self.src(), self.src(), 0),
                _ => self.any_pure(),
            };
            // The bases keep their values.
            if POOL.contains(&inst.rd) || inst.rd == 0 {
                self.push(inst);
            }
            let after = match self.rng.below(6) {
                0 | 1 => Some(Inst::new(Op::Addiw, self.dst(), d, 0, 0)),
                2 => Some(Inst::new(Op::Slt, self.dst(), d, b, 0)),
                _ => None,
            };
            after.into_iter().for_each(|inst| self.push(inst));
        }
    }

    fn counted_loop(&mut self) {
        let count = 1 + self.rng.below(6) as i32;
        self.push(Inst::new(Op::Addi, COUNTER, 0, 0, count));
        let head = self.items.len() as u16;
        self.run();
        self.push(Inst::new(Op::Addi, COUNTER, COUNTER, 0, -1));
        if self.rng.one_in(2) {
            self.run();
        }
        let inst = match self.rng.below(3) {
            0 => Inst::new(Op::Bne, 0, COUNTER, 0, 0),
            1 => Inst::new(Op::Blt, 0, 0, COUNTER, 0),
            _ => Inst::new(Op::Bne, 0, 0, COUNTER, 0),
        };
        self.control(inst, head);
    }

    /// A jump through a table of code pointers.
    fn switch(&mut self) {
        let (i, t) = (self.reg(), self.reg());
        let hidden = self.rng.one_in(2);
        let half = POINTERS as i32 / 2;
        let s = self.src();
        self.push(Inst::new(Op::Andi, i, s, 0, half - 1));
        self.push(Inst::new(Op::Slli, t, i, 0, 3));
        self.push(Inst::new(Op::Add, t, t, BASE_TABLE, 0));
        self.push(Inst::new(
            Op::Ld,
            t,
            t,
            0,
            if hidden { 8 * half } else { 0 },
        ));
        if hidden {
            self.push(Inst::new(Op::Srli, t, t, 0, 32));
        }
        let (rd, imm) = (
            self.rng.pick(&[0, 0, 1, t]),
            self.rng.pick(&[0, 0, 0, 2, 4, 1]),
        );
        self.push(Inst::new(Op::Jalr, rd, t, 0, imm));
    }

    /// A jump to an address that is computed in code.
    fn computed_jump(&mut self) {
        let (rd, to) = (self.reg(), self.target());
        let plus = if self.rng.one_in(4) {
            self.rng.pick(&[2, 4, -2])
        } else {
            0
        };
        self.items.push(Item {
            kind: Kind::Address { rd, to, plus },
            short: false,
        });
        self.run();
        if !self.rng.one_in(4) {
            let (link, imm) = (self.rng.pick(&[0, 1, rd]), self.rng.pick(&[0, 0, 0, 2, 1]));
            self.push(Inst::new(Op::Jalr, link, rd, 0, imm));
        }
    }

    /// A few idioms, interleaved.
    fn run(&mut self) {
        let mut parts: Vec<std::vec::IntoIter<Inst>> = Vec::new();
        let mut written = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let mut insts = Vec::new();
            self.idiom(&mut insts);
            written.extend(insts.iter().filter_map(Inst::writes));
            parts.push(insts.into_iter());
        }
        let interleave = !self.rng.one_in(3);
        while !parts.is_empty() {
            let i = if interleave {
                self.rng.below(parts.len() as u64) as usize
            } else {
                0
            };
            match parts[i].next() {
                Some(inst) => self.push(inst),
                None => drop(parts.remove(i)),
            }
        }
        // Temporaries die: only then may a template leave their values out.
        if !self.rng.one_in(3) {
            for r in written {
                if !self.rng.one_in(3) && r != COUNTER {
                    let imm = self.rng.imm12();
                    self.push(Inst::new(Op::Addi, r, 0, 0, imm));
                }
            }
        }
    }

    /// Instructions that each use the result of the one before, mostly of the kinds that templates
    /// fold into one another.
    fn chain(&mut self, out: &mut Vec<Inst>) {
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
    fn amount(&mut self, bits: i32) -> i32 {
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

    fn idiom(&mut self, out: &mut Vec<Inst>) {
        let (a, b, d) = (self.src(), self.src(), self.dst());
        let (t, u) = (self.reg(), self.reg());
        let mut op = |op, rd, rs1, rs2, imm| out.push(Inst::new(op, rd, rs1, rs2, imm));
        match self.rng.below(34) {
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
            _ => {
                let inst = self.any_pure();
                out.push(inst);
            }
        }
    }

    /// A value whose upper half is nearly always known (or nearly never), and an instruction to
    /// which that matters.
    fn facts(&mut self, out: &mut Vec<Inst>) {
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
    fn hazard(&mut self, out: &mut Vec<Inst>) {
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

    fn any_binary(&mut self) -> Op {
        loop {
            let op = self.rng.pick(Op::ALL);
            if op.format() == Format::R {
                return op;
            }
        }
    }

    /// Any instruction that only computes.
    fn any_pure(&mut self) -> Inst {
        loop {
            let op = self.rng.pick(Op::ALL);
            let (rd, rs1, rs2) = (self.dst(), self.src(), self.src());
            let imm = match op.format() {
                Format::R | Format::Unary => 0,
                Format::I => self.rng.imm12(),
                Format::Shift => self.amount(64),
                Format::ShiftW => self.amount(32),
                Format::U => self.rng.value() as i32 & !0xfff,
                _ => continue,
            };
            return Inst::new(op, rd, rs1, rs2, imm);
        }
    }

    fn any_load_or_store(&mut self) -> Op {
        loop {
            let op = self.rng.pick(Op::ALL);
            if matches!(op.effect(), Effect::Read(_) | Effect::Write(_)) {
                return op;
            }
        }
    }

    /// Loads and stores near a base.
    fn access(&mut self, out: &mut Vec<Inst>) {
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
    fn indexed(&mut self, out: &mut Vec<Inst>) {
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
    fn atomic(&mut self, out: &mut Vec<Inst>) {
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
