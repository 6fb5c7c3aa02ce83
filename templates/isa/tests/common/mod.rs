//! Helpers of several test binaries.
#![allow(dead_code)] // Each binary uses its own part.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hartlog_isa::{Hart, Inst, Op, Port, Trap, Width, execute};
use quickcheck::{Arbitrary, Gen};

/// Deterministic pseudo-random words (SplitMix64), so that a failure names a repeatable case.
pub struct Words(pub u64);

impl Words {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// A word that decodes as `op`, operand bits random.
    pub fn word(&mut self, op: Op) -> u32 {
        let row = op.row();
        row.match_bits | self.next() as u32 & !row.mask
    }

    /// Boundary values, often; anything, otherwise.
    pub fn value(&mut self) -> u64 {
        const EDGES: [u64; 16] = [
            0,
            1,
            2,
            u64::MAX,
            u64::MAX - 1,
            0x7f,
            0x80,
            0x7fff,
            0x8000,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0xffff_ffff_8000_0000,
            i64::MAX as u64,
            i64::MIN as u64,
        ];
        let word = self.next();
        match word % 8 {
            0..4 => EDGES[(word >> 8) as usize % EDGES.len()],
            4 => 1 << ((word >> 8) % 64),
            5 => self.next() >> ((word >> 8) % 64),
            _ => self.next(),
        }
    }
}

/// A 32-bit instruction with random operands.
#[derive(Clone, Debug)]
pub struct AnyInst(pub Inst);

impl Arbitrary for AnyInst {
    fn arbitrary(g: &mut Gen) -> AnyInst {
        let op = *g.choose(Op::ALL).unwrap();
        // Small immediates and repeated registers reach the compressed forms.
        let imm = match u8::arbitrary(g) % 3 {
            0 => i32::arbitrary(g),
            1 => i32::from(i8::arbitrary(g)) * 4,
            _ => i32::from(i16::arbitrary(g)) << 12,
        };
        let rd = u8::arbitrary(g) % 32;
        let rs1 = if bool::arbitrary(g) {
            rd
        } else {
            u8::arbitrary(g) % 32
        };
        AnyInst(Inst::new(op, rd, rs1, u8::arbitrary(g) % 32, imm))
    }
}

/// Sparse memory that records its accesses and refuses everything at or above `limit`.
#[derive(Clone, Default)]
pub struct Memory {
    pub bytes: HashMap<u64, u8>,
    pub reads: Vec<(u64, Width, u64)>,
    pub writes: Vec<(u64, Width, u64)>,
    pub read_limit: Option<u64>,
    pub write_limit: Option<u64>,
    pub steps: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Refused(pub u64);

impl Memory {
    pub fn put(&mut self, addr: u64, width: Width, value: u64) {
        for i in 0..width.bytes() {
            self.bytes
                .insert(addr.wrapping_add(i), (value >> (8 * i)) as u8);
        }
    }

    pub fn get(&self, addr: u64, width: Width) -> u64 {
        (0..width.bytes()).fold(0, |value, i| {
            let byte = self.bytes.get(&addr.wrapping_add(i)).copied().unwrap_or(0);
            value | u64::from(byte) << (8 * i)
        })
    }
}

impl Port for Memory {
    type Fault = Refused;

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, Refused> {
        if self.read_limit.is_some_and(|limit| addr >= limit) {
            return Err(Refused(addr));
        }
        let value = self.get(addr, width);
        self.reads.push((addr, width, value));
        Ok(value)
    }

    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), Refused> {
        if self.write_limit.is_some_and(|limit| addr >= limit) {
            return Err(Refused(addr));
        }
        assert_eq!(
            value & !width.mask(),
            0,
            "the port gets a value of the access width"
        );
        self.put(addr, width, value);
        self.writes.push((addr, width, value));
        Ok(())
    }

    fn steps(&mut self) -> u64 {
        self.steps
    }
}

pub const PC: u64 = 0x1_0000;
/// Most tests use `op a0,a1,a2`.
pub const RD: u8 = 10;
pub const RS1: u8 = 11;
pub const RS2: u8 = 12;

pub fn hart(rs1: u64, rs2: u64) -> Hart {
    let mut hart = Hart::new(PC);
    hart.x[usize::from(RS1)] = rs1;
    hart.x[usize::from(RS2)] = rs2;
    hart
}

pub const PATTERN: u64 = 0x0123_4567_89ab_cdef;

/// Runs `inst`, which must trap and change nothing in the hart.
pub fn trap(inst: Inst, mut memory: Memory, rs1: u64) -> Trap<Refused> {
    let mut state = hart(rs1, 7);
    state.x[usize::from(RD)] = 99;
    state.reservation = rs1;
    let before = state.clone();
    let trap = execute(&mut state, &inst, &mut memory).unwrap_err();
    assert_eq!(state, before, "{inst}");
    assert_eq!(memory.writes, [], "{inst}");
    trap
}

/// True if `tool` runs; otherwise says that `what` is skipped.
pub fn have(tool: &str, what: &str) -> bool {
    let found = Command::new(tool)
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success());
    if !found {
        println!("skipped: {what} needs {tool}, which is not installed");
    }
    found
}

/// A directory of this process's own, removed with the value.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let prefix = format!("hartlog-isa-{name}-");
        Scratch(tempfile::Builder::new().prefix(&prefix).tempdir().unwrap())
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }
}

/// Runs a tool and returns its output; panics with its message if it fails.
pub fn run(tool: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Vec<u8> {
    let out = Command::new(tool)
        .args(args.iter().map(|arg| arg.as_ref()))
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{tool}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

/// Assembles `source` for the ISA of this project.
pub fn assemble(source: &str, scratch: &Scratch) -> PathBuf {
    let (text, object) = (scratch.path("guest.s"), scratch.path("guest.o"));
    std::fs::write(&text, source).unwrap();
    let march = "-march=rv64imac_zicsr_zifencei_zba_zbb_zbs";
    run(
        "riscv64-unknown-elf-as",
        &[&march, &"-mno-relax", &text, &"-o", &object],
    );
    object
}

/// One instruction as objdump sees it.
pub struct Listed {
    pub address: u64,
    pub raw: u32,
    /// `mnemonic operands`, without aliases, comments and symbols.
    pub text: String,
}

/// What objdump makes of an object's text.
pub fn objdump(object: &Path) -> Vec<Listed> {
    let out = run(
        "riscv64-unknown-elf-objdump",
        &[&"-d", &"-M", &"no-aliases", &object],
    );
    let listing = String::from_utf8(out).unwrap();
    let mut listed = Vec::new();
    for line in listing.lines() {
        let mut columns = line.splitn(3, '\t');
        let (Some(address), Some(raw), Some(text)) =
            (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let text = text.split(['#', '<']).next().unwrap().replace('\t', " ");
        listed.push(Listed {
            address: u64::from_str_radix(address.trim().trim_end_matches(':'), 16).unwrap(),
            raw: u32::from_str_radix(raw.trim(), 16).unwrap(),
            text: text.trim().to_owned(),
        });
    }
    listed
}
