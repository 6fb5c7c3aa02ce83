//! Generated code run in this process: linked in memory, without `ld` and without the runtime.
//!
//! The image is laid out as the linker script does it (state block, jump table, stubs,
//! definitions) and is never writable and executable at once. Guest memory is mapped at the
//! guest's own low addresses. Signals are resolved by fault sites, as the runtime resolves them.
//! All of the tests' `unsafe` is in this file.

use crate::program::Program;
use crate::reference::{GuestMemory, Region};
use compiler::codegen::Table;
use hartlog_format::contract::{HartState, STATE_BIAS, Site, TABLE_OFFSET, WINDOW, reason};
use hartlog_format::layout::{LOG_BYTES_PER_STEP, MAX_BLOCK_STEPS, PAGE};
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard};
use templates::emit::{Dest, Mode, Stub};

/// Guest addresses and signal handlers belong to the whole process: one machine at a time.
static LOCK: Mutex<()> = Mutex::new(());

/// What the signal handler needs of the machine that runs; null when none does.
static ACTIVE: AtomicPtr<Active> = AtomicPtr::new(ptr::null_mut());

/// Bytes of the signal stack.
const SIGNAL_STACK: usize = 64 << 10;

const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Reason of a signal that no fault site explains.
const UNEXPLAINED: u64 = 1 << 32;

/// Why generated code came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `reason::CHUNK_END`
    ChunkEnd,
    /// `reason::JUMP`
    Jump,
    /// `reason::ECALL`
    Ecall,
    /// `reason::FAULT`, with the signal.
    Fault(Signal),
    /// A signal at a host instruction without fault site.
    Unexplained(Signal),
    /// A reason that does not exist.
    Unknown(u64),
}

/// A signal in generated code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// Address of the access, for SIGSEGV and SIGBUS.
    pub addr: u64,
    /// Whether the access was a write.
    pub write: bool,
    /// Host address of the instruction, from the start of the image.
    pub host: u64,
}

/// Pages of this process.
struct Mapping {
    start: *mut u8,
    len: usize,
    /// Bytes after `len` that belong to the mapping but cannot be accessed.
    guard: usize,
}

impl Mapping {
    /// Maps `len` bytes, readable and writable, at `at` if given.
    fn new(at: Option<u64>, len: usize) -> io::Result<Mapping> {
        let fixed = if at.is_some() {
            libc::MAP_FIXED_NOREPLACE
        } else {
            0
        };
        // SAFETY: a new anonymous mapping; with MAP_FIXED_NOREPLACE it replaces none.
        let start = unsafe {
            libc::mmap(
                at.unwrap_or(0) as *mut libc::c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping {
            start: start.cast(),
            len,
            guard: 0,
        })
    }

    /// The same, with a page behind it that cannot be accessed.
    fn guarded(len: usize) -> io::Result<Mapping> {
        let guard = PAGE as usize;
        let mut mapping = Mapping::new(None, len + guard)?;
        mapping.protect(len..len + guard, libc::PROT_NONE)?;
        mapping.len = len;
        mapping.guard = guard;
        Ok(mapping)
    }

    fn protect(&self, range: Range<usize>, protection: libc::c_int) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: the range is inside this mapping, of which no reference is alive (`self` is the
        // only way to make one that is written through, and it takes `&mut`).
        let rc = unsafe {
            libc::mprotect(
                self.start.add(range.start).cast(),
                range.end - range.start,
                protection,
            )
        };
        if rc == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn address(&self) -> u64 {
        self.start as u64
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable and lives as long as `self`; generated code writes to
        // it only while `Machine::enter` holds `&mut Machine`.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Only for mappings that are writable.
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes the reference the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and references into it cannot outlive `self`.
        unsafe {
            libc::munmap(self.start.cast(), self.len + self.guard);
        }
    }
}

/// What the signal handler reads and writes.
struct Active {
    /// Host addresses of the image.
    image: Range<u64>,
    /// Host code of the definitions, ascending, with their sites.
    definitions: Vec<(Range<u64>, Vec<Site>)>,
    leave: u64,
    state: *mut HartState,
    /// Whether rdi is the log pointer.
    log: bool,
    signal: Signal,
}

impl Active {
    fn site(&self, host: u64) -> Option<Site> {
        let i = self
            .definitions
            .partition_point(|(range, _)| range.end <= host);
        let (range, sites) = self.definitions.get(i)?;
        let offset = u32::try_from(host.checked_sub(range.start)?).ok()?;
        sites.iter().find(|s| s.host == offset).copied()
    }
}

/// Previous handlers and signal stack, to be put back.
struct Signals {
    actions: Vec<(libc::c_int, libc::sigaction)>,
    stack: libc::stack_t,
    mask: libc::sigset_t,
    _memory: Mapping,
}

impl Signals {
    fn install() -> io::Result<Signals> {
        let memory = Mapping::new(None, SIGNAL_STACK)?;
        let new = libc::stack_t {
            ss_sp: memory.start.cast(),
            ss_flags: 0,
            ss_size: memory.len,
        };
        // SAFETY: all-zero bytes are a valid `stack_t`.
        let mut stack = unsafe { std::mem::zeroed() };
        // SAFETY: `new` describes memory that stays mapped until `drop` puts the old stack back.
        if unsafe { libc::sigaltstack(&new, &mut stack) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut actions = Vec::new();
        for signal in SIGNALS {
            // SAFETY: all-zero bytes are a valid `sigaction`.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: as above.
            let mut old = unsafe { std::mem::zeroed() };
            // SAFETY: the handler touches only `ACTIVE` and its own arguments.
            if unsafe { libc::sigaction(signal, &action, &mut old) } != 0 {
                return Err(io::Error::last_os_error());
            }
            actions.push((signal, old));
        }
        // libFuzzer's clock: its handler would run on the stack of what it interrupts, and
        // generated code has none.
        // SAFETY: all-zero bytes are an empty `sigset_t`; the calls write to these two only.
        let mask = unsafe {
            let (mut clock, mut mask) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigaddset(&mut clock, libc::SIGALRM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &clock, &mut mask);
            mask
        };
        Ok(Signals {
            actions,
            stack,
            mask,
            _memory: memory,
        })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, action) in &self.actions {
            // SAFETY: the action is one that `sigaction` returned.
            unsafe {
                libc::sigaction(*signal, action, ptr::null_mut());
            }
        }
        // SAFETY: the stack is one that `sigaltstack` returned.
        unsafe {
            libc::sigaltstack(&self.stack, ptr::null_mut());
        }
        // SAFETY: the mask is what this thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.mask, ptr::null_mut());
        }
    }
}

/// Continues at `Program::leave` after a signal in generated code. Any other signal gets the
/// default action when the instruction is executed again.
extern "C" fn on_signal(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let active = ACTIVE.load(Ordering::Relaxed);
    // SAFETY: `ACTIVE` is null or points to the `Active` of the machine that is in `enter`, on
    // this very thread (signals of these kinds are sent to the thread that causes them); the
    // kernel passes valid pointers for SA_SIGINFO.
    let (active, info, context) = unsafe {
        match active.as_mut() {
            Some(active) => (active, &*info, &mut *context.cast::<libc::ucontext_t>()),
            None => {
                libc::signal(number, libc::SIG_DFL);
                return;
            }
        }
    };
    let registers = &mut context.uc_mcontext.gregs;
    let host = registers[libc::REG_RIP as usize] as u64;
    let memory = number == libc::SIGSEGV || number == libc::SIGBUS;
    // SAFETY: these two signals carry an address.
    let access = memory.then(|| unsafe { info.si_addr() as u64 });
    active.signal = Signal {
        number,
        addr: access.unwrap_or(0),
        // Error code of a page fault, bit 1: the access was a write (Intel SDM volume 3, 4.7).
        write: registers[libc::REG_ERR as usize] & 2 != 0,
        host: host.wrapping_sub(active.image.start),
    };
    // SAFETY: the state block is mapped and nobody else uses it while generated code runs.
    let state = unsafe { &mut *active.state };
    match active.site(host) {
        Some(site) => {
            state.pc = u64::from(site.pc);
            state.reason = reason::FAULT;
            registers[libc::REG_RSP as usize] += i64::from(site.refund);
            if active.log {
                let log = &mut registers[libc::REG_RDI as usize];
                *log += i64::from(site.logged());
                let waiting = usize::from(site.waiting());
                // SAFETY: the kernel saves vector registers for every signal; the log pointer has
                // advanced over these bytes.
                unsafe {
                    let vector = &raw const (*context.uc_mcontext.fpregs)._xmm[0];
                    let to = (*log as *mut u8).sub(waiting);
                    ptr::copy_nonoverlapping(vector.cast::<u8>(), to, waiting);
                }
            }
        }
        None => {
            state.reason = UNEXPLAINED;
            registers[libc::REG_RBP as usize] = active.state as i64 + i64::from(STATE_BIAS);
        }
    }
    registers[libc::REG_RIP as usize] = active.leave as i64;
}

/// A guest region in memory.
struct Mapped {
    addr: u64,
    writable: bool,
    mapping: Mapping,
}

/// Generated code with the memory of its guest.
pub struct Machine {
    image: Mapping,
    log: Mapping,
    regions: Vec<Mapped>,
    active: Box<Active>,
    table: Table,
    no_entry: u64,
    enter: u64,
    _signals: Signals,
    _lock: MutexGuard<'static, ()>,
}

impl GuestMemory for Machine {
    fn at(&mut self, addr: u64) -> Option<(&mut [u8], bool)> {
        let region = self.regions.iter_mut().find(|r| {
            addr.checked_sub(r.addr)
                .is_some_and(|o| o < r.mapping.len as u64)
        })?;
        let offset = (addr - region.addr) as usize;
        // A read-only region is never written through this: the interpreter asks first.
        Some((&mut region.mapping.bytes_mut()[offset..], region.writable))
    }
}

fn page(bytes: u64) -> usize {
    bytes.next_multiple_of(PAGE) as usize
}

impl Machine {
    /// Links a program in memory and maps its guest's regions. Chunks may have up to
    /// `max_steps` steps.
    ///
    /// # Errors
    /// What the kernel reports, when memory cannot be mapped.
    ///
    /// # Panics
    /// If the code refers to a block that does not exist.
    pub fn new(program: &Program, regions: &[Region], max_steps: u64) -> io::Result<Machine> {
        let lock = LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let code = &program.code;
        let stubs_at = page(TABLE_OFFSET + code.table.bytes());
        let mut end = stubs_at + code.stubs.code.len();
        let mut starts = Vec::new();
        for d in &code.definitions {
            end = end.next_multiple_of(16);
            starts.push(end);
            end += d.code.len();
        }
        let mut image = Mapping::new(None, page(end as u64))?;
        let base = image.address();
        let bytes = image.bytes_mut();
        bytes[stubs_at..][..code.stubs.code.len()].copy_from_slice(&code.stubs.code);
        let offset = |dest: Dest| match dest {
            Dest::Stub(Stub::ChunkEnd) => stubs_at + code.stubs.chunk_end as usize,
            Dest::Stub(Stub::Jump) => stubs_at + code.stubs.jump as usize,
            Dest::Stub(Stub::Far) => stubs_at + code.stubs.far as usize,
            Dest::Stub(Stub::Ecall) => stubs_at + code.stubs.ecall as usize,
            Dest::Stub(Stub::Address) => stubs_at + code.stubs.address as usize,
            Dest::Stub(Stub::Mismatch) => stubs_at + code.stubs.mismatch as usize,
            block => match code.resolve(block) {
                Some((definition, offset)) => {
                    let d = code
                        .definitions
                        .iter()
                        .position(|other| ptr::eq(other, definition));
                    starts[d.unwrap_or_default()] + offset as usize
                }
                None => panic!("a jump to {block:x?}, where no block starts"),
            },
        };
        for (d, start) in code.definitions.iter().zip(&starts) {
            bytes[*start..][..d.code.len()].copy_from_slice(&d.code);
            for jump in &d.jumps {
                let at = *start + jump.end as usize;
                let distance = offset(jump.dest) as i64 - at as i64;
                bytes[at - 4..at].copy_from_slice(&(distance as i32).to_le_bytes());
            }
        }
        // An entry is a host address, or relative to the biased state address.
        let mut put = |at: u64, target: usize| {
            let at = (TABLE_OFFSET + at) as usize;
            if code.table.is_relative() {
                let relative = target as i32 - STATE_BIAS;
                bytes[at..at + 4].copy_from_slice(&relative.to_le_bytes());
            } else {
                bytes[at..at + 8].copy_from_slice(&(base + target as u64).to_le_bytes());
            }
        };
        let table = code.table.clone();
        let no_entry = stubs_at + code.stubs.far as usize;
        for i in 0..table.len() {
            put(i * table.entry, no_entry);
        }
        for (d, start) in code.definitions.iter().zip(&starts) {
            for block in d.blocks.iter().filter(|b| table.range.contains(&b.pc)) {
                put(table.offset(block.pc), start + block.entry as usize);
            }
        }
        image.protect(TABLE_OFFSET as usize..stubs_at, libc::PROT_READ)?;
        image.protect(stubs_at..image.len, libc::PROT_READ | libc::PROT_EXEC)?;

        // The guard page behind the log makes an overrun a signal.
        let log = Mapping::guarded(page((max_steps + MAX_BLOCK_STEPS) * LOG_BYTES_PER_STEP))?;

        let definitions = code.definitions.iter().zip(&starts).map(|(d, start)| {
            let start = base + *start as u64;
            (start..start + d.code.len() as u64, d.sites.clone())
        });
        let active = Box::new(Active {
            image: base..base + image.len as u64,
            definitions: definitions.collect(),
            leave: base + stubs_at as u64 + u64::from(code.stubs.leave),
            state: image.start.cast(),
            log: code.config.mode != Mode::Fast,
            signal: Signal::default(),
        });
        let mut machine = Machine {
            enter: base + stubs_at as u64 + u64::from(code.stubs.enter),
            no_entry: base + no_entry as u64,
            image,
            log,
            regions: Vec::new(),
            active,
            table,
            _signals: Signals::install()?,
            _lock: lock,
        };
        machine.state().window = WINDOW;
        for region in regions {
            machine.map(region)?;
        }
        Ok(machine)
    }

    fn map(&mut self, region: &Region) -> io::Result<()> {
        let mut mapping = Mapping::new(Some(region.addr), region.bytes.len())?;
        mapping.bytes_mut().copy_from_slice(&region.bytes);
        if !region.writable {
            mapping.protect(0..mapping.len, libc::PROT_READ)?;
        }
        self.regions.push(Mapped {
            addr: region.addr,
            writable: region.writable,
            mapping,
        });
        Ok(())
    }

    /// Gives the writable regions the contents of `regions`, which have the same addresses and
    /// sizes.
    pub fn reset(&mut self, regions: &[Region]) {
        for (mapped, region) in self.regions.iter_mut().zip(regions) {
            if mapped.writable {
                mapped.mapping.bytes_mut().copy_from_slice(&region.bytes);
            }
        }
    }

    /// Address of the first byte in which a region differs from `regions`.
    pub fn difference(&self, regions: &[Region]) -> Option<u64> {
        self.regions
            .iter()
            .zip(regions)
            .find_map(|(mapped, region)| {
                let (a, b) = (mapped.mapping.bytes(), region.bytes.as_slice());
                if a == b {
                    return None;
                }
                let at = a.iter().zip(b).position(|(a, b)| a != b)?;
                Some(region.addr + at as u64)
            })
    }

    /// The state block.
    pub fn state(&mut self) -> &mut HartState {
        // SAFETY: the image starts with the state block, which is writable, aligned to a page,
        // and valid for any contents.
        unsafe { &mut *self.image.start.cast() }
    }

    /// Host address of the block at a guest pc, as the jump table has it.
    pub fn entry(&self, pc: u64) -> Option<u64> {
        if !self.table.range.contains(&pc) || pc & 1 != 0 {
            return None;
        }
        let at = (TABLE_OFFSET + self.table.offset(pc)) as usize;
        let entry = &self.image.bytes()[at..][..self.table.entry as usize];
        let host = match *entry {
            [a, b, c, d] => {
                let relative = i32::from_le_bytes([a, b, c, d]);
                let state = self.image.address() as i64 + i64::from(STATE_BIAS);
                (state + i64::from(relative)) as u64
            }
            _ => u64::from_le_bytes(entry.try_into().ok()?),
        };
        (host != self.no_entry).then_some(host)
    }

    /// Address of the log.
    pub fn log_start(&self) -> u64 {
        self.log.address()
    }

    /// Starts the log afresh.
    pub fn clear_log(&mut self) {
        let start = self.log.address();
        self.state().log = start;
    }

    /// What was logged since, as far as the log pointer is inside the buffer.
    pub fn log(&mut self) -> &[u8] {
        let len = self.state().log.wrapping_sub(self.log.address()) as usize;
        self.log.bytes().get(..len).unwrap_or_default()
    }

    /// Starts the log afresh, with what a run has logged, to be read by code in replay mode.
    pub fn set_log(&mut self, bytes: &[u8]) {
        self.clear_log();
        // Reads beyond the end must not find what another run left there.
        let place = self.log.bytes_mut();
        let spare = place.len().min(bytes.len() + 4096);
        place[..spare].fill(0xa5);
        place[..bytes.len()].copy_from_slice(bytes);
    }

    /// Replay: what is not yet read of a log of so many bytes.
    pub fn unread(&mut self, len: usize) -> &[u8] {
        let at = self.state().log.wrapping_sub(self.log.address()) as usize;
        self.log.bytes().get(at..len).unwrap_or_default()
    }

    /// Replay: so many bytes were read outside generated code.
    pub fn skip_log(&mut self, bytes: usize) {
        self.state().log += bytes as u64;
    }

    /// Appends to the log what was read outside generated code.
    pub fn append_log(&mut self, bytes: &[u8]) {
        let at = self.state().log.wrapping_sub(self.log.address()) as usize;
        if let Some(place) = self.log.bytes_mut().get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
            self.state().log += bytes.len() as u64;
        }
    }

    /// Runs generated code from the block at `host`, an address that [`Machine::entry`] gave.
    pub fn enter(&mut self, host: u64) -> Exit {
        let state: *mut HartState = self.image.start.cast();
        // SAFETY: this is the address of the entry stub, which follows the C calling convention.
        let enter: extern "C" fn(*mut HartState, u64) =
            unsafe { std::mem::transmute(self.enter as *const ()) };
        ACTIVE.store(&mut *self.active, Ordering::Relaxed);
        enter(state, host);
        ACTIVE.store(ptr::null_mut(), Ordering::Relaxed);
        let signal = self.active.signal;
        match self.state().reason {
            reason::CHUNK_END => Exit::ChunkEnd,
            reason::JUMP => Exit::Jump,
            reason::ECALL => Exit::Ecall,
            reason::FAULT => Exit::Fault(signal),
            UNEXPLAINED => Exit::Unexplained(signal),
            other => Exit::Unknown(other),
        }
    }
}
