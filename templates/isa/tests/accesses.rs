//! Semantics of memory accesses: addresses, extension, what is logged, atomics, faults.

mod common;

use common::{Memory, PATTERN, PC, RD, RS1, RS2, Refused, hart, trap};
use hartlog_isa::{Effect, Format, Inst, NO_RESERVATION, Op, Outcome, Trap, Width, execute};

const MIN: u64 = 0x8000_0000_0000_0000;
const ONES: u64 = 0xffff_ffff_ffff_ffff;

#[test]
fn loads_extend_and_log_what_memory_held() {
    let value = 0x8182_8384_8586_8788;
    for (op, width, raw, expected) in [
        (Op::Lb, Width::B, 0x88, 0xffff_ffff_ffff_ff88),
        (Op::Lbu, Width::B, 0x88, 0x88),
        (Op::Lh, Width::H, 0x8788, 0xffff_ffff_ffff_8788),
        (Op::Lhu, Width::H, 0x8788, 0x8788),
        (Op::Lw, Width::W, 0x8586_8788, 0xffff_ffff_8586_8788),
        (Op::Lwu, Width::W, 0x8586_8788, 0x8586_8788),
        (Op::Ld, Width::D, value, value),
    ] {
        // A misaligned address, reached by a negative offset; also with x0 as destination.
        for rd in [RD, 0, RS1] {
            let mut memory = Memory::default();
            memory.put(0x2_0003, Width::D, value);
            let mut hart = hart(0x2_0803, 0);
            let inst = Inst::new(op, rd, RS1, 0, -2048);
            assert_eq!(execute(&mut hart, &inst, &mut memory), Ok(Outcome::Next));
            assert_eq!(memory.reads, [(0x2_0003, width, raw)], "{inst}");
            assert_eq!(
                hart.x[usize::from(rd)],
                if rd == 0 { 0 } else { expected },
                "{inst}"
            );
        }
    }
}

#[test]
fn stores_write_the_low_bytes() {
    for (op, width, expected) in [
        (Op::Sb, Width::B, 0xef),
        (Op::Sh, Width::H, 0xcdef),
        (Op::Sw, Width::W, 0x89ab_cdef),
        (Op::Sd, Width::D, PATTERN),
    ] {
        let mut memory = Memory::default();
        let mut hart = hart(0x2_0000, PATTERN);
        let inst = Inst::new(op, 0, RS1, RS2, 2047);
        assert_eq!(execute(&mut hart, &inst, &mut memory), Ok(Outcome::Next));
        assert_eq!(memory.writes, [(0x2_07ff, width, expected)]);
        assert_eq!(memory.reads, []);
        assert_eq!(hart.pc, PC + 4);
    }
}

#[test]
fn effective_addresses_wrap_at_64_bits() {
    let mut memory = Memory::default();
    let mut hart = hart(ONES, 1);
    execute(&mut hart, &Inst::new(Op::Sb, 0, RS1, RS2, 2), &mut memory).unwrap();
    assert_eq!(memory.writes, [(1, Width::B, 1)]);
}

#[test]
fn amos_return_the_old_value_and_store_the_combination() {
    let w = |value: u64| value | 0xffff_ffff_0000_0000;
    for (op, old, rs2, expected) in [
        (Op::AmoswapW, 0x8000_0000, 0x7_0000_0001, 1),
        (Op::AmoaddW, 0xffff_ffff, 2, 1),
        (Op::AmoxorW, 0xff00_ff00, w(0xffff_0000), 0x00ff_ff00),
        (Op::AmoandW, 0xff00_ff00, w(0xffff_0000), 0xff00_0000),
        (Op::AmoorW, 0xff00_ff00, 0x00ff_0000, 0xffff_ff00),
        (Op::AmominW, 0x8000_0000, 1, 0x8000_0000),
        (Op::AmominW, 5, 0x1_ffff_ffff, 0xffff_ffff), // only the low word counts
        (Op::AmomaxW, 0x8000_0000, 1, 1),
        (Op::AmomaxW, 0xffff_ffff, 0x7fff_ffff_8000_0000, 0xffff_ffff),
        (Op::AmominuW, 0x8000_0000, 1, 1),
        (Op::AmominuW, 5, 0xffff_ffff_0000_0003, 3),
        (Op::AmomaxuW, 0x8000_0000, 1, 0x8000_0000),
        (Op::AmomaxuW, 5, 0xffff_ffff_0000_0003, 5),
        (Op::AmoswapD, PATTERN, MIN, MIN),
        (Op::AmoaddD, ONES, 2, 1),
        (Op::AmoxorD, PATTERN, ONES, 0xfedc_ba98_7654_3210),
        (
            Op::AmoandD,
            PATTERN,
            0xffff_0000_ffff_0000,
            0x0123_0000_89ab_0000,
        ),
        (
            Op::AmoorD,
            PATTERN,
            0xffff_0000_ffff_0000,
            0xffff_4567_ffff_cdef,
        ),
        (Op::AmominD, MIN, 1, MIN),
        (Op::AmomaxD, MIN, 1, 1),
        (Op::AmominuD, MIN, 1, 1),
        (Op::AmomaxuD, MIN, 1, MIN),
    ] {
        let width = op.effect().width().unwrap();
        let old_register = if width == Width::W {
            i64::from(old as i32) as u64
        } else {
            old
        };
        // rd may be rs2, rs1 or x0.
        for rd in [RD, RS1, RS2, 0] {
            let mut memory = Memory::default();
            memory.put(0x2_0008, width, old);
            let mut hart = hart(0x2_0008, rs2);
            hart.reservation = 0x2_0008;
            let inst = Inst::new(op, rd, RS1, RS2, 0);
            assert_eq!(execute(&mut hart, &inst, &mut memory), Ok(Outcome::Next));
            assert_eq!(memory.reads, [(0x2_0008, width, old)], "{inst}");
            assert_eq!(memory.writes, [(0x2_0008, width, expected)], "{inst}");
            assert_eq!(
                hart.x[usize::from(rd)],
                if rd == 0 { 0 } else { old_register },
                "{inst}"
            );
            assert_eq!(hart.reservation, 0x2_0008, "only sc ends a reservation");
        }
    }
}

#[test]
fn store_conditional_needs_a_reservation_of_its_address() {
    for (lr, sc, width) in [(Op::LrW, Op::ScW, Width::W), (Op::LrD, Op::ScD, Width::D)] {
        let mut memory = Memory::default();
        memory.put(0x2_0008, Width::D, 0xffff_ffff_8000_0001);
        let mut hart = hart(0x2_0008, PATTERN);
        let (lr, sc) = (Inst::new(lr, RD, RS1, 0, 0), Inst::new(sc, RD, RS1, RS2, 0));

        // None held: fails, and touches no memory.
        execute(&mut hart, &sc, &mut memory).unwrap();
        assert_eq!(
            (hart.x[10], &memory.reads[..], &memory.writes[..]),
            (1, &[][..], &[][..])
        );

        // Held: succeeds once.
        execute(&mut hart, &lr, &mut memory).unwrap();
        assert_eq!(
            (hart.reservation, hart.x[10]),
            (0x2_0008, 0xffff_ffff_8000_0001)
        );
        // A store in between, also to that address, does not end it.
        execute(&mut hart, &Inst::new(Op::Sb, 0, RS1, RS2, 0), &mut memory).unwrap();
        execute(&mut hart, &sc, &mut memory).unwrap();
        assert_eq!((hart.reservation, hart.x[10]), (NO_RESERVATION, 0));
        assert_eq!(
            memory.writes[1..],
            [(0x2_0008, width, PATTERN & width.mask())]
        );
        execute(&mut hart, &sc, &mut memory).unwrap();
        assert_eq!(hart.x[10], 1);

        // Another address: fails and ends the reservation.
        execute(&mut hart, &lr, &mut memory).unwrap();
        hart.x[usize::from(RS1)] = 0x2_0010;
        execute(&mut hart, &sc, &mut memory).unwrap();
        assert_eq!((hart.reservation, hart.x[10]), (NO_RESERVATION, 1));
        assert_eq!(memory.writes.len(), 2);
        assert_eq!(memory.reads.len(), 2, "sc logs nothing");
    }
    // The width of the reservation does not matter, only its address.
    let mut memory = Memory::default();
    let mut hart = hart(0x2_0008, 3);
    execute(&mut hart, &Inst::new(Op::LrW, 0, RS1, 0, 0), &mut memory).unwrap();
    execute(
        &mut hart,
        &Inst::new(Op::ScD, RS2, RS1, RS2, 0),
        &mut memory,
    )
    .unwrap();
    assert_eq!(memory.writes, [(0x2_0008, Width::D, 3)]);
    assert_eq!(hart.x[usize::from(RS2)], 0);
}

#[test]
fn refused_accesses_trap_and_leave_the_hart_unchanged() {
    for &op in Op::ALL {
        let inst = Inst::new(op, RD, RS1, RS2, 0);
        let no_reads = Memory {
            read_limit: Some(0x2_0000),
            ..Memory::default()
        };
        let no_writes = Memory {
            write_limit: Some(0x2_0000),
            ..Memory::default()
        };
        let refused = Trap::Memory(Refused(0x2_0000));
        match op.effect() {
            Effect::None => {}
            Effect::Read(_) | Effect::Reserve(_) => {
                assert_eq!(trap(inst, no_reads, 0x2_0000), refused);
            }
            Effect::Write(_) | Effect::CondStore(_) => {
                assert_eq!(trap(inst, no_writes, 0x2_0000), refused);
            }
            Effect::ReadWrite(_) => {
                assert_eq!(trap(inst, no_reads, 0x2_0000), refused);
                assert_eq!(trap(inst, no_writes, 0x2_0000), refused);
            }
        }
    }
}

#[test]
fn misaligned_atomics_trap_before_the_access() {
    let mut atomics = 0;
    for &op in Op::ALL {
        let (Format::Amo | Format::Lr) = op.format() else {
            continue;
        };
        atomics += 1;
        let width = op.effect().width().unwrap();
        for offset in 1..width.bytes() {
            let addr = 0x2_0000 + offset;
            let refusing = Memory {
                read_limit: Some(0),
                write_limit: Some(0),
                ..Memory::default()
            };
            let got = trap(Inst::new(op, RD, RS1, RS2, 0), refusing, addr);
            assert_eq!(got, Trap::Misaligned { addr });
        }
    }
    assert_eq!(atomics, 22);
}
