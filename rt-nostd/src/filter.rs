//! The second wall: whatever goes wrong in generated code or here, the kernel executes no system
//! call that `hartlog_filter` does not list.

use crate::report::Failure;
use crate::sys;
use core::hint::black_box;
use hartlog_filter::{RULE_COUNT, RULES, Rule, program};

/// The rules, where a test finds them in a linked program, to take one out.
#[unsafe(no_mangle)]
static HARTLOG_FILTER_RULES: [Rule; RULE_COUNT] = RULES;

/// Installs the filter, for all threads and for good. `trace_fd` is the descriptor of the trace.
///
/// # Errors
/// [`Failure::Host`].
pub fn install(trace_fd: Option<u32>) -> Result<(), Failure> {
    let program = program(black_box(&HARTLOG_FILTER_RULES), trace_fd);
    sys::filter_calls(program.instructions()).map_err(|errno| Failure::Host {
        what: "system calls cannot be filtered (HARTLOG_FILTER=0 runs the guest without a filter)",
        errno,
    })
}
