//! The templates, proven. `HARTLOG_PROOF=full` proves more (`scripts/prove`): what takes minutes.

use hartlog_isa::Op;
use proof::check::Prover;
use proof::families::{Report, Scope, Visit, idioms, prepared::prepared, scope, single};
use proof::smt::{TIMEOUT, available};

/// A prover; `None` without a solver, which is said.
fn prover() -> Option<Prover> {
    if !available() {
        eprintln!("skipped: no z3 (scripts/test installs it)");
        return None;
    }
    let timeout = std::env::var("HARTLOG_PROOF_TIMEOUT")
        .ok()
        .and_then(|t| t.parse().ok());
    match Prover::with_timeout(timeout.unwrap_or(TIMEOUT)) {
        Ok(prover) => Some(prover),
        Err(e) => panic!("z3 does not start: {e}"),
    }
}

/// What takes long says how far it is.
fn progress(report: &Report, op: Op) {
    if scope() == Scope::Full {
        let blocks: u64 = report.families.values().map(|(c, _)| c.blocks).sum();
        eprintln!("{}: {blocks} blocks", op.mnemonic());
    }
}

fn done(report: &Report) {
    println!("{}", report.summary());
    assert!(report.refuted.is_empty(), "{}", report.summary());
}

/// Proves a family of blocks.
fn family(name: &str, blocks: fn(Scope, Visit)) {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    blocks(scope(), &mut |case, _| {
        report.prove(&mut prover, name, case, None);
    });
    done(&report);
}

#[test]
fn every_instruction_in_every_placement() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    for op in Op::ALL {
        single(*op, scope(), &mut |case, immediate| {
            report.prove(&mut prover, op.mnemonic(), case, immediate);
        });
        progress(&report, *op);
        let blocks = report
            .families
            .get(op.mnemonic())
            .map_or(0, |(c, _)| c.blocks);
        assert!(blocks > 0, "nothing was proven of {}", op.mnemonic());
    }
    done(&report);
}

#[test]
fn pieces_of_blocks() {
    family("pieces of blocks", idioms::pieces);
}

#[test]
fn values_logged_together() {
    family("values logged together", idioms::gathered);
}

#[test]
fn values_that_wait_in_vector_registers() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    let (mut blocks, mut parked) = (0, 0);
    idioms::parked(scope(), &mut |case, _| {
        blocks += 1;
        parked += usize::from(case.listing(&case.emit().code).contains("xmm1"));
        report.prove(&mut prover, "values in vector registers", case, None);
    });
    assert!(2 * parked > blocks, "{parked} of {blocks} have some");
    done(&report);
}

#[test]
fn addresses_checked_late() {
    family("addresses checked late", idioms::checked_late);
}

#[test]
fn carries_of_sums() {
    family("carries", idioms::carries);
}

#[test]
fn calls_that_blocks_go_through() {
    family("calls", idioms::calls);
}

#[test]
fn scaled_indices_and_fields() {
    family("scaled indices and fields", idioms::indices_and_fields);
}

#[test]
fn products_with_constants() {
    family("products with constants", idioms::multiples);
}

#[test]
#[ignore = "takes minutes: scripts/prove"]
fn prepared_operands() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    for op in Op::ALL {
        prepared(*op, scope(), &mut |case, _| {
            report.prove(&mut prover, "prepared operands", case, None);
        });
        progress(&report, *op);
    }
    done(&report);
}

#[test]
#[ignore = "takes minutes: scripts/prove"]
fn values_folded_into_their_reader() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    for op in Op::ALL {
        idioms::folded(*op, scope(), &mut |case, _| {
            report.prove(&mut prover, "folded values", case, None);
        });
        progress(&report, *op);
    }
    done(&report);
}

#[test]
#[ignore = "takes minutes: scripts/prove"]
fn rotations_and_pairs() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    idioms::rotations(scope(), &mut |case, _| {
        report.prove(&mut prover, "rotations", case, None);
    });
    idioms::halves(scope(), &mut |case, _| {
        report.prove(&mut prover, "products and quotients", case, None);
    });
    done(&report);
}

#[test]
fn branches_over_few_instructions() {
    let Some(mut prover) = prover() else { return };
    let mut report = Report::default();
    idioms::skips(scope(), &mut |case, _| {
        report.prove(&mut prover, "branches over few instructions", case, None);
    });
    done(&report);
}
