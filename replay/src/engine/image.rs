//! A compiled replay in memory: one private copy for each thread, behind the area that rows and
//! memory operations are written to.
//!
//! ```text
//! area | state block | jump table | code | descriptor
//! ```
//!
//! The object comes from a sealed memory file, so nobody can change or shorten it once it was
//! checked; its code is the same pages for all threads. No page is writable and executable.

use super::CompileError;
use super::shared::Shared;
use crate::witness::batch::{Storage, View};
use hartlog_format::contract::{HartState, TABLE_OFFSET, WINDOW};
use hartlog_format::layout::{LOG_BYTES_PER_STEP, PAGE};
use hartlog_format::witness::{BATCH_OPS, BATCH_ROWS, Columns, MemoryOp, area};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{self, NonNull};

/// A checked object in a sealed memory file.
#[derive(Debug)]
pub(super) struct Code {
    pub shared: Shared,
    pub columns: Columns,
    file: File,
}

impl Code {
    /// Copies an object to a memory file and seals it.
    pub(super) fn new(shared: Shared, columns: Columns) -> Result<Code, CompileError> {
        super::compiled::supported()?;
        Code::sealed(shared, columns).map_err(CompileError::Memory)
    }

    fn sealed(shared: Shared, columns: Columns) -> io::Result<Code> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a string with a NUL at its end; the call has no other pointers.
        let fd = unsafe { libc::memfd_create(c"hartlog-replay".as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(&shared.bytes)?;
        let seals =
            libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: no pointers.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Code {
            shared,
            columns,
            file,
        })
    }
}

/// The memory of one thread.
pub(super) struct Image<'c> {
    code: &'c Code,
    start: NonNull<u8>,
    len: usize,
    interrupts: Interrupts,
}

/// Signals that this process handles. A handler runs on the stack of what it interrupts, and
/// generated code has none: they wait until it comes back.
struct Interrupts(Option<libc::sigset_t>);

/// The signals of a thread before some were blocked; it has them again when this is dropped.
struct Blocked(Option<libc::sigset_t>);

impl Interrupts {
    /// Those that have a handler now.
    fn handled() -> Interrupts {
        const CAUSED: [libc::c_int; 5] = [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ];
        // SAFETY: all-zero bytes are an empty `sigset_t`.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        let mut any = false;
        for signal in (1..=libc::SIGRTMAX()).filter(|s| !CAUSED.contains(s)) {
            // SAFETY: all-zero bytes are a valid `sigaction`.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: nothing is changed; `action` is written.
            let known = unsafe { libc::sigaction(signal, ptr::null(), &mut action) } == 0;
            if known && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
                // SAFETY: the set is valid, and the signal is one.
                any |= unsafe { libc::sigaddset(&mut set, signal) } == 0;
            }
        }
        Interrupts(any.then_some(set))
    }

    /// Lets them wait in this thread.
    fn block(&self) -> Blocked {
        let Some(set) = &self.0 else {
            return Blocked(None);
        };
        // SAFETY: all-zero bytes are an empty `sigset_t`.
        let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: both sets are valid. It cannot fail with this operation.
        let done = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set, &mut before) };
        Blocked((done == 0).then_some(before))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: the set is what this thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
        }
    }
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Image<'_> {}

impl<'c> Image<'c> {
    /// Maps an object.
    pub(super) fn new(code: &'c Code) -> io::Result<Image<'c>> {
        let shared = &code.shared;
        let len = area::LEN + shared.len;
        let map = |at: *mut libc::c_void, len, protection, flags, fd, offset| {
            // SAFETY: without MAP_FIXED a new mapping replaces none; with it, `at` and `len` are
            // inside a mapping that this function made.
            let start = unsafe { libc::mmap(at, len, protection, flags, fd, offset) };
            if start == libc::MAP_FAILED {
                Err(io::Error::last_os_error())
            } else {
                Ok(start.cast::<u8>())
            }
        };
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let start = map(ptr::null_mut(), len, libc::PROT_NONE, private, -1, 0)?;
        let start = NonNull::new(start).ok_or(io::ErrorKind::Unsupported)?;
        // From here on dropped in the case of an error.
        let mut image = Image {
            code,
            start,
            len,
            interrupts: Interrupts::handled(),
        };
        image.protect(0, area::LEN, libc::PROT_READ | libc::PROT_WRITE)?;
        let fd = code.file.as_raw_fd();
        for segment in &shared.segments {
            let protection = match (segment.writable, segment.executable) {
                (true, _) => libc::PROT_READ | libc::PROT_WRITE,
                (false, true) => libc::PROT_READ | libc::PROT_EXEC,
                (false, false) => libc::PROT_READ,
            };
            let at = image.place(area::LEN + segment.range.start).cast();
            let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
            let offset = segment.offset as libc::off_t;
            map(at, segment.range.len(), protection, flags, fd, offset)?;
        }
        let base = image.place(area::LEN) as u64;
        for (at, value) in &shared.relocations {
            let place = image.place(area::LEN + at).cast::<u64>();
            // SAFETY: relocations were checked to be inside writable segments.
            unsafe { place.write_unaligned(base.wrapping_add(*value)) };
        }
        let table = area::LEN + TABLE_OFFSET as usize;
        let pages = (shared.table_bytes as u64).next_multiple_of(PAGE) as usize;
        image.protect(table, pages, libc::PROT_READ)?;
        image.state().window = WINDOW;
        Ok(image)
    }

    /// An address inside the mapping.
    fn place(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.len);
        self.start.as_ptr().wrapping_add(offset)
    }

    fn protect(&mut self, at: usize, len: usize, protection: libc::c_int) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are inside this mapping, of which no reference is alive.
        if unsafe { libc::mprotect(self.place(at).cast(), len, protection) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// The state block.
    pub(super) fn state(&mut self) -> &mut HartState {
        // SAFETY: the image starts with the state block: writable (checked with the object),
        // aligned to a page, and valid for any contents. The reference borrows the image.
        unsafe { &mut *self.place(area::LEN).cast::<HartState>() }
    }

    /// Executes the block at `target` (from [`Shared::entry`]) and what follows, for at most
    /// `budget` steps, with the reads of `log`, with `rows` rows and `ops` memory operations in the
    /// batch already. The state block says how far it came, with `log` and `ops` as distances from
    /// their starts.
    ///
    /// `None` if there is not enough log or room in the batch for so many steps.
    pub(super) fn enter(
        &mut self,
        target: u32,
        budget: u64,
        log: &[u8],
        rows: usize,
        ops: usize,
    ) -> Option<&mut HartState> {
        let columns = self.code.columns;
        let enough = budget.checked_mul(LOG_BYTES_PER_STEP)? <= log.len() as u64
            && (!columns.has_rows() || budget.checked_add(rows as u64)? <= BATCH_ROWS as u64)
            && (!columns.contains(Columns::MEMORY)
                || budget.checked_mul(2)?.checked_add(ops as u64)? <= BATCH_OPS as u64);
        if !enough || target as usize >= self.code.shared.len {
            return None;
        }
        let ops_start = self.place(area::OPS) as u64;
        let state = self.state();
        state.budget = budget as i64;
        state.log = log.as_ptr() as u64;
        state.rows = rows as u64;
        state.ops = ops_start + (ops * size_of::<MemoryOp>()) as u64;
        let state: *mut HartState = state;
        let enter = self.place(area::LEN + self.code.shared.enter);
        let target = self.place(area::LEN + target as usize) as u64;
        let blocked = self.interrupts.block();
        // SAFETY: the object was compiled by this project's compiler for this contract (magic,
        // version and flags were checked): its entry follows the C calling convention. Its code
        // accesses the state block, the jump table, at most 8 bytes of the log and one row and two
        // memory operations for each step of the budget (there is room, see above), and nothing
        // else; no instruction of it raises a signal.
        unsafe {
            let enter: extern "C" fn(*mut HartState, u64) = std::mem::transmute(enter);
            enter(state, target);
        }
        drop(blocked);
        let state = self.state();
        state.log = state.log.wrapping_sub(log.as_ptr() as u64);
        state.ops = state.ops.wrapping_sub(ops_start) / size_of::<MemoryOp>() as u64;
        Some(state)
    }
}

impl Storage for Image<'_> {
    fn view(&mut self) -> View<'_> {
        let columns = self.code.columns;
        let len = |set, len| if columns.intersects(set) { len } else { 0 };
        let column = |c: Columns| self.place(area::column(c));
        // SAFETY: the parts of the area are apart from each other, aligned, readable and writable,
        // and valid for any contents. Generated code writes to them only while `enter` has `&mut
        // self`, and the references borrow the image.
        unsafe {
            View {
                pc: std::slice::from_raw_parts_mut(
                    column(Columns::PC).cast(),
                    len(Columns::PC, BATCH_ROWS),
                ),
                values: std::array::from_fn(|i| {
                    let c = Columns::EACH[1 + i];
                    std::slice::from_raw_parts_mut(column(c).cast(), len(c, BATCH_ROWS))
                }),
                ops: std::slice::from_raw_parts_mut(
                    self.place(area::OPS).cast(),
                    len(Columns::MEMORY, BATCH_OPS),
                ),
            }
        }
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`; references into it cannot outlive `self`.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}
