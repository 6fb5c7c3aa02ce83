//! Containment: what a hostile guest can try, what happens if generated code is not what it should
//! be, and that the list of allowed system calls has no entry too many.

mod attacks;
mod faults;
mod hijacked;
mod rules;
