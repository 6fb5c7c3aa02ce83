//! Differences that random programs found, made small. Each failed once.

use hartlog_isa::{CSR_TIME, Format, Inst, Op};
use tests::lockstep::{Native, compare};
use tests::program::Mode;
use tests::sample::{DATA, Item, Kind, POINTERS, Sample};

/// A program without data of its own.
fn program(insts: &[Inst], x: &[(usize, u64)], order: &[u8]) -> Sample {
    let mut registers = [0; 32];
    for (r, value) in x {
        registers[*r] = *value;
    }
    let rest = (1..32).filter(|r| !order.contains(r));
    Sample {
        seed: 0,
        items: insts.iter().map(|inst| Item::from(*inst)).collect(),
        pointers: [0; POINTERS],
        symbols: Vec::new(),
        x: registers,
        order: order.iter().copied().chain(rest).collect(),
    }
}

/// In every mode, in chunks of every length up to that of the program and beyond.
fn equal(sample: &Sample) {
    let image = sample.image();
    let memory = Sample::memory(&image);
    for (mode, checked) in [
        (Mode::Trace, false),
        (Mode::Trace, true),
        (Mode::Fast, false),
        (Mode::Replay, false),
    ] {
        let program = sample.translate(&image, mode, checked);
        let mut native = Native::new(&program, &memory, 4096);
        for budget in (1..=sample.items.len() as u64 + 4).chain([4096]) {
            if let Err(difference) = compare(&mut native, &memory, &sample.hart(), &[budget], 200) {
                panic!(
                    "{mode:?}, checked {checked}: {difference}{sample:?}{}",
                    program.listing()
                );
            }
        }
    }
}

fn op(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Inst {
    Inst::new(op, rd, rs1, rs2, imm)
}

/// A symbol inside of an instruction made the bytes in front of it no instruction, which trapped.
#[test]
fn symbol_in_the_middle_of_an_instruction() {
    let mut sample = program(&[op(Op::Addi, 23, 23, 0, 607)], &[], &[]);
    sample.symbols = vec![(0, 0), (0, 2)];
    equal(&sample);
}

/// An SC that fails accesses nothing, so its address does not matter; one whose address differs
/// from the reservation in the upper half fails.
#[test]
fn failing_sc_at_an_address_above_the_window() {
    let high = 1 << 40;
    equal(&program(&[op(Op::ScD, 17, 19, 21, 0)], &[(19, high)], &[]));
    let insts = [
        op(Op::Addi, 10, 8, 0, 0),
        op(Op::LrD, 11, 10, 0, 0),
        op(Op::Add, 10, 10, 12, 0),
        op(Op::ScD, 13, 10, 11, 0),
    ];
    equal(&program(&insts, &[(12, high)], &[]));
    equal(&program(&insts, &[(12, high)], &[10, 11, 12, 13]));
}

/// A register in memory borrowed the host register of one whose upper half was stale, and had its
/// own upper half overwritten when that was extended.
#[test]
fn borrowed_register_of_an_owner_with_a_stale_upper_half() {
    let order = [29, 28, 14, 27, 18, 3, 9, 21, 26, 15, 8];
    let insts = [
        op(Op::Sraiw, 27, 27, 0, 31),
        op(Op::Andi, 10, 27, 0, 120),
        op(Op::Add, 10, 10, 2, 0),
        op(Op::LrW, 21, 10, 0, 0),
        op(Op::ScW, 27, 10, 0, 0),
    ];
    equal(&program(&insts, &[], &order));
    let order = [31, 8, 2, 10, 20, 1, 14, 29, 21, 28, 17];
    let insts = [
        op(Op::Sraiw, 31, 15, 0, 24),
        op(Op::Srli, 15, 15, 0, 32),
        op(Op::Andi, 5, 15, 0, 120),
        op(Op::Add, 5, 5, 2, 0),
        op(Op::ScW, 15, 5, 27, 0),
        op(Op::Addi, 31, 0, 0, -1367),
    ];
    equal(&program(&insts, &[], &order));
}

/// A value was written to the register that it had just been lent.
#[test]
fn borrowed_register_of_a_value_that_is_read_after_its_owner_is_written() {
    let insts = [
        op(Op::Add, 24, 14, 24, 0),
        op(Op::Sltu, 14, 24, 24, 0),
        op(Op::Csrrs, 7, 0, 0, i32::from(CSR_TIME)),
        op(Op::Add, 5, 5, 14, 0),
        op(Op::Csrrsi, 24, 0, 0, i32::from(CSR_TIME)),
        op(Op::Div, 7, 31, 5, 0),
        op(Op::Rem, 14, 31, 5, 0),
        op(Op::Sh, 0, 7, 5, 3),
    ];
    equal(&program(&insts, &[(14, 0x701d_fb54_fce1_bb6f)], &[]));
}

/// A deferred value was computed into the register whose owner was about to be written.
#[test]
fn deferred_value_in_a_borrowed_register_that_is_called_in() {
    let order = [13, 23, 1, 24, 7, 9, 26, 10, 6, 5, 4];
    let insts = [
        op(Op::Srli, 20, 20, 0, 30),
        op(Op::Add, 17, 2, 20, 0),
        op(Op::Slli, 15, 15, 0, 12),
        op(Op::Addi, 13, 15, 0, 1014),
        op(Op::Lh, 17, 17, 0, 1),
        op(Op::Addi, 20, 0, 0, 2047),
    ];
    let mut sample = program(&insts, &[], &order);
    sample.items.push(Item {
        kind: Kind::Far {
            rd: 0,
            via: 13,
            to: 7,
        },
        short: false,
    });
    equal(&sample);
}

/// A 64-bit result in a borrowed register was taken for the sign extension of its lower half.
#[test]
fn borrowed_register_that_is_its_own_source() {
    let order = [2, 9, 13, 31, 17, 4, 21, 27, 6, 29, 12];
    let insts = [
        op(Op::Sh1add, 7, 26, 7, 0),
        op(Op::Or, 7, 7, 31, 0),
        op(Op::Addiw, 16, 7, 0, 0),
        op(Op::Addi, 31, 0, 0, 127),
    ];
    equal(&program(&insts, &[(31, 0x8000_0002)], &order));
}

/// Of a product's two halves, the register of the first was lent to a value that had to be
/// computed before the second was written.
#[test]
fn register_of_half_a_product_is_lent() {
    let order = [];
    let insts = [
        op(Op::Slt, 14, 17, 13, 0),
        op(Op::Mul, 5, 18, 20, 0),
        op(Op::Slliw, 13, 14, 0, 5),
        op(Op::Mulhu, 17, 18, 20, 0),
        op(Op::AddUw, 14, 13, 13, 0),
        op(Op::Addi, 5, 0, 0, -1668),
    ];
    let x = [(13, 7), (17, 5), (18, 3 << 62), (20, 9)];
    equal(&program(&insts, &x, &order));
}

/// The carry of a sum was taken for its comparison with an addend that had been sign-extended in
/// between, for which no code is emitted.
#[test]
fn carry_of_an_addend_that_was_sign_extended_afterwards() {
    let insts = [
        op(Op::Add, 7, 23, 11, 0),
        op(Op::Addiw, 11, 11, 0, 0),
        op(Op::Sltu, 11, 7, 11, 0),
    ];
    equal(&program(&insts, &[(11, 0xfa0c_8a08)], &[7, 11, 23]));
    equal(&program(&insts, &[(11, 0xfa0c_8a08)], &[7, 11]));
}

/// The carry of a sum was taken for its comparison with an addend that had become another value in
/// between, a copy for which no code is emitted: its register was borrowed from the original.
#[test]
fn carry_of_an_addend_that_was_overwritten_without_code() {
    let insts = [
        op(Op::Xori, 29, 19, 0, -1),
        op(Op::Mul, 10, 1, 18, 0),
        op(Op::Mulhsu, 17, 29, 17, 0),
        op(Op::Mulh, 31, 18, 1, 0),
        op(Op::Add, 5, 19, 23, 0),
        op(Op::Add, 23, 0, 17, 0),
        op(Op::Sltu, 23, 5, 23, 0),
        op(Op::Add, 19, 6, 23, 0),
        op(Op::Addi, 10, 0, 0, 2047),
        op(Op::Addi, 17, 0, 0, 93),
    ];
    let order: Vec<u8> = (1..32).collect();
    for a7 in [0, 1, 0x3df5_1ec0_cd1b_cb7f, 1 << 63, u64::MAX] {
        for s7 in [0, 1, u64::MAX] {
            let x = [(1, 0x1_0000), (17, a7), (19, 0x1_0000), (23, s7)];
            equal(&program(&insts, &x, &order));
        }
    }
}

/// The value of a store had borrowed the register of its base, which was deferred and computed
/// after the value had been looked up: the address was stored.
#[test]
fn stored_value_in_the_borrowed_register_of_a_deferred_base() {
    let store = [
        op(Op::Sltu, 1, 0, 5, 0),
        op(Op::And, 6, 1, 5, 0),
        op(Op::Lui, 4, 0, 0, DATA as i32),
        op(Op::Sd, 0, 4, 1, 8),
        op(Op::Ld, 9, 4, 0, 8),
    ];
    // 1 is in memory, and of the others only 4 is overwritten before it is read.
    let order = [4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18];
    equal(&program(&store, &[(5, 3)], &order));
    for (base, a, b) in [
        (Op::Sub, DATA + 5, 5),
        (Op::Xor, DATA ^ 5, 5),
        (Op::And, DATA | 5, !5),
        (Op::Or, DATA, 8),
        (Op::Add, DATA - 5, 5),
    ] {
        let mut insts = store;
        insts[2] = op(base, 4, 7, 8, 0);
        insts[4] = op(Op::Lui, 4, 0, 0, 0);
        let x = [(5, 3), (7, a), (8, b)];
        equal(&program(&insts, &x, &order));
    }
}

/// Not found by random programs, but by taking checks out of templates: each result of a pure
/// instruction is read by what does less where the upper half is known.
#[test]
fn readers_rely_on_upper_halves_that_are_so() {
    let (result, a, b, stale) = (10, 11, 12, 13);
    let mut insts = Vec::new();
    let mut starts = Vec::new();
    for o in Op::ALL.iter().copied() {
        let immediates: &[i32] = match o.format() {
            Format::R | Format::Unary => &[0],
            Format::I => &[-2048, -1, 0, 1, 255],
            Format::Shift => &[0, 1, 31, 32, 33, 63],
            Format::ShiftW => &[0, 1, 31],
            Format::U => &[0, i32::MIN, 0x7fff_f000],
            _ => continue,
        };
        for imm in immediates {
            starts.push(insts.len());
            insts.extend([
                op(Op::Addiw, stale, b, 0, 0),
                op(o, result, a, b, *imm),
                op(Op::Addiw, 14, result, 0, 0),
                op(Op::Slt, 15, result, stale, 0),
                op(Op::Sltu, 16, stale, result, 0),
                op(Op::Xor, 17, result, stale, 0),
                op(Op::Srai, 20, result, 0, 1),
                op(Op::Min, 21, result, stale, 0),
                op(Op::Addi, 22, result, 0, 0),
                op(Op::Addiw, 22, 22, 0, 0),
                op(Op::Jalr, 0, 0, 0, 0),
            ]);
        }
    }
    blocks_equal(&insts, &starts);
}

/// Blocks that start at these instructions, with values in a1 and a2, in host registers and in memory.
fn blocks_equal(insts: &[Inst], starts: &[usize]) {
    const VALUES: [u64; 8] = [
        0,
        1,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 63 | 1 << 31,
        0x1234_5678_9abc_def0,
        u64::MAX,
    ];
    let in_hosts = [10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22];
    let others = [1, 2, 3, 4, 5, 6, 7, 8, 9, 18, 19, 23, 24, 25, 26, 27];
    for hosts in [&in_hosts[..], &others] {
        let mut sample = program(insts, &[], hosts);
        sample.symbols = starts.iter().map(|s| (*s as u16, 0)).collect();
        let image = sample.image();
        let memory = Sample::memory(&image);
        let addresses = sample.assemble().addresses;
        let start = sample.hart();
        for mode in [Mode::Trace, Mode::Fast, Mode::Replay] {
            let translated = sample.translate(&image, mode, false);
            let mut native = Native::new(&translated, &memory, 100);
            for (i, at) in starts.iter().enumerate() {
                // Registers are compared where a chunk ends, not at the fault behind the block.
                let end = starts.get(i + 1).copied().unwrap_or(insts.len());
                let steps = (end - at) as u64;
                let mut hart = start.clone();
                hart.pc = addresses[*at];
                for (a1, a2) in VALUES.iter().flat_map(|x| VALUES.map(|y| (*x, y))) {
                    (hart.x[11], hart.x[12]) = (a1, a2);
                    if let Err(difference) = compare(&mut native, &memory, &hart, &[steps], steps) {
                        let block = &insts[*at..insts.len().min(at + 3)];
                        panic!("{mode:?}, {block:?} of {a1:#x}, {a2:#x}: {difference}");
                    }
                }
            }
            assert!(native.entered > 0, "{mode:?}");
        }
    }
}

/// Found in the same way: two shifts or extensions, one after the other, of all kinds.
#[test]
fn a_shift_of_a_shift() {
    let amounts = |op: Op| match op.format() {
        Format::Shift => &[1, 16, 31, 32, 33, 48, 63][..],
        Format::ShiftW => &[1, 16, 24, 31],
        Format::I => &[0, 1, 255],
        _ => &[0],
    };
    let shifts = [
        Op::Slli,
        Op::Srli,
        Op::Srai,
        Op::Slliw,
        Op::Srliw,
        Op::Sraiw,
    ];
    let more = [Op::Addiw, Op::Andi, Op::ZextH, Op::SlliUw];
    let (mut insts, mut starts) = (Vec::new(), Vec::new());
    for first in shifts {
        for second in shifts.into_iter().chain(more) {
            for (i, j) in amounts(first)
                .iter()
                .flat_map(|i| amounts(second).iter().map(move |j| (*i, *j)))
            {
                starts.push(insts.len());
                insts.extend([
                    op(first, 13, 11, 0, i),
                    op(second, 14, 13, 0, j),
                    op(Op::Addi, 13, 0, 0, 0),
                    op(Op::Jalr, 0, 0, 0, 0),
                ]);
            }
        }
    }
    blocks_equal(&insts, &starts);
}

/// Found in the same way: after a sum the flags tell its comparison with an addend, one way round.
#[test]
fn sums_are_compared_with_their_addends_either_way_round() {
    let values = [0, 1, u64::MAX];
    for sum in [10, 11, 12, 13] {
        for (a, b) in [(11, 12), (12, 11), (11, 11)] {
            for (x, y) in [(sum, a), (a, sum), (sum, b), (b, sum), (a, b)] {
                let insts = [
                    op(Op::Add, sum, a, b, 0),
                    op(Op::Sltu, 14, x, y, 0),
                    op(Op::Add, 15, 16, 14, 0),
                ];
                for (v, w) in values.iter().flat_map(|v| values.map(|w| (*v, w))) {
                    let start = [(11, v), (12, w), (16, 5)];
                    equal(&program(&insts, &start, &[10, 11, 12, 13, 14, 15, 16]));
                }
            }
        }
    }
}

/// Found in the same way: shifts in opposite directions are a rotation only of one value.
#[test]
fn shifts_of_two_values_are_no_rotation() {
    for (left, right, width) in [(Op::Slli, Op::Srli, 64), (Op::Slliw, Op::Srliw, 32)] {
        for join in [Op::Or, Op::Xor, Op::Add, Op::Addw] {
            for (amount, back) in [(5, width - 5), (5, width - 6), (5, width - 4)] {
                for b in [11, 12] {
                    let insts = [
                        op(left, 13, 11, 0, amount),
                        op(right, 14, b, 0, back),
                        op(join, 15, 13, 14, 0),
                        op(Op::Addi, 13, 0, 0, 0),
                        op(Op::Addi, 14, 0, 0, 0),
                    ];
                    let x = [(11, 0xf123_4567_89ab_cdef), (12, 0x8fed_cba9_f654_3210)];
                    equal(&program(&insts, &x, &[11, 12, 13, 14, 15]));
                }
            }
        }
    }
}

/// Found in the same way: the other half of a product or quotient that is behind a branch may not be
/// there where the branch is taken.
#[test]
fn halves_of_a_pair_on_both_sides_of_a_branch() {
    for (first, second) in [
        (Op::Mul, Op::Mulhu),
        (Op::Mulh, Op::Mul),
        (Op::Divu, Op::Remu),
        (Op::Rem, Op::Div),
        (Op::Divw, Op::Remw),
    ] {
        for taken in [0, 1] {
            let insts = [
                op(first, 13, 11, 12, 0),
                op(Op::Bne, 0, 14, 0, 0),
                op(second, 15, 11, 12, 0),
                op(Op::Addi, 16, 15, 0, 1),
                op(Op::Addi, 17, 15, 0, 2),
                // Registers are compared where a chunk ends, not at the fault behind the program.
                op(Op::Addi, 20, 15, 0, 3),
                op(Op::Addi, 21, 15, 0, 4),
            ];
            let x = [(11, 0xf123_4567_89ab_cdef), (12, 77), (14, taken), (15, 5)];
            let mut sample = program(&insts, &x, &[11, 12, 13, 14, 15, 16, 17]);
            sample.items[1].kind = Kind::To(insts[1], 4);
            equal(&sample);
        }
    }
}

/// Found in the same way: a register that an instruction behind a short branch writes keeps its value where
/// the branch is taken, so until then its home cannot be lent.
#[test]
fn what_a_skipped_instruction_writes_is_not_dead_before_it() {
    for (branch, taken) in [Op::Beq, Op::Bne, Op::Bltu, Op::Bgeu]
        .into_iter()
        .flat_map(|branch| [0, 1].map(|taken| (branch, taken)))
    {
        // No other register is overwritten before it is read.
        let insts = [
            op(Op::Add, 5, 11, 12, 0),
            op(Op::Add, 16, 5, 16, 0),
            op(Op::Add, 11, 5, 11, 0),
            op(branch, 0, 14, 15, 0),
            op(Op::Addi, 13, 11, 0, 7),
            op(Op::Add, 16, 13, 16, 0),
            op(Op::Add, 11, 5, 11, 0),
        ];
        let x = [(11, 3), (12, 50), (13, 900), (14, taken)];
        let order = [10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23];
        let mut sample = program(&insts, &x, &order);
        sample.items[3].kind = Kind::To(insts[3], 5);
        equal(&sample);
    }
}

/// The last reader of a constant is a step that a branch skips: as its first, and behind it.
#[test]
fn constants_that_skipped_instructions_read_last() {
    for (first, taken) in [true, false]
        .into_iter()
        .zip([0, 1])
        .chain([(true, 1), (false, 0)])
    {
        let other = if first { 5 } else { 16 };
        let insts = [
            op(Op::Addi, 16, 0, 0, 1287),
            op(Op::Bne, 0, 14, 15, 0),
            op(Op::Add, 12, 12, if first { 16 } else { 5 }, 0),
            op(Op::Xor, 12, 12, other, 0),
            op(Op::Addi, 16, 0, 0, -17),
        ];
        let mut sample = program(&insts, &[(5, 77), (12, 3), (14, taken)], &[12, 14, 15, 16]);
        sample.items[1].kind = Kind::To(insts[1], 4);
        equal(&sample);
    }
}

/// A loop ends in a branch to its head, and a move and a jump there: the end of a binary search.
#[test]
fn loops_whose_last_move_is_skipped() {
    for (branch, bound) in [Op::Bltu, Op::Bge, Op::Beq]
        .into_iter()
        .flat_map(|branch| [0, 7, 30].map(|bound| (branch, bound)))
    {
        let insts = [
            op(Op::Addi, 10, 0, 0, 20),
            op(Op::Addi, 10, 10, 0, -1),
            op(Op::Beq, 0, 10, 0, 0),
            op(branch, 0, 11, 10, 0),
            op(Op::Addi, 12, 10, 0, 0),
            op(Op::Jal, 0, 0, 0, 0),
            op(Op::Add, 13, 12, 13, 0),
        ];
        let mut sample = program(&insts, &[(11, bound), (12, 5)], &[10, 12, 13, 16]);
        for (at, to) in [(2, 6), (3, 1), (5, 1)] {
            sample.items[at].kind = Kind::To(insts[at], to);
        }
        equal(&sample);
    }
}

/// Found in the same way: the flags of a sum are not those of another comparison.
#[test]
fn carries_of_two_sums() {
    for (sum, join) in [(Op::Add, Op::Add), (Op::Sub, Op::Sub), (Op::Add, Op::Sub)] {
        for (a, b) in [(16, 17), (17, 16), (13, 16), (16, 13)] {
            for end in 0..3 {
                let mut insts = vec![
                    op(sum, 13, 11, 12, 0),
                    op(Op::Sltu, 14, a, b, 0),
                    op(join, 15, 20, 14, 0),
                    op(Op::Add, 21, 15, 13, 0),
                ];
                // The carry is wanted at the end, is overwritten there, or where a branch is not taken.
                match end {
                    0 => {}
                    1 => insts.push(op(Op::Addi, 14, 0, 0, 5)),
                    _ => insts.extend([op(Op::Bne, 0, 20, 0, 0), op(Op::Mul, 14, 11, 11, 0)]),
                }
                insts.push(op(Op::Addi, 22, 0, 0, 6));
                let x = [(11, u64::MAX), (12, 2), (16, 7), (17, 9), (20, 100)];
                let order = [10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23];
                let mut sample = program(&insts, &x, &order);
                if end == 2 {
                    sample.items[4].kind = Kind::To(insts[4], 6);
                }
                equal(&sample);
            }
        }
    }
}

/// The word that a carry was added to early is read again: it was read once for the sum, not twice.
#[test]
fn word_of_a_carry_is_read_again() {
    let order = [10, 11, 12, 13, 14, 15, 17, 18, 19, 22, 23, 24];
    for between in 0..3 {
        let mut insts = vec![
            op(Op::Addi, 16, 16, 0, 1),
            op(Op::Add, 20, 11, 12, 0),
            op(Op::Sltu, 5, 20, 12, 0),
        ];
        insts.extend((0..between).map(|n| op(Op::Xori, 21, 13 + n, 0, 77)));
        insts.push(op(Op::Add, 6, 16, 5, 0));
        // More values than the host has registers, each of which is read again.
        let values = [7, 8, 9, 25, 26, 27, 28, 29, 30, 31, 1, 2, 3, 4];
        insts.extend(values.map(|r| op(Op::Addi, r, 10 + r % 6, 0, i32::from(r))));
        insts.extend(values.map(|r| op(Op::Xor, 6, 6, r, 0)));
        insts.push(op(Op::Add, 20, 20, 16, 0));
        insts.push(op(Op::Lui, 16, 0, 0, 0x1000));
        insts.push(op(Op::Lui, 5, 0, 0, 0x2000));
        let x = [
            (11, u64::MAX - 3),
            (12, 50),
            (16, 0x1234_5678_9abc),
            (13, 9),
        ];
        equal(&program(&insts, &x, &order));
    }
}

/// A call whose `auipc` is branched over goes elsewhere than the two say.
#[test]
fn call_whose_address_is_computed_only_sometimes() {
    for equal_values in [0, 1] {
        let insts = [
            op(Op::Beq, 0, 10, 11, 8),
            op(Op::Addi, 0, 0, 0, 0),
            op(Op::Addi, 12, 12, 0, 1),
            op(Op::Ebreak, 0, 0, 0, 0),
            op(Op::Addi, 13, 13, 0, 16),
            op(Op::Addi, 14, 14, 0, 1),
            op(Op::Jalr, 0, 1, 0, 0),
        ];
        let mut sample = program(&insts, &[(10, 5), (11, 4 + equal_values)], &[]);
        let (rd, via, to) = (1, 1, 4);
        sample.items[1].kind = Kind::Far { rd, via, to };
        let addresses = sample.assemble().addresses;
        // Where the branch is taken, the function's first instruction is left out.
        sample.x[1] = addresses[1] + (addresses[5] - addresses[4]);
        equal(&sample);
    }
}

/// A block as long as they get, all of it loads, up to one that faults: the site of that has what
/// all before it logged.
#[test]
fn longest_block_of_loads_up_to_a_fault() {
    const BASE: u8 = 10;
    let load = |i: i32| op(Op::Ld, 11 + (i % 4) as u8, BASE, 0, 8 * (i % 64));
    for steps in [505, 506, 507, 511, 512, 513, 600] {
        let mut insts: Vec<Inst> = (0..steps - 1).map(load).collect();
        insts.push(op(Op::Ld, 15, 0, 0, 0));
        let sample = program(&insts, &[(usize::from(BASE), DATA)], &[]);
        let image = sample.image();
        let memory = Sample::memory(&image);
        for (mode, checked) in [
            (Mode::Trace, false),
            (Mode::Trace, true),
            (Mode::Replay, false),
        ] {
            let program = sample.translate(&image, mode, checked);
            let mut native = Native::new(&program, &memory, 4096);
            for budget in [4096, steps as u64 - 1, 300, 1] {
                let compared = compare(&mut native, &memory, &sample.hart(), &[budget], 1000);
                assert!(
                    compared.is_ok(),
                    "{steps} steps, {mode:?}, checked {checked}, chunks of {budget}: {}",
                    compared.err().map_or(String::new(), |e| e.to_string())
                );
            }
        }
    }
}
