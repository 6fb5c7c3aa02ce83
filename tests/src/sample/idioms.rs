//! What random programs are made of.

mod folding;
mod memory;
mod multiword;

use super::{BASE_DATA, BASE_HIGH, BASE_ODD, BASE_TABLE, COUNTER, Item, Kind, POINTERS, Sample};
use crate::random::Rng;
use hartlog_isa::{Format, Inst, Op};

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
        match self.rng.below(17) {
            16 => self.leaf(),
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

    /// Branches over few instructions: minima, absolute values, sums modulo a number and the like.
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
            let branch = self.items.len();
            self.control(Inst::new(op, 0, a, b, 0), 0);
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
                for _ in 0..self.rng.below(5) {
                    self.go_on(inst.rd);
                }
            }
            let mut to = self.items.len() as u16;
            if self.rng.one_in(3) {
                // Two ways to the same place, as at the end of a loop.
                if self.rng.one_in(2) {
                    to = self.target();
                }
                self.control(Inst::new(Op::Jal, 0, 0, 0, 0), to);
            }
            self.items[branch].kind = Kind::To(Inst::new(op, 0, a, b, 0), to);
            let after = match self.rng.below(6) {
                0 | 1 => Some(Inst::new(Op::Addiw, self.dst(), d, 0, 0)),
                2 => Some(Inst::new(Op::Slt, self.dst(), d, b, 0)),
                _ => None,
            };
            after.into_iter().for_each(|inst| self.push(inst));
        }
    }

    /// Goes on with the value of a register.
    fn go_on(&mut self, r: u8) {
        let other = self.src();
        let (b, imm) = (
            self.rng.pick(&[8, 16, 31, 32, 33, 48, 56]),
            self.rng.imm12(),
        );
        let some = self.rng.below(2) as i32;
        match self.rng.below(9) {
            8 => {
                let (t, op) = (self.dst(), self.rng.pick(&[Op::Srli, Op::Srliw]));
                let mask = self.rng.pick(&[1, 255, 2047, imm]);
                self.push(Inst::new(op, t, r, 0, b & 31));
                self.push(Inst::new(Op::Andi, r, t, 0, mask));
            }
            0 | 1 => {
                let right = self.rng.pick(&[Op::Srli, Op::Srai]);
                self.push(Inst::new(Op::Slli, r, r, 0, b));
                self.push(Inst::new(right, r, r, 0, b));
            }
            2 => self.push(Inst::new(Op::Addiw, r, r, 0, imm * some)),
            3 => {
                let op = self.rng.pick(&[Op::Addi, Op::Andi, Op::Ori, Op::Xori]);
                self.push(Inst::new(op, r, r, 0, imm));
            }
            4 => {
                let op = self.rng.pick(&[Op::Slliw, Op::Srliw, Op::Sraiw, Op::Srai]);
                self.push(Inst::new(op, r, r, 0, b & 31));
            }
            5 => {
                let op = self.rng.pick(&[Op::SextB, Op::SextH, Op::ZextH, Op::AddUw]);
                self.push(Inst::new(op, r, r, 0, 0));
            }
            6 => {
                let op = self
                    .rng
                    .pick(&[Op::Add, Op::Addw, Op::And, Op::Or, Op::Xor]);
                self.push(Inst::new(op, r, other, r, 0));
            }
            _ => {
                let op = self
                    .rng
                    .pick(&[Op::Sub, Op::Subw, Op::Addw, Op::Xor, Op::Add]);
                self.push(Inst::new(op, r, r, other, 0));
            }
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
        // The index and the address may be off by as much, in opposite directions.
        let off = self.rng.pick(&[0, 0, 1, -1, 64, -64]);
        if off != 0 {
            self.push(Inst::new(Op::Addi, i, i, 0, off));
        }
        self.push(Inst::new(Op::Slli, t, i, 0, 3));
        self.push(Inst::new(Op::Add, t, t, BASE_TABLE, 0));
        self.push(Inst::new(
            Op::Ld,
            t,
            t,
            0,
            if hidden { 8 * half } else { 0 } - 8 * off,
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

    /// A short function, jumped over, and calls of it: blocks go through it.
    fn leaf(&mut self) {
        let over = self.items.len();
        self.push(Inst::new(Op::Jal, 0, 0, 0, 4));
        let start = self.items.len() as u16;
        for _ in 0..1 + self.rng.below(4) {
            if self.rng.one_in(4) {
                // Within the function, or past its end.
                let to = self.items.len() as u16 + 1 + self.rng.below(4) as u16;
                let op = self.rng.pick(&[Op::Beq, Op::Bne, Op::Bltu, Op::Bge]);
                let (a, b) = (self.src(), self.src());
                self.control(Inst::new(op, 0, a, b, 0), to);
            }
            let mut out = Vec::new();
            self.idiom(&mut out);
            out.into_iter().take(4).for_each(|inst| self.push(inst));
        }
        self.push(Inst::new(Op::Jalr, 0, 1, 0, 0));
        let behind = self.items.len() as u16;
        self.items[over].kind = Kind::To(Inst::new(Op::Jal, 0, 0, 0, 0), behind);
        for _ in 0..1 + self.rng.below(3) {
            if self.rng.one_in(3) {
                let (rd, via) = (1, self.rng.pick(&[1, 1, 5]));
                self.items.push(Item {
                    kind: Kind::Far { rd, via, to: start },
                    short: false,
                });
            } else {
                self.control(Inst::new(Op::Jal, 1, 0, 0, 0), start);
            }
            let inst = self.any_pure();
            self.push(inst);
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
}
