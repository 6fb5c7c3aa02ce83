//! A compiled replay in memory: one private copy for each thread, behind the area that rows and
//! memory operations are written to.
//!
//! ```text
//! area | state block | jump table | code | descriptor
//! ```
//!
//! Where memory is followed ([`Columns::FOLLOW`]), the guest's 4 GiB are behind it, with guards on
//! both sides, and have the protection that the guest's pages have. An access that it forbids raises
//! a signal in generated code; the handler leaves it with `reason::FAULT`. Signals of other code go
//! to the handler that was there before.
//!
//! The object comes from a sealed memory file, so nobody can change or shorten it once it was
//! checked; its code is the same pages for all threads. No page is writable and executable.

use super::CompileError;
use super::shared::Shared;
use crate::memory::Memory;
use crate::witness::batch::{Storage, View};
use hartlog_abi::Prot;
use hartlog_format::contract::{HartState, LAST_ADDRESS, TABLE_OFFSET, WINDOW};
use hartlog_format::layout::{LOG_BYTES_PER_STEP, PAGE, WINDOW_END};
use hartlog_format::witness::{BATCH_OPS, BATCH_ROWS, Columns, MemoryOp, area, image};
use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Pages that can be mapped several times: a file without name of this size, and a mapping of it.
pub(crate) fn shared_memory(len: u64) -> io::Result<(File, MmapMut)> {
    let file = File::from(rustix::fs::memfd_create(
        "hartlog-guest",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?);
    file.set_len(len)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let mut options = MmapOptions::new();
    options.len(len as usize).no_reserve_swap();
    // SAFETY: the file has no name, its size is sealed, and no other process has it. The other
    // mappings of it are those of images, which are accessed only while the owner of this mapping
    // is borrowed (`Image::enter`).
    let map = unsafe { options.map_mut(&file)? };
    Ok((file, map))
}

/// The memory of one thread.
pub(super) struct Image<'c> {
    code: &'c Code,
    start: NonNull<u8>,
    len: usize,
    /// Who this is, among all images: whose memory is mapped behind it.
    id: u64,
}

/// Lets signals wait in this thread until it is dropped: a handler runs on the stack of what it
/// interrupts, and generated code has none. Which signals have one can change at any time.
pub(super) struct Blocked {
    before: u64,
    /// Of one thread.
    here: PhantomData<*const ()>,
}

impl Blocked {
    /// All but those that code raises itself.
    pub(super) fn new() -> io::Result<Blocked> {
        const CAUSED: [libc::c_int; 5] = [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ];
        let mask = CAUSED
            .iter()
            .fold(u64::MAX, |mask, s| mask & !(1 << (s - 1)));
        let before = set_blocked(mask)?;
        let here = PhantomData;
        Ok(Blocked { before, here })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It was possible a moment ago.
        let _ = set_blocked(self.before);
    }
}

/// Sets the signals that wait in this thread; those that did before. Not by the C library, which
/// leaves out two that it handles itself.
fn set_blocked(mask: u64) -> io::Result<u64> {
    let mut before = 0u64;
    let size = size_of::<u64>();
    // SAFETY: both are sets of signals as the kernel has them, of this size.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            size,
        )
    };
    if failed == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error())
    }
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Image<'_> {}

impl<'c> Image<'c> {
    /// Maps an object.
    pub(super) fn new(code: &'c Code) -> io::Result<Image<'c>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let shared = &code.shared;
        let mut len = area::LEN + shared.len;
        if code.columns.contains(Columns::FOLLOW) {
            signal::prepare()?;
            len = area::LEN + (image::GUEST + WINDOW_END + image::GUARD) as usize;
        }
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: without MAP_FIXED a new mapping replaces none.
        let start = unsafe { map(ptr::null_mut(), len, libc::PROT_NONE, private, -1, 0)? };
        let start = NonNull::new(start).ok_or(io::ErrorKind::Unsupported)?;
        // From here on dropped in the case of an error.
        let mut image = Image {
            code,
            start,
            len,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
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
            // SAFETY: the segment is inside this mapping (`MAX` bytes from the state block on at
            // most, checked with the object), of which no reference is alive.
            unsafe { map(at, segment.range.len(), protection, flags, fd, offset)? };
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
        image.state().last_address = LAST_ADDRESS;
        Ok(image)
    }

    /// Maps the guest's memory, if it is not there, and gives its pages the protection that they
    /// have now.
    fn follow(&mut self, memory: &mut Memory) -> io::Result<()> {
        let changes = memory.changes(self.id);
        let (file, changes) = changes.ok_or(io::ErrorKind::Unsupported)?;
        let guest = area::LEN + image::GUEST as usize;
        if let Some(file) = file {
            let at = self.place(guest).cast();
            let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
            let (len, fd) = (WINDOW_END as usize, file.as_raw_fd());
            // SAFETY: these bytes are inside this mapping, and no reference to them is ever made.
            unsafe { map(at, len, libc::PROT_NONE, flags, fd, 0)? };
        }
        for change in changes {
            let protection = match change.prot {
                Prot::None => libc::PROT_NONE,
                Prot::Read => libc::PROT_READ,
                Prot::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            };
            let Range { start, end } = change.range;
            let at = guest + start as usize;
            self.protect(at, (end - start) as usize, protection)?;
        }
        Ok(())
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
    /// `memory` is what is followed, where memory is. Signals wait in this thread ([`Blocked`]).
    ///
    /// `None` if there is not enough log or room in the batch for so many steps, or if memory cannot
    /// be followed.
    pub(super) fn enter(
        &mut self,
        target: u32,
        budget: u64,
        log: &[u8],
        rows: usize,
        ops: usize,
        memory: Option<&mut Memory>,
    ) -> Option<&mut HartState> {
        let columns = self.code.columns;
        if columns.contains(Columns::FOLLOW) {
            self.follow(memory?).ok()?;
        }
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
        // SAFETY: the object was compiled by this project's compiler for this contract (magic,
        // version and flags were checked): its entry follows the C calling convention. Its code
        // accesses the state block, the jump table, at most 8 bytes of the log and one row and two
        // memory operations for each step of the budget (there is room, see above), and nothing
        // else; no instruction of it raises a signal. If it follows memory, it also accesses the
        // guest's pages and the guards around them: every address is a register that was compared
        // with the last address, and a displacement of `image::REACH` at most. `memory`, which
        // owns the other mapping of these pages, is borrowed here. The signal that a forbidden
        // access raises makes it leave.
        unsafe {
            let enter: extern "C" fn(*mut HartState, u64) = std::mem::transmute(enter);
            if columns.contains(Columns::FOLLOW) {
                let code = &self.code.shared;
                let place = |at: usize| self.place(area::LEN + at) as usize;
                let running = signal::Running {
                    code: place(0)..place(code.len),
                    leave: place(code.leave),
                    state,
                };
                signal::run(running, || enter(state, target));
            } else {
                enter(state, target);
            }
        }
        let state = self.state();
        state.log = state.log.wrapping_sub(log.as_ptr() as u64);
        state.ops = state.ops.wrapping_sub(ops_start) / size_of::<MemoryOp>() as u64;
        Some(state)
    }
}

/// # Safety
/// With `MAP_FIXED`, `at` and `len` are bytes that belong to the caller and that nobody refers to.
unsafe fn map(
    at: *mut libc::c_void,
    len: usize,
    protection: libc::c_int,
    flags: libc::c_int,
    fd: RawFd,
    offset: libc::off_t,
) -> io::Result<*mut u8> {
    // SAFETY: as the caller says.
    let start = unsafe { libc::mmap(at, len, protection, flags, fd, offset) };
    if start == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(start.cast::<u8>())
    }
}

/// Signals that generated code raises.
mod signal {
    use hartlog_format::contract::{HartState, reason};
    use std::cell::RefCell;
    use std::io;
    use std::ops::Range;
    use std::ptr;
    use std::sync::OnceLock;

    /// Generated code that runs on this thread.
    #[derive(Debug)]
    pub(super) struct Running {
        /// Its addresses.
        pub(super) code: Range<usize>,
        /// Where it is left.
        pub(super) leave: usize,
        pub(super) state: *mut HartState,
    }

    thread_local! {
        static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
    }

    /// What was done about the signal before.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Makes sure that signals of generated code on this thread are handled.
    pub(super) fn prepare() -> io::Result<()> {
        // SAFETY: all zero is a value of these structures, and the calls write to them only.
        let (stack, action) = unsafe {
            let mut stack: libc::stack_t = std::mem::zeroed();
            let mut action: libc::sigaction = std::mem::zeroed();
            let failed = libc::sigaltstack(ptr::null(), &mut stack) != 0
                || libc::sigaction(libc::SIGSEGV, ptr::null(), &mut action) != 0;
            if failed {
                return Err(io::Error::last_os_error());
            }
            (stack, action)
        };
        // Generated code has no stack. The standard library gives one to every thread that it
        // starts, and to the first.
        if stack.ss_flags & libc::SS_DISABLE != 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let handler: extern "C" fn(_, _, _) = handle;
        let handler = handler as *const () as usize;
        if action.sa_sigaction == handler {
            return Ok(());
        }
        BEFORE.get_or_init(|| action);
        let mut own = action;
        own.sa_sigaction = handler;
        own.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler is of the type that these flags ask for; it only does what a handler
        // may do.
        unsafe {
            libc::sigemptyset(&mut own.sa_mask);
            if libc::sigaction(libc::SIGSEGV, &own, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Calls generated code.
    pub(super) fn run(running: Running, code: impl FnOnce()) {
        RUNNING.set(Some(running));
        code();
        RUNNING.set(None);
    }

    extern "C" fn handle(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        const RIP: usize = libc::REG_RIP as usize;
        // SAFETY: the system hands over a valid context, of which nobody else has a reference.
        let at = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[RIP] };
        let ours = RUNNING.with(|running| {
            // It is borrowed for a moment by this thread only, and not while generated code runs.
            let running = running.try_borrow().ok()?;
            let running = running.as_ref()?;
            let inside = running.code.contains(&(*at as usize));
            inside.then_some((running.leave, running.state))
        });
        if let Some((leave, state)) = ours {
            // SAFETY: generated code runs, so that the state block is there; who called it accesses
            // it again only when it has left.
            unsafe { (*state).reason = reason::FAULT };
            *at = leave as i64;
            return;
        }
        let before = BEFORE.get();
        let function = before.map_or(libc::SIG_DFL, |b| b.sa_sigaction);
        if function == libc::SIG_DFL || function == libc::SIG_IGN {
            // SAFETY: restores the default, which is what happens when the access is tried again.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        } else if before.is_some_and(|b| b.sa_flags & libc::SA_SIGINFO != 0) {
            // SAFETY: who installed it with this flag gave a function of this type.
            unsafe {
                let function: extern "C" fn(_, _, _) = std::mem::transmute(function);
                function(signal, info, context);
            }
        } else {
            // SAFETY: and without it, of this one.
            unsafe {
                let function: extern "C" fn(libc::c_int) = std::mem::transmute(function);
                function(signal);
            }
        }
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
