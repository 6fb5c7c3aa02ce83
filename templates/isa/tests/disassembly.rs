//! Assembly text: literal cases, and everything against objdump where it is installed.

mod common;

use std::fmt::Write;

use common::{Scratch, Words, assemble, have, objdump};
use hartlog_isa::{Format, Inst, Op, decode};

#[test]
fn text_of_each_format() {
    for (raw, text) in [
        (0x00c5_8533, "add a0,a1,a2"),
        (0x6005_9513, "clz a0,a1"),
        (0xfff5_8513, "addi a0,a1,-1"),
        (0x03f5_9513, "slli a0,a1,0x3f"),
        (0x41f5_d51b, "sraiw a0,a1,0x1f"),
        (0x0081_3503, "ld a0,8(sp)"),
        (0xfea1_3c23, "sd a0,-8(sp)"),
        (0x00b5_0863, "beq a0,a1,+16"),
        (0xfeb5_5ee3, "bge a0,a1,-4"),
        (0x1234_5537, "lui a0,0x12345"),
        (0xffff_f517, "auipc a0,0xfffff"),
        (0x0080_00ef, "jal ra,+8"),
        (0xffdf_f06f, "jal zero,-4"),
        (0x0040_80e7, "jalr ra,4(ra)"),
        (0xc000_2573, "csrrs a0,cycle,zero"),
        (0xc010_2573, "csrrs a0,time,zero"),
        (0xc020_2573, "csrrs a0,instret,zero"),
        (0x3005_9573, "csrrw a0,0x300,a1"),
        (0x3002_f573, "csrrci a0,0x300,5"),
        (0x06c5_b52f, "amoadd.d.aqrl a0,a2,(a1)"),
        (0x02c5_a52f, "amoadd.w.rl a0,a2,(a1)"),
        (0x04c5_a52f, "amoadd.w.aq a0,a2,(a1)"),
        (0x18c5_a52f, "sc.w a0,a2,(a1)"),
        (0x1605_b52f, "lr.d.aqrl a0,(a1)"),
        (0x0ff0_000f, "fence iorw,iorw"),
        (0x0310_000f, "fence rw,w"),
        (0x0100_000f, "fence w,0"),
        (0x8330_000f, "fence.tso"),
        (0x0000_100f, "fence.i"),
        (0x0000_0073, "ecall"),
        (0x0010_0073, "ebreak"),
    ] {
        assert_eq!(decode(raw).unwrap().to_string(), text, "{raw:08x}");
    }
}

/// objdump's text of a compressed instruction as its expansion ("expands to" in the C chapter).
fn expand(text: &str) -> String {
    let Some(text) = text.strip_prefix("c.") else {
        return text.to_owned();
    };
    let (mnemonic, operands) = text.split_once(' ').unwrap_or((text, ""));
    let parts: Vec<&str> = operands.split(',').collect();
    match mnemonic {
        "addi4spn" => format!("addi {operands}"),
        "addi16sp" => format!("addi sp,{operands}"),
        "li" => format!("addi {},zero,{}", parts[0], parts[1]),
        "mv" => format!("add {},zero,{}", parts[0], parts[1]),
        "nop" => "addi zero,zero,0".to_owned(),
        "j" => format!("jal zero,{operands}"),
        "jr" => format!("jalr zero,0({operands})"),
        "jalr" => format!("jalr ra,0({operands})"),
        "beqz" => format!("beq {},zero,{}", parts[0], parts[1]),
        "bnez" => format!("bne {},zero,{}", parts[0], parts[1]),
        "lwsp" | "ldsp" | "swsp" | "sdsp" => format!("{} {operands}", &mnemonic[..2]),
        "slli64" | "srli64" | "srai64" => format!("{} {operands},{operands},0x0", &mnemonic[..4]),
        "lw" | "ld" | "sw" | "sd" | "lui" | "ebreak" => text.to_owned(),
        // Two-operand forms: the destination is the first source.
        _ => format!("{mnemonic} {},{operands}", parts[0]),
    }
}

/// Our text in objdump's notation.
fn foreign(inst: &Inst, address: u64) -> String {
    let text = inst.to_string();
    let absolute = || {
        let target = address.wrapping_add(i64::from(inst.imm) as u64);
        let (head, _) = text.rsplit_once(',').unwrap();
        format!("{head},{target:x}")
    };
    match inst.op.format() {
        Format::Branch | Format::J => absolute(),
        // It has a word for an empty set.
        Format::Fence => {
            let words = text.replace(",0", ",unknown");
            words.replace("fence 0", "fence unknown")
        }
        _ => text,
    }
}

/// objdump names every CSR; we name three. Its number is in the word that both were given.
fn without_csr(text: &str) -> String {
    let parts: Vec<&str> = text.split(',').collect();
    format!("{},{}", parts[0], parts[2])
}

/// Assembles the words as they are and compares objdump's reading of each with ours.
fn compare(words: &[Inst]) {
    let mut source = String::new();
    for inst in words {
        writeln!(source, ".insn {}, 0x{:x}", inst.len, inst.raw).unwrap();
    }
    let scratch = Scratch::new(&format!("disassembly-{}", words.len()));
    let listed = objdump(&assemble(&source, &scratch));
    assert_eq!(listed.len(), words.len());
    for (inst, theirs) in words.iter().zip(&listed) {
        assert_eq!(theirs.raw, inst.raw);
        let (mut ours, mut text) = (foreign(inst, theirs.address), expand(&theirs.text));
        if matches!(inst.op.format(), Format::Csr | Format::CsrImm) {
            let names = ["cycle", "time", "instret"];
            let named = names
                .iter()
                .any(|name| text.split(',').nth(1) == Some(name));
            assert_eq!((0xc00..=0xc02).contains(&inst.imm), named, "{text}");
            (ours, text) = (without_csr(&ours), without_csr(&text));
        }
        assert_eq!(ours, text, "{:x}", inst.raw);
    }
}

fn tools() -> bool {
    let what = "comparison with objdump";
    have("riscv64-unknown-elf-objdump", what) && have("riscv64-unknown-elf-as", what)
}

#[test]
fn every_legal_halfword_reads_as_in_objdump() {
    if tools() {
        let halves: Vec<Inst> = (0..=u16::MAX)
            .filter(|half| half & 3 != 3)
            .filter_map(|half| decode(half.into()).ok())
            .collect();
        assert!(halves.len() > 35_000);
        compare(&halves);
    }
}

#[test]
fn random_encodings_of_every_instruction_read_as_in_objdump() {
    if tools() {
        let mut words = Words(5);
        let mut insts = Vec::new();
        for &op in Op::ALL {
            for _ in 0..400 {
                let mut word = words.word(op);
                match op.format() {
                    // objdump does not know the reserved fields of fences as fences.
                    Format::Fence => word &= 0x0ff0_707f,
                    Format::FenceI => word &= 0x0000_707f,
                    _ => {}
                }
                insts.push(decode(word).unwrap());
            }
        }
        compare(&insts);
    }
}

/// What we call illegal is no instruction of the ISA to objdump either.
#[test]
fn no_undefined_word_reads_as_an_instruction_of_the_isa_in_objdump() {
    if !tools() {
        return;
    }
    let mut words = Words(6);
    let mut undefined = Vec::new();
    while undefined.len() < 20_000 {
        // Words near the table, with one bit flipped, and halfwords.
        let op = Op::ALL[(words.next() % Op::COUNT as u64) as usize];
        let word = words.word(op) ^ 1 << (2 + words.next() % 30);
        let half = (words.next() & 0xffff) as u32;
        for raw in [word, half] {
            if (raw & 3 == 3 && raw & 0x1f != 0x1f || raw >> 16 == 0 && raw & 3 != 3)
                && decode(raw).is_err()
            {
                undefined.push(raw);
            }
        }
    }
    let mut source = String::new();
    for raw in &undefined {
        let len = if raw & 3 == 3 { 4 } else { 2 };
        writeln!(source, ".insn {len}, 0x{raw:x}").unwrap();
    }
    let scratch = Scratch::new("undefined");
    let listing = objdump(&assemble(&source, &scratch));
    assert_eq!(listing.len(), undefined.len());
    for listed in listing {
        let text = expand(&listed.text);
        let mnemonic = text.split([' ', '.']).next().unwrap();
        let known = Op::ALL
            .iter()
            .any(|op| op.mnemonic().split('.').next() == Some(mnemonic));
        assert!(!known, "{:x} is {}", listed.raw, listed.text);
    }
}
