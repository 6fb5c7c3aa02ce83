//! The proof refuses wrong code: each template changed in every way that `mutate` knows.

use hartlog_isa::{Inst, Op};
use proof::case::{self, Case};
use proof::check::{Failure, Prover};
use proof::families::{MEMORY, PINNED, Scope, immediates, placed};
use proof::mutate::{Change, mutants};
use proof::smt::available;
use std::collections::BTreeMap;
use templates::emit::Mode;

fn prover() -> Option<Prover> {
    if !available() {
        eprintln!("skipped: no z3 (scripts/test installs it)");
        return None;
    }
    match Prover::with_timeout(1000) {
        Ok(prover) => Some(prover),
        Err(e) => panic!("z3 does not start: {e}"),
    }
}

#[test]
fn changed_templates_are_refused() {
    let Some(mut prover) = prover() else { return };
    let mut counts: BTreeMap<Change, (u64, u64)> = BTreeMap::new();
    let mut survivors = Vec::new();
    for (mode, checked) in [
        (Mode::Trace, true),
        (Mode::Replay, false),
        (Mode::Fast, false),
    ] {
        let config = placed(mode, checked, 0);
        for op in Op::ALL {
            for [rd, rs1, rs2] in [PINNED, MEMORY] {
                let imms = immediates(*op, Scope::Quick);
                let imm = imms[imms.len() / 2];
                let inst = Inst::new(*op, rd, rs1, rs2, imm);
                let case = Case::new(&config, case::straight(&[inst]));
                let mut emission = case.emit();
                let good = emission.code.clone();
                let to = emission.blocks[0].refuse;
                for mutant in mutants(&good, 0, to) {
                    emission.code = mutant.code.clone();
                    let count = counts.entry(mutant.change).or_default();
                    count.0 += 1;
                    match case.prove_emission(&mut prover, &emission, None) {
                        Err(Failure::Solver(e)) => panic!("{e}"),
                        Err(_) => {}
                        Ok(()) => {
                            count.1 += 1;
                            survivors.push(format!(
                                "{mode:?} {:?} at {:x} of\n{}",
                                mutant.change,
                                mutant.host,
                                case.listing(&good)
                            ));
                        }
                    }
                }
            }
        }
    }
    println!("changes made and accepted: {counts:?}");
    for (change, (made, accepted)) in counts {
        assert!(made >= 1000, "{change:?}: {made} made");
        // What is accepted makes no difference: results that nobody reads, upper halves that do
        // not matter. No template has an instruction too many, or a condition that does not.
        let allowed = match change {
            Change::Condition | Change::Omit => 0,
            Change::Narrow => made / 10,
            Change::Immediate | Change::Displacement | Change::Register => made / 50,
        };
        assert!(
            accepted <= allowed,
            "{change:?}: {accepted} of {made} accepted\n{}",
            survivors.join("\n")
        );
    }
}
