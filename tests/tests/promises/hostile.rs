//! ELF files that are made to cost time or memory, and small ones with every header bit flipped:
//! loaded and translated, or refused, within a second and 256 MiB.

use crate::{
    CODE, addi, bytes, call, ecall, in_child, is_child, load, lui, peak_memory, program, reg,
};
use compiler::{Columns, Mode, Options};
use hartlog_elf::Elf;
use hartlog_format::layout::{GUEST_END, GUEST_MIN};
use hartlog_isa::{Inst, Op};
use replay::program::Program;
use std::time::Duration;
use tests::elf::{Image, PF_R, PF_W, PF_X, Segment, Symbol};
use tests::guests::{Scratch, build, interpret, run};
use tests::random::Rng;

/// For each file and mode, of a processor.
const TIME: Duration = Duration::from_secs(1);

/// For all of them, one after the other in one process.
const MEMORY: u64 = 256 << 20;

/// Address space: what is asked for and never touched is limited, too.
const ADDRESS_SPACE: u64 = 1 << 30;

/// Time of the processor that this process has used: the machine may be busy with something else.
fn used() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is there to be written.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "every process has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Loads and translates in every mode; whether it could be. The limit is for each mode.
fn translate(name: &str, file: &[u8], limit: Duration) -> bool {
    [Mode::Trace, Mode::Fast, Mode::Replay].map(|mode| {
        let start = used();
        let fine = translate_one(name, file.to_vec(), mode);
        let took = used() - start;
        assert!(took < limit, "{name}: {took:?}");
        if took > limit / 4 {
            println!("{name}: {took:?}");
        }
        fine
    }) == [true; 3]
}

fn translate_one(name: &str, file: Vec<u8>, mode: Mode) -> bool {
    let elf = match Elf::parse(file) {
        Ok(elf) => elf,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let options = Options {
        mode,
        columns: Columns::NONE,
        ..Options::default()
    };
    match compiler::compile(&elf, &options) {
        Ok(translation) => !translation.object.is_empty(),
        Err(error) => {
            assert!(
                !matches!(error, compiler::Error::Object(_)),
                "{name}: {error}"
            );
            false
        }
    }
}

fn jal(offset: i32) -> Inst {
    Inst::new(Op::Jal, 0, 0, 0, offset)
}

/// A file with these program headers (flags, offset, address, bytes in the file, in memory) and
/// section headers (type, flags, address, offset, size, link, entry size) behind the bytes.
fn raw(segments: &[[u64; 5]], sections: &[[u64; 7]], data: &[u8]) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let headers = 64 + 56 * segments.len() as u64;
    let shoff = if sections.is_empty() {
        0
    } else {
        headers + data.len() as u64
    };
    let entry = segments.first().map_or(0, |s| s[2]);
    let half = |out: &mut Vec<u8>, v: u64| out.extend(&v.to_le_bytes()[..2]);
    half(&mut out, 2);
    half(&mut out, 243);
    out.extend(1u32.to_le_bytes());
    for v in [entry, 64, shoff] {
        out.extend(v.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    for v in [64, 56, segments.len() as u64, 64, sections.len() as u64, 0] {
        half(&mut out, v);
    }
    for [flags, offset, addr, in_file, in_memory] in segments {
        out.extend(1u32.to_le_bytes());
        out.extend(&flags.to_le_bytes()[..4]);
        for v in [offset, addr, addr, in_file, in_memory, &1] {
            out.extend(v.to_le_bytes());
        }
    }
    out.extend(data);
    for [kind, flags, addr, offset, size, link, entry] in sections {
        out.extend(0u32.to_le_bytes());
        out.extend(&kind.to_le_bytes()[..4]);
        for v in [flags, addr, offset, size] {
            out.extend(v.to_le_bytes());
        }
        out.extend(&link.to_le_bytes()[..4]);
        out.extend(0u32.to_le_bytes());
        out.extend(1u64.to_le_bytes());
        out.extend(entry.to_le_bytes());
    }
    out
}

const RX: u64 = 5;
const RW: u64 = 6;
/// Allocated, instructions.
const TEXT: u64 = 6;

/// Start of the data of a file with so many segments.
fn data_at(segments: u64) -> u64 {
    64 + 56 * segments
}

/// A symbol table of functions at every second byte from [`CODE`] on, all names tails of one.
fn symbols(count: u64, name: usize) -> Vec<u8> {
    let code = vec![0x13; 2 * count as usize];
    let mut data = code.clone();
    let strings = [vec![b'a'; name], vec![0]].concat();
    let strings_at = data_at(1) + data.len() as u64;
    data.extend(&strings);
    let table_at = data_at(1) + data.len() as u64;
    for i in 0..count {
        data.extend(&((i % name.max(1) as u64) as u32).to_le_bytes());
        data.extend([0x12, 0, 1, 0]);
        data.extend((CODE + 2 * i).to_le_bytes());
        data.extend(2u64.to_le_bytes());
    }
    let (code_len, table_len) = (code.len() as u64, 24 * count);
    raw(
        &[[RX, data_at(1), CODE, code_len, code_len]],
        &[
            [0; 7],
            [2, 0, 0, table_at, table_len, 2, 24],
            [3, 0, 0, strings_at, strings.len() as u64, 0, 0],
        ],
        &data,
    )
}

/// Name, file, and whether it can be translated.
fn files() -> Vec<(&'static str, Vec<u8>, bool)> {
    let exit = {
        let mut code = vec![addi(reg::A0, reg::ZERO, 0)];
        ecall(&mut code, call::EXIT);
        bytes(&code)
    };
    let len = exit.len() as u64;
    let at = data_at(1);
    let one = |sections: &[[u64; 7]]| raw(&[[RX, at, CODE, len, len]], sections, &exit);
    let mut all = vec![
        ("a program", one(&[]), true),
        (
            "a bss of 3 GiB",
            raw(
                &[
                    [RX, data_at(2), CODE, len, len],
                    [RW, 0, 0x2000_0000, 0, 3 << 30],
                ],
                &[],
                &exit,
            ),
            true,
        ),
        (
            "a bss of 2^64 bytes",
            raw(
                &[
                    [RX, data_at(2), CODE, len, len],
                    [RW, 0, 0x2000_0000, 0, u64::MAX],
                ],
                &[],
                &exit,
            ),
            false,
        ),
        (
            "an address that wraps around",
            raw(
                &[
                    [RX, data_at(2), CODE, len, len],
                    [RW, 0, u64::MAX - 7, 0, 16],
                ],
                &[],
                &exit,
            ),
            false,
        ),
        (
            "a segment outside of the file",
            raw(&[[RX, at, CODE, len + 1, len + 1]], &[], &exit),
            false,
        ),
        (
            "the last byte of a file as 2^63 bytes",
            raw(&[[RX, at, CODE, 1 << 63, 1 << 63]], &[], &exit),
            false,
        ),
    ];
    let wrong = |section: [u64; 7]| one(&[[0; 7], section]);
    for (name, section, fine) in [
        (
            "a text section that wraps around",
            [1, TEXT, CODE, 0, u64::MAX, 0, 0],
            true,
        ),
        (
            "a text section outside of the file",
            [1, TEXT, CODE, 1 << 60, 64, 0, 0],
            true,
        ),
        (
            "a text section outside of the segments",
            [1, TEXT, 8, at, 64, 0, 0],
            true,
        ),
        (
            "a text section at an odd address",
            [1, TEXT, CODE + 1, at, 64, 0, 0],
            true,
        ),
        (
            "a symbol table of entries of 1 byte",
            [2, 0, 0, at, 24, 0, 1],
            false,
        ),
        (
            "a symbol table of no entry size",
            [2, 0, 0, at, 24, 0, 0],
            false,
        ),
        (
            "a symbol table outside of the file",
            [2, 0, 0, at, 1 << 60, 0, 24],
            false,
        ),
        (
            "a symbol table of half an entry",
            [2, 0, 0, at, 12, 0, 24],
            true,
        ),
        (
            "a symbol table without strings",
            [2, 0, 0, at, 0, 77, 24],
            true,
        ),
    ] {
        all.push((name, wrong(section), fine));
    }

    // The whole code, again and again.
    let text = [1, TEXT, CODE, at, len, 0, 0];
    all.push(("60,000 text sections", one(&vec![text; 60_000]), true));
    let apart = |distance: u64| -> Vec<[u64; 5]> {
        let at = data_at(256);
        (0..256)
            .map(|i| [RX, at + 8 * i, CODE + distance * i, 8, 8])
            .collect()
    };
    let nops = bytes(&vec![addi(0, 0, 0); 512]);
    let everything = [1, TEXT, 0, 0, u64::MAX, 0, 0];
    all.push((
        "256 segments and 60,000 sections over all of them",
        raw(&apart(0x1000), &vec![everything; 60_000], &nops),
        true,
    ));
    all.push((
        "256 segments with 4 MiB between them",
        raw(&apart(4 << 20), &[], &nops),
        true,
    ));
    let mib = vec![0x13; 1 << 20];
    let shared: Vec<[u64; 5]> = (0..256)
        .map(|i| [RX, data_at(256), CODE + (i << 20), 1 << 20, 1 << 20])
        .collect();
    all.push((
        "256 segments of the same MiB",
        raw(&shared, &[], &mib),
        false,
    ));

    let flat = |code: Vec<Inst>| program(bytes(&code), &[]).build();
    all.push((
        "131,072 jumps to one place",
        // The call at the end keeps it from being one region.
        flat(
            (0..1 << 17)
                .map(|i| jal(-4 * i))
                .chain([Inst::new(Op::Ecall, 0, 0, 0, 0)])
                .collect(),
        ),
        true,
    ));
    all.push((
        "nested loops",
        flat(
            (0..1 << 16)
                .map(|i| Inst::new(Op::Beq, 0, 1, 2, -4 * (i % 1000)))
                .collect(),
        ),
        true,
    ));
    all.push((
        "65,536 ways back to the start",
        flat(
            (0..1 << 16)
                .flat_map(|i| [Inst::new(Op::Beq, 0, 1, 2, 8), jal(-8 * i - 4)])
                .chain([Inst::new(Op::Ecall, 0, 0, 0, 0)])
                .collect(),
        ),
        true,
    ));
    let mut rng = Rng::new(1);
    all.push((
        "branches to anywhere",
        flat(
            (0..1 << 16)
                .map(|i| {
                    let back = i64::min(i, 1000);
                    let to = rng.below(back as u64 + 1000) as i64 - back;
                    Inst::new(Op::Beq, 0, 1, 2, 4 * to as i32)
                })
                .collect(),
        ),
        true,
    ));
    // Every other instruction makes the address of a jump table of 4,096 entries.
    let table = 0x20_0000;
    let entries: Vec<u8> = (0..4096u32)
        .flat_map(|_| (CODE as u32).to_le_bytes())
        .collect();
    let code: Vec<Inst> = (0..1 << 16)
        .flat_map(|_| [lui(reg::T0, table), addi(reg::T1, reg::T0, 0)])
        .collect();
    let data = Segment::new(table as u64, entries, PF_R);
    all.push((
        "65,536 uses of a jump table",
        program(bytes(&code), &[data]).build(),
        true,
    ));
    all.push((
        "10,000 functions of the longest names",
        symbols(10_000, 4000),
        true,
    ));

    // Names that the compiler would make itself.
    let mut named = program(bytes(&vec![addi(0, 0, 0); 64]), &[]);
    named.symbols = [("f", 0), ("f", 16), ("f@10010", 32), ("f@10010@10020", 48)]
        .map(|(name, at)| Symbol {
            name: name.to_owned(),
            addr: CODE + at,
            size: 16,
        })
        .to_vec();
    all.push(("names that collide", named.build(), true));
    all
}

/// A file of a few hundred bytes with everything that headers can say.
fn small() -> Vec<u8> {
    let mut code = vec![
        Inst::new(Op::Auipc, reg::T0, 0, 0, 0x1000),
        Inst::new(Op::Ld, reg::T1, reg::T0, 0, 8),
        Inst::new(Op::Bne, 0, reg::T1, 0, -8),
    ];
    ecall(&mut code, call::EXIT);
    let mut data = bytes(&code);
    let text = data.len() as u64;
    data.extend([0; 16]);
    let at = data_at(2);
    let strings = at + data.len() as u64;
    data.extend(b"\0main\0\0\0");
    let table = at + data.len() as u64;
    data.extend(1u32.to_le_bytes());
    data.extend([0x12, 0, 1, 0]);
    data.extend(CODE.to_le_bytes());
    data.extend(text.to_le_bytes());
    raw(
        &[
            [RX, at, CODE, text, text],
            [RW, at + text, CODE + 0x1000, 16, 64],
        ],
        &[
            [0; 7],
            [1, TEXT, CODE, at, text, 0, 0],
            [2, 0, 0, table, 24, 3, 24],
            [3, 0, 0, strings, 8, 0, 0],
        ],
        &data,
    )
}

fn limit_address_space(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the structure is whole, and only this process is limited.
    let status = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
    assert_eq!(status, 0, "the limit can be set");
}

fn translate_all() {
    limit_address_space(ADDRESS_SPACE);
    for (name, file, fine) in files() {
        assert_eq!(translate(name, &file, TIME), fine, "{name}");
    }
    let hostile = peak_memory();
    assert!(hostile < MEMORY, "{hostile} bytes");

    let file = small();
    assert!(translate("the small one", &file, TIME));
    let (mut whole, mut flipped) = (0, 0);
    for len in 0..file.len() {
        whole += u32::from(translate("cut", &file[..len], TIME));
    }
    assert_eq!(whole, 0, "what is cut off is missed");
    let mut fine = 0;
    let shoff = u64::from_le_bytes(file[40..48].try_into().expect("eight bytes"));
    let headers = (0..64 + 2 * 56).chain(shoff as usize..file.len());
    for at in headers {
        for bit in 0..8 {
            let mut altered = file.clone();
            altered[at] ^= 1 << bit;
            fine += u32::from(translate(&format!("bit {bit} of {at:#x}"), &altered, TIME));
            flipped += 1;
        }
    }
    assert!(flipped > 2000 && fine > 0);
    let peak = peak_memory();
    println!(
        "measured {} cut off, {flipped} flipped of which {fine} are programs; {} MiB, with all \
         bits flipped {} MiB",
        file.len(),
        hostile >> 20,
        peak >> 20
    );
    assert!(peak < MEMORY, "{peak} bytes");
}

#[test]
fn hostile_files_are_translated_or_refused_in_a_second_and_256_mib() {
    if is_child() {
        return translate_all();
    }
    let output = in_child(
        "hostile::hostile_files_are_translated_or_refused_in_a_second_and_256_mib",
        Duration::from_secs(120),
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let measured = said.lines().find(|l| l.contains("measured "));
    println!("{}", measured.expect("the figures"));
}

#[test]
fn a_million_symbols_take_what_their_number_justifies() {
    if is_child() {
        limit_address_space(4 << 30);
        let file = symbols(1_000_000, 4000);
        let len = file.len();
        let start = used();
        let elf = Elf::parse(file).expect("it is right");
        let options = Options::default();
        let object = compiler::compile(&elf, &options)
            .expect("it is right")
            .object;
        println!(
            "measured {} MiB of ELF, {} MiB of object, {:?}, {} MiB",
            len >> 20,
            object.len() >> 20,
            used() - start,
            peak_memory() >> 20
        );
        assert!(peak_memory() < 1 << 30, "{} bytes", peak_memory());
        return;
    }
    let output = in_child(
        "hostile::a_million_symbols_take_what_their_number_justifies",
        Duration::from_secs(60),
    );
    let said = String::from_utf8_lossy(&output.stdout);
    println!(
        "{}",
        said.lines()
            .find(|l| l.contains("measured "))
            .expect("figures")
    );
}

/// Translated, linked and run: the interpreter's status and trace.
fn runs_as_interpreted(name: &str, image: &Image, status: u8) {
    let scratch = Scratch::new(name);
    let elf = load(image);
    let program = Program::new(elf.clone());
    let expected = interpret(&program, &[], Vec::new(), 16);
    assert_eq!(expected.status(), status, "{name}: interpreted");
    let (path, trace) = (scratch.path("program"), scratch.path("trace"));
    build(&elf, &Options::default(), &path);
    let trace_path = trace.to_str().expect("a path in UTF-8");
    let variables = [("HARTLOG_TRACE", trace_path), ("HARTLOG_CHUNK_STEPS", "16")];
    let output = run(&path, &[], b"", &variables);
    assert_eq!(
        output.status.code(),
        Some(status.into()),
        "{name}: {output:?}"
    );
    let written = std::fs::read(&trace).expect("the trace");
    assert!(written == expected.trace, "{name}: another trace");
}

#[test]
fn programs_at_the_edges_run_as_interpreted() {
    // The last byte of a bss of almost 3 GiB.
    let bss = Segment {
        mem_size: 0xb000_0000,
        ..Segment::new(0x2000_0000, Vec::new(), PF_R | PF_W)
    };
    let last = bss.vaddr + bss.mem_size;
    let mut code = vec![
        lui(reg::T0, last as u32 as i32),
        Inst::new(Op::Addiw, reg::T0, reg::T0, 0, 0),
        Inst::new(Op::Slli, reg::T0, reg::T0, 0, 32),
        Inst::new(Op::Srli, reg::T0, reg::T0, 0, 32),
        addi(reg::T1, reg::ZERO, 41),
        Inst::new(Op::Sb, 0, reg::T0, reg::T1, -1),
        Inst::new(Op::Lbu, reg::A0, reg::T0, 0, -1),
        addi(reg::A0, reg::A0, 1),
    ];
    ecall(&mut code, call::EXIT);
    runs_as_interpreted("bss", &program(bytes(&code), &[bss]), 42);

    let mut exit = vec![addi(reg::A0, reg::ZERO, 9)];
    ecall(&mut exit, call::EXIT);
    let exit = bytes(&exit);
    let at = |vaddr: u64, entry: u64, code: &[u8]| Image {
        entry,
        segments: vec![Segment::new(vaddr, code.to_vec(), PF_R | PF_X)],
        ..Image::default()
    };
    runs_as_interpreted("first", &at(GUEST_MIN, GUEST_MIN, &exit), 9);
    let end = GUEST_END - exit.len() as u64;
    runs_as_interpreted("last", &at(end, end, &exit), 9);

    // Code that runs off its end: the fetch of the next instruction faults, at the edge of what is
    // mapped.
    let nops = bytes(&[addi(0, 0, 0); 4]);
    let fault = hartlog_format::status::FaultKind::FetchAccess.exit_status();
    runs_as_interpreted("off", &at(GUEST_MIN, GUEST_MIN + 4, &nops), fault);
    // Half an instruction at the end.
    let mut cut = nops;
    cut.truncate(14);
    runs_as_interpreted("cut", &at(GUEST_MIN, GUEST_MIN, &cut), fault);
}
