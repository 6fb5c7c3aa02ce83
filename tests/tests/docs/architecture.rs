//! The listings of ARCHITECTURE.md, made anew.

use super::{root, text};
use compiler::{Mode, Options, Translation};
use hartlog_elf::Elf;
use hartlog_isa::{ABI_NAMES, Inst, Op};
use replay::chunk::{Consumer, Row};
use replay::program::Program;
use replay::trace::Trace;
use std::fmt::Write as _;
use tests::elf::{Image, PF_R, PF_X, RVC, Segment, Symbol};
use tests::guests::{Scratch, run};

/// Puts a listing into the first code block after its marker; the page as it should be.
fn with_listing(page: &str, name: &str, listing: &str) -> String {
    let marker = format!("<!-- listing: {name} -->\n```text\n");
    let Some((before, rest)) = page.split_once(&marker) else {
        panic!("there is no place for the listing {name}")
    };
    let Some((_, after)) = rest.split_once("```\n") else {
        panic!("the listing {name} has no end")
    };
    format!("{before}{marker}{listing}```\n{after}")
}

/// The program of ARCHITECTURE.md: a store, the load that is followed, and an exit with the value
/// loaded.
fn example() -> (Image, u64) {
    const BASE: u64 = 0x1_0000;
    let (sp, t0, a0, a7) = (2, 5, 10, 17);
    let code = [
        Inst::new(Op::Addi, sp, sp, 0, -16),
        Inst::new(Op::Addi, t0, 0, 0, 42),
        Inst::new(Op::Sd, 0, sp, t0, 8),
        Inst::new(Op::Ld, a0, sp, 0, 8),
        Inst::new(Op::Addi, a7, 0, 0, 93),
        Inst::new(Op::Ecall, 0, 0, 0, 0),
    ];
    let mut bytes = Vec::new();
    let mut load = BASE;
    for inst in &code {
        if inst.op == Op::Ld {
            load = BASE + bytes.len() as u64;
        }
        match hartlog_isa::compress(inst) {
            Some(half) => bytes.extend_from_slice(&half.to_le_bytes()),
            None => bytes.extend_from_slice(&inst.encode().to_le_bytes()),
        }
    }
    let symbol = Symbol {
        name: "_start".to_owned(),
        addr: BASE,
        size: bytes.len() as u64,
    };
    let image = Image {
        entry: BASE,
        flags: RVC,
        segments: vec![Segment::new(BASE, bytes, PF_R | PF_X)],
        symbols: vec![symbol],
    };
    (image, load)
}

fn translate(elf: &Elf, mode: Mode) -> Translation {
    let options = Options {
        mode,
        listing: true,
        ..Options::default()
    };
    match compiler::compile(elf, &options) {
        Ok(translation) => translation,
        Err(e) => panic!("{e}"),
    }
}

fn listing(elf: &Elf, translation: &Translation) -> String {
    let mut out = Vec::new();
    compiler::listing::write(elf, &translation.code, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("listings are text")
}

/// ELF bytes, file offset and address of each instruction.
fn elf_listing(elf: &Elf) -> String {
    let mut out = String::new();
    let segment = &elf.segments[0];
    let mut pc = segment.vaddr;
    while let Some(bytes) = elf.code_at(pc) {
        let Ok(inst) = hartlog_isa::decode_at(bytes) else {
            break;
        };
        let offset = segment.data.start as u64 + pc - segment.vaddr;
        let raw: Vec<String> = bytes[..inst.len.into()]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let _ = writeln!(out, "{offset:#06x}  {pc:#x}  {:<12} {inst}", raw.join(" "));
        pc += u64::from(inst.len);
    }
    out
}

fn inst_listing(elf: &Elf, load: u64) -> String {
    let bytes = elf.code_at(load).expect("the load is code");
    let inst = hartlog_isa::decode_at(bytes).expect("the load decodes");
    let Inst {
        op,
        rd,
        rs1,
        rs2,
        len,
        imm,
        raw,
    } = inst;
    format!(
        "Inst {{ op: {op:?}, rd: {rd}, rs1: {rs1}, rs2: {rs2}, len: {len}, imm: {imm}, raw: {raw:#06x} }}\n\
         effect: {:?}\n",
        op.effect()
    )
}

fn block_listing(elf: &Elf, translation: &Translation) -> String {
    let (code, _) = compiler::code::decode_text(elf).expect("it decodes");
    let (leaders, depths) = (
        compiler::discover::leaders(elf, &code),
        compiler::weights::loop_depths(&code),
    );
    let blocks = compiler::blocks::form(&code, leaders, &depths);
    let mut out = String::new();
    for block in &blocks {
        let first = block.first().map_or(0, |s| s.pc);
        let _ = writeln!(out, "block {first:#x}, {} steps", block.len());
    }
    let homes = &translation.code.config.placement;
    let used = [2u8, 5, 10, 17].map(|r| {
        let home = homes
            .home(r)
            .map_or("memory".to_owned(), |h| format!("{h:?}").to_lowercase());
        format!("{} -> {home}", ABI_NAMES[usize::from(r)])
    });
    let _ = writeln!(out, "{}", used.join(", "));
    out
}

/// The host instructions of a listing that belong to one guest instruction.
fn lines_of(listing: &str, inst: &str) -> Vec<String> {
    let own = listing.lines().skip_while(|l| !l.ends_with(inst)).skip(1);
    own.map_while(|l| l.strip_prefix("    "))
        .filter_map(|l| l.trim_start().split_once("  "))
        .map(|(_, instruction)| instruction.to_owned())
        .collect()
}

/// Sections of an ELF file that are not empty: name and size in bytes.
fn sections(file: &[u8]) -> Vec<(String, u64)> {
    let number = |at: usize, size: usize| {
        let mut value = [0; 8];
        value[..size].copy_from_slice(&file[at..at + size]);
        u64::from_le_bytes(value) as usize
    };
    let (table, size, count, names) = (number(40, 8), number(58, 2), number(60, 2), number(62, 2));
    let strings = number(table + names * size + 24, 8);
    let section = |i: usize| {
        let header = table + i * size;
        let name = &file[strings + number(header, 4)..];
        let len = name.iter().position(|b| *b == 0).unwrap_or(0);
        (
            String::from_utf8_lossy(&name[..len]).into_owned(),
            number(header + 32, 8) as u64,
        )
    };
    (1..count).map(section).filter(|s| s.1 > 0).collect()
}

fn object_listing(translation: &Translation) -> String {
    let mut out = String::new();
    for (name, size) in sections(&translation.object) {
        let ours = [".text.", ".data.", ".rodata."]
            .iter()
            .any(|p| name.starts_with(p));
        if ours {
            let _ = writeln!(out, "{name:<36} {size:>6} bytes");
        }
    }
    out
}

fn site_listing(translation: &Translation, load: u64) -> String {
    let sites = translation.code.definitions.iter().flat_map(|d| &d.sites);
    let of_load: Vec<_> = sites.filter(|s| u64::from(s.pc) == load).collect();
    let mut out = String::new();
    for s in of_load {
        let _ = writeln!(
            out,
            "Site {{ host: {:#x}, pc: {:#x}, refund: {}, log: {} }}",
            s.host, s.pc, s.refund, s.log
        );
    }
    out
}

fn log_listing(trace: &Trace) -> String {
    let chunk = trace.chunk(0).expect("there is a chunk");
    let h = chunk.header;
    let log: Vec<String> = chunk.log.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "chunk {}: first step {}, {} steps, pc {:#x}, sp {:#x}\n\
         read log: {}\n\
         end: kind {}, code {}, pc {:#x}\n",
        h.index,
        h.first_step,
        h.steps,
        h.start_pc,
        h.regs[1],
        log.join(" "),
        h.end_kind,
        h.end_code,
        h.end_pc
    )
}

/// Lines for the rows of a chunk.
#[derive(Default)]
struct Rows(String);

impl Consumer for Rows {
    fn row(&mut self, row: &Row<'_>) {
        let inst = row.inst.to_string();
        let _ = write!(self.0, "step {}  pc {:#x}  {inst:<16}", row.step, row.pc);
        if let Some(access) = row.access {
            let _ = write!(self.0, " [{:#x}]", access.addr);
            if let Some(value) = access.read {
                let _ = write!(self.0, " read {value:#x}");
            }
            if let Some(value) = access.written {
                let _ = write!(self.0, " wrote {value:#x}");
            }
        }
        if let Some(rd) = row.inst.writes() {
            let _ = write!(self.0, " {} = {:#x}", ABI_NAMES[usize::from(rd)], row.rd);
        }
        let trimmed = self.0.trim_end().len();
        self.0.truncate(trimmed);
        self.0.push('\n');
    }
}

#[test]
fn architecture_page_follows_one_load() {
    let (image, load) = example();
    let elf = Elf::parse(image.build()).expect("the example loads");
    let traced = translate(&elf, Mode::Trace);
    let load_text = "ld a0,8(sp)";
    let mut modes = String::new();
    for mode in [Mode::Fast, Mode::Trace, Mode::Replay] {
        let code = listing(&elf, &translate(&elf, mode));
        let lines = lines_of(&code, load_text).join("; ");
        let _ = writeln!(modes, "{:<7} {lines}", format!("{mode:?}").to_lowercase());
    }

    let scratch = Scratch::new("architecture");
    let (native, file) = (scratch.path("native"), scratch.path("trace"));
    if let Err(e) = compiler::link::link(&traced.object, &native, "ld") {
        panic!("{e}");
    }
    let path = file.to_string_lossy();
    let env = [("HARTLOG_TRACE", path.as_ref()), ("HARTLOG_QUIET", "1")];
    let output = run(&native, &[], b"", &env);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let bytes = std::fs::read(&file).expect("the trace");
    let trace = Trace::from_bytes(bytes).expect("the trace can be read");
    let program = Program::new(elf.clone());
    let mut rows = Rows::default();
    let chunk = trace.chunk(0).expect("there is a chunk");
    replay::chunk::replay(&program, &chunk, &mut rows).expect("the chunk replays");

    let page = text("ARCHITECTURE.md");
    let mut wanted = page.clone();
    for (name, listing) in [
        ("elf", elf_listing(&elf)),
        ("inst", inst_listing(&elf, load)),
        ("block", block_listing(&elf, &traced)),
        ("host", listing(&elf, &traced)),
        ("modes", modes),
        ("object", object_listing(&traced)),
        ("site", site_listing(&traced, load)),
        ("log", log_listing(&trace)),
        ("replay", rows.0),
    ] {
        assert!(!listing.is_empty(), "listing {name}");
        wanted = with_listing(&wanted, name, &listing);
    }
    if wanted != page && std::env::var_os("HARTLOG_UPDATE_DOCS").is_some() {
        std::fs::write(root().join("ARCHITECTURE.md"), &wanted).expect("the page can be written");
        return;
    }
    let changed = wanted.lines().zip(page.lines()).find(|(w, p)| w != p);
    assert!(
        wanted == page,
        "ARCHITECTURE.md is out of date, first at {changed:?}; look at the change and take it over \
         with HARTLOG_UPDATE_DOCS=1 cargo test -p tests --test docs"
    );
}
