//! Live runs: what is reported and written is what the file's check reports and the program writes;
//! whoever dies, stalls or writes into the ring is noticed, and nothing is left behind.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use hartlog_format::ring::{
    Control, DESCRIPTION_OFFSET, Description, Geometry, slot_checksum, state,
};
use hartlog_format::ring::{LOG_OFFSET, Ticket};
use hartlog_format::status::exit;
use hartlog_format::trace::ChunkHeader;
use replay::trace::Trace;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, waitpid};
use std::fs::File;
use std::io::{Read, Write};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// In which an end must be noticed: a second, and what other work on the machine adds to that.
const SOON: Duration = Duration::from_secs(4);

/// For what only takes its time.
const LONG: Duration = Duration::from_secs(60);

/// More than a run does in a test.
const FOREVER: &str = "1000000000";

/// A guest, translated, in a folder of its own.
struct Guest {
    folder: tempfile::TempDir,
    elf: PathBuf,
    program: PathBuf,
}

impl Guest {
    fn new(name: &str) -> Guest {
        Guest::with(name, &compiler::Options::default())
    }

    fn with(name: &str, options: &compiler::Options) -> Guest {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/prebuilt");
        let elf = guests.join(format!("c/{name}.elf"));
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let program = folder.path().join("prog");
        let loaded = hartlog_elf::Elf::open(&elf).expect("a valid ELF");
        let translation = compiler::compile(&loaded, options).expect("it compiles");
        compiler::link::link(&translation.object, &program, "ld").expect("ld links it");
        Guest {
            folder,
            elf,
            program,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `replay run` with these options.
    fn live(&self, options: &[&str], args: &[&str]) -> Command {
        self.under(&[], options, args)
    }

    /// The same, started by another program.
    fn under(&self, wrapper: &[&str], options: &[&str], args: &[&str]) -> Command {
        let replay = env!("CARGO_BIN_EXE_replay");
        let mut words = wrapper.to_vec();
        words.extend([replay, "run"]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&self.program);
        command.arg("--elf").arg(&self.elf);
        command.args(options).arg("--").args(args);
        command
            .env("XDG_CACHE_HOME", cache())
            .env_remove("HARTLOG_TRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The program alone, writing its trace; what it put out and the trace.
    fn alone(&self, env: &[(&str, &str)], args: &[&str], input: &[u8]) -> (Output, Vec<u8>) {
        let trace = self.path("alone.trace");
        let mut command = Command::new(&self.program);
        command.args(args).env("HARTLOG_TRACE", &trace);
        command
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = finish(command, input);
        (output, std::fs::read(&trace).expect("a trace"))
    }

    fn check(&self, trace: &Path, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_replay"))
            .arg("check")
            .arg(trace)
            .arg("--elf")
            .arg(&self.elf)
            .args(more)
            .env("XDG_CACHE_HOME", cache())
            .output()
            .expect("it starts")
    }

    /// An incomplete trace is right as far as it goes; its chunks.
    #[track_caller]
    fn incomplete(&self, trace: &Path) -> u64 {
        let status = |more: &[&str]| self.check(trace, more).status.code();
        assert_eq!(status(&[]), Some(exit::INCOMPLETE.into()));
        assert_eq!(status(&["--allow-incomplete"]), Some(exit::OK.into()));
        Trace::open(trace).expect("a trace").len()
    }
}

fn cache() -> &'static str {
    concat!(env!("CARGO_TARGET_TMPDIR"), "/cache")
}

/// Runs to the end, with this input.
fn finish(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let pipe = child.stdin.take();
    std::thread::scope(|scope| {
        // A guest need not read its input.
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(input)));
        child.wait_with_output().expect("it ends")
    })
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn expect(output: &Output, status: u8, what: &str) {
    let told = told(output);
    assert_eq!(output.status.code(), Some(status.into()), "{told}");
    assert!(told.contains(what), "`{what}` is not in: {told}");
}

fn json(path: &Path) -> serde_json::Value {
    let bytes = std::fs::read(path).expect("a report");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Waits for something; how long that took.
#[track_caller]
fn within(most: Duration, what: &str, mut is_there: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < most, "{what}: not within {most:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

/// A live run that is going on.
struct Running {
    replay: Child,
    program: Pid,
    ring: File,
}

impl Running {
    /// Starts it, and waits until the program has set up the ring.
    fn start(guest: &Guest, mut command: Command) -> Running {
        // What is left of a killed replayer comes to this process.
        let this = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(this)).expect("it may");
        let replay = command.spawn().expect("it starts");
        let (mut program, mut ring) = (None, None);
        within(LONG, "the program's start", || {
            program = child_of(replay.id(), &guest.program);
            ring = ring.take().or_else(|| ring_of(replay.id()));
            let ready = ring.as_ref().map(|ring| word(ring, 0)) == Some(state::READY);
            ready && program.is_some()
        });
        Running {
            replay,
            program: program.expect("the program"),
            ring: ring.expect("the ring"),
        }
    }

    fn replayer(&self) -> Pid {
        Pid::from_child(&self.replay)
    }

    /// Stops the replayer, and waits until the program has filled all slots: the number of chunks
    /// that it has handed over.
    fn stall(&self) -> u64 {
        /// So often the program has to be found waiting for the same chunk: it may have got a slot
        /// just before, and not have looked.
        const LOOKS: u32 = 20;
        signal(self.replayer(), Signal::STOP);
        within(LONG, "the replayer's stop", || is_stopped(self.replayer()));
        let at = offset_of!(Control, producer_waits) as u64;
        let (mut chunks, mut looks) = (0, 0);
        within(LONG, "a full ring", || {
            let before = std::mem::replace(&mut chunks, long(&self.ring, at));
            looks = if chunks == before { looks + 1 } else { 0 };
            chunks != 0 && looks >= LOOKS
        });
        chunks - 1
    }

    /// What the replayer says, which must not take longer; nothing is left then.
    #[track_caller]
    fn end_within(mut self, most: Duration) -> Output {
        within(most, "the replayer's end", || {
            matches!(self.replay.try_wait(), Ok(Some(_)))
        });
        within(most, "the program's end", || is_gone(self.program));
        self.replay.wait_with_output().expect("it has ended")
    }
}

fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).expect("it is there");
}

/// State and parent of a process or thread, by its folder in /proc (proc(5), stat).
fn state_and_parent(of: &Path) -> Option<[String; 2]> {
    let stat = std::fs::read_to_string(of.join("stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some([fields.next()?.to_owned(), fields.next()?.to_owned()])
}

/// Whether a signal has stopped all threads: they go on for a while after it was sent.
fn is_stopped(pid: Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    tasks
        .expect("its threads")
        .flatten()
        .all(|task| state_and_parent(&task.path()).is_some_and(|[state, _]| state == "T"))
}

fn is_gone(pid: Pid) -> bool {
    !Path::new(&format!("/proc/{}/exe", pid.as_raw_nonzero())).exists()
}

/// The child of a process that executes this program.
fn child_of(parent: u32, program: &Path) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries.into_iter().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let [_, found] = state_and_parent(&entry.path())?;
        let exe = std::fs::read_link(entry.path().join("exe")).ok()?;
        let it = found == parent.to_string() && exe == program;
        it.then(|| Pid::from_raw(pid)).flatten()
    })
}

/// The ring of a replayer, through its descriptor.
fn ring_of(pid: u32) -> Option<File> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    entries.into_iter().find_map(|entry| {
        let name = std::fs::read_link(entry.path()).ok()?;
        let is_ring = name.to_string_lossy().contains("memfd:hartlog-ring");
        let open = || File::options().read(true).write(true).open(entry.path());
        let ring = is_ring.then(|| open().ok()).flatten()?;
        // It is empty for a moment.
        (ring.metadata().ok()?.len() > 0).then_some(ring)
    })
}

fn word(ring: &File, at: u64) -> u32 {
    let mut bytes = [0; 4];
    ring.read_exact_at(&mut bytes, at).expect("it is there");
    u32::from_le_bytes(bytes)
}

fn long(ring: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    ring.read_exact_at(&mut bytes, at).expect("it is there");
    u64::from_le_bytes(bytes)
}

/// From the start of the ring to the turn of a slot.
fn turn_at(ticket: Ticket) -> u64 {
    const LINE: u64 = 64;
    offset_of!(Control, producer_waits) as u64 + LINE + LINE * ticket.slot
}

/// A guest, its arguments and its standard input.
const RUNS: [(&str, &[&str], &[u8]); 10] = [
    ("hello", &[], b""),
    ("args", &["one", "two words", "", "three"], b""),
    ("wordcount", &[], b"some words\nand a line\n"),
    ("syscalls", &[], b""),
    ("bigwrite", &["300000"], b""),
    ("brkmmap", &[], b""),
    ("counters", &[], b""),
    ("faults", &["load_null"], b""),
    ("faults", &["middle_amo"], b""),
    ("hashmap", &["1"], b""),
];

#[test]
fn report_trace_output_and_status_are_those_of_the_file() {
    for (number, (name, args, input)) in RUNS.into_iter().enumerate() {
        let guest = Guest::new(name);
        for steps in ["997", "262144"] {
            // Few steps in a chunk are for programs that make few.
            if name == "hashmap" && steps == "997" {
                continue;
            }
            let (alone, wanted) = guest.alone(&[("HARTLOG_CHUNK_STEPS", steps)], args, input);
            let (trace, report) = (guest.path("live.trace"), guest.path("live.json"));
            let (trace_text, report_text) = (trace.to_str().unwrap(), report.to_str().unwrap());
            let mut options = vec!["--trace", trace_text, "--json", report_text];
            options.extend(["--chunk-steps", steps]);
            if number % 3 == 0 {
                options.extend(["--engine", "interpreted"]);
            }
            let output = finish(guest.live(&options, args), input);
            let case = format!("{name} {steps}: {}", told(&output));
            assert_eq!(output.status.code(), alone.status.code(), "{case}");
            assert!(output.stdout == alone.stdout, "{case}");
            assert!(std::fs::read(&trace).expect("a trace") == wanted, "{case}");
            let live = json(&report);
            let file = guest.check(&trace, &["--json"]);
            let file: serde_json::Value = serde_json::from_slice(&file.stdout).expect("JSON");
            for field in [
                "ok",
                "complete",
                "chunks",
                "steps",
                "log_bytes",
                "event_bytes",
                "memory_checked",
                "file_bytes",
            ] {
                assert_eq!(live[field], file[field], "{case}: {field}");
            }
            assert_eq!(live["status"], alone.status.code().unwrap_or(-1), "{case}");
        }
    }
}

#[test]
fn a_compressed_trace_is_the_trace() {
    let guest = Guest::new("wordcount");
    let input = b"to be or not to be\n".repeat(2000);
    let (_, wanted) = guest.alone(&[("HARTLOG_CHUNK_STEPS", "20000")], &[], &input);
    let trace = guest.path("live.trace.zst");
    let options = ["--trace", trace.to_str().unwrap(), "--chunk-steps", "20000"];
    expect(&finish(guest.live(&options, &[]), &input), 0, "ok: ");
    let compressed = std::fs::read(&trace).expect("a trace");
    let found = zstd::decode_all(&compressed[..]).expect("zstd");
    assert!(found == wanted);
    let opened = Trace::open(&trace).expect("a trace");
    assert!(opened.is_complete() && opened.len() > 10);
    assert_eq!(opened.compressed_len(), Some(compressed.len() as u64));
    expect(&guest.check(&trace, &[]), exit::OK, "");
}

#[test]
fn any_ring_and_any_cores() {
    let guest = Guest::new("sorts");
    let (alone, wanted) = guest.alone(&[("HARTLOG_CHUNK_STEPS", "5000")], &[], b"");
    let trace = guest.path("live.trace");
    let common = ["--chunk-steps", "5000", "--trace", trace.to_str().unwrap()];
    let one = &["taskset", "-c", "0"][..];
    let cases: [(&[&str], &[&str], &str); 9] = [
        (&[], &["--slots", "1"], ""),
        (&[], &["--slots", "1", "--jobs", "3"], ""),
        (&[], &["--slots", "2"], ""),
        (&[], &["--slots", "32", "--jobs", "5"], ""),
        (&[], &["--ring-bytes", "1"], " 2 slots"),
        (&[], &["--ring-bytes", "100000000"], " 32 slots"),
        (one, &[], "there is one core"),
        (one, &["--slots", "1"], "there is one core"),
        // No process may choose this core.
        (&[], &["--cores", "999,998"], "could not be pinned"),
    ];
    for (wrapper, options, what) in cases {
        let command = guest.under(wrapper, &[&common, options].concat(), &[]);
        let output = finish(command, b"");
        expect(&output, 0, what);
        assert!(output.stdout == alone.stdout);
        let same = std::fs::read(&trace).expect("a trace") == wanted;
        assert!(same, "{options:?}");
        let warnings = told(&output).matches("replay: warning").count();
        let most = if options.contains(&"--cores") { 2 } else { 1 };
        assert!(warnings <= most, "{}", told(&output));
    }
}

#[test]
fn a_killed_replayer_takes_its_program_along() {
    let busy = Guest::new("sha256");
    let reading = Guest::new("wordcount");
    for (guest, args, stalled) in [
        (&busy, &[FOREVER][..], false),
        (&busy, &[FOREVER], true),
        (&reading, &[], false),
    ] {
        let mut command = guest.live(&[], args);
        // Nobody writes: a guest that reads waits.
        command.stdin(Stdio::piped());
        let mut running = Running::start(guest, command);
        if stalled {
            running.stall();
        }
        // To wait for the replayer would close it, and a guest that reads could come to its end.
        let input = running.replay.stdin.take();
        running.replay.kill().expect("it is there");
        running.replay.wait().expect("it has ended");
        let mut found = None;
        within(SOON, "the program's end", || {
            found = waitpid(Some(running.program), WaitOptions::NOHANG).expect("a child");
            found.is_some()
        });
        drop(input);
        let status = found.map(|(_, status)| status.exit_status());
        assert_eq!(status, Some(Some(exit::TRACE_OUTPUT.into())));
        let mut said = String::new();
        let mut stderr = running.replay.stderr.take().expect("a pipe");
        // Nobody else has the pipe: this ends.
        stderr.read_to_string(&mut said).expect("text");
        assert!(said.contains("the replayer has ended"), "{said}");
    }
}

#[test]
fn a_killed_program_leaves_what_it_handed_over() {
    let guest = Guest::new("sha256");
    for name in ["killed.trace", "killed.trace.zst"] {
        for slots in ["1", "5"] {
            let (trace, report) = (guest.path(name), guest.path("killed.json"));
            let options = ["--trace", trace.to_str().unwrap(), "--slots", slots];
            let more = ["--json", report.to_str().unwrap()];
            let options = [&options[..], &more].concat();
            let running = Running::start(&guest, guest.live(&options, &[FOREVER]));
            // With the replayer stopped it is known how much that is.
            let chunks = running.stall();
            signal(running.program, Signal::KILL);
            signal(running.replayer(), Signal::CONT);
            let output = running.end_within(SOON);
            expect(&output, 128 + 9, "was killed by signal 9");
            assert_eq!(guest.incomplete(&trace), chunks);
            let report = json(&report);
            assert_eq!(report["chunks"], chunks);
            assert_eq!(
                (&report["complete"], &report["signal"]),
                (&false.into(), &9.into())
            );
        }
    }
}

#[test]
fn signals_are_passed_on() {
    let guest = Guest::new("sha256");
    for (name, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let trace = guest.path("signal.trace");
        let options = ["--trace", trace.to_str().unwrap()];
        let running = Running::start(&guest, guest.live(&options, &[FOREVER]));
        signal(running.replayer(), name);
        let output = running.end_within(SOON);
        expect(&output, 128 + number, "was killed by signal");
        guest.incomplete(&trace);
    }
}

#[test]
fn stopped_and_continued_it_goes_on() {
    // Longer than the replayer waits before it calls a ring damaged.
    const PAUSE: Duration = Duration::from_millis(700);
    let guest = Guest::new("sha256");
    let args = ["8000"];
    let (alone, _) = guest.alone(&[], &args, b"");
    for slots in ["1", "4"] {
        let running = Running::start(&guest, guest.live(&["--slots", slots], &args));
        for pid in [running.program, running.replayer(), running.program] {
            signal(pid, Signal::STOP);
            std::thread::sleep(PAUSE);
            signal(pid, Signal::CONT);
            std::thread::sleep(Duration::from_millis(30));
        }
        let output = running.end_within(LONG);
        expect(&output, 0, "ok: ");
        assert!(output.stdout == alone.stdout);
    }
}

/// What another process does to the newest chunk in the ring.
type Damage = fn(&Running, Ticket, u64, &mut ChunkHeader);

#[test]
fn a_damaged_ring_is_noticed() {
    let cases: [(&str, Damage, u8, &str); 10] = [
        (
            "magic",
            |_, _, _, h| h.magic[0] ^= 1,
            exit::LIVE_RING,
            "is damaged",
        ),
        (
            "a bit of a register",
            |_, _, _, h| h.regs[7] = (h.regs[7].get() ^ 1).into(),
            exit::LIVE_RING,
            "checksum",
        ),
        (
            "number",
            |_, _, _, h| repaired(h, |h| h.index += 1),
            exit::LIVE_RING,
            "is damaged",
        ),
        (
            "length of the log",
            |_, _, _, h| repaired(h, |h| h.log_len = (1 << 40).into()),
            exit::LIVE_RING,
            "is damaged",
        ),
        (
            "length of events",
            |_, _, _, h| repaired(h, |h| h.events_len = (1 << 33).into()),
            exit::LIVE_RING,
            "host events",
        ),
        (
            "start",
            |_, _, _, h| repaired(h, |h| h.regs[7] += 1),
            exit::LIVE_MISMATCH,
            "the next starts with",
        ),
        (
            "log",
            |running, _, at, _| {
                let value = long(&running.ring, at + LOG_OFFSET) ^ 1;
                put(&running.ring, at + LOG_OFFSET, &value.to_le_bytes());
            },
            exit::LIVE_MISMATCH,
            "chunk",
        ),
        (
            "nobody's turn",
            |running, ticket, _, _| put(&running.ring, turn_at(ticket), &7777u32.to_le_bytes()),
            exit::LIVE_RING,
            "nobody's turn",
        ),
        (
            "a turn taken back",
            |running, ticket, _, _| {
                put(&running.ring, turn_at(ticket), &ticket.phase.to_le_bytes())
            },
            exit::TRACE_OUTPUT,
            // The program comes to that slot first.
            "the ring is damaged",
        ),
        (
            "a turn given away",
            |running, ticket, _, _| {
                let next = ticket.phase + 2;
                put(&running.ring, turn_at(ticket), &next.to_le_bytes())
            },
            exit::LIVE_RING,
            "nobody's turn",
        ),
    ];
    let guest = Guest::new("hashmap");
    for (name, damage, status, what) in cases {
        let trace = guest.path("damaged.trace");
        let options = ["--slots", "6", "--trace", trace.to_str().unwrap()];
        let running = Running::start(&guest, guest.live(&options, &[FOREVER]));
        let chunk = running.stall() - 1;
        let mut bytes = Description::new_zeroed();
        let read = running
            .ring
            .read_exact_at(bytes.as_mut_bytes(), DESCRIPTION_OFFSET);
        read.expect("a description");
        let steps = hartlog_format::layout::DEFAULT_CHUNK_STEPS;
        let geometry = Geometry::described(&bytes, steps).expect("a ring");
        let ticket = Ticket::new(geometry.slots, chunk);
        let at = geometry.slot(ticket);
        let mut header = vec![0; size_of::<ChunkHeader>()];
        running
            .ring
            .read_exact_at(&mut header, at)
            .expect("a header");
        let mut header = ChunkHeader::read_from_bytes(&header).expect("a header");
        assert_eq!(header.index.get(), chunk);
        damage(&running, ticket, at, &mut header);
        put(&running.ring, at, header.as_bytes());
        signal(running.replayer(), Signal::CONT);
        let output = running.end_within(SOON);
        assert_eq!(
            output.status.code(),
            Some(status.into()),
            "{name}: {}",
            told(&output)
        );
        assert!(told(&output).contains(what), "{name}: {}", told(&output));
        // The chunks before are there.
        assert_eq!(guest.incomplete(&trace), chunk, "{name}");
    }
}

fn put(ring: &File, at: u64, bytes: &[u8]) {
    ring.write_all_at(bytes, at).expect("it can be written");
}

/// Alters a header as somebody who knows its checksum would.
fn repaired(header: &mut ChunkHeader, alter: impl FnOnce(&mut ChunkHeader)) {
    alter(header);
    header.checksum = slot_checksum(header).into();
}

#[test]
fn a_trace_that_cannot_be_written() {
    let guest = Guest::new("sha256");
    for options in [
        &["--trace", "/dev/full"][..],
        &["--trace", "/dev/full", "--trace-zstd"],
        &["--trace", "/nonexistent/file"],
    ] {
        let output = finish(guest.live(options, &[FOREVER]), b"");
        expect(&output, exit::TRACE_OUTPUT, "0 chunks are in it");
    }
    // In the middle: a disk that is full from some size on.
    for name in ["limited.trace", "limited.trace.zst"] {
        let trace = guest.path(name);
        let options = ["--trace", trace.to_str().unwrap()];
        let running = Running::start(&guest, guest.live(&options, &[FOREVER]));
        let limit = Some(300_000);
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        rustix::process::prlimit(Some(running.replayer()), Resource::Fsize, limit)
            .expect("a limit");
        let output = running.end_within(LONG);
        expect(&output, exit::TRACE_OUTPUT, "cannot be written");
        let chunks = guest.incomplete(&trace);
        assert!(told(&output).contains(&format!("{chunks} chunks are in it")));
        assert!(chunks > 0, "{}", told(&output));
    }
}

#[test]
fn what_is_no_program_of_this_elf() {
    let guest = Guest::new("hello");
    let other = Guest::new("args");
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command
        .arg("run")
        .arg(&other.program)
        .arg("--elf")
        .arg(&guest.elf)
        .env("XDG_CACHE_HOME", cache());
    let output = command.output().expect("it starts");
    expect(&output, exit::LIVE_MISMATCH, "another ELF");
    let fast = Guest::with(
        "hello",
        &compiler::Options {
            mode: compiler::Mode::Fast,
            ..compiler::Options::default()
        },
    );
    for program in [Path::new("/bin/true"), &fast.program] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command.arg("run").arg(program).arg("--elf").arg(&guest.elf);
        command.env("XDG_CACHE_HOME", cache());
        let output = command.output().expect("it starts");
        assert!(!output.status.success(), "{program:?}");
        assert!(
            told(&output).contains("before its guest started"),
            "{}",
            told(&output)
        );
    }
}
