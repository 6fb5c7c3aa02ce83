//! Traces compressed with zstd: decompressed to a temporary file without a name.
//!
//! `replay run` writes each record as a frame of its own, but any frames will do. Damage does not
//! make what came before it useless: that is an incomplete trace.

use hartlog_format::trace::FILE_MAGIC;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::{DCtx, get_frame_content_size};

/// Where compressed data is not what a writer leaves, and in which way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compressed data, offset {offset:#x}, frame {frame}: {kind}")]
pub struct CompressionError {
    /// Number of the frame.
    pub frame: u64,
    /// File offset of the frame.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: CompressionErrorKind,
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionErrorKind {
    /// The file ends inside it, as that of a run that was killed does.
    #[error("the file ends inside the frame")]
    CutShort,
    /// It cannot be decompressed.
    #[error("{0}")]
    Damaged(String),
}

/// A trace that was decompressed as far as that is possible.
#[derive(Debug)]
pub(crate) struct Decompressed {
    /// A file that has no name.
    pub(crate) file: File,
    /// Bytes that whole frames decompressed to.
    pub(crate) whole: u64,
    /// Size of the compressed file.
    pub(crate) compressed_len: u64,
    /// Why there is no more.
    pub(crate) error: Option<CompressionError>,
}

/// Why nothing was decompressed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The file could not be read.
    Input(io::Error),
    /// The temporary file could not be written.
    Temporary(io::Error),
    /// What it decompresses to does not start as a trace.
    NoTrace,
    /// It decompresses to more than it may.
    TooLarge,
}

/// Bytes of a file that say that it is compressed.
pub(crate) const MAGIC_LEN: usize = 4;

/// Whether a file that starts so is compressed: with a frame, or one that is to be skipped.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    matches!(
        head,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// Counts what is read.
struct Counted<R> {
    from: R,
    at: u64,
    /// The first bytes of a frame.
    head: Vec<u8>,
}

/// The longest header of a frame.
const HEAD: usize = 18;

impl<R: BufRead> Counted<R> {
    /// The size that the frame says it has, once it was read.
    fn stated(&self) -> Option<u64> {
        get_frame_content_size(&self.head).ok().flatten()
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        let wanted = n.min(HEAD - self.head.len());
        // What is consumed is there.
        if wanted > 0
            && let Ok(bytes) = self.from.fill_buf()
        {
            self.head.extend_from_slice(&bytes[..wanted]);
        }
        self.from.consume(n);
        self.at += n as u64;
    }
}

/// Decompresses a file to the end, or to where it is damaged, but to `most` bytes only. What is not a
/// trace is left after the first bytes.
pub(crate) fn decompress(input: impl Read, most: u64) -> Result<Decompressed, Failed> {
    const BUFFER: usize = 1 << 20;
    let mut input = Counted {
        from: BufReader::with_capacity(BUFFER, input),
        at: 0,
        head: Vec::with_capacity(HEAD),
    };
    let mut file = tempfile::tempfile().map_err(Failed::Temporary)?;
    let mut context = DCtx::create();
    let mut buffer = vec![0; BUFFER];
    let (mut frame, mut len, mut whole) = (0, 0, 0);
    let mut error = None;
    'frames: while !at_end(&mut input).map_err(Failed::Input)? {
        let offset = input.at;
        input.head.clear();
        let mut decoder = Decoder::with_context(&mut input, &mut context).single_frame();
        loop {
            let n = match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.raw_os_error().is_some() => return Err(Failed::Input(e)),
                Err(e) => {
                    let kind = if e.kind() == io::ErrorKind::UnexpectedEof {
                        CompressionErrorKind::CutShort
                    } else {
                        CompressionErrorKind::Damaged(e.to_string())
                    };
                    error = Some(CompressionError {
                        frame,
                        offset,
                        kind,
                    });
                    break 'frames;
                }
            };
            let bytes = &buffer[..n];
            // Frames may be as small as a byte.
            let magic = FILE_MAGIC.get(len as usize..).unwrap_or_default();
            if !bytes.starts_with(&magic[..n.min(magic.len())]) {
                return Err(Failed::NoTrace);
            }
            if n as u64 > most - len {
                return Err(Failed::TooLarge);
            }
            file.write_all(bytes).map_err(Failed::Temporary)?;
            len += n as u64;
        }
        // The decoder compares them too, but not always: not if it gets the frame in pieces, and its last
        // block is empty.
        if input.stated().is_some_and(|size| size != len - whole) {
            let kind = CompressionErrorKind::Damaged("its size is not the stated one".to_owned());
            error = Some(CompressionError {
                frame,
                offset,
                kind,
            });
            break;
        }
        (frame, whole) = (frame + 1, len);
    }
    Ok(Decompressed {
        file,
        whole,
        compressed_len: input.at,
        error,
    })
}

fn at_end(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        match input.fill_buf() {
            Ok(bytes) => return Ok(bytes.is_empty()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
