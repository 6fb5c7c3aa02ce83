//! ELF files: what loads is sound, and what is translated runs as it is interpreted.

use compiler::{Columns, Mode, Options};
use hartlog_elf::Elf;
use hartlog_format::layout::{GUEST_END, GUEST_MIN, PAGE};
use hartlog_isa::{Hart, NO_RESERVATION};
use object::{Object, ObjectSymbol};
use replay::check;
use replay::interp::{InterpretError, Interpreter};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use std::collections::BTreeMap;
use tests::lockstep::{Native, compare};
use tests::program::Setup;
use tests::reference::Region;

/// Steps for which a program is interpreted and its trace checked.
const STEPS: u64 = 500;

/// Guest memory of programs that are run natively, too.
const NATIVE_BYTES: u64 = 1 << 20;

/// Loads, translates and runs an ELF. The padding of its identification, which nobody reads,
/// chooses how.
pub fn elf(data: &[u8]) {
    let Ok(elf) = Elf::parse(data.to_vec()) else {
        return;
    };
    is_sound(&elf);
    let choice = data.get(9).copied().unwrap_or(0);
    let options = Options {
        mode: [Mode::Trace, Mode::Fast, Mode::Replay][usize::from(choice) % 3],
        checked_addresses: choice & 8 != 0,
        columns: Columns::from_bits(u16::from(data.get(10).copied().unwrap_or(0)))
            .unwrap_or(Columns::NONE),
        listing: choice & 16 != 0,
        ..Options::default()
    };
    let Ok(translation) = compiler::compile(&elf, &options) else {
        return;
    };
    is_object(&translation.object);
    if options.listing {
        let mut text = Vec::new();
        compiler::listing::write(&elf, &translation.code, &mut text)
            .unwrap_or_else(|e| panic!("memory takes everything: {e}"));
    }
    let order = (1..32).collect();
    let setup = Setup {
        mode: options.mode,
        checked: options.checked_addresses,
        columns: Columns::NONE,
        order,
        cut: options.cut,
    };
    interpreted(&Program::new(elf.clone()));
    native(elf, setup);
}

/// What everybody after the loader relies on.
fn is_sound(elf: &Elf) {
    assert!(elf.code_at(elf.entry).is_some(), "the entry is code");
    let mut end = GUEST_MIN;
    for segment in &elf.segments {
        assert!(segment.vaddr >= end && segment.mem_size > 0, "ascending");
        assert!(elf.data(segment).len() as u64 <= segment.mem_size);
        end = segment.end();
    }
    assert!(end <= GUEST_END, "inside the window");
    assert!(elf.symbols.windows(2).all(|s| s[0].addr < s[1].addr));
    for symbol in &elf.symbols {
        assert!(elf.code_at(symbol.addr).is_some(), "symbols are in code");
        let _ = elf.name(symbol);
    }
    let mut end = 0;
    for range in &elf.text {
        assert!(range.start >= end && range.start < range.end, "ascending");
        end = range.end;
    }
    for warning in &elf.warnings {
        let _ = warning.to_string();
    }
}

/// What the linker needs.
fn is_object(bytes: &[u8]) {
    let object = object::File::parse(bytes).unwrap_or_else(|e| panic!("no object: {e}"));
    let program = hartlog_format::contract::SYMBOL_PROGRAM;
    let defined = object
        .symbols()
        .any(|s| s.is_definition() && s.name().is_ok_and(|n| n == program));
    assert!(defined, "the descriptor is there");
}

/// Interprets a program for some steps; the check accepts its trace.
fn interpreted(program: &Program) {
    let options = replay::interp::Options {
        chunk_steps: 100,
        step_limit: Some(STEPS),
        ..Default::default()
    };
    let mut bytes = Vec::new();
    let run = Interpreter::new(program, options)
        .and_then(|mut i| i.run_traced(&mut Buffers::default(), &mut bytes));
    match run {
        Ok(_) => {}
        // No room for the stack or for the arguments.
        Err(InterpretError::Setup(_)) => return,
        Err(e) => panic!("nothing is missing: {e}"),
    }
    let trace = Trace::from_bytes(bytes).unwrap_or_else(|e| panic!("its own trace: {e}"));
    let options = check::Options {
        jobs: Some(1),
        ..Default::default()
    };
    let result = check::check(&trace, program, &options, &mut |_| {});
    assert!(result.is_ok(), "its own trace: {result:?}");
}

/// The memory of a program, a page at a time; `None` if it is large.
fn memory(elf: &Elf) -> Option<Vec<Region>> {
    let total: u64 = elf.segments.iter().map(|s| s.mem_size).sum();
    if total > NATIVE_BYTES {
        return None;
    }
    let mut pages: BTreeMap<u64, (bool, Vec<u8>)> = BTreeMap::new();
    for segment in &elf.segments {
        let data = elf.data(segment);
        let first = segment.vaddr & !(PAGE - 1);
        for page in (first..segment.end()).step_by(PAGE as usize) {
            let (writable, bytes) = pages
                .entry(page)
                .or_insert_with(|| (false, vec![0; PAGE as usize]));
            *writable |= segment.writable;
            let (from, to) = (page.max(segment.vaddr), (page + PAGE).min(segment.end()));
            for addr in from..to {
                if let Some(byte) = data.get((addr - segment.vaddr) as usize) {
                    bytes[(addr - page) as usize] = *byte;
                }
            }
        }
    }
    let mut regions: Vec<Region> = Vec::new();
    for (addr, (writable, bytes)) in pages {
        match regions.last_mut() {
            Some(last)
                if last.addr + last.bytes.len() as u64 == addr && last.writable == writable =>
            {
                last.bytes.extend(bytes);
            }
            _ => regions.push(Region {
                addr,
                writable,
                bytes,
            }),
        }
    }
    Some(regions)
}

/// Runs generated code beside the interpreter.
fn native(elf: Elf, setup: Setup) {
    let Some(memory) = memory(&elf) else { return };
    let mut x: [u64; 32] = std::array::from_fn(|i| 3 * i as u64);
    x[0] = 0;
    // Somewhere where loads and stores are allowed, as a rule.
    for (register, region) in [2, 8, 9, 10].into_iter().zip(memory.iter().rev().cycle()) {
        x[register] = region.addr + region.bytes.len() as u64 / 2;
    }
    let start = Hart {
        x,
        pc: elf.entry,
        reservation: NO_RESERVATION,
    };
    let Ok(program) = tests::program::Program::of(elf, setup) else {
        return;
    };
    let mut native = Native::new(&program, &memory, 1 << 10);
    for budgets in [&[1 << 10][..], &[7, 1, 30]] {
        if let Err(difference) = compare(&mut native, &memory, &start, budgets, 200) {
            panic!("{difference}{}", program.listing());
        }
    }
}
