//! A few lines of EVM assembler: opcodes, pushes, labels.

use alloc::vec::Vec;
use revm::bytecode::opcode;
use revm::primitives::U256;

/// Code under construction. Labels are small numbers; each jump to one is a two-byte push.
#[derive(Default)]
pub struct Code {
    bytes: Vec<u8>,
    labels: [u16; 8],
    jumps: Vec<(usize, usize)>,
}

impl Code {
    /// Opcodes as they are.
    pub fn ops(&mut self, ops: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(ops);
        self
    }

    /// The shortest push of a number.
    pub fn push(&mut self, value: u64) -> &mut Self {
        self.push_wide(U256::from(value))
    }

    /// The shortest push of a wide number.
    pub fn push_wide(&mut self, value: U256) -> &mut Self {
        let all = value.to_be_bytes::<32>();
        let digits = &all[value.leading_zeros() / 8..];
        self.bytes.push(opcode::PUSH0 + digits.len() as u8);
        self.bytes.extend_from_slice(digits);
        self
    }

    /// A jump destination.
    pub fn label(&mut self, label: usize) -> &mut Self {
        self.labels[label] = self.bytes.len() as u16;
        self.ops(&[opcode::JUMPDEST])
    }

    /// A jump to `label` if the top of the stack is not 0.
    pub fn jump_if(&mut self, label: usize) -> &mut Self {
        self.jumps.push((self.bytes.len() + 1, label));
        self.ops(&[opcode::PUSH2, 0, 0, opcode::JUMPI])
    }

    /// Returns the word on top of the stack.
    pub fn return_top(&mut self) -> &mut Self {
        self.ops(&[opcode::PUSH0, opcode::MSTORE])
            .push(32)
            .ops(&[opcode::PUSH0, opcode::RETURN])
    }

    /// The finished code.
    pub fn finish(&mut self) -> Vec<u8> {
        for &(at, label) in &self.jumps {
            self.bytes[at..at + 2].copy_from_slice(&self.labels[label].to_be_bytes());
        }
        core::mem::take(&mut self.bytes)
    }
}
