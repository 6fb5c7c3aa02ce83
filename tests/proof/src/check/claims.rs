//! What has to hold of a path of the code and a path of the guest.

use super::{Prover, Unit};
use crate::riscv::{GuestAccess, GuestEnd, GuestPath};
use crate::term::Term;
use crate::x86::{Access, End, Path, RDI, RDX, REGISTERS, RSP, State};
use hartlog_format::contract::{offset, slot};
use hartlog_isa::Effect;
use templates::block::Step;
use templates::emit::{Dest, Mode, Stub};
use templates::place::Placement;

/// Two terms that have to be equal.
pub(super) struct Equation {
    pub what: &'static str,
    pub number: u32,
    pub host: Term,
    pub guest: Term,
}

/// What is to be shown of a pair of paths.
pub(super) enum Claim {
    /// They are never taken with the same inputs; else this differs.
    Apart(String),
    /// Where both are taken, these are equal.
    Equal(Vec<Equation>),
}

impl Prover {
    /// All guest registers, reservation and log pointer are as at the start.
    pub(super) fn unchanged(
        &mut self,
        unit: &Unit,
        state: &State,
        place: &Placement,
    ) -> Vec<Equation> {
        let x: Vec<Term> = (0..32u8)
            .map(|r| self.pool.var(&format!("x{r}"), 64))
            .collect();
        let mut out = self.registers(state, place, &x);
        let reservation = self.pool.var("reservation", 64);
        out.push(equation(
            "reservation",
            0,
            state.fields[&offset::RESERVATION],
            reservation,
        ));
        if unit.config.mode != Mode::Fast {
            let log = self.pool.var(REGISTERS[RDI], 64);
            out.push(equation("log pointer", 0, state.gpr[RDI], log));
        }
        let no = self.pool.bool(false);
        let yes = self.pool.bool(true);
        if !state.accesses.is_empty() || !state.log.is_empty() {
            out.push(equation("memory", 0, no, yes));
        }
        out
    }

    /// x1 to x31 are where they belong.
    fn registers(&mut self, state: &State, place: &Placement, x: &[Term]) -> Vec<Equation> {
        (1..32u8)
            .map(|r| {
                let host = match place.home(r) {
                    Some(home) => state.gpr[home as usize],
                    None => state.fields[&slot(r)],
                };
                equation("x", u32::from(r), host, x[r as usize])
            })
            .collect()
    }

    /// Where a path goes, if that is a block or a stub.
    pub(super) fn dest(&self, unit: &Unit, host: &Path) -> Option<Dest> {
        match host.end {
            End::Jump(at) => unit.jumps.iter().find(|j| j.end == at).map(|j| j.dest),
            End::Stop(at) => unit.blocks.iter().find_map(|b| {
                [
                    (b.block, Dest::Block(b.pc)),
                    (b.body, Dest::Body(b.pc)),
                    (b.refuse, Dest::Refuse(b.pc)),
                    (b.entry, Dest::Entry(b.pc)),
                ]
                .into_iter()
                .find_map(|(offset, dest)| (offset == at).then_some(dest))
            }),
            End::Register(_) | End::Trap(_) => None,
        }
    }

    /// What has to hold of a path of the code and one of the guest.
    pub(super) fn claim(
        &mut self,
        unit: &Unit,
        steps: &[Step],
        host: &Path,
        guest: &GuestPath,
    ) -> Claim {
        let pc = steps[0].pc;
        let apart = |what: String| Claim::Apart(what);
        let steps_of = |pc: u64| (unit.target_of)(pc).map(|t| t.steps);
        let own_steps = steps_of(pc).unwrap_or(0);
        let dest = self.dest(unit, host);
        let state = &host.state;
        let mut out = Vec::new();
        // Steps that are charged beyond those retired.
        let mut charged = 0;
        let mut outside = unit.config.placement.clone();
        let mut everything = true;
        let mut registers = u32::MAX;
        let (no, yes) = (self.pool.bool(false), self.pool.bool(true));
        let truth =
            |what: &'static str, holds: bool| equation(what, 0, yes, if holds { yes } else { no });
        match (dest, guest.end) {
            (Some(Dest::Refuse(to)), GuestEnd::Refused) if to == pc => {
                charged = u64::from(own_steps);
                outside = self.placement(unit, to);
            }
            (Some(Dest::Stub(Stub::ChunkEnd)), GuestEnd::Refused) => {
                let pc = self.pool.val(pc, 64);
                out.push(equation("pc", 0, state.gpr[0], pc));
            }
            (Some(Dest::Block(to)), GuestEnd::Next(at)) if to == at => {
                out.push(truth("a block", steps_of(to).is_some()));
                outside = self.placement(unit, to);
            }
            (Some(Dest::Entry(to)), GuestEnd::Next(at)) if to == at => {
                out.push(truth("a block", steps_of(to).is_some()));
            }
            (Some(Dest::Body(to)), GuestEnd::Next(at)) if to == at => {
                charged = u64::from(steps_of(to).unwrap_or(0));
                outside = self.placement(unit, to);
                let negative = self.pool.sign(state.gpr[RSP]);
                out.push(truth("a block", steps_of(to).is_some()));
                out.push(equation("covered", 0, negative, no));
            }
            (Some(Dest::Refuse(to)), GuestEnd::Next(at)) if to == at => {
                charged = u64::from(steps_of(to).unwrap_or(0));
                outside = self.placement(unit, to);
                let negative = self.pool.sign(state.gpr[RSP]);
                out.push(truth("a block", steps_of(to).is_some()));
                out.push(equation("not covered", 0, negative, yes));
            }
            (Some(Dest::Stub(Stub::Jump)), GuestEnd::Next(at)) => {
                let to = self.pool.val(at, 64);
                out.push(equation("pc", 0, state.gpr[0], to));
            }
            (Some(Dest::Stub(Stub::Jump)), GuestEnd::Indirect(to)) => {
                out.push(equation("pc", 0, state.gpr[0], to));
            }
            (Some(Dest::Stub(Stub::Far)), GuestEnd::Next(at)) => {
                let to = self.pool.val(at, 64);
                out.push(self.far(unit, state, to));
            }
            (Some(Dest::Stub(Stub::Far)), GuestEnd::Indirect(to)) => {
                out.push(self.far(unit, state, to));
            }
            (Some(Dest::Stub(Stub::Jump)), GuestEnd::Trap(at))
                if unit.config.mode == Mode::Replay =>
            {
                // A replay that gets here is one of a trace that goes on behind a fault. An atomic has
                // to trap again where it is interpreted; other registers are not looked at.
                let inst = steps.iter().find(|s| s.pc == at).and_then(|s| s.inst);
                if let Some(inst) = inst.filter(|i| i.op.effect() != Effect::None) {
                    registers = inst.reads().iter().fold(0, |mask, r| mask | 1 << (r & 31));
                }
                let at = self.pool.val(at, 64);
                out.push(equation("pc", 0, state.gpr[0], at));
            }
            (Some(Dest::Stub(Stub::Ecall)), GuestEnd::Ecall(at)) => {
                let at = self.pool.val(at, 64);
                out.push(equation("pc", 0, state.gpr[0], at));
            }
            (None, GuestEnd::Indirect(to)) => {
                let End::Register(at) = host.end else {
                    return apart("a jump by the table, and the code traps".to_string());
                };
                out.extend(self.table(unit, state, at, to));
            }
            (None, GuestEnd::Trap(at)) => {
                let End::Trap(position) = host.end else {
                    return apart(format!("{at:#x} traps, and the code jumps"));
                };
                everything = false;
                let budget = state.gpr[RSP];
                let waiting = state.bytes_waiting(&mut self.pool);
                match self.site(
                    unit,
                    position,
                    at,
                    budget,
                    state.gpr[RDI],
                    guest.retired,
                    guest.log,
                    waiting,
                ) {
                    Ok(more) => out.extend(more),
                    Err(what) => return apart(what),
                }
            }
            // The chunk is executed again: nothing has to be in place.
            (Some(Dest::Stub(Stub::Address)), GuestEnd::Outside) => return Claim::Equal(out),
            (dest, end) => {
                return apart(format!(
                    "the guest goes to {end:x?}, the code to {dest:x?} ({:x?})",
                    host.end
                ));
            }
        }
        match self.accesses(unit, &state.accesses, guest) {
            Ok(more) => out.extend(more),
            Err(what) => return apart(what),
        }
        match self.logged(unit, state, guest, everything) {
            Ok(more) => out.extend(more),
            Err(what) => return apart(what),
        }
        if everything {
            let start = self.pool.var(REGISTERS[RSP], 64);
            let gone = self.pool.val(u64::from(guest.retired) + charged, 64);
            let left = self.pool.sub(start, gone);
            out.push(equation("budget", 0, state.gpr[RSP], left));
            let x = self.registers(state, &outside, &guest.x);
            out.extend(x.into_iter().filter(|e| registers & (1 << e.number) != 0));
            let reservation = state.fields[&offset::RESERVATION];
            out.push(equation("reservation", 0, reservation, guest.reservation));
            // It stays inside the window, or none.
            let none = self.pool.val(u64::MAX, 64);
            let upper = self.pool.extract(reservation, 32, 32);
            let zero = self.pool.val(0, 32);
            let (inside, none) = (self.pool.eq(upper, zero), self.pool.eq(reservation, none));
            let kept = self.pool.or(inside, none);
            out.push(equation("reservation in the window", 0, kept, yes));
            if unit.config.mode != Mode::Fast {
                let log = self.pool.var(REGISTERS[RDI], 64);
                let bytes = self.pool.val(u64::from(guest.log), 64);
                let end = self.pool.add(log, bytes);
                out.push(equation("log pointer", 0, state.gpr[RDI], end));
            }
        }
        Claim::Equal(out)
    }

    fn placement(&self, unit: &Unit, pc: u64) -> Placement {
        let region = (unit.target_of)(pc).map_or(0, |t| t.region);
        unit.config.regions[region as usize].clone()
    }

    /// A way out to the guest pc `to`, which is even: rdx is its entry of the jump table, inside of it
    /// or not.
    fn far(&mut self, unit: &Unit, state: &State, to: Term) -> Equation {
        let half = self.entry(unit, to);
        equation("number of the entry", 0, state.gpr[RDX], half)
    }

    /// (to - base) / 2
    fn entry(&mut self, unit: &Unit, to: Term) -> Term {
        let p = &mut self.pool;
        let base = p.val(unit.config.table_base, 64);
        let distance = p.sub(to, base);
        p.shift_by(crate::term::Kind::Shr, distance, 1)
    }

    /// A jump through the table to the guest pc `to`: the host address `at` is that of its entry.
    fn table(&mut self, unit: &Unit, state: &State, at: Term, to: Term) -> Vec<Equation> {
        let half = self.entry(unit, to);
        let p = &mut self.pool;
        let (no, yes) = (p.bool(false), p.bool(true));
        let [read] = state.table[..] else {
            return vec![equation("reads of the table", 0, no, yes)];
        };
        let bytes = unit.config.mode.table_entry();
        if u64::from(p.width(read.value)) != 8 * bytes {
            return vec![equation("width of the entry", 0, no, yes)];
        }
        let pointer = p.var(REGISTERS[crate::x86::RBP], 64);
        // Targets, and the table's base, are even: an entry for each halfword.
        let entries = p.val(unit.config.table_bytes / 2, 64);
        let inside = p.less_u(half, entries);
        let shift = u64::from(bytes.trailing_zeros());
        let distance = p.shift_by(crate::term::Kind::Shl, half, shift);
        let first = p.val(i64::from(offset::TABLE) as u64, 64);
        let entry = p.add(distance, first);
        let entry = p.add(pointer, entry);
        // An address, or relative to what rbp holds.
        let host = if bytes == 8 {
            read.value
        } else {
            let relative = p.sign_extend(read.value, 64);
            p.add(relative, pointer)
        };
        vec![
            equation("inside of the table", 0, inside, yes),
            equation("address of the entry", 0, read.addr, entry),
            equation("host address", 0, at, host),
            // What the entries without a block rely on.
            equation("number of the entry", 0, state.gpr[RDX], half),
        ]
    }

    /// The site of a host instruction has this guest pc, and corrects budget and log.
    #[allow(clippy::too_many_arguments)]
    fn site(
        &mut self,
        unit: &Unit,
        host: u32,
        pc: u64,
        budget: Term,
        log: Term,
        retired: u32,
        logged: u32,
        waiting: u32,
    ) -> Result<Vec<Equation>, String> {
        let site = unit.sites.iter().find(|s| s.host == host);
        let Some(site) = site else {
            return Err(format!("no site for the host instruction at {host:#x}"));
        };
        if u64::from(site.pc) != pc {
            return Err(format!("the site at {host:#x} is for {:#x}", site.pc));
        }
        let p = &mut self.pool;
        let refund = p.val(u64::from(site.refund), 64);
        let corrected = p.add(budget, refund);
        let start = p.var(REGISTERS[RSP], 64);
        let gone = p.val(u64::from(retired), 64);
        let left = p.sub(start, gone);
        let mut out = vec![equation("budget at a site", 0, corrected, left)];
        if unit.config.mode != Mode::Fast {
            let waiting = match unit.config.mode {
                Mode::Trace => waiting,
                Mode::Fast | Mode::Replay => 0,
            };
            if u32::from(site.waiting()) != waiting {
                return Err(format!(
                    "{waiting} bytes wait at {host:#x}, not {}",
                    site.waiting()
                ));
            }
            let more = p.val(u64::from(site.logged()), 64);
            let corrected = p.add(log, more);
            let start = p.var(REGISTERS[RDI], 64);
            let bytes = p.val(u64::from(logged), 64);
            let end = p.add(start, bytes);
            out.push(equation("log pointer at a site", 0, corrected, end));
        }
        Ok(out)
    }

    /// The accesses are the guest's, in order; each has a site.
    fn accesses(
        &mut self,
        unit: &Unit,
        host: &[Access],
        guest: &GuestPath,
    ) -> Result<Vec<Equation>, String> {
        if unit.config.mode == Mode::Replay {
            return if host.is_empty() {
                Ok(Vec::new())
            } else {
                Err("an access to memory in replay".to_string())
            };
        }
        let shape = |write: bool, bytes: u64| format!("{}{bytes}", if write { "w" } else { "r" });
        let ours: Vec<String> = host
            .iter()
            .map(|a| shape(a.write, u64::from(a.bytes)))
            .collect();
        let theirs: Vec<String> = guest
            .accesses
            .iter()
            .map(|a| shape(a.write, a.width.bytes()))
            .collect();
        if ours != theirs {
            return Err(format!("accesses are {ours:?}, not {theirs:?}"));
        }
        let mut out = Vec::new();
        for (i, (h, g)) in host.iter().zip(&guest.accesses).enumerate() {
            let GuestAccess { addr, value, .. } = *g;
            out.push(equation("address", i as u32 + 1, h.addr, addr));
            out.push(equation("value", i as u32 + 1, h.value, value));
            let site = self.site(
                unit, h.host, g.pc, h.budget, h.log, g.retired, g.log, h.waiting,
            )?;
            out.extend(site);
            if unit.config.mode == Mode::Trace && h.logged + h.waiting < g.log {
                return Err(format!("access {i}: {} bytes logged before", h.logged));
            }
        }
        Ok(out)
    }

    /// The log holds the values read, and nothing else.
    fn logged(
        &mut self,
        unit: &Unit,
        state: &State,
        guest: &GuestPath,
        everything: bool,
    ) -> Result<Vec<Equation>, String> {
        if unit.config.mode != Mode::Trace {
            return if state.log.is_empty() {
                Ok(Vec::new())
            } else {
                Err("the log is written".to_string())
            };
        }
        let mut expected = Vec::new();
        for g in guest.accesses.iter().filter(|g| !g.write) {
            for k in 0..g.width.bytes() as u8 {
                expected.push(self.pool.extract(g.value, 8 * k, 8));
            }
        }
        expected.truncate(guest.log as usize);
        if everything && state.log.len() != expected.len() {
            return Err(format!(
                "{} bytes logged, not {}",
                state.log.len(),
                expected.len()
            ));
        }
        let mut out = Vec::new();
        // At a fault the rest is in xmm0; that the site says so has been checked.
        let logged = state.bytes_logged() as usize;
        for (i, byte) in expected.into_iter().enumerate() {
            let waiting = match i.checked_sub(logged) {
                Some(at) if !everything => state.vector.get(at),
                _ => None,
            };
            let Some(host) = state.log.get(&(i as i64)).or(waiting) else {
                return Err(format!("byte {i} of the log is not written"));
            };
            out.push(equation("log byte", i as u32 + 1, *host, byte));
        }
        Ok(out)
    }
}

/// What has to be equal; of several of one kind the one with this number.
pub(super) fn equation(what: &'static str, number: u32, host: Term, guest: Term) -> Equation {
    Equation {
        what,
        number,
        host,
        guest,
    }
}
