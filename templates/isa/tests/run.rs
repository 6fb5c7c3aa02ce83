//! The fast loop does what decoding and executing one instruction after the other does.

mod common;

use common::{Memory, Refused, Words};
use hartlog_isa::{
    Format, Hart, Inst, NO_RESERVATION, Op, Outcome, Slot, Stop, Trap, compress, decode_at,
    execute, predecode, run,
};
use quickcheck::quickcheck;

const BASE: u64 = 0x1_0000;

/// The definition of [`run`].
fn reference(
    hart: &mut Hart,
    text: &[u8],
    memory: &mut Memory,
    limit: u64,
) -> (u64, Stop<Refused>) {
    let before = memory.steps;
    let mut retired = 0;
    let stop = loop {
        if retired == limit {
            break Stop::Limit;
        }
        let bytes = usize::try_from(hart.pc.wrapping_sub(BASE))
            .ok()
            .and_then(|at| text.get(at..));
        let Some(Ok(inst)) = bytes.filter(|_| hart.pc.is_multiple_of(2)).map(decode_at) else {
            break Stop::NoInstruction;
        };
        memory.steps = before + retired;
        match execute(hart, &inst, memory) {
            Ok(Outcome::Next) => retired += 1,
            Ok(Outcome::Ecall) => {
                retired += 1;
                break Stop::Ecall;
            }
            Err(trap) => break Stop::Trap(trap),
        }
    };
    memory.steps = before;
    (retired, stop)
}

/// Instructions of both lengths, with jumps that mostly stay inside, also in the middle of one.
fn random_text(words: &mut Words, count: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..count {
        let op = Op::ALL[(words.next() % Op::COUNT as u64) as usize];
        // Left as they are, environment calls, ebreak and misaligned atomics end most runs early.
        let kept_once_in = match op.format() {
            Format::System => 4,
            Format::Amo | Format::Lr => 8,
            _ => 1,
        };
        let csr_write = matches!(op, Op::Csrrw | Op::Csrrwi);
        let op = if csr_write || !words.one_in(kept_once_in) {
            Op::Addi
        } else {
            op
        };
        let register = |word: u64| (word % 16) as u8;
        let (rd, rs1) = (register(words.next()), register(words.next()));
        let rs1 = if words.one_in(2) { rd } else { rs1 };
        let imm = match op.format() {
            Format::Branch | Format::J => (words.next() % 65) as i32 * 2 - 64,
            Format::Csr | Format::CsrImm => 0xc00 + (words.next() % 3) as i32,
            _ => words.next() as i32 % 32,
        };
        let rs1 = if matches!(op.format(), Format::Csr | Format::CsrImm) {
            0
        } else {
            rs1
        };
        let inst = Inst::new(op, rd, rs1, register(words.next()), imm);
        match compress(&inst) {
            Some(half) if !words.one_in(4) => text.extend(half.to_le_bytes()),
            _ if words.one_in(200) => text.extend((words.next() as u32).to_le_bytes()),
            _ => text.extend(inst.raw.to_le_bytes()),
        }
    }
    text
}

fn random_hart(words: &mut Words, text: &[u8]) -> Hart {
    let mut hart = Hart::new(BASE);
    for x in &mut hart.x[1..] {
        // Code addresses keep indirect jumps inside; data addresses keep atomics aligned.
        *x = match words.next() % 4 {
            0 => BASE + words.next() % text.len() as u64,
            1 => 0x2_0000 + words.next() % 4 * 8,
            _ => words.value(),
        };
    }
    hart.reservation = if words.one_in(2) {
        0x2_0000
    } else {
        NO_RESERVATION
    };
    hart
}

/// Runs both ways, and checks that nothing differs; how many retired and why it stopped.
fn compare(start: &Hart, text: &[u8], memory: &Memory, limit: u64) -> (u64, Stop<Refused>) {
    let slots: Vec<Slot<Memory>> = predecode(text).collect();
    assert_eq!(slots.len(), text.len() / 2);
    let (mut slow, mut slow_memory) = (start.clone(), memory.clone());
    let expected = reference(&mut slow, text, &mut slow_memory, limit);
    let (mut fast, mut fast_memory) = (start.clone(), memory.clone());
    let got = run(&mut fast, &slots, BASE, &mut fast_memory, limit);
    assert_eq!(got, expected);
    assert_eq!(fast, slow);
    assert_eq!(fast_memory.reads, slow_memory.reads);
    assert_eq!(fast_memory.writes, slow_memory.writes);
    got
}

#[test]
fn random_programs_run_as_by_single_instructions() {
    let mut words = Words(9);
    let (mut total, mut stops) = (0, [0; 4]);
    for _ in 0..3000 {
        let count = 1 + words.next() as usize % 200;
        let text = random_text(&mut words, count);
        let start = random_hart(&mut words, &text);
        let memory = Memory {
            steps: words.next() >> 32,
            ..Memory::default()
        };
        let limit = words.next() % 2000;
        let (retired, stop) = compare(&start, &text, &memory, limit);
        total += retired;
        stops[match stop {
            Stop::Limit => 0,
            Stop::Ecall => 1,
            Stop::NoInstruction => 2,
            Stop::Trap(_) => 3,
        }] += 1;
    }
    // The programs are worth running, and end in every way.
    assert!(total > 100_000, "{total}");
    assert!(stops.iter().all(|&count| count > 30), "{stops:?}");
}

#[test]
fn every_limit_is_exact() {
    // Counts to a thousand and reads `instret` in each round; longer than several bursts.
    let program = [
        Inst::new(Op::Addi, 10, 10, 0, 1),
        Inst::new(Op::Csrrs, 11, 0, 0, 0xc02),
        Inst::new(Op::Bne, 0, 10, 12, -8),
        Inst::new(Op::Ecall, 0, 0, 0, 0),
        Inst::new(Op::Ebreak, 0, 0, 0, 0),
    ];
    let text: Vec<u8> = program
        .iter()
        .flat_map(|inst| inst.raw.to_le_bytes())
        .collect();
    let mut start = Hart::new(BASE);
    start.x[12] = 1000;
    let memory = Memory {
        steps: 1 << 40,
        ..Memory::default()
    };
    for limit in (0..1100).chain(2900..3010) {
        let got = compare(&start, &text, &memory, limit);
        let expected = if limit <= 3000 {
            (limit, Stop::Limit)
        } else {
            (3001, Stop::Ecall)
        };
        assert_eq!(got, expected);
    }
    // In pieces of every size, as a replayer of chunks runs it.
    let slots: Vec<Slot<Memory>> = predecode(&text).collect();
    for piece in 1..300 {
        let (mut hart, mut memory) = (start.clone(), memory.clone());
        let stop = loop {
            let (retired, stop) = run(&mut hart, &slots, BASE, &mut memory, piece);
            memory.steps += retired;
            if stop != Stop::Limit {
                break stop;
            }
        };
        assert_eq!((stop, memory.steps), (Stop::Ecall, (1 << 40) + 3001));
        assert_eq!(hart.x[11], (1 << 40) + 2998, "before the last read");
        assert_eq!(hart.pc, BASE + 16);
        let (retired, stop) = run(&mut hart, &slots, BASE, &mut memory, piece);
        assert_eq!((retired, stop), (0, Stop::Trap(Trap::Breakpoint)));
        assert_eq!(hart.pc, BASE + 16);
    }
}

#[test]
fn a_pc_without_an_instruction_stops_before_it() {
    // nop; c.nop; an undefined halfword; half of a word
    let text = [0x13, 0, 0, 0, 0x01, 0, 0, 0, 0x13, 0];
    let memory = Memory::default();
    for (pc, retired) in [
        (BASE, 2),
        (BASE + 4, 1),
        (BASE + 2, 0), // the nop's upper half is the undefined halfword 0
        (BASE + 6, 0),
        (BASE + 8, 0),
        (BASE + 10, 0),
        (BASE + 1, 0),
        (BASE - 2, 0),
        (0, 0),
        (u64::MAX, 0),
        (u64::MAX - 1, 0),
    ] {
        let got = compare(&Hart::new(pc), &text, &memory, 100);
        assert_eq!(got, (retired, Stop::NoInstruction), "{pc:#x}");
        assert_eq!(compare(&Hart::new(pc), &text, &memory, 0), (0, Stop::Limit));
    }
}

#[test]
fn a_slot_takes_sixteen_bytes() {
    assert_eq!(size_of::<Slot<Memory>>(), 16);
}

quickcheck! {
    fn arbitrary_bytes_run_as_by_single_instructions(text: Vec<u8>, seed: u64, limit: u8) -> bool {
        let mut words = Words(seed);
        let padded = [&text[..], &[0x01]].concat();
        let start = random_hart(&mut words, &padded);
        compare(&start, &padded, &Memory::default(), limit.into());
        true
    }
}
