//! Measures the decoder and a plain interpreter loop over the semantics:
//! `cargo run --release -p hartlog-isa --example isa_speed`. Prints the best of several rounds.

use std::hint::black_box;
use std::time::Instant;

use hartlog_isa::{
    Hart, Inst, NO_RESERVATION, Op, Port, Step, Stop, Trap, Width, compress, decode, predecode,
    run, step,
};

const ROUNDS: usize = 7;
const TEXT: u64 = 0x1_0000;
const DATA: u64 = 0x10_0000;
const DATA_SIZE: usize = 1 << 16;

/// A memory without checks beyond the slice's own: what remains is the cost of the semantics.
struct Memory(Vec<u8>);

impl Port for Memory {
    type Fault = u64;

    #[inline(always)]
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, u64> {
        let len = width.bytes() as usize;
        let start = addr.wrapping_sub(DATA) as usize;
        let bytes = self.0.get(start..start.wrapping_add(len)).ok_or(addr)?;
        let mut value = [0; 8];
        value[..len].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(value))
    }

    #[inline(always)]
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), u64> {
        let len = width.bytes() as usize;
        let start = addr.wrapping_sub(DATA) as usize;
        let bytes = self.0.get_mut(start..start.wrapping_add(len)).ok_or(addr)?;
        bytes.copy_from_slice(&value.to_le_bytes()[..len]);
        Ok(())
    }

    fn steps(&mut self) -> u64 {
        0
    }
}

/// Counts odd words of a table that a generator fills, forever: arithmetic, shifts, a product,
/// loads, stores, and a branch that no predictor knows.
fn program() -> Vec<Inst> {
    let i = Inst::new;
    vec![
        i(Op::Slli, 6, 5, 0, 13),
        i(Op::Xor, 5, 5, 6, 0),
        i(Op::Srli, 6, 5, 0, 7),
        i(Op::Xor, 5, 5, 6, 0),
        i(Op::Slli, 6, 5, 0, 17),
        i(Op::Xor, 5, 5, 6, 0),
        i(Op::Andi, 7, 5, 0, 0x7f8),
        i(Op::Add, 7, 7, 10, 0),
        i(Op::Ld, 28, 7, 0, 0),
        i(Op::Mul, 28, 28, 5, 0),
        i(Op::Addw, 29, 28, 5, 0),
        i(Op::Sd, 0, 7, 29, 0),
        i(Op::Lbu, 30, 7, 0, 3),
        i(Op::Andi, 30, 30, 0, 1),
        i(Op::Beq, 0, 30, 0, 8),
        i(Op::Addi, 11, 11, 0, 1),
        i(Op::Sltu, 31, 5, 11, 0),
        i(Op::Jal, 0, 0, 0, -68),
    ]
}

/// Retires `limit` instructions.
fn interpret(code: &[Inst], memory: &mut Memory, limit: u64) -> Result<u64, Trap<u64>> {
    let mut x = [0; 32];
    (x[5], x[10]) = (0x1234_5678_9abc_def1, DATA);
    let (mut pc, mut reservation, mut left) = (TEXT, NO_RESERVATION, limit);
    while left != 0 {
        let Some(inst) = code.get((pc.wrapping_sub(TEXT) >> 2) as usize) else {
            break;
        };
        pc = match step(&mut x, &mut reservation, pc, inst, memory)? {
            Step::Next(pc) | Step::Ecall(pc) => pc,
        };
        left -= 1;
    }
    assert_eq!(left, 0, "the loop does not end");
    Ok(x[11])
}

/// Best rate in millions per second of `count` things done by `work`.
fn best(count: u64, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    count as f64 / best / 1e6
}

fn main() {
    // Every instruction with many operands, in no order that a predictor could learn.
    let mut words: Vec<u32> = (0..1u32 << 16)
        .map(|n| {
            let row = Op::ALL[n.wrapping_mul(0x9e37_79b9) as usize % Op::COUNT].row();
            row.match_bits | n.wrapping_mul(0x85eb_ca6b) & !row.mask
        })
        .collect();
    let decode_all = |words: &[u32]| {
        for &word in words {
            let _ = black_box(decode(black_box(word)));
        }
    };
    let rate = best(words.len() as u64, || decode_all(&words));
    println!("decode, all instructions in random order: {rate:.0} M/s");
    for word in &mut words {
        let narrow = decode(*word).ok().and_then(|inst| compress(&inst));
        *word = narrow.map_or(*word & 0xffff & !3 | 1, u32::from);
    }
    let rate = best(words.len() as u64, || decode_all(&words));
    println!("decode, halfwords in random order: {rate:.0} M/s");
    let mut loop_words = Vec::new();
    while loop_words.len() < 1 << 16 {
        loop_words.extend(program().iter().map(|inst| inst.raw));
    }
    let rate = best(loop_words.len() as u64, || decode_all(&loop_words));
    println!("decode, a program's words: {rate:.0} M/s");

    let code = program();
    let mut memory = Memory(vec![0; DATA_SIZE]);
    let steps = 50_000_000;
    let rate = best(steps, || {
        black_box(interpret(black_box(&code), &mut memory, steps)).expect("no trap");
    });
    println!("interpret, a loop around step: {rate:.0} MIPS");

    let text: Vec<u8> = code
        .iter()
        .flat_map(|inst| inst.raw.to_le_bytes())
        .collect();
    let slots: Vec<_> = predecode(&text).collect();
    let rate = best(steps, || {
        let mut hart = Hart::new(TEXT);
        (hart.x[5], hart.x[10]) = (0x1234_5678_9abc_def1, DATA);
        let (retired, stop) = run(&mut hart, black_box(&slots), TEXT, &mut memory, steps);
        assert_eq!((retired, stop), (steps, Stop::Limit));
    });
    println!("interpret, run: {rate:.0} MIPS");
}
