//! The interpreter side: guest memory, environment calls, and one chunk after the other by
//! `hartlog_isa::execute`.

use hartlog_elf::Elf;
use hartlog_format::status::FaultKind;
use hartlog_isa::{Hart, Outcome, Port, Trap, Width, decode_at, execute};

/// `exit` of the Linux user ABI.
pub const EXIT: u64 = 93;

/// Mapped guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Guest address; a multiple of the page size.
    pub addr: u64,
    /// Whether stores may go here.
    pub writable: bool,
    /// Its contents, whole pages.
    pub bytes: Vec<u8>,
}

/// What the interpreter needs of a guest's memory.
pub trait GuestMemory {
    /// The bytes from an address to the end of its region, and whether they are writable.
    fn at(&mut self, addr: u64) -> Option<(&mut [u8], bool)>;
}

impl GuestMemory for Vec<Region> {
    fn at(&mut self, addr: u64) -> Option<(&mut [u8], bool)> {
        let region = self.iter_mut().find(|r| {
            addr.checked_sub(r.addr)
                .is_some_and(|offset| offset < r.bytes.len() as u64)
        })?;
        let offset = (addr - region.addr) as usize;
        Some((&mut region.bytes[offset..], region.writable))
    }
}

/// Why an instruction did not retire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Where: pc of the instruction.
    pub pc: u64,
    /// First byte that is not accessible, or the misaligned address; else 0.
    pub value: u64,
}

/// Why a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its steps are used up; the next instruction is not attempted.
    Budget,
    /// The program exited with this status.
    Exit(u8),
    /// The next instruction trapped.
    Fault(Fault),
}

/// Guest memory as the semantics see it.
struct Bus<'a, M> {
    memory: &'a mut M,
    log: &'a mut Vec<u8>,
    steps: u64,
}

impl<M: GuestMemory> Bus<'_, M> {
    /// Calls `f` with each byte of the access.
    fn bytes(
        &mut self,
        addr: u64,
        width: Width,
        store: bool,
        mut f: impl FnMut(usize, &mut u8),
    ) -> Result<(), Access> {
        // All bytes are checked before the first one changes.
        for pass in 0..2 {
            for i in 0..width.bytes() {
                let at = addr.wrapping_add(i);
                match self.memory.at(at) {
                    Some((bytes, writable)) if writable || !store => {
                        if pass == 1 {
                            f(i as usize, &mut bytes[0]);
                        }
                    }
                    _ => return Err(Access { addr: at, store }),
                }
            }
        }
        Ok(())
    }
}

/// An access that is not possible.
#[derive(Clone, Copy, Debug)]
struct Access {
    addr: u64,
    store: bool,
}

impl<M: GuestMemory> Port for Bus<'_, M> {
    type Fault = Access;

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, Access> {
        let mut value = [0; 8];
        self.bytes(addr, width, false, |i, byte| value[i] = *byte)?;
        self.log.extend_from_slice(&value[..width.bytes() as usize]);
        Ok(u64::from_le_bytes(value))
    }

    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), Access> {
        let value = value.to_le_bytes();
        self.bytes(addr, width, true, |i, byte| *byte = value[i])
    }

    fn steps(&mut self) -> u64 {
        self.steps
    }
}

/// Executes the instruction at the hart's pc. `steps` were retired before it.
///
/// # Errors
/// [`Fault`]; then nothing has changed.
pub fn interpret<M: GuestMemory>(
    elf: &Elf,
    hart: &mut Hart,
    memory: &mut M,
    log: &mut Vec<u8>,
    steps: u64,
) -> Result<Outcome, Fault> {
    let logged = log.len();
    let outcome = execute_at(elf, hart, &mut Bus { memory, log, steps });
    if outcome.is_err() {
        log.truncate(logged);
    }
    outcome
}

/// Executes the instruction at the hart's pc with the values that a run logged. Returns how many
/// bytes of the log that took.
///
/// # Errors
/// [`Fault`]; its access is meaningless where the log is too short.
pub fn replay(
    elf: &Elf,
    hart: &mut Hart,
    log: &[u8],
    steps: u64,
) -> Result<(Outcome, usize), Fault> {
    let mut port = Logged {
        log,
        taken: 0,
        steps,
    };
    let outcome = execute_at(elf, hart, &mut port)?;
    Ok((outcome, port.taken))
}

fn execute_at<P: Port<Fault = Access>>(
    elf: &Elf,
    hart: &mut Hart,
    port: &mut P,
) -> Result<Outcome, Fault> {
    let pc = hart.pc;
    let fault = |kind, value| Fault { kind, pc, value };
    let Some(bytes) = elf.code_at(pc) else {
        return Err(fault(FaultKind::FetchAccess, 0));
    };
    let Ok(inst) = decode_at(bytes) else {
        return Err(fault(FaultKind::Illegal, 0));
    };
    execute(hart, &inst, port).map_err(|trap| match trap {
        Trap::Illegal => fault(FaultKind::Illegal, 0),
        Trap::Breakpoint => fault(FaultKind::Breakpoint, 0),
        Trap::Misaligned { addr } => fault(FaultKind::MisalignedAtomic, addr),
        Trap::Memory(Access { addr, store: false }) => fault(FaultKind::LoadAccess, addr),
        Trap::Memory(Access { addr, store: true }) => fault(FaultKind::StoreAccess, addr),
    })
}

/// A log as the semantics see it: loads come from it, stores go nowhere.
struct Logged<'a> {
    log: &'a [u8],
    taken: usize,
    steps: u64,
}

impl Port for Logged<'_> {
    type Fault = Access;

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, Access> {
        let len = width.bytes() as usize;
        let bytes = self
            .log
            .get(self.taken..self.taken + len)
            .ok_or(Access { addr, store: false })?;
        self.taken += len;
        let mut value = [0; 8];
        value[..len].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(value))
    }

    fn store(&mut self, _: u64, _: Width, _: u64) -> Result<(), Access> {
        Ok(())
    }

    fn steps(&mut self) -> u64 {
        self.steps
    }
}

/// Performs the environment call of a hart that is already behind its `ecall`: exit, or something
/// that depends on all argument registers and changes a0. The status if it is an exit.
pub fn environment_call(x: &mut [u64; 32]) -> Option<u8> {
    if x[17] == EXIT {
        return Some(x[10] as u8);
    }
    x[10] = x[10..18].iter().fold(0, |sum: u64, v| {
        (sum ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    None
}

/// A run on the interpreter.
#[derive(Clone, Debug)]
pub struct Reference<'p> {
    elf: &'p Elf,
    /// The hart.
    pub hart: Hart,
    /// Guest memory.
    pub memory: Vec<Region>,
    /// Read log of the chunk.
    pub log: Vec<u8>,
    /// Steps retired.
    pub steps: u64,
}

impl<'p> Reference<'p> {
    /// A run that is about to start.
    pub fn new(elf: &'p Elf, hart: Hart, memory: Vec<Region>) -> Reference<'p> {
        Reference {
            elf,
            hart,
            memory,
            log: Vec::new(),
            steps: 0,
        }
    }

    /// Runs a chunk of so many steps.
    pub fn chunk(&mut self, budget: u64) -> Stop {
        self.log.clear();
        let end = self.steps + budget;
        while self.steps < end {
            match interpret(
                self.elf,
                &mut self.hart,
                &mut self.memory,
                &mut self.log,
                self.steps,
            ) {
                Ok(outcome) => {
                    self.steps += 1;
                    if outcome == Outcome::Ecall
                        && let Some(status) = environment_call(&mut self.hart.x)
                    {
                        return Stop::Exit(status);
                    }
                }
                Err(fault) => return Stop::Fault(fault),
            }
        }
        Stop::Budget
    }
}
