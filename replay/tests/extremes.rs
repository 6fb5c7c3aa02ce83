//! Public functions answer every argument: addresses at every edge, lengths that wrap, chunks that
//! are not there.

mod common;

use hartlog_abi::Prot;
use hartlog_isa::{Hart, Width};
use replay::fault::{Fault, Message};
use replay::memory::Memory;
use replay::shadow::Shadow;
use replay::trace::Trace;

const WIDTHS: [Width; 4] = [Width::B, Width::H, Width::W, Width::D];

/// Numbers around powers of two.
fn edges() -> Vec<u64> {
    let near = |n: u64| (0..=8).flat_map(move |d| [n.wrapping_sub(d), n.wrapping_add(d)]);
    let powers = [0, 1 << 12, 1 << 16, 1 << 31, 1 << 32, 1 << 38, 1 << 63];
    powers.into_iter().flat_map(near).collect()
}

#[test]
fn memory_answers_every_address_and_length() {
    let mut memory = Memory::new().expect("address space");
    for addr in edges() {
        for len in [0, 1, 4096, 1 << 20, 1 << 32, u64::MAX] {
            // The whole window would have to be filled.
            if len <= 1 << 20 {
                memory.map(addr, len, Prot::ReadWrite);
                memory.map(addr, len, Prot::Read);
            }
            memory.protect(addr, len, Prot::ReadWrite);
            assert!(memory.bytes(addr, len).len() as u64 <= len);
            assert!(memory.bytes_mut(addr, len).len() as u64 <= len);
        }
        memory.write(addr, &[1; 16]);
        for width in WIDTHS {
            let stored = memory.store(addr, width, u64::MAX);
            assert_eq!(stored.is_ok(), memory.storable(addr, width).is_ok());
            if stored.is_ok() {
                assert_eq!(memory.load(addr, width), Ok(width.mask()));
            }
        }
        memory.unmap(addr, u64::MAX);
    }
}

#[test]
fn accesses_are_collected_at_every_address() {
    let mut shadow = Shadow::new();
    for addr in edges() {
        for width in WIDTHS {
            shadow.write(addr, width, u64::MAX);
            let _ = shadow.read(addr, width, 0);
        }
    }
    assert!(!shadow.take(Vec::new()).is_empty());
}

#[test]
fn programs_and_traces_answer_every_number() {
    let program = common::program();
    let trace = Trace::from_bytes(common::trace_bytes(&program, 16)).expect("a trace");
    let mut hart = Hart::new(0);
    for number in edges() {
        let (_, index) = program.fetch_indexed(number);
        assert!(index < program.len());
        let fault = program.fetch_fault(number);
        hart.x[1] = number;
        let message = Message {
            program: &program,
            fault: &Fault {
                kind: hartlog_format::status::FaultKind::LoadAccess,
                ..fault
            },
            hart: &hart,
            steps: number,
            stack_top: number,
        };
        assert!(message.to_string().contains("load access fault"));
        assert_eq!(trace.chunk(number).is_ok(), number < trace.len());
    }
}
