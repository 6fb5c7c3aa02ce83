//! The templates, proven. `HARTLOG_PROOF=full` proves more (`scripts/prove`).

use hartlog_isa::Op;
use proof::check::Prover;
use proof::families::{Report, scope, single};
use proof::smt::available;

/// A prover; `None` without a solver, which is said.
fn prover() -> Option<Prover> {
    if !available() {
        eprintln!("skipped: no z3 (scripts/test installs it)");
        return None;
    }
    match Prover::new() {
        Ok(prover) => Some(prover),
        Err(e) => panic!("z3 does not start: {e}"),
    }
}

fn done(report: &Report) {
    println!("{}", report.summary());
    assert!(report.refuted.is_empty(), "{}", report.summary());
}

#[test]
fn every_instruction_in_every_placement() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    for op in Op::ALL {
        single(*op, scope(), &mut |case, immediate| {
            report.prove(&mut prover, op.mnemonic(), case, immediate);
        });
        let blocks = report.families.get(op.mnemonic()).map_or(0, |c| c.blocks);
        assert!(blocks > 0, "nothing was proven of {}", op.mnemonic());
    }
    done(&report);
}
