//! Host instructions as formulas: symbolic execution of emitted code, decoded by iced-x86.
//!
//! The state is that of the contract (`templates::place`): sixteen registers, four flags, the
//! fields of the state block that `rbp` points into, the read log from `rdi` on, and the guest's
//! memory. Only these can be reached: anything else that an instruction names is an error, and so
//! are instructions without a model, flags that are read while undefined, and writes to `rbp`.

mod ops;

use crate::term::{Pool, Term};
use hartlog_format::contract::{offset, slot};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, MemorySize, OpKind, Register};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Why code cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An instruction that there is no model of.
    #[error("at {host:#x}: no model of `{what}`")]
    NoModel {
        /// Offset of the instruction.
        host: u32,
        /// The instruction.
        what: String,
    },
    /// An instruction reads a flag that has no defined value.
    #[error("at {host:#x}: `{what}` reads a flag that is undefined")]
    Undefined {
        /// Offset of the instruction.
        host: u32,
        /// The instruction.
        what: String,
    },
    /// An access to something that generated code has no business with.
    #[error("at {host:#x}: `{what}` reaches outside of state block, log and guest memory")]
    Outside {
        /// Offset of the instruction.
        host: u32,
        /// The instruction.
        what: String,
    },
    /// The pointer to the state block is overwritten.
    #[error("at {host:#x}: rbp is overwritten")]
    StatePointer {
        /// Offset of the instruction.
        host: u32,
    },
    /// Control leaves the code other than by a jump that is accounted for.
    #[error("at {host:#x}: control leaves the code")]
    Lost {
        /// Offset.
        host: u32,
    },
    /// More instructions or paths than a block has.
    #[error("too many paths, or a loop")]
    Endless,
}

/// An access to the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// A write, else a read.
    pub write: bool,
    /// Address, 32 bits.
    pub addr: Term,
    /// Bytes.
    pub bytes: u8,
    /// Value read or written, `8 * bytes` bits.
    pub value: Term,
    /// Offset of the host instruction.
    pub host: u32,
    /// The budget register then.
    pub budget: Term,
    /// The log register then.
    pub log: Term,
    /// Bytes of the log written then, from its start without a gap.
    pub logged: u32,
    /// Bytes read before this that are not written there but wait in xmm0.
    pub waiting: u32,
}

/// A read of the jump table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRead {
    /// Host address, 64 bits.
    pub addr: Term,
    /// The entry, 32 or 64 bits.
    pub value: Term,
}

/// The machine's state on one path.
#[derive(Clone, Debug)]
pub struct State {
    /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    pub gpr: [Term; 16],
    /// Carry; `None`: undefined.
    pub cf: Option<Term>,
    /// Zero.
    pub zf: Option<Term>,
    /// Sign.
    pub sf: Option<Term>,
    /// Overflow.
    pub of: Option<Term>,
    /// Whether sign and overflow differ ("less", signed).
    pub less: Option<Term>,
    /// Fields of the state block by displacement from rbp, 64 bits each.
    pub fields: BTreeMap<i32, Term>,
    /// Accesses to the guest's memory, in order.
    pub accesses: Vec<Access>,
    /// Bytes written to the log by distance from its start.
    pub log: BTreeMap<i64, Term>,
    /// The lower bytes of xmm0, as far as they are known.
    pub vector: Vec<Term>,
    /// The lower halves of the other vector registers, if something was put there.
    pub parked: [Option<Term>; 16],
    /// Address and bytes of what was read into xmm0 last, if nothing was accessed since: the same
    /// value is read again for the guest's register.
    pub gathered: Option<(Term, u8)>,
    /// Reads of the jump table.
    pub table: Vec<TableRead>,
    /// Conditions under which this path is taken (one bit each, all true).
    pub path: Vec<Term>,
    /// What has to hold on this path for the host not to trap.
    pub demands: Vec<(Term, u32)>,
}

/// Names of the host registers, in the order of their numbers.
pub const REGISTERS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// The second scratch register.
pub const RDX: usize = 2;
/// The budget.
pub const RSP: usize = 4;
/// The state pointer.
pub const RBP: usize = 5;
/// The log pointer.
pub const RDI: usize = 7;

impl State {
    /// A state in which everything is unknown but that x0's slot holds 0.
    pub fn unknown(pool: &mut Pool) -> State {
        let gpr = REGISTERS.map(|name| pool.var(name, 64));
        let mut fields = BTreeMap::new();
        for r in 0..32u8 {
            fields.insert(slot(r), pool.var(&format!("slot{r}"), 64));
        }
        fields.insert(slot(0), pool.val(0, 64));
        for (name, at) in FIELDS {
            fields.insert(at, pool.var(name, 64));
        }
        State {
            gpr,
            cf: None,
            zf: None,
            sf: None,
            of: None,
            less: None,
            fields,
            accesses: Vec::new(),
            log: BTreeMap::new(),
            vector: Vec::new(),
            parked: [None; 16],
            gathered: None,
            table: Vec::new(),
            path: Vec::new(),
            demands: Vec::new(),
        }
    }
}

impl State {
    /// Bytes that reads of the guest's memory have read.
    pub fn bytes_read(&self) -> u32 {
        let reads = self.accesses.iter().filter(|a| !a.write);
        reads.map(|a| u32::from(a.bytes)).sum()
    }

    /// Bytes of the log that are written, from its start without a gap.
    pub fn bytes_logged(&self) -> u32 {
        (0..).take_while(|at| self.log.contains_key(at)).count() as u32
    }

    /// How many of the bytes read are not logged; they have to be the lowest ones of xmm0, else
    /// there are none.
    pub fn bytes_waiting(&self, pool: &mut Pool) -> u32 {
        let logged = self.bytes_logged() as usize;
        let mut read = Vec::new();
        for a in self.accesses.iter().filter(|a| !a.write) {
            read.extend((0..a.bytes).map(|k| pool.extract(a.value, 8 * k, 8)));
        }
        match read.get(logged..) {
            Some(rest) if self.vector.starts_with(rest) => rest.len() as u32,
            _ => 0,
        }
    }
}

/// Fields of the state block that templates use, other than slots.
pub const FIELDS: [(&str, i32); 3] = [
    ("reservation", offset::RESERVATION),
    ("step_end", offset::STEP_END),
    ("scratch", offset::SCRATCH),
];

/// What a memory operand refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The state block: displacement from rbp.
    Field(i32),
    /// The log: distance from its start.
    Log(i64),
    /// Guest memory: address of 32 bits.
    Guest(Term),
    /// The jump table: host address.
    Table(Term),
}

/// Where and how a path ends.
#[derive(Clone, Debug)]
pub struct Path {
    /// The state at its end.
    pub state: State,
    /// How it ends.
    pub end: End,
}

/// How a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the jump whose displacement ends at this offset.
    Jump(u32),
    /// At this offset, a place where execution was to stop.
    Stop(u32),
    /// By a jump to the host address in a term.
    Register(Term),
    /// By `ud2` at this offset.
    Trap(u32),
}

/// An instruction form that occurred: what the model has to be compared with the processor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Form {
    /// iced-x86's number of the instruction with its operand kinds.
    pub code: u16,
    /// Kind of its memory operand: 0 none, 1 field, 2 log, 3 guest, 4 table.
    pub memory: u8,
    /// Whether the first two operands are the same register.
    pub same: bool,
}

/// Code to be executed.
pub struct Machine<'a> {
    /// All terms.
    pub pool: &'a mut Pool,
    /// The code.
    pub code: &'a [u8],
    /// Offsets just after displacements that are filled in later.
    pub jumps: &'a BTreeSet<u32>,
    /// Offsets at which execution stops when they are jumped to.
    pub stops: &'a BTreeSet<u32>,
    /// Offsets at which it stops when they are reached without a jump.
    pub falls: &'a BTreeSet<u32>,
    /// Whether rdi is the log pointer.
    pub log: bool,
    /// The unknown that a certain immediate or displacement stands for, 64 bits.
    pub immediate: Option<(i64, Term)>,
    /// Forms that occurred, with an example each.
    pub forms: &'a mut HashMap<Form, Vec<u8>>,
}

/// Most instructions on one path.
const MAX_LENGTH: usize = 4096;

/// Most paths of a block.
const MAX_PATHS: usize = 4096;

impl Machine<'_> {
    /// Follows the code from an offset on, on all paths.
    ///
    /// # Errors
    /// [`Refusal`], if there is something in it that has no model or must not be there.
    pub fn run(&mut self, start: u32, state: State) -> Result<Vec<Path>, Refusal> {
        let mut out = Vec::new();
        let mut todo = vec![(start, state, 0)];
        while let Some((mut ip, mut state, mut length)) = todo.pop() {
            let mut jumped = false;
            let end = loop {
                if length > 0 && self.falls.contains(&ip) || jumped && self.stops.contains(&ip) {
                    break End::Stop(ip);
                }
                jumped = false;
                length += 1;
                if length > MAX_LENGTH || out.len() + todo.len() > MAX_PATHS {
                    return Err(Refusal::Endless);
                }
                let i = self.decode(ip)?;
                let next = i.next_ip32();
                if i.is_jmp_short_or_near() || i.is_jcc_short_or_near() {
                    let taken = if i.is_jcc_short_or_near() {
                        self.note(&i, &state);
                        self.condition(&i, &state)?
                    } else {
                        self.pool.bool(true)
                    };
                    let not = self.pool.not(taken);
                    let open = self.jumps.contains(&next);
                    match self.pool.constant(taken) {
                        Some(0) => ip = next,
                        Some(_) if open => break End::Jump(next),
                        Some(_) => (ip, jumped) = (i.near_branch32(), true),
                        None => {
                            let mut other = state.clone();
                            other.path.push(not);
                            state.path.push(taken);
                            todo.push((next, other, length));
                            if open {
                                break End::Jump(next);
                            }
                            (ip, jumped) = (i.near_branch32(), true);
                        }
                    }
                    continue;
                }
                match i.code() {
                    Code::Jmp_rm64 => {
                        let to = match i.op0_kind() {
                            OpKind::Register => self.register(&state, i.op0_register()),
                            _ => self.load(&i, &mut state, 8)?,
                        };
                        break End::Register(to);
                    }
                    Code::Ud2 => break End::Trap(ip),
                    _ => self.execute(&i, &mut state)?,
                }
                ip = next;
            };
            out.push(Path { state, end });
        }
        Ok(out)
    }

    /// Executes one instruction that does not transfer control, the one at offset 0.
    ///
    /// # Errors
    /// [`Refusal`], if it has no model or must not be there.
    pub fn single(&mut self, state: &mut State) -> Result<(), Refusal> {
        let i = self.decode(0)?;
        self.execute(&i, state)
    }

    /// The condition of the conditional jump at offset 0.
    ///
    /// # Errors
    /// [`Refusal`], if it has no model or reads undefined flags.
    pub fn jump_condition(&mut self, state: &State) -> Result<Term, Refusal> {
        let i = self.decode(0)?;
        self.condition(&i, state)
    }

    /// The instruction at an offset.
    fn decode(&self, ip: u32) -> Result<Instruction, Refusal> {
        let lost = Refusal::Lost { host: ip };
        let bytes = self.code.get(ip as usize..).ok_or(lost.clone())?;
        let mut decoder = Decoder::with_ip(64, bytes, u64::from(ip), DecoderOptions::NONE);
        if !decoder.can_decode() {
            return Err(lost);
        }
        let i = decoder.decode();
        if i.is_invalid() {
            return Err(Refusal::NoModel {
                host: ip,
                what: format!("{:02x?}", &bytes[..bytes.len().min(8)]),
            });
        }
        Ok(i)
    }

    /// The part of a register that an operand names.
    pub(crate) fn register(&mut self, state: &State, r: Register) -> Term {
        let full = state.gpr[r.full_register().number()];
        self.pool.low(full, 8 * r.size() as u8)
    }

    /// Writes (a part of) a register: 32 bits clear the upper half, fewer leave the rest.
    fn set_register(
        &mut self,
        i: &Instruction,
        state: &mut State,
        r: Register,
        value: Term,
    ) -> Result<(), Refusal> {
        let number = r.full_register().number();
        if number == RBP {
            return Err(Refusal::StatePointer { host: i.ip32() });
        }
        let high = matches!(r, Register::AH | Register::BH | Register::CH | Register::DH);
        let width = self.pool.width(value);
        if high || !r.is_gpr() || usize::from(width) != 8 * r.size() {
            return Err(self.no_model(i));
        }
        state.gpr[number] = match width {
            64 => value,
            32 => self.pool.zero_extend(value, 64),
            _ => {
                let rest = self.pool.extract(state.gpr[number], width, 64 - width);
                self.pool.concat(rest, value)
            }
        };
        Ok(())
    }

    fn no_model(&self, i: &Instruction) -> Refusal {
        Refusal::NoModel {
            host: i.ip32(),
            what: i.to_string(),
        }
    }

    /// A number in an instruction: the unknown, if it is what that stands for.
    fn number(&mut self, v: i64) -> Term {
        match self.immediate {
            Some((c, t)) if c == v => t,
            _ => self.pool.val(v as u64, 64),
        }
    }

    /// The address that a memory operand computes, 64 bits.
    fn effective(&mut self, i: &Instruction, state: &State) -> Result<Term, Refusal> {
        let (base, index) = (i.memory_base(), i.memory_index());
        let usable = |r: Register| r == Register::None || r.is_gpr32() || r.is_gpr64();
        if !usable(base) || !usable(index) || i.segment_prefix() != Register::None {
            return Err(Refusal::Outside {
                host: i.ip32(),
                what: i.to_string(),
            });
        }
        let narrow = self.is_narrow(i);
        let width = if narrow { 32 } else { 64 };
        let disp = match narrow {
            true => i64::from(i.memory_displacement32() as i32),
            false => i.memory_displacement64() as i64,
        };
        let host = !narrow && (base == Register::RBP || self.is_log(i, state));
        let disp = if host {
            self.pool.val(disp as u64, 64)
        } else {
            self.number(disp)
        };
        let mut sum = self.pool.low(disp, width);
        if index != Register::None {
            let r = self.register(state, index);
            let scale = u64::from(i.memory_index_scale().trailing_zeros());
            let scaled = self.pool.shift_by(crate::term::Kind::Shl, r, scale);
            sum = self.pool.add(scaled, sum);
        }
        if base != Register::None {
            let r = self.register(state, base);
            sum = self.pool.add(r, sum);
        }
        Ok(self.pool.zero_extend(sum, 64))
    }

    fn is_narrow(&self, i: &Instruction) -> bool {
        let (base, index) = (i.memory_base(), i.memory_index());
        base.is_gpr32()
            || index.is_gpr32()
            || (base == Register::None && index == Register::None && i.memory_displ_size() == 4)
    }

    fn is_log(&self, i: &Instruction, _: &State) -> bool {
        self.log && i.memory_base() == Register::RDI
    }

    /// What a memory operand refers to.
    pub(crate) fn place(&mut self, i: &Instruction, state: &State) -> Result<Place, Refusal> {
        let address = self.effective(i, state)?;
        if self.is_narrow(i) {
            return Ok(Place::Guest(self.pool.low(address, 32)));
        }
        let outside = Refusal::Outside {
            host: i.ip32(),
            what: i.to_string(),
        };
        if i.memory_base() == Register::RBP {
            if i.memory_index() != Register::None {
                return Ok(Place::Table(address));
            }
            let disp = i.memory_displacement64() as i64;
            return i32::try_from(disp).map(Place::Field).map_err(|_| outside);
        }
        if self.log {
            let start = self.pool.var(REGISTERS[RDI], 64);
            let distance = self.pool.sub(address, start);
            if let Some(distance) = self.pool.constant(distance) {
                return Ok(Place::Log(distance as i64));
            }
        }
        Err(outside)
    }

    /// Reads memory.
    fn load(&mut self, i: &Instruction, s: &mut State, bytes: u8) -> Result<Term, Refusal> {
        let width = 8 * bytes;
        let outside = Refusal::Outside {
            host: i.ip32(),
            what: i.to_string(),
        };
        match self.place(i, s)? {
            Place::Field(at) => {
                let (field, inside) = (at & !7, at & 7);
                let value = *s.fields.get(&field).ok_or(outside.clone())?;
                if inside + i32::from(bytes) > 8 {
                    return Err(outside);
                }
                Ok(self.pool.extract(value, 8 * inside as u8, width))
            }
            Place::Log(at) => {
                // What was written here is not what is read there.
                if !s.log.is_empty() {
                    return Err(outside);
                }
                Ok(self.pool.var(&format!("read{at}"), width))
            }
            Place::Guest(addr) => {
                if s.gathered.take() == Some((addr, bytes))
                    && let Some(last) = s.accesses.last()
                {
                    return Ok(last.value);
                }
                let before = s.bytes_read();
                let value = self.pool.var(&format!("read{before}"), width);
                self.access(i, s, false, addr, bytes, value);
                Ok(value)
            }
            Place::Table(addr) => {
                let value = self.pool.var("entry", width);
                s.table.push(TableRead { addr, value });
                Ok(value)
            }
        }
    }

    fn access(
        &mut self,
        i: &Instruction,
        s: &mut State,
        write: bool,
        addr: Term,
        bytes: u8,
        value: Term,
    ) {
        s.accesses.push(Access {
            write,
            addr,
            bytes,
            value,
            host: i.ip32(),
            budget: s.gpr[RSP],
            log: s.gpr[RDI],
            logged: s.bytes_logged(),
            waiting: s.bytes_waiting(self.pool),
        });
        s.gathered = None;
    }

    /// Writes memory.
    fn store(&mut self, i: &Instruction, s: &mut State, value: Term) -> Result<(), Refusal> {
        let width = self.pool.width(value);
        let bytes = width / 8;
        let outside = Refusal::Outside {
            host: i.ip32(),
            what: i.to_string(),
        };
        match self.place(i, s)? {
            Place::Field(at) => {
                let (field, inside) = (at & !7, at & 7);
                let fixed = field == slot(0) || field == offset::STEP_END;
                let old = *s.fields.get(&field).ok_or(outside.clone())?;
                if fixed || inside + i32::from(bytes) > 8 {
                    return Err(outside);
                }
                let mut new = value;
                let low = 8 * inside as u8;
                if low > 0 {
                    let rest = self.pool.extract(old, 0, low);
                    new = self.pool.concat(new, rest);
                }
                if low + width < 64 {
                    let rest = self.pool.extract(old, low + width, 64 - low - width);
                    new = self.pool.concat(rest, new);
                }
                s.fields.insert(field, new);
                Ok(())
            }
            Place::Log(at) => {
                for k in 0..bytes {
                    let byte = self.pool.extract(value, 8 * k, 8);
                    // What is logged is not written again.
                    if s.log.insert(at + i64::from(k), byte).is_some() {
                        return Err(outside);
                    }
                }
                Ok(())
            }
            Place::Guest(addr) => {
                self.access(i, s, true, addr, bytes, value);
                Ok(())
            }
            Place::Table(_) => Err(outside),
        }
    }

    /// Moves of 64 bits between a host register or memory and a vector register other than xmm0.
    fn parked(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        let number = |n: u32| {
            let r = i.op_register(n);
            (i.op_kind(n) == OpKind::Register && r.is_xmm()).then(|| r.number())
        };
        if i.mnemonic() != iced_x86::Mnemonic::Movq {
            return Err(self.no_model(i));
        }
        match (number(0), number(1)) {
            (Some(x), None) => {
                let value = self.operand(i, s, 1)?;
                s.parked[x] = Some(value);
                Ok(())
            }
            (None, Some(x)) => {
                // What was never put there is nobody's value.
                let value = s.parked[x].ok_or_else(|| self.no_model(i))?;
                self.set(i, s, 0, value)
            }
            _ => Err(self.no_model(i)),
        }
    }

    /// Moves between vector registers and memory or host registers: xmm0 gathers what is logged,
    /// the others have values that wait.
    pub(crate) fn vector(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        use iced_x86::Mnemonic::{Movhps, Movq};
        let is_vector = |n: u32| i.op_kind(n) == OpKind::Register && i.op_register(n).is_xmm();
        let other = |n: u32| is_vector(n) && i.op_register(n) != Register::XMM0;
        if other(0) || other(1) {
            return self.parked(i, s);
        }
        let bytes = i.memory_size().size() as u8;
        if i.op_kind(0) == OpKind::Memory && i.op1_register() == Register::XMM0 {
            let outside = Refusal::Outside {
                host: i.ip32(),
                what: i.to_string(),
            };
            let Place::Log(at) = self.place(i, s)? else {
                return Err(outside);
            };
            if at < 0 || at + i64::from(bytes) > i64::from(s.bytes_read()) {
                return Err(outside);
            }
            let stored = s.vector.get(..usize::from(bytes)).ok_or(outside.clone())?;
            for (at, byte) in (at..).zip(stored) {
                if s.log.insert(at, *byte).is_some() {
                    return Err(outside);
                }
            }
            s.vector.clear();
            return Ok(());
        }
        if !is_vector(0) || i.op0_register() != Register::XMM0 || is_vector(1) {
            return Err(self.no_model(i));
        }
        let value = self.load(i, s, bytes)?;
        s.gathered = s.accesses.last().map(|a| (a.addr, a.bytes));
        let at = match i.mnemonic() {
            Movq => 0,
            Movhps => 8,
            _ => return Err(self.no_model(i)),
        };
        if s.vector.len() < at {
            return Err(self.no_model(i));
        }
        s.vector.truncate(at);
        for k in 0..bytes {
            let byte = self.pool.extract(value, 8 * k, 8);
            s.vector.push(byte);
        }
        Ok(())
    }

    /// Reads an operand.
    fn operand(&mut self, i: &Instruction, s: &mut State, n: u32) -> Result<Term, Refusal> {
        match i.op_kind(n) {
            OpKind::Register if i.op_register(n).is_gpr() => {
                let r = i.op_register(n);
                if matches!(r, Register::AH | Register::BH | Register::CH | Register::DH) {
                    return Err(self.no_model(i));
                }
                Ok(self.register(s, r))
            }
            OpKind::Memory => {
                let bytes = self.memory_bytes(i)?;
                self.load(i, s, bytes)
            }
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => {
                let size = self.operand_bits(i, 0)?;
                let shift = 64 - u32::from(size);
                let v = (i.immediate(n) << shift) as i64 >> shift;
                let full = self.number(v);
                Ok(self.pool.low(full, size))
            }
            _ => Err(self.no_model(i)),
        }
    }

    fn memory_bytes(&self, i: &Instruction) -> Result<u8, Refusal> {
        match i.memory_size() {
            MemorySize::UInt8 | MemorySize::Int8 => Ok(1),
            MemorySize::UInt16 | MemorySize::Int16 => Ok(2),
            MemorySize::UInt32 | MemorySize::Int32 => Ok(4),
            MemorySize::UInt64 | MemorySize::Int64 => Ok(8),
            _ => Err(self.no_model(i)),
        }
    }

    /// Size of an operand in bits.
    fn operand_bits(&self, i: &Instruction, n: u32) -> Result<u8, Refusal> {
        match i.op_kind(n) {
            OpKind::Register => Ok(8 * i.op_register(n).size() as u8),
            OpKind::Memory => Ok(8 * self.memory_bytes(i)?),
            _ => Err(self.no_model(i)),
        }
    }

    /// Writes an operand.
    fn set(&mut self, i: &Instruction, s: &mut State, n: u32, value: Term) -> Result<(), Refusal> {
        match i.op_kind(n) {
            OpKind::Register => self.set_register(i, s, i.op_register(n), value),
            OpKind::Memory => self.store(i, s, value),
            _ => Err(self.no_model(i)),
        }
    }

    /// Notes that a form occurred.
    fn note(&mut self, i: &Instruction, s: &State) {
        let has_memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
        use iced_x86::Mnemonic::{Lea, Prefetcht0, Prefetchw};
        let memory = if !has_memory || matches!(i.mnemonic(), Lea | Prefetcht0 | Prefetchw) {
            0
        } else {
            match self.place(i, s) {
                Ok(Place::Field(_)) => 1,
                Ok(Place::Log(_)) => 2,
                Ok(Place::Guest(_)) => 3,
                Ok(Place::Table(_)) => 4,
                Err(_) => return,
            }
        };
        let register = |n: u32| i.op_kind(n) == OpKind::Register;
        let same =
            i.op_count() >= 2 && register(0) && register(1) && i.op0_register() == i.op1_register();
        let form = Form {
            code: i.code() as u16,
            memory,
            same,
        };
        let at = i.ip() as usize;
        self.forms
            .entry(form)
            .or_insert_with(|| self.code[at..at + i.len()].to_vec());
    }
}
