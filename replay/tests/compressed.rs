//! Traces compressed with zstd: read as what they decompress to, as far as they are whole.

mod common;

use hartlog_format::status::exit;
use replay::trace::{CompressionErrorKind, Trace, TraceError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A trace, and the frames that a live run writes for it: one for each record.
fn sample() -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = common::trace_bytes(&common::program(), 16);
    let trace = Trace::from_bytes(bytes.clone()).expect("a trace");
    let mut ends = vec![0, trace.chunk(0).expect("a chunk").offset as usize];
    ends.extend((0..trace.len()).map(|i| trace.chunk(i).expect("a chunk").end as usize));
    ends.push(bytes.len());
    let frame = |range: &[usize]| zstd_of(&bytes[range[0]..range[1]]);
    let frames = ends.windows(2).map(frame).collect();
    (bytes, frames)
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).expect("zstd")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// Opens a trace with these bytes.
    fn open(&self, bytes: &[u8]) -> Result<Trace, TraceError> {
        Trace::open(&self.file("a.trace", bytes))
    }
}

/// Everything that a trace has, but for its size.
fn contents(trace: &Trace) -> Vec<u8> {
    let mut all = Vec::new();
    for i in 0..trace.len() {
        let chunk = trace.chunk(i).expect("a chunk");
        chunk.verify().expect("its checksum");
        let header = zerocopy::IntoBytes::as_bytes(chunk.header);
        for part in [header, chunk.log, chunk.events] {
            all.extend_from_slice(part);
        }
    }
    all
}

#[test]
fn it_is_what_it_decompresses_to() {
    let folder = Folder::new();
    let (bytes, frames) = sample();
    let plain = Trace::from_bytes(bytes.clone()).expect("a trace");
    assert_eq!(plain.compressed_len(), None);
    // As a skippable frame is to be: other tools put notes into them.
    let note = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let noted = [&note, &frames.concat()[..], &note].concat();
    for compressed in [frames.concat(), zstd_of(&bytes), noted] {
        let trace = folder.open(&compressed).expect("a trace");
        assert!(trace.is_complete() && trace.damage().is_none());
        assert_eq!(trace.file_len(), bytes.len() as u64);
        assert_eq!(trace.compressed_len(), Some(compressed.len() as u64));
        assert_eq!(trace.len(), plain.len());
        assert_eq!(contents(&trace), contents(&plain));
    }
}

#[test]
fn cut_short_anywhere_it_is_the_chunks_before() {
    let folder = Folder::new();
    let (bytes, frames) = sample();
    let plain = Trace::from_bytes(bytes.clone()).expect("a trace");
    let all = frames.concat();
    let mut ends = vec![0];
    for frame in &frames {
        ends.push(ends.last().unwrap_or(&0) + frame.len());
    }
    for len in 0..all.len() {
        let whole = ends.iter().filter(|end| **end <= len).count() as u64 - 1;
        match folder.open(&all[..len]) {
            Ok(trace) => {
                assert!(!trace.is_complete(), "cut at {len}");
                let at_end = ends.contains(&len);
                match trace.damage() {
                    None => assert!(at_end, "cut at {len}"),
                    Some(error) => {
                        assert!(!at_end, "cut at {len}");
                        assert_eq!(error.kind, CompressionErrorKind::CutShort);
                        assert_eq!(error.frame, whole);
                        assert_eq!(error.offset, ends[whole as usize] as u64);
                    }
                }
                assert!(whole > 0 && trace.len() == (whole - 1).min(plain.len()));
                assert!(contents(&plain).starts_with(&contents(&trace)));
            }
            // No magic number, or no header.
            Err(TraceError::Parse(_)) => assert!(len < 4),
            Err(TraceError::Compressed(error)) => {
                assert_eq!(error.kind, CompressionErrorKind::CutShort);
                assert_eq!((whole, error.frame), (0, 0), "cut at {len}");
            }
            Err(other) => panic!("cut at {len}: {other}"),
        }
    }
    // What is in a part of a frame counts too.
    let mut one = zstd::Encoder::new(Vec::new(), 3).expect("zstd");
    for part in bytes.chunks(500) {
        one.write_all(part).expect("memory");
        one.flush().expect("memory");
    }
    let one = one.finish().expect("memory");
    let most = (0..one.len()).filter_map(|len| folder.open(&one[..len]).ok());
    assert_eq!(most.map(|trace| trace.len()).max(), Some(plain.len()));
}

#[test]
fn any_flipped_bit_is_refused_or_changes_nothing() {
    let folder = Folder::new();
    let program = common::program();
    let (bytes, frames) = sample();
    let plain = Trace::from_bytes(bytes.clone()).expect("a trace");
    let mut all = frames.concat();
    let (mut damaged, mut cut) = (0, 0);
    for at in 0..all.len() {
        for bit in 0..8 {
            all[at] ^= 1 << bit;
            let found = folder.open(&all);
            all[at] ^= 1 << bit;
            match found {
                Ok(trace) => match trace.damage() {
                    Some(error) => {
                        assert!(!trace.is_complete());
                        match error.kind {
                            CompressionErrorKind::CutShort => cut += 1,
                            CompressionErrorKind::Damaged(_) => damaged += 1,
                        }
                        assert!(error.offset <= at as u64, "the frame is the damaged one");
                    }
                    None => {
                        let options = replay::check::Options {
                            jobs: Some(1),
                            ..Default::default()
                        };
                        let checked =
                            replay::check::check(&trace, &program, &options, &mut |_| {}).is_ok();
                        if checked && trace.is_complete() {
                            assert_eq!(contents(&trace), contents(&plain), "byte {at} bit {bit}");
                        }
                    }
                },
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
    assert!(
        damaged > 100 && cut > 0,
        "{damaged} damaged, {cut} cut short"
    );
}

/// A decoder that gets a frame in pieces does not compare them if the last block is empty.
#[test]
fn a_frame_of_another_size_than_it_says_is_damaged() {
    let folder = Folder::new();
    let (bytes, frames) = sample();
    // The size in 8 bytes, a block as it is, and an empty one.
    let frame = |contents: &[u8], size: usize| {
        let block = (contents.len() as u32) << 3;
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
        frame.extend_from_slice(&(size as u64).to_le_bytes());
        frame.extend_from_slice(&block.to_le_bytes()[..3]);
        frame.extend_from_slice(contents);
        frame.extend_from_slice(&[1, 0, 0]);
        frame
    };
    let trace = folder.open(&frame(&bytes, bytes.len())).expect("a trace");
    assert!(trace.is_complete() && trace.damage().is_none());
    for size in [bytes.len() - 1, bytes.len() + 1, 0] {
        match folder.open(&frame(&bytes, size)) {
            Ok(trace) => assert!(!trace.is_complete() && trace.damage().is_some()),
            Err(error) => assert!(matches!(error, TraceError::Compressed(_)), "{error}"),
        }
    }
    // A note before it shifts it to where it is read in one piece or in two.
    let header = &frames[0];
    let buffer = 1 << 20;
    for (before, size) in (0..40)
        .map(|n| buffer - 60 + n)
        .chain([0, 1])
        .flat_map(|n| [(n, 0), (n, 1)])
    {
        let len = (before as u32).to_le_bytes();
        let note = [&[0x50, 0x2a, 0x4d, 0x18], &len[..], &vec![0; before]].concat();
        let file = [&note[..], header, &frame(&[], size)].concat();
        let what = format!("{size} bytes after {before}");
        let trace = folder.open(&file).unwrap_or_else(|e| panic!("{what}: {e}"));
        let damage = trace.damage().map(|d| (d.frame, d.offset));
        let at = (note.len() + header.len()) as u64;
        let wanted = (size > 0).then_some((2, at));
        assert_eq!(damage, wanted, "{what}");
    }
}

#[test]
fn what_is_no_trace_is_not_decompressed_to_its_end() {
    let folder = Folder::new();
    // 64 GiB in a megabyte or two: were they stored, this would take its time.
    let zeros = zstd_of(&vec![0; 64 << 20]);
    let bomb = zeros.repeat(1024);
    let found = folder.open(&bomb);
    assert!(matches!(found, Err(TraceError::Parse(_))));
    // A first frame that could be the start of one.
    let (bytes, _) = sample();
    for len in [1, 6] {
        let found = folder.open(&[zstd_of(&bytes[..len]), bomb.clone()].concat());
        assert!(matches!(found, Err(TraceError::Parse(_))));
    }
}

fn replay(args: &[&str], stdin: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(args)
        .env(
            "XDG_CACHE_HOME",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"),
        )
        .stdin(stdin)
        .output()
        .expect("it starts")
}

#[track_caller]
fn expect(args: &[&str], status: u8) -> String {
    let output = replay(args, Stdio::null());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code();
    assert_eq!(code, Some(status.into()), "{args:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &error
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn every_command_reads_it() {
    let folder = Folder::new();
    let (bytes, frames) = sample();
    let elf = folder.file("a.elf", common::program().elf().bytes());
    let plain = folder.file("a.trace", &bytes);
    let compressed = folder.file("a.trace.zst", &frames.concat());
    let out = folder.0.path().join("a.parquet");
    let (elf, plain, compressed, out) = (text(&elf), text(&plain), text(&compressed), text(&out));
    for args in [
        &["dump", "TRACE", "--elf", elf, "--chunk", "1"][..],
        &["counts", "TRACE", "--elf", elf],
        &["check", "TRACE", "--elf", elf],
        &["info", "TRACE", "--chunks"],
        &[
            "witness", "TRACE", "--elf", elf, "--format", "parquet", "-o", out,
        ],
    ] {
        let with = |trace| {
            let args: Vec<&str> = args
                .iter()
                .map(|a| if *a == "TRACE" { trace } else { *a })
                .collect();
            expect(&args, exit::OK)
        };
        let (a, b) = (with(plain), with(compressed));
        if ["dump", "counts"].contains(&args[0]) {
            assert_eq!(a, b);
        }
        if args[0] == "info" {
            assert!(
                b.contains("compressed ") && !a.contains("compressed "),
                "{b}"
            );
        }
    }
    // From a pipe.
    let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(["info", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(&frames.concat()).expect("it reads");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
}

#[test]
fn statuses_of_damage() {
    let folder = Folder::new();
    let (_, frames) = sample();
    let elf = folder.file("a.elf", common::program().elf().bytes());
    let elf = text(&elf);
    let all = frames.concat();
    let before: usize = frames[..4].iter().map(Vec::len).sum();
    let cut = folder.file("cut.zst", &all[..before + 10]);
    let mut flipped = all;
    flipped[before + 1] ^= 0xff;
    let flipped = folder.file("flipped.zst", &flipped);
    let header = folder.file("header.zst", &frames[0][..20]);
    let garbage = folder.file("garbage.zst", &zstd_of(&[7; 1000]));

    let check = |path: &Path, more: &[&str], status| {
        expect(
            &[&["check", text(path), "--elf", elf][..], more].concat(),
            status,
        )
    };
    let told = check(&cut, &[], exit::INCOMPLETE);
    assert!(
        told.contains("3 chunks") && told.contains("ends inside the frame"),
        "{told}"
    );
    check(&cut, &["--allow-incomplete"], exit::OK);
    let told = check(&flipped, &["--allow-incomplete"], exit::INPUT);
    assert!(
        told.contains("3 chunks") && told.contains("frame 4"),
        "{told}"
    );
    let json = replay(
        &["check", text(&flipped), "--elf", elf, "--json"],
        Stdio::null(),
    );
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&json["ok"], &json["chunks"]), (&false.into(), &3.into()));
    check(&header, &["--allow-incomplete"], exit::INPUT);
    check(&garbage, &[], exit::INPUT);
    expect(&["info", text(&cut)], exit::INCOMPLETE);
    expect(&["info", text(&flipped)], exit::INPUT);
    expect(
        &["dump", text(&flipped), "--elf", elf, "--chunk", "2"],
        exit::OK,
    );
    expect(
        &["dump", text(&flipped), "--elf", elf, "--chunk", "3"],
        exit::INPUT,
    );
    expect(&["counts", text(&flipped), "--elf", elf], exit::INPUT);
    let out = folder.0.path().join("a.parquet");
    let out = ["--elf", elf, "--format", "parquet", "-o", text(&out)];
    expect(
        &[&["witness", text(&flipped)], &out[..]].concat(),
        exit::INPUT,
    );
    assert!(!Path::new(out[5]).exists());
    // Nowhere to decompress to.
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(["info", text(&cut)])
        .env("TMPDIR", "/nonexistent")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(exit::IO.into()));
}

#[test]
fn what_a_trace_decompresses_to_is_bounded() {
    let folder = Folder::new();
    let (bytes, frames) = sample();
    let len = bytes.len() as u64;
    // The last frames are of one byte that is repeated.
    let bomb = [frames.concat(), zstd_of(&vec![0; 64 << 20])].concat();
    for (file, plain) in [(frames.concat(), len), (bomb, len + (64 << 20))] {
        let path = folder.file("a.trace", &file);
        for limit in [0, 100, len - 1, len, plain - 1] {
            match Trace::open_limited(&path, limit) {
                Err(TraceError::TooLarge { limit: named }) => assert_eq!(named, limit),
                other => assert!(other.is_ok() && plain == len && limit == len),
            }
        }
        let most = Trace::open_limited(&path, plain);
        assert!(!matches!(most, Err(TraceError::TooLarge { .. })));
    }
    let path = folder.file("a.trace", &frames.concat());
    let limit = |bytes: u64| format!("--max-decompressed={bytes}");
    expect(&["info", &limit(len), text(&path)], exit::OK);
    let said = expect(&["info", &limit(len - 1), text(&path)], exit::INPUT);
    assert!(said.contains("it decompresses to more than"), "{said}");
}
