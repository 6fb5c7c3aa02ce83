//! Memory consistency: chunk by chunk in order, every first read finds what memory holds, every
//! access is allowed, and every environment call does what the ABI does.
//!
//! Memory is rebuilt from the ELF, the initial stack, the last writes of each stretch and the host
//! events. The ABI itself runs again over it: what it records must be, byte for byte, the event in
//! the trace. Only the bytes of standard input are taken from the event.

use crate::chunk::{Call, first_difference, start_state};
use crate::error::{Difference, DifferenceKind};
use crate::fault::{Fault, classify};
use crate::interp;
use crate::memory::Memory;
use crate::program::{Fetched, Program};
use crate::shadow::{LINE, Line};
use hartlog_abi::{Abi, Errno, Host, Prot, SetupError};
use hartlog_format::layout::PAGE;
use hartlog_format::parse::{Event, Header};
use hartlog_format::status::FaultKind;
use hartlog_format::trace::{ChunkHeader, end, range};
use hartlog_isa::{Hart, Op, Port, Width};
use sha2::{Digest, Sha256};
use std::convert::Infallible;

/// A stretch of execution without environment call, and the call that ends it.
pub struct Stretch<'t> {
    /// Accesses, in the order of the first of each line.
    pub lines: Vec<Line>,
    /// The call; `None` at the end of a chunk.
    pub call: Option<Call<'t>>,
}

/// Why a trace cannot be audited, or is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The host refused memory.
    #[error("no address space for the guest: {0}")]
    Memory(std::io::Error),
    /// The guest cannot be started with these arguments.
    #[error("{0}")]
    Setup(SetupError<Infallible>),
    /// The trace is wrong.
    #[error("{0}")]
    Difference(Box<Difference>),
}

/// [`Host`] that only fills memory.
pub(crate) struct SetupHost<'a> {
    pub(crate) memory: &'a mut Memory,
}

/// [`Host`] that repeats a call of which the trace tells.
struct AuditHost<'a, 't> {
    memory: &'a mut Memory,
    event: &'a Event<'t>,
    recorded: Vec<u8>,
    output: &'a mut Sha256,
    output_len: &'a mut u64,
}

macro_rules! memory_methods {
    () => {
        type Error = Infallible;

        fn read(&mut self, addr: u64, bytes: &mut [u8]) {
            bytes.copy_from_slice(self.memory.bytes(addr, bytes.len() as u64));
        }

        fn write(&mut self, addr: u64, bytes: &[u8]) {
            self.memory.write(addr, bytes);
        }

        fn map(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Infallible> {
            self.memory.map(addr, len, prot);
            Ok(())
        }

        fn unmap(&mut self, addr: u64, len: u64) -> Result<(), Infallible> {
            self.memory.unmap(addr, len);
            Ok(())
        }

        fn protect(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Infallible> {
            self.memory.protect(addr, len, prot);
            Ok(())
        }

        fn is_terminal(&mut self) -> bool {
            false
        }

        fn unknown_call(&mut self, _: u64) {}
    };
}

impl Host for SetupHost<'_> {
    memory_methods!();

    fn input(&mut self, _: u64, _: u64) -> Result<u64, Errno> {
        Ok(0)
    }

    fn output(&mut self, _: u32, _: u64, _: u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn record(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn record_guest(&mut self, _: u64, _: u64) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Host for AuditHost<'_, '_> {
    memory_methods!();

    /// The bytes that the event says were read. The ABI asks again for what is missing and is told
    /// that the input ends, which gives the same result as a terminal or an error would.
    fn input(&mut self, addr: u64, len: u64) -> Result<u64, Errno> {
        let found = self
            .event
            .ranges()
            .find(|r| r.kind == range::WRITTEN && r.addr == addr);
        if let Some(found) = found {
            let got = found.len.min(len);
            let bytes = found.data.get(..got as usize).unwrap_or_default();
            self.memory.write(addr, bytes);
            return Ok(got);
        }
        let error = self.event.header.result.get().wrapping_neg();
        match u16::try_from(error) {
            Ok(number @ 1..4096) => Err(Errno(number)),
            _ => Ok(0),
        }
    }

    fn output(&mut self, _: u32, addr: u64, len: u64) -> Result<(), Infallible> {
        self.output.update(self.memory.bytes(addr, len));
        *self.output_len += len;
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.recorded.extend_from_slice(bytes);
        Ok(())
    }

    fn record_guest(&mut self, addr: u64, len: u64) -> Result<(), Infallible> {
        self.recorded
            .extend_from_slice(self.memory.bytes(addr, len));
        Ok(())
    }
}

/// Memory that is looked at and left as it is. A fault is the first byte that is not accessible.
struct Attempt<'a> {
    memory: &'a Memory,
}

impl Port for Attempt<'_> {
    type Fault = u64;

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, u64> {
        self.memory.load(addr, width).map_err(|f| f.addr)
    }

    fn store(&mut self, addr: u64, width: Width, _: u64) -> Result<(), u64> {
        self.memory.storable(addr, width).map_err(|f| f.addr)
    }

    fn steps(&mut self) -> u64 {
        0
    }
}

/// Memory and ABI as they are after the chunks so far.
pub struct Auditor<'p> {
    program: &'p Program,
    memory: Memory,
    abi: Abi,
    output: Sha256,
    output_len: u64,
}

impl<'p> Auditor<'p> {
    /// Memory before the first step. `first` is the header of chunk 0, if there is one: it must
    /// hold the state of a fresh guest.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn new(
        program: &'p Program,
        header: &Header<'_>,
        first: Option<&ChunkHeader>,
    ) -> Result<Auditor<'p>, AuditError> {
        let memory = Memory::new().map_err(AuditError::Memory)?;
        Auditor::over(memory, program, header, first)
    }

    /// [`Auditor::new`] over memory that nothing is mapped in.
    pub(crate) fn over(
        mut memory: Memory,
        program: &'p Program,
        header: &Header<'_>,
        first: Option<&ChunkHeader>,
    ) -> Result<Auditor<'p>, AuditError> {
        let args: Vec<Vec<u8>> = header.arguments().map(<[u8]>::to_vec).collect();
        let env: Vec<Vec<u8>> = header.environment().map(<[u8]>::to_vec).collect();
        let (abi, hart) =
            interp::start(program.elf(), &mut memory, &args, &env).map_err(AuditError::Setup)?;
        if let Some(first) = first
            && let Some((item, expected, found)) = first_difference(&hart, &start_state(first))
        {
            let kind = DifferenceKind::FirstStart {
                item,
                expected,
                found,
            };
            let difference = Difference::new(program, 0, 0, first.start_pc.get(), kind);
            return Err(AuditError::Difference(Box::new(difference)));
        }
        Ok(Auditor {
            program,
            memory,
            abi,
            output: Sha256::new(),
            output_len: 0,
        })
    }

    /// Checks the accesses of a stretch and performs its writes: `last` of the lines is exchanged with
    /// what memory held. Whether they agree; if not, memory is as it was, and so are the lines.
    pub fn accesses(&mut self, lines: &mut [Line]) -> bool {
        let (mut page, mut prot) = (u64::MAX, Prot::None);
        for i in 0..lines.len() {
            let line = &mut lines[i];
            if line.addr / PAGE != page {
                page = line.addr / PAGE;
                prot = self.memory.prot(line.addr);
            }
            let allowed = (prot >= Prot::Read || line.reads == 0)
                && (prot >= Prot::ReadWrite || line.writes == 0);
            let bytes = self.memory.bytes_mut(line.addr, line.first.len() as u64);
            if !(allowed && agrees(line, bytes)) {
                for line in lines[..i].iter_mut().rev() {
                    exchange(line, self.memory.bytes_mut(line.addr, LINE));
                }
                return false;
            }
            exchange(line, bytes);
        }
        true
    }

    /// Performs an environment call again and compares its event.
    ///
    /// # Errors
    /// What the event says otherwise.
    pub fn call(&mut self, call: &Call<'_>) -> Result<(), DifferenceKind> {
        let mut host = AuditHost {
            memory: &mut self.memory,
            event: &call.event,
            recorded: Vec::new(),
            output: &mut self.output,
            output_len: &mut self.output_len,
        };
        let Ok(outcome) = self.abi.call(&mut host, &call.x, call.step);
        let differs = |what, expected, found| {
            Err(DifferenceKind::Event {
                number: call.x[17],
                what,
                expected,
                found,
            })
        };
        let found = call.event.header.result.get();
        if outcome.result != found {
            return differs("result", outcome.result, found);
        }
        if host.recorded != call.raw {
            let at = host.recorded.iter().zip(call.raw).position(|(a, b)| a != b);
            return match at {
                Some(at) => {
                    let (a, b) = (host.recorded[at], call.raw[at]);
                    differs("byte of the event", a.into(), b.into())
                }
                None => differs(
                    "bytes of the event",
                    host.recorded.len() as u64,
                    call.raw.len() as u64,
                ),
            };
        }
        Ok(())
    }

    /// Checks that a fault at the end of the last chunk happens in this memory. `hart` is the state
    /// at the end of the chunk.
    ///
    /// # Errors
    /// [`DifferenceKind::NoFault`].
    pub fn fault(&self, header: &ChunkHeader, hart: &Hart) -> Result<(), DifferenceKind> {
        let kind = FaultKind::from_code(header.end_code.get());
        let Some(kind) = kind.filter(|_| header.end_kind.get() == end::FAULT) else {
            return Ok(());
        };
        let expected = Fault {
            kind,
            pc: hart.pc,
            value: header.end_value.get(),
        };
        let found = match self.program.fetch(hart.pc) {
            Fetched::Inst(inst) => {
                let mut port = Attempt {
                    memory: &self.memory,
                };
                match hartlog_isa::execute(&mut hart.clone(), inst, &mut port) {
                    Ok(_) => None,
                    Err(trap) => Some(classify(self.program, hart.pc, trap)),
                }
            }
            _ => Some(self.program.fetch_fault(hart.pc)),
        };
        if found == Some(expected) {
            Ok(())
        } else {
            Err(DifferenceKind::NoFault { expected })
        }
    }

    /// Checks that a run that ended at its memory limit asks for more there. `hart` is the state at
    /// the end of the chunk, `step` the number of steps before.
    ///
    /// # Errors
    /// [`DifferenceKind::NoRequest`].
    pub fn request(
        &mut self,
        header: &ChunkHeader,
        hart: &Hart,
        step: u64,
    ) -> Result<(), DifferenceKind> {
        if header.end_kind.get() != end::MEMORY_LIMIT {
            return Ok(());
        }
        let limit = header.end_value.get();
        self.abi.limit_memory(limit);
        let is_call = matches!(self.program.fetch(hart.pc), Fetched::Inst(i) if i.op == Op::Ecall);
        // Who has too much from the start does not come to ask for more.
        let reached = match self.abi.over_limit(None) {
            true => step == 0,
            false => is_call && self.abi.over_limit(Some(&hart.x)),
        };
        if reached {
            Ok(())
        } else {
            Err(DifferenceKind::NoRequest { limit })
        }
    }

    /// Length and digest of what the guest wrote to its standard output and error.
    pub fn output(&self) -> (u64, [u8; 32]) {
        (self.output_len, self.output.clone().finalize().into())
    }

    /// The program.
    pub fn program(&self) -> &'p Program {
        self.program
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The memory, for what an engine does with it.
    pub(crate) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

/// Whether memory holds what was read first.
fn agrees(line: &Line, bytes: &[u8]) -> bool {
    let words = bytes.chunks_exact(8).enumerate();
    words.fold(true, |same, (word, now)| {
        let at = 8 * word;
        let reads = expand((line.reads >> at) as u8);
        same & ((word_at(now, 0) ^ word_at(&line.first, at)) & reads == 0)
    })
}

/// Exchanges what memory holds and what was written last.
fn exchange(line: &mut Line, bytes: &mut [u8]) {
    if line.writes == 0 {
        return;
    }
    let words = bytes.chunks_exact_mut(8).zip(line.last.chunks_exact_mut(8));
    for (word, (now, last)) in words.enumerate() {
        let writes = expand((line.writes >> (8 * word)) as u8);
        let (a, b) = (word_at(now, 0), word_at(last, 0));
        let differing = (a ^ b) & writes;
        now.copy_from_slice(&(a ^ differing).to_le_bytes());
        last.copy_from_slice(&(b ^ differing).to_le_bytes());
    }
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(from) = bytes.get(at..at + 8) {
        word.copy_from_slice(from);
    }
    u64::from_le_bytes(word)
}

/// Every bit becomes a byte of ones or zeros.
fn expand(bits: u8) -> u64 {
    const COPIES: u64 = 0x0101_0101_0101_0101;
    // Bit i of byte i.
    const DIAGONAL: u64 = 0x8040_2010_0804_0201;
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let picked = u64::from(bits).wrapping_mul(COPIES) & DIAGONAL;
    // The addition carries into a byte's top bit iff one of its low seven bits is set.
    let nonzero = (((picked & LOW) + LOW) | picked) & !LOW;
    (nonzero >> 7) * 0xff
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bit_becomes_a_byte() {
        for bits in 0..=u8::MAX {
            let bytes: [u8; 8] = std::array::from_fn(|i| if bits >> i & 1 == 1 { 0xff } else { 0 });
            assert_eq!(super::expand(bits), u64::from_le_bytes(bytes), "{bits:#x}");
        }
    }
}
