//! Single host instructions executed by the processor, with all registers and flags given.
//!
//! All of the crate's `unsafe` is in this file.

use hartlog_format::contract::STATE_BIAS;
use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};
use std::io;
use std::ptr;

/// Bytes of each buffer that instructions may access.
pub const BUFFER: usize = 3 * 4096;

/// Guest address of the buffer for accesses to guest memory.
pub const GUEST: u64 = 0x5a5a_0000;

/// The flags that templates use: CF, ZF, SF, OF.
pub const FLAGS: [u32; 4] = [0, 6, 7, 11];

const PAGE: usize = 4096;

/// Words of the page that follows the code: 16 registers before, 16 after, then these.
const FLAGS_IN: usize = 32;
const FLAGS_OUT: usize = 33;
const HOST_RSP: usize = 34;
const FELL_THROUGH: usize = 35;

const R64: [Register; 16] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RSP,
    Register::RBP,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// Registers that the System V ABI has the callee preserve.
const SAVED: [Register; 6] = [
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// Why an instruction could not be run.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// The kernel gave no memory.
    #[error("memory: {0}")]
    Memory(#[from] io::Error),
    /// The code around it could not be encoded.
    #[error("encoding: {0}")]
    Encoding(#[from] IcedError),
}

/// Pages of this process.
struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    /// Readable and writable pages, at an address if one is given.
    fn new(at: Option<u64>, len: usize) -> io::Result<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let fixed = at.map_or(0, |_| libc::MAP_FIXED_NOREPLACE);
        // SAFETY: a new mapping, at a free address or one that must be free.
        let start = unsafe {
            libc::mmap(
                at.unwrap_or(0) as *mut libc::c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                flags | fixed,
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
        })
    }

    fn protect(&mut self, len: usize, protection: i32) -> io::Result<()> {
        // SAFETY: the first pages of this mapping; nothing refers to them now.
        if unsafe { libc::mprotect(self.start.cast(), len, protection) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is writable but for code pages, which no caller writes while they
        // are protected, and `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        unsafe {
            libc::munmap(self.start.cast(), self.len);
        }
    }
}

/// Registers and flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    pub gpr: [u64; 16],
    /// CF, ZF, SF, OF.
    pub flags: [bool; 4],
}

/// Buffers and a place for code.
pub struct Processor {
    /// A page of code, a page of registers.
    code: Mapping,
    state: Mapping,
    log: Mapping,
    guest: Mapping,
}

impl Processor {
    /// Maps everything. One at a time: the guest's buffer has a fixed address.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn new() -> Result<Processor, NativeError> {
        Ok(Processor {
            code: Mapping::new(None, 2 * PAGE)?,
            state: Mapping::new(None, BUFFER)?,
            log: Mapping::new(None, BUFFER)?,
            guest: Mapping::new(Some(GUEST), BUFFER)?,
        })
    }

    /// The state block with the jump table behind it.
    pub fn state(&mut self) -> &mut [u8] {
        self.state.bytes_mut()
    }

    /// The log.
    pub fn log(&mut self) -> &mut [u8] {
        self.log.bytes_mut()
    }

    /// The guest's memory.
    pub fn guest(&mut self) -> &mut [u8] {
        self.guest.bytes_mut()
    }

    /// What rbp holds for the state block.
    pub fn state_pointer(&self) -> u64 {
        (self.state.start as u64).wrapping_add(STATE_BIAS as u64)
    }

    /// Address of the log.
    pub fn log_pointer(&self) -> u64 {
        self.log.start as u64
    }

    /// Makes `instruction`, position-independent bytes, the one that [`Processor::run`] runs. A
    /// conditional jump must have a displacement of 10: it jumps over an instruction of this
    /// length.
    ///
    /// # Errors
    /// If the code around it cannot be encoded.
    pub fn load(&mut self, instruction: &[u8], jumps: bool) -> Result<(), NativeError> {
        let base = self.code.start as u64;
        let word = |n: usize| {
            MemoryOperand::with_base_displ(
                Register::RIP,
                (base + PAGE as u64 + 8 * n as u64) as i64,
            )
        };
        let mut out = Assembled::new(base);
        for r in SAVED {
            out.push(Instruction::with1(Code::Push_r64, r)?)?;
        }
        out.push(Instruction::with2(
            Code::Mov_rm64_r64,
            word(HOST_RSP),
            Register::RSP,
        )?)?;
        out.push(Instruction::with1(Code::Push_rm64, word(FLAGS_IN))?)?;
        out.push(Instruction::with(Code::Popfq))?;
        for (n, r) in R64.iter().enumerate() {
            out.push(Instruction::with2(Code::Mov_r64_rm64, *r, word(n))?)?;
        }
        out.bytes.extend_from_slice(instruction);
        if jumps {
            let note = Instruction::with2(Code::Mov_rm32_imm32, word(FELL_THROUGH), 1)?;
            out.push(note)?;
        }
        for (n, r) in R64.iter().enumerate() {
            out.push(Instruction::with2(Code::Mov_rm64_r64, word(16 + n), *r)?)?;
        }
        out.push(Instruction::with2(
            Code::Mov_r64_rm64,
            Register::RSP,
            word(HOST_RSP),
        )?)?;
        out.push(Instruction::with(Code::Pushfq))?;
        out.push(Instruction::with1(Code::Pop_rm64, word(FLAGS_OUT))?)?;
        for r in SAVED.into_iter().rev() {
            out.push(Instruction::with1(Code::Pop_r64, r)?)?;
        }
        out.push(Instruction::with(Code::Retnq))?;
        self.code
            .protect(PAGE, libc::PROT_READ | libc::PROT_WRITE)?;
        self.code.bytes_mut()[..out.bytes.len()].copy_from_slice(&out.bytes);
        self.code.protect(PAGE, libc::PROT_READ | libc::PROT_EXEC)?;
        Ok(())
    }

    fn word(&self, n: usize) -> u64 {
        let at = PAGE + 8 * n;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.code.bytes()[at..at + 8]);
        u64::from_le_bytes(bytes)
    }

    fn set_word(&mut self, n: usize, value: u64) {
        let at = PAGE + 8 * n;
        // SAFETY: the second page of the mapping, which is writable always.
        unsafe {
            ptr::copy_nonoverlapping(value.to_le_bytes().as_ptr(), self.code.start.add(at), 8);
        }
    }

    /// Runs the instruction; whether it jumped is the second result. The caller has seen to it that
    /// it accesses nothing but the buffers and does not trap.
    pub fn run(&mut self, before: &Registers) -> (Registers, bool) {
        for (n, v) in before.gpr.iter().enumerate() {
            self.set_word(n, *v);
        }
        // Bit 1 is always set; interrupts stay enabled.
        let mut flags = 0x202;
        for (bit, set) in FLAGS.iter().zip(before.flags) {
            flags |= u64::from(set) << bit;
        }
        self.set_word(FLAGS_IN, flags);
        self.set_word(FELL_THROUGH, 0);
        // SAFETY: the code follows the C calling convention: it saves what it must, leaves the
        // stack as it was, and the instruction in its middle neither jumps away nor writes outside
        // of the buffers. rsp is not a stack pointer meanwhile; no signal handler runs on it.
        unsafe {
            let run: extern "C" fn() = std::mem::transmute(self.code.start);
            run();
        }
        let flags = self.word(FLAGS_OUT);
        let mut gpr = [0; 16];
        for (n, v) in gpr.iter_mut().enumerate() {
            *v = self.word(16 + n);
        }
        let after = Registers {
            gpr,
            flags: FLAGS.map(|bit| flags >> bit & 1 == 1),
        };
        (after, self.word(FELL_THROUGH) == 0)
    }
}

struct Assembled {
    base: u64,
    bytes: Vec<u8>,
}

impl Assembled {
    fn new(base: u64) -> Assembled {
        Assembled {
            base,
            bytes: Vec::new(),
        }
    }

    fn push(&mut self, i: Instruction) -> Result<(), IcedError> {
        let mut encoder = Encoder::new(64);
        encoder.encode(&i, self.base + self.bytes.len() as u64)?;
        self.bytes.extend(encoder.take_buffer());
        Ok(())
    }
}
