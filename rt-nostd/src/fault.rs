//! What is said when the guest ends otherwise than by its own exit.

use crate::interp::GuestFault;
use crate::program::Program;
use crate::report::say;
use crate::run::Run;
use core::fmt;
use hartlog_abi::Abi;
use hartlog_format::layout::{STACK_GUARD, STACK_SIZE};
use hartlog_format::status::FaultKind;

/// A guest pc with its function.
struct Location<'a> {
    program: &'a Program,
    pc: u64,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.pc)?;
        match self.program.symbol(self.pc) {
            Some((name, 0)) => write!(f, " <{}>", name.escape_ascii()),
            Some((name, offset)) => write!(f, " <{}+{offset:#x}>", name.escape_ascii()),
            None => Ok(()),
        }
    }
}

/// Whether an address is in the guard below the guest's stack.
fn in_guard(abi: &Abi, addr: u64) -> bool {
    let end = abi.stack_top() - STACK_SIZE;
    (end - STACK_GUARD..end).contains(&addr)
}

/// Tells of a fault of the instruction at the pc.
pub fn report(program: &Program, run: &mut Run, fault: &GuestFault) {
    let pc = run.state.pc;
    let location = Location { program, pc };
    say!("guest fault: {} at pc {location}", fault.kind.describe());
    match run.instruction() {
        Some(inst) if inst.len == 2 => {
            say!(
                "  instruction: {inst} (compressed, {:#06x})",
                inst.raw as u16
            );
        }
        Some(inst) => say!("  instruction: {inst} ({:#010x})", inst.raw),
        None if fault.kind == FaultKind::Illegal => {
            say!("  instruction: none that is known ({:#x})", fault.value);
        }
        None => say!("  instruction: none, this is outside of the code"),
    }
    match fault.kind {
        FaultKind::LoadAccess | FaultKind::StoreAccess | FaultKind::MisalignedAtomic => {
            let note = if in_guard(&run.abi, fault.value) {
                " (below the stack: it has overflowed)"
            } else {
                ""
            };
            say!("  address: {:#x}{note}", fault.value);
        }
        FaultKind::FetchAccess | FaultKind::Illegal | FaultKind::Breakpoint => {}
    }
    let caller = Location {
        program,
        pc: run.state.x[1],
    };
    say!(
        "  step: {}, ra: {caller}, sp: {:#x}",
        run.steps(),
        run.state.x[2]
    );
}

/// Tells that the guest asked for more memory than this.
pub fn report_memory(program: &Program, run: &Run, limit: u64) {
    let location = Location {
        program,
        pc: run.state.pc,
    };
    say!("the memory limit of {limit} bytes was reached at pc {location}");
}

/// Tells that the step limit was reached.
pub fn report_limit(program: &Program, run: &Run) {
    let location = Location {
        program,
        pc: run.state.pc,
    };
    say!(
        "the step limit of {} was reached at pc {location}",
        run.steps()
    );
}
