//! A sample as a program of its own, which sets its registers, and at the end writes them and its
//! memory to standard output.

use super::{DATA, DATA_SIZE, HIGH, Item, Kind, Sample};
use crate::elf::{Image, PF_R, PF_W, Segment};
use hartlog_isa::{Inst, Op};

/// Where registers come from and go to.
const REGISTERS: u64 = 0x3000_0000;
/// Register that is used for that; a base that programs do not write.
const VIA: u8 = super::BASE_BAD;
/// `write` and `exit` of the Linux user ABI.
const WRITE: i32 = 64;
const EXIT: i32 = 93;

fn addi(rd: u8, rs1: u8, imm: i32) -> Item {
    Inst::new(Op::Addi, rd, rs1, 0, imm).into()
}

fn lui(rd: u8, value: u64) -> Item {
    Inst::new(Op::Lui, rd, 0, 0, value as i32).into()
}

/// `write(1, addr, len)`; both are multiples of the page size, and the address may be 2^31.
fn write(addr: u64, len: u64) -> [Item; 7] {
    [
        addi(10, 0, 1),
        lui(11, addr),
        Inst::new(Op::Slli, 11, 11, 0, 32).into(),
        Inst::new(Op::Srli, 11, 11, 0, 32).into(),
        lui(12, len),
        addi(17, 0, WRITE),
        Inst::new(Op::Ecall, 0, 0, 0, 0).into(),
    ]
}

impl Sample {
    /// The program, without the environment calls of the sample.
    pub fn standalone(&self) -> Image {
        let mut sample = self.clone();
        for item in &mut sample.items {
            if matches!(item.kind, Kind::Op(inst) if inst.op == Op::Ecall) {
                *item = addi(0, 0, 0);
            }
        }
        let mut items = vec![lui(VIA, REGISTERS)];
        let registers = (1..32u8).filter(|r| *r != VIA);
        let load = |r: u8| Item::from(Inst::new(Op::Ld, r, VIA, 0, 8 * i32::from(r)));
        items.extend(registers.clone().map(load));
        items.push(load(VIA));
        let before = items.len() as u16;
        sample.retarget(|to| to + before);
        items.append(&mut sample.items);
        items.push(lui(VIA, REGISTERS));
        items.extend(registers.map(|r| Item::from(Inst::new(Op::Sd, 0, VIA, r, 8 * i32::from(r)))));
        for (addr, len) in [(REGISTERS, 0x1000), (DATA, DATA_SIZE), (HIGH, DATA_SIZE)] {
            items.extend(write(addr, len));
        }
        items.extend([
            addi(10, 0, 0),
            addi(17, 0, EXIT),
            Inst::new(Op::Ecall, 0, 0, 0, 0).into(),
        ]);
        sample.items = items;
        let mut image = sample.image();
        let mut registers: Vec<u8> = sample
            .hart()
            .x
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        registers.resize(0x1000, 0);
        image
            .segments
            .push(Segment::new(REGISTERS, registers, PF_R | PF_W));
        image
    }

    /// Whether qemu-user runs it as the reference does: no counters (it has others), and no SC (it
    /// looks at the memory, too).
    pub fn suits_qemu(&self) -> bool {
        self.items.iter().all(|item| match item.kind {
            Kind::Op(inst) => !matches!(inst.op, Op::ScW | Op::ScD) && !inst.reads_counter(),
            _ => true,
        })
    }
}
