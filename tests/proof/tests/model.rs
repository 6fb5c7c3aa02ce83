//! Every form of host instruction that the emitter makes, on the processor against its formulas.

use hartlog_format::contract::slot;
use hartlog_isa::Op;
use iced_x86::{Decoder, DecoderOptions, Encoder, Instruction, Register};
use proof::families::{Scope, single};
use proof::native::{BUFFER, GUEST, Processor, Registers};
use proof::term::{Pool, Term};
use proof::x86::{FIELDS, Form, Machine, REGISTERS, State};
use std::collections::{BTreeSet, HashMap};
use tests::random::Rng;

/// States in which each form is run.
const STATES: u64 = 3000;

/// Forms that occur in a sample of cases.
fn forms() -> HashMap<Form, Vec<u8>> {
    let (mut pool, mut forms) = (Pool::new(), HashMap::new());
    for op in Op::ALL {
        let mut n = 0u64;
        single(*op, Scope::Quick, &mut |case, _| {
            n += 1;
            // All places, and immediates in turn.
            if (n < 400 || n.is_multiple_of(37))
                && let Err(e) = case.collect(&mut pool, &mut forms)
            {
                panic!("{e}\n{}", case.listing(&case.emit().code));
            }
        });
    }
    forms
}

fn decode(bytes: &[u8]) -> Instruction {
    Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE).decode()
}

/// An instruction without base and index gets an address in the buffer.
fn with_address(i: &Instruction, form: &Form) -> Option<Vec<u8>> {
    let absolute = i.memory_base() == Register::None && i.memory_index() == Register::None;
    if form.memory != 3 || !absolute {
        return None;
    }
    let mut moved = *i;
    moved.set_memory_displacement64(GUEST + 64);
    let mut encoder = Encoder::new(64);
    match encoder.encode(&moved, 0) {
        Ok(_) => Some(encoder.take_buffer()),
        Err(e) => panic!("{moved}: {e}"),
    }
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    let mut v = [0; 8];
    v.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(v)
}

/// What one form is run with.
struct Runner<'a> {
    processor: &'a mut Processor,
    rng: &'a mut Rng,
    pool: &'a mut Pool,
}

impl Runner<'_> {
    /// The machine's state after the instruction, in terms, and its jump's condition.
    fn terms(&mut self, bytes: &[u8], form: &Form, jumps: bool) -> (State, Option<Term>) {
        let mut state = State::unknown(self.pool);
        // x0's slot is a slot like others here.
        state.fields.insert(slot(0), self.pool.var("slot0", 64));
        let [cf, zf, sf, of] = ["cf", "zf", "sf", "of"].map(|f| self.pool.var(f, 1));
        (state.cf, state.zf, state.sf, state.of) = (Some(cf), Some(zf), Some(sf), Some(of));
        state.less = Some(self.pool.xor(sf, of));
        let none = BTreeSet::new();
        let mut forms = HashMap::new();
        let mut machine = Machine {
            pool: self.pool,
            code: bytes,
            jumps: &none,
            stops: &none,
            falls: &none,
            log: form.memory == 2,
            immediate: None,
            forms: &mut forms,
        };
        if jumps {
            match machine.jump_condition(&state) {
                Ok(c) => (state, Some(c)),
                Err(e) => panic!("{e}"),
            }
        } else {
            if let Err(e) = machine.single(&mut state) {
                panic!("{e}");
            }
            (state, None)
        }
    }

    fn registers(&mut self, i: &Instruction, form: &Form) -> Registers {
        let mut before = Registers::default();
        for v in &mut before.gpr {
            *v = self.rng.value();
        }
        for f in &mut before.flags {
            *f = self.rng.one_in(2);
        }
        // Divisions: an upper half that fits, mostly.
        if self.rng.one_in(2) {
            before.gpr[2] = self.rng.pick(&[0, u64::MAX]);
        }
        if self.rng.one_in(8) {
            before.gpr[1] = before.gpr[3];
        }
        let (base, index) = (i.memory_base(), i.memory_index());
        match form.memory {
            0 => {}
            2 => before.gpr[7] = self.processor.log_pointer() + 512,
            1 | 4 => {}
            _ => {
                // The address is in the buffer, whatever the upper halves are.
                let target = GUEST + 64 + self.rng.below(BUFFER as u64 - 128);
                let disp = i.memory_displacement64();
                let scale = u64::from(i.memory_index_scale());
                let upper = self.rng.next() << 32;
                let full = |r: Register| r.full_register().number();
                let low = |v: u64| v & 0xffff_ffff;
                if base == index && base != Register::None {
                    before.gpr[full(base)] = upper | (low(target.wrapping_sub(disp)) / (1 + scale));
                } else if base != Register::None {
                    let offset = if index == Register::None {
                        0
                    } else {
                        before.gpr[full(index)].wrapping_mul(scale)
                    };
                    let v = target.wrapping_sub(disp).wrapping_sub(offset);
                    before.gpr[full(base)] = upper | low(v);
                } else if index != Register::None {
                    before.gpr[full(index)] = upper | (low(target.wrapping_sub(disp)) / scale);
                }
            }
        }
        if form.memory == 4 {
            before.gpr[index.full_register().number()] = 2 * self.rng.below(1000);
        }
        before.gpr[5] = self.processor.state_pointer();
        before
    }

    fn fill(&mut self) {
        let (processor, rng) = (&mut *self.processor, &mut *self.rng);
        for buffer in [0, 1, 2] {
            let bytes = match buffer {
                0 => processor.state(),
                1 => processor.log(),
                _ => processor.guest(),
            };
            for chunk in bytes.chunks_exact_mut(8) {
                chunk.copy_from_slice(&rng.value().to_le_bytes());
            }
        }
    }

    /// Runs a form; returns in how many states.
    fn form(&mut self, form: &Form, example: &[u8]) -> u64 {
        let mut i = decode(example);
        let mut bytes = example.to_vec();
        if let Some(moved) = with_address(&i, form) {
            (i, bytes) = (decode(&moved), moved);
        }
        let jumps = i.is_jcc_short_or_near();
        if jumps {
            // The short form, over the instruction that notes that it did not jump.
            i.as_short_branch();
            i.set_near_branch64(12);
            let mut encoder = Encoder::new(64);
            match encoder.encode(&i, 0) {
                Ok(_) => bytes = encoder.take_buffer(),
                Err(e) => panic!("{i}: {e}"),
            }
        }
        if let Err(e) = self.processor.load(&bytes, jumps) {
            panic!("{i}: {e}");
        }
        let (state, condition) = self.terms(&bytes, form, jumps);
        let mut runs = 0;
        for n in 0..STATES {
            if n % 64 == 0 {
                self.fill();
            }
            let before = self.registers(&i, form);
            runs += u64::from(self.compare(&i, form, &state, condition, &before));
        }
        runs
    }

    fn compare(
        &mut self,
        i: &Instruction,
        form: &Form,
        state: &State,
        condition: Option<Term>,
        before: &Registers,
    ) -> bool {
        let pool = &*self.pool;
        let buffers = [
            self.processor.state().to_vec(),
            self.processor.log().to_vec(),
            self.processor.guest().to_vec(),
        ];
        let field = |at: i32| eight(&buffers[0], (at + 128) as usize);
        let state_pointer = self.processor.state_pointer();
        let known = |name: &str, _: u8| -> u64 {
            if let Some(n) = REGISTERS.iter().position(|r| *r == name) {
                return before.gpr[n];
            }
            if let Some(n) = ["cf", "zf", "sf", "of"].iter().position(|f| *f == name) {
                return u64::from(before.flags[n]);
            }
            if let Some((_, at)) = FIELDS.iter().find(|f| f.0 == name) {
                return field(*at);
            }
            match name.strip_prefix("slot").map(|r| r.parse::<u8>()) {
                Some(Ok(r)) => field(slot(r)),
                _ => 0,
            }
        };
        // What is read from log, guest memory or table: the address first.
        let read = match form.memory {
            2 => {
                let at = i.memory_displacement64() as i64 + 512;
                eight(&buffers[1], at as usize)
            }
            3 => state.accesses.first().map_or(0, |a| {
                let at = pool.evaluate(&[a.addr], &known)[0];
                eight(&buffers[2], (at - GUEST) as usize)
            }),
            4 => state.table.first().map_or(0, |t| {
                let at = pool.evaluate(&[t.addr], &known)[0];
                eight(&buffers[0], (at - (state_pointer - 128)) as usize)
            }),
            _ => 0,
        };
        let variable = |name: &str, width: u8| {
            if name.starts_with("read") || name == "entry" {
                read
            } else {
                known(name, width)
            }
        };
        let demands: Vec<Term> = state.demands.iter().map(|d| d.0).collect();
        if pool.evaluate(&demands, &variable).contains(&0) {
            return false;
        }
        let (after, jumped) = self.processor.run(before);
        let what = || format!("{i}: {before:x?} -> {after:x?}");
        if let Some(c) = condition {
            let expected = pool.evaluate(&[c], &variable)[0] == 1;
            assert_eq!(jumped, expected, "{}", what());
        }
        let gpr = pool.evaluate(&state.gpr, &variable);
        assert_eq!(gpr, after.gpr, "{}, formulas {gpr:x?}", what());
        let flags = [state.cf, state.zf, state.sf, state.of];
        for (n, flag) in flags.iter().enumerate() {
            if let Some(flag) = flag {
                let expected = pool.evaluate(&[*flag], &variable)[0] == 1;
                assert_eq!(after.flags[n], expected, "flag {n}: {}", what());
            }
        }
        if let Some(less) = state.less {
            let expected = pool.evaluate(&[less], &variable)[0] == 1;
            assert_eq!(
                after.flags[2] != after.flags[3],
                expected,
                "less: {}",
                what()
            );
        }
        // Memory: what the formulas say was written, and nothing else.
        let mut expected = buffers.clone();
        for (at, term) in &state.fields {
            let v = pool.evaluate(&[*term], &variable)[0];
            let at = (at + 128) as usize;
            expected[0][at..at + 8].copy_from_slice(&v.to_le_bytes());
        }
        for (at, byte) in &state.log {
            expected[1][(at + 512) as usize] = pool.evaluate(&[*byte], &variable)[0] as u8;
        }
        for access in state.accesses.iter().filter(|a| a.write) {
            let v = pool.evaluate(&[access.addr, access.value], &variable);
            let at = (v[0] - GUEST) as usize;
            let count = access.bytes as usize;
            expected[2][at..at + count].copy_from_slice(&v[1].to_le_bytes()[..count]);
        }
        assert!(
            self.processor.state() == expected[0],
            "state block: {}",
            what()
        );
        assert!(self.processor.log() == expected[1], "log: {}", what());
        assert!(
            self.processor.guest() == expected[2],
            "guest memory: {}",
            what()
        );
        true
    }
}

#[test]
fn formulas_are_what_the_processor_does() {
    let forms = forms();
    let mut processor = match Processor::new() {
        Ok(processor) => processor,
        Err(e) => panic!("{e}"),
    };
    let mut sorted: Vec<_> = forms.iter().collect();
    sorted.sort();
    let mut rng = Rng::new(3);
    for (form, example) in &sorted {
        let mut pool = Pool::new();
        let mut runner = Runner {
            processor: &mut processor,
            rng: &mut rng,
            pool: &mut pool,
        };
        let runs = runner.form(form, example);
        assert!(runs >= 100, "{}: {runs} states", decode(example));
    }
    println!("{} forms", sorted.len());
    assert!(sorted.len() >= 150, "{} forms", sorted.len());
    // The places of memory operands all occur.
    for memory in 0..=4 {
        assert!(sorted.iter().any(|(f, _)| f.memory == memory));
    }
}
