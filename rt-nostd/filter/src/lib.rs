//! Which system calls a translated program may make once its guest runs.
//!
//! [`RULES`] is the whole policy, as data. [`program`] turns it into a program for the kernel's
//! filter (seccomp(2)); the runtime installs that before it enters generated code, for all its
//! threads. A call that no rule allows is not executed: the kernel raises SIGSYS, and the runtime
//! ends the process with [`INTERNAL`](hartlog_format::status::exit::INTERNAL).
//!
//! Whoever makes a new call in the runtime adds a rule with checks as narrow as they can be, and
//! a case that needs it to `tests/tests/containment/rules.rs`: a rule that no case needs fails
//! there.
#![no_std]
#![forbid(unsafe_code)]

use hartlog_format::layout::GUEST_END;

/// Numbers of system calls (`asm/unistd_64.h`).
#[allow(missing_docs)]
pub mod number {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const CLOSE: u32 = 3;
    pub const POLL: u32 = 7;
    pub const MMAP: u32 = 9;
    pub const MPROTECT: u32 = 10;
    pub const MUNMAP: u32 = 11;
    pub const RT_SIGACTION: u32 = 13;
    pub const RT_SIGRETURN: u32 = 15;
    pub const IOCTL: u32 = 16;
    pub const WRITEV: u32 = 20;
    pub const MREMAP: u32 = 25;
    pub const MADVISE: u32 = 28;
    pub const EXIT: u32 = 60;
    pub const FCNTL: u32 = 72;
    pub const FTRUNCATE: u32 = 77;
    pub const GETPPID: u32 = 110;
    pub const SIGALTSTACK: u32 = 131;
    pub const MLOCK: u32 = 149;
    pub const PRCTL: u32 = 157;
    pub const FUTEX: u32 = 202;
    pub const SCHED_GETAFFINITY: u32 = 204;
    pub const RESTART_SYSCALL: u32 = 219;
    pub const CLOCK_GETTIME: u32 = 228;
    pub const EXIT_GROUP: u32 = 231;
    pub const OPENAT: u32 = 257;
    pub const PRLIMIT64: u32 = 302;
    pub const SECCOMP: u32 = 317;
}

/// Bits and values of arguments (`asm/mman.h`, `linux/futex.h`, `linux/time.h`).
#[allow(missing_docs)]
pub mod value {
    pub const PROT_NONE: u64 = 0;
    pub const PROT_READ: u64 = 1;
    pub const PROT_RW: u64 = 3;
    /// `MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE`.
    pub const MAP_FRESH: u64 = 0x2 | 0x20 | 0x4000;
    pub const MAP_FIXED: u64 = 0x10;
    pub const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
    /// No file.
    pub const NO_FD: u64 = u64::MAX;
    pub const MREMAP_MAYMOVE: u64 = 1;
    pub const MADV_DONTNEED: u64 = 4;
    pub const MADV_REMOVE: u64 = 9;
    pub const MADV_HUGEPAGE: u64 = 14;
    pub const MADV_POPULATE_WRITE: u64 = 23;
    pub const FUTEX_WAIT: u64 = 0;
    pub const FUTEX_WAKE: u64 = 1;
    pub const CLOCK_MONOTONIC: u64 = 1;
}

/// What an argument must be. Arguments are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// This value, in all 64 bits.
    Is(u8, u64),
    /// No bit but these, of the lower 32.
    Bits(u8, u32),
    /// The descriptor of the trace. Without a trace there is no such call.
    Trace(u8),
    /// An address and, in the next argument, a length: a range in the guest's window.
    Guest(u8),
    /// An address above the guest's window.
    Host(u8),
    /// Nothing.
    Any,
}

/// Most checks of a rule.
pub const CHECKS: usize = 4;

/// A call that is allowed if all checks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Rule {
    /// Number of the call.
    pub number: u32,
    /// What its arguments must be.
    pub checks: [Check; CHECKS],
}

/// A rule with fewer checks.
const fn rule<const N: usize>(number: u32, some: [Check; N]) -> Rule {
    let mut checks = [Check::Any; CHECKS];
    let mut i = 0;
    while i < N {
        checks[i] = some[i];
        i += 1;
    }
    Rule { number, checks }
}

/// Number of rules.
pub const RULE_COUNT: usize = 22;

use Check::{Bits, Guest, Host, Is, Trace};

/// All that is allowed; what is called most comes first.
pub const RULES: [Rule; RULE_COUNT] = [
    // The guest's output, and messages.
    rule(number::WRITE, [Is(0, 1)]),
    rule(number::WRITE, [Is(0, 2)]),
    rule(number::READ, [Is(0, 0)]),
    // The trace.
    rule(number::WRITEV, [Trace(0)]),
    rule(number::FUTEX, [Is(1, value::FUTEX_WAIT)]),
    rule(number::FUTEX, [Is(1, value::FUTEX_WAKE)]),
    // The guest's memory: in its window, and never executable.
    rule(
        number::MMAP,
        [
            Guest(0),
            Bits(2, value::PROT_RW as u32),
            Is(3, value::MAP_FRESH | value::MAP_FIXED),
            Is(4, value::NO_FD),
        ],
    ),
    rule(number::MPROTECT, [Guest(0), Bits(2, value::PROT_RW as u32)]),
    rule(number::MUNMAP, [Guest(0)]),
    rule(number::MADVISE, [Guest(0), Is(2, value::MADV_HUGEPAGE)]),
    // A slot of the ring that is used for the first time, or that held very many events.
    rule(number::MADVISE, [Host(0), Is(2, value::MADV_HUGEPAGE)]),
    rule(number::MLOCK, [Host(0)]),
    rule(
        number::MADVISE,
        [Host(0), Is(2, value::MADV_POPULATE_WRITE)],
    ),
    rule(number::MADVISE, [Host(0), Is(2, value::MADV_DONTNEED)]),
    // The same in a ring that is shared with a replayer.
    rule(number::MADVISE, [Host(0), Is(2, value::MADV_REMOVE)]),
    // The index of a trace with many chunks.
    rule(
        number::MREMAP,
        [Host(0), Is(3, value::MREMAP_MAYMOVE), Is(4, 0)],
    ),
    // A trace that cannot be written any further.
    rule(number::FTRUNCATE, [Trace(0)]),
    // A descriptor in non-blocking mode; what the kernel makes of it after a stop signal.
    rule(number::POLL, [Is(1, 1)]),
    rule(number::RESTART_SYSCALL, []),
    rule(number::CLOCK_GETTIME, [Is(0, value::CLOCK_MONOTONIC)]),
    rule(number::RT_SIGRETURN, []),
    // Of the thread that writes the trace. EXIT_GROUP is not among the rules: see `program`.
    rule(number::EXIT, [Is(0, 0)]),
];

/// An instruction of the kernel's filter machine (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// Room for the program.
pub const CAPACITY: usize = 320;

/// A filter for the kernel.
#[derive(Clone, Debug)]
pub struct Program {
    code: [Instruction; CAPACITY],
    len: usize,
}

/// Opcodes (`linux/bpf_common.h`).
mod op {
    pub(super) const LOAD: u16 = 0x20;
    pub(super) const ADD_X: u16 = 0x0c;
    pub(super) const TO_X: u16 = 0x07;
    pub(super) const JUMP_EQ: u16 = 0x15;
    pub(super) const JUMP_GT: u16 = 0x25;
    pub(super) const JUMP_GE_X: u16 = 0x3d;
    pub(super) const JUMP_SET: u16 = 0x45;
    pub(super) const RETURN: u16 = 0x06;
}

/// What the filter answers (`linux/seccomp.h`).
mod answer {
    pub(super) const ALLOW: u32 = 0x7fff_0000;
    pub(super) const TRAP: u32 = 0x0003_0000;
}

/// Byte offsets in what the filter looks at (`struct seccomp_data`).
mod data {
    pub(super) const NUMBER: u32 = 0;
    pub(super) const ARCH: u32 = 4;
    pub(super) const fn low(argument: u8) -> u32 {
        16 + 8 * argument as u32
    }
    pub(super) const fn high(argument: u8) -> u32 {
        low(argument) + 4
    }
}

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = 0xc000_003e;

/// A jump to where the rule's call is not allowed; the distance is filled in later.
const FAIL: u8 = u8::MAX;

impl Program {
    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.code[..self.len]
    }

    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        // Cannot be full: see the test of the largest program.
        if let Some(at) = self.code.get_mut(self.len) {
            *at = Instruction { code, jt, jf, k };
            self.len += 1;
        }
    }

    fn load(&mut self, offset: u32) {
        self.push(op::LOAD, offset, 0, 0);
    }

    /// Fails unless what is loaded is this.
    fn require(&mut self, k: u32) {
        self.push(op::JUMP_EQ, k, 0, FAIL);
    }

    fn check(&mut self, check: Check, trace_fd: u32) {
        match check {
            Check::Is(argument, value) => {
                self.load(data::low(argument));
                self.require(value as u32);
                self.load(data::high(argument));
                self.require((value >> 32) as u32);
            }
            Check::Bits(argument, bits) => {
                self.load(data::low(argument));
                self.push(op::JUMP_SET, !bits, FAIL, 0);
                self.load(data::high(argument));
                self.require(0);
            }
            Check::Trace(argument) => self.check(Check::Is(argument, trace_fd.into()), 0),
            Check::Guest(addr) => {
                for argument in [addr, addr + 1] {
                    self.load(data::high(argument));
                    self.require(0);
                }
                self.load(data::low(addr));
                self.push(op::TO_X, 0, 0, 0);
                self.load(data::low(addr + 1));
                self.push(op::ADD_X, 0, 0, 0);
                // The sum wraps if it is less than one of its parts.
                self.push(op::JUMP_GE_X, 0, 0, FAIL);
                self.push(op::JUMP_GT, GUEST_END as u32, FAIL, 0);
            }
            Check::Host(addr) => {
                self.load(data::high(addr));
                self.push(op::JUMP_EQ, 0, FAIL, 0);
            }
            Check::Any => {}
        }
    }

    /// Makes the jumps of the rule that begins here go to its end.
    fn finish(&mut self, start: usize) {
        let end = self.len;
        for (at, instruction) in self.code[..end].iter_mut().enumerate().skip(start) {
            // A rule is far shorter than the reach of a jump.
            let distance = (end - at - 1) as u8;
            for jump in [&mut instruction.jt, &mut instruction.jf] {
                if *jump == FAIL {
                    *jump = distance;
                }
            }
        }
    }
}

/// The program that allows what the rules say, for a trace that is written to this descriptor.
///
/// `exit_group` is always allowed: a process that could not end would be called again and again.
pub fn program(rules: &[Rule], trace_fd: Option<u32>) -> Program {
    let mut program = Program {
        code: [Instruction::default(); CAPACITY],
        len: 0,
    };
    program.load(data::ARCH);
    program.push(op::JUMP_EQ, ARCH, 1, 0);
    program.push(op::RETURN, answer::TRAP, 0, 0);
    let end = rule(number::EXIT_GROUP, []);
    for rule in rules.iter().chain([&end]) {
        let of_trace = rule.checks.iter().any(|c| matches!(c, Check::Trace(_)));
        if of_trace && trace_fd.is_none() {
            continue;
        }
        let start = program.len;
        program.load(data::NUMBER);
        program.require(rule.number);
        for check in rule.checks {
            program.check(check, trace_fd.unwrap_or_default());
        }
        program.push(op::RETURN, answer::ALLOW, 0, 0);
        program.finish(start);
    }
    program.push(op::RETURN, answer::TRAP, 0, 0);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Executes a program as the kernel does.
    fn run(program: &Program, number: u32, arch: u32, args: [u64; 6]) -> bool {
        let word = |offset: u32| match offset {
            0 => number,
            4 => arch,
            _ => {
                let value = args[(offset as usize - 16) / 8];
                (value >> (8 * (offset % 8))) as u32
            }
        };
        let code = program.instructions();
        let (mut pc, mut a, mut x) = (0, 0u32, 0u32);
        loop {
            let i = code[pc];
            pc += 1;
            let holds = match i.code {
                op::LOAD => {
                    a = word(i.k);
                    continue;
                }
                op::TO_X => {
                    x = a;
                    continue;
                }
                op::ADD_X => {
                    a = a.wrapping_add(x);
                    continue;
                }
                op::RETURN => return i.k == answer::ALLOW,
                op::JUMP_EQ => a == i.k,
                op::JUMP_GT => a > i.k,
                op::JUMP_GE_X => a >= x,
                op::JUMP_SET => a & i.k != 0,
                other => panic!("opcode {other:#x}"),
            };
            pc += usize::from(if holds { i.jt } else { i.jf });
        }
    }

    /// What the rules say, directly.
    fn allowed(rules: &[Rule], fd: Option<u32>, number: u32, args: [u64; 6]) -> bool {
        let holds = |check: Check| match check {
            Check::Is(n, value) => args[n as usize] == value,
            Check::Bits(n, bits) => args[n as usize] & !u64::from(bits) == 0,
            Check::Trace(n) => fd.is_some_and(|fd| args[n as usize] == fd.into()),
            Check::Guest(n) => {
                let (addr, len) = (args[n as usize], args[n as usize + 1]);
                addr.checked_add(len).is_some_and(|end| end <= GUEST_END)
            }
            Check::Host(n) => args[n as usize] >> 32 != 0,
            Check::Any => true,
        };
        number == number::EXIT_GROUP
            || rules
                .iter()
                .any(|r| r.number == number && r.checks.into_iter().all(holds))
    }

    #[test]
    fn the_program_does_what_the_rules_say() {
        let values = [
            0,
            1,
            2,
            3,
            4,
            5,
            7,
            14,
            23,
            value::MAP_FRESH,
            value::MAP_FRESH | value::MAP_FIXED,
            0x1_0000,
            GUEST_END - 1,
            GUEST_END,
            GUEST_END - 0x1_0000,
            GUEST_END - 0xffff,
            u32::MAX.into(),
            1 << 32,
            1 << 32 | 1,
            1 << 32 | 0x1_0000,
            1 << 63,
            u64::MAX - 0xffff,
            u64::MAX,
        ];
        let mut seen = [0u64; 2];
        for fd in [None, Some(3), Some(u32::MAX)] {
            let program = program(&RULES, fd);
            for number in 0..500 {
                // All pairs of values, in all pairs of neighbouring arguments; the others as some
                // rule of this number wants them, or zero.
                for wanted in RULES
                    .iter()
                    .map(Some)
                    .filter(|r| r.is_some_and(|r| r.number == number))
                    .chain([None])
                {
                    let mut base = [0; 6];
                    for check in wanted.iter().flat_map(|r| r.checks) {
                        match check {
                            Check::Is(n, value) => base[n as usize] = value,
                            Check::Trace(n) => base[n as usize] = fd.unwrap_or(3).into(),
                            Check::Host(n) => base[n as usize] = 1 << 32,
                            Check::Bits(..) | Check::Guest(_) | Check::Any => {}
                        }
                    }
                    for first in 0..5 {
                        for a in values {
                            for b in values {
                                let mut args = base;
                                (args[first], args[first + 1]) = (a, b);
                                let expected = allowed(&RULES, fd, number, args);
                                let got = run(&program, number, ARCH, args);
                                assert_eq!(got, expected, "{number} {args:x?}, trace {fd:?}");
                                seen[usize::from(got)] += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(seen[0] > 1_000_000 && seen[1] > 1_000, "{seen:?}");
    }

    #[test]
    fn other_architectures_are_refused() {
        let program = program(&RULES, None);
        // i386 (int 0x80), and x32 (bit 30 of the number).
        assert!(!run(&program, number::EXIT_GROUP, 0x4000_0003, [0; 6]));
        assert!(!run(&program, number::EXIT_GROUP | 1 << 30, ARCH, [0; 6]));
        assert!(run(&program, number::EXIT_GROUP, ARCH, [0; 6]));
    }

    #[test]
    fn the_largest_program_fits() {
        let program = program(&RULES, Some(3));
        assert!(program.len < CAPACITY);
        let last = program.instructions()[program.len - 1];
        assert_eq!((last.code, last.k), (op::RETURN, answer::TRAP));
    }

    #[test]
    fn no_rule_makes_memory_executable() {
        for rule in RULES {
            let protects = [number::MMAP, number::MPROTECT].contains(&rule.number);
            let bits = rule.checks.contains(&Check::Bits(2, 3));
            let guest = rule.checks.contains(&Check::Guest(0));
            assert!(!protects || bits && guest, "{rule:?}");
        }
    }
}
