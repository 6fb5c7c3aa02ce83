//! Memory layout and initial stack.

mod common;

use common::{Machine, TestHost, segments};
use hartlog_abi::{ARGV0, Abi, Image, Prot, Region, Segment, SetupError, random};
use hartlog_format::layout::*;
use quickcheck::quickcheck;
use std::collections::BTreeMap;

fn string(m: &Machine, mut at: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while m.host.bytes(at, 1) != [0] {
        out.extend(m.host.bytes(at, 1));
        at += 1;
    }
    out
}

/// Strings of a NULL-terminated list, and the address behind it.
fn list(m: &Machine, mut at: u64) -> (Vec<Vec<u8>>, u64) {
    let mut out = Vec::new();
    loop {
        let pointer = m.words(at, 1)[0];
        at += 8;
        if pointer == 0 {
            return (out, at);
        }
        out.push(string(m, pointer));
    }
}

fn auxv(m: &Machine, mut at: u64) -> BTreeMap<u64, u64> {
    let mut out = BTreeMap::new();
    loop {
        let pair = m.words(at, 2);
        at += 16;
        if pair[0] == 0 {
            return out;
        }
        assert!(out.insert(pair[0], pair[1]).is_none(), "each once");
    }
}

#[test]
fn arguments_environment_and_auxiliary_vector() {
    let args: [&[u8]; 3] = [ARGV0, b"two words", b""];
    let env: [&[u8]; 1] = [b"KEY=value"];
    let m = Machine::start(&segments(), &args, &env);
    assert_eq!(m.sp % 16, 0);
    assert_eq!(m.words(m.sp, 1), [3]);
    let (found, at) = list(&m, m.sp + 8);
    assert_eq!(found, args);
    let (found, at) = list(&m, at);
    assert_eq!(found, env);
    let aux = auxv(&m, at);
    // AT_PAGESZ, AT_ENTRY, AT_SECURE, AT_CLKTCK, AT_HWCAP (I, M, A, C).
    assert_eq!(
        (aux[&6], aux[&9], aux[&23], aux[&17]),
        (4096, 0x1_0000, 0, 100)
    );
    assert_eq!(aux[&16], 1 << 8 | 1 << 12 | 1 | 1 << 2);
    assert_eq!([11, 12, 13, 14].map(|id| aux[&id]), [0; 4]);
    let random: Vec<u64> = (0..2).map(random::word).collect();
    assert_eq!(m.words(aux[&25], 2), random);
    assert!(!aux.contains_key(&3), "no program headers are in a segment");
}

#[test]
fn program_headers_are_found_in_their_segment() {
    let mut data = vec![0; 64 + 2 * 56];
    data[..4].copy_from_slice(b"\x7fELF");
    data[32] = 64;
    data[54] = 56;
    data[56] = 2;
    let segment = |data| Segment {
        vaddr: 0x1_0000,
        mem_size: 4096,
        writable: false,
        data,
    };
    let m = Machine::start(&[segment(&data)], &[ARGV0], &[]);
    let (_, at) = list(&m, m.sp + 8);
    let (_, at) = list(&m, at);
    let aux = auxv(&m, at);
    assert_eq!((aux[&3], aux[&4], aux[&5]), (0x1_0040, 56, 2));
    // Not if they are not all there.
    let m = Machine::start(&[segment(&data[..100])], &[ARGV0], &[]);
    let (_, at) = list(&m, m.sp + 8);
    let (_, at) = list(&m, at);
    assert!(!auxv(&m, at).contains_key(&3));
}

#[test]
fn layout_of_an_ordinary_program() {
    let m = Machine::new();
    let stack = GUEST_END - STACK_SIZE;
    let region = |start, end, prot| Region { start, end, prot };
    assert_eq!(
        m.abi.regions(),
        [
            region(0x1_0000, 0x1_1000, Prot::Read),
            region(0x2_0000, 0x2_2000, Prot::ReadWrite),
            region(stack - STACK_GUARD, stack, Prot::None),
            region(stack, GUEST_END, Prot::ReadWrite),
        ]
    );
    assert_eq!(m.host.bytes(0x1_0000, 5), b"text\0");
    assert_eq!(m.host.pages[&0x10].0, Prot::Read);
    assert_eq!(m.host.mapped_pages(), m.pages_of_regions());
}

fn segment(vaddr: u64, mem_size: u64, writable: bool) -> Segment<'static> {
    Segment {
        vaddr,
        mem_size,
        writable,
        data: b"",
    }
}

#[test]
fn a_program_at_the_top_has_its_stack_below() {
    let base = GUEST_END - 0x10_0000;
    let mut m = Machine::start(&[segment(base, 0x10_0000, true)], &[ARGV0], &[]);
    assert_eq!(m.abi.stack_top(), base);
    assert_eq!(m.call(hartlog_abi::number::BRK, &[0]), GUEST_MIN);
}

#[test]
fn segments_that_share_a_page_share_its_protection() {
    let m = Machine::start(
        &[
            segment(0x1_2800, 0x1000, true),
            segment(0x1_0000, 0x2400, false),
        ],
        &[ARGV0],
        &[],
    );
    let prot = |addr| m.abi.region(addr).map(|r| r.prot);
    assert_eq!(prot(0x1_1fff), Some(Prot::Read));
    assert_eq!(prot(0x1_2000), Some(Prot::ReadWrite));
    assert_eq!(prot(0x1_3fff), Some(Prot::ReadWrite));
    assert_eq!(prot(0x1_4000), None);
}

fn start(segments: &[Segment<'_>], args: &[&[u8]]) -> Result<Abi, String> {
    let image = Image {
        segments: segments.iter().copied(),
        entry: 0,
        args: args.iter().copied(),
        env: [].into_iter(),
    };
    match Abi::start(&mut TestHost::default(), &image) {
        Ok((abi, _)) => Ok(abi),
        Err(SetupError::Host(_)) => Err("host".to_owned()),
        Err(SetupError::Segment { vaddr, .. }) => Err(format!("segment {vaddr:#x}")),
        Err(SetupError::Stack) => Err("stack".to_owned()),
        Err(SetupError::Regions) => Err("regions".to_owned()),
        Err(SetupError::Arguments { bytes }) => Err(format!("arguments {bytes}")),
    }
}

#[test]
fn what_cannot_be_started() {
    let error = |segments: &[Segment<'_>]| start(segments, &[ARGV0]).err();
    assert_eq!(
        error(&[segment(0x1000, 8, true)]).as_deref(),
        Some("segment 0x1000")
    );
    let end = [segment(GUEST_END - 8, 9, true)];
    assert_eq!(error(&end).as_deref(), Some("segment 0xffffeff8"));
    let wrapping = [segment(u64::MAX - 8, 100, true)];
    assert!(error(&wrapping).is_some_and(|e| e.starts_with("segment")));
    let long = vec![b'x'; STACK_SIZE as usize / 4];
    let result = start(&segments(), &[ARGV0, &long]);
    assert!(result.is_err_and(|e| e.starts_with("arguments")));
}

#[test]
fn no_gap_for_the_stack() {
    // Islands closer together than stack and guard.
    let step = STACK_SIZE + STACK_GUARD;
    let islands: Vec<_> = (0..)
        .map(|i| GUEST_MIN + i * step)
        .take_while(|a| a + 8 < GUEST_END)
        .map(|a| segment(a, 8, true))
        .collect();
    assert_eq!(start(&islands, &[ARGV0]).err().as_deref(), Some("stack"));
}

quickcheck! {
    /// Whatever the segments are, what is mapped is what the regions say, and every byte of a
    /// segment can be read.
    fn any_segments(list: Vec<(u16, u16, bool)>) -> bool {
        let segments: Vec<_> = list
            .iter()
            .map(|(page, size, writable)| {
                segment(GUEST_MIN + u64::from(*page) * 0x800, u64::from(*size) + 1, *writable)
            })
            .collect();
        let m = Machine::start(&segments, &[ARGV0], &[]);
        let readable = segments.iter().all(|s| {
            m.abi.accessible(s.vaddr, s.mem_size, s.writable)
        });
        let same = m.abi.regions().iter().all(|r| {
            (r.start / PAGE..r.end / PAGE).all(|p| m.host.pages[&p].0 == r.prot)
        });
        readable && same && m.host.mapped_pages() == m.pages_of_regions()
    }
}
