//! Writes a trace to a file or a pipe.

use hartlog_format::trace::*;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use zerocopy::IntoBytes;

/// What a trace says about the run as a whole.
#[derive(Clone, Copy, Debug)]
pub struct RunHeader<'a> {
    /// Retired instructions in a chunk.
    pub chunk_steps: u64,
    /// SHA-256 of the ELF file.
    pub elf_sha256: [u8; 32],
    /// Arguments, from argv\[0\] on.
    pub args: &'a [Vec<u8>],
    /// Environment.
    pub env: &'a [Vec<u8>],
}

/// State at the start of a chunk.
#[derive(Clone, Debug)]
pub struct ChunkStart {
    /// Number of the chunk.
    pub index: u64,
    /// Steps retired before it.
    pub first_step: u64,
    /// pc.
    pub pc: u64,
    /// x0 to x31.
    pub x: [u64; 32],
    /// Reserved address, `u64::MAX` = none.
    pub reservation: u64,
}

/// How a chunk or a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEnd {
    /// One of [`end`].
    pub kind: u32,
    /// Exit status or fault kind.
    pub code: u32,
    /// pc of the next instruction, or of the one that faulted.
    pub pc: u64,
    /// Address or raw instruction of a fault.
    pub value: u64,
}

/// Writes the records of a trace one after another. Dropping it before [`TraceWriter::finish`]
/// leaves an incomplete trace, as a killed run does.
pub struct TraceWriter<W> {
    out: W,
    offset: u64,
    header_checksum: u64,
    chunks: Vec<u64>,
    total_steps: u64,
    last: Option<ChunkEnd>,
    output: Sha256,
    output_len: u64,
}

impl<W: Write> TraceWriter<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(out: W, run: &RunHeader<'_>) -> io::Result<TraceWriter<W>> {
        let mut args = Vec::new();
        for string in run.args.iter().chain(run.env) {
            args.extend_from_slice(string);
            args.push(0);
        }
        let header = FileHeader {
            magic: FILE_MAGIC,
            version: VERSION.into(),
            header_len: (size_of::<FileHeader>() as u32).into(),
            xlen: 64.into(),
            abi: ABI_LINUX.into(),
            isa: ISA.into(),
            chunk_steps: run.chunk_steps.into(),
            elf_sha256: run.elf_sha256,
            log_form: LOG_PACKED.into(),
            argc: (run.args.len() as u32).into(),
            args_len: (args.len() as u64).into(),
            reserved: [0; 32],
        };
        let header_checksum = header_checksum(&header, &args);
        let mut writer = TraceWriter {
            out,
            offset: 0,
            header_checksum,
            chunks: Vec::new(),
            total_steps: 0,
            last: None,
            output: Sha256::new(),
            output_len: 0,
        };
        writer.put(header.as_bytes())?;
        writer.put_padded(&args)?;
        writer.put(&header_checksum.to_le_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn put_padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)?;
        let padding = pad8(self.offset) - self.offset;
        self.put(&[0; 8][..padding as usize])
    }

    /// Notes bytes that the guest wrote to its standard output or error.
    pub fn output(&mut self, bytes: &[u8]) {
        self.output.update(bytes);
        self.output_len += bytes.len() as u64;
    }

    /// Writes a chunk.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn chunk(
        &mut self,
        start: &ChunkStart,
        steps: u64,
        end: ChunkEnd,
        log: &[u8],
        events: &[u8],
    ) -> io::Result<()> {
        let mut header = ChunkHeader {
            magic: CHUNK_MAGIC,
            header_len: (size_of::<ChunkHeader>() as u32).into(),
            index: start.index.into(),
            first_step: start.first_step.into(),
            steps: steps.into(),
            start_pc: start.pc.into(),
            regs: std::array::from_fn(|i| start.x[i + 1].into()),
            reservation: start.reservation.into(),
            end_kind: end.kind.into(),
            end_code: end.code.into(),
            end_pc: end.pc.into(),
            end_value: end.value.into(),
            log_len: (log.len() as u64).into(),
            events_len: (events.len() as u64).into(),
            checksum: 0.into(),
        };
        header.checksum = chunk_checksum(&header, log, events).into();
        self.chunks.push(self.offset);
        self.total_steps += steps;
        self.last = Some(end);
        self.put(header.as_bytes())?;
        self.put_padded(log)?;
        self.put(events)
    }

    /// Writes the footer and flushes. How the run ended is what the last chunk said.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> io::Result<W> {
        let last = self.last.unwrap_or(ChunkEnd {
            kind: end::STEP_LIMIT,
            code: 0,
            pc: 0,
            value: 0,
        });
        let header = FooterHeader {
            magic: FOOTER_MAGIC,
            chunks: (self.chunks.len() as u64).into(),
            total_steps: self.total_steps.into(),
            end_kind: last.kind.into(),
            end_code: last.code.into(),
            output_len: self.output_len.into(),
            output_sha256: std::mem::take(&mut self.output).finalize().into(),
        };
        let footer_offset = self.offset;
        let mut covered = header.as_bytes().to_vec();
        for offset in &self.chunks {
            covered.extend_from_slice(&offset.to_le_bytes());
        }
        let tail = FooterTail {
            checksum: checksum_after(self.header_checksum, &covered).into(),
            footer_offset: footer_offset.into(),
            magic: TAIL_MAGIC,
        };
        self.put(&covered)?;
        self.put(tail.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}
