//! Compressed traces: what they decompress to is read as if it had not been compressed; nothing else
//! is.
//!
//! An input is a list of parts of a file. A part is a letter, a number of 16 bits and so many bytes,
//! or what the number says. So a mutant has frames that are whole, and others that lie.

use crate::seeds;
use crate::trace::{Verdict, judge};
use hartlog_format::parse::ParseError;
use hartlog_format::trace::FILE_MAGIC;
use replay::program::Program;
use replay::trace::{CompressionErrorKind, Trace, TraceError};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use zerocopy::IntoBytes;
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

/// What the frames of one input may decompress to: more than the reader's buffers, but most of the time goes
/// into writing it.
const MOST: usize = 2 << 20;
/// What frames that were not made here may decompress to.
const LARGE: usize = 128 << 20;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A block of a frame: the most that it may hold, and its types.
const BLOCK: usize = 128 << 10;
const RAW: u32 = 0;
const REPEATED: u32 = 1;

/// What a part of a file is.
pub mod part {
    /// These bytes, as a frame.
    pub const FRAME: u8 = b'f';
    /// The same, with its size and a checksum.
    pub const SIZED: u8 = b's';
    /// These bytes, as they are.
    pub const PLAIN: u8 = b'p';
    /// A record of a trace, as a frame: the header, a chunk, or the footer.
    pub const RECORD: u8 = b'r';
    /// A whole trace, as a frame.
    pub const TRACE: u8 = b't';
    /// A frame that is to be skipped.
    pub const NOTE: u8 = b'n';
    /// The same, of a size that is not there.
    pub const LONG_NOTE: u8 = b'l';
    /// Blocks of one byte that is repeated.
    pub const BOMB: u8 = b'b';
    /// A frame that says that it is larger or smaller than it is.
    pub const LIE: u8 = b'i';
    /// A frame that asks for a window of another size.
    pub const WINDOW: u8 = b'w';
    /// So many bytes less of what is there.
    pub const CUT: u8 = b'c';
    /// A bit of what is there.
    pub const FLIP: u8 = b'x';
}

/// A file, and what it decompresses to, where that is known: nothing in it lies.
struct Made {
    file: Vec<u8>,
    plain: Option<Vec<u8>>,
    /// Bytes that frames are still allowed to have.
    left: usize,
}

impl Made {
    fn frame(&mut self, bytes: &[u8], level: i32, sized: bool) {
        let memory = "into memory";
        let mut encoder = zstd::Encoder::new(Vec::new(), level).expect(memory);
        if sized {
            let size = Some(bytes.len() as u64);
            encoder.set_pledged_src_size(size).expect(memory);
            encoder.include_checksum(true).expect(memory);
        }
        encoder.write_all(bytes).expect(memory);
        self.file.extend(encoder.finish().expect(memory));
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.left = self.left.saturating_sub(bytes.len());
        if let Some(plain) = &mut self.plain {
            plain.extend_from_slice(bytes);
        }
    }

    /// A block of a frame.
    fn block(&mut self, kind: u32, size: usize, last: bool, contents: &[u8]) {
        let header = (size as u32) << 3 | kind << 1 | u32::from(last);
        self.file.extend_from_slice(&header.to_le_bytes()[..3]);
        self.file.extend_from_slice(contents);
    }

    /// A frame of blocks of one byte.
    fn bomb(&mut self, blocks: usize, byte: u8) {
        // No size, no checksum; a window of 128 KiB.
        self.file.extend_from_slice(&MAGIC);
        self.file.extend_from_slice(&[0, 7 << 3]);
        for _ in 0..blocks {
            self.block(REPEATED, BLOCK, false, &[byte]);
            self.add(&[byte; BLOCK]);
        }
        self.block(RAW, 0, true, &[]);
    }

    fn part(&mut self, kind: u8, number: u16, bytes: &[u8], traces: &[Vec<Vec<u8>>]) {
        let [low, high] = number.to_le_bytes();
        match kind {
            part::FRAME => self.frame(bytes, i32::from(high & 3), false),
            part::SIZED => self.frame(bytes, i32::from(high & 3), true),
            part::PLAIN => {
                self.file.extend_from_slice(bytes);
                self.plain = None;
            }
            part::RECORD => {
                let trace = &traces[usize::from(high) % traces.len()];
                let record = trace[usize::from(low) % trace.len()].clone();
                self.frame(&record, 1, high & 0x80 != 0);
            }
            part::TRACE => {
                let trace = traces[usize::from(high) % traces.len()].concat();
                self.frame(&trace, 1, high & 0x80 != 0);
            }
            part::NOTE | part::LONG_NOTE => {
                self.file
                    .extend_from_slice(&[0x50 | low & 0xf, 0x2a, 0x4d, 0x18]);
                let mut len = bytes.len() as u32;
                if kind == part::LONG_NOTE {
                    len = len.wrapping_add(1).wrapping_mul(u32::from(high) << 16 | 1);
                    self.plain = None;
                }
                self.file.extend_from_slice(&len.to_le_bytes());
                self.file.extend_from_slice(bytes);
            }
            part::BOMB => self.bomb((self.left / BLOCK).min(low.into()), high),
            part::LIE => {
                // All in one segment, the size in 8 bytes.
                self.file.extend_from_slice(&MAGIC);
                self.file.push(0b1110_0000);
                let size = (bytes.len() as u64 + u64::from(low)) << (high & 63);
                self.file.extend_from_slice(&size.to_le_bytes());
                self.block(RAW, bytes.len(), true, bytes);
                self.plain = None;
            }
            part::WINDOW => {
                self.file.extend_from_slice(&MAGIC);
                self.file.extend_from_slice(&[0, high]);
                self.block(RAW, bytes.len(), true, bytes);
                self.plain = None;
            }
            part::CUT => {
                let len = self.file.len().saturating_sub(number.into());
                self.file.truncate(len);
                self.plain = None;
            }
            part::FLIP => {
                let len = self.file.len();
                if let Some(at) = len.checked_sub(1 + usize::from(number >> 3)) {
                    self.file[at] ^= 1 << (number & 7);
                }
                self.plain = None;
            }
            _ => {}
        }
    }
}

/// The file that an input stands for.
fn make(data: &[u8], traces: &[Vec<Vec<u8>>]) -> Made {
    let mut made = Made {
        file: Vec::new(),
        plain: Some(Vec::new()),
        left: MOST,
    };
    let mut rest = data;
    while let Some((&[kind, low, high], after)) = rest.split_first_chunk() {
        let number = u16::from_le_bytes([low, high]);
        let has_bytes = matches!(
            kind,
            part::FRAME
                | part::SIZED
                | part::PLAIN
                | part::NOTE
                | part::LONG_NOTE
                | part::LIE
                | part::WINDOW
        );
        let len = if has_bytes { usize::from(low) } else { 0 };
        let (bytes, after) = after.split_at(len.min(after.len()));
        rest = after;
        if made.left > 0 {
            made.part(kind, number, bytes, traces);
        }
    }
    made
}

/// A trace from a file without a name.
fn open(bytes: &[u8]) -> Result<Trace, TraceError> {
    let fine = "there is room in memory";
    let name = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(name.expect(fine));
    file.write_all(bytes).expect(fine);
    Trace::open(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref())
}

/// What another reader makes of a file, and whether it finds nothing wrong.
fn decompress(file: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let len = find_frame_compressed_size(rest);
        let (frame, after) = rest.split_at(len.unwrap_or(rest.len()));
        let decoder = zstd::Decoder::with_buffer(frame).expect("a decoder");
        let start = out.len();
        // Frames that were not made here may be large, too.
        let most = (LARGE - start) as u64;
        let result = decoder.single_frame().take(most).read_to_end(&mut out);
        let size = (out.len() - start) as u64;
        // A decoder need not notice this.
        let lies = get_frame_content_size(frame).is_ok_and(|s| s.is_some_and(|s| s != size));
        if len.is_err() || result.is_err() || lies {
            return (out, false);
        }
        rest = after;
    }
    (out, true)
}

/// Everything that is in the chunks.
fn records(trace: &Trace) -> Vec<u8> {
    let mut all = Vec::new();
    for index in 0..trace.len() {
        let chunk = trace.chunk(index).expect("it is there");
        all.extend_from_slice(chunk.header.as_bytes());
        all.extend_from_slice(chunk.log);
        all.extend_from_slice(chunk.events);
    }
    all
}

/// Opens a compressed trace and checks it. The first byte says how.
///
/// # Panics
/// If it is not read as what it decompresses to, or accepted though no run of the program writes
/// it.
pub fn compressed(data: &[u8]) -> Verdict {
    static SEEDS: OnceLock<(Program, Vec<Vec<Vec<u8>>>)> = OnceLock::new();
    let (program, traces) = SEEDS.get_or_init(seeds::records);
    let Some((choice, data)) = data.split_first() else {
        return Verdict::Rejected;
    };
    let made = make(data, traces);
    let starts_so = |magic: &[u8]| made.file.starts_with(magic);
    let note = made.file.len() >= 4 && made.file[1..4] == [0x2a, 0x4d, 0x18];
    if !(starts_so(&MAGIC) || note && made.file[0] >> 4 == 5) {
        // Not compressed: target `trace` has those.
        return Verdict::Rejected;
    }
    let (plain, whole) = decompress(&made.file);
    if let Some(made) = made.plain {
        assert!(whole && made == plain, "frames are what was put into them");
    }
    let opened = open(&made.file);
    let wanted = Trace::from_bytes(plain.clone());
    let trace = match (opened, &wanted) {
        // Left at the first bytes that are not those of a trace.
        (Err(error), Err(_)) if !FILE_MAGIC.starts_with(&plain[..plain.len().min(8)]) => {
            // Of a frame whose checksum is wrong a reader may get nothing at all.
            let damaged = !whole && matches!(error, TraceError::Compressed(_));
            assert!(damaged || matches!(error, TraceError::Parse(ParseError::Magic { .. })));
            return Verdict::Rejected;
        }
        (Err(error), Err(wanted)) if whole => {
            assert_eq!(error.to_string(), wanted.to_string());
            return Verdict::Rejected;
        }
        (Err(error), _) => {
            assert!(!whole, "{error}, though it is whole");
            return Verdict::Rejected;
        }
        (Ok(trace), _) => trace,
    };
    if !whole {
        assert!(!trace.is_complete(), "a part is not the whole");
        let damage = trace.damage().expect("something is wrong");
        assert!(damage.offset <= made.file.len() as u64);
        let cut = damage.kind == CompressionErrorKind::CutShort;
        assert!(cut || !damage.to_string().is_empty());
        for index in 0..trace.len() {
            let chunk = trace.chunk(index).expect("it is there");
            let bytes = plain.get(chunk.offset as usize..chunk.end as usize);
            assert!(bytes.is_some_and(|b| b.starts_with(chunk.header.as_bytes())));
        }
        return judge(program, &trace, &plain, *choice);
    }
    let wanted = wanted.expect("it is a trace where it is compressed");
    assert!(trace.damage().is_none());
    assert_eq!(trace.compressed_len(), Some(made.file.len() as u64));
    assert_eq!(trace.file_len(), plain.len() as u64);
    assert_eq!(trace.is_complete(), wanted.is_complete());
    assert!(records(&trace) == records(&wanted));
    judge(program, &trace, &plain, *choice)
}
