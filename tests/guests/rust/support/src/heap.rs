//! The heap of every guest: a bump allocator with one free list per size class.
//!
//! Small and deterministic: addresses depend on the sequence of requests only. Blocks are rounded up to a
//! power of two (from 16 bytes), freed blocks of a class are reused last in, first out, and memory comes
//! from the system in pieces of at least 1 MiB.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};

use crate::host;

const SMALLEST_LOG2: u32 = 4;
const CLASSES: usize = 32;
/// Size of one piece from the system, in bytes.
const PIECE: usize = 1 << 20;

struct State {
    next: usize,
    end: usize,
    base: *mut u8,
    free: [Option<NonNull<Link>>; CLASSES],
}

struct Link {
    next: Option<NonNull<Link>>,
}

/// The allocator; one static per program.
pub struct Heap(UnsafeCell<State>);

// SAFETY: guests have one hart and one thread, natively too, and no allocation happens in a signal handler.
unsafe impl Sync for Heap {}

impl Heap {
    /// An empty heap.
    #[allow(clippy::new_without_default, reason = "only ever a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(State {
            next: 0,
            end: 0,
            base: ptr::null_mut(),
            free: [None; CLASSES],
        }))
    }
}

/// Class of a layout: its block is `16 << class` bytes. None when it is beyond any memory.
fn class_of(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(1 << SMALLEST_LOG2);
    let class = (usize::BITS - (size - 1).leading_zeros() - SMALLEST_LOG2) as usize;
    (class < CLASSES).then_some(class)
}

impl State {
    fn take(&mut self, class: usize) -> *mut u8 {
        let size = (1usize << SMALLEST_LOG2) << class;
        // Power-of-two blocks aligned to themselves up to a page serve every alignment guests ask for.
        let align = size.min(4096);
        let start = self.next.next_multiple_of(align);
        if start + size <= self.end {
            self.next = start + size;
            return self.base.wrapping_add(start);
        }
        if size >= PIECE {
            // Blocks of a piece or more are the system's own; the current piece goes on serving.
            return host::map(size);
        }
        let base = host::map(PIECE);
        if base.is_null() {
            return base;
        }
        self.base = base;
        self.next = size;
        self.end = PIECE;
        base
    }
}

// SAFETY: a block is 16 << class >= size and aligned to min(block, 4096); alignments above 4096 are refused.
// A block is handed out again only after it was given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout).filter(|_| layout.align() <= 4096) else {
            return ptr::null_mut();
        };
        // SAFETY: one thread, and neither `take` nor the list code calls back into the allocator, so this is
        // the only reference. A block on a free list holds a valid link, written by `dealloc`.
        unsafe {
            let state = &mut *self.0.get();
            match state.free[class] {
                Some(block) => {
                    state.free[class] = block.as_ref().next;
                    block.as_ptr().cast()
                }
                None => state.take(class),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (Some(class), Some(block)) = (class_of(layout), NonNull::new(block.cast::<Link>()))
        else {
            return;
        };
        // SAFETY: as in `alloc`; the block is at least 16 bytes, 16-aligned and no longer used by its owner.
        unsafe {
            let state = &mut *self.0.get();
            block.write(Link {
                next: state.free[class],
            });
            state.free[class] = Some(block);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        if class_of(wanted) == class_of(layout) {
            return block;
        }
        // SAFETY: the caller owns `block` of `layout`; the new block is distinct and at least as large as
        // what is copied.
        unsafe {
            let fresh = self.alloc(wanted);
            if !fresh.is_null() {
                ptr::copy_nonoverlapping(block, fresh, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            fresh
        }
    }
}
