//! Validating parser of traces. It trusts nothing: every length is checked before any slice, and
//! no input makes it panic, loop or allocate.

use crate::layout::{LOG_BYTES_PER_STEP, MAX_CHUNK_STEPS};
use crate::trace::*;
use core::fmt;
use core::mem::size_of;
use zerocopy::{FromBytes, IntoBytes};

/// Why bytes are not a trace (or not a whole one). `offset` is the file offset of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The bytes end inside the structure that starts at `offset`.
    Truncated {
        /// File offset of the structure.
        offset: u64,
        /// What was being read.
        what: &'static str,
    },
    /// A magic number is wrong.
    Magic {
        /// File offset of the structure.
        offset: u64,
        /// What was being read.
        what: &'static str,
    },
    /// The trace has another version.
    Version {
        /// Version found.
        found: u32,
    },
    /// A field holds a value that no trace holds.
    Field {
        /// File offset of the structure.
        offset: u64,
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A checksum does not match.
    Checksum {
        /// File offset of the structure.
        offset: u64,
        /// What was being read.
        what: &'static str,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ParseError::Truncated { offset, what } => {
                write!(f, "offset {offset:#x}: the bytes end inside the {what}")
            }
            ParseError::Magic { offset, what } => {
                write!(f, "offset {offset:#x}: not the start of a {what}")
            }
            ParseError::Version { found } => {
                write!(
                    f,
                    "format version {found}, this program reads version {VERSION}"
                )
            }
            ParseError::Field {
                offset,
                field,
                value,
            } => {
                write!(f, "offset {offset:#x}: {field} cannot be {value:#x}")
            }
            ParseError::Checksum { offset, what } => {
                write!(
                    f,
                    "offset {offset:#x}: checksum of the {what} does not match"
                )
            }
        }
    }
}

impl core::error::Error for ParseError {}

fn take<'a, T>(
    bytes: &'a [u8],
    offset: u64,
    what: &'static str,
) -> Result<(&'a T, &'a [u8]), ParseError>
where
    T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    let rest = usize::try_from(offset).ok().and_then(|o| bytes.get(o..));
    rest.and_then(|r| T::ref_from_prefix(r).ok())
        .ok_or(ParseError::Truncated { offset, what })
}

fn slice<'a>(
    bytes: &'a [u8],
    offset: u64,
    len: u64,
    what: &'static str,
) -> Result<&'a [u8], ParseError> {
    let error = ParseError::Truncated { offset, what };
    let start = usize::try_from(offset).map_err(|_| error)?;
    let end = usize::try_from(len)
        .ok()
        .and_then(|l| start.checked_add(l))
        .ok_or(error)?;
    bytes.get(start..end).ok_or(error)
}

fn require(ok: bool, offset: u64, field: &'static str, value: u64) -> Result<(), ParseError> {
    if ok {
        Ok(())
    } else {
        Err(ParseError::Field {
            offset,
            field,
            value,
        })
    }
}

/// A validated file header with its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The fixed part.
    pub fixed: &'a FileHeader,
    /// NUL-terminated strings.
    pub args: &'a [u8],
    /// Its checksum, the seed of the footer's.
    pub checksum: u64,
    /// File offset of the first chunk.
    pub end: u64,
}

impl<'a> Header<'a> {
    /// Parses the start of a trace.
    ///
    /// # Errors
    /// [`ParseError`] when the bytes are too few, are not a trace, or do not match their checksum.
    pub fn parse(bytes: &'a [u8]) -> Result<Header<'a>, ParseError> {
        const WHAT: &str = "file header";
        let (fixed, _) = take::<FileHeader>(bytes, 0, WHAT)?;
        if fixed.magic != FILE_MAGIC {
            return Err(ParseError::Magic {
                offset: 0,
                what: "trace",
            });
        }
        if fixed.version != VERSION {
            return Err(ParseError::Version {
                found: fixed.version.get(),
            });
        }
        let size = size_of::<FileHeader>() as u64;
        require(
            u64::from(fixed.header_len.get()) == size,
            0,
            "header_len",
            fixed.header_len.get().into(),
        )?;
        let args_len = fixed.args_len.get();
        let args = slice(bytes, size, args_len, "argument strings")?;
        let padded = slice(bytes, size, pad8(args_len), "argument strings")?;
        require(
            padded[args.len()..].iter().all(|b| *b == 0),
            size,
            "padding of the arguments",
            1,
        )?;
        let at = size + pad8(args_len);
        let (stored, _) = take::<zerocopy::little_endian::U64>(bytes, at, "header checksum")?;
        let checksum = header_checksum(fixed, args);
        if stored.get() != checksum {
            return Err(ParseError::Checksum {
                offset: 0,
                what: WHAT,
            });
        }
        require(fixed.xlen == 64, 0, "xlen", fixed.xlen.get().into())?;
        require(fixed.abi == ABI_LINUX, 0, "abi", fixed.abi.get().into())?;
        require(
            fixed.log_form == LOG_PACKED,
            0,
            "log_form",
            fixed.log_form.get().into(),
        )?;
        let steps = fixed.chunk_steps.get();
        require(
            (1..=MAX_CHUNK_STEPS).contains(&steps),
            0,
            "chunk_steps",
            steps,
        )?;
        require(
            args.last().is_none_or(|b| *b == 0),
            0,
            "end of the arguments",
            1,
        )?;
        let strings = args.iter().filter(|b| **b == 0).count() as u64;
        require(
            u64::from(fixed.argc.get()) <= strings,
            0,
            "argc",
            fixed.argc.get().into(),
        )?;
        require(fixed.reserved.iter().all(|b| *b == 0), 0, "reserved", 1)?;
        Ok(Header {
            fixed,
            args,
            checksum,
            end: at + 8,
        })
    }

    /// The argument strings, without their NULs.
    pub fn arguments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        strings(self.args).take(self.fixed.argc.get() as usize)
    }

    /// The environment strings, without their NULs.
    pub fn environment(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        strings(self.args).skip(self.fixed.argc.get() as usize)
    }
}

fn strings(blob: &[u8]) -> impl Iterator<Item = &[u8]> {
    blob.split_inclusive(|b| *b == 0).map(|s| &s[..s.len() - 1])
}

/// Checks the fields of a chunk's header. `offset` is told in errors, `chunk_steps` is that of the
/// file header.
///
/// # Errors
/// [`ParseError`] when no chunk has such a header.
pub fn check_chunk_header(
    header: &ChunkHeader,
    offset: u64,
    chunk_steps: u64,
) -> Result<(), ParseError> {
    if header.magic != CHUNK_MAGIC {
        return Err(ParseError::Magic {
            offset,
            what: "chunk",
        });
    }
    let size = size_of::<ChunkHeader>() as u64;
    require(
        u64::from(header.header_len.get()) == size,
        offset,
        "header_len",
        header.header_len.get().into(),
    )?;
    let steps = header.steps.get();
    require(steps <= chunk_steps, offset, "steps", steps)?;
    let first = header.index.get().checked_mul(chunk_steps);
    require(
        first == Some(header.first_step.get()),
        offset,
        "first_step",
        header.first_step.get(),
    )?;
    require(
        first.and_then(|f| f.checked_add(steps)).is_some(),
        offset,
        "steps",
        steps,
    )?;
    let kind = header.end_kind.get();
    require(kind <= end::MEMORY_LIMIT, offset, "end_kind", kind.into())?;
    require(
        kind != end::NEXT || steps == chunk_steps,
        offset,
        "steps",
        steps,
    )?;
    let code = header.end_code.get();
    let code_ok = match kind {
        end::EXIT => code <= 255,
        end::FAULT => crate::status::FaultKind::from_code(code).is_some(),
        _ => code == 0,
    };
    require(code_ok, offset, "end_code", code.into())?;
    let value = header.end_value.get();
    let has_value = matches!(kind, end::FAULT | end::MEMORY_LIMIT);
    require(has_value || value == 0, offset, "end_value", value)?;
    let (log_len, events_len) = (header.log_len.get(), header.events_len.get());
    // At most 2^32 steps of 8 bytes: no overflow below.
    require(
        log_len <= steps * LOG_BYTES_PER_STEP,
        offset,
        "log_len",
        log_len,
    )?;
    require(events_len % 8 == 0, offset, "events_len", events_len)?;
    Ok(())
}

/// A validated chunk record.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The fixed part.
    pub header: &'a ChunkHeader,
    /// The read log.
    pub log: &'a [u8],
    /// All that is in memory from the start of the log on. Whoever reads the log without a look at
    /// its end must stay in here.
    pub room: &'a [u8],
    /// The host events.
    pub events: &'a [u8],
    /// File offset of the record.
    pub offset: u64,
    /// File offset just after the record.
    pub end: u64,
}

impl<'a> Chunk<'a> {
    /// Parses the record at `offset` and checks its checksum. `chunk_steps` is that of the file
    /// header.
    ///
    /// # Errors
    /// [`ParseError`] when the record is cut short, malformed, or does not match its checksum.
    pub fn parse(bytes: &'a [u8], offset: u64, chunk_steps: u64) -> Result<Chunk<'a>, ParseError> {
        let chunk = Chunk::parse_unchecked(bytes, offset, chunk_steps)?;
        chunk.verify()?;
        Ok(chunk)
    }

    /// Like [`Chunk::parse`], without the checksum (call [`Chunk::verify`] later, in parallel).
    ///
    /// # Errors
    /// [`ParseError`] when the record is cut short or malformed.
    pub fn parse_unchecked(
        bytes: &'a [u8],
        offset: u64,
        chunk_steps: u64,
    ) -> Result<Chunk<'a>, ParseError> {
        let (header, _) = take::<ChunkHeader>(bytes, offset, "chunk header")?;
        check_chunk_header(header, offset, chunk_steps)?;
        let (log_len, events_len) = (header.log_len.get(), header.events_len.get());
        let size = size_of::<ChunkHeader>() as u64;
        let log_at = offset + size;
        let log = slice(bytes, log_at, log_len, "read log")?;
        let room = usize::try_from(log_at).ok().and_then(|at| bytes.get(at..));
        let padded = slice(bytes, log_at, pad8(log_len), "read log")?;
        require(
            padded[log.len()..].iter().all(|b| *b == 0),
            offset,
            "padding of the log",
            1,
        )?;
        let events_at = log_at + pad8(log_len);
        let events = slice(bytes, events_at, events_len, "host events")?;
        Ok(Chunk {
            header,
            log,
            room: room.unwrap_or(log),
            events,
            offset,
            end: events_at + events_len,
        })
    }

    /// Checks the checksum.
    ///
    /// # Errors
    /// [`ParseError::Checksum`].
    pub fn verify(&self) -> Result<(), ParseError> {
        if chunk_checksum(self.header, self.log, self.events) == self.header.checksum.get() {
            Ok(())
        } else {
            Err(ParseError::Checksum {
                offset: self.offset,
                what: "chunk",
            })
        }
    }

    /// The host events, in order of their steps.
    pub fn events(&self) -> Events<'a> {
        Events {
            bytes: self.events,
            at: 0,
        }
    }
}

/// A host event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The fixed part.
    pub header: EventHeader,
    ranges: &'a [u8],
}

/// Memory touched by an environment call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// Guest address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// One of [`range`].
    pub kind: u32,
    /// The bytes; empty for [`range::ZEROED`].
    pub data: &'a [u8],
}

/// Iterator over the host events of a chunk. After an error it ends.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> Events<'a> {
    /// Iterates over raw bytes of events.
    pub fn new(bytes: &'a [u8]) -> Events<'a> {
        Events { bytes, at: 0 }
    }

    fn parse(&mut self) -> Result<Event<'a>, ParseError> {
        let start = self.at;
        let (header, _) = take::<EventHeader>(self.bytes, start, "host event")?;
        require(
            header.reserved == 0,
            start,
            "reserved",
            header.reserved.get().into(),
        )?;
        let first = start + size_of::<EventHeader>() as u64;
        let mut at = first;
        for _ in 0..header.ranges.get() {
            at = parse_range(self.bytes, at)?.1;
        }
        self.at = at;
        let ranges = slice(self.bytes, first, at - first, "host event")?;
        Ok(Event {
            header: *header,
            ranges,
        })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() as u64 {
            return None;
        }
        let event = self.parse();
        if event.is_err() {
            self.at = self.bytes.len() as u64;
        }
        Some(event)
    }
}

impl<'a> Event<'a> {
    /// The memory that the call touched.
    pub fn ranges(&self) -> impl Iterator<Item = Range<'a>> + use<'a> {
        let bytes = self.ranges;
        let mut at = 0;
        core::iter::from_fn(move || {
            if at >= bytes.len() as u64 {
                return None;
            }
            // Parsed once already by `Events`.
            let (range, next) = parse_range(bytes, at).ok()?;
            at = next;
            Some(range)
        })
    }
}

fn parse_range(bytes: &[u8], at: u64) -> Result<(Range<'_>, u64), ParseError> {
    let (header, _) = take::<RangeHeader>(bytes, at, "range of a host event")?;
    let (addr, len, kind) = (header.addr.get(), header.len.get(), header.kind.get());
    require(kind <= range::ZEROED, at, "kind", kind.into())?;
    require(
        header.reserved == 0,
        at,
        "reserved",
        header.reserved.get().into(),
    )?;
    let inside = addr
        .checked_add(len)
        .is_some_and(|e| e <= crate::layout::WINDOW_END);
    require(inside, at, "len", len)?;
    let data_at = at + size_of::<RangeHeader>() as u64;
    let stored = if kind == range::ZEROED { 0 } else { len };
    let data = slice(bytes, data_at, stored, "bytes of a host event")?;
    let padded = slice(bytes, data_at, pad8(stored), "bytes of a host event")?;
    require(
        padded[data.len()..].iter().all(|b| *b == 0),
        at,
        "padding",
        1,
    )?;
    Ok((
        Range {
            addr,
            len,
            kind,
            data,
        },
        data_at + pad8(stored),
    ))
}

/// A validated footer.
#[derive(Clone, Copy, Debug)]
pub struct Footer<'a> {
    /// The fixed part.
    pub fixed: &'a FooterHeader,
    /// File offset of the footer; the chunks end here.
    pub offset: u64,
    offsets: &'a [u8],
}

impl<'a> Footer<'a> {
    /// Parses the footer at the end of a trace; `Ok(None)` when there is none, that is, when the
    /// run that wrote it was cut short.
    ///
    /// # Errors
    /// [`ParseError`] when there is a footer and it is malformed.
    pub fn parse(bytes: &'a [u8], header: &Header<'_>) -> Result<Option<Footer<'a>>, ParseError> {
        const WHAT: &str = "footer";
        let len = bytes.len() as u64;
        let tail_size = size_of::<FooterTail>() as u64;
        let Some(tail_at) = len.checked_sub(tail_size) else {
            return Ok(None);
        };
        let (tail, _) = take::<FooterTail>(bytes, tail_at, WHAT)?;
        if tail.magic != TAIL_MAGIC {
            return Ok(None);
        }
        let offset = tail.footer_offset.get();
        require(
            offset >= header.end && offset <= tail_at,
            tail_at,
            "footer_offset",
            offset,
        )?;
        let (fixed, _) = take::<FooterHeader>(bytes, offset, WHAT)?;
        if fixed.magic != FOOTER_MAGIC {
            return Err(ParseError::Magic { offset, what: WHAT });
        }
        let offsets_at = offset + size_of::<FooterHeader>() as u64;
        let chunks = fixed.chunks.get();
        let expected = chunks
            .checked_mul(8)
            .and_then(|n| n.checked_add(offsets_at));
        require(expected == Some(tail_at), offset, "chunks", chunks)?;
        let offsets = slice(bytes, offsets_at, chunks * 8, WHAT)?;
        let covered = slice(bytes, offset, tail_at - offset, WHAT)?;
        if checksum_after(header.checksum, covered) != tail.checksum.get() {
            return Err(ParseError::Checksum { offset, what: WHAT });
        }
        let kind = fixed.end_kind.get();
        require(
            (end::EXIT..=end::MEMORY_LIMIT).contains(&kind),
            offset,
            "end_kind",
            kind.into(),
        )?;
        Ok(Some(Footer {
            fixed,
            offset,
            offsets,
        }))
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.offsets.len() / 8
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// File offset of a chunk's record.
    pub fn chunk_offset(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(8)?;
        let bytes = self.offsets.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// Builds the bytes of an event header.
pub fn event_header(step: u64, result: u64, ranges: u32) -> [u8; size_of::<EventHeader>()] {
    let header = EventHeader {
        step: step.into(),
        result: result.into(),
        ranges: ranges.into(),
        reserved: 0.into(),
    };
    let mut out = [0; size_of::<EventHeader>()];
    out.copy_from_slice(header.as_bytes());
    out
}

/// Builds the bytes of a range header.
pub fn range_header(addr: u64, len: u64, kind: u32) -> [u8; size_of::<RangeHeader>()] {
    let header = RangeHeader {
        addr: addr.into(),
        len: len.into(),
        kind: kind.into(),
        reserved: 0.into(),
    };
    let mut out = [0; size_of::<RangeHeader>()];
    out.copy_from_slice(header.as_bytes());
    out
}
