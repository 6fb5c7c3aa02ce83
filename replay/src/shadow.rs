//! What a stretch of execution needs to find in memory, and what it leaves there: the first value
//! read and the last value written, byte by byte, in lines of 64 bytes.

use crate::witness::MemoryOp;
use hartlog_isa::Width;

/// Bytes of a line.
pub const LINE: u64 = 64;

/// Accesses to one line of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Guest address of the first byte.
    pub addr: u64,
    /// Bit i: byte i was read before it was written, and memory must hold `first[i]`.
    pub reads: u64,
    /// Bit i: byte i was written, and `last[i]` is what it holds afterwards.
    pub writes: u64,
    /// Values read first.
    pub first: [u8; LINE as usize],
    /// Values now, of every byte that was read or written.
    pub last: [u8; LINE as usize],
}

/// Place of a line in the hash table.
#[derive(Clone, Copy)]
struct Entry {
    /// Number of the line, or [`EMPTY`].
    key: u32,
    /// Index into `lines`.
    index: u32,
}

const EMPTY: u32 = u32::MAX;
/// Lines whose entries are together: those of a cache line.
const GROUP: usize = 64 / size_of::<Entry>();
const FREE: Entry = Entry {
    key: EMPTY,
    index: 0,
};

/// Collects accesses to the guest's 4 GiB; higher bits of an address are not looked at.
pub struct Shadow {
    table: Vec<Entry>,
    lines: Vec<Line>,
}

impl Default for Shadow {
    fn default() -> Shadow {
        Shadow::new()
    }
}

impl Shadow {
    /// Nothing accessed.
    pub fn new() -> Shadow {
        Shadow {
            table: vec![FREE; 1 << 10],
            lines: Vec::new(),
        }
    }

    /// Takes memory operations; whether every value read is the one that is known to be there.
    #[inline]
    pub(crate) fn follow(&mut self, ops: &[MemoryOp]) -> bool {
        let mut same = true;
        for op in ops {
            let MemoryOp { addr, value, .. } = *op;
            same &= match (op.width(), op.is_write()) {
                (8, false) => self.read(addr, Width::D, value).is_ok(),
                (4, false) => self.read(addr, Width::W, value).is_ok(),
                (2, false) => self.read(addr, Width::H, value).is_ok(),
                (_, false) => self.read(addr, Width::B, value).is_ok(),
                (width, true) => {
                    let width = match width {
                        8 => Width::D,
                        4 => Width::W,
                        2 => Width::H,
                        _ => Width::B,
                    };
                    self.write(addr, width, value);
                    true
                }
            };
        }
        same
    }

    /// Hands over what was accessed, in the order of first access, and starts anew in `spare`.
    pub fn take(&mut self, mut spare: Vec<Line>) -> Vec<Line> {
        // Few lines in a large table: freeing their entries is cheaper. Each is freed where it is,
        // and a table without any line needs no order.
        if self.lines.len() * 16 < self.table.len() {
            let slots: Vec<usize> = self
                .lines
                .iter()
                .map(|l| self.slot((l.addr / LINE) as u32))
                .collect();
            for slot in slots {
                self.table[slot] = FREE;
            }
        } else {
            self.table.fill(FREE);
        }
        spare.clear();
        std::mem::replace(&mut self.lines, spare)
    }

    /// Where a line is in the table, or would be. Neighbours share a cache line of the table, but
    /// long runs of them must not pile up: arrays that are walked side by side would push each
    /// other along. So each group of neighbours has a place of its own.
    #[inline(always)]
    fn slot(&self, key: u32) -> usize {
        let groups = self.table.len() / GROUP;
        let spread = (key / GROUP as u32).wrapping_mul(0x9e37_79b1);
        let mut group = (spread >> (u32::BITS - groups.ilog2())) as usize;
        let mut place = key as usize;
        loop {
            let slot = group * GROUP + place % GROUP;
            let found = self.table[slot].key;
            if found == key || found == EMPTY {
                return slot;
            }
            // All places of the group before the next one: lines that are a multiple of a group
            // apart would find no other place, although the table is never more than half full.
            place += 1;
            if place == key as usize + GROUP {
                (group, place) = ((group + 1) & (groups - 1), key as usize);
            }
        }
    }

    #[inline(always)]
    fn line(&mut self, addr: u64) -> &mut Line {
        // Never EMPTY.
        let key = addr as u32 / LINE as u32;
        let slot = self.slot(key);
        let entry = self.table[slot];
        let index = if entry.key == key {
            entry.index as usize
        } else {
            self.insert(key, slot)
        };
        &mut self.lines[index]
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, key: u32, slot: usize) -> usize {
        let index = self.lines.len();
        self.lines.push(Line {
            addr: u64::from(key) * LINE,
            reads: 0,
            writes: 0,
            first: [0; LINE as usize],
            last: [0; LINE as usize],
        });
        self.table[slot] = Entry {
            key,
            index: index as u32,
        };
        if self.lines.len() * 2 > self.table.len() {
            self.grow();
        }
        index
    }

    fn grow(&mut self) {
        let len = self.table.len() * 2;
        let old = std::mem::replace(&mut self.table, vec![FREE; len]);
        for entry in old.into_iter().filter(|e| e.key != EMPTY) {
            let slot = self.slot(entry.key);
            self.table[slot] = entry;
        }
    }

    /// An access that may cross into the next line, split.
    #[cold]
    #[inline(never)]
    fn read_split(&mut self, addr: u64, width: Width, value: u64) -> Result<(), u64> {
        let mut known = value;
        for i in 0..width.bytes() {
            let byte = value >> (8 * i) & 0xff;
            let at = addr.wrapping_add(i);
            if let Err(other) = self.line(at).read(at % LINE, 1, byte) {
                known = known & !(0xff << (8 * i)) | other << (8 * i);
            }
        }
        if known == value { Ok(()) } else { Err(known) }
    }

    #[cold]
    #[inline(never)]
    fn write_split(&mut self, addr: u64, width: Width, value: u64) {
        for i in 0..width.bytes() {
            let byte = value >> (8 * i) & 0xff;
            let at = addr.wrapping_add(i);
            self.line(at).write(at % LINE, 1, byte);
        }
    }
}

/// Bits of `width` bytes at `offset` of a line.
#[inline(always)]
fn bits(offset: u64, width: u64) -> u64 {
    ((1 << width) - 1) << offset
}

impl Line {
    /// Reads `width` bytes; `Err` is what they must be if they are known to be something else.
    #[inline(always)]
    fn read(&mut self, offset: u64, width: u64, value: u64) -> Result<(), u64> {
        let wanted = bits(offset, width);
        let known = (self.reads | self.writes) & wanted;
        let (start, end) = (offset as usize, (offset + width) as usize);
        let bytes = value.to_le_bytes();
        let bytes = &bytes[..width as usize];
        if known == wanted {
            let mut now = [0; 8];
            now[..width as usize].copy_from_slice(&self.last[start..end]);
            let now = u64::from_le_bytes(now);
            return if now == value { Ok(()) } else { Err(now) };
        }
        if known == 0 {
            self.reads |= wanted;
            self.first[start..end].copy_from_slice(bytes);
            self.last[start..end].copy_from_slice(bytes);
            return Ok(());
        }
        self.read_mixed(offset, bytes)
    }

    #[cold]
    fn read_mixed(&mut self, offset: u64, bytes: &[u8]) -> Result<(), u64> {
        let (mut now, mut same) = ([0; 8], true);
        for (i, byte) in bytes.iter().enumerate() {
            let at = offset as usize + i;
            let bit = 1 << at;
            if (self.reads | self.writes) & bit == 0 {
                self.reads |= bit;
                self.first[at] = *byte;
                self.last[at] = *byte;
            }
            now[i] = self.last[at];
            same &= now[i] == *byte;
        }
        if same {
            Ok(())
        } else {
            Err(u64::from_le_bytes(now))
        }
    }

    #[inline(always)]
    fn write(&mut self, offset: u64, width: u64, value: u64) {
        let written = bits(offset, width);
        // Mostly they are written already: then the next access need not wait for a store.
        if self.writes & written != written {
            self.writes |= written;
        }
        let start = offset as usize;
        self.last[start..start + width as usize]
            .copy_from_slice(&value.to_le_bytes()[..width as usize]);
    }
}

impl Shadow {
    /// `width` bytes were read; `Err` is what they must be if they are known to be something else.
    ///
    /// # Errors
    /// The value that must have been read.
    #[inline(always)]
    pub fn read(&mut self, addr: u64, width: Width, value: u64) -> Result<(), u64> {
        let offset = addr % LINE;
        if offset + width.bytes() > LINE {
            return self.read_split(addr, width, value);
        }
        // A constant width for each arm: copies of fixed length.
        let line = self.line(addr);
        match width {
            Width::B => line.read(offset, 1, value),
            Width::H => line.read(offset, 2, value),
            Width::W => line.read(offset, 4, value),
            Width::D => line.read(offset, 8, value),
        }
    }

    /// `width` bytes were written.
    #[inline(always)]
    pub fn write(&mut self, addr: u64, width: Width, value: u64) {
        let offset = addr % LINE;
        if offset + width.bytes() > LINE {
            return self.write_split(addr, width, value);
        }
        let line = self.line(addr);
        match width {
            Width::B => line.write(offset, 1, value),
            Width::H => line.write(offset, 2, value),
            Width::W => line.write(offset, 4, value),
            Width::D => line.write(offset, 8, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    const BASE: u64 = 0x1_0000;

    quickcheck! {
        /// Against a map of bytes: (first value read, value now, written).
        fn agrees_with_a_byte_map(accesses: Vec<(u16, u8, u64, bool)>) -> bool {
            let mut shadow = Shadow::new();
            for _round in 0..2 {
                let mut model: BTreeMap<u64, (Option<u8>, u8, bool)> = BTreeMap::new();
                for (at, width, value, write) in &accesses {
                    // A few neighbouring lines, and some far away.
                    let addr = BASE + u64::from(at & 0xff) + (u64::from(at >> 8) << 20);
                    let width = [Width::B, Width::H, Width::W, Width::D][usize::from(width & 3)];
                    let value = value & width.mask();
                    let bytes = (0..width.bytes()).map(|i| (addr + i, (value >> (8 * i)) as u8));
                    if *write {
                        shadow.write(addr, width, value);
                        for (a, b) in bytes {
                            let first = model.get(&a).and_then(|m| m.0);
                            model.insert(a, (first, b, true));
                        }
                    } else {
                        let mut now = 0;
                        for (i, (a, b)) in bytes.enumerate() {
                            let known = model.entry(a).or_insert((Some(b), b, false)).1;
                            now |= u64::from(known) << (8 * i);
                        }
                        let expected = if now == value { Ok(()) } else { Err(now) };
                        if shadow.read(addr, width, value) != expected {
                            return false;
                        }
                    }
                }
                let lines = shadow.take(Vec::new());
                let mut found = BTreeMap::new();
                for line in lines {
                    for i in 0..LINE as usize {
                        let (read, written) = (line.reads >> i & 1 == 1, line.writes >> i & 1 == 1);
                        if read || written {
                            let first = read.then_some(line.first[i]);
                            found.insert(line.addr + i as u64, (first, line.last[i], written));
                        }
                    }
                }
                if found != model {
                    return false;
                }
            }
            true
        }
    }

    /// Lines of which only one in a group, in a page, and in larger strides is used.
    #[test]
    fn strides_of_any_length_have_room() {
        for stride in [512, 4096, 1 << 16] {
            let mut shadow = Shadow::new();
            let count = ((1u64 << 32) / stride - 1).min(20_000);
            for i in 0..count {
                shadow.write(stride * i, Width::D, i);
            }
            let lines = shadow.take(Vec::new());
            assert_eq!(lines.len() as u64, count);
            assert!((0..).zip(&lines).all(|(i, line)| line.addr == stride * i));
        }
    }
}
