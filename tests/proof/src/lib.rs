//! Templates proven: for a block of guest instructions, the code that the emitter makes of it is
//! followed on all its paths with unknown inputs, and an SMT solver shows that it ends as the
//! RISC-V specification says, for all of them.
//!
//! * [`term`]: formulas; [`smt`]: the solver; [`lemmas`]: what the simplifier and the models rely on;
//! * [`x86`]: host instructions as formulas; [`riscv`]: guest instructions as formulas;
//! * [`check`]: the claim about a block;
//! * [`native`]: the processor, to compare the host's formulas with;
//! * [`case`]: blocks emitted for it; [`families`]: which ones.
//!
//! `docs/proofs.md` says what is proven and what is assumed.

pub mod case;
pub mod check;
pub mod families;
pub mod lemmas;
pub mod mutate;
pub mod native;
pub mod riscv;
pub mod smt;
pub mod term;
pub mod x86;
