//! Random blocks: what the other families do not think of. Short, with few registers, so that
//! instructions meet; regions, side exits, exits charged in advance, registers that borrow.

use super::modes;
use crate::case::{Case, PC, TABLE_BASE, TABLE_BYTES};
use hartlog_format::witness::Columns;
use hartlog_isa::{CSR_CYCLE, Effect, Flow, Format, Inst, Op};
use templates::block::{Follow, Step, ends_block, is_skippable};
use templates::emit::{Config, Mode, Target};
use templates::place::{Placement, available};

/// A sequence of numbers that a seed determines (SplitMix64).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 32) % n.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn shuffled(&mut self, from: &[u8]) -> Vec<u8> {
        let mut out = from.to_vec();
        for i in (1..out.len()).rev() {
            out.swap(i, self.below(i as u64 + 1) as usize);
        }
        out
    }
}

/// The registers that random blocks use.
const USED: [u8; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

fn placement(random: &mut Random, mode: Mode) -> Placement {
    // About half of the registers used are pinned; the other host registers have other guests.
    let used = random.shuffled(&USED[1..]);
    let pinned = 2 + random.below(5) as usize;
    let others: Vec<u8> = (16..32).collect();
    let mut order: Vec<u8> = used[..pinned].to_vec();
    order.extend(random.shuffled(&others).into_iter().take(11));
    let count = 9 + random.below(4) as usize;
    order.truncate(count);
    let order = random.shuffled(&order);
    Placement::new(order, available(mode != Mode::Fast, Columns::NONE))
}

fn immediate(random: &mut Random, op: Op) -> i32 {
    match op.format() {
        Format::I => match random.below(6) {
            0 => 0,
            1 => random.pick(&[1, -1, 255, 2047, -2048]),
            2 => 1 << random.below(11),
            _ => random.below(4096) as i32 - 2048,
        },
        Format::Load | Format::Store | Format::Jalr => random.pick(&[0, 0, 8, -8, 16, 2047, -4]),
        Format::Shift => match random.below(3) {
            0 => random.pick(&[1, 2, 3, 16, 31, 32, 33, 48, 56, 63]),
            1 => random.pick(&[32, 48, 56]),
            _ => random.below(64) as i32,
        },
        Format::ShiftW => match random.below(2) {
            0 => random.pick(&[1, 8, 16, 24, 31]),
            _ => random.below(32) as i32,
        },
        Format::U => random.pick(&[0, 0x1000, i32::MIN, 0x7fff_f000, -0x1000]),
        Format::Csr | Format::CsrImm => i32::from(CSR_CYCLE),
        _ => 0,
    }
}

/// Kinds of instructions that meet in what is emitted together.
const THEMES: [&[Op]; 5] = [
    // Carries.
    &[Op::Add, Op::Add, Op::Sltu, Op::Sltu, Op::Sub, Op::Mul, Op::Mulhu, Op::Addi],
    // Words and shifts.
    &[
        Op::Addw, Op::Subw, Op::Slliw, Op::Srliw, Op::Sraiw, Op::Addiw, Op::Slli, Op::Srli, Op::Srai,
        Op::Or, Op::Xor, Op::And, Op::Andi, Op::Xori, Op::Mulw, Op::Add,
    ],
    // Addresses.
    &[
        Op::Slli, Op::Add, Op::Addi, Op::Sh1add, Op::Sh2add, Op::Sh3add, Op::AddUw, Op::Lw, Op::Ld,
        Op::Lbu, Op::Sw, Op::Sd, Op::Lui, Op::Lh, Op::Sb, Op::SlliUw, Op::Sh3addUw, Op::Addw,
    ],
    // Comparisons.
    &[
        Op::Slt, Op::Sltu, Op::Slti, Op::Sltiu, Op::Xori, Op::Addi, Op::Lui, Op::And, Op::Max, Op::Minu,
        Op::Addw, Op::Sub,
    ],
    // Products and quotients.
    &[
        Op::Mul, Op::Mulh, Op::Mulhu, Op::Div, Op::Rem, Op::Divu, Op::Remu, Op::Divw, Op::Remw,
        Op::Divuw, Op::Remuw, Op::Addi, Op::Addiw, Op::Add,
    ],
];

/// A random case.
pub fn case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let (mode, checked) = match random.below(8) {
        0..4 => (Mode::Trace, false),
        _ => random.pick(&modes()),
    };
    let regions: Vec<Placement> = (0..2).map(|_| placement(&mut random, mode)).collect();
    let config = Config {
        mode,
        checked,
        columns: Columns::NONE,
        placement: regions[0].clone(),
        regions,
        table_base: TABLE_BASE,
        table_bytes: TABLE_BYTES,
    };
    let count = 2 + random.below(9) as usize;
    let theme = random.pick(&THEMES);
    let mut steps: Vec<Step> = Vec::new();
    let mut others: Vec<(u64, Target)> = Vec::new();
    let mut pc = PC;
    while steps.len() < count {
        let last = steps.len() + 1 == count;
        let mut inst = loop {
            let op = if random.one_in(4) {
                random.pick(Op::ALL)
            } else {
                random.pick(theme)
            };
            let imm = immediate(&mut random, op);
            let [rd, rs1, rs2] = [0; 3].map(|_| random.pick(&USED));
            let rs1 = if op.format() == Format::Csr { 0 } else { rs1 };
            let inst = Inst::new(op, rd, rs1, rs2, imm);
            let ends = ends_block(&inst) && inst.flow() != Flow::Branch;
            // Divisions fork: not too many of them.
            if !ends || last {
                break inst;
            }
        };
        if random.one_in(if last { 2 } else { 8 }) {
            let op = random.pick(&[Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu]);
            let (rs1, rs2) = (random.pick(&USED), random.pick(&USED));
            let skip = random.one_in(2) && steps.len() + 3 <= count;
            if skip {
                let over = loop {
                    let op = random.pick(Op::ALL);
                    let imm = immediate(&mut random, op);
                    let [rd, rs1, rs2] = [0; 3].map(|_| random.pick(&USED));
                    let inst = Inst::new(op, rd, rs1, rs2, imm);
                    if is_skippable(&inst) {
                        break inst;
                    }
                };
                for (inst, follow) in [
                    (Inst::new(op, 0, rs1, rs2, 8), Follow::Skip),
                    (over, Follow::Fall),
                ] {
                    steps.push(Step {
                        pc,
                        inst: Some(inst),
                        follow,
                    });
                    pc += 4;
                }
                continue;
            }
            let distance = 1024 + 4 * random.below(64) as i32;
            inst = Inst::new(op, 0, rs1, rs2, distance);
        }
        let mut follow = Follow::Fall;
        let mut next = pc + 4;
        if inst.flow() == Flow::Branch {
            let target = pc.wrapping_add(inst.imm as u64);
            // On along the branch, now and then.
            if !last && random.one_in(3) {
                follow = Follow::Target;
                next = target;
            }
            let exit = if follow == Follow::Target { pc + 4 } else { target };
            if random.one_in(2) {
                others.push((exit, some_target(&mut random)));
            }
        }
        if last && random.one_in(2) {
            others.push((pc + 4, some_target(&mut random)));
        }
        steps.push(Step {
            pc,
            inst: Some(inst),
            follow,
        });
        pc = next;
    }
    let region = random.below(2) as u16;
    others.sort_by_key(|o| o.0);
    others.dedup_by_key(|o| o.0);
    let own: Vec<u64> = steps.iter().map(|s| s.pc).collect();
    others.retain(|o| !own.contains(&o.0));
    let after = steps.last().map_or(PC, |s| s.next());
    let fallthrough = others
        .iter()
        .find(|o| o.0 == after)
        .map(|o| o.0)
        .filter(|_| random.one_in(2));
    Case {
        config,
        steps,
        others,
        region,
        fallthrough,
    }
}

fn some_target(random: &mut Random) -> Target {
    Target {
        region: random.below(2) as u16,
        steps: 1 + random.below(12) as u16,
    }
}

/// Whether a case accesses memory.
pub fn accesses(case: &Case) -> bool {
    case.steps
        .iter()
        .filter_map(|s| s.inst)
        .any(|i| i.op.effect() != Effect::None)
}
