//! The compiler: errors, links that fail, memory.

use crate::{CODE, addi, bytes, ecall, in_child, is_child, load, peak_memory, program, reg};
use compiler::{Error, Options};
use hartlog_elf::Elf;
use hartlog_format::status::exit;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tests::elf::RVC;
use tests::guests::{Scratch, named};

/// Names and contents in a folder; of a folder in it nothing but its name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    entries
        .map(|e| {
            (
                e.file_name().to_string_lossy().into_owned(),
                read(&e.path()),
            )
        })
        .collect()
}

#[test]
fn a_failed_link_leaves_what_was_there() {
    let mut code = vec![addi(reg::A0, reg::ZERO, 0)];
    ecall(&mut code, crate::call::EXIT);
    let elf = load(&program(bytes(&code), &[]));
    let object = compiler::compile(&elf, &Options::default())
        .expect("it compiles")
        .object;

    let scratch = Scratch::new("failed-link");
    // The last argument is the output.
    let half = "#!/bin/sh\nfor last; do :; done\necho half > \"$last\"\n";
    for (name, ending) in [("fails", "exit 1\n"), ("is_killed", "kill -9 $$\n")] {
        let path = scratch.path(name);
        std::fs::write(&path, format!("{half}{ending}")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let linker = |name: &str| scratch.path(name).to_string_lossy().into_owned();
    let linkers = [
        "/bin/false".to_owned(),
        "/bin/true".to_owned(),
        linker("fails"),
        linker("is_killed"),
        linker("none"),
    ];

    let folder = scratch.path("out");
    std::fs::create_dir(&folder).expect("a folder");
    for existing in [false, true] {
        let output = folder.join("prog");
        if existing {
            std::fs::write(&output, "the program that was there").expect("a file");
        }
        let before = contents(&folder);
        for ld in &linkers {
            let error = compiler::link::link(&object, &output, ld).expect_err("the linker fails");
            assert_eq!(error.exit_status(), exit::IO, "{ld}: {error}");
            assert_eq!(contents(&folder), before, "{ld}: {error}");
        }
        // An object that the real linker does not take.
        let error = compiler::link::link(b"no object", &output, "ld").expect_err("it is no object");
        assert!(matches!(error, Error::Linker { .. }), "{error}");
        assert_eq!(contents(&folder), before, "{error}");
    }
    // And one that it takes replaces the program, with nothing beside it.
    compiler::link::link(&object, &folder.join("prog"), "ld").expect("it links");
    let after = contents(&folder);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["prog"]);
    assert!(after["prog"].starts_with(b"\x7fELF"));
}

/// Asserts that a message names a place and the bytes that are there in the file.
fn names_place(message: &str, pc: u64, offset: u64, file: &[u8], instruction: &[u8]) {
    let at = offset as usize;
    assert_eq!(
        file.get(at..at + instruction.len()),
        Some(instruction),
        "{message}"
    );
    for part in [format!("{pc:#x} <f"), format!("file offset {offset:#x}")] {
        assert!(message.contains(&part), "no `{part}` in: {message}");
    }
}

#[test]
fn floating_point_instructions_are_errors() {
    // One of each format of F and D, and the compressed ones that RV64 has.
    let words: [(&str, u32); 14] = [
        ("flw fa5,0(a0)", 0x0005_2787),
        ("fld fa5,0(a0)", 0x0005_3787),
        ("fsw fa5,0(a0)", 0x00f5_2027),
        ("fsd fa5,0(a0)", 0x00f5_3027),
        ("fadd.d fa0,fa0,fa1", 0x02b5_7553),
        ("fsqrt.s fa0,fa0", 0x5805_7553),
        ("fmadd.d fa0,fa0,fa1,fa2", 0x62b5_7543),
        ("fnmsub.s fa0,fa0,fa1,fa2", 0x60b5_754b),
        ("feq.d a0,fa0,fa1", 0xa2b5_2553),
        ("fcvt.d.l fa0,a0", 0xd225_7553),
        ("fmv.x.d a0,fa0", 0xe205_0553),
        ("c.fld fa0,0(a0)", 0x2108),
        ("c.fsd fa0,0(a0)", 0xa108),
        ("c.fldsp fa0,0(sp)", 0x2502),
    ];
    for (text, word) in words {
        let len = if word & 3 == 3 { 4 } else { 2 };
        let instruction = &word.to_le_bytes()[..len];
        let mut code = bytes(&[addi(reg::A0, reg::ZERO, 0); 5]);
        let pc = CODE + code.len() as u64;
        code.extend_from_slice(instruction);
        code.extend(bytes(&[addi(reg::A0, reg::ZERO, 0)]));
        let mut image = program(code, &[]);
        image.flags = RVC;
        let elf = load(&image);
        let error = compiler::compile(&elf, &Options::default()).expect_err(text);
        let Error::FloatingPoint { offset, raw, .. } = error else {
            panic!("{text}: {error}");
        };
        assert_eq!(raw, word, "{text}");
        assert_eq!(error.exit_status(), exit::INPUT, "{text}");
        names_place(&error.to_string(), pc, offset, elf.bytes(), instruction);
    }
}

#[test]
fn compressed_instructions_without_the_flag_are_errors() {
    // c.li a0,1 after instructions of 4 bytes.
    let instruction = 0x4505u16.to_le_bytes();
    let mut code = bytes(&[addi(reg::A0, reg::ZERO, 0); 3]);
    let pc = CODE + code.len() as u64;
    code.extend_from_slice(&instruction);
    code.extend(bytes(&[addi(reg::A0, reg::ZERO, 0)]));
    let mut image = program(code, &[]);
    let elf = load(&image);
    let error = compiler::compile(&elf, &Options::default()).expect_err("there is no RVC");
    let Error::Compressed { offset, raw, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(raw.to_le_bytes(), instruction);
    assert_eq!(error.exit_status(), exit::INPUT);
    names_place(&error.to_string(), pc, offset, elf.bytes(), &instruction);
    // It is the flag that makes the difference.
    image.flags = RVC;
    compiler::compile(&load(&image), &Options::default())
        .expect("compressed instructions are fine with RVC");

    // A real program, with the flag taken away (gABI chapter 4: e_flags is at 48).
    let whole = named("sha256").load();
    let mut file = whole.bytes().to_vec();
    assert_eq!(
        file[48] & RVC as u8,
        RVC as u8,
        "the guest has compressed instructions"
    );
    file[48] &= !(RVC as u8);
    let elf = Elf::parse(file).expect("it loads");
    let error = compiler::compile(&elf, &Options::default()).expect_err("there is no RVC");
    assert_eq!(error.exit_status(), exit::INPUT);
    assert!(matches!(error, Error::Compressed { .. }), "{error}");
}

/// What 1 million guest instructions may take, in bytes.
const MEMORY: u64 = 500_000_000;

#[test]
fn translation_takes_little_memory() {
    if is_child() {
        let elf = named("rust_all").load();
        let translation = compiler::compile(&elf, &Options::default()).expect("it compiles");
        println!(
            "measured {} {}",
            translation.statistics.instructions,
            peak_memory()
        );
        return;
    }
    let output = in_child(
        "compile::translation_takes_little_memory",
        Duration::from_secs(120),
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let measured = said
        .lines()
        .find_map(|l| l.split("measured ").nth(1))
        .expect("the figures");
    let figures: Vec<u64> = measured
        .split(' ')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let [instructions, bytes] = figures[..] else {
        panic!("{measured}")
    };
    println!("{instructions} instructions: {bytes} bytes");
    assert!(
        instructions > 500_000,
        "a large program: {instructions} instructions"
    );
    let scaled = u128::from(bytes) * 1_000_000 / u128::from(instructions);
    assert!(
        scaled < u128::from(MEMORY),
        "{bytes} bytes for {instructions} instructions"
    );
}
