//! The translated program: a checked view of its descriptor.

use crate::report::Failure;
use hartlog_format::contract::{
    CONTRACT_VERSION, CodeRange, FLAG_TRACE, PROGRAM_MAGIC, Program as Descriptor, SEGMENT_X,
    Segment, Site, Symbol, TABLE_ENTRY, TABLE_OFFSET,
};
use hartlog_format::layout::{HOST_BASE, page_ceil};

// SAFETY: the object that every program is linked from defines it; it is never written.
unsafe extern "C" {
    #[link_name = "__hartlog_program"]
    static PROGRAM: Descriptor;
}

/// The program that this runtime is linked to.
#[derive(Clone, Copy)]
pub struct Program {
    /// The descriptor.
    pub raw: &'static Descriptor,
    /// Loadable segments.
    pub segments: &'static [Segment],
    /// Entries of the jump table: host addresses.
    table: &'static [u64],
    ranges: &'static [CodeRange],
    sites: &'static [Site],
    symbols: &'static [Symbol],
    names: &'static [u8],
}

/// The slice that a pair of fields of the descriptor stands for.
///
/// # Safety
/// `addr` is that of `len` values of the object that are never written.
unsafe fn table<T>(addr: u64, len: u64) -> &'static [T] {
    if len == 0 {
        return &[];
    }
    let start = core::ptr::with_exposed_provenance(addr as usize);
    // SAFETY: the caller's.
    unsafe { core::slice::from_raw_parts(start, len as usize) }
}

impl Program {
    /// Checks that object, linker script and runtime belong together.
    ///
    /// # Errors
    /// [`Failure::Program`].
    pub fn get() -> Result<Program, Failure> {
        // SAFETY: see its declaration.
        let raw = unsafe { &PROGRAM };
        if raw.magic != PROGRAM_MAGIC {
            return Err(Failure::Program("the object has no program in it"));
        }
        if raw.version != CONTRACT_VERSION {
            return Err(Failure::Program(
                "object and runtime are of different versions, translate it again",
            ));
        }
        let table_end = raw.state + TABLE_OFFSET + raw.table_len * TABLE_ENTRY;
        if raw.state != HOST_BASE || raw.no_entry != page_ceil(table_end) {
            return Err(Failure::Program("it was not linked with x86-64.ld"));
        }
        // SAFETY: the compiler fills in what the contract says, and the version is right. The
        // jump table becomes read-only memory; no code of the program writes the others.
        let program = unsafe {
            Program {
                raw,
                segments: table(raw.segments, raw.segments_len),
                table: table(raw.state + TABLE_OFFSET, raw.table_len),
                ranges: table(raw.ranges, raw.ranges_len),
                sites: table(raw.sites, raw.sites_len),
                symbols: table(raw.symbols, raw.symbols_len),
                names: table(raw.names, raw.names_len),
            }
        };
        if program.segments.iter().any(|s| s.file_size > s.mem_size) {
            return Err(Failure::Program("a segment has more bytes than memory"));
        }
        Ok(program)
    }

    /// Whether reads are logged.
    pub fn traces(&self) -> bool {
        self.raw.flags & FLAG_TRACE != 0
    }

    /// Address and size of the jump table, in whole pages.
    pub fn table_pages(&self) -> (usize, usize) {
        let start = self.raw.state + TABLE_OFFSET;
        (start as usize, (self.raw.no_entry - start) as usize)
    }

    /// Host address of the block that starts at a guest pc.
    #[inline]
    pub fn entry(&self, pc: u64) -> Option<u64> {
        let offset = pc.wrapping_sub(self.raw.table_base);
        if offset & 1 != 0 {
            return None;
        }
        let host = *self.table.get(usize::try_from(offset / 2).ok()?)?;
        (host != self.raw.no_entry).then_some(host)
    }

    /// File bytes of a segment.
    pub fn data(segment: &Segment) -> &'static [u8] {
        // SAFETY: segments come from the object, whose data is never written.
        unsafe { table(segment.data, segment.file_size) }
    }

    /// Code from a pc to the end of its segment's file bytes; empty where there is none.
    pub fn code_at(&self, pc: u64) -> &'static [u8] {
        let inside = |s: &&Segment| {
            s.flags & SEGMENT_X != 0 && pc.wrapping_sub(s.vaddr) < s.file_size && pc & 1 == 0
        };
        match self.segments.iter().find(inside) {
            Some(s) => &Program::data(s)[(pc - s.vaddr) as usize..],
            None => &[],
        }
    }

    /// What the host instruction at an address does for the guest, if it may raise a signal.
    pub fn site(&self, host: u64) -> Option<Site> {
        let inside = |r: &&CodeRange| host.wrapping_sub(r.start) < r.len.into();
        let range = self.ranges.iter().find(inside)?;
        let first = range.first_site as usize;
        let sites = self.sites.get(first..first + range.sites as usize)?;
        let offset = (host - range.start) as u32;
        sites.iter().find(|s| s.host == offset).copied()
    }

    /// Name of the guest function at a pc, and how far into it the pc is.
    pub fn symbol(&self, pc: u64) -> Option<(&'static [u8], u64)> {
        let index = self
            .symbols
            .partition_point(|s| s.addr <= pc)
            .checked_sub(1)?;
        let symbol = &self.symbols[index];
        let offset = pc - symbol.addr;
        let start = symbol.name as usize;
        let name = self.names.get(start..start + symbol.name_len as usize)?;
        (symbol.size == 0 || offset < symbol.size.into()).then_some((name, offset))
    }
}
