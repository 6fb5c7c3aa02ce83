//! Semantics: literal results from the specification's text, traps, and properties that hold for
//! every instruction.

mod common;

use common::{Memory, PATTERN, PC, RD, RS1, RS2, Words, hart, trap};
use hartlog_isa::{Effect, Flow, Hart, Inst, Op, Outcome, Trap, execute};

/// Runs `op a0,a1,a2`/`op a0,a1,imm` and returns a0.
fn result(op: Op, rs1: u64, rs2: u64, imm: i32) -> u64 {
    let mut hart = hart(rs1, rs2);
    let inst = Inst::new(op, RD, RS1, RS2, imm);
    assert_eq!(
        execute(&mut hart, &inst, &mut Memory::default()),
        Ok(Outcome::Next),
        "{inst}"
    );
    assert_eq!(hart.pc, PC + 4);
    hart.x[usize::from(RD)]
}

/// Checks rows of (instruction, rs1, rs2, result).
fn check(rows: &[(Op, u64, u64, u64)]) {
    for &(op, rs1, rs2, expected) in rows {
        let got = result(op, rs1, rs2, 0);
        assert_eq!(
            got,
            expected,
            "{} {rs1:#x},{rs2:#x}: {got:#x}",
            op.mnemonic()
        );
    }
}

/// Checks rows of (instruction, rs1, immediate, result).
fn check_imm(rows: &[(Op, u64, i32, u64)]) {
    for &(op, rs1, imm, expected) in rows {
        let got = result(op, rs1, 0, imm);
        assert_eq!(got, expected, "{} {rs1:#x},{imm}: {got:#x}", op.mnemonic());
    }
}

const MIN: u64 = 0x8000_0000_0000_0000;
const MAX: u64 = 0x7fff_ffff_ffff_ffff;
const ONES: u64 = 0xffff_ffff_ffff_ffff;
/// -2^31 as a register value.
const MIN_W: u64 = 0xffff_ffff_8000_0000;

#[test]
fn addition_and_comparison() {
    check(&[
        (Op::Add, ONES, 1, 0),
        (Op::Add, MAX, 1, MIN),
        (Op::Sub, 0, 1, ONES),
        (Op::Sub, MIN, 1, MAX),
        (Op::Slt, MIN, MAX, 1),
        (Op::Slt, MAX, MIN, 0),
        (Op::Slt, 5, 5, 0),
        (Op::Sltu, MIN, MAX, 0),
        (Op::Sltu, 0, ONES, 1),
        (Op::Xor, 0xff00, 0x0ff0, 0xf0f0),
        (Op::Or, 0xff00, 0x0ff0, 0xfff0),
        (Op::And, 0xff00, 0x0ff0, 0x0f00),
        (Op::Addw, 0x7fff_ffff, 1, MIN_W),
        (Op::Addw, 0xffff_ffff_0000_0000, 0x1_0000_0005, 5),
        (Op::Subw, 0, 1, ONES),
        (Op::Subw, 0x8000_0000, 1, 0x7fff_ffff),
    ]);
    check_imm(&[
        (Op::Addi, 0, -2048, 0xffff_ffff_ffff_f800),
        (Op::Addi, MAX, 1, MIN),
        (Op::Slti, ONES, 0, 1),
        (Op::Slti, 0, -1, 0),
        (Op::Sltiu, 0, -1, 1),
        (Op::Sltiu, ONES, -1, 0),
        (Op::Sltiu, 0, 1, 1),
        (Op::Xori, PATTERN, -1, 0xfedc_ba98_7654_3210),
        (Op::Ori, 0, -2048, 0xffff_ffff_ffff_f800),
        (Op::Andi, PATTERN, -1, PATTERN),
        (Op::Andi, PATTERN, 0x7ff, 0x5ef),
        (Op::Addiw, 0x7fff_ffff, 1, MIN_W),
        (Op::Addiw, 0x1_ffff_ffff, 0, ONES),
        (Op::Lui, 0, 0x7fff_f000, 0x7fff_f000),
        (Op::Lui, 0, i32::MIN, MIN_W),
        (Op::Auipc, 0, 0x1000, PC + 0x1000),
        (Op::Auipc, 0, i32::MIN, 0xffff_ffff_8001_0000),
    ]);
}

#[test]
fn shifts_use_the_low_bits_of_the_amount() {
    check(&[
        (Op::Sll, 1, 63, MIN),
        (Op::Sll, 1, 64, 1),
        (Op::Sll, 1, ONES, MIN),
        (Op::Srl, MIN, 63, 1),
        (Op::Srl, MIN, 0xffff_ffff_ffff_ffc0, MIN),
        (Op::Sra, MIN, 63, ONES),
        (Op::Sra, MIN, 64, MIN),
        (Op::Sra, MAX, 62, 1),
        (Op::Sllw, 1, 31, MIN_W),
        (Op::Sllw, 1, 32, 1),
        (Op::Sllw, 0xffff_ffff_0000_0003, 0, 3),
        (Op::Srlw, 0xffff_ffff_8000_0000, 0, MIN_W),
        (Op::Srlw, 0xffff_ffff_8000_0000, 31, 1),
        (Op::Srlw, 0xffff_ffff_8000_0000, 33, 0x4000_0000),
        (Op::Sraw, 0x8000_0000, 31, ONES),
        (Op::Sraw, 0x8000_0000, 1, 0xffff_ffff_c000_0000),
        (Op::Sraw, 0x1_7fff_ffff, 30, 1),
    ]);
    check_imm(&[
        (Op::Slli, 1, 63, MIN),
        (Op::Slli, PATTERN, 0, PATTERN),
        (Op::Srli, ONES, 63, 1),
        (Op::Srai, MIN, 63, ONES),
        (Op::Srai, MIN, 32, MIN_W),
        (Op::Slliw, 3, 31, MIN_W),
        (Op::Srliw, 0xffff_ffff_ffff_ffff, 0, ONES),
        (Op::Srliw, 0xffff_ffff_ffff_ffff, 1, 0x7fff_ffff),
        (Op::Sraiw, 0x8000_0000, 0, MIN_W),
        (Op::Sraiw, 0xdead_beef_4000_0000, 30, 1),
    ]);
}

#[test]
fn products() {
    check(&[
        (Op::Mul, ONES, ONES, 1),
        (Op::Mul, MIN, 2, 0),
        (Op::Mul, 0x1_0000_0001, 0x1_0000_0001, 0x0000_0002_0000_0001),
        (Op::Mulh, ONES, ONES, 0),
        (Op::Mulh, MIN, MIN, 0x4000_0000_0000_0000),
        (Op::Mulh, MIN, ONES, 0),
        (Op::Mulh, MIN, 1, ONES),
        (Op::Mulh, MAX, MAX, 0x3fff_ffff_ffff_ffff),
        (Op::Mulhu, ONES, ONES, 0xffff_ffff_ffff_fffe),
        (Op::Mulhu, MIN, 2, 1),
        (Op::Mulhsu, ONES, ONES, ONES),
        (Op::Mulhsu, MIN, ONES, MIN),
        (Op::Mulhsu, 1, ONES, 0),
        (Op::Mulhsu, MAX, ONES, 0x7fff_ffff_ffff_fffe),
        (Op::Mulw, 0xffff_ffff, 0xffff_ffff, 1),
        (Op::Mulw, 0x8000_0000, 1, MIN_W),
        (Op::Mulw, 0x1_0000_0003, 0x5_0000_0007, 21),
    ]);
}

#[test]
fn division_by_zero_and_overflow() {
    // Chapter "M", table of the semantics for division by zero and division overflow.
    check(&[
        (Op::Div, 7, 0, ONES),
        (Op::Div, MIN, 0, ONES),
        (Op::Divu, 7, 0, ONES),
        (Op::Rem, 7, 0, 7),
        (Op::Rem, MIN, 0, MIN),
        (Op::Remu, ONES, 0, ONES),
        (Op::Div, MIN, ONES, MIN),
        (Op::Rem, MIN, ONES, 0),
        (Op::Divu, MIN, ONES, 0),
        (Op::Remu, MIN, ONES, MIN),
        (Op::Divw, 7, 0, ONES),
        (Op::Divw, 7, 0x1_0000_0000, ONES), // the divisor's low word is zero
        (Op::Divuw, 7, 0xffff_ffff_0000_0000, ONES),
        (Op::Remw, 0x1_8000_0000, 0, MIN_W),
        (Op::Remuw, 0x8000_0000, 0, MIN_W),
        (Op::Remuw, 0x1_0000_0007, 0, 7),
        (Op::Divw, MIN_W, ONES, MIN_W),
        (Op::Divw, 0x8000_0000, 0xffff_ffff, MIN_W),
        (Op::Remw, MIN_W, ONES, 0),
    ]);
}

#[test]
fn division_rounds_towards_zero_and_remainders_take_the_dividends_sign() {
    let minus = |value: i64| -value as u64;
    check(&[
        (Op::Div, minus(7), 2, minus(3)),
        (Op::Div, 7, minus(2), minus(3)),
        (Op::Rem, minus(7), 2, minus(1)),
        (Op::Rem, 7, minus(2), 1),
        (Op::Divu, minus(7), 2, 0x7fff_ffff_ffff_fffc),
        (Op::Remu, minus(7), 2, 1),
        (Op::Divw, 0xdead_beef_ffff_fff9, 2, minus(3)),
        (Op::Remw, 0x0000_0000_ffff_fff9, 2, minus(1)),
        (Op::Divuw, 0xffff_fff9, 1, minus(7)),
        (Op::Divuw, 0xffff_fff9, 2, 0x7fff_fffc),
        (Op::Remuw, 0xffff_fff9, 0xffff_fffa, minus(7)),
    ]);
}

#[test]
fn address_generation() {
    check(&[
        (Op::AddUw, ONES, 1, 0x1_0000_0000),
        (Op::AddUw, 0xdead_beef_0000_0001, ONES, 0),
        (Op::Sh1add, MIN + 1, 5, 7),
        (Op::Sh2add, 3, ONES, 11),
        (Op::Sh3add, 0x2000_0000_0000_0001, 0, 8),
        (Op::Sh1addUw, ONES, 0, 0x1_ffff_fffe),
        (Op::Sh2addUw, 0x1_8000_0000, 1, 0x2_0000_0001),
        (Op::Sh3addUw, ONES, 8, 0x8_0000_0000),
    ]);
    check_imm(&[
        (Op::SlliUw, ONES, 0, 0xffff_ffff),
        (Op::SlliUw, ONES, 32, 0xffff_ffff_0000_0000),
        (Op::SlliUw, 0x1_0000_0001, 63, MIN),
    ]);
}

#[test]
fn bit_manipulation() {
    check(&[
        (Op::Andn, 0xff, 0x0f, 0xf0),
        (Op::Orn, 0, ONES - 1, 1),
        (Op::Xnor, 0, 0, ONES),
        (Op::Xnor, PATTERN, ONES, PATTERN),
        (Op::Clz, 0, 0, 64),
        (Op::Clz, 1, 0, 63),
        (Op::Clz, MIN, 0, 0),
        (Op::Ctz, 0, 0, 64),
        (Op::Ctz, MIN, 0, 63),
        (Op::Ctz, 1, 0, 0),
        (Op::Cpop, ONES, 0, 64),
        (Op::Cpop, 0, 0, 0),
        (Op::Clzw, 0xffff_ffff_0000_0000, 0, 32),
        (Op::Clzw, 0x8000_0000, 0, 0),
        (Op::Ctzw, 0xffff_ffff_0000_0000, 0, 32),
        (Op::Ctzw, 0x8000_0000, 0, 31),
        (Op::Cpopw, 0xffff_ffff_0000_0001, 0, 1),
        (Op::Cpopw, ONES, 0, 32),
        (Op::Max, MIN, MAX, MAX),
        (Op::Maxu, MIN, MAX, MIN),
        (Op::Min, MIN, MAX, MIN),
        (Op::Minu, MIN, MAX, MAX),
        (Op::Min, ONES, 0, ONES),
        (Op::Minu, ONES, 0, 0),
        (Op::SextB, 0x80, 0, 0xffff_ffff_ffff_ff80),
        (Op::SextB, 0xff7f, 0, 0x7f),
        (Op::SextH, 0x8000, 0, 0xffff_ffff_ffff_8000),
        (Op::SextH, 0xffff_7fff, 0, 0x7fff),
        (Op::ZextH, ONES, 0, 0xffff),
        (Op::OrcB, 0, 0, 0),
        (Op::OrcB, ONES, 0, ONES),
        (Op::OrcB, 0x0100_8000_7f00_0002, 0, 0xff00_ff00_ff00_00ff),
        (Op::OrcB, 0x0001_0000_0000_8000, 0, 0x00ff_0000_0000_ff00),
        (Op::Rev8, PATTERN, 0, 0xefcd_ab89_6745_2301),
    ]);
}

#[test]
fn rotations() {
    check(&[
        (Op::Rol, PATTERN, 0, PATTERN),
        (Op::Rol, PATTERN, 64, PATTERN),
        (Op::Rol, PATTERN, 4, 0x1234_5678_9abc_def0),
        (Op::Rol, MIN, 1, 1),
        (Op::Ror, PATTERN, 0, PATTERN),
        (Op::Ror, PATTERN, 4, 0xf012_3456_789a_bcde),
        (Op::Ror, 1, 65, MIN),
        (Op::Rolw, 0x8000_0000, 0, MIN_W),
        (Op::Rolw, 0xffff_ffff_4000_0000, 1, MIN_W),
        (Op::Rolw, 0x8000_0000, 33, 1),
        (Op::Rorw, 1, 0, 1),
        (Op::Rorw, 1, 1, MIN_W),
        (Op::Rorw, 0xdead_beef_0000_0001, 32, 1),
    ]);
    check_imm(&[
        (Op::Rori, PATTERN, 0, PATTERN),
        (Op::Rori, 1, 63, 2),
        (Op::Roriw, 0x8000_0000, 0, MIN_W),
        (Op::Roriw, 1, 31, 2),
        (Op::Roriw, 0xffff_ffff_0000_0001, 1, MIN_W),
    ]);
}

#[test]
fn single_bits_use_the_low_six_bits_of_the_index() {
    check(&[
        (Op::Bclr, ONES, 63, MAX),
        (Op::Bclr, ONES, 64, ONES - 1),
        (Op::Bext, MIN, 63, 1),
        (Op::Bext, MIN, 127, 1),
        (Op::Bext, MIN, 62, 0),
        (Op::Binv, 0, 63, MIN),
        (Op::Binv, 1, 64, 0),
        (Op::Bset, 0, 63, MIN),
        (Op::Bset, 0, 0xffff_ffff_ffff_ffc1, 2),
    ]);
    check_imm(&[
        (Op::Bclri, ONES, 32, 0xffff_fffe_ffff_ffff),
        (Op::Bexti, 0x8000_0000, 31, 1),
        (Op::Bexti, ONES - 1, 0, 0),
        (Op::Binvi, ONES, 63, MAX),
        (Op::Bseti, 0, 32, 0x1_0000_0000),
    ]);
}

#[test]
fn branches_compare_and_jump_by_the_offset() {
    for (op, rs1, rs2, taken) in [
        (Op::Beq, 5, 5, true),
        (Op::Beq, 5, 0x1_0000_0005, false),
        (Op::Bne, 5, 5, false),
        (Op::Bne, 5, 6, true),
        (Op::Blt, MIN, MAX, true),
        (Op::Blt, MAX, MIN, false),
        (Op::Blt, 5, 5, false),
        (Op::Bge, MAX, MIN, true),
        (Op::Bge, 5, 5, true),
        (Op::Bge, MIN, MAX, false),
        (Op::Bltu, MIN, MAX, false),
        (Op::Bltu, MAX, MIN, true),
        (Op::Bgeu, MIN, MAX, true),
        (Op::Bgeu, 5, 5, true),
        (Op::Bgeu, 0, ONES, false),
    ] {
        for (offset, len) in [(-4096, 4), (4094, 4), (-256, 2), (4, 4)] {
            let mut hart = hart(rs1, rs2);
            let inst = Inst {
                len,
                ..Inst::new(op, 0, RS1, RS2, offset)
            };
            assert_eq!(
                execute(&mut hart, &inst, &mut Memory::default()),
                Ok(Outcome::Next)
            );
            let distance = if taken {
                i64::from(offset) as u64
            } else {
                u64::from(len)
            };
            assert_eq!(
                hart.pc,
                PC.wrapping_add(distance),
                "{inst} {rs1:#x},{rs2:#x}"
            );
        }
    }
}

#[test]
fn jumps_link_to_the_next_instruction() {
    let jump = |inst: Inst| {
        let mut hart = hart(0x2_0001, 0);
        execute(&mut hart, &inst, &mut Memory::default()).unwrap();
        hart
    };
    let jal = jump(Inst::new(Op::Jal, 1, 0, 0, -1_048_576));
    assert_eq!((jal.pc, jal.x[1]), (0xffff_ffff_fff1_0000, PC + 4));
    // Bit 0 of the sum is cleared, and the link of a compressed jump is two bytes on.
    let jalr = jump(Inst::new(Op::Jalr, 1, RS1, 0, 2));
    assert_eq!((jalr.pc, jalr.x[1]), (0x2_0002, PC + 4));
    let jalr = jump(Inst {
        len: 2,
        ..Inst::new(Op::Jalr, 1, RS1, 0, 1)
    });
    assert_eq!((jalr.pc, jalr.x[1]), (0x2_0002, PC + 2));
    // The target is read before the link is written.
    let jalr = jump(Inst::new(Op::Jalr, RS1, RS1, 0, -1));
    assert_eq!((jalr.pc, jalr.x[usize::from(RS1)]), (0x2_0000, PC + 4));
    let jalr = jump(Inst::new(Op::Jalr, 0, RS1, 0, 0));
    assert_eq!((jalr.pc, jalr.x[0]), (0x2_0000, 0));
}

#[test]
fn ebreak_and_counter_writes_trap() {
    assert_eq!(
        trap(Inst::new(Op::Ebreak, 0, 0, 0, 0), Memory::default(), 0),
        Trap::Breakpoint
    );
    for op in [
        Op::Csrrw,
        Op::Csrrs,
        Op::Csrrc,
        Op::Csrrwi,
        Op::Csrrsi,
        Op::Csrrci,
    ] {
        // A write, to x0 too; rs1 is a register or an immediate that is not zero.
        for rd in [RD, 0] {
            let inst = Inst::new(op, rd, RS1, 0, 0xc00);
            assert_eq!(trap(inst, Memory::default(), 0), Trap::Illegal, "{inst}");
        }
        // No such register.
        let inst = Inst::new(op, RD, 0, 0, 0x300);
        assert_eq!(trap(inst, Memory::default(), 0), Trap::Illegal, "{inst}");
    }
    for op in [Op::Csrrw, Op::Csrrwi] {
        let inst = Inst::new(op, 0, 0, 0, 0xc02);
        assert_eq!(
            trap(inst, Memory::default(), 0),
            Trap::Illegal,
            "writing zero is writing"
        );
    }
}

#[test]
fn counters_read_the_steps_before_the_instruction() {
    for op in [Op::Csrrs, Op::Csrrc, Op::Csrrsi, Op::Csrrci] {
        for csr in [0xc00, 0xc01, 0xc02] {
            let mut hart = hart(0, 0);
            let mut memory = Memory {
                steps: 262_143,
                ..Memory::default()
            };
            let inst = Inst::new(op, RD, 0, 0, csr);
            assert_eq!(execute(&mut hart, &inst, &mut memory), Ok(Outcome::Next));
            assert_eq!(hart.x[usize::from(RD)], 262_143);
            let inst = Inst::new(op, 0, 0, 0, csr);
            assert_eq!(execute(&mut hart, &inst, &mut memory), Ok(Outcome::Next));
            assert_eq!(hart.x[0], 0);
        }
    }
}

#[test]
fn ecall_and_fences_only_advance_the_pc() {
    for (op, outcome) in [
        (Op::Ecall, Outcome::Ecall),
        (Op::Fence, Outcome::Next),
        (Op::FenceI, Outcome::Next),
    ] {
        let mut hart = hart(1, 2);
        let expected = Hart {
            pc: PC + 4,
            ..hart.clone()
        };
        let mut memory = Memory::default();
        assert_eq!(
            execute(&mut hart, &Inst::new(op, 0, 0, 0, 0xff), &mut memory),
            Ok(outcome)
        );
        assert_eq!(hart, expected);
    }
}

/// Every instruction in random states: what the table says is what happens.
#[test]
fn effects_register_use_and_flow_are_as_the_table_says() {
    let mut words = Words(7);
    for &op in Op::ALL {
        for _ in 0..2000 {
            let inst = hartlog_isa::decode(words.word(op)).unwrap();
            let mut before = Hart::new(PC);
            for register in 1..32 {
                before.x[register] = words.value();
            }
            if words.one_in(2) {
                before.x[usize::from(inst.rs1)] &= !7;
                before.x[0] = 0;
            }
            if !words.one_in(4) {
                before.reservation = before.x[usize::from(inst.rs1)];
            }
            let mut after = before.clone();
            let mut memory = Memory::default();
            let outcome = execute(&mut after, &inst, &mut memory);
            assert_eq!(after.x[0], 0, "{inst}");
            if outcome.is_err() {
                assert_eq!(after, before, "{inst}");
                assert!(memory.reads.is_empty() && memory.writes.is_empty());
                continue;
            }
            for register in 1..32u8 {
                if inst.writes() != Some(register) {
                    let index = usize::from(register);
                    assert_eq!(
                        after.x[index], before.x[index],
                        "{inst} changed x{register}"
                    );
                }
            }
            let next = PC + 4;
            let relative = PC.wrapping_add(i64::from(inst.imm) as u64);
            match inst.flow() {
                Flow::Next => assert_eq!((outcome, after.pc), (Ok(Outcome::Next), next)),
                Flow::Branch => assert!(after.pc == next || after.pc == relative),
                Flow::Jal => assert_eq!(after.pc, relative),
                Flow::Jalr => assert_eq!(after.pc & 1, 0),
                Flow::Ecall => assert_eq!((outcome, after.pc), (Ok(Outcome::Ecall), next)),
                Flow::Trap => panic!("{inst} did not trap"),
            }
            let read = memory.reads.first().map(|access| access.1);
            let written = memory.writes.first().map(|access| access.1);
            assert!(memory.reads.len() < 2 && memory.writes.len() < 2);
            assert_eq!(read, op.effect().logged(), "{inst}");
            match op.effect() {
                Effect::None | Effect::Read(_) | Effect::Reserve(_) => assert_eq!(written, None),
                Effect::Write(width) | Effect::ReadWrite(width) => {
                    assert_eq!(written, Some(width));
                }
                Effect::CondStore(width) => assert!(written.is_none_or(|w| w == width)),
            }

            // A register that is no source has no influence.
            let (first, second) = inst.sources();
            let mut other = before.clone();
            for register in 1..32u8 {
                if first != Some(register) && second != Some(register) {
                    other.x[usize::from(register)] = words.next();
                }
            }
            execute(&mut other, &inst, &mut Memory::default()).unwrap();
            assert_eq!(
                (other.pc, other.reservation),
                (after.pc, after.reservation),
                "{inst}"
            );
            if let Some(rd) = inst.writes() {
                assert_eq!(other.x[usize::from(rd)], after.x[usize::from(rd)], "{inst}");
            }
        }
    }
}
