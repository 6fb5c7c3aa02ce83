//! Random programs as programs of their own, three ways: translated and linked with the runtime,
//! on the reference interpreter, and under qemu-user (where it is installed). Output (registers
//! and memory at the end), status and trace are compared, for chunks of every size.
//!
//! `HARTLOG_CASES` is the number of programs (default 60).

use compiler::{Mode, Options};
use hartlog_elf::Elf;
use quickcheck::Arbitrary;
use quickcheck::Gen;
use replay::interp::{End, Interpreter};
use replay::program::Program;
use replay::trace::Trace;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tests::guests::{Scratch, build, interpret, run};
use tests::random::cases;
use tests::sample::Sample;

/// Programs that do not end by themselves are left out.
const LIMIT: u64 = 20_000;

fn qemu() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("qemu-riscv64"))
        .find(|file| file.is_file())
}

/// Whether it ends within [`LIMIT`].
fn ends(program: &Program) -> bool {
    let options = replay::interp::Options {
        step_limit: Some(LIMIT),
        ..Default::default()
    };
    let mut io = replay::io::Buffers::default();
    let end =
        Interpreter::new(program, options).and_then(|mut interpreter| interpreter.run(&mut io));
    matches!(end, Ok(End::Exit(_) | End::Fault(_)))
}

fn three_ways(sample: &Sample, qemu: Option<&Path>, scratch: &Scratch) -> Option<(End, bool)> {
    let file = sample.standalone().build();
    let elf = match Elf::parse(file.clone()) {
        Ok(elf) => elf,
        Err(e) => panic!("{sample:?}{e}"),
    };
    let program = Program::new(elf);
    if !ends(&program) {
        return None;
    }
    let native = scratch.path("native");
    let trace = scratch.path("trace");
    build(
        program.elf(),
        &Options {
            checked_addresses: true,
            ..Options::default()
        },
        &native,
    );
    let mut end = End::StepLimit;
    for size in [1, 2, 7, 100, 4096, 1 << 18, 1 << 32] {
        let wanted = interpret(&program, &[], Vec::new(), size);
        let env = [
            ("HARTLOG_TRACE", &*trace.to_string_lossy()),
            ("HARTLOG_CHUNK_STEPS", &size.to_string()),
        ];
        let found = run(&native, &[], &[], &env);
        let stderr = String::from_utf8_lossy(&found.stderr);
        assert_eq!(
            found.status.code(),
            Some(i32::from(wanted.status())),
            "{sample:?}{stderr}"
        );
        assert!(
            found.stdout == wanted.output,
            "{sample:?}chunks of {size}: output differs"
        );
        let bytes = std::fs::read(&trace).unwrap_or_default();
        assert!(
            bytes == wanted.trace,
            "{sample:?}chunks of {size}: trace differs"
        );
        if size == 7
            && let Err(e) = Trace::from_bytes(bytes)
                .map_err(|e| e.to_string())
                .and_then(|t| {
                    replay::check::check(&t, &program, &Default::default(), &mut |_| {})
                        .map_err(|e| e.to_string())
                })
        {
            panic!("{sample:?}chunks of {size}: {e}");
        }
        end = wanted.end;
    }
    let wanted = interpret(&program, &[], Vec::new(), 1 << 18);
    build(
        program.elf(),
        &Options {
            mode: Mode::Fast,
            checked_addresses: true,
            ..Options::default()
        },
        &native,
    );
    let found = run(&native, &[], &[], &[]);
    assert!(
        found.stdout == wanted.output,
        "{sample:?}output differs without trace"
    );
    let by_qemu = qemu.is_some() && matches!(end, End::Exit(_)) && sample.suits_qemu();
    if let (Some(qemu), End::Exit(status), true) = (qemu, end, by_qemu) {
        let executable = scratch.path("guest");
        // qemu wants to see that it may be executed.
        let written = std::fs::write(&executable, &file)
            .and_then(|()| std::fs::set_permissions(&executable, PermissionsExt::from_mode(0o755)));
        if let Err(e) = written {
            panic!("{}: {e}", executable.display());
        }
        let output = run(qemu, &[executable.to_string_lossy().into_owned()], &[], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(i32::from(status)),
            "{sample:?}status under qemu: {}, {stderr}",
            output.status
        );
        assert!(
            output.stdout == wanted.output,
            "{sample:?}output differs from qemu's"
        );
    }
    Some((end, by_qemu))
}

#[test]
fn random_programs_three_ways() {
    let qemu = qemu();
    if qemu.is_none() {
        eprintln!("qemu-riscv64 is not installed: two ways only");
    }
    let scratch = Scratch::new("oracle");
    let mut random = Gen::new(60);
    let (mut exits, mut faults, mut with_qemu) = (0, 0, 0);
    while exits + faults < cases(60) {
        match three_ways(&Sample::arbitrary(&mut random), qemu.as_deref(), &scratch) {
            Some((End::Exit(_), by_qemu)) => {
                exits += 1;
                with_qemu += u64::from(by_qemu);
            }
            Some(_) => faults += 1,
            None => {}
        }
    }
    println!(
        "{exits} programs ended with an exit ({with_qemu} also under qemu), {faults} with a fault"
    );
    assert!(exits > 0 && faults > 0 && (with_qemu > 0 || qemu.is_none()));
}
