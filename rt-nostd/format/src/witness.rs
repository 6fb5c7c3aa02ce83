//! Witness rows in memory: what generated code of a replay writes and its caller reads.
//!
//! Rows are written in columns (structure of arrays) into an area of fixed size just below the
//! state block, so that generated code addresses a field of row `i` as
//! `[rbp + i * width + displacement]`. Memory operations are records of their own.

use crate::contract::STATE_BIAS;
use crate::layout::{MAX_BLOCK_STEPS, PAGE};
use core::fmt;
use core::mem::{offset_of, size_of};
use core::ops::{BitOr, BitOrAssign};

/// Most rows of a batch. All columns together fit in a second-level cache.
pub const BATCH_ROWS: usize = 2048;

/// Most steps of a batch that has memory operations but no rows.
pub const BATCH_STEPS: usize = 8192;

/// Memory operations that fit in a batch: an AMO has two.
pub const BATCH_OPS: usize = 2 * BATCH_STEPS;

/// A set of columns, and of other things that a replay may hand over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Columns(u16);

impl Columns {
    /// Nothing: verify only.
    pub const NONE: Columns = Columns(0);
    /// Address of the instruction.
    pub const PC: Columns = Columns(1);
    /// Value of rs1 before; 0 if the instruction has none.
    pub const RS1: Columns = Columns(2);
    /// Value of rs2 before, or the immediate (sign-extended) if there is no rs2.
    pub const RS2: Columns = Columns(4);
    /// Value of rd after; a0 of an `ecall`; 0 if there is none.
    pub const RD: Columns = Columns(8);
    /// Effective address; 0 if memory is not accessed.
    pub const ADDR: Columns = Columns(16);
    /// Value read from memory, zero-extended; 0 if nothing is read.
    pub const READ: Columns = Columns(32);
    /// Value written to memory, zero-extended; 0 if nothing is written.
    pub const WRITTEN: Columns = Columns(64);
    /// All columns of a row.
    pub const ROWS: Columns = Columns(127);
    /// The memory operations, on their own; without [`Columns::STEPS`] their steps are 0.
    pub const MEMORY: Columns = Columns(128);
    /// Steps of memory operations.
    pub const STEPS: Columns = Columns(256);
    /// Everything.
    pub const ALL: Columns = Columns(511);
    /// Nothing is handed over, and memory is followed: values read are compared with memory, what
    /// is stored goes there. Only on its own, and only where chunks are taken in order.
    pub const FOLLOW: Columns = Columns(512);

    /// The columns of a row, each on its own.
    pub const EACH: [Columns; 7] = [
        Columns::PC,
        Columns::RS1,
        Columns::RS2,
        Columns::RD,
        Columns::ADDR,
        Columns::READ,
        Columns::WRITTEN,
    ];

    /// Names of sets, for command lines.
    pub const NAMES: [(&'static str, Columns); 12] = [
        ("none", Columns::NONE),
        ("pc", Columns::PC),
        ("rs1", Columns::RS1),
        ("rs2", Columns::RS2),
        ("rd", Columns::RD),
        ("addr", Columns::ADDR),
        ("read", Columns::READ),
        ("written", Columns::WRITTEN),
        ("rows", Columns::ROWS),
        ("memory", Columns::MEMORY),
        ("steps", Columns(Columns::MEMORY.0 | Columns::STEPS.0)),
        ("all", Columns::ALL),
    ];

    /// The set of a name (see [`Columns::NAMES`]).
    pub fn named(name: &str) -> Option<Columns> {
        let found = Columns::NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, columns)| *columns)
    }

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Columns) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything of `other` is in this set.
    pub const fn intersects(self, other: Columns) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether rows are written at all.
    pub const fn has_rows(self) -> bool {
        self.intersects(Columns::ROWS)
    }

    /// The set as a number, for [`crate::contract::Program::flags`].
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set of a number; `None` if it names none.
    pub const fn from_bits(bits: u16) -> Option<Columns> {
        if bits & !Columns::ALL.0 == 0 || bits == Columns::FOLLOW.0 {
            Some(Columns(bits))
        } else {
            None
        }
    }

    /// Most steps that may be executed before a batch has to be handed over.
    pub const fn batch_steps(self) -> u64 {
        if self.has_rows() {
            BATCH_ROWS as u64
        } else if self.intersects(Columns::MEMORY) {
            BATCH_STEPS as u64
        } else {
            u64::MAX
        }
    }
}

/// As on the command line: names, with commas between them.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Columns::FOLLOW {
            return f.write_str("follow");
        }
        let inside = || Columns::NAMES.iter().filter(|(_, set)| self.contains(*set));
        // Not those that another name stands for.
        let named = |set: Columns| !inside().any(|(_, more)| *more != set && more.contains(set));
        let names = inside().filter(|(_, set)| named(*set));
        for (i, (name, _)) in names.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

impl BitOr for Columns {
    type Output = Columns;

    fn bitor(self, other: Columns) -> Columns {
        Columns(self.0 | other.0)
    }
}

impl BitOrAssign for Columns {
    fn bitor_assign(&mut self, other: Columns) {
        self.0 |= other.0;
    }
}

/// A read or a write of memory. An AMO is a read followed by a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryOp {
    /// Effective address.
    pub addr: u64,
    /// Value, zero-extended.
    pub value: u64,
    /// Steps of the chunk that retired before the instruction.
    pub step: u32,
    /// Width in bytes, and [`MemoryOp::WRITE`].
    pub kind: u32,
}

impl MemoryOp {
    /// Bit of [`MemoryOp::kind`]: a write.
    pub const WRITE: u32 = 1 << 8;

    /// Width in bytes: 1, 2, 4 or 8.
    #[inline]
    pub const fn width(&self) -> u64 {
        (self.kind & 0xff) as u64
    }

    /// Whether it is a write.
    #[inline]
    pub const fn is_write(&self) -> bool {
        self.kind & MemoryOp::WRITE != 0
    }
}

/// Where the parts of the area are, in bytes from its start.
pub mod area {
    use super::*;

    /// The columns start at different places of a page: else all fields of a row would compete for
    /// the same lines of the first-level cache.
    const STAGGER: usize = 320;

    /// Bytes of a column of 64-bit values.
    const COLUMN: usize = BATCH_ROWS * 8 + STAGGER;

    /// The memory operations.
    pub const OPS: usize = 0;

    /// The first column.
    const ROWS: usize = OPS + BATCH_OPS * size_of::<MemoryOp>();

    /// Size of the area, in bytes.
    pub const LEN: usize = (ROWS + 7 * COLUMN).next_multiple_of(PAGE as usize);

    /// Start of a column ([`Columns::PC`] and so on; of the first one in a set).
    pub const fn column(column: Columns) -> usize {
        ROWS + column.0.trailing_zeros() as usize * COLUMN
    }
}

/// The guest's memory of a replay that follows it ([`Columns::FOLLOW`]).
pub mod image {
    use super::*;

    /// Most bytes of a replay's image, from the state block to the end of its code.
    pub const MAX: u64 = 1 << 30;

    /// Bytes that cannot be accessed on both sides of the guest's 4 GiB.
    pub const GUARD: u64 = 1 << 16;

    /// From the state block to guest address 0, in bytes.
    pub const GUEST: u64 = MAX + GUARD;

    /// The largest distance of an access from a value of a register that was checked.
    pub const REACH: i32 = 4096;

    /// Displacement from `rbp` of guest address 0.
    pub const DISPLACEMENT: i32 = (GUEST - STATE_BIAS as u64) as i32;

    const _: () = assert!(GUARD > REACH as u64 + 8);
}

/// Displacement from `rbp` of a place in the area. `rbp` points into the state block, and the area
/// ends where that starts.
pub const fn displacement(at: usize) -> i32 {
    at as i32 - area::LEN as i32 - STATE_BIAS
}

const _: () = {
    assert!(BATCH_ROWS as u64 >= MAX_BLOCK_STEPS);
    assert!(size_of::<MemoryOp>() == 24);
    assert!(offset_of!(MemoryOp, value) == 8);
    assert!(offset_of!(MemoryOp, step) == 16);
    assert!(offset_of!(MemoryOp, kind) == 20);
};
