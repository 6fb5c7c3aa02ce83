//! What an attacker does to a trace: parts moved about, and everything made to fit again.

use hartlog_format::trace::{
    CHUNK_MAGIC, ChunkHeader, FileHeader, FooterHeader, FooterTail, TAIL_MAGIC, checksum_after,
    chunk_checksum, header_checksum, pad8,
};
use replay::trace::Trace;
use std::mem::offset_of;
use zerocopy::{FromBytes, IntoBytes};

/// The chunk records of a trace.
///
/// # Panics
/// If it is not one.
pub fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let trace = Trace::from_bytes(bytes.to_vec()).expect("a trace");
    (0..trace.len())
        .map(|i| {
            let chunk = trace.chunk(i).expect("it is there");
            bytes[chunk.offset as usize..chunk.end as usize].to_vec()
        })
        .collect()
}

/// The trace with other records: numbered anew, with a footer and checksums that fit. What the
/// footer says of the output stays.
///
/// # Panics
/// If it is not a trace.
pub fn assemble(bytes: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let trace = Trace::from_bytes(bytes.to_vec()).expect("a trace");
    let header = trace.header().expect("it has one");
    let steps = header.fixed.chunk_steps.get();
    let mut footer = *trace
        .footer()
        .expect("it is whole")
        .expect("it is whole")
        .fixed;
    let mut out = bytes[..header.end as usize].to_vec();
    let (mut offsets, mut total) = (Vec::new(), 0);
    for (index, record) in (0u64..).zip(records) {
        let (mut chunk, rest) = ChunkHeader::read_from_prefix(record).expect("a record");
        chunk.index = index.into();
        chunk.first_step = (index * steps).into();
        offsets.extend((out.len() as u64).to_le_bytes());
        out.extend(chunk.as_bytes());
        out.extend(rest);
        total += chunk.steps.get();
        footer.end_kind = chunk.end_kind;
        footer.end_code = chunk.end_code;
    }
    footer.chunks = (records.len() as u64).into();
    footer.total_steps = total.into();
    let tail = FooterTail {
        checksum: 0.into(),
        footer_offset: (out.len() as u64).into(),
        magic: TAIL_MAGIC,
    };
    out.extend(FooterHeader::as_bytes(&footer));
    out.extend(offsets);
    out.extend(tail.as_bytes());
    let _ = repair(&mut out);
    out
}

fn len_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
    let len = usize::try_from(u64::from_le_bytes(field)).ok()?;
    (len <= bytes.len()).then_some(len)
}

/// Makes all checksums right, as far as the structure can be followed.
pub fn repair(bytes: &mut [u8]) -> Option<()> {
    let padded = |len: usize| pad8(len as u64) as usize;
    let args_len = len_at(bytes, offset_of!(FileHeader, args_len))?;
    let args_at = size_of::<FileHeader>();
    let (header, _) = FileHeader::read_from_prefix(bytes).ok()?;
    let seed = header_checksum(&header, bytes.get(args_at..args_at + args_len)?);
    let mut at = args_at + padded(args_len);
    let field = bytes.get_mut(at..at + 8)?;
    field.copy_from_slice(&seed.to_le_bytes());
    at += 8;
    while bytes.get(at..at + 4) == Some(&CHUNK_MAGIC) {
        let (header, _) = ChunkHeader::read_from_prefix(&bytes[at..]).ok()?;
        let log_len = len_at(bytes, at + offset_of!(ChunkHeader, log_len))?;
        let events_len = len_at(bytes, at + offset_of!(ChunkHeader, events_len))?;
        let log_at = at + size_of::<ChunkHeader>();
        let events_at = log_at + padded(log_len);
        let log = bytes.get(log_at..log_at + log_len)?;
        let events = bytes.get(events_at..events_at + events_len)?;
        let sum = chunk_checksum(&header, log, events);
        let field = at + offset_of!(ChunkHeader, checksum);
        bytes[field..field + 8].copy_from_slice(&sum.to_le_bytes());
        at = events_at + events_len;
    }
    let tail = bytes.len().checked_sub(size_of::<FooterTail>())?;
    let sum = checksum_after(seed, bytes.get(at..tail)?);
    let field = tail + offset_of!(FooterTail, checksum);
    bytes[field..field + 8].copy_from_slice(&sum.to_le_bytes());
    Some(())
}
