//! A fault put in at every position of random programs: kind, pc, address, steps and read log are
//! those of the interpreter, and memory is as the instructions before left it.

use hartlog_isa::{Effect, Inst, Op};
use std::collections::HashMap;
use tests::lockstep::{Native, compare};
use tests::program::Mode;
use tests::random::{Rng, cases};
use tests::reference::Stop;
use tests::sample::{BASE_BAD, BASE_DATA, BASE_ODD, BASE_TABLE, Item, Kind, Sample};

const LIMIT: u64 = 400;

/// Instructions that trap always, whatever the program did before.
fn trapping(rng: &mut Rng) -> Item {
    let r = rng.below(32) as u8;
    // Bases keep their values.
    let rd = if matches!(r, 2..=4 | 8 | 9 | 18) {
        10
    } else {
        r
    };
    let op = |op, rd, rs1, rs2, imm| Item::from(Inst::new(op, rd, rs1, rs2, imm));
    let any = |rng: &mut Rng, wanted: fn(Op) -> bool| loop {
        let op = rng.pick(Op::ALL);
        if wanted(op) {
            return op;
        }
    };
    let atomic = |op: Op| {
        matches!(
            op.effect(),
            Effect::ReadWrite(_) | Effect::Reserve(_) | Effect::CondStore(_)
        )
    };
    let kind = rng.below(12);
    match kind {
        0 | 1 => {
            // Wide enough to run over the end of what is mapped, or far beyond it.
            let load = any(rng, |op| matches!(op.effect(), Effect::Read(_)));
            op(load, rd, BASE_BAD, 0, rng.pick(&[3, 3, 100, 2047]))
        }
        2 => op(Op::Ld, rd, BASE_BAD, 0, rng.pick(&[0, -4, 2])),
        3 => {
            let store = any(rng, |op| matches!(op.effect(), Effect::Write(_)));
            op(store, 0, BASE_BAD, r, rng.pick(&[3, 0, 64]))
        }
        4 => {
            let store = any(rng, |op| matches!(op.effect(), Effect::Write(_)));
            op(store, 0, BASE_TABLE, r, rng.pick(&[0, 8, 2047]))
        }
        // The last bytes of the writable page and the first of the read-only one behind it.
        5 => op(Op::Sd, 0, BASE_TABLE, r, -(1 + rng.below(7) as i32)),
        6 => {
            let op = any(rng, atomic);
            Item::from(Inst::new(op, rd, BASE_ODD, r, 0))
        }
        7 => {
            // The old value can be read, the new one not written.
            let amo = any(rng, |op| matches!(op.effect(), Effect::ReadWrite(_)));
            op(amo, rd, BASE_TABLE, r, 0)
        }
        8 => Item {
            kind: Kind::Op(Inst::new(Op::Ebreak, 0, 0, 0, 0)),
            short: rng.one_in(2),
        },
        9 => Item {
            kind: Kind::Half(rng.pick(&[0, 0x9c41, 0x8000])),
            short: false,
        },
        10 => op(
            rng.pick(&[Op::Csrrw, Op::Csrrs, Op::Csrrwi]),
            rd,
            BASE_DATA,
            0,
            rng.pick(&[0xc00, 0xc02, 0x341]),
        ),
        _ => op(Op::Jalr, rd, BASE_DATA, 0, rng.pick(&[0, 2, 1])),
    }
}

#[test]
fn faults_are_exact_at_every_position() {
    let mut reached: HashMap<String, u64> = HashMap::new();
    for seed in 0..cases(60) {
        let mut rng = Rng::new(seed);
        let sample = Sample::new(seed, 8 + rng.below(24) as usize);
        for position in 0..sample.items.len() {
            let item = trapping(&mut rng);
            let faulty = sample.with(position, item);
            let image = faulty.image();
            let memory = Sample::memory(&image);
            let pc = faulty.assemble().addresses[position];
            let mixed: Vec<u64> = (0..16).map(|_| 1 + rng.below(40)).collect();
            for (mode, checked) in [
                (Mode::Trace, false),
                (Mode::Fast, false),
                (Mode::Trace, true),
                (Mode::Replay, false),
            ] {
                let program = faulty.translate(&image, mode, checked);
                let mut native = Native::new(&program, &memory, 1 << 18);
                for budgets in [&[1 << 18][..], &mixed] {
                    match compare(&mut native, &memory, &faulty.hart(), budgets, LIMIT) {
                        Ok(Stop::Fault(fault)) if fault.pc == pc => {
                            *reached.entry(format!("{:?}", fault.kind)).or_default() += 1;
                        }
                        Ok(_) => {}
                        Err(difference) => panic!(
                            "{mode:?}, checked {checked}, seed {seed}, position {position}: {difference}{faulty:?}{}",
                            program.listing()
                        ),
                    }
                }
            }
        }
    }
    // The faults have to be met, not only put in.
    for kind in [
        "LoadAccess",
        "StoreAccess",
        "Illegal",
        "Breakpoint",
        "MisalignedAtomic",
    ] {
        let count = reached.get(kind).copied().unwrap_or(0);
        assert!(count >= 50, "{kind} was reached {count} times: {reached:?}");
    }
    println!("{reached:?}");
}
