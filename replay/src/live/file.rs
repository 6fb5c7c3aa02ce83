//! The trace file of a live run, written by the consumer: the bytes that the program itself would
//! write.

use hartlog_format::parse::{Chunk, Header};
use hartlog_format::trace::*;
use std::fs::File;
use std::io::{self, IoSlice, Seek, Write};
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes;

/// Where and how to write the trace.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The file, pipe or device.
    pub path: PathBuf,
    /// Compress each chunk on its own, at this level of zstd.
    pub zstd: Option<i32>,
}

/// Why the trace cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("trace \"{}\" cannot be written: {source}; {chunks} chunks are in it", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
    /// Chunks that are in the file.
    pub chunks: u64,
}

/// A trace that is being written.
#[derive(Debug)]
pub(super) struct TraceFile {
    path: PathBuf,
    out: File,
    zstd: Option<i32>,
    header_checksum: u64,
    /// Offset of the next record in the trace, as it is without compression.
    offset: u64,
    /// The same in the file.
    file_offset: u64,
    chunks: Vec<u64>,
}

/// A record as one frame of zstd.
pub(super) fn frame(level: i32, parts: &[&[u8]]) -> io::Result<Vec<u8>> {
    let len = parts.iter().map(|p| p.len() as u64).sum();
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), level)?;
    encoder.set_pledged_src_size(Some(len))?;
    encoder.include_contentsize(true)?;
    for part in parts {
        encoder.write_all(part)?;
    }
    encoder.finish()
}

/// The parts of a chunk's record.
pub(super) fn parts<'a>(chunk: &'a Chunk<'_>) -> [&'a [u8]; 4] {
    let padding = pad8(chunk.log.len() as u64) as usize - chunk.log.len();
    [
        chunk.header.as_bytes(),
        chunk.log,
        &[0; 8][..padding],
        chunk.events,
    ]
}

impl TraceFile {
    /// Creates the file and writes its header, given by its bytes too.
    pub(super) fn create(
        to: &Destination,
        header: &Header<'_>,
        bytes: &[u8],
    ) -> Result<TraceFile, FileError> {
        let out = File::create(&to.path).map_err(|source| failed(&to.path, source, 0))?;
        let mut file = TraceFile {
            path: to.path.clone(),
            out,
            zstd: to.zstd,
            header_checksum: header.checksum,
            offset: 0,
            file_offset: 0,
            chunks: Vec::new(),
        };
        file.record(&[bytes], None)?;
        Ok(file)
    }

    /// The level of compression.
    pub(super) fn zstd(&self) -> Option<i32> {
        self.zstd
    }

    /// Size of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        self.file_offset
    }

    /// Writes the next chunk, of which `frame` is the compressed record, where there is
    /// compression.
    pub(super) fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        frame: Option<&[u8]>,
    ) -> Result<(), FileError> {
        let offset = self.offset;
        self.record(&parts(chunk), frame)?;
        self.chunks.push(offset);
        Ok(())
    }

    fn record(&mut self, parts: &[&[u8]], ready: Option<&[u8]>) -> Result<(), FileError> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let written = match (ready, self.zstd) {
            (Some(frame), _) => self.put(&[frame]),
            (None, Some(level)) => frame(level, parts).and_then(|frame| self.put(&[&frame])),
            (None, None) => self.put(parts),
        };
        match written {
            Ok(bytes) => {
                self.file_offset += bytes;
                self.offset += len as u64;
                Ok(())
            }
            Err(source) => {
                // What is written of a record that is not whole is cut off, where the file lets
                // that be done: a pipe's reader sees a chunk that ends too early.
                let _ = self.out.set_len(self.file_offset);
                let _ = self.out.seek(io::SeekFrom::Start(self.file_offset));
                Err(failed(&self.path, source, self.chunks.len() as u64))
            }
        }
    }

    /// Writes all parts; the number of bytes.
    fn put(&mut self, parts: &[&[u8]]) -> io::Result<u64> {
        let mut slices: Vec<IoSlice<'_>> = parts
            .iter()
            .filter(|p| !p.is_empty())
            .map(|p| IoSlice::new(p))
            .collect();
        let mut rest = &mut slices[..];
        let mut total = 0;
        while !rest.is_empty() {
            match self.out.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    total += n as u64;
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    /// Writes the footer; the size of the file.
    pub(super) fn finish(mut self, footer: &FooterHeader) -> Result<u64, FileError> {
        let mut covered = footer.as_bytes().to_vec();
        for offset in &self.chunks {
            covered.extend_from_slice(&offset.to_le_bytes());
        }
        let tail = FooterTail {
            checksum: checksum_after(self.header_checksum, &covered).into(),
            footer_offset: self.offset.into(),
            magic: TAIL_MAGIC,
        };
        self.record(&[&covered, tail.as_bytes()], None)?;
        Ok(self.file_offset)
    }
}

fn failed(path: &Path, source: io::Error, chunks: u64) -> FileError {
    FileError {
        path: path.to_owned(),
        source,
        chunks,
    }
}
