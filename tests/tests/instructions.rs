//! Every instruction of the ISA table, generated code against the interpreter: all aliasings of
//! rd, rs1 and rs2, x0, registers in host registers and in memory, operands that are constants or
//! have a stale upper half, boundary values, addresses at the edges of what is mapped; in every
//! mode. Registers, pc, steps, read log, reservation, memory and faults are compared.

use hartlog_isa::{
    CSR_CYCLE, CSR_INSTRET, CSR_TIME, Effect, Flow, Format, Hart, Inst, NO_RESERVATION, Op,
    compress,
};
use tests::elf::{Image, PF_R, PF_W, PF_X, RVC, Segment};
use tests::lockstep::{Native, chunk};
use tests::program::{Mode, Program, Setup};
use tests::random::Rng;
use tests::reference::{Reference, Region};
use tests::sample::{CODE, DATA, DATA_SIZE, HIGH, TABLE};

/// States that each instruction has to be run in, at least, in each mode.
const STATES: u64 = 1000;
/// Blocks per combination of operand places, by number of register operands.
const INSTANCES: [u64; 4] = [130, 60, 8, 3];
/// States per block.
const RUNS: u64 = 10;
/// Guest registers with a home: as many as there are in every mode.
const PINNED: usize = 11;
/// Where code pointers are, so that every case is a block start. Not mapped.
const POINTERS: u64 = 0x6000_0000;

/// A block: perhaps something that prepares operands, the instruction, and a jump to 0.
struct Case {
    inst: Inst,
    pc: u64,
    steps: u64,
}

/// Where an operand is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Zero,
    Home(usize),
    Memory(usize),
}

const PLACES: [Place; 5] = [
    Place::Zero,
    Place::Home(0),
    Place::Home(1),
    Place::Memory(0),
    Place::Memory(1),
];

struct Builder {
    rng: Rng,
    order: Vec<u8>,
    code: Vec<u8>,
    cases: Vec<Case>,
}

impl Builder {
    fn push(&mut self, inst: Inst) {
        match compress(&inst) {
            Some(half) if self.rng.one_in(2) => self.code.extend_from_slice(&half.to_le_bytes()),
            _ => self.code.extend_from_slice(&inst.encode().to_le_bytes()),
        }
    }

    /// All blocks of one instruction.
    fn op(&mut self, op: Op) {
        use Format::*;
        let (rd, rs1, rs2) = match op.format() {
            R | Amo => (true, true, true),
            Unary | I | Shift | ShiftW | Load | Jalr | Lr => (true, true, false),
            Store | Branch => (false, true, true),
            U | J | Csr | CsrImm => (true, false, false),
            Fence | FenceI | System => (false, false, false),
        };
        let places = |used: bool| if used { &PLACES[..] } else { &PLACES[..1] };
        let operands = usize::from(rd) + usize::from(rs1) + usize::from(rs2);
        for d in places(rd) {
            for a in places(rs1) {
                for b in places(rs2) {
                    for _ in 0..INSTANCES[operands] {
                        self.case(op, [*d, *a, *b]);
                    }
                }
            }
        }
    }

    fn case(&mut self, op: Op, places: [Place; 3]) {
        let (mut homes, mut memory) = (
            self.order[..PINNED].to_vec(),
            self.order[PINNED + 1..].to_vec(),
        );
        self.rng.shuffle(&mut homes);
        self.rng.shuffle(&mut memory);
        let [rd, mut rs1, rs2] = places.map(|place| match place {
            Place::Zero => 0,
            Place::Home(i) => homes[i],
            Place::Memory(i) => memory[i],
        });
        let imm = self.immediate(op);
        if op.format() == Format::CsrImm {
            rs1 = self.rng.pick(&[0, 0, 0, 1, 31]);
        }
        if op.format() == Format::Csr {
            rs1 = self.rng.pick(&[0, 0, 0, 1, rd]);
        }
        let mut inst = Inst::new(op, rd, rs1, rs2, imm);
        if matches!(op.format(), Format::Amo | Format::Lr) {
            inst.raw |= (self.rng.below(4) as u32) << 25;
        }
        let start = self.code.len();
        let mut steps = 2;
        for r in [rs1, rs2] {
            if matches!(op.format(), Format::CsrImm) || !self.rng.one_in(4) {
                continue;
            }
            let prepare = match self.rng.below(4) {
                // A stale upper half.
                0 | 1 => Inst::new(Op::Addiw, r, r, 0, 0),
                // A constant: an address in the data, or small.
                2 => Inst::new(Op::Lui, r, 0, 0, (DATA + 0x1000) as i32),
                _ => Inst::new(Op::Addi, r, 0, 0, self.rng.imm12()),
            };
            self.push(prepare);
            steps += 1;
        }
        self.push(inst);
        // Nothing but a jump ends a block without touching registers.
        self.push(Inst::new(Op::Jalr, 0, 0, 0, 0));
        if self.rng.one_in(2) && self.code.len().is_multiple_of(4) {
            // Odd halves between blocks, for 4-byte instructions that are not aligned.
            self.code.extend_from_slice(&[0, 0]);
        }
        self.cases.push(Case {
            inst,
            pc: CODE + start as u64,
            steps,
        });
    }

    fn immediate(&mut self, op: Op) -> i32 {
        let rng = &mut self.rng;
        match op.format() {
            Format::I | Format::Load | Format::Store => rng.imm12(),
            Format::Jalr => rng.pick(&[0, 0, 2, 4, -4, 1, 2047, -2048]),
            Format::Shift => rng.pick(&[0, 1, 31, 32, 33, 63, 8, 47]),
            Format::ShiftW => rng.pick(&[0, 1, 15, 16, 30, 31]),
            Format::U => rng.value() as i32 & !0xfff,
            Format::Branch | Format::J => match rng.below(6) {
                0 => 0,
                1 => 4,
                2 => 2,
                3 => 2 * (rng.below(64) as i32 - 32),
                4 => 2 * (rng.below(2000) as i32 - 1000),
                _ => rng.pick(&[-4096, 4094]),
            },
            Format::Csr | Format::CsrImm => i32::from(rng.pick(&[
                CSR_CYCLE,
                CSR_TIME,
                CSR_INSTRET,
                CSR_CYCLE,
                CSR_INSTRET,
                0x300,
                0xc03,
            ])),
            Format::Fence => rng.pick(&[0x0ff, 0x033, 0x833, 0]),
            Format::R
            | Format::Unary
            | Format::Amo
            | Format::Lr
            | Format::FenceI
            | Format::System => 0,
        }
    }

    fn image(&self) -> Image {
        let pointers = self.cases.iter().flat_map(|c| c.pc.to_le_bytes()).collect();
        Image {
            entry: CODE,
            flags: RVC,
            segments: vec![
                Segment::new(CODE, self.code.clone(), PF_R | PF_X),
                Segment::new(DATA, vec![0; DATA_SIZE as usize], PF_R | PF_W),
                Segment::new(TABLE, vec![0; 0x1000], PF_R),
                Segment::new(POINTERS, pointers, PF_R),
                Segment::new(HIGH, vec![0; DATA_SIZE as usize], PF_R | PF_W),
            ],
            symbols: Vec::new(),
        }
    }
}

/// An address, mostly good, for an access of so many bytes.
fn address(rng: &mut Rng, width: u64, atomic: bool, checked: bool) -> u64 {
    let addr = match rng.below(16) {
        // Over the end of the writable page, of the read-only one, and before the first.
        0 => TABLE - rng.below(width + 1),
        1 => TABLE + 0x1000 - rng.below(width + 1),
        2 => DATA - rng.below(width + 1),
        3 => TABLE + rng.below(0x100),
        4 => rng.pick(&[0, 0xffff_fff8, 0x7000_0000, 0xffff_f000, 0x1000]),
        5 | 6 => 0x8000_0000 - rng.below(12),
        7 => HIGH + rng.below(DATA_SIZE - 8),
        8 if checked => rng.value(),
        9 if checked => DATA | 1 << (32 + rng.below(32)),
        _ => DATA + rng.below(DATA_SIZE - 8),
    };
    if atomic && !rng.one_in(8) {
        addr & !(width - 1)
    } else {
        addr
    }
}

fn state(rng: &mut Rng, case: &Case, checked: bool, cases: &[Case]) -> Hart {
    let inst = &case.inst;
    let mut hart = Hart {
        x: [0; 32],
        pc: case.pc,
        reservation: NO_RESERVATION,
    };
    for x in &mut hart.x[1..] {
        *x = rng.value();
    }
    let rs1 = usize::from(inst.rs1);
    if let Some(width) = inst.op.effect().width() {
        let atomic = matches!(inst.op.format(), Format::Amo | Format::Lr);
        let addr = address(rng, width.bytes(), atomic, checked);
        hart.x[rs1] = addr.wrapping_sub(i64::from(inst.imm) as u64);
        // A reservation is always inside the window.
        hart.reservation = match rng.below(4) {
            0 => NO_RESERVATION,
            1 => (addr ^ 8) & 0xffff_ffff,
            _ => addr & 0xffff_ffff,
        };
    }
    if inst.flow() == Flow::Jalr && !rng.one_in(4) {
        let target = cases[rng.below(cases.len() as u64) as usize].pc + rng.pick(&[0, 0, 0, 1, 2]);
        hart.x[rs1] = target.wrapping_sub(i64::from(inst.imm) as u64);
    }
    // Equal operands are rare otherwise.
    if rng.one_in(4) && inst.op.effect() == Effect::None {
        hart.x[rs1] = hart.x[usize::from(inst.rs2)];
    }
    hart.x[0] = 0;
    hart
}

fn data(rng: &mut Rng, addr: u64, size: u64, writable: bool) -> Region {
    Region {
        addr,
        writable,
        bytes: (0..size / 8)
            .flat_map(|_| rng.value().to_le_bytes())
            .collect(),
    }
}

/// Runs every case in its states; counts per instruction in how many of them generated code ran.
fn run(mode: Mode, checked: bool, seed: u64) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    let mut order: Vec<u8> = (1..32).collect();
    rng.shuffle(&mut order);
    let mut builder = Builder {
        rng,
        order: order.clone(),
        code: Vec::new(),
        cases: Vec::new(),
    };
    for op in Op::ALL {
        builder.op(*op);
    }
    let program = Program::new(
        &builder.image(),
        Setup {
            mode,
            checked,
            order,
            ..Setup::default()
        },
    );
    let Builder { mut rng, cases, .. } = builder;
    let memory = vec![
        data(&mut rng, DATA, DATA_SIZE, true),
        data(&mut rng, TABLE, 0x1000, false),
        data(&mut rng, HIGH, DATA_SIZE, true),
    ];
    let mut native = Native::new(&program, &memory, 16);
    let mut reference = Reference::new(&program.elf, Hart::new(CODE), memory.clone());
    let mut counts = vec![0; Op::COUNT];
    for case in &cases {
        for _ in 0..RUNS {
            let start = state(&mut rng, case, checked, &cases);
            let steps = rng.next() >> 8;
            native.start(&start, steps);
            (reference.hart, reference.steps) = (start.clone(), steps);
            let entered = native.entered;
            let mut result = chunk(&mut native, &mut reference, case.steps).map(|_| ());
            if native.steps == reference.steps && writes(case.inst.op) {
                if let (Ok(()), Some(at)) = (&result, native.machine.difference(&reference.memory))
                {
                    result = Err(format!("memory differs at {at:#x}"));
                }
                native.machine.reset(&memory);
                reference.memory.clone_from(&memory);
            }
            if let Err(what) = result {
                let listing = program.listing();
                let from = listing.find(&format!("{:#x}:", case.pc)).unwrap_or(0);
                let lines: Vec<&str> = listing[from..].lines().take(40).collect();
                panic!(
                    "{mode:?}, checked {checked}, seed {seed:#x}: {} at {:#x} with rs1 {:#x}, rs2 {:#x}, \
                     reservation {:#x}: {what}\n  {}",
                    case.inst,
                    case.pc,
                    start.x[usize::from(case.inst.rs1)],
                    start.x[usize::from(case.inst.rs2)],
                    start.reservation,
                    lines.join("\n")
                );
            }
            counts[case.inst.op as usize] += native.entered - entered;
        }
    }
    counts
}

fn writes(op: Op) -> bool {
    matches!(
        op.effect(),
        Effect::Write(_) | Effect::ReadWrite(_) | Effect::CondStore(_)
    )
}

fn check(mode: Mode, checked: bool) {
    for seed in 0..2 {
        let counts = run(mode, checked, seed);
        for (op, count) in Op::ALL.iter().zip(&counts) {
            // In replay, what traps is for the interpreter.
            if mode == Mode::Replay && matches!(op, Op::Ebreak | Op::Csrrw | Op::Csrrwi) {
                continue;
            }
            assert!(
                *count >= STATES,
                "{mode:?}: generated code for {} ran in {count} states",
                op.mnemonic()
            );
        }
    }
}

#[test]
fn every_instruction_with_trace() {
    check(Mode::Trace, false);
}

#[test]
fn every_instruction_without_trace() {
    check(Mode::Fast, false);
}

#[test]
fn every_instruction_in_replay() {
    check(Mode::Replay, false);
}

#[test]
fn every_instruction_with_checked_addresses() {
    check(Mode::Trace, true);
}
