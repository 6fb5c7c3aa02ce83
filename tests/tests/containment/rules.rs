//! Every rule of the filter is needed: with one taken out of a linked program, a run that uses it
//! is refused.

use compiler::Options;
use hartlog_filter::{Check, RULES, Rule, number, value};
use hartlog_format::status::exit;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::guests::{Scratch, build, named};

/// A run.
#[derive(Clone, Copy, Debug)]
enum Case {
    /// A guest with arguments and `HARTLOG_` variables, behind this prefix of a shell command.
    Run(
        &'static str,
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
        &'static str,
    ),
    /// A guest that waits for input that cannot block, and is stopped and continued.
    Stopped,
    /// A guest with an argument, in a live run with chunks of so many steps through one slot. What
    /// it says on standard error is not kept.
    Live(&'static str, &'static str, u64),
}

const TRACED: (&str, &str) = ("HARTLOG_TRACE", "trace");

/// The run that needs a rule.
fn case(rule: &Rule) -> Case {
    use Case::Run;
    let has = |check| rule.checks.contains(&check);
    match rule.number {
        number::WRITE if has(Check::Is(0, 1)) => Run("hello", &[], &[], ""),
        number::WRITE if has(Check::Is(0, 2)) => Run("attacks", &["complain"], &[], ""),
        number::READ => Run("wordcount", &[], &[], ""),
        number::WRITEV => Run("hello", &[], &[TRACED], ""),
        number::FUTEX => Run("sha256", &[], &[TRACED, ("HARTLOG_RING", "1")], ""),
        number::MMAP | number::MPROTECT | number::MUNMAP => Run("attacks", &["memory"], &[], ""),
        number::MADVISE if has(Check::Guest(0)) => Run("attacks", &["memory"], &[], ""),
        number::MADVISE if has(Check::Is(2, value::MADV_HUGEPAGE)) => Run("sha256", &[], &[], ""),
        number::MLOCK => Run("sha256", &[], &[("HARTLOG_CHUNK_STEPS", "1000")], ""),
        number::MADVISE if has(Check::Is(2, value::MADV_POPULATE_WRITE)) => {
            Run("sha256", &[], &[], "ulimit -l 64 && exec UNLOCKED")
        }
        number::MADVISE if has(Check::Is(2, value::MADV_DONTNEED)) => Run(
            "attacks",
            &["events"],
            &[
                TRACED,
                ("HARTLOG_RING", "1"),
                ("HARTLOG_CHUNK_STEPS", "400"),
            ],
            "",
        ),
        number::MADVISE if has(Check::Is(2, value::MADV_REMOVE)) => {
            Case::Live("attacks", "events", 400)
        }
        number::MREMAP => Run("sha256", &[], &[TRACED, ("HARTLOG_CHUNK_STEPS", "16")], ""),
        number::FTRUNCATE => Run(
            "sha256",
            &[],
            &[TRACED, ("HARTLOG_CHUNK_STEPS", "4096")],
            "ulimit -f 400 && exec",
        ),
        number::POLL | number::RESTART_SYSCALL => Case::Stopped,
        number::CLOCK_GETTIME => Run("hello", &[], &[], ""),
        number::RT_SIGRETURN => Run("fault_load_null", &[], &[], ""),
        number::EXIT => Run("hello", &[], &[TRACED], ""),
        _ => panic!("no run that needs {rule:?}"),
    }
}

struct Programs {
    scratch: Scratch,
    built: Vec<(PathBuf, Vec<u8>)>,
}

impl Programs {
    /// The bytes of a linked guest.
    fn get(&mut self, elf: &Path) -> Vec<u8> {
        if let Some((_, bytes)) = self.built.iter().find(|(e, _)| e == elf) {
            return bytes.clone();
        }
        let native = self.scratch.path("native");
        let path = tests::guests::folder().join(elf);
        let parsed = hartlog_elf::Elf::open(&path).expect("a guest");
        build(&parsed, &Options::default(), &native);
        let bytes = std::fs::read(&native).expect("it was just linked");
        self.built.push((elf.to_owned(), bytes.clone()));
        bytes
    }

    /// Runs a case, without one of the rules.
    fn run(&mut self, case: Case, without: Option<usize>) -> Output {
        let (name, more, variables, prefix) = match case {
            Case::Run(name, args, variables, prefix) => (name, args, variables, prefix),
            Case::Stopped => ("wordcount", &[][..], &[][..], ""),
            Case::Live(name, ..) => (name, &[][..], &[][..], ""),
        };
        let guest = named(name);
        let mut program = self.get(&guest.elf);
        let table = tests::image::place(&program, "HARTLOG_FILTER_RULES");
        assert_eq!(
            table.len(),
            size_of_val(&RULES),
            "the table is the one we know"
        );
        if let Some(index) = without {
            let at = table.start + index * size_of::<Rule>() + std::mem::offset_of!(Rule, number);
            let number = &mut program[at..][..4];
            assert_eq!(
                *number,
                RULES[index].number.to_le_bytes(),
                "the rule is there"
            );
            // No call has this number.
            number.copy_from_slice(&0x7fff_fff0u32.to_le_bytes());
        }
        let path = self.scratch.path("program");
        tests::image::install(&path, &program);

        if let Case::Live(_, argument, chunk_steps) = case {
            let options = replay::live::Options {
                program: path,
                args: vec![argument.into()],
                slots: Some(1),
                chunk_steps: Some(chunk_steps),
                quiet: true,
                ..Default::default()
            };
            return live(&guest, &options);
        }
        let script = match prefix {
            "" => "exec \"$0\" \"$@\"".to_owned(),
            prefix => format!(
                "{} \"$0\" \"$@\"",
                prefix.replace("UNLOCKED", without_privilege())
            ),
        };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).arg(&path);
        command.args(&guest.args).args(more).env_clear();
        for (name, value) in variables {
            if *name == TRACED.0 {
                command.env(name, self.scratch.path(value));
            } else {
                command.env(name, value);
            }
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if matches!(case, Case::Stopped) {
            return stopped(command);
        }
        match &guest.stdin {
            Some(input) => {
                let file = std::fs::File::open(tests::guests::folder().join(input));
                command.stdin(file.expect("the guest's input"));
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        command.output().expect("a shell")
    }
}

/// A live run.
fn live(guest: &tests::guests::Guest, options: &replay::live::Options) -> Output {
    let program = replay::program::Program::new(guest.load());
    let ring = replay::live::Ring::new().expect("memory");
    let columns = replay::witness::Columns::MEMORY;
    let engine = replay::engine::Engine::interpreted(&program, columns);
    let outcome = replay::live::run(&ring, &engine, options, &mut |_| {});
    let status = outcome.expect("every chunk is right").status;
    Output {
        status: std::process::ExitStatus::from_raw(i32::from(status) << 8),
        stdout: Vec::new(),
        stderr: Vec::new(),
    }
}

/// What makes RLIMIT_MEMLOCK hold for who is privileged.
fn without_privilege() -> &'static str {
    // SAFETY: it has no conditions.
    if unsafe { libc::geteuid() } == 0 {
        "setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock"
    } else {
        ""
    }
}

/// State of a process, as /proc has it.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Runs a command that reads from a pipe in non-blocking mode, stops it while it waits, continues
/// it, and gives it its input.
fn stopped(mut command: Command) -> Output {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // SAFETY: the descriptor is open.
    unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let child = command.stdin(reader).spawn().expect("a shell");
    // The command holds the reader's end too.
    drop(command);
    let pid = child.id();
    let start = Instant::now();
    let wait_for = |wanted: &[char]| {
        while start.elapsed() < Duration::from_secs(10) {
            match state(pid) {
                Some(now) if wanted.contains(&now) => return,
                None => return,
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("not in {wanted:?}: {:?}", state(pid));
    };
    let in_poll = || {
        std::fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|s| s.starts_with("7 "))
    };
    // It may have been refused before it waits.
    while !in_poll() && state(pid) != Some('Z') && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(2));
    }
    for (signal, wanted) in [
        (libc::SIGSTOP, &['T', 'Z'][..]),
        (libc::SIGCONT, &['S', 'R', 'Z'][..]),
    ] {
        // SAFETY: the process is a child that nobody has waited for.
        unsafe { libc::kill(pid as i32, signal) };
        wait_for(wanted);
    }
    let _ = writer.write_all(b"some words\n");
    drop(writer);
    child.wait_with_output().expect("it is a child")
}

#[test]
fn every_rule_of_the_filter_is_needed() {
    let mut programs = Programs {
        scratch: Scratch::new("rules"),
        built: Vec::new(),
    };
    for (index, rule) in RULES.iter().enumerate() {
        let case = case(rule);
        let output = programs.run(case, None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        assert!(
            code.is_some_and(|c| c != i32::from(exit::INTERNAL)),
            "{rule:?}: with all rules: {} {said}",
            output.status
        );
        // Two threads: which call comes first is not certain, and whether the thread of the trace
        // comes to its end before the process does.
        let refused = (0..100).any(|_| {
            let output = programs.run(case, Some(index));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let wanted = format!("system call {} is not allowed", rule.number);
            // The message itself may be what is refused, or the return from a handler, in which
            // signals wait: then the kernel ends the process.
            let silent =
                rule.checks.contains(&Check::Is(0, 2)) || rule.number == number::RT_SIGRETURN;
            let silent = silent && output.status.signal() == Some(libc::SIGSYS);
            let silent = silent
                || matches!(case, Case::Live(..))
                    && output.status.code() == Some(exit::INTERNAL.into());
            silent || output.status.code() == Some(exit::INTERNAL.into()) && said.contains(&wanted)
        });
        assert!(refused, "no run needs {rule:?}");
    }
}
