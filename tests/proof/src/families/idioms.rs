//! Several instructions that are emitted as one, or with each other: whatever reads a value that
//! is overwritten after, rotations, pairs of products and quotients, branches over one instruction.

use super::{Scope, Visit, is_canonical, placed};
use crate::case::{self, Case};
use hartlog_isa::{CSR_INSTRET, Flow, Format, Inst, Op};
use templates::block::{Follow, MAX_SKIPPED, ends_block, goes_on_skippable, is_pure, is_skippable};
use templates::emit::{Config, Mode};
use templates::place::{Placement, available};
use templates::rewrite::foldable;
use tests::random::Rng;

/// Registers of an idiom: the value in the middle, the sources of the first instruction, another
/// source of the second, its destination. 1 to 5 are pinned, 16 to 20 are not.
type Layout = [u8; 5];

const LAYOUTS: [Layout; 9] = [
    [1, 2, 3, 4, 5],
    [16, 17, 18, 19, 20],
    // The value replaces its own source.
    [1, 1, 3, 4, 1],
    [16, 16, 18, 19, 16],
    [1, 17, 18, 19, 5],
    [16, 2, 3, 4, 20],
    // The destination is a source of the first instruction.
    [1, 2, 3, 4, 2],
    [16, 17, 18, 19, 17],
    // A source of both.
    [1, 2, 3, 2, 3],
];

const QUICK_LAYOUTS: [Layout; 4] = [LAYOUTS[0], LAYOUTS[1], LAYOUTS[2], LAYOUTS[6]];

fn pure(op: Op) -> bool {
    is_pure(&Inst::new(op, 1, 1, 1, 0))
}

fn immediates(op: Op, scope: Scope) -> Vec<i32> {
    let full = scope == Scope::Full;
    match op.format() {
        Format::Shift if full => (0..64).collect(),
        Format::Shift => vec![0, 1, 16, 31, 32, 33, 48, 63],
        Format::ShiftW if full => (0..32).collect(),
        Format::ShiftW => vec![1, 16, 31],
        Format::I if full => vec![0, 1, -1, 2, 15, 127, 255, 256, 1024, 2047, -2048, -128],
        Format::I => vec![0, 1, -1, 255],
        Format::Load | Format::Store => vec![0, 8],
        Format::U => vec![0x1000, i32::MIN, 0x7fff_f000],
        Format::Branch => vec![256],
        Format::Csr | Format::CsrImm => vec![CSR_INSTRET.into(), 0],
        _ => vec![0],
    }
}

/// A value and its only reader: every pair of instructions, the value being the reader's first
/// operand, its second, or both.
pub fn folded(first: Op, scope: Scope, visit: Visit) {
    if !pure(first) {
        return;
    }
    let full = scope == Scope::Full;
    let layouts = if full { &LAYOUTS[..] } else { &QUICK_LAYOUTS };
    let config = placed(Mode::Trace, false, 0);
    for second in Op::ALL.iter().copied() {
        let inst = |rd, rs1, rs2, imm| Inst::new(second, rd, rs1, rs2, imm);
        let flow = inst(1, 1, 1, 4).flow();
        let atomic = matches!(
            second.format(),
            Format::Amo | Format::Lr | Format::Csr | Format::CsrImm
        );
        if !matches!(flow, Flow::Next | Flow::Branch) || (atomic && !full) {
            continue;
        }
        let reads_second = match inst(1, 1, 1, 4).sources() {
            (None, _) => continue,
            (Some(_), b) => b.is_some(),
        };
        // All numbers in registers that are pinned, boundaries in others.
        let of = |all: bool| if all { scope } else { Scope::Quick };
        let shift = |op: Op| matches!(op.format(), Format::Shift | Format::ShiftW);
        for (n, layout) in layouts.iter().enumerate() {
            let [value, a, b, c, rd] = *layout;
            let mut operands = vec![(value, c)];
            if reads_second {
                operands.extend([(c, value), (value, value)]);
            }
            // Pairs that the emitter has no rule for: few numbers and places.
            let plain = !foldable(first);
            let all = !plain && n == 0;
            if plain && n > 1 {
                continue;
            }
            let all = all && (!shift(first) || shift(second));
            for i in immediates(first, of(all)) {
                for j in immediates(second, of(all)) {
                    for (rs1, rs2) in &operands {
                        let last = inst(rd, *rs1, *rs2, j);
                        let mut insts = vec![Inst::new(first, value, a, b, i), last];
                        let goes_on = flow == Flow::Branch || !ends_block(&last);
                        if goes_on && (rd != value || last.writes().is_none()) {
                            insts.push(Inst::new(Op::Lui, value, 0, 0, 0x5000));
                        }
                        visit(&Case::new(&config, case::straight(&insts)), None);
                    }
                }
                if plain && !full {
                    break;
                }
            }
        }
    }
}

/// Two shifts of one value in opposite directions, joined.
pub fn rotations(scope: Scope, visit: Visit) {
    let config = placed(Mode::Trace, false, 0);
    let full = scope == Scope::Full;
    for (left, right, width) in [
        (Op::Slli, Op::Srli, 64),
        (Op::Slliw, Op::Srliw, 32),
        (Op::Slli, Op::Srliw, 32),
        (Op::Slli, Op::Srai, 64),
    ] {
        for join in [Op::Or, Op::Xor, Op::Add, Op::Addw, Op::And, Op::Sub] {
            for l in 0..width {
                for r in 0..width {
                    if !full && l + r != width && r != 16 {
                        continue;
                    }
                    for [x, a, y, _, rd] in [LAYOUTS[0], LAYOUTS[1], [1, 2, 3, 4, 1]] {
                        for (p, q) in [(x, y), (y, x)] {
                            let insts = [
                                Inst::new(left, x, a, 0, l),
                                Inst::new(right, y, a, 0, r),
                                Inst::new(join, rd, p, q, 0),
                                Inst::new(Op::Lui, x, 0, 0, 0x5000),
                                Inst::new(Op::Lui, y, 0, 0, 0x6000),
                            ];
                            let insts = if rd == x {
                                vec![insts[0], insts[1], insts[2], insts[4]]
                            } else {
                                insts.to_vec()
                            };
                            visit(&Case::new(&config, case::straight(&insts)), None);
                        }
                    }
                }
            }
        }
    }
}

const M: [Op; 13] = [
    Op::Mul,
    Op::Mulh,
    Op::Mulhsu,
    Op::Mulhu,
    Op::Mulw,
    Op::Div,
    Op::Divu,
    Op::Rem,
    Op::Remu,
    Op::Divw,
    Op::Divuw,
    Op::Remw,
    Op::Remuw,
];

/// Products with constants, as compilers write them: by `mul`, or by shifts, sums and differences of
/// one value and its multiples. Up to three steps, the value itself or a multiple as either operand.
pub fn multiples(scope: Scope, visit: Visit) {
    let config = placed(Mode::Trace, false, 0);
    let full = scope == Scope::Full;
    let shifts: &[i32] = if full {
        &[1, 2, 3, 4, 5, 8, 15, 27, 30, 31]
    } else {
        &[1, 4, 27]
    };
    let sums = [Op::Add, Op::Sub, Op::Addw, Op::Subw];
    for (t, a, d) in [(1, 2, 3), (16, 17, 18), (1, 17, 1), (16, 2, 2)] {
        let mut chain = |steps: &[Inst]| {
            let mut insts = steps.to_vec();
            // Whatever is between is overwritten.
            insts.extend([5, 20, t].map(|r| Inst::new(Op::Lui, r, 0, 0, 0x5000)));
            visit(&Case::new(&config, case::straight(&insts)), None);
        };
        for c in [3, -1, 7, 0x7ff, -0x800] {
            for op in [Op::Mul, Op::Mulw, Op::Mulhu, Op::Divu, Op::Remw] {
                for (x, y) in [(a, 5), (5, a)] {
                    chain(&[Inst::new(Op::Addi, 5, 0, 0, c), Inst::new(op, d, x, y, 0)]);
                }
            }
        }
        for first in [Op::Slli, Op::Slliw] {
            for i in shifts {
                for sum in sums {
                    for swap in [false, true] {
                        let of = |rd, x, y| {
                            let (x, y) = if swap { (y, x) } else { (x, y) };
                            Inst::new(sum, rd, x, y, 0)
                        };
                        let start = Inst::new(first, 5, a, 0, *i);
                        chain(&[start, of(d, 5, a)]);
                        chain(&[start, Inst::new(Op::Slli, 20, a, 0, 7), of(d, 5, 20)]);
                        for j in shifts {
                            for last in sums {
                                let again = Inst::new(Op::Slli, 5, 5, 0, *j);
                                let end = Inst::new(last, d, 5, a, 0);
                                chain(&[start, of(5, 5, a), again, end]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Scaled indices with a constant, and what reads memory there; fields cut out by a shift and a mask,
/// where the block is left before, between or behind.
pub fn indices_and_fields(scope: Scope, visit: Visit) {
    let places = [(1, 2, 3), (16, 17, 18), (1, 17, 1), (16, 2, 2)];
    let modes = [Mode::Fast, Mode::Trace, Mode::Replay];
    // What checks addresses takes the solver long.
    let modes = match scope {
        Scope::Full => &modes[..],
        Scope::Quick => &modes[..2],
    };
    for (mode, (t, a, d)) in modes.iter().copied().flat_map(|m| places.map(|p| (m, p))) {
        let config = placed(mode, false, 0);
        let mut chain = |steps: &[Inst]| {
            let mut insts = steps.to_vec();
            insts.push(Inst::new(Op::Lui, 5, 0, 0, 0x5000));
            visit(&Case::new(&config, case::straight(&insts)), None);
        };
        for (c, k) in [(1, 1), (-1, 2), (256, 2), (2047, 3), (-2048, 3)] {
            for (x, y) in [(5, t), (t, 5)] {
                let index = Inst::new(Op::Addi, 5, a, 0, c);
                let scaled = Inst::new(Op::Slli, 5, 5, 0, k);
                let sum = |rd| Inst::new(Op::Add, rd, x, y, 0);
                chain(&[index, scaled, sum(d)]);
                chain(&[index, scaled, sum(5), Inst::new(Op::Ld, d, 5, 0, -8)]);
                chain(&[index, scaled, sum(5), Inst::new(Op::Sw, 0, 5, a, 16)]);
                chain(&[index, scaled, Inst::new(Op::Lhu, d, 5, 0, 2)]);
                chain(&[index, scaled, sum(5), Inst::new(Op::Addi, d, 5, 0, c)]);
            }
        }
        for (op, by, mask) in [
            (Op::Srli, 8, 255),
            (Op::Srli, 52, 2047),
            (Op::Srli, 53, 2047),
            (Op::Srli, 54, 2047),
            (Op::Srliw, 8, 255),
            (Op::Srliw, 21, 2047),
            (Op::Srliw, 22, 2047),
            (Op::Srli, 4, -16),
        ] {
            let leave = Inst::new(Op::Beq, 0, t, 20, 256);
            let (shift, field) = (
                Inst::new(op, 5, a, 0, by),
                Inst::new(Op::Andi, d, 5, 0, mask),
            );
            chain(&[shift, field]);
            chain(&[shift, leave, field]);
            chain(&[shift, field, leave]);
            chain(&[Inst::new(op, 5, 5, 0, by), field]);
            chain(&[shift, field, Inst::new(Op::Add, 20, 5, d, 0)]);
        }
    }
}

/// Two products or quotients of the same operands: in every placement of the two destinations and
/// operands, with nothing or something between them.
pub fn halves(scope: Scope, visit: Visit) {
    let config = placed(Mode::Trace, false, 0);
    let choices: &[u8] = match scope {
        Scope::Full => &[0, 1, 2, 3, 16, 17, 18],
        Scope::Quick => &[1, 2, 16, 17],
    };
    let places = [[1, 2, 3], [16, 17, 18]];
    let between: [Option<Inst>; 4] = [
        None,
        Some(Inst::new(Op::Addi, 5, 5, 0, 1)),
        Some(Inst::new(Op::Sd, 0, 4, 5, 8)),
        Some(Inst::new(Op::Lw, 5, 4, 0, 8)),
    ];
    for first in M {
        for second in M {
            // A product and a quotient are emitted each on its own.
            let product = |op| M[..5].contains(&op);
            let related = product(first) == product(second);
            for d in choices {
                for e in choices {
                    for a in choices {
                        for b in choices {
                            if !is_canonical(&[*d, *e, *a, *b], &places) {
                                continue;
                            }
                            for (swap, n) in
                                [(false, 0), (true, 0), (false, 1), (false, 2), (true, 3)]
                            {
                                if (n > 1 && scope == Scope::Quick) || (!related && (swap || n > 0))
                                {
                                    continue;
                                }
                                let (p, q) = if swap { (b, a) } else { (a, b) };
                                let mut insts = vec![Inst::new(first, *d, *a, *b, 0)];
                                insts.extend(between[n]);
                                insts.push(Inst::new(second, *e, *p, *q, 0));
                                visit(&Case::new(&config, case::straight(&insts)), None);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Sums and differences whose carry is added to or subtracted from another word, later or at once,
/// the sum itself being one of two that are under way.
pub fn carries(scope: Scope, visit: Visit) {
    let config = placed(Mode::Trace, false, 0);
    // Sum, its operands, carry; the word that the carry is added to, and the result.
    const LAYOUTS: [[u8; 6]; 12] = [
        [1, 1, 2, 3, 4, 4],
        [16, 16, 17, 18, 19, 19],
        [1, 1, 2, 2, 4, 4],
        [1, 2, 3, 3, 4, 3],
        [1, 16, 2, 17, 3, 4],
        [16, 1, 2, 17, 18, 3],
        [1, 2, 3, 16, 17, 17],
        [1, 2, 3, 4, 2, 2],
        [16, 16, 1, 1, 17, 16],
        [1, 2, 2, 3, 1, 1],
        [1, 2, 3, 1, 4, 2],
        [16, 17, 18, 16, 17, 17],
    ];
    let between: [&[Inst]; 6] = [
        &[],
        &[Inst::new(Op::Sd, 0, 20, 1, 8)],
        &[Inst::new(Op::Addi, 5, 5, 0, 1)],
        &[Inst::new(Op::Ld, 2, 20, 0, 8)],
        &[
            Inst::new(Op::Mul, 5, 2, 17, 0),
            Inst::new(Op::Mulhu, 4, 2, 17, 0),
        ],
        // Another carry, whose word is the same.
        &[
            Inst::new(Op::Add, 1, 1, 5, 0),
            Inst::new(Op::Sltu, 5, 1, 5, 0),
            Inst::new(Op::Add, 4, 5, 4, 0),
        ],
    ];
    let layouts = match scope {
        Scope::Full => &LAYOUTS[..],
        Scope::Quick => &LAYOUTS[..4],
    };
    for [sum, x, y, carry, word, to] in layouts.iter().copied() {
        for first in [Op::Add, Op::Sub] {
            for (p, q) in [(sum, x), (sum, y), (x, y), (x, sum)] {
                for (n, before) in between.iter().enumerate() {
                    for after in &between {
                        if scope == Scope::Quick && (n > 0 || after.len() == 2) {
                            continue;
                        }
                        for (op, a, b) in [
                            (Op::Add, word, carry),
                            (Op::Add, carry, word),
                            (Op::Sub, word, carry),
                            (Op::Or, word, carry),
                        ] {
                            let mut insts = vec![Inst::new(first, sum, x, y, 0)];
                            insts.extend(*before);
                            insts.push(Inst::new(Op::Sltu, carry, p, q, 0));
                            insts.extend(*after);
                            insts.push(Inst::new(op, to, a, b, 0));
                            if to != carry {
                                insts.push(Inst::new(Op::Lui, carry, 0, 0, 0x5000));
                            }
                            insts.push(Inst::new(Op::Lui, 5, 0, 0, 0x6000));
                            visit(&Case::new(&config, case::straight(&insts)), None);
                        }
                    }
                }
            }
        }
    }
}

/// Calls that the block goes through: by `jal`, or `auipc` and `jalr`, with the return address in
/// a host register or in memory, read in the function or not, with ways out of it.
pub fn calls(_: Scope, visit: Visit) {
    const RA: u8 = 1;
    let bodies: [&[Inst]; 5] = [
        &[],
        &[Inst::new(Op::Add, 2, 3, 4, 0)],
        &[
            Inst::new(Op::Ld, 2, 3, 0, 8),
            Inst::new(Op::Add, 16, 2, 2, 0),
        ],
        &[
            Inst::new(Op::Sd, 0, 3, RA, 8),
            Inst::new(Op::Addi, 16, RA, 0, 1),
        ],
        &[
            Inst::new(Op::Sltu, 16, 2, 3, 0),
            Inst::new(Op::Bne, 0, 2, 4, 64),
            Inst::new(Op::Lw, 2, 16, 0, 4),
        ],
    ];
    let after: [&[Inst]; 3] = [
        &[],
        &[Inst::new(Op::Addi, 5, RA, 0, 2)],
        &[
            Inst::new(Op::Bltu, 0, 16, 2, 96),
            Inst::new(Op::Sd, 0, 2, 3, 0),
        ],
    ];
    const FUNCTION: u64 = case::PC + 0x200;
    for mode in [Mode::Fast, Mode::Trace, Mode::Replay] {
        for order in [0, 1] {
            let mut config = placed(mode, false, 0);
            if order == 1 {
                // The return address has no host register.
                let mut homes: Vec<u8> = config.placement.pinned().map(|(r, _)| r).collect();
                homes.retain(|r| *r != RA);
                let free = available(mode != Mode::Fast, config.columns);
                config.placement = Placement::new(homes, free);
                config.regions = vec![config.placement.clone()];
            }
            for body in bodies {
                for after in after {
                    for far in [None, Some(RA), Some(5)] {
                        let call: Vec<Inst> = match far {
                            None => vec![Inst::new(Op::Jal, RA, 0, 0, 0x200)],
                            Some(via) => vec![
                                Inst::new(Op::Auipc, via, 0, 0, 0),
                                Inst::new(Op::Jalr, RA, via, 0, 0x200),
                            ],
                        };
                        let mut steps = case::straight(&call);
                        let back = steps.last().map_or(0, |s| s.next());
                        let ret = Inst::new(Op::Jalr, 0, RA, 0, 0);
                        let mut function = case::straight_at(FUNCTION, &[body, &[ret]].concat());
                        for last in [&mut steps, &mut function] {
                            if let Some(jump) = last.last_mut() {
                                jump.follow = Follow::Target;
                            }
                        }
                        steps.extend(function);
                        steps.extend(case::straight_at(back, after));
                        visit(&Case::new(&config, steps), None);
                    }
                }
            }
        }
    }
}

/// Blocks with a version in pieces, in a region and outside of regions.
pub fn pieces(scope: Scope, visit: Visit) {
    let steps = case::straight(&[
        Inst::new(Op::Ld, 2, 3, 0, 8),
        Inst::new(Op::Addiw, 16, 2, 0, 5),
        Inst::new(Op::Lui, 17, 0, 0, 0x5000),
        Inst::new(Op::Add, 17, 17, 2, 0),
        Inst::new(Op::Beq, 0, 16, 4, 64),
        Inst::new(Op::Lw, 18, 17, 0, 4),
        Inst::new(Op::Sltu, 5, 16, 18, 0),
        Inst::new(Op::Slli, 1, 5, 0, 3),
        Inst::new(Op::Add, 1, 1, 3, 0),
        Inst::new(Op::Sd, 0, 1, 2, 16),
        Inst::new(Op::Ld, 2, 1, 0, 24),
        Inst::new(Op::Bne, 0, 2, 18, 64),
    ]);
    let every = if scope == Scope::Full { 1 } else { 3 };
    for mode in [Mode::Trace, Mode::Replay] {
        for region in [0, 1] {
            let mut config = placed(mode, false, 0);
            let homes = available(true, config.columns);
            config.regions.push(Placement::new(16..20, homes));
            for short in (1..steps.len()).step_by(every) {
                let mut case = Case::new(&config, steps.clone());
                case.region = region;
                case.short = Some(short);
                visit(&case, None);
            }
        }
    }
}

/// A branch over one instruction: emitted without a jump.
pub fn skips(scope: Scope, visit: Visit) {
    let config = placed(Mode::Trace, false, 0);
    let full = scope == Scope::Full;
    // What the branch compares; destination and sources of the instruction.
    let layouts: &[[u8; 5]] = &[
        [1, 2, 3, 4, 5],
        [16, 17, 18, 19, 20],
        [1, 2, 1, 1, 2],
        [16, 17, 16, 16, 17],
        [1, 0, 2, 2, 3],
        [0, 16, 17, 17, 16],
        [1, 2, 2, 3, 4],
        [1, 2, 16, 1, 16],
        [16, 1, 2, 16, 2],
        [1, 1, 2, 3, 4],
    ];
    for branch in [Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu] {
        for op in Op::ALL.iter().copied() {
            if !is_skippable(&Inst::new(op, 1, 1, 1, 0)) {
                continue;
            }
            for [p, q, rd, a, b] in layouts {
                for imm in immediates(op, Scope::Quick)
                    .into_iter()
                    .take(if full { 9 } else { 2 })
                {
                    for prepare in [
                        None,
                        Some((Op::Addiw, *p)),
                        Some((Op::Addiw, *a)),
                        Some((Op::Addiw, *rd)),
                        Some((Op::Lui, *q)),
                    ] {
                        let mut insts = Vec::new();
                        if let Some((op, r)) = prepare {
                            let number = if op == Op::Lui { 0x1000 } else { 0 };
                            insts.push(Inst::new(op, r, r, 0, number));
                        }
                        let at = insts.len();
                        insts.push(Inst::new(branch, 0, *p, *q, 8));
                        insts.push(Inst::new(op, *rd, *a, *b, imm));
                        insts.push(Inst::new(Op::Addi, 5, *rd, 0, 1));
                        let mut steps = case::straight(&insts);
                        case::skip(&mut steps, at, 1);
                        visit(&Case::new(&config, steps), None);
                    }
                }
            }
        }
    }
    reductions(&config, visit);
    runs(&config, scope, visit);
}

/// Branches over several instructions that compute one register, with a jump to where the branch
/// goes behind them or without one.
fn runs(config: &Config, scope: Scope, visit: Visit) {
    let full = scope == Scope::Full;
    let branches = [Op::Bltu, Op::Beq, Op::Bge, Op::Bne, Op::Blt, Op::Bgeu];
    let branches = &branches[..if full { 6 } else { 2 }];
    // What the branch compares, the register computed, and others that it is computed from.
    for [p, q, rd, a, b] in [
        [1, 2, 3, 4, 5],
        [16, 17, 18, 19, 20],
        [1, 2, 1, 2, 3],
        [1, 0, 16, 1, 16],
        [17, 16, 17, 18, 1],
        [1, 2, 3, 3, 3],
    ] {
        let firsts = [
            Inst::new(Op::Addw, rd, a, b, 0),
            Inst::new(Op::Addi, rd, a, 0, 0),
            Inst::new(Op::Addi, rd, 0, 0, -5),
            Inst::new(Op::Xor, rd, rd, a, 0),
            Inst::new(Op::Slli, rd, b, 0, 48),
            Inst::new(Op::Lui, rd, 0, 0, i32::MIN),
        ];
        let firsts = &firsts[..if full { firsts.len() } else { 3 }];
        let thirds = [
            None,
            Some(Inst::new(Op::Xor, rd, rd, b, 0)),
            Some(Inst::new(Op::Addw, rd, b, rd, 0)),
            Some(Inst::new(Op::Slli, rd, rd, 0, 3)),
        ];
        let thirds = &thirds[..if full { thirds.len() } else { 2 }];
        let mut seconds = Vec::new();
        for op in Op::ALL.iter().copied() {
            for (rs1, rs2) in [(rd, 0), (rd, a), (a, rd)] {
                if goes_on_skippable(rd, &Inst::new(op, rd, rs1, rs2, 0)) {
                    let all = immediates(op, Scope::Quick);
                    seconds.extend(
                        all.iter()
                            .map(|imm| vec![Inst::new(op, rd, rs1, rs2, *imm)]),
                    );
                }
            }
        }
        for (right, by) in [Op::Srli, Op::Srai]
            .into_iter()
            .flat_map(|op| [32, 48, 56, 40].map(|by| (op, by)))
        {
            let left = Inst::new(Op::Slli, rd, rd, 0, by);
            seconds.push(vec![left, Inst::new(right, rd, rd, 0, by)]);
        }
        for (n, branch) in branches.iter().enumerate() {
            for (m, first) in firsts.iter().enumerate() {
                for second in &seconds {
                    for third in thirds {
                        if third.is_some_and(|i| !goes_on_skippable(rd, &i)) {
                            continue;
                        }
                        let mut run = vec![*first];
                        run.extend(second);
                        run.extend(third);
                        let jumps = (n + m) % 2 == 0 && run.len() < MAX_SKIPPED;
                        // A word, or nothing that is known.
                        let word = Inst::new(Op::Addiw, rd, rd, 0, 0);
                        let before = &[word][..usize::from(m % 3 != 0)];
                        let compare = Inst::new(*branch, 0, p, q, 0);
                        visit(&skipping(config, before, compare, run, jumps), None);
                    }
                }
            }
        }
    }
}

/// A block with a branch over a run, with a jump to its target at the end of the run if it `jumps`.
fn skipping(
    config: &Config,
    before: &[Inst],
    mut branch: Inst,
    mut run: Vec<Inst>,
    jumps: bool,
) -> Case {
    // Where the branch goes: behind the run, or elsewhere if the jump says so.
    let last = run.last().map_or(0, |i| i.rd);
    if jumps {
        run.push(Inst::new(Op::Jal, 0, 0, 0, 64));
    }
    let n = run.len();
    branch.imm = 4 * (n as i32 + 1) + if jumps { 60 } else { 0 };
    let at = before.len();
    let mut steps = case::straight(&[before, &[branch], &run].concat());
    case::skip(&mut steps, at, n);
    let behind = steps[at].target();
    if jumps {
        steps[at + n].follow = Follow::Target;
    }
    steps.extend(case::straight_at(
        behind,
        &[Inst::new(Op::Addi, 5, last, 0, 1)],
    ));
    Case::new(config, steps)
}

/// Sums that are brought back below a bound, one after the other, as modular arithmetic does.
fn reductions(config: &Config, visit: Visit) {
    for (sum, back) in [
        (Op::Addw, Op::Addw),
        (Op::Addw, Op::Subw),
        (Op::Add, Op::Sub),
    ] {
        for branch in [Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu] {
            for [value, other, bound] in [[1, 2, 3], [16, 17, 18], [1, 16, 17], [16, 1, 2]] {
                for (p, q) in [(value, bound), (bound, value)] {
                    let one = [
                        Inst::new(sum, value, value, other, 0),
                        Inst::new(branch, 0, p, q, 8),
                        Inst::new(back, value, value, bound, 0),
                    ];
                    for times in 1..=3 {
                        let mut steps = case::straight(&one.repeat(times));
                        for n in 0..times {
                            case::skip(&mut steps, 1 + n * one.len(), 1);
                        }
                        visit(&Case::new(config, steps), None);
                    }
                }
            }
        }
    }
}

/// Values read one after the other, which are logged together: every sequence of three widths and
/// runs of one width, with nothing, a way out or a store between them.
pub fn gathered(scope: Scope, visit: Visit) {
    const LOADS: [Op; 4] = [Op::Lb, Op::Lhu, Op::Lw, Op::Ld];
    let full = scope == Scope::Full;
    let mut sequences = Vec::new();
    for a in LOADS {
        for b in LOADS {
            sequences.push(vec![a, b]);
            sequences.extend(LOADS.map(|c| vec![a, b, c]));
        }
        sequences.extend([4, 9, 17].map(|n| vec![a; n]));
    }
    // rd and base of the loads in turn: pinned, in memory, the base overwritten, x0.
    let registers = [(4, 1), (16, 1), (5, 17), (1, 1), (0, 2)];
    let between = [
        None,
        Some(Inst::new(Op::Beq, 0, 2, 3, 256)),
        Some(Inst::new(Op::Sd, 0, 2, 3, 8)),
        Some(Inst::new(Op::Addi, 2, 2, 0, 1)),
    ];
    for checked in [false, true] {
        let config = placed(Mode::Trace, checked, 0);
        for sequence in &sequences {
            for (n, other) in between.iter().enumerate() {
                if !full && (n > 1 || checked) && sequence.len() > 2 {
                    continue;
                }
                let mut insts = Vec::new();
                for (i, op) in sequence.iter().enumerate() {
                    let (rd, rs1) = registers[(i + n) % registers.len()];
                    insts.push(Inst::new(*op, rd, rs1, 0, 8 * i as i32));
                    insts.extend(*other);
                }
                // Values are logged together where the block stores something, too.
                insts.push(Inst::new(Op::Sd, 0, 2, 3, 16));
                visit(&Case::new(&config, case::straight(&insts)), None);
            }
        }
    }
}

/// Long blocks that keep more values than there are host registers and store often, so that values
/// wait in vector registers: arbitrary ones, the same every time. With ways out, at which these
/// values have to be in place, products, and values overwritten from themselves; in some blocks sums
/// that are put off instead of the ways out (both are too hard for the solver).
pub fn parked(scope: Scope, visit: Visit) {
    const BASE: u8 = 2;
    const SEED: u64 = 14;
    let all: Vec<u8> = (1..32).filter(|r| *r != BASE).collect();
    let few = &all[..12];
    let blocks = match scope {
        Scope::Full => 400,
        Scope::Quick => 24,
    };
    let mut rng = Rng::new(SEED);
    for block in 0..blocks {
        let mode = [Mode::Trace, Mode::Fast, Mode::Replay][block % 3];
        let config = placed(mode, false, 0);
        let sums = block % 2 == 1;
        // Two ways to add three numbers are equal, but hard to see behind a comparison.
        let (add, sub) = if sums {
            (Op::Add, Op::Sub)
        } else {
            (Op::And, Op::Or)
        };
        // Few values are written, so at some ways out only those that wait are not in place.
        let stores = block % 4 == 2;
        let mut insts = Vec::new();
        for n in 0..40 + block % 30 {
            // Half of the values are from all registers, half from a few that are read again.
            let [a, c, d] = [(); 3].map(|()| rng.pick(&all));
            let b = rng.pick(few);
            let offset = 8 * n as i32;
            let kind = match stores {
                true => rng.pick(&[0, 0, 0, 0, 0, 0, 7, 7, 11, 19]),
                false => rng.below(20),
            };
            let inst = match kind {
                0..=4 => Inst::new(Op::Sd, 0, BASE, a, offset),
                5 | 6 => Inst::new(Op::Ld, c, BASE, 0, offset),
                7 if !sums => Inst::new(Op::Beq, 0, a, b, 1024),
                8 | 9 => Inst::new(add, c, a, d, 0),
                10 => Inst::new(add, c, c, a, 0),
                11 => Inst::new(Op::Addiw, c, a, 0, 5),
                12 => Inst::new(Op::Sltu, c, a, b, 0),
                13 => Inst::new(Op::Slli, c, d, 0, 7),
                14 => Inst::new(sub, b, a, b, 0),
                15 => Inst::new(Op::Mul, c, a, b, 0),
                7 | 16 if sums => {
                    // A sum that is put off, of a value read for the last time and one that may
                    // wait: when it is computed, that value still has to be there.
                    insts.push(Inst::new(Op::Xor, c, b, d, 0));
                    insts.push(Inst::new(Op::Add, a, a, c, 0));
                    insts.push(Inst::new(Op::Or, d, d, b, 0));
                    insts.push(Inst::new(Op::Add, d, d, a, 0));
                    insts.push(Inst::new(Op::Lui, c, 0, 0, 0x5000));
                    Inst::new(Op::Lui, a, 0, 0, 0x6000)
                }
                _ => Inst::new(Op::Xor, c, b, d, 0),
            };
            insts.push(inst);
        }
        visit(&Case::new(&config, case::straight(&insts)), None);
    }
}

/// Accesses from one register, which a replay checks at the last of them, with its value moved, ways
/// out, and values of another register from it between them.
pub fn checked_late(scope: Scope, visit: Visit) {
    let full = scope == Scope::Full;
    let config = placed(Mode::Replay, false, 0);
    let branch = Inst::new(Op::Beq, 0, 2, 3, 256);
    for base in [1, 17] {
        let moved = Inst::new(Op::Addi, base, base, 0, 24);
        let between = [
            vec![],
            vec![branch],
            vec![moved],
            vec![moved, branch],
            vec![branch, moved],
            vec![Inst::new(Op::Addi, 5, base, 0, -8), branch],
            vec![Inst::new(Op::Add, base, base, 3, 0)],
        ];
        let accesses = [
            Inst::new(Op::Ld, 4, base, 0, 8),
            Inst::new(Op::Sb, 0, base, 3, -1),
            Inst::new(Op::Lw, base, base, 0, 16),
        ];
        for (i, first) in between.iter().enumerate() {
            for (j, second) in between.iter().enumerate() {
                for (n, last) in accesses.into_iter().enumerate() {
                    if !full && (i != j || n != i % accesses.len()) {
                        continue;
                    }
                    let mut insts = vec![accesses[0]];
                    insts.extend(first);
                    insts.push(accesses[1]);
                    insts.extend(second);
                    insts.push(last);
                    visit(&Case::new(&config, case::straight(&insts)), None);
                }
            }
        }
    }
}
