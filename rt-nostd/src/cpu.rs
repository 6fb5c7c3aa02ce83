//! What the processor must have: the instructions that templates use beyond baseline x86-64.

use crate::report::Failure;
use core::arch::x86_64::__cpuid_count;

/// Checks for the features of x86-64-v3 that need no support by the operating system.
///
/// # Errors
/// [`Failure::Cpu`] names the first that is missing.
pub fn check() -> Result<(), Failure> {
    let standard = __cpuid_count(0, 0).eax;
    let extended = __cpuid_count(0x8000_0000, 0).eax;
    let features = __cpuid_count(1, 0).ecx;
    let structured = if standard >= 7 {
        __cpuid_count(7, 0).ebx
    } else {
        0
    };
    let amd = if extended >= 0x8000_0001 {
        __cpuid_count(0x8000_0001, 0).ecx
    } else {
        0
    };
    let required = [
        (features >> 23, "POPCNT"),
        (features >> 22, "MOVBE"),
        (amd >> 5, "LZCNT"),
        (structured >> 3, "BMI1"),
        (structured >> 8, "BMI2"),
    ];
    match required.iter().find(|(bit, _)| bit & 1 == 0) {
        Some((_, name)) => Err(Failure::Cpu(name)),
        None => Ok(()),
    }
}
