//! Environment calls over a host in memory.

mod common;

use common::{DATA, Machine, TEXT, TOP};
use hartlog_abi::{Errno, MAX_EVENT_BYTES, MAX_TRANSFER, Prot, exit_status, number, random};
use hartlog_format::layout::{PAGE, STACK_SIZE};
use hartlog_format::trace::range;

const RW: u64 = 3;
const PRIVATE_ANONYMOUS: u64 = 0x22;
const FIXED: u64 = 0x10;
const NOREPLACE: u64 = 0x10_0000;

#[test]
fn exit_gives_the_low_byte() {
    for call in [number::EXIT, number::EXIT_GROUP] {
        let mut m = Machine::new();
        let outcome = m.outcome(call, &[0x1234]);
        assert_eq!(outcome.exit, Some(0x34));
        assert_eq!(m.events(), [(0, 0x1234, vec![])]);
    }
}

#[test]
fn abort_is_134() {
    for (call, args) in [
        (number::KILL, vec![1, 6]),
        (number::TKILL, vec![1, 6]),
        (number::TGKILL, vec![1, 1, 6]),
    ] {
        assert_eq!(Machine::new().outcome(call, &args).exit, Some(134));
    }
    let mut m = Machine::new();
    assert_eq!(m.outcome(number::KILL, &[1, 15]).exit, None);
    assert_eq!(m.call(number::KILL, &[1, 0]), 0);
    let mut x = [0; 32];
    (x[17], x[10], x[11]) = (number::KILL, 7, 6);
    assert_eq!(exit_status(&x), None, "another process");
    (x[17], x[10], x[11], x[12]) = (number::TGKILL, 7, 1, 6);
    assert_eq!(exit_status(&x), None, "a thread of another process");
    // Whether the guest is there, and others are not.
    let none = Errno::ENOSYS.result();
    assert_eq!(m.call(number::KILL, &[7, 0]), none);
    assert_eq!(m.call(number::TGKILL, &[1, 1, 0]), 0);
    assert_eq!(m.call(number::TGKILL, &[1, 7, 0]), none);
}

#[test]
fn read_fills_the_buffer_from_short_pieces() {
    let mut m = Machine::new();
    m.host.pieces = vec![b"ab".to_vec(), b"cdefg".to_vec(), b"h".to_vec()];
    assert_eq!(m.call(number::READ, &[0, DATA, 6]), 6);
    assert_eq!(m.host.bytes(DATA, 7), b"abcdef\0");
    assert_eq!(
        m.call(number::READ, &[0, DATA, 6]),
        2,
        "then the input ends"
    );
    assert_eq!(m.call(number::READ, &[0, DATA, 6]), 0);
    let written = |bytes: &[u8]| vec![(DATA, range::WRITTEN, bytes.to_vec())];
    assert_eq!(
        m.events(),
        [
            (0, 6, written(b"abcdef")),
            (1, 2, written(b"gh")),
            (2, 0, vec![])
        ]
    );
}

#[test]
fn read_from_a_terminal_returns_a_line() {
    let mut m = Machine::new();
    m.host.terminal = true;
    m.host.pieces = vec![b"ab\n".to_vec(), b"cd\n".to_vec()];
    assert_eq!(m.call(number::READ, &[0, DATA, 100]), 3);
    assert_eq!(m.call(number::READ, &[0, DATA, 100]), 3);
}

#[test]
fn read_errors() {
    let mut m = Machine::new();
    m.host.pieces = vec![b"abc".to_vec()];
    m.host.input_error = Some(Errno::EIO);
    assert_eq!(m.call(number::READ, &[0, DATA, 8]), 3, "what came before");
    assert_eq!(m.call(number::READ, &[0, DATA, 8]), Errno::EIO.result());
    m.host.pieces = vec![b"xyz".to_vec()];
    assert_eq!(m.call(number::READ, &[0, 0x40, 8]), Errno::EFAULT.result());
    assert_eq!(m.call(number::READ, &[1, DATA, 8]), Errno::EBADF.result());
    assert_eq!(m.host.pieces.len(), 1, "no input was lost");
    assert_eq!(m.call(number::READ, &[0, DATA, 0]), 0);
}

#[test]
fn read_is_cut_at_the_largest_transfer() {
    let mut m = Machine::new();
    m.host.pieces = vec![vec![7; 3 * MAX_TRANSFER as usize]];
    let len = 4 * MAX_TRANSFER;
    let at = m.call(number::MMAP, &[0, len, RW, PRIVATE_ANONYMOUS, u64::MAX, 0]);
    assert_eq!(m.call(number::READ, &[0, at, len]), MAX_TRANSFER);
}

#[test]
fn write_goes_out_and_into_the_event() {
    let mut m = Machine::new();
    m.host.put(DATA, b"hello");
    assert_eq!(m.call(number::WRITE, &[1, DATA, 5]), 5);
    assert_eq!(m.call(number::WRITE, &[2, DATA, 2]), 2);
    assert_eq!(m.call(number::WRITE, &[1, DATA, 0]), 0);
    assert_eq!(m.call(number::WRITE, &[0, DATA, 5]), Errno::EBADF.result());
    assert_eq!(m.call(number::WRITE, &[1, 8, 5]), Errno::EFAULT.result());
    assert_eq!(
        m.call(number::WRITE, &[1, TOP - 1, 2]),
        Errno::EFAULT.result(),
        "the last byte is not there"
    );
    assert_eq!(m.host.output, [(1, b"hello".to_vec()), (2, b"he".to_vec())]);
    assert_eq!(
        m.events()[0],
        (0, 5, vec![(DATA, range::READ, b"hello".to_vec())])
    );
    assert_eq!(m.events()[2], (2, 0, vec![]));
}

fn iov(m: &mut Machine, at: u64, list: &[(u64, u64)]) {
    for (i, (addr, len)) in list.iter().enumerate() {
        m.host.put(at + 16 * i as u64, &addr.to_le_bytes());
        m.host.put(at + 16 * i as u64 + 8, &len.to_le_bytes());
    }
}

#[test]
fn writev_goes_through_its_list() {
    let mut m = Machine::new();
    m.host.put(DATA, b"abcdef");
    let list = DATA + 256;
    iov(&mut m, list, &[(DATA, 2), (DATA + 100, 0), (DATA + 3, 3)]);
    assert_eq!(m.call(number::WRITEV, &[1, list, 3]), 5);
    assert_eq!(m.host.output, [(1, b"ab".to_vec()), (1, b"def".to_vec())]);
    let events = m.events();
    let ranges: Vec<_> = events[0].2.iter().map(|r| (r.0, r.1, r.2.len())).collect();
    assert_eq!(
        ranges,
        [
            (list, range::READ, 48),
            (DATA, range::READ, 2),
            (DATA + 3, range::READ, 3)
        ]
    );
}

#[test]
fn writev_stops_before_a_bad_buffer() {
    let mut m = Machine::new();
    let list = DATA + 256;
    iov(&mut m, list, &[(DATA, 4), (0x10, 4), (DATA, 4)]);
    assert_eq!(m.call(number::WRITEV, &[1, list, 3]), 4);
    iov(&mut m, list, &[(0x10, 4), (DATA, 4)]);
    let fault = Errno::EFAULT.result();
    assert_eq!(m.call(number::WRITEV, &[1, list, 2]), fault);
    assert_eq!(m.call(number::WRITEV, &[1, 0x10, 2]), fault);
    let invalid = Errno::EINVAL.result();
    assert_eq!(m.call(number::WRITEV, &[1, list, 1025]), invalid);
    iov(&mut m, list, &[(DATA, u64::MAX)]);
    assert_eq!(m.call(number::WRITEV, &[1, list, 1]), invalid);
    // Whatever the result depends on is in the event.
    assert_eq!(m.events()[1].2[0].0, list);
    assert_eq!(m.events()[4].2[0].0, list);
}

#[test]
fn readv_scatters() {
    let mut m = Machine::new();
    m.host.pieces = vec![b"abc".to_vec(), b"defgh".to_vec()];
    let list = DATA + 256;
    iov(&mut m, list, &[(DATA, 4), (DATA + 16, 10)]);
    assert_eq!(m.call(number::READV, &[0, list, 2]), 8);
    assert_eq!(m.host.bytes(DATA, 4), b"abcd");
    assert_eq!(m.host.bytes(DATA + 16, 5), b"efgh\0");
    let events = m.events();
    assert_eq!(events[0].2.len(), 3);
    assert_eq!(
        events[0].2[2],
        (DATA + 16, range::WRITTEN, b"efgh".to_vec())
    );
    // A list that would be overwritten while it is used.
    iov(&mut m, list, &[(list, 16)]);
    let fault = Errno::EFAULT.result();
    assert_eq!(m.call(number::READV, &[0, list, 1]), fault);
}

#[test]
fn readv_ends_with_the_input() {
    let mut m = Machine::new();
    let list = DATA + 256;
    let args = [0, list, 2];
    iov(&mut m, list, &[(DATA, 3), (DATA + 16, 4)]);
    m.host.pieces = vec![b"abc".to_vec()];
    m.host.input_error = Some(Errno::EIO);
    assert_eq!(m.call(number::READV, &args), 3, "what came before");
    assert_eq!(m.call(number::READV, &args), Errno::EIO.result());
    m.host.terminal = true;
    m.host.pieces = vec![b"a\n".to_vec(), b"b\n".to_vec()];
    assert_eq!(m.call(number::READV, &args), 2, "a line");
    assert_eq!(m.host.pieces.len(), 1);
}

#[test]
fn lengths_behind_the_largest_transfer_are_looked_at() {
    let mut m = Machine::new();
    let len = MAX_TRANSFER;
    let at = m.call(number::MMAP, &[0, len, RW, PRIVATE_ANONYMOUS, u64::MAX, 0]);
    iov(&mut m, DATA, &[(at, len), (at, 1), (at, 1 << 63)]);
    assert_eq!(m.call(number::WRITEV, &[1, DATA, 2]), MAX_TRANSFER);
    let invalid = Errno::EINVAL.result();
    assert_eq!(m.call(number::WRITEV, &[1, DATA, 3]), invalid);
}

#[test]
fn no_event_is_longer_than_promised() {
    let mut m = Machine::new();
    let len = 1 << 20;
    let at = m.call(number::MMAP, &[0, len, RW, PRIVATE_ANONYMOUS, u64::MAX, 0]);
    let list: Vec<_> = (0..1024).map(|i| (at + i * 65, 65)).collect();
    iov(&mut m, at + len / 2, &list);
    let before = m.host.recorded.len();
    assert_eq!(
        m.call(number::WRITEV, &[1, at + len / 2, 1024]),
        MAX_TRANSFER
    );
    let event = (m.host.recorded.len() - before) as u64;
    assert!(event <= MAX_EVENT_BYTES, "{event} bytes");
    assert!(event > MAX_EVENT_BYTES * 3 / 4, "the bound is not far off");
}

#[test]
fn brk_grows_and_shrinks() {
    let mut m = Machine::new();
    let start = m.call(number::BRK, &[0]);
    assert_eq!(start, TOP, "the page after the highest segment");
    assert_eq!(m.call(number::BRK, &[start + 10]), start + 10);
    assert!(m.abi.accessible(start, PAGE, true));
    assert!(!m.abi.accessible(start, PAGE + 1, true));
    m.host.put(start, b"x");
    assert_eq!(m.call(number::BRK, &[start + 3 * PAGE]), start + 3 * PAGE);
    assert_eq!(m.host.bytes(start, 1), b"x", "what was there stays");
    let fresh = (start + PAGE, range::ZEROED, vec![]);
    assert_eq!(m.events()[2].2, [fresh]);
    assert_eq!(m.call(number::BRK, &[start]), start);
    assert!(!m.abi.accessible(start, 1, false));
    assert_eq!(m.host.mapped_pages(), m.pages_of_regions());
    assert_eq!(m.call(number::BRK, &[start + 1]), start + 1);
    assert_eq!(m.host.bytes(start, 1), b"\0", "fresh again");
    for bad in [0, start - 1, u64::MAX, m.abi.stack_top()] {
        assert_eq!(m.call(number::BRK, &[bad]), start + 1, "{bad:#x}");
    }
}

/// Whether a call would take more memory than the limit.
fn over_limit(m: &Machine, number: u64, args: &[u64]) -> bool {
    let mut x = [0; 32];
    x[17] = number;
    x[10..10 + args.len()].copy_from_slice(args);
    m.abi.over_limit(Some(&x))
}

#[test]
fn memory_up_to_the_limit_can_be_had() {
    let mut m = Machine::new();
    let start = m.call(number::BRK, &[TOP + PAGE]) - PAGE;
    m.abi.limit_memory(m.abi.mapped() + 2 * PAGE);
    assert!(!m.abi.over_limit(None));
    for (end, over) in [
        (0, false),
        (start, false),
        (start + 1, false),
        (start + 3 * PAGE, false),
        (start + 3 * PAGE + 1, true),
        (u64::MAX, false),
    ] {
        assert_eq!(over_limit(&m, number::BRK, &[end]), over, "{end:#x}");
    }
    let map = |m: &Machine, at, pages| {
        let fixed = PRIVATE_ANONYMOUS | FIXED;
        let args = [at, pages * PAGE, RW, fixed, u64::MAX, 0];
        over_limit(m, number::MMAP, &args)
    };
    assert!(!map(&m, 0x7000_0000, 2));
    assert!(map(&m, 0x7000_0000, 3));
    // A page that is there already, and three that are not.
    assert!(!map(&m, start, 3));
    assert!(map(&m, start, 4));
    m.abi.limit_memory(m.abi.mapped() - 1);
    assert!(m.abi.over_limit(None));
    assert!(over_limit(&m, number::GETPID, &[]));
}

#[test]
fn brk_does_not_run_into_a_mapping() {
    let mut m = Machine::new();
    let start = m.call(number::BRK, &[0]);
    let wall = start + 2 * PAGE;
    let flags = PRIVATE_ANONYMOUS | FIXED;
    assert_eq!(m.call(number::MMAP, &[wall, PAGE, RW, flags, 0, 0]), wall);
    assert_eq!(m.call(number::BRK, &[wall]), wall);
    assert_eq!(m.call(number::BRK, &[wall + 1]), wall);
}

#[test]
fn mmap_goes_top_down_below_the_stack() {
    let mut m = Machine::new();
    let map = |m: &mut Machine, len| m.call(number::MMAP, &[0, len, RW, PRIVATE_ANONYMOUS, 0, 0]);
    let first = map(&mut m, 5);
    let guard = hartlog_format::layout::STACK_GUARD;
    assert_eq!(first, m.abi.stack_top() - STACK_SIZE - guard - PAGE);
    let second = map(&mut m, 2 * PAGE);
    assert_eq!(second, first - 2 * PAGE);
    assert_eq!(m.call(number::MUNMAP, &[first, PAGE]), 0);
    assert!(!m.abi.accessible(first, 1, false));
    assert_eq!(m.host.mapped_pages(), m.pages_of_regions());
    assert_eq!(map(&mut m, PAGE), first, "the highest gap");
    assert_eq!(map(&mut m, 1 << 40), Errno::ENOMEM.result());
    assert_eq!(map(&mut m, u64::MAX), Errno::ENOMEM.result());
    assert_eq!(map(&mut m, 0), Errno::EINVAL.result());
}

#[test]
fn mmap_wishes_and_fixed_places() {
    let mut m = Machine::new();
    let at = 0x7000_0000;
    let map = |m: &mut Machine, at, prot, flags| {
        m.call(number::MMAP, &[at, 2 * PAGE, prot, flags, u64::MAX, 0])
    };
    assert_eq!(map(&mut m, at, RW, PRIVATE_ANONYMOUS), at, "it is free");
    assert_ne!(map(&mut m, at, RW, PRIVATE_ANONYMOUS), at, "now it is not");
    m.host.put(at, b"x");
    let fixed = PRIVATE_ANONYMOUS | FIXED;
    assert_eq!(map(&mut m, at, RW, fixed), at, "replaced");
    assert_eq!(m.host.bytes(at, 1), b"\0");
    let exists = Errno::EEXIST.result();
    assert_eq!(map(&mut m, at, RW, PRIVATE_ANONYMOUS | NOREPLACE), exists);
    assert_eq!(map(&mut m, at + 1, RW, fixed), Errno::EINVAL.result());
    assert_eq!(map(&mut m, 0, RW, fixed), Errno::ENOMEM.result());
    let end = 0xffff_f000;
    assert_eq!(map(&mut m, end, RW, fixed), Errno::ENOMEM.result());
    assert_eq!(map(&mut m, at, 0, fixed), at);
    assert_eq!(m.abi.region(at).map(|r| r.prot), Some(Prot::None));
    assert_eq!(map(&mut m, at, 1, fixed), at);
    assert!(m.abi.accessible(at, PAGE, false) && !m.abi.accessible(at, 1, true));
    // Files cannot be mapped.
    let file = |m: &mut Machine, fd| m.call(number::MMAP, &[0, PAGE, RW, 2, fd, 0]);
    assert_eq!(file(&mut m, 0), Errno::ENODEV.result());
    assert_eq!(file(&mut m, 9), Errno::EBADF.result());
    assert_eq!(map(&mut m, 0, RW, 0x20), Errno::EINVAL.result(), "no type");
}

#[test]
fn mprotect_needs_mapped_pages() {
    let mut m = Machine::new();
    let protect = |m: &mut Machine, at, len, prot| m.call(number::MPROTECT, &[at, len, prot]);
    assert_eq!(protect(&mut m, DATA, 10, 1), 0);
    assert!(!m.abi.accessible(DATA, 1, true));
    let fault = Errno::EFAULT.result();
    m.host.pieces = vec![b"x".to_vec()];
    assert_eq!(m.call(number::READ, &[0, DATA, 1]), fault);
    assert_eq!(m.call(number::UNAME, &[DATA]), fault);
    assert_eq!(protect(&mut m, DATA, 10, RW), 0);
    assert_eq!(protect(&mut m, DATA + 8, 10, RW), Errno::EINVAL.result());
    assert_eq!(protect(&mut m, TOP, 10, RW), Errno::ENOMEM.result());
    assert_eq!(protect(&mut m, TOP, 0, RW), 0);
    assert_eq!(
        m.host.protects,
        [(DATA, PAGE, Prot::Read), (DATA, PAGE, Prot::ReadWrite)]
    );
}

#[test]
fn munmap_errors() {
    let mut m = Machine::new();
    let invalid = Errno::EINVAL.result();
    for args in [
        [DATA + 1, PAGE],
        [DATA, 0],
        [0, PAGE],
        [0xffff_f000, PAGE],
        [DATA, u64::MAX],
    ] {
        assert_eq!(m.call(number::MUNMAP, &args), invalid, "{args:x?}");
    }
    assert_eq!(
        m.call(number::MUNMAP, &[0x7000_0000, PAGE]),
        0,
        "nothing there"
    );
}

#[test]
fn too_many_regions_are_refused() {
    let mut m = Machine::new();
    let mut results = Vec::new();
    for i in 0..hartlog_abi::MAX_REGIONS as u64 {
        let at = 0x4000_0000 + 2 * PAGE * i;
        let flags = PRIVATE_ANONYMOUS | FIXED;
        results.push(m.call(number::MMAP, &[at, PAGE, RW, flags, 0, 0]));
    }
    assert_eq!(*results.last().expect("many"), Errno::ENOMEM.result());
    assert!(m.abi.regions().len() <= hartlog_abi::MAX_REGIONS);
    let before = m.abi.regions().to_vec();
    assert_eq!(m.host.mapped_pages(), m.pages_of_regions());
    // A hole in the middle of a region needs one more.
    let stack = m.abi.stack_top() - STACK_SIZE;
    assert_eq!(
        m.call(number::MUNMAP, &[stack + PAGE, PAGE]),
        Errno::ENOMEM.result()
    );
    assert_eq!(m.abi.regions(), before);
}

#[test]
fn clocks_count_steps() {
    let mut m = Machine::new();
    m.step = 3_000_000_005;
    assert_eq!(m.call(number::CLOCK_GETTIME, &[1, DATA]), 0);
    assert_eq!(m.words(DATA, 2), [3, 5]);
    m.step = 3_000_000_005;
    assert_eq!(m.call(number::CLOCK_GETTIME, &[0, DATA]), 0);
    assert_eq!(m.words(DATA, 2), [hartlog_abi::REALTIME_START + 3, 5]);
    m.step = 3_000_005_000;
    assert_eq!(m.call(number::GETTIMEOFDAY, &[DATA, 0]), 0);
    assert_eq!(m.words(DATA, 2), [hartlog_abi::REALTIME_START + 3, 5]);
    assert_eq!(m.call(number::CLOCK_GETRES, &[1, DATA]), 0);
    assert_eq!(m.words(DATA, 2), [0, 1]);
    assert_eq!(
        m.call(number::CLOCK_GETTIME, &[99, DATA]),
        Errno::EINVAL.result()
    );
    assert_eq!(
        m.call(number::CLOCK_GETTIME, &[1, 8]),
        Errno::EFAULT.result()
    );
}

#[test]
fn random_numbers_are_a_fixed_stream() {
    let mut m = Machine::new();
    assert_eq!(m.call(number::GETRANDOM, &[DATA, 13, 0]), 13);
    let stream: Vec<u8> = (2..6).flat_map(|n| random::word(n).to_le_bytes()).collect();
    assert_eq!(m.host.bytes(DATA, 13), stream[..13]);
    assert_eq!(m.call(number::GETRANDOM, &[DATA, 8, 1]), 8);
    assert_eq!(
        m.host.bytes(DATA, 8),
        stream[16..24],
        "at a word of its own"
    );
    assert_eq!(
        m.call(number::GETRANDOM, &[DATA, 8, 8]),
        Errno::EINVAL.result()
    );
    let fault = Errno::EFAULT.result();
    assert_eq!(m.call(number::GETRANDOM, &[8, 8, 0]), fault);
    assert_eq!(m.call(number::GETRANDOM, &[TEXT, 8, 0]), fault);
    let len = 2 * MAX_TRANSFER;
    let at = m.call(number::MMAP, &[0, len, RW, PRIVATE_ANONYMOUS, u64::MAX, 0]);
    assert_eq!(m.call(number::GETRANDOM, &[at, len, 0]), MAX_TRANSFER);
}

#[test]
fn streams_are_character_devices() {
    let mut m = Machine::new();
    for fd in 0..3 {
        assert_eq!(m.call(number::FSTAT, &[fd, DATA]), 0);
        let mode = m.words(DATA + 16, 1)[0] as u32;
        assert_eq!(mode & 0o170_000, 0o020_000);
    }
    assert_eq!(m.call(number::FSTAT, &[3, DATA]), Errno::EBADF.result());
    m.host.put(DATA + 512, b"\0");
    let empty = [1, DATA + 512, DATA, 0x1000];
    assert_eq!(m.call(number::NEWFSTATAT, &empty), 0);
    m.host.put(DATA + 512, b"/etc");
    assert_eq!(m.call(number::NEWFSTATAT, &empty), Errno::ENOENT.result());
    assert_eq!(m.call(number::LSEEK, &[0, 0, 1]), Errno::ESPIPE.result());
    assert_eq!(
        m.call(number::IOCTL, &[1, 0x5413, DATA]),
        Errno::ENOTTY.result()
    );
    assert_eq!(
        m.call(number::IOCTL, &[5, 0x5413, DATA]),
        Errno::EBADF.result()
    );
    let upper_half = 1 << 32 | 1;
    assert_eq!(m.call(number::CLOSE, &[upper_half]), 0, "an int");
    assert_eq!(m.call(number::CLOSE, &[1]), 0);
    assert_eq!(m.call(number::CLOSE, &[3]), Errno::EBADF.result());
}

#[test]
fn information() {
    let mut m = Machine::new();
    assert_eq!(m.call(number::UNAME, &[DATA]), 0);
    assert_eq!(m.host.bytes(DATA, 6), b"Linux\0");
    assert_eq!(m.host.bytes(DATA + 4 * 65, 8), b"riscv64\0");
    assert_eq!(m.call(number::PRLIMIT64, &[0, 3, 0, DATA]), 0);
    assert_eq!(m.words(DATA, 2), [STACK_SIZE, STACK_SIZE]);
    assert_eq!(m.call(number::GETRLIMIT, &[7, DATA]), 0);
    assert_eq!(m.words(DATA, 2), [u64::MAX, u64::MAX]);
    assert_eq!(
        m.call(number::PRLIMIT64, &[0, 3, DATA, 0]),
        Errno::EPERM.result()
    );
    assert_eq!(
        m.call(number::GETRLIMIT, &[16, DATA]),
        Errno::EINVAL.result()
    );
    let invalid = Errno::EINVAL.result();
    assert_eq!(m.call(number::RT_SIGPROCMASK, &[0, 0, DATA, 4]), invalid);
    assert_eq!(m.call(number::RT_SIGACTION, &[0, 0, 0, 8]), invalid);
    assert_eq!(m.call(number::RT_SIGPROCMASK, &[0, 0, DATA, 8]), 0);
    assert_eq!(m.words(DATA, 1), [0]);
    assert_eq!(m.call(number::RT_SIGACTION, &[6, 0, 0, 8]), 0);
    assert_eq!(
        m.call(number::RT_SIGACTION, &[65, 0, 0, 8]),
        Errno::EINVAL.result()
    );
    assert_eq!(m.call(number::SIGALTSTACK, &[0, DATA]), 0);
    assert_eq!(m.words(DATA, 3), [0, 2, 0]);
    for (call, expected) in [
        (number::GETPID, 1),
        (number::GETTID, 1),
        (number::SET_TID_ADDRESS, 1),
        (number::GETUID, 0),
        (number::GETPPID, 0),
        (number::SCHED_YIELD, 0),
        (number::MADVISE, 0),
        (number::SET_ROBUST_LIST, 0),
        (number::RISCV_FLUSH_ICACHE, 0),
    ] {
        assert_eq!(m.call(call, &[]), expected, "call {call}");
    }
    for (operation, expected) in [(0x81, 0), (10, 0)] {
        let args = [DATA, operation, 1];
        assert_eq!(m.call(number::FUTEX, &args), expected, "{operation}");
    }
    for operation in [0x80, 9] {
        let again = Errno::EAGAIN.result();
        assert_eq!(m.call(number::FUTEX, &[DATA, operation, 1]), again);
    }
    assert_eq!(m.call(number::FUTEX, &[DATA, 3, 1]), Errno::ENOSYS.result());
}

#[test]
fn hwprobe_names_the_extensions() {
    let mut m = Machine::new();
    let keys: [u64; 4] = [3, 4, 77, u64::MAX];
    for (i, key) in keys.iter().enumerate() {
        m.host.put(DATA + 16 * i as u64, &key.to_le_bytes());
        m.host.put(DATA + 16 * i as u64 + 8, &[0xff; 8]);
    }
    assert_eq!(m.call(number::RISCV_HWPROBE, &[DATA, 4, 0, 0, 0]), 0);
    let expected = [3, 1, 4, 0b11_1010, u64::MAX, 0, u64::MAX, 0];
    assert_eq!(m.words(DATA, 8), expected);
    let ranges = m.events()[0].2.clone();
    assert_eq!((ranges[0].1, ranges[1].1), (range::READ, range::WRITTEN));
    assert_eq!(ranges[0].2[..8], keys[0].to_le_bytes(), "as it was before");
    for (args, error) in [
        ([DATA, 4, 0, 0, 1], Errno::EINVAL),
        ([DATA, 65, 0, 0, 0], Errno::EINVAL),
        ([TEXT, 1, 0, 0, 0], Errno::EFAULT),
    ] {
        assert_eq!(m.call(number::RISCV_HWPROBE, &args), error.result());
    }
}

#[test]
fn unknown_calls_are_named_once() {
    let mut m = Machine::new();
    for call in [56, 1024, 56, 5000, 1024, u64::MAX, u64::MAX, 56] {
        assert_eq!(m.call(call, &[]), Errno::ENOSYS.result());
    }
    assert_eq!(m.host.unknown, [56, 1024, 5000, u64::MAX]);
}

#[test]
fn a_failing_host_ends_the_run() {
    let mut m = Machine::new();
    m.host.full = true;
    let mut x = [0; 32];
    (x[17], x[10], x[11], x[12]) = (number::WRITE, 1, DATA, 1);
    assert!(m.abi.call(&mut m.host, &x, 0).is_err());
}
