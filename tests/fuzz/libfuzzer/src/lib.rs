//! What the targets have in common.

use rustix::time::{ClockId, clock_gettime};

/// Runs a target on an input. libFuzzer measures by the clock, which says little on a machine that does
/// other work; its limit is there for what never ends.
///
/// # Panics
/// If it takes more than a second of the processor.
pub fn timed(target: impl FnOnce()) {
    let seconds = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let start = seconds();
    target();
    let taken = seconds() - start;
    assert!(taken <= 1.0, "an input took {taken:.2} s");
}
