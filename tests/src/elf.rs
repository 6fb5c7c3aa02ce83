//! Static RV64 executables from parts. Nothing is checked, so that tests can make files that a
//! loader has to reject.

/// `p_flags` (gABI chapter 5).
pub const PF_X: u32 = 1;
/// `p_flags`: writable.
pub const PF_W: u32 = 2;
/// `p_flags`: readable.
pub const PF_R: u32 = 4;
/// `e_flags`: compressed instructions (psABI, EF_RISCV_RVC).
pub const RVC: u32 = 1;

const EHDR: usize = 64;
const PHDR: usize = 56;
const SHDR: usize = 64;
const SYM: usize = 24;
const PAGE: usize = 4096;

/// A loadable segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Guest address.
    pub vaddr: u64,
    /// File bytes.
    pub data: Vec<u8>,
    /// Bytes in memory.
    pub mem_size: u64,
    /// `PF_*`.
    pub flags: u32,
}

impl Segment {
    /// A segment that is all file bytes.
    pub fn new(vaddr: u64, data: Vec<u8>, flags: u32) -> Segment {
        let mem_size = data.len() as u64;
        Segment {
            vaddr,
            data,
            mem_size,
            flags,
        }
    }
}

/// A function symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Guest address.
    pub addr: u64,
    /// Bytes; 0 = unknown.
    pub size: u64,
}

/// The parts of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `e_entry`.
    pub entry: u64,
    /// `e_flags`.
    pub flags: u32,
    /// Program headers, all of type PT_LOAD.
    pub segments: Vec<Segment>,
    /// Symbol table; with it, the file gets one section for each executable segment.
    pub symbols: Vec<Symbol>,
}

fn put(out: &mut Vec<u8>, fields: &[(u64, usize)]) {
    for (value, size) in fields {
        out.extend_from_slice(&value.to_le_bytes()[..*size]);
    }
}

/// A section header: name, type, flags, address, offset, size, link, info, alignment, entry size.
fn section(out: &mut Vec<u8>, f: [u64; 10]) {
    let sizes = [4, 4, 8, 8, 8, 8, 4, 4, 8, 8];
    let fields: Vec<(u64, usize)> = f.into_iter().zip(sizes).collect();
    put(out, &fields);
}

impl Image {
    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![0; EHDR + PHDR * self.segments.len()];
        let mut offsets = Vec::new();
        for s in &self.segments {
            // Offset and address agree modulo the page size, so that the file can be mapped.
            let wanted = s.vaddr as usize % PAGE;
            while out.len() % PAGE != wanted {
                let gap = (PAGE + wanted - out.len() % PAGE) % PAGE;
                out.resize(out.len() + gap, 0);
            }
            offsets.push(out.len() as u64);
            out.extend_from_slice(&s.data);
        }
        let (shoff, shnum) = self.sections(&mut out, &offsets);
        let mut head = Vec::new();
        head.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        put(
            &mut head,
            &[
                (2, 2),
                (243, 2),
                (1, 4),
                (self.entry, 8),
                (EHDR as u64, 8),
                (shoff, 8),
            ],
        );
        put(
            &mut head,
            &[
                (u64::from(self.flags), 4),
                (EHDR as u64, 2),
                (PHDR as u64, 2),
            ],
        );
        put(
            &mut head,
            &[
                (self.segments.len() as u64, 2),
                (SHDR as u64, 2),
                (shnum, 2),
            ],
        );
        put(&mut head, &[(shnum.saturating_sub(1), 2)]);
        for (s, offset) in self.segments.iter().zip(&offsets) {
            put(
                &mut head,
                &[
                    (1, 4),
                    (u64::from(s.flags), 4),
                    (*offset, 8),
                    (s.vaddr, 8),
                    (s.vaddr, 8),
                ],
            );
            put(
                &mut head,
                &[(s.data.len() as u64, 8), (s.mem_size, 8), (PAGE as u64, 8)],
            );
        }
        out[..head.len()].copy_from_slice(&head);
        out
    }

    fn sections(&self, out: &mut Vec<u8>, offsets: &[u64]) -> (u64, u64) {
        if self.symbols.is_empty() {
            return (0, 0);
        }
        let mut strings = b"\0.text\0.symtab\0.strtab\0".to_vec();
        let mut table = vec![0; SYM];
        for s in &self.symbols {
            let name = strings.len() as u64;
            strings.extend_from_slice(s.name.as_bytes());
            strings.push(0);
            // Global function in section 1.
            put(
                &mut table,
                &[
                    (name, 4),
                    (0x12, 1),
                    (0, 1),
                    (1, 2),
                    (s.addr, 8),
                    (s.size, 8),
                ],
            );
        }
        out.resize(out.len().next_multiple_of(8), 0);
        let symbols_at = out.len() as u64;
        out.extend_from_slice(&table);
        let strings_at = out.len() as u64;
        out.extend_from_slice(&strings);
        out.resize(out.len().next_multiple_of(8), 0);
        let shoff = out.len() as u64;
        let mut headers = vec![0; SHDR];
        let mut count = 1;
        for (s, offset) in self
            .segments
            .iter()
            .zip(offsets)
            .filter(|(s, _)| s.flags & PF_X != 0)
        {
            section(
                &mut headers,
                [1, 1, 6, s.vaddr, *offset, s.data.len() as u64, 0, 0, 2, 0],
            );
            count += 1;
        }
        section(
            &mut headers,
            [
                7,
                2,
                0,
                0,
                symbols_at,
                table.len() as u64,
                count + 1,
                1,
                8,
                SYM as u64,
            ],
        );
        section(
            &mut headers,
            [15, 3, 0, 0, strings_at, strings.len() as u64, 0, 0, 1, 0],
        );
        out.extend_from_slice(&headers);
        (shoff, count + 2)
    }
}
