//! The decoder against the table, and the encoder against the decoder.

mod common;

use common::{AnyInst, Words};
use hartlog_isa::table::ROWS;
use hartlog_isa::{DecodeError, Flow, Format, Inst, Op, decode, decode_at};
use quickcheck::quickcheck;

/// The definition of decoding: the one row whose fixed bits agree.
fn scan(raw: u32) -> Option<Op> {
    let mut rows = ROWS.iter().filter(|row| raw & row.mask == row.match_bits);
    let op = rows.next().map(|row| row.op);
    assert!(rows.next().is_none(), "two rows match {raw:08x}");
    op
}

fn agrees_with_table(raw: u32) {
    match (decode(raw), scan(raw)) {
        (Ok(inst), Some(op)) => {
            assert_eq!(inst.op, op, "{raw:08x}");
            assert_eq!((inst.len, inst.raw), (4, raw));
            assert_eq!(inst.encode(), raw, "{inst}");
        }
        (Err(DecodeError::Illegal { raw: reported }), None) => assert_eq!(reported, raw),
        (Err(DecodeError::FloatingPoint), None) => {}
        (decoded, op) => panic!("{raw:08x}: decoded {decoded:?}, table {op:?}"),
    }
}

/// Every opcode x funct3 x upper twelve bits, which includes every bit that any row fixes.
#[test]
fn decoder_equals_table_scan_over_all_fixed_bits() {
    for fixed in 0..1u32 << 20 {
        let (opcode, funct3, upper) = (fixed & 0x1f, fixed >> 5 & 7, fixed >> 8);
        let raw = upper << 20 | funct3 << 12 | opcode << 2 | 3;
        agrees_with_table(raw);
        agrees_with_table(raw | (fixed.wrapping_mul(0x9e37_79b9) & 0x000f_8f80));
    }
}

#[test]
fn decoder_equals_table_scan_over_random_words() {
    let mut words = Words(1);
    for _ in 0..1_000_000 {
        agrees_with_table(words.next() as u32 | 3);
    }
}

#[test]
fn every_row_decodes_to_itself() {
    let mut words = Words(2);
    for (index, &op) in Op::ALL.iter().enumerate() {
        assert_eq!(op as usize, index);
        assert_eq!(Op::from_u8(index as u8), Some(op));
        assert_eq!(Op::from_mnemonic(op.mnemonic()), Some(op));
        for _ in 0..1000 {
            let raw = words.word(op);
            assert_eq!(decode(raw).map(|inst| inst.op), Ok(op), "{raw:08x}");
        }
    }
    assert_eq!(Op::ALL.len(), 134);
    assert_eq!(Op::from_u8(134), None);
    assert_eq!(Op::from_u8(255), None);
    assert_eq!(Op::from_mnemonic("fadd.s"), None);
}

/// Upper bound of each operand field, so that the round trip below is not vacuous.
fn random_operands(op: Op, words: &mut Words) -> (u8, u8, u8, i32) {
    let word = words.next();
    let register = |shift: u32| (word >> shift & 31) as u8;
    let (rd, rs1, rs2) = (register(0), register(5), register(10));
    let bits = (word >> 32) as i32;
    let signed = |width: u32| bits << (32 - width) >> (32 - width);
    match op.format() {
        Format::R | Format::Amo => (rd, rs1, rs2, 0),
        Format::Unary | Format::Lr => (rd, rs1, 0, 0),
        Format::I | Format::Load | Format::Jalr => (rd, rs1, 0, signed(12)),
        Format::Shift => (rd, rs1, 0, bits & 63),
        Format::ShiftW => (rd, rs1, 0, bits & 31),
        Format::Store => (0, rs1, rs2, signed(12)),
        Format::Branch => (0, rs1, rs2, signed(13) & !1),
        Format::U => (rd, 0, 0, bits & !0xfff),
        Format::J => (rd, 0, 0, signed(21) & !1),
        Format::Csr | Format::CsrImm => (rd, rs1, 0, bits & 0xfff),
        Format::Fence | Format::FenceI => (0, 0, 0, bits & 0xfff),
        Format::System => (0, 0, 0, 0),
    }
}

#[test]
fn encode_then_decode_gives_the_operands_back() {
    let mut words = Words(3);
    for &op in Op::ALL {
        for _ in 0..2000 {
            let (rd, rs1, rs2, imm) = random_operands(op, &mut words);
            let built = Inst::new(op, rd, rs1, rs2, imm);
            assert_eq!(
                (built.rd, built.rs1, built.rs2, built.imm),
                (rd, rs1, rs2, imm),
                "{op:?}"
            );
            assert_eq!((built.op, built.len), (op, 4));
            assert_eq!(decode(built.encode()), Ok(built));
        }
    }
}

quickcheck! {
    fn encode_cuts_operands_to_their_fields(rd: u8, rs1: u8, rs2: u8, imm: i32, index: u8) -> bool {
        let op = Op::ALL[usize::from(index) % Op::COUNT];
        let inst = Inst::new(op, rd, rs1, rs2, imm);
        let loose = Inst { op, rd, rs1, rs2, len: 2, imm, raw: u32::MAX };
        decode(inst.raw) == Ok(inst) && loose.encode() == inst.raw
    }

    fn decode_at_reads_like_decode(raw: u32, tail: Vec<u8>) -> bool {
        let bytes = [&raw.to_le_bytes()[..], &tail].concat();
        decode_at(&bytes) == decode(raw)
    }

    fn a_word_cut_short_is_truncated(inst: AnyInst) -> bool {
        let bytes = inst.0.raw.to_le_bytes();
        (0..4).all(|len| decode_at(&bytes[..len]) == Err(DecodeError::Truncated))
    }
}

#[test]
fn a_halfword_needs_two_bytes() {
    // c.ebreak
    assert_eq!(decode_at(&[0x02]), Err(DecodeError::Truncated));
    assert_eq!(decode_at(&[]), Err(DecodeError::Truncated));
    let ebreak = decode_at(&[0x02, 0x90]).unwrap();
    assert_eq!((ebreak.op, ebreak.len, ebreak.raw), (Op::Ebreak, 2, 0x9002));
    // The upper half belongs to the next instruction.
    assert_eq!(decode(0xffff_9002), Ok(ebreak));
    assert_eq!(decode_at(&[0x02, 0x90, 0xff]), Ok(ebreak));
}

#[test]
fn undefined_words_give_their_error() {
    for raw in [
        0x0000_007f_u32, // longer than 32 bits
        0xffff_ffff,
        0x0000_0003 | 7 << 12, // load with funct3 7
        0x3020_0073,           // mret
        0x1050_0073,           // wfi
        0x1200_0073,           // sfence.vma
        0x0000_4073,           // funct3 4 of SYSTEM
        0x0200_101b | 1 << 25, // slliw with shift amount 32
        0x0805_453b | 5 << 20, // packw with rs2 != x0 is Zbkb, not zext.h
        0x1015_252f,           // lr.w with rs2 != x0
        0x0000_0007,           // vector load
        0x0000_5007,           // vector load
        0x0000_5027,           // vector store
        0x0a00_1033,           // clmul (Zbc)
        0x0e00_5033,           // czero.eqz (Zicond)
        0x6870_5013,           // brev8 (Zbkb)
    ] {
        assert_eq!(decode(raw), Err(DecodeError::Illegal { raw }), "{raw:08x}");
    }
    for raw in [
        0x0000_1007_u32, // flh
        0x0000_4007,     // flq
        0x0000_1027,     // fsh
        0x0000_2007,     // flw
        0x0000_3007,     // fld
        0x0000_2027,     // fsw
        0x0000_3027,     // fsd
        0x0000_0053,     // fadd.s
        0x0200_0053,     // fadd.d
        0xf200_0053,     // fmv.d.x
        0x0000_0043,     // fmadd.s
        0x0000_0047,     // fmsub.s
        0x0000_004b,     // fnmsub.s
        0x0000_004f,     // fnmadd.s
    ] {
        assert_eq!(decode(raw), Err(DecodeError::FloatingPoint), "{raw:08x}");
    }
}

#[test]
fn hints_and_reserved_fence_fields_are_legal() {
    for (raw, op) in [
        (0x0000_0013, Op::Addi),   // nop
        (0x0010_0013, Op::Addi),   // addi x0, x0, 1
        (0x0000_0037, Op::Lui),    // lui x0, 0
        (0x4050_5013, Op::Srai),   // semihosting marker
        (0x0100_000f, Op::Fence),  // pause
        (0x8330_000f, Op::Fence),  // fence.tso
        (0xfff5_850f, Op::Fence),  // reserved fm, rs1 and rd
        (0xfff5_950f, Op::FenceI), // reserved immediate, rs1 and rd
        (0x0600_6013, Op::Ori),    // prefetch.i, a HINT without Zicbop
        (0x0000_4033, Op::Xor),    // xor x0, x0, x0
    ] {
        let inst = decode(raw).unwrap();
        assert_eq!(inst.op, op, "{raw:08x}");
        assert_eq!(inst.writes(), None, "{raw:08x}");
        assert_eq!(inst.encode(), raw);
    }
}

#[test]
fn reads_are_sources_without_a_look_at_the_format() {
    for op in Op::ALL {
        for (rd, rs1, rs2) in [(1, 2, 3), (31, 30, 29), (0, 0, 5), (4, 6, 0), (7, 7, 7)] {
            let inst = Inst::new(*op, rd, rs1, rs2, 4);
            let (a, b) = inst.sources();
            assert_eq!(inst.reads(), [a.unwrap_or(0), b.unwrap_or(0)], "{inst:?}");
        }
    }
}

#[test]
fn register_use_follows_the_format() {
    let used = |raw: u32| {
        let inst = decode(raw).unwrap();
        (inst.writes(), inst.sources(), inst.flow())
    };
    let next = Flow::Next;
    assert_eq!(used(0x00c5_8533), (Some(10), (Some(11), Some(12)), next)); // add a0,a1,a2
    assert_eq!(used(0x00c5_8033), (None, (Some(11), Some(12)), next)); // add zero,a1,a2
    assert_eq!(used(0x0000_0533), (Some(10), (Some(0), Some(0)), next)); // add a0,zero,zero
    assert_eq!(used(0x6005_9513), (Some(10), (Some(11), None), next)); // clz a0,a1
    assert_eq!(used(0x0085_b503), (Some(10), (Some(11), None), next)); // ld a0,8(a1)
    assert_eq!(used(0x00a5_b423), (None, (Some(11), Some(10)), next)); // sd a0,8(a1)
    assert_eq!(used(0x0000_1537), (Some(10), (None, None), next)); // lui a0,1
    assert_eq!(
        used(0x00b5_0463),
        (None, (Some(10), Some(11)), Flow::Branch)
    ); // beq a0,a1,+8
    assert_eq!(used(0x0080_00ef), (Some(1), (None, None), Flow::Jal)); // jal ra,+8
    assert_eq!(used(0x0005_00e7), (Some(1), (Some(10), None), Flow::Jalr)); // jalr ra,0(a0)
    assert_eq!(used(0x0000_0073), (None, (None, None), Flow::Ecall));
    assert_eq!(used(0x0010_0073), (None, (None, None), Flow::Trap));
    assert_eq!(used(0xc000_2573), (Some(10), (Some(0), None), next)); // csrrs a0,cycle,zero
    assert_eq!(used(0xc00f_e573), (Some(10), (None, None), next)); // csrrsi a0,cycle,31
    assert_eq!(used(0x1005_a52f), (Some(10), (Some(11), None), next)); // lr.w a0,(a1)
    assert_eq!(used(0x18c5_a52f), (Some(10), (Some(11), Some(12)), next)); // sc.w a0,a2,(a1)
}

#[test]
fn only_plain_reads_of_the_three_counters_are_counter_reads() {
    for &op in Op::ALL {
        for csr in [
            0x001, 0x300, 0xbff, 0xc00, 0xc01, 0xc02, 0xc03, 0xc80, 0xfff,
        ] {
            for rs1 in [0, 1, 31] {
                let reads = matches!(op, Op::Csrrs | Op::Csrrc | Op::Csrrsi | Op::Csrrci)
                    && (0xc00..=0xc02).contains(&csr)
                    && rs1 == 0;
                assert_eq!(Inst::new(op, 10, rs1, 0, csr).reads_counter(), reads);
            }
        }
    }
}

#[test]
fn an_instruction_takes_sixteen_bytes() {
    assert_eq!(size_of::<Inst>(), 16);
}
