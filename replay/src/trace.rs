//! Opens a trace and finds its chunks.

use crate::compressed::{self, Decompressed};
use crate::mapping::FileBytes;
use hartlog_format::parse::{Chunk, Footer, Header, ParseError};
use hartlog_format::trace::{self, FOOTER_MAGIC, FileHeader, end};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

pub use crate::compressed::{CompressionError, CompressionErrorKind};

/// Why a trace could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is compressed, and what it decompresses to could not be stored.
    #[error("decompressed, in a file in {}: {source}", folder.display())]
    Temporary {
        /// Folder of the temporary file.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is compressed and damaged.
    #[error("{0}")]
    Compressed(#[from] CompressionError),
    /// The file is compressed, and longer than allowed without that.
    #[error("it decompresses to more than {limit} bytes")]
    TooLarge {
        /// Most bytes allowed.
        limit: u64,
    },
    /// The file is not a trace.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// A chunk is malformed.
    #[error("chunk {chunk}: {source}")]
    Chunk {
        /// Its number.
        chunk: u64,
        /// Why.
        source: ParseError,
    },
    /// The chunks are not one after another.
    #[error("chunk {chunk} at offset {offset:#x}: {what}")]
    Order {
        /// Number that the chunk should have.
        chunk: u64,
        /// File offset of the record.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The footer does not belong to the chunks.
    #[error("offset {offset:#x}: footer: {what}")]
    Footer {
        /// File offset of the footer.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// An opened trace: everything but the contents of the chunks is validated.
#[derive(Debug)]
pub struct Trace {
    bytes: FileBytes,
    offsets: Vec<u64>,
    complete: bool,
    /// Bytes after the last whole chunk of a trace without a footer.
    rest: u64,
    total_steps: u64,
    compressed_len: Option<u64>,
    damage: Option<CompressionError>,
}

impl Trace {
    /// Opens a trace file. One that is compressed with zstd is decompressed to a temporary file
    /// that has no name, as far as that is possible (see [`Trace::damage`]), if that takes no more
    /// than [`Trace::DECOMPRESSED_LIMIT`].
    ///
    /// # Errors
    /// [`TraceError`] when it cannot be read or is not a trace.
    pub fn open(path: &Path) -> Result<Trace, TraceError> {
        Trace::open_limited(path, Trace::DECOMPRESSED_LIMIT)
    }

    /// Most bytes that [`Trace::open`] decompresses a file to.
    pub const DECOMPRESSED_LIMIT: u64 = 1 << 36;

    /// [`Trace::open`] with another limit for what a compressed file may decompress to.
    ///
    /// # Errors
    /// [`TraceError`] when it cannot be read or is not a trace.
    pub fn open_limited(path: &Path, most: u64) -> Result<Trace, TraceError> {
        let io = |source| TraceError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(io)?;
        let mut head = Vec::new();
        let mut first = (&mut file).take(compressed::MAGIC_LEN as u64);
        first.read_to_end(&mut head).map_err(io)?;
        if !compressed::is_compressed(&head) {
            if !file.metadata().map_err(io)?.is_file() {
                // A pipe, or a device without end: all of it is read only if it is a trace.
                let rest = size_of::<FileHeader>().saturating_sub(head.len());
                let mut first = (&mut file).take(rest as u64);
                first.read_to_end(&mut head).map_err(io)?;
                if let Err(e @ (ParseError::Magic { .. } | ParseError::Version { .. })) =
                    Header::parse(&head)
                {
                    return Err(e.into());
                }
            }
            return Trace::new(FileBytes::of(&mut file, head).map_err(io)?);
        }
        let temporary = |source| TraceError::Temporary {
            folder: std::env::temp_dir(),
            source,
        };
        let result = compressed::decompress(head.chain(file), most);
        let mut result = result.map_err(|error| match error {
            compressed::Failed::Input(source) => io(source),
            compressed::Failed::Temporary(source) => temporary(source),
            compressed::Failed::TooLarge => TraceError::TooLarge { limit: most },
            compressed::Failed::NoTrace => ParseError::Magic {
                offset: 0,
                what: "trace",
            }
            .into(),
        })?;
        let start = result.file.rewind();
        let bytes = start.and_then(|()| FileBytes::of(&mut result.file, Vec::new()));
        Trace::decompressed(bytes.map_err(temporary)?, result)
    }

    /// Takes a trace from memory.
    ///
    /// # Errors
    /// [`TraceError`] when it is not a trace.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Trace, TraceError> {
        Trace::new(FileBytes::Owned(bytes))
    }

    fn new(bytes: FileBytes) -> Result<Trace, TraceError> {
        let header = Header::parse(&bytes)?;
        let footer = Footer::parse(&bytes, &header)?;
        let end = footer.map_or(bytes.len() as u64, |f| f.offset);
        let sound = bytes.len() as u64;
        let scan = scan(&bytes, &header, end, footer.is_some(), sound)?;
        if let Some(footer) = footer {
            agree(&footer, &scan)?;
        }
        let complete = footer.is_some();
        Ok(Trace::of(bytes, scan, complete))
    }

    /// Takes what a compressed trace decompressed to.
    fn decompressed(bytes: FileBytes, result: Decompressed) -> Result<Trace, TraceError> {
        let mut trace = match result.error {
            None => Trace::new(bytes)?,
            Some(error) => {
                // Without a header there is nothing.
                let Ok(header) = Header::parse(&bytes) else {
                    return Err(error.into());
                };
                let scan = scan(&bytes, &header, bytes.len() as u64, false, result.whole)?;
                let mut trace = Trace::of(bytes, scan, false);
                trace.damage = Some(error);
                trace
            }
        };
        trace.compressed_len = Some(result.compressed_len);
        Ok(trace)
    }

    fn of(bytes: FileBytes, scan: Scan, complete: bool) -> Trace {
        Trace {
            bytes,
            offsets: scan.offsets,
            complete,
            rest: scan.rest,
            total_steps: scan.total_steps,
            compressed_len: None,
            damage: None,
        }
    }

    /// The file header.
    ///
    /// # Errors
    /// None for an opened trace, unless the file changed meanwhile.
    pub fn header(&self) -> Result<Header<'_>, TraceError> {
        Ok(Header::parse(&self.bytes)?)
    }

    /// The footer; `None` if the trace is incomplete.
    ///
    /// # Errors
    /// None for an opened trace, unless the file changed meanwhile.
    pub fn footer(&self) -> Result<Option<Footer<'_>>, TraceError> {
        if !self.complete {
            return Ok(None);
        }
        Ok(Footer::parse(&self.bytes, &self.header()?)?)
    }

    /// Whether the run that wrote the trace ended; otherwise it was killed, or still runs.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Where a compressed file ends too early or is damaged: this trace is what comes before, and
    /// is incomplete.
    pub fn damage(&self) -> Option<&CompressionError> {
        self.damage.as_ref()
    }

    /// Bytes after the last whole chunk of an incomplete trace.
    pub fn rest(&self) -> u64 {
        self.rest
    }

    /// Steps retired in all chunks.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Size of the compressed file in bytes, if it is compressed.
    pub fn compressed_len(&self) -> Option<u64> {
        self.compressed_len
    }

    /// Size of the file in bytes, without compression.
    pub fn file_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Number of chunks.
    pub fn len(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// A chunk, without its checksum verified (see [`Chunk::verify`]).
    ///
    /// # Errors
    /// When there is no chunk of this number. Everything else was checked when the trace was
    /// opened.
    pub fn chunk(&self, index: u64) -> Result<Chunk<'_>, TraceError> {
        let offset = usize::try_from(index)
            .ok()
            .and_then(|i| self.offsets.get(i));
        let Some(offset) = offset else {
            return Err(TraceError::Order {
                chunk: index,
                offset: self.file_len(),
                what: "the trace has no such chunk",
            });
        };
        let chunk_steps = self.header()?.fixed.chunk_steps.get();
        Chunk::parse_unchecked(&self.bytes, *offset, chunk_steps).map_err(|source| {
            TraceError::Chunk {
                chunk: index,
                source,
            }
        })
    }
}

/// What a walk over the chunk records finds.
struct Scan {
    offsets: Vec<u64>,
    rest: u64,
    total_steps: u64,
    /// `end_kind` and `end_code` of the last chunk.
    last: Option<(u32, u32)>,
}

/// Walks over the records up to `end`. From `sound` on, what is not a chunk ends the walk.
fn scan(
    bytes: &[u8],
    header: &Header<'_>,
    end: u64,
    complete: bool,
    sound: u64,
) -> Result<Scan, TraceError> {
    let chunk_steps = header.fixed.chunk_steps.get();
    let mut scan = Scan {
        offsets: Vec::new(),
        rest: 0,
        total_steps: 0,
        last: None,
    };
    let mut at = header.end;
    while at < end {
        let index = scan.offsets.len() as u64;
        let order = |what| TraceError::Order {
            chunk: index,
            offset: at,
            what,
        };
        let rest = bytes.get(at as usize..).unwrap_or_default();
        // A killed run may leave a part of a record, or of the footer.
        if !complete && rest.starts_with(&FOOTER_MAGIC[..rest.len().min(8)]) {
            break;
        }
        let chunk = match Chunk::parse_unchecked(bytes, at, chunk_steps) {
            Ok(chunk) => chunk,
            Err(ParseError::Truncated { .. }) if !complete => break,
            Err(_) if at >= sound => break,
            Err(source) => {
                return Err(TraceError::Chunk {
                    chunk: index,
                    source,
                });
            }
        };
        if scan.last.is_some_and(|(kind, _)| kind != end::NEXT) {
            return Err(order("follows the last chunk of the run"));
        }
        if chunk.header.index.get() != index {
            return Err(order("has another number"));
        }
        let fault = chunk.header.end_kind.get() == end::FAULT;
        if fault && chunk.header.steps.get() == chunk_steps {
            // What comes after a full chunk is attempted in the next.
            return Err(order("is full and ends with a fault"));
        }
        if chunk.end > end {
            return Err(order("runs over into the footer"));
        }
        scan.offsets.push(at);
        scan.total_steps += chunk.header.steps.get();
        scan.last = Some((chunk.header.end_kind.get(), chunk.header.end_code.get()));
        at = chunk.end;
    }
    scan.rest = end - at;
    Ok(scan)
}

fn agree(footer: &Footer<'_>, scan: &Scan) -> Result<(), TraceError> {
    let fail = |what| {
        Err(TraceError::Footer {
            offset: footer.offset,
            what,
        })
    };
    if footer.len() != scan.offsets.len() {
        return fail("number of chunks differs from the chunks that are there");
    }
    if (0..footer.len()).any(|i| footer.chunk_offset(i) != scan.offsets.get(i).copied()) {
        return fail("offsets of the chunks differ from where they are");
    }
    if footer.fixed.total_steps != scan.total_steps {
        return fail("number of steps differs from the sum of the chunks");
    }
    let end = (footer.fixed.end_kind.get(), footer.fixed.end_code.get());
    if scan.last != Some(end) {
        return fail("end of the run differs from that of the last chunk");
    }
    Ok(())
}

/// Name of an [`end`] kind.
pub fn end_name(kind: u32) -> &'static str {
    match kind {
        trace::end::NEXT => "next",
        trace::end::EXIT => "exit",
        trace::end::FAULT => "fault",
        trace::end::STEP_LIMIT => "step limit",
        trace::end::MEMORY_LIMIT => "memory limit",
        _ => "unknown",
    }
}
