//! The contracts: each loops as often as the first word of its call data says, but the token.

use alloc::vec::Vec;
use revm::bytecode::opcode::*;
use revm::primitives::{Address, U256, keccak256};

use super::assemble::Code;

/// `transfer(address,uint256)` as every token has it.
pub const TRANSFER: u32 = 0xa905_9cbb;

/// An odd 256-bit constant that is different for each `seed`.
fn constant(seed: u8) -> U256 {
    U256::from_be_bytes(keccak256([seed]).0) | U256::ONE
}

/// With `[n, x]` on the stack: counts n down and goes back to `label` while it is not 0.
fn next(code: &mut Code, label: usize) -> &mut Code {
    code.ops(&[SWAP1])
        .push(1)
        .ops(&[SWAP1, SUB, SWAP1, DUP2])
        .jump_if(label)
}

/// 256-bit arithmetic of every kind on one accumulator.
pub fn arithmetic() -> Vec<u8> {
    let mut code = Code::default();
    code.ops(&[PUSH0, CALLDATALOAD])
        .push_wide(constant(1))
        .label(0);
    code.push_wide(constant(2)).ops(&[MUL, DUP2, ADD]);
    code.push_wide(constant(3)).ops(&[DUP2, DUP1, MULMOD, XOR]);
    code.push_wide(constant(4)).ops(&[DUP2, DUP4, ADDMOD, ADD]);
    code.push_wide(constant(5) >> 100).ops(&[DUP2, DIV, ADD]);
    code.push(1_000_003).ops(&[DUP2, SMOD, XOR]);
    code.push_wide(constant(6) >> 7).ops(&[DUP2, SDIV, XOR]);
    code.push(5).ops(&[DUP2, EXP, XOR]);
    code.ops(&[DUP1])
        .push(13)
        .ops(&[SHR, XOR, DUP1])
        .push(7)
        .ops(&[SHL, ADD, DUP1])
        .push(31)
        .ops(&[SAR, XOR]);
    code.ops(&[DUP1, DUP3, LT, ADD, DUP1, DUP3, SGT, ADD, DUP1, ISZERO, ADD]);
    code.ops(&[DUP1])
        .push(5)
        .ops(&[BYTE, ADD, DUP1])
        .push(9)
        .ops(&[SIGNEXTEND, NOT, XOR]);
    next(&mut code, 0).return_top().finish()
}

/// A chain of Keccak-256 over 64 bytes of memory.
pub fn keccak() -> Vec<u8> {
    let mut code = Code::default();
    code.ops(&[PUSH0, CALLDATALOAD])
        .push_wide(constant(7))
        .label(0);
    code.ops(&[PUSH0, MSTORE, DUP1])
        .push(32)
        .ops(&[MSTORE])
        .push(64)
        .ops(&[PUSH0, KECCAK256]);
    next(&mut code, 0).return_top().finish()
}

/// Reads and writes 32 storage slots in turn.
pub fn storage() -> Vec<u8> {
    let mut code = Code::default();
    code.ops(&[PUSH0, CALLDATALOAD, PUSH0]).label(0);
    code.ops(&[DUP2])
        .push(31)
        .ops(&[AND, DUP1, SLOAD])
        .push(3)
        .ops(&[MUL, DUP4, ADD]);
    // n x slot value: the accumulator takes the value, the slot too.
    code.ops(&[DUP1, SWAP3, ADD, SWAP2, SWAP1, SSTORE]);
    next(&mut code, 0).return_top().finish()
}

/// With an address on the stack: the storage slot of its balance, by the layout of a Solidity mapping.
fn balance_slot(code: &mut Code) -> &mut Code {
    code.ops(&[PUSH0, MSTORE]).push(64).ops(&[PUSH0, KECCAK256])
}

/// A token with `transfer` and nothing else: balances in a mapping, one event for each transfer.
pub fn token() -> Vec<u8> {
    let mut code = Code::default();
    code.ops(&[PUSH0, CALLDATALOAD])
        .push(224)
        .ops(&[SHR])
        .push(u64::from(TRANSFER))
        .ops(&[EQ])
        .jump_if(0);
    code.label(1).ops(&[PUSH0, PUSH0, REVERT]).label(0);
    code.ops(&[CALLER]);
    balance_slot(&mut code)
        .ops(&[DUP1, SLOAD])
        .push(36)
        .ops(&[CALLDATALOAD, DUP1, DUP3, LT])
        .jump_if(1);
    code.ops(&[SWAP1, DUP2, SWAP1, SUB, DUP3, SSTORE])
        .push(4)
        .ops(&[CALLDATALOAD]);
    balance_slot(&mut code).ops(&[DUP1, SLOAD, DUP3, ADD, SWAP1, SSTORE]);
    code.ops(&[PUSH0, MSTORE])
        .push(4)
        .ops(&[CALLDATALOAD, CALLER]);
    code.push_wide(keccak256("Transfer(address,address,uint256)").into())
        .push(32)
        .ops(&[PUSH0, LOG3, POP]);
    code.push(1).return_top().finish()
}

/// Calls `transfer` of the token at `token`, each time with another receiver of sixteen.
pub fn batch(token: Address) -> Vec<u8> {
    let mut code = Code::default();
    code.ops(&[PUSH0, CALLDATALOAD, PUSH0]).label(0);
    code.push_wide(U256::from(TRANSFER) << 224)
        .ops(&[PUSH0, MSTORE]);
    code.ops(&[DUP2])
        .push(15)
        .ops(&[AND])
        .push(0x1000)
        .ops(&[ADD])
        .push(4)
        .ops(&[MSTORE]);
    code.ops(&[DUP2])
        .push(36)
        .ops(&[MSTORE])
        .push(32)
        .push(128)
        .push(68)
        .ops(&[PUSH0, PUSH0]);
    code.push_wide(U256::from_be_slice(token.as_slice()))
        .ops(&[GAS, CALL]);
    code.push(128).ops(&[MLOAD, AND, ADD]);
    next(&mut code, 0).return_top().finish()
}
