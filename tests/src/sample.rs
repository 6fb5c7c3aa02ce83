//! Random programs: shuffled idioms (what compilers emit, and what the templates fold, defer and
//! fuse) with branches, loops, calls and jump tables over them. Any control flow is fine, since
//! runs are cut off after a number of steps.
//!
//! A [`Sample`] is a list of [`Item`]s whose targets are positions in the list, so that items can
//! be taken out one by one to shrink it.

use crate::elf::{Image, PF_R, PF_W, PF_X, RVC, Segment, Symbol};
use crate::program::{Cut, Mode, Program, Setup};
use crate::random::Rng;
use crate::reference::Region;
use hartlog_isa::{Format, Hart, Inst, NO_RESERVATION, Op, compress};
use quickcheck::{Arbitrary, Gen};
use std::fmt;

mod idioms;
mod shrink;
mod standalone;

/// Guest address of the first instruction.
pub const CODE: u64 = 0x1_0000;
/// Writable data; x8 points to its middle.
pub const DATA: u64 = 0x2000_0000;
/// Writable data around 2^31; x2 points to its middle.
pub const HIGH: u64 = 0x8000_0000 - DATA_SIZE / 2;
/// Bytes of each.
pub const DATA_SIZE: u64 = 0x2000;
/// A read-only page right behind [`DATA`], with code pointers; x9 points to it.
pub const TABLE: u64 = DATA + DATA_SIZE;
/// Code pointers in [`TABLE`], the first half plain, the second half shifted left by 32 bits, so
/// that they do not look like pointers.
pub const POINTERS: usize = 8;

const PAGE: u64 = 4096;

/// Base registers, which idioms do not write.
pub const BASE_DATA: u8 = 8;
/// See [`BASE_DATA`].
pub const BASE_HIGH: u8 = 2;
/// See [`BASE_DATA`].
pub const BASE_TABLE: u8 = 9;
/// Likewise: an odd address in [`DATA`].
pub const BASE_ODD: u8 = 3;
/// Likewise: three bytes in front of the end of what is mapped, and of a page that is read-only.
pub const BASE_BAD: u8 = 4;
/// Loop counter, likewise.
pub const COUNTER: u8 = 18;

/// A piece of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An instruction as it is.
    Op(Inst),
    /// A branch or `jal` to an item.
    To(Inst, u16),
    /// `auipc` and `addi`: the address of an item plus some bytes.
    Address {
        /// Register that gets it.
        rd: u8,
        /// The item.
        to: u16,
        /// The bytes.
        plus: i8,
    },
    /// `auipc` and `jalr` to an item.
    Far {
        /// Link register.
        rd: u8,
        /// Register for the address.
        via: u8,
        /// The item.
        to: u16,
    },
    /// A halfword that need not be an instruction.
    Half(u16),
}

/// A piece of a program, and whether it takes its 16-bit form if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// 16-bit form.
    pub short: bool,
}

impl From<Inst> for Item {
    fn from(inst: Inst) -> Item {
        Item {
            kind: Kind::Op(inst),
            short: false,
        }
    }
}

/// A program with the state that it starts in.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample {
    /// What it was made from; also decides the contents of its data.
    pub seed: u64,
    /// Its code.
    pub items: Vec<Item>,
    /// Items with a code pointer in [`TABLE`].
    pub pointers: [u16; POINTERS],
    /// Items with a symbol, and bytes to add.
    pub symbols: Vec<(u16, u8)>,
    /// Registers at the start, but for the bases.
    pub x: [u64; 32],
    /// Registers in the order in which they get homes.
    pub order: Vec<u8>,
}

/// Machine code with the address of each item (and of the end).
pub struct Assembled {
    /// The bytes.
    pub code: Vec<u8>,
    /// Guest addresses.
    pub addresses: Vec<u64>,
}

impl Sample {
    /// A sample of about `size` items.
    pub fn new(seed: u64, size: usize) -> Sample {
        idioms::sample(seed, size)
    }

    /// Its machine code.
    pub fn assemble(&self) -> Assembled {
        let mut long: Vec<bool> = self.items.iter().map(|i| !i.short).collect();
        loop {
            let mut pc = CODE;
            let mut addresses = Vec::with_capacity(self.items.len() + 1);
            for (item, long) in self.items.iter().zip(&long) {
                addresses.push(pc);
                pc += match item.kind {
                    Kind::Op(_) | Kind::To(..) => {
                        if *long {
                            4
                        } else {
                            2
                        }
                    }
                    Kind::Address { .. } | Kind::Far { .. } => 8,
                    Kind::Half(_) => 2,
                };
            }
            addresses.push(pc);
            // What turned out to have no short form gets longer, and everything moves: again.
            if let Some(code) = self.encode(&addresses, &mut long) {
                return Assembled { code, addresses };
            }
        }
    }

    fn encode(&self, addresses: &[u64], long: &mut [bool]) -> Option<Vec<u8>> {
        let mut code = Vec::new();
        let mut done = true;
        for (i, item) in self.items.iter().enumerate() {
            let pc = addresses[i];
            let distance =
                |to: u16| addresses[usize::from(to).min(self.items.len())] as i64 - pc as i64;
            let split = |distance: i64| {
                let high = (distance + 0x800) & !0xfff;
                (high as i32, (distance - high) as i32)
            };
            let mut one = |inst: Inst| {
                if !long[i] {
                    match compress(&inst) {
                        Some(half) => code.extend_from_slice(&half.to_le_bytes()),
                        None => (long[i], done) = (true, false),
                    }
                } else {
                    code.extend_from_slice(&inst.encode().to_le_bytes());
                }
            };
            match item.kind {
                Kind::Op(inst) => one(inst),
                Kind::To(inst, to) => {
                    let distance = distance(to) as i32;
                    let reach = if inst.op.format() == Format::J {
                        1 << 20
                    } else {
                        1 << 12
                    };
                    let imm = if (-reach..reach).contains(&distance) {
                        distance
                    } else {
                        4
                    };
                    let moved = Inst::new(inst.op, inst.rd, inst.rs1, inst.rs2, imm);
                    one(moved);
                }
                Kind::Address { rd, to, plus } => {
                    let (high, low) = split(distance(to) + i64::from(plus));
                    code.extend_from_slice(&Inst::new(Op::Auipc, rd, 0, 0, high).raw.to_le_bytes());
                    code.extend_from_slice(&Inst::new(Op::Addi, rd, rd, 0, low).raw.to_le_bytes());
                }
                Kind::Far { rd, via, to } => {
                    let (high, low) = split(distance(to));
                    code.extend_from_slice(
                        &Inst::new(Op::Auipc, via, 0, 0, high).raw.to_le_bytes(),
                    );
                    code.extend_from_slice(&Inst::new(Op::Jalr, rd, via, 0, low).raw.to_le_bytes());
                }
                Kind::Half(half) => code.extend_from_slice(&half.to_le_bytes()),
            }
        }
        done.then_some(code)
    }

    /// Its executable.
    pub fn image(&self) -> Image {
        let Assembled { code, addresses } = self.assemble();
        let address = |item: u16| addresses[usize::from(item).min(self.items.len())];
        let mut table = Vec::new();
        for (i, item) in self.pointers.iter().enumerate() {
            let shift = if i < POINTERS / 2 { 0 } else { 32 };
            table.extend_from_slice(&(address(*item) << shift).to_le_bytes());
        }
        let symbols = self
            .symbols
            .iter()
            .enumerate()
            .map(|(i, (item, plus))| Symbol {
                name: format!("f{i}"),
                addr: address(*item) + u64::from(*plus),
                size: 0,
            });
        Image {
            entry: CODE,
            flags: RVC,
            segments: vec![
                Segment::new(CODE, code, PF_R | PF_X),
                Segment::new(DATA, self.data(0), PF_R | PF_W),
                Segment::new(TABLE, table, PF_R),
                Segment::new(HIGH, self.data(1), PF_R | PF_W),
            ],
            symbols: symbols.collect(),
        }
    }

    fn data(&self, which: u64) -> Vec<u8> {
        let mut rng = Rng::new(self.seed.wrapping_add(which));
        (0..DATA_SIZE / 8)
            .flat_map(|_| rng.value().to_le_bytes())
            .collect()
    }

    /// Guest memory at the start.
    pub fn memory(image: &Image) -> Vec<Region> {
        let region = |s: &Segment| {
            let mut bytes = s.data.clone();
            bytes.resize(
                bytes
                    .len()
                    .next_multiple_of(PAGE as usize)
                    .max(PAGE as usize),
                0,
            );
            Region {
                addr: s.vaddr,
                writable: s.flags & PF_W != 0,
                bytes,
            }
        };
        image.segments.iter().map(region).collect()
    }

    /// The hart at the start.
    pub fn hart(&self) -> Hart {
        let mut x = self.x;
        x[0] = 0;
        // Somewhere to return to.
        let addresses = self.assemble().addresses;
        for (r, pointer) in [1, 5].into_iter().zip(self.pointers) {
            x[r] = addresses[usize::from(pointer).min(self.items.len())];
        }
        x[usize::from(BASE_DATA)] = DATA + DATA_SIZE / 2;
        x[usize::from(BASE_HIGH)] = HIGH + DATA_SIZE / 2;
        x[usize::from(BASE_TABLE)] = TABLE;
        x[usize::from(BASE_ODD)] = DATA + 0x801;
        x[usize::from(BASE_BAD)] = TABLE + PAGE - 3;
        Hart {
            x,
            pc: CODE,
            reservation: NO_RESERVATION,
        }
    }

    /// Which of its blocks, short as they are, are emitted in pieces: most of them, most times.
    pub fn cut(&self) -> Cut {
        Cut {
            from: 2 + self.seed as usize % 23,
            steps: 1 + self.seed as usize % 7,
        }
    }

    /// Translates it.
    pub fn translate(&self, image: &Image, mode: Mode, checked: bool) -> Program {
        Program::new(
            image,
            Setup {
                mode,
                checked,
                order: self.order.clone(),
                cut: self.cut(),
                ..Setup::default()
            },
        )
    }

    /// The sample with an item put in at a position.
    pub fn with(&self, position: usize, item: Item) -> Sample {
        let mut sample = self.clone();
        sample.retarget(|to| {
            if usize::from(to) > position {
                to + 1
            } else {
                to
            }
        });
        sample.items.insert(position, item);
        sample
    }

    fn retarget(&mut self, f: impl Fn(u16) -> u16) {
        for item in &mut self.items {
            match &mut item.kind {
                Kind::To(_, to) | Kind::Address { to, .. } | Kind::Far { to, .. } => *to = f(*to),
                Kind::Op(_) | Kind::Half(_) => {}
            }
        }
        for pointer in &mut self.pointers {
            *pointer = f(*pointer);
        }
        for (symbol, _) in &mut self.symbols {
            *symbol = f(*symbol);
        }
    }
}

/// The program as assembly text.
impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Assembled { code, addresses } = self.assemble();
        writeln!(f, "seed {:#x}, {} items", self.seed, self.items.len())?;
        for (i, item) in self.items.iter().enumerate() {
            let start = (addresses[i] - CODE) as usize;
            let end = (addresses[i + 1] - CODE) as usize;
            write!(f, "  {i:3} {:#x}: ", addresses[i])?;
            match (item.kind, hartlog_isa::decode_at(&code[start..end])) {
                (Kind::Op(_), Ok(inst)) => writeln!(f, "{inst}")?,
                (Kind::To(_, to), Ok(inst)) => writeln!(f, "{inst}  -> {to}")?,
                (kind, _) => writeln!(f, "{kind:?}")?,
            }
        }
        writeln!(
            f,
            "  pointers {:?}, symbols {:?}",
            self.pointers, self.symbols
        )?;
        write!(f, "  x")?;
        for (r, value) in self.x.iter().enumerate().filter(|(_, v)| **v != 0) {
            write!(f, " {r}={value:#x}")?;
        }
        writeln!(f)?;
        writeln!(f, "  order {:?}", self.order)
    }
}

impl Arbitrary for Sample {
    fn arbitrary(g: &mut Gen) -> Sample {
        // quickcheck's own numbers are small or otherwise special: the same programs again.
        let mix = |seed: u64, part: u32| {
            (seed ^ u64::from(part))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
        };
        let seed = (0..4).map(|_| u32::arbitrary(g)).fold(0, mix);
        let size = 1 + usize::arbitrary(g) % g.size().max(1);
        Sample::new(seed, size)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Sample>> {
        Box::new(shrink::smaller(self.clone()))
    }
}
