//! Inputs to start from: what is right, and small.

use crate::compressed::part;
use crate::ring::choice;
use hartlog_elf::Elf;
use hartlog_format::ring::{Description, MAGIC, VERSION, slot_checksum};
use hartlog_isa::{Inst, Op};
use replay::interp::{Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use tests::elf::{Image, PF_R, PF_W, PF_X, Segment, Symbol};
use tests::sample::Sample;
use zerocopy::IntoBytes;

const ZERO: u8 = 0;
const SP: u8 = 2;
const T0: u8 = 5;
const T1: u8 = 6;
const S0: u8 = 8;
const A0: u8 = 10;
const A1: u8 = 11;
const A2: u8 = 12;
const A7: u8 = 17;

fn call(code: &mut Vec<Inst>, number: u64) {
    code.push(Inst::new(Op::Addi, A7, ZERO, 0, number as i32));
    code.push(Inst::new(Op::Ecall, 0, 0, 0, 0));
}

/// A program that reads its input twice, in which everything is that a trace can have.
fn code() -> Vec<Inst> {
    use hartlog_abi::number;
    let i = Inst::new;
    let mut code = vec![
        i(Op::Lui, S0, 0, 0, 0x1000_0000),
        i(Op::Addi, A0, ZERO, 0, 0),
        i(Op::Addi, A1, S0, 0, 0),
        i(Op::Addi, A2, ZERO, 0, 24),
    ];
    call(&mut code, number::READ);
    code.push(i(Op::Addi, T0, ZERO, 0, 3));
    code.extend([
        // Loop.
        i(Op::Sd, 0, S0, T0, 32),
        i(Op::Ld, T1, S0, 0, 0),
        i(Op::Lw, T1, S0, 0, 18),
        i(Op::AmoaddD, T1, S0, T0, 0),
        i(Op::LrD, T1, S0, 0, 0),
        i(Op::ScD, T1, S0, T0, 0),
        i(Op::Lbu, T1, S0, 0, 64),
        i(Op::Addi, T0, T0, 0, -1),
        i(Op::Bne, 0, T0, ZERO, -32),
        i(Op::Ld, T1, SP, 0, 0),
        i(Op::Addi, A0, ZERO, 0, 0),
        i(Op::Addi, A1, S0, 0, 100),
        i(Op::Addi, A2, ZERO, 0, 5),
    ]);
    call(&mut code, number::READ);
    code.extend([
        i(Op::Lh, T1, S0, 0, 101),
        i(Op::Addi, A0, ZERO, 0, 1),
        i(Op::Addi, A1, S0, 0, 98),
        i(Op::Addi, A2, ZERO, 0, 8),
    ]);
    call(&mut code, number::WRITE);
    code.extend([i(Op::Addi, A0, S0, 0, 128), i(Op::Addi, A1, ZERO, 0, 13)]);
    call(&mut code, number::GETRANDOM);
    code.push(i(Op::Addi, A0, ZERO, 0, 0));
    call(&mut code, number::BRK);
    code.push(i(Op::Addi, A0, A0, 0, 2047));
    call(&mut code, number::BRK);
    code.extend([
        i(Op::Csrrs, T1, ZERO, 0, 0xc00),
        i(Op::Addi, A0, ZERO, 0, 3),
    ]);
    call(&mut code, number::EXIT);
    code
}

/// The program of traces and rings, and its trace.
///
/// # Panics
/// Never: it is always the same.
pub fn traced() -> (Program, Vec<u8>) {
    let (program, traces) = traces();
    let first = traces.into_iter().next().expect("there is one");
    (program, first)
}

/// The program, and traces of it: with input for both reads, with too little, and cut off by its
/// limits.
fn traces() -> (Program, Vec<Vec<u8>>) {
    const CODE: u64 = 0x1_0000;
    let code: Vec<u8> = code()
        .iter()
        .flat_map(|i| i.encode().to_le_bytes())
        .collect();
    let data = Segment {
        mem_size: 4096,
        ..Segment::new(0x1000_0000, vec![1], PF_R | PF_W)
    };
    let image = Image {
        entry: CODE,
        segments: vec![Segment::new(CODE, code, PF_R | PF_X), data],
        ..Image::default()
    };
    let fine = "it is a program";
    let program = Program::new(Elf::parse(image.build()).expect(fine));
    let plain = Options {
        chunk_steps: 16,
        args: vec![b"one".to_vec()],
        env: vec![b"A=1".to_vec()],
        ..Options::default()
    };
    let mapped = Interpreter::new(&program, plain.clone())
        .expect(fine)
        .abi()
        .mapped();
    let limited = |steps, memory| Options {
        step_limit: steps,
        memory_limit: memory,
        ..plain.clone()
    };
    let runs = [
        (&b"some bytes of the input, all"[..], plain.clone()),
        (b"short", plain.clone()),
        (b"", limited(Some(33), None)),
        (b"0123456789012345678901234567", limited(None, Some(mapped))),
    ];
    let traces = runs.into_iter().map(|(input, options)| {
        let (mut bytes, input) = (Vec::new(), input.to_vec());
        let mut streams = Buffers {
            input,
            ..Buffers::default()
        };
        Interpreter::new(&program, options)
            .and_then(|mut i| i.run_traced(&mut streams, &mut bytes))
            .expect(fine);
        bytes
    });
    let traces = traces.collect();
    (program, traces)
}

/// The program, and its traces as records: the header, the chunks, the footer.
///
/// # Panics
/// Never: they are always the same.
pub fn records() -> (Program, Vec<Vec<Vec<u8>>>) {
    let fine = "it is a trace";
    let (program, traces) = traces();
    let records = traces.into_iter().map(|bytes| {
        let trace = Trace::from_bytes(bytes.clone()).expect(fine);
        let chunks = (0..trace.len()).map(|i| trace.chunk(i).expect(fine));
        let mut starts: Vec<u64> = chunks.map(|chunk| chunk.offset).collect();
        starts.push(trace.footer().expect(fine).expect(fine).offset);
        starts.insert(0, 0);
        starts.push(bytes.len() as u64);
        let records = starts.windows(2);
        records
            .map(|w| bytes[w[0] as usize..w[1] as usize].to_vec())
            .collect()
    });
    let records = records.collect();
    (program, records)
}

/// Inputs for [`crate::compressed()`].
pub fn compressed() -> Vec<Vec<u8>> {
    let (_, traces) = records();
    let part = |kind: u8, low: u8, high: u8| vec![kind, low, high];
    let with = |kind: u8, high: u8, bytes: &[u8]| {
        let bytes = &bytes[..bytes.len().min(255)];
        [&[kind, bytes.len() as u8, high], bytes].concat()
    };
    let mut all = Vec::new();
    for (trace, records) in (0u8..).zip(&traces) {
        let frames: Vec<Vec<u8>> = (0..records.len() as u8)
            .map(|record| part(part::RECORD, record, trace))
            .collect();
        let bytes = records.concat();
        let whole = frames.concat();
        let flip = part(part::FLIP, 100, 0);
        let cut = |size: usize, kind: u8, high: u8| {
            let pieces = bytes.chunks(size);
            pieces.flat_map(|b| with(kind, high, b)).collect()
        };
        all.extend([
            whole.clone(),
            part(part::TRACE, 0, trace),
            part(part::TRACE, 0, trace | 0x80),
            cut(255, part::FRAME, 1),
            cut(99, part::SIZED, 3),
            cut(99, part::WINDOW, 64),
            cut(99, part::LIE, 0),
            [with(part::NOTE, 0, b"a note"), whole.clone()].concat(),
            [&whole[..], &with(part::LONG_NOTE, 0, b"more")].concat(),
            [&whole[..], &part(part::CUT, 40, 0)].concat(),
            [&whole[..], &part(part::CUT, 0, 1)].concat(),
            [&whole[..], &flip].concat(),
            [&whole[..], &part(part::BOMB, 20, 0)].concat(),
            [&frames[0][..], &frames[1], &part(part::BOMB, 127, trace)].concat(),
            [with(part::FRAME, 0, &bytes[..1]), part(part::BOMB, 9, 0)].concat(),
        ]);
    }
    // The largest window that is taken, and larger ones.
    all.extend([0x88, 0x89, 0xa0, 0xff].map(|w| with(part::WINDOW, w, b"HARTLOG")));
    all.into_iter()
        .enumerate()
        .map(|(i, parts)| [vec![[0, 2, 0x14][i % 3]], parts].concat())
        .collect()
}

/// Inputs for [`crate::trace()`].
pub fn trace() -> Vec<Vec<u8>> {
    let (_, traces) = traces();
    let with = |choice: u8| move |t: &Vec<u8>| [&[choice][..], t].concat();
    [1, 0, 3, 0x15]
        .into_iter()
        .flat_map(|choice| traces.iter().map(with(choice)).collect::<Vec<_>>())
        .collect()
}

/// Inputs for [`crate::ring()`].
///
/// # Panics
/// Never: they are always the same.
pub fn ring() -> Vec<Vec<u8>> {
    let fine = "it is a trace";
    let (_, bytes) = traced();
    let trace = Trace::from_bytes(bytes.clone()).expect(fine);
    let header_len = trace.header().expect(fine).end;
    let description = Description {
        magic: MAGIC,
        version: VERSION.into(),
        slots: 2.into(),
        events_capacity: (1 << 20).into(),
        header_len: header_len.into(),
    };
    (0..trace.len())
        .map(|index| {
            let chunk = trace.chunk(index).expect(fine);
            let mut header = *chunk.header;
            header.checksum = slot_checksum(&header).into();
            let choices = choice::SIZE | choice::SEALS | choice::CHECKSUM;
            [
                &[choices | if index % 2 == 0 { choice::SUM } else { 0 }][..],
                &[0; 8],
                &index.to_le_bytes(),
                description.as_bytes(),
                &(header_len as u16).to_le_bytes(),
                &bytes[..header_len as usize],
                header.as_bytes(),
                chunk.log,
                chunk.events,
            ]
            .concat()
        })
        .collect()
}

/// Inputs for [`crate::elf()`].
pub fn elf() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..12)
        .map(|seed| Sample::new(seed, 8 + 4 * seed as usize).image())
        .map(|image| small(&image).build())
        .collect();
    // Chosen by a byte that nobody reads.
    for (i, file) in all.iter_mut().enumerate() {
        file[9] = i as u8;
        file[10] = 37 * i as u8;
    }
    all.push(replay::doc::exit_elf());
    all
}

/// Without its large data, and with symbols.
fn small(image: &Image) -> Image {
    let mut image = image.clone();
    for segment in &mut image.segments {
        // Zeros are not stored, and pages are not aligned in the file.
        while segment.data.len() > 64 && segment.data.last() == Some(&0) {
            segment.data.pop();
        }
        if segment.flags & PF_X == 0 {
            segment.data.truncate(256);
        }
    }
    let addr = image.entry;
    image.symbols.push(Symbol {
        name: "start".to_owned(),
        addr,
        size: 16,
    });
    image
}

/// Inputs for [`crate::config()`].
pub fn config() -> Vec<Vec<u8>> {
    let join = |which: u8, strings: &[&str]| {
        let mut out = vec![which];
        out.extend(strings.join("\0").into_bytes());
        out
    };
    let environments: [&[&str]; 4] = [
        &[
            "HARTLOG_TRACE=/t",
            "HARTLOG_CHUNK_STEPS=1024",
            "HARTLOG_STEPS=99",
        ],
        &[
            "HARTLOG_MEMORY=4096",
            "HARTLOG_RING=3",
            "HARTLOG_RING_BYTES=4000000",
        ],
        &[
            "HARTLOG_LIVE=3:77",
            "HARTLOG_STATS=1",
            "HARTLOG_QUIET=0",
            "HARTLOG_FILTER=1",
        ],
        &["HARTLOG_GUEST_ENV=A=1;B=2", "HARTLOG_OTHER=x", "PATH=/bin"],
    ];
    let replays: [&str; 8] = [
        "replay check t --elf e --jobs 4 --cores 2,3 --chunk 10..20 --json",
        "replay check t --elf e --no-memory --engine compiled --cache /c --allow-incomplete",
        "replay run p --elf e --trace t --trace-zstd=3 --slots 8 --chunk-steps 100 -- a b",
        "replay counts t --elf e --instructions",
        "replay interpret e --trace t --chunk-steps 7 --steps 100 -- a",
        "replay info t --chunks",
        "replay dump t --elf e --chunk 0 --steps 0..20",
        "replay witness t --elf e --format parquet --columns pc,rd -o o",
    ];
    let compilers: [&str; 3] = [
        "compiler e -o o --mode fast --checked-addresses --json -vv",
        "compiler e --mode replay --columns pc,rd,memory --link --ld l",
        "compiler e --emit asm --chunk-steps 4294967296 -q",
    ];
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let lines = |which: u8, all: &[&str]| -> Vec<Vec<u8>> {
        let split = all.iter().map(|line| words(line));
        split
            .map(|w| join(which, &w.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect()
    };
    let mut all: Vec<Vec<u8>> = environments.iter().map(|e| join(0, e)).collect();
    all.extend(lines(1, &replays));
    all.extend(lines(2, &compilers));
    all
}
