//! The guest's memory: 4 GiB of address space and a protection per page.

use crate::chunk::{Access, PortFault};
use hartlog_abi::Prot;
use hartlog_format::layout::{PAGE, WINDOW_END, page_floor};
use hartlog_isa::Width;
use memmap2::{MmapMut, MmapOptions};
use std::fs::File;
use std::ops::Range;

/// Guest memory. The host commits pages only when they are touched.
pub struct Memory {
    bytes: MmapMut,
    prot: Vec<Prot>,
    /// Pages that were mapped before and may hold something.
    used: Vec<bool>,
    /// Where compiled code accesses it, too.
    shared: Option<Shared>,
}

/// What a mapping for compiled code needs.
struct Shared {
    /// The pages.
    file: File,
    /// Who has the mapping: see [`Memory::changes`].
    owner: Option<u64>,
    /// Changes of protection that the mapping does not have yet.
    changes: Vec<Change>,
}

/// Pages with another protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Guest addresses.
    pub(crate) range: Range<u64>,
    pub(crate) prot: Prot,
}

/// An access that the protection forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessFault {
    /// The first byte that is not accessible.
    pub addr: u64,
    /// Whether it was to be written.
    pub write: bool,
}

const PAGES: usize = (WINDOW_END / PAGE) as usize;

impl Memory {
    /// Memory with nothing mapped.
    ///
    /// # Errors
    /// When the host does not give away 4 GiB of address space.
    pub fn new() -> std::io::Result<Memory> {
        let bytes = MmapOptions::new()
            .len(WINDOW_END as usize)
            .no_reserve_swap()
            .map_anon()?;
        // Guests jump about in memory: huge pages save most address translations. Without them it
        // is only slower.
        let _ = bytes.advise(memmap2::Advice::HugePage);
        Ok(Memory::of(bytes, None))
    }

    /// Memory that compiled code can be given to access as well: the pages of a file without name.
    ///
    /// # Errors
    /// When the host refuses the file or the address space.
    pub(crate) fn shared() -> std::io::Result<Memory> {
        let (file, bytes) = crate::engine::shared_memory(WINDOW_END)?;
        let shared = Shared {
            file,
            owner: None,
            changes: Vec::new(),
        };
        Ok(Memory::of(bytes, Some(shared)))
    }

    fn of(bytes: MmapMut, shared: Option<Shared>) -> Memory {
        Memory {
            bytes,
            prot: vec![Prot::None; PAGES],
            used: vec![false; PAGES],
            shared,
        }
    }

    /// For the mapping of `owner`, if compiled code can access this memory: what changed since the
    /// last call. If that was not for this owner, the file with the pages and everything that can be
    /// accessed.
    pub(crate) fn changes(&mut self, owner: u64) -> Option<(Option<&File>, Vec<Change>)> {
        let shared = self.shared.as_mut()?;
        let changes = std::mem::take(&mut shared.changes);
        if shared.owner == Some(owner) {
            return Some((None, changes));
        }
        shared.owner = Some(owner);
        let mut all = Vec::new();
        let mut page = 0;
        for run in self.prot.chunk_by(|a, b| a == b) {
            let start = page;
            page += run.len() as u64;
            if let Some(prot) = run.first().filter(|p| **p != Prot::None) {
                all.push(Change {
                    range: start * PAGE..page * PAGE,
                    prot: *prot,
                });
            }
        }
        Some((Some(&shared.file), all))
    }

    fn change(&mut self, pages: Range<usize>, prot: Prot) {
        self.prot[pages.clone()].fill(prot);
        if let Some(shared) = &mut self.shared
            && !pages.is_empty()
        {
            let range = pages.start as u64 * PAGE..pages.end as u64 * PAGE;
            shared.changes.push(Change { range, prot });
        }
    }

    fn pages(addr: u64, len: u64) -> std::ops::Range<usize> {
        let end = addr.saturating_add(len).min(WINDOW_END);
        (addr.min(end) / PAGE) as usize..(end / PAGE) as usize
    }

    /// Maps zeroed pages.
    pub fn map(&mut self, addr: u64, len: u64, prot: Prot) {
        for page in Self::pages(addr, len) {
            if std::mem::replace(&mut self.used[page], true) {
                let start = page * PAGE as usize;
                self.bytes[start..start + PAGE as usize].fill(0);
            }
        }
        self.change(Self::pages(addr, len), prot);
    }

    /// Unmaps pages.
    pub fn unmap(&mut self, addr: u64, len: u64) {
        self.change(Self::pages(addr, len), Prot::None);
    }

    /// Changes the protection of pages.
    pub fn protect(&mut self, addr: u64, len: u64, prot: Prot) {
        self.change(Self::pages(addr, len), prot);
    }

    /// What the guest may do at an address.
    pub fn prot(&self, addr: u64) -> Prot {
        let page = usize::try_from(addr / PAGE).unwrap_or(usize::MAX);
        self.prot.get(page).copied().unwrap_or(Prot::None)
    }

    /// Bytes of memory, whatever their protection; empty if they are not in the window.
    pub fn bytes(&self, addr: u64, len: u64) -> &[u8] {
        let range = addr as usize..addr.saturating_add(len) as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// Like [`Memory::bytes`], to be written.
    pub fn bytes_mut(&mut self, addr: u64, len: u64) -> &mut [u8] {
        let range = addr as usize..addr.saturating_add(len) as usize;
        self.bytes.get_mut(range).unwrap_or_default()
    }

    /// Writes bytes, whatever the protection.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) {
        let to = self.bytes_mut(addr, bytes.len() as u64);
        if to.len() == bytes.len() {
            to.copy_from_slice(bytes);
        }
    }

    #[inline(always)]
    fn check(&self, addr: u64, width: Width, least: Prot) -> Result<usize, AccessFault> {
        let last = width.bytes() - 1;
        // The last page is never mapped, so an access that starts below it ends below 2^32.
        if self.prot(addr) >= least
            && (addr & (PAGE - 1) <= PAGE - 1 - last || self.prot(addr + last) >= least)
        {
            Ok(addr as usize)
        } else {
            Err(self.fault(addr, last, least))
        }
    }

    #[cold]
    fn fault(&self, addr: u64, last: u64, least: Prot) -> AccessFault {
        let write = least == Prot::ReadWrite;
        // If the first page is fine, it is the second that is not.
        let addr = if self.prot(addr) >= least {
            page_floor(addr + last)
        } else {
            addr
        };
        AccessFault { addr, write }
    }

    /// Loads a value, zero-extended.
    ///
    /// # Errors
    /// [`AccessFault`].
    #[inline(always)]
    pub fn load(&self, addr: u64, width: Width) -> Result<u64, AccessFault> {
        let at = self.check(addr, width, Prot::Read)?;
        let len = width.bytes() as usize;
        let mut value = [0; 8];
        value[..len].copy_from_slice(&self.bytes[at..at + len]);
        Ok(u64::from_le_bytes(value))
    }

    /// Whether a value of this width can be stored.
    ///
    /// # Errors
    /// [`AccessFault`].
    pub fn storable(&self, addr: u64, width: Width) -> Result<(), AccessFault> {
        self.check(addr, width, Prot::ReadWrite).map(|_| ())
    }

    /// Whether a value that was read is what memory holds.
    pub(crate) fn expect(&self, addr: u64, width: Width, found: u64) -> Result<(), PortFault> {
        match self.load(addr, width)? {
            expected if expected != found => Err(PortFault::Memory {
                addr,
                width,
                expected,
                found,
            }),
            _ => Ok(()),
        }
    }

    /// What is wrong with an access that is about to happen.
    pub(crate) fn compare(&self, access: &Access) -> Result<(), PortFault> {
        if let Some(found) = access.read {
            self.expect(access.addr, access.width, found)?;
        }
        if access.written.is_some() {
            self.storable(access.addr, access.width)?;
        }
        Ok(())
    }

    /// Stores the low bytes of a value.
    ///
    /// # Errors
    /// [`AccessFault`].
    #[inline(always)]
    pub fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), AccessFault> {
        let at = self.check(addr, width, Prot::ReadWrite)?;
        let len = width.bytes() as usize;
        self.bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        Ok(())
    }
}
