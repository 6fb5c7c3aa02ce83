//! What the parser refuses, one rule at a time: everything else is right, checksums included.

use hartlog_format::layout::{LOG_BYTES_PER_STEP, MAX_CHUNK_STEPS, WINDOW_END};
use hartlog_format::parse::{Chunk, Events, Footer, Header, ParseError};
use hartlog_format::trace::*;
use zerocopy::{FromZeros, IntoBytes};

const ARGS: &[u8] = b"guest\0one\0A=1\0";

fn file_header() -> FileHeader {
    let mut header = FileHeader::new_zeroed();
    header.magic = FILE_MAGIC;
    header.version = VERSION.into();
    header.header_len = (size_of::<FileHeader>() as u32).into();
    header.xlen = 64.into();
    header.abi = ABI_LINUX.into();
    header.isa = ISA.into();
    header.chunk_steps = 16.into();
    header.log_form = LOG_PACKED.into();
    header.argc = 2.into();
    header.args_len = (ARGS.len() as u64).into();
    header
}

/// The bytes of a file header, with a checksum that fits.
fn file(header: &FileHeader, args: &[u8], padding: u8) -> Vec<u8> {
    let mut bytes = [header.as_bytes(), args].concat();
    bytes.resize(
        size_of::<FileHeader>() + pad8(args.len() as u64) as usize,
        padding,
    );
    bytes.extend(header_checksum(header, args).to_le_bytes());
    bytes
}

fn refused(result: Result<(), ParseError>, field: &str) {
    match result {
        Err(ParseError::Field { field: found, .. }) => assert_eq!(found, field),
        Err(ParseError::Magic { what, .. }) => assert_eq!(format!("magic of {what}"), field),
        Err(ParseError::Checksum { what, .. }) => assert_eq!(format!("checksum of {what}"), field),
        Err(ParseError::Truncated { what, .. }) => assert_eq!(format!("end of {what}"), field),
        Err(ParseError::Version { .. }) => assert_eq!("version", field),
        Ok(()) => panic!("{field} is not looked at"),
    }
}

#[test]
fn file_headers() {
    fn parse(bytes: &[u8]) -> Result<(), ParseError> {
        Header::parse(bytes).map(|_| ())
    }
    let right = file(&file_header(), ARGS, 0);
    let header = Header::parse(&right).expect("it is right");
    assert_eq!(header.end, right.len() as u64);
    assert!(header.arguments().eq([&b"guest"[..], b"one"]));
    assert!(header.environment().eq([b"A=1"]));
    type Change = fn(&mut FileHeader);
    let cases: [(&str, Change); 11] = [
        ("magic of trace", |h| h.magic[7] = 1),
        ("version", |h| h.version = (VERSION + 1).into()),
        ("header_len", |h| h.header_len = 128.into()),
        ("xlen", |h| h.xlen = 32.into()),
        ("abi", |h| h.abi = 2.into()),
        ("log_form", |h| h.log_form = 1.into()),
        ("chunk_steps", |h| h.chunk_steps = 0.into()),
        ("chunk_steps", |h| {
            h.chunk_steps = (MAX_CHUNK_STEPS + 1).into()
        }),
        ("argc", |h| h.argc = 4.into()),
        ("reserved", |h| h.reserved[31] = 1),
        ("end of argument strings", |h| h.args_len = (1 << 40).into()),
    ];
    for (field, change) in cases {
        let mut header = file_header();
        change(&mut header);
        refused(parse(&file(&header, ARGS, 0)), field);
    }
    refused(
        parse(&file(&file_header(), ARGS, 1)),
        "padding of the arguments",
    );
    let mut header = file_header();
    header.args_len = (ARGS.len() as u64 - 1).into();
    let unfinished = file(&header, &ARGS[..ARGS.len() - 1], 0);
    refused(parse(&unfinished), "end of the arguments");
    let mut damaged = right.clone();
    damaged[right.len() - 1] ^= 1;
    refused(parse(&damaged), "checksum of file header");
    refused(parse(&right[..right.len() - 1]), "end of header checksum");
    // The most that there may be.
    let mut header = file_header();
    (header.chunk_steps, header.argc) = (MAX_CHUNK_STEPS.into(), 3.into());
    assert_eq!(parse(&file(&header, ARGS, 0)), Ok(()));
}

fn chunk_header() -> ChunkHeader {
    let mut header = ChunkHeader::new_zeroed();
    header.magic = CHUNK_MAGIC;
    header.header_len = (size_of::<ChunkHeader>() as u32).into();
    header.index = 3.into();
    header.first_step = 48.into();
    header.steps = 16.into();
    header.log_len = 5.into();
    header.events_len = 24.into();
    header
}

/// The bytes of a chunk, with a checksum that fits.
fn chunk(mut header: ChunkHeader, padding: u8) -> Vec<u8> {
    let (log, events) = ([1; 5], [0; 24]);
    header.checksum = chunk_checksum(&header, &log, &events).into();
    [header.as_bytes(), &log, &[0, 0, padding], &events].concat()
}

#[test]
fn chunks() {
    fn parse(bytes: &[u8]) -> Result<(), ParseError> {
        Chunk::parse(bytes, 0, 16).map(|_| ())
    }
    let right = chunk(chunk_header(), 0);
    assert_eq!(parse(&right), Ok(()));
    type Change = fn(&mut ChunkHeader);
    let cases: [(&str, Change); 16] = [
        ("magic of chunk", |h| h.magic[3] = b'k'),
        ("header_len", |h| h.header_len = 8.into()),
        ("steps", |h| {
            (h.end_kind, h.steps) = (end::EXIT.into(), 17.into());
        }),
        ("steps", |h| h.steps = 15.into()),
        ("first_step", |h| h.first_step = 49.into()),
        ("first_step", |h| h.index = (1 << 60).into()),
        ("steps", |h| {
            (h.index, h.first_step) = ((u64::MAX / 16).into(), (u64::MAX - 15).into());
        }),
        ("end_kind", |h| h.end_kind = 5.into()),
        ("end_code", |h| h.end_code = 1.into()),
        ("end_code", |h| {
            (h.end_kind, h.end_code) = (end::EXIT.into(), 256.into())
        }),
        ("end_code", |h| {
            (h.end_kind, h.end_code) = (end::FAULT.into(), 7.into())
        }),
        ("end_code", |h| {
            (h.end_kind, h.end_code) = (end::FAULT.into(), 0.into())
        }),
        ("end_code", |h| {
            (h.end_kind, h.end_code) = (end::STEP_LIMIT.into(), 1.into())
        }),
        ("end_value", |h| h.end_value = 1.into()),
        ("log_len", |h| {
            (h.end_kind, h.steps) = (end::EXIT.into(), 1.into());
            h.log_len = (LOG_BYTES_PER_STEP + 1).into();
        }),
        ("events_len", |h| h.events_len = 20.into()),
    ];
    for (field, change) in cases {
        let mut header = chunk_header();
        change(&mut header);
        refused(parse(&chunk(header, 0)), field);
    }
    refused(parse(&chunk(chunk_header(), 1)), "padding of the log");
    for at in 0..right.len() {
        let mut damaged = right.clone();
        damaged[at] ^= 1;
        assert!(parse(&damaged).is_err(), "byte {at}");
    }
    refused(parse(&right[..right.len() - 1]), "end of host events");
    let mut header = chunk_header();
    header.steps = 3.into();
    for (kind, code, value) in [
        (end::EXIT, 255, 0),
        (end::FAULT, 6, u64::MAX),
        (end::STEP_LIMIT, 0, 0),
        (end::MEMORY_LIMIT, 0, 77),
    ] {
        (header.end_kind, header.end_code) = (kind.into(), code.into());
        header.end_value = value.into();
        assert_eq!(parse(&chunk(header, 0)), Ok(()));
    }
}

/// An event with one range.
fn event(range: &RangeHeader, data: &[u8], padding: u8, reserved: u32) -> Vec<u8> {
    let mut header = EventHeader::new_zeroed();
    (header.ranges, header.reserved) = (1.into(), reserved.into());
    let mut bytes = [header.as_bytes(), range.as_bytes(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(8), padding);
    bytes
}

#[test]
fn events() {
    fn parse(bytes: &[u8]) -> Result<(), ParseError> {
        Events::new(bytes).try_for_each(|event| event.map(|_| ()))
    }
    let range = |addr: u64, len: u64, kind: u32, reserved: u32| {
        let mut range = RangeHeader::new_zeroed();
        (range.addr, range.len) = (addr.into(), len.into());
        (range.kind, range.reserved) = (kind.into(), reserved.into());
        range
    };
    let read = range(0x1_0000, 3, range::READ, 0);
    let right = event(&read, b"abc", 0, 0);
    assert_eq!(parse(&right), Ok(()));
    let at_the_end = range(WINDOW_END - 3, 3, range::WRITTEN, 0);
    assert_eq!(parse(&event(&at_the_end, b"abc", 0, 0)), Ok(()));
    let zeroed = range(0x1_0000, 0x1000, range::ZEROED, 0);
    assert_eq!(parse(&event(&zeroed, b"", 0, 0)), Ok(()));
    refused(parse(&event(&read, b"abc", 1, 0)), "padding");
    refused(parse(&event(&read, b"abc", 0, 1)), "reserved");
    for (field, range) in [
        ("kind", range(0x1_0000, 3, range::ZEROED + 1, 0)),
        ("reserved", range(0x1_0000, 3, range::READ, 1)),
        ("len", range(WINDOW_END - 2, 3, range::READ, 0)),
        ("len", range(u64::MAX, 3, range::READ, 0)),
        ("end of bytes of a host event", range(0, 9, range::READ, 0)),
    ] {
        refused(parse(&event(&range, b"abc", 0, 0)), field);
    }
    for len in 1..right.len() {
        assert!(parse(&right[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn footers() {
    let start = file(&file_header(), ARGS, 0);
    let header = Header::parse(&start).expect("it is right");
    // A file of a header and so many chunks, which nobody looks at here.
    let build = |change: &dyn Fn(&mut FooterHeader, &mut FooterTail)| {
        let mut footer = FooterHeader::new_zeroed();
        (footer.magic, footer.chunks) = (FOOTER_MAGIC, 2.into());
        footer.end_kind = end::EXIT.into();
        let mut tail = FooterTail::new_zeroed();
        tail.magic = TAIL_MAGIC;
        tail.footer_offset = header.end.into();
        let mut damage = FooterTail::new_zeroed();
        change(&mut footer, &mut damage);
        change(&mut FooterHeader::new_zeroed(), &mut tail);
        let covered = [footer.as_bytes(), &[0; 16]].concat();
        let sum = checksum_after(header.checksum, &covered);
        tail.checksum = (sum ^ damage.checksum.get()).into();
        [&start, &covered, tail.as_bytes()].concat()
    };
    let right = build(&|_, _| {});
    let footer = Footer::parse(&right, &header).expect("it is right");
    assert_eq!(footer.expect("it is there").len(), 2);
    type Change = fn(&mut FooterHeader, &mut FooterTail);
    let cases: [(&str, Change); 9] = [
        ("magic of footer", |f, _| f.magic[0] = b'h'),
        ("chunks", |f, _| f.chunks = 1.into()),
        ("chunks", |f, _| f.chunks = (1 << 61).into()),
        ("end_kind", |f, _| f.end_kind = end::NEXT.into()),
        ("end_kind", |f, _| f.end_kind = 5.into()),
        ("checksum of footer", |_, t| t.checksum = 1.into()),
        ("footer_offset", |_, t| t.footer_offset = 0.into()),
        ("footer_offset", |_, t| t.footer_offset = u64::MAX.into()),
        ("magic of footer", |_, t| {
            t.footer_offset = (t.footer_offset.get() + 8).into()
        }),
    ];
    for (field, change) in cases {
        let bytes = build(&change);
        refused(Footer::parse(&bytes, &header).map(|_| ()), field);
    }
    let none = build(&|_, t| t.magic[7] = b'!');
    assert!(matches!(Footer::parse(&none, &header), Ok(None)));
    assert!(matches!(Footer::parse(&right[..10], &header), Ok(None)));
}
