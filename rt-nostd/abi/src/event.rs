//! Writing host events through a [`Host`].

use crate::{Host, MAX_TRANSFER, transfer::MAX_IOV};
use core::mem::size_of;
use hartlog_format::parse::{event_header, range_header};
use hartlog_format::trace::{EventHeader, RangeHeader, range};

/// Most bytes that the event of one call takes: a vectored transfer with as many buffers as there
/// may be, each padded, and the list of buffers.
pub const MAX_EVENT_BYTES: u64 = size_of::<EventHeader>() as u64
    + (MAX_IOV + 1) * (size_of::<RangeHeader>() as u64 + 8)
    + MAX_IOV * 16
    + MAX_TRANSFER;

/// Starts an event; `ranges` ranges must follow.
pub(crate) fn begin<H: Host>(
    host: &mut H,
    step: u64,
    result: u64,
    ranges: u32,
) -> Result<(), H::Error> {
    host.record(&event_header(step, result, ranges))
}

/// A range whose bytes are those of guest memory now.
pub(crate) fn guest_range<H: Host>(
    host: &mut H,
    addr: u64,
    len: u64,
    kind: u32,
) -> Result<(), H::Error> {
    host.record(&range_header(addr, len, kind))?;
    host.record_guest(addr, len)?;
    let padding = (len.wrapping_neg() & 7) as usize;
    host.record(&[0; 8][..padding])
}

/// A range that reads as zero from now on.
pub(crate) fn zeroed_range<H: Host>(host: &mut H, addr: u64, len: u64) -> Result<(), H::Error> {
    host.record(&range_header(addr, len, range::ZEROED))
}
