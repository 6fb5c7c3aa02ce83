//! A host in memory.
#![allow(dead_code)]

use hartlog_abi::{ARGV0, Abi, Errno, Host, Image, Outcome, Prot, Segment};
use hartlog_format::layout::PAGE;
use hartlog_format::parse::Events;
use std::collections::BTreeMap;

/// A page that can only be read.
pub const TEXT: u64 = 0x1_0000;
/// A page of writable data.
pub const DATA: u64 = 0x2_0000;
/// First address after the segments.
pub const TOP: u64 = 0x2_2000;

/// What could not be done.
#[derive(Debug)]
pub struct Full;

/// Pages by number, with their protection.
#[derive(Default)]
pub struct TestHost {
    pub pages: BTreeMap<u64, (Prot, Vec<u8>)>,
    pub pieces: Vec<Vec<u8>>,
    pub input_error: Option<Errno>,
    pub terminal: bool,
    pub output: Vec<(u32, Vec<u8>)>,
    pub recorded: Vec<u8>,
    pub unknown: Vec<u64>,
    pub protects: Vec<(u64, u64, Prot)>,
    pub full: bool,
}

impl TestHost {
    pub fn bytes(&self, addr: u64, len: u64) -> Vec<u8> {
        (addr..addr + len)
            .map(|a| self.pages[&(a / PAGE)].1[(a % PAGE) as usize])
            .collect()
    }

    /// Puts bytes into memory, as the guest would.
    pub fn put(&mut self, addr: u64, bytes: &[u8]) {
        for (a, b) in (addr..).zip(bytes) {
            let page = self.pages.get_mut(&(a / PAGE)).expect("it is mapped");
            page.1[(a % PAGE) as usize] = *b;
        }
    }

    pub fn mapped_pages(&self) -> u64 {
        self.pages.len() as u64
    }

    fn room(&self) -> Result<(), Full> {
        if self.full { Err(Full) } else { Ok(()) }
    }
}

impl Host for TestHost {
    type Error = Full;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) {
        for (a, b) in (addr..).zip(bytes) {
            let page = &self.pages[&(a / PAGE)];
            assert!(page.0 >= Prot::Read, "the ABI checks before it reads");
            *b = page.1[(a % PAGE) as usize];
        }
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) {
        for (a, b) in (addr..).zip(bytes) {
            let page = self.pages.get_mut(&(a / PAGE)).expect("it is mapped");
            assert!(page.0 == Prot::ReadWrite, "the ABI checks before it writes");
            page.1[(a % PAGE) as usize] = *b;
        }
    }

    fn map(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Full> {
        assert!(addr.is_multiple_of(PAGE) && len.is_multiple_of(PAGE));
        for page in addr / PAGE..(addr + len) / PAGE {
            self.pages.insert(page, (prot, vec![0; PAGE as usize]));
        }
        Ok(())
    }

    fn unmap(&mut self, addr: u64, len: u64) -> Result<(), Full> {
        for page in addr / PAGE..(addr + len) / PAGE {
            self.pages.remove(&page);
        }
        Ok(())
    }

    fn protect(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Full> {
        self.protects.push((addr, len, prot));
        for page in addr / PAGE..(addr + len) / PAGE {
            self.pages.get_mut(&page).expect("it is mapped").0 = prot;
        }
        Ok(())
    }

    fn input(&mut self, addr: u64, len: u64) -> Result<u64, Errno> {
        assert!(len > 0);
        let Some(piece) = self.pieces.first_mut() else {
            return self.input_error.map_or(Ok(0), Err);
        };
        let part: Vec<u8> = piece.drain(..piece.len().min(len as usize)).collect();
        if piece.is_empty() {
            self.pieces.remove(0);
        }
        self.write(addr, &part);
        Ok(part.len() as u64)
    }

    fn is_terminal(&mut self) -> bool {
        self.terminal
    }

    fn output(&mut self, fd: u32, addr: u64, len: u64) -> Result<(), Full> {
        self.room()?;
        let mut bytes = vec![0; len as usize];
        self.read(addr, &mut bytes);
        self.output.push((fd, bytes));
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.room()?;
        self.recorded.extend_from_slice(bytes);
        Ok(())
    }

    fn record_guest(&mut self, addr: u64, len: u64) -> Result<(), Full> {
        let mut bytes = vec![0; len as usize];
        self.read(addr, &mut bytes);
        self.record(&bytes)
    }

    fn unknown_call(&mut self, number: u64) {
        self.unknown.push(number);
    }
}

/// A recorded event: step, result, and (address, kind, bytes) of each range.
pub type Event = (u64, u64, Vec<(u64, u32, Vec<u8>)>);

/// A started guest with a page of text and two pages of data.
pub struct Machine {
    pub abi: Abi,
    pub host: TestHost,
    pub sp: u64,
    pub step: u64,
}

/// The segments of [`Machine::new`].
pub fn segments() -> [Segment<'static>; 2] {
    [
        Segment {
            vaddr: TEXT,
            mem_size: 100,
            writable: false,
            data: b"text",
        },
        Segment {
            vaddr: DATA,
            mem_size: PAGE + 8,
            writable: true,
            data: b"",
        },
    ]
}

impl Machine {
    pub fn new() -> Machine {
        Machine::start(&segments(), &[ARGV0], &[])
    }

    pub fn start(segments: &[Segment<'_>], args: &[&[u8]], env: &[&[u8]]) -> Machine {
        let mut host = TestHost::default();
        let image = Image {
            segments: segments.iter().copied(),
            entry: TEXT,
            args: args.iter().copied(),
            env: env.iter().copied(),
        };
        let (abi, sp) = Abi::start(&mut host, &image).expect("it starts");
        host.protects.clear();
        Machine {
            abi,
            host,
            sp,
            step: 0,
        }
    }

    pub fn outcome(&mut self, number: u64, args: &[u64]) -> Outcome {
        let mut x = [0; 32];
        x[17] = number;
        x[10..10 + args.len()].copy_from_slice(args);
        let outcome = self
            .abi
            .call(&mut self.host, &x, self.step)
            .expect("the host does not fail");
        self.step += 1;
        outcome
    }

    pub fn call(&mut self, number: u64, args: &[u64]) -> u64 {
        let outcome = self.outcome(number, args);
        assert_eq!(outcome.exit, None);
        outcome.result
    }

    pub fn words(&self, addr: u64, count: u64) -> Vec<u64> {
        self.host
            .bytes(addr, 8 * count)
            .chunks_exact(8)
            .map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes")))
            .collect()
    }

    pub fn pages_of_regions(&self) -> u64 {
        self.abi
            .regions()
            .iter()
            .map(|r| (r.end - r.start) / PAGE)
            .sum()
    }

    /// What was recorded, by the parser of the format.
    pub fn events(&self) -> Vec<Event> {
        Events::new(&self.host.recorded)
            .map(|event| {
                let event = event.expect("well-formed");
                let ranges = event
                    .ranges()
                    .map(|r| (r.addr, r.kind, r.data.to_vec()))
                    .collect();
                let header = event.header;
                (header.step.get(), header.result.get(), ranges)
            })
            .collect()
    }
}
