//! The guest's code, decoded once.

use crate::fault::Fault;
use hartlog_elf::Elf;
use hartlog_format::status::FaultKind;
use hartlog_isa::{Inst, Op, Port, Slot, decode_at};

/// A program ready to be executed: the ELF and an instruction for each halfword of its code.
#[derive(Debug)]
pub struct Program {
    elf: Elf,
    areas: Vec<Area>,
}

/// Decoded file bytes of one executable segment.
#[derive(Debug)]
struct Area {
    base: u64,
    insts: Vec<Inst>,
}

impl Area {
    #[inline]
    fn index(&self, pc: u64) -> Option<usize> {
        let index = usize::try_from(pc.checked_sub(self.base)? >> 1).ok()?;
        (pc & 1 == 0 && index < self.insts.len()).then_some(index)
    }
}

/// [`Inst::len`] of a halfword at which the code ends in the middle of an instruction.
const CUT_OFF: u8 = 0;

/// What is at a pc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched<'a> {
    /// An instruction.
    Inst(&'a Inst),
    /// Bits that are no instruction.
    Illegal {
        /// The word, or the halfword if its low two bits are not 11.
        raw: u32,
    },
    /// Not (entirely) in the file bytes of an executable segment.
    Outside,
}

impl Program {
    /// Decodes the code of an executable.
    pub fn new(elf: Elf) -> Program {
        let areas = elf
            .code()
            .map(|code| Area {
                base: code.vaddr,
                insts: (0..code.bytes.len() / 2)
                    .map(|i| decoded(&code.bytes[2 * i..]))
                    .collect(),
            })
            .collect();
        Program { elf, areas }
    }

    /// The executable.
    pub fn elf(&self) -> &Elf {
        &self.elf
    }

    /// The instruction at a pc.
    pub fn fetch(&self, pc: u64) -> Fetched<'_> {
        self.fetch_indexed(pc).0
    }

    /// The instruction at a pc, and its index in the decoded program: the number of the halfword
    /// at `pc`, counted over all code in ascending order (0 outside of it).
    #[inline]
    pub fn fetch_indexed(&self, pc: u64) -> (Fetched<'_>, u64) {
        let mut before = 0;
        for area in &self.areas {
            if let Some(index) = area.index(pc) {
                let inst = &area.insts[index];
                let fetched = if inst.len == CUT_OFF {
                    Fetched::Outside
                } else if is_illegal(inst) {
                    Fetched::Illegal { raw: inst.raw }
                } else {
                    Fetched::Inst(inst)
                };
                return (fetched, before + index as u64);
            }
            before += area.insts.len() as u64;
        }
        (Fetched::Outside, 0)
    }

    /// The index of the halfword at a pc, as in [`Program::fetch_indexed`]; `usize::MAX` outside of
    /// the code.
    #[inline]
    pub fn index(&self, pc: u64) -> usize {
        let mut before = 0;
        for area in &self.areas {
            if let Some(index) = area.index(pc) {
                return before + index;
            }
            before += area.insts.len();
        }
        usize::MAX
    }

    /// The address of every halfword of code, ascending by index.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        self.areas
            .iter()
            .flat_map(|area| (0..area.insts.len() as u64).map(|i| area.base + 2 * i))
    }

    /// Halfwords of code.
    pub fn len(&self) -> u64 {
        self.areas.iter().map(|a| a.insts.len() as u64).sum()
    }

    /// Whether there is no code; a loaded ELF has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Code for the fast loop over a port.
    pub fn code<P: Port>(&self) -> Code<P> {
        let areas = self.areas.iter().map(|area| CodeArea {
            base: area.base,
            slots: area
                .insts
                .iter()
                .map(|inst| {
                    if inst.len == CUT_OFF || is_illegal(inst) {
                        Slot::none()
                    } else {
                        Slot::new(inst)
                    }
                })
                .collect(),
        });
        Code {
            areas: areas.collect(),
        }
    }

    /// The fault that an attempt to execute at `pc` raises where there is no instruction.
    pub fn fetch_fault(&self, pc: u64) -> Fault {
        let (kind, value) = match self.fetch(pc) {
            Fetched::Illegal { raw } => (FaultKind::Illegal, raw.into()),
            Fetched::Outside | Fetched::Inst(_) => (FaultKind::FetchAccess, 0),
        };
        Fault { kind, pc, value }
    }
}

/// Bits that decode as nothing are kept as a `csrrw` without operands, which no instruction is.
fn decoded(bytes: &[u8]) -> Inst {
    decode_at(bytes).unwrap_or_else(|_| {
        let (raw, len) = match *bytes {
            [a, b, ..] if a & 3 != 3 => (u16::from_le_bytes([a, b]).into(), 2),
            [a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]), 4),
            _ => (0, CUT_OFF),
        };
        Inst {
            op: Op::Csrrw,
            rd: 0,
            rs1: 0,
            rs2: u8::MAX,
            len,
            imm: 0,
            raw,
        }
    })
}

fn is_illegal(inst: &Inst) -> bool {
    inst.rs2 == u8::MAX
}

/// Decoded code for [`hartlog_isa::run`].
pub struct Code<P: Port> {
    areas: Vec<CodeArea<P>>,
}

struct CodeArea<P: Port> {
    base: u64,
    slots: Vec<Slot<P>>,
}

impl<P: Port> Code<P> {
    /// Like [`hartlog_isa::run`], over all executable segments: an instruction may jump from one
    /// to another. `tick` is told how many instructions retired whenever the port's step count
    /// has to advance.
    pub fn run(
        &self,
        hart: &mut hartlog_isa::Hart,
        port: &mut P,
        limit: u64,
        mut tick: impl FnMut(&mut P, u64),
    ) -> (u64, hartlog_isa::Stop<P::Fault>) {
        let mut retired = 0;
        loop {
            let area = self.areas.iter().find(|a| {
                let len = 2 * a.slots.len() as u64;
                hart.pc.wrapping_sub(a.base) < len
            });
            let Some(area) = area.filter(|_| retired < limit) else {
                let stop = if retired < limit {
                    hartlog_isa::Stop::NoInstruction
                } else {
                    hartlog_isa::Stop::Limit
                };
                return (retired, stop);
            };
            let (count, stop) =
                hartlog_isa::run(hart, &area.slots, area.base, port, limit - retired);
            retired += count;
            tick(port, count);
            // Somewhere else there may be code; but not where this area has none.
            if !matches!(stop, hartlog_isa::Stop::NoInstruction) || count == 0 {
                return (retired, stop);
            }
        }
    }
}
