//! The semantics against an outside oracle: every instruction that computes or accesses memory, in
//! boundary-biased random states, on qemu-riscv64 (skipped where the tools are not installed).

mod common;

use std::fmt::Write;

use common::{Scratch, Words, assemble, have, run};
use hartlog_isa::{Format, Hart, Inst, Op, Port, Trap, Width, execute};

/// Random states per instruction.
const CASES: usize = 200;
/// Bytes of memory that a case may access, with its base in the middle.
const CELL: usize = 32;
/// Where a case's address points in its cell; offsets stay below 8.
const CENTER: usize = 16;

/// What a case starts with; s2 = rs1 (or the address of the cell's centre), s3 = rs2.
struct Case {
    inst: Inst,
    rs1: u64,
    rs2: u64,
    cell: [u8; CELL],
    /// Execute `lr` on the address first.
    reserve: bool,
}

fn is_access(op: Op) -> bool {
    op.effect().width().is_some()
}

fn cases() -> Vec<Case> {
    let mut words = Words(8);
    let mut cases = Vec::new();
    for &op in Op::ALL {
        let computes = match op.format() {
            Format::R | Format::Unary | Format::I | Format::Shift | Format::ShiftW => true,
            Format::Load | Format::Store | Format::Amo | Format::Lr | Format::Branch => true,
            Format::U => op == Op::Lui,
            // Targets and environment: left to programs.
            Format::J | Format::Jalr | Format::Csr | Format::CsrImm => false,
            Format::Fence | Format::FenceI | Format::System => false,
        };
        for _ in 0..if computes { CASES } else { 0 } {
            let random = words.next() as i32;
            let imm = match op.format() {
                Format::Load | Format::Store => random.rem_euclid(16) - 8,
                // Over the instruction that follows.
                Format::Branch => 8,
                _ => random,
            };
            // s2..s4; every aliasing of destination and sources turns up.
            let register = |n: u64| 18 + (n % 3) as u8;
            let rd = if words.one_in(16) {
                0
            } else {
                register(words.next())
            };
            let inst = Inst::new(op, rd, 18, if words.one_in(4) { 18 } else { 19 }, imm);
            let mut cell = [0; CELL];
            for part in cell.chunks_exact_mut(8) {
                part.copy_from_slice(&words.value().to_le_bytes());
            }
            let rs1 = words.value();
            // Equal operands are a boundary as well.
            let rs2 = if words.one_in(8) { rs1 } else { words.value() };
            let lr = matches!(op, Op::ScW | Op::ScD) && words.one_in(2);
            cases.push(Case {
                inst,
                rs1,
                rs2,
                cell,
                reserve: lr,
            });
        }
    }
    cases
}

/// A program that runs the cases in order, and writes per case s2, s3, s4 and the cell.
fn program(cases: &[Case]) -> String {
    let mut text = String::from(".globl _start\n_start:\nla s0,cells\nla s1,results\n");
    let mut data = String::from(".data\n.balign 16\ncells:\n");
    for case in cases {
        let address = is_access(case.inst.op);
        text += "addi s2,s0,16\n";
        if case.reserve {
            // Of the same width: whether mixed ones succeed is up to the implementation.
            let width = if case.inst.op == Op::ScW { "w" } else { "d" };
            writeln!(text, "lr.{width} s4,(s2)").unwrap();
        } else if case.inst.op.format() == Format::Amo {
            // End what an earlier case may have reserved.
            text += "sc.w zero,zero,(s1)\n";
        }
        if !address {
            writeln!(text, "ld s2,32(s0)").unwrap();
        }
        text += "ld s3,40(s0)\nli s4,0\n";
        writeln!(text, ".insn 4, 0x{:x}", case.inst.raw).unwrap();
        if case.inst.op.format() == Format::Branch {
            // Skipped when taken.
            text += ".insn 4, 0x00100a13\n"; // addi s4,zero,1
        }
        text += "sd s2,0(s1)\nsd s3,8(s1)\nsd s4,16(s1)\n";
        for part in 0..CELL / 8 {
            writeln!(text, "ld t0,{}(s0)\nsd t0,{}(s1)", part * 8, 24 + part * 8).unwrap();
        }
        text += "addi s0,s0,48\naddi s1,s1,56\n";
        for part in case.cell.chunks_exact(8) {
            let value = u64::from_le_bytes(part.try_into().unwrap());
            writeln!(data, ".dword 0x{value:x}").unwrap();
        }
        writeln!(data, ".dword 0x{:x},0x{:x}", case.rs1, case.rs2).unwrap();
    }
    let size = cases.len() * RESULT;
    text += &format!("li a0,1\nla a1,results\nli a2,{size}\nli a7,64\necall\n");
    text += "li a0,0\nli a7,93\necall\n";
    format!("{text}{data}.bss\n.balign 16\nresults: .space {size}\n")
}

/// Bytes per case: three registers and the cell.
const RESULT: usize = 24 + CELL;

/// The cell of a case at addresses `0..CELL` plus a base that is chosen per case.
struct Cell<'a> {
    base: u64,
    bytes: &'a mut [u8; CELL],
}

impl Cell<'_> {
    fn range(&self, addr: u64, width: Width) -> std::ops::Range<usize> {
        let start = (addr - self.base) as usize;
        start..start + width.bytes() as usize
    }
}

impl Port for Cell<'_> {
    type Fault = ();

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, ()> {
        let mut value = [0; 8];
        let range = self.range(addr, width);
        value[..range.len()].copy_from_slice(&self.bytes[range]);
        Ok(u64::from_le_bytes(value))
    }

    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), ()> {
        let range = self.range(addr, width);
        let len = range.len();
        self.bytes[range].copy_from_slice(&value.to_le_bytes()[..len]);
        Ok(())
    }

    fn steps(&mut self) -> u64 {
        0
    }
}

/// The same case on the interpreter; `base` is where the program has the cell.
fn interpret(case: &Case, base: u64) -> Vec<u8> {
    let mut hart = Hart::new(0x1_0000);
    let center = base + CENTER as u64;
    let mut bytes = case.cell;
    hart.x[18] = if is_access(case.inst.op) {
        center
    } else {
        case.rs1
    };
    hart.x[19] = case.rs2;
    if case.reserve {
        hart.reservation = center;
    }
    let mut cell = Cell {
        base,
        bytes: &mut bytes,
    };
    let result: Result<_, Trap<()>> = execute(&mut hart, &case.inst, &mut cell);
    result.unwrap_or_else(|trap| panic!("{}: {trap:?}", case.inst));
    if case.inst.op.format() == Format::Branch && hart.pc == 0x1_0004 {
        hart.x[20] = 1;
    }
    let registers = hart.x[18..21].iter().flat_map(|value| value.to_le_bytes());
    registers.chain(bytes).collect()
}

#[test]
fn every_instruction_computes_what_qemu_computes() {
    let what = "comparison with qemu";
    let tools = [
        "qemu-riscv64",
        "riscv64-unknown-elf-as",
        "riscv64-unknown-elf-ld",
    ];
    if !tools.iter().all(|tool| have(tool, what)) {
        return;
    }
    let cases = cases();
    let scratch = Scratch::new("oracle");
    let object = assemble(&program(&cases), &scratch);
    let guest = scratch.path("guest");
    // The data segment has an address of its own, so that addresses in registers are known.
    let data = 0x100_0000u64;
    let place = format!("-Tdata=0x{data:x}");
    run("riscv64-unknown-elf-ld", &[&object, &place, &"-o", &guest]);
    let output = run(
        "qemu-riscv64",
        &[&"-cpu", &"rv64,zba=true,zbb=true,zbs=true", &guest],
    );
    assert_eq!(output.len(), cases.len() * RESULT);
    for (index, (case, theirs)) in cases.iter().zip(output.chunks_exact(RESULT)).enumerate() {
        // qemu 7.2 counts on into the upper word; Zbb says 32.
        if case.inst.op == Op::Ctzw && case.rs1 as u32 == 0 {
            continue;
        }
        let ours = interpret(case, data + index as u64 * 48);
        assert_eq!(
            ours, theirs,
            "{} with rs1 {:#x}, rs2 {:#x}, memory {:x?}",
            case.inst, case.rs1, case.rs2, case.cell
        );
    }
}
