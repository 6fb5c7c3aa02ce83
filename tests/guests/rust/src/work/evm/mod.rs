//! Ethereum transactions on the `revm` crate, with contracts in hand-made bytecode.

mod assemble;
mod contracts;

use alloc::vec::Vec;
use revm::context::result::{ExecutionResult, Output};
use revm::context::{CfgEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainnetContext, MainnetEvm};
use revm::primitives::{Address, Bytes, TxKind, U256, hardfork::SpecId, keccak256};
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, ExecuteCommitEvm, MainBuilder};
use support::Checksum;

/// A chain in memory.
pub type Chain = MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>;

const SENDER: Address = Address::repeat_byte(0x5e);
const TOKEN: Address = Address::repeat_byte(0xcc);
const BATCH: Address = Address::repeat_byte(0xba);

/// An empty chain under the rules of `spec`, with one account that may send.
pub fn chain(spec: SpecId) -> Chain {
    let mut database = CacheDB::new(EmptyDB::new());
    database.insert_account_info(SENDER, AccountInfo::from_balance(U256::from(1) << 100));
    let mut config = CfgEnv::new_with_spec(spec);
    config.disable_nonce_check = true;
    Context::new(database, spec)
        .with_cfg(config)
        .build_mainnet()
}

/// Puts code at `address`.
pub fn deploy(chain: &mut Chain, address: Address, code: Vec<u8>) {
    let account = AccountInfo::from_bytecode(Bytecode::new_legacy(code.into()));
    chain
        .ctx
        .journaled_state
        .database
        .insert_account_info(address, account);
}

/// One transaction: adds status, gas, logs and output to `sum` and gives the output back if it succeeded.
pub fn transact(
    chain: &mut Chain,
    to: Address,
    data: Vec<u8>,
    sum: &mut Checksum,
) -> Option<Bytes> {
    let transaction = TxEnv::builder()
        .caller(SENDER)
        .kind(TxKind::Call(to))
        .data(data.into())
        .gas_limit(16_000_000)
        .build()
        .expect("a complete transaction");
    let result = chain
        .transact_commit(transaction)
        .expect("a valid transaction");
    sum.word(result.gas().tx_gas_used());
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            for log in logs {
                log.data
                    .topics()
                    .iter()
                    .for_each(|topic| sum.bytes(topic.as_slice()));
                sum.bytes(&log.data.data);
            }
            let (Output::Call(bytes) | Output::Create(bytes, _)) = output;
            sum.bytes(&bytes);
            Some(bytes)
        }
        ExecutionResult::Revert { output, .. } => {
            sum.bytes(&output);
            None
        }
        ExecutionResult::Halt { .. } => None,
    }
}

fn word(number: u64) -> Vec<u8> {
    U256::from(number).to_be_bytes_vec()
}

fn transfer(to: u64, amount: u64) -> Vec<u8> {
    [
        &contracts::TRANSFER.to_be_bytes()[..],
        &word(to),
        &word(amount),
    ]
    .concat()
}

/// One iteration is six transactions: four loops, a transfer, and a transfer that is refused.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut chain = chain(SpecId::CANCUN);
    let loops = [
        (contracts::arithmetic(), 100),
        (contracts::keccak(), 60),
        (contracts::storage(), 60),
        (contracts::batch(TOKEN), 12),
    ];
    let addresses = [
        Address::repeat_byte(0xa1),
        Address::repeat_byte(0xa2),
        Address::repeat_byte(0xa3),
        BATCH,
    ];
    for ((code, _), address) in loops.iter().zip(addresses) {
        deploy(&mut chain, address, code.clone());
    }
    deploy(&mut chain, TOKEN, contracts::token());
    for owner in [SENDER, BATCH] {
        let slot = keccak256([&owner.into_word()[..], &[0; 32]].concat());
        let database = &mut chain.ctx.journaled_state.database;
        let Ok(()) = database.insert_account_storage(TOKEN, slot.into(), U256::from(1u64 << 60));
    }
    for round in 0..iterations {
        for ((_, times), address) in loops.iter().zip(addresses) {
            let output = transact(&mut chain, address, word(times + round % 8), &mut sum);
            let output = output.expect("enough gas");
            if address == BATCH {
                assert!(
                    output[..] == word(times + round % 8),
                    "every transfer gave 1"
                );
            }
        }
        let accepted = transact(
            &mut chain,
            TOKEN,
            transfer(0x2000 + round % 50, 1 + round),
            &mut sum,
        );
        assert!(accepted.is_some());
        let refused = transact(&mut chain, TOKEN, transfer(0x2000, u64::MAX), &mut sum);
        assert!(refused.is_none());
    }
    sum.value()
}
