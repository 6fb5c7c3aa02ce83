//! Where guest and host live in the address space of a translated program.
//!
//! The guest is identity-mapped in the low 4 GiB; everything of the host lies above. Generated
//! code forms guest addresses with 32-bit operands, so no load or store of the guest can reach
//! the host.

/// Page size of guest and host, in bytes.
pub const PAGE: u64 = 4096;

/// Lowest guest address that may be mapped: the usual `vm.mmap_min_addr`.
pub const GUEST_MIN: u64 = 0x1_0000;

/// End (exclusive) of the guest addresses that may be mapped. The last page of the low 4 GiB stays
/// unmapped, so that an access that starts below 2^32 cannot run over into the host.
pub const GUEST_END: u64 = 0xffff_f000;

/// One past the highest address that a 32-bit operand can name.
pub const WINDOW_END: u64 = 1 << 32;

/// Link address of a translated program (`x86-64.ld` uses the same number; a test compares them).
pub const HOST_BASE: u64 = 0x1_1000_0000;

/// Size of the guest's stack mapping, in bytes; below it lies a guard of [`STACK_GUARD`] bytes.
pub const STACK_SIZE: u64 = 8 << 20;

/// Unmapped bytes below the guest's stack.
pub const STACK_GUARD: u64 = 1 << 20;

/// Default number of retired instructions in a chunk.
pub const DEFAULT_CHUNK_STEPS: u64 = 1 << 18;

/// Largest number of retired instructions in a chunk.
pub const MAX_CHUNK_STEPS: u64 = 1 << 32;

/// Bytes of read log that one retired instruction can write at most.
pub const LOG_BYTES_PER_STEP: u64 = 8;

/// Longest sequence of guest instructions that generated code charges at once. Bounds the slack
/// after a slot's log and the 16-bit fields of [`crate::contract::Site`].
pub const MAX_BLOCK_STEPS: u64 = 1024;

/// Rounds `value` down to a page boundary.
pub const fn page_floor(value: u64) -> u64 {
    value & !(PAGE - 1)
}

/// Rounds `value` up to a page boundary; saturates at the last page boundary of 64 bits.
pub const fn page_ceil(value: u64) -> u64 {
    match value.checked_add(PAGE - 1) {
        Some(v) => page_floor(v),
        None => page_floor(u64::MAX),
    }
}
