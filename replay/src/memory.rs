//! The guest's memory: 4 GiB of address space and a protection per page.

use hartlog_abi::Prot;
use hartlog_format::layout::{PAGE, WINDOW_END, page_floor};
use hartlog_isa::Width;
use memmap2::{MmapMut, MmapOptions};

/// Guest memory. The host commits pages only when they are touched.
pub struct Memory {
    bytes: MmapMut,
    prot: Vec<Prot>,
    /// Pages that were mapped before and may hold something.
    used: Vec<bool>,
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
        Ok(Memory {
            bytes,
            prot: vec![Prot::None; PAGES],
            used: vec![false; PAGES],
        })
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
            self.prot[page] = prot;
        }
    }

    /// Unmaps pages.
    pub fn unmap(&mut self, addr: u64, len: u64) {
        self.prot[Self::pages(addr, len)].fill(Prot::None);
    }

    /// Changes the protection of pages.
    pub fn protect(&mut self, addr: u64, len: u64, prot: Prot) {
        self.prot[Self::pages(addr, len)].fill(prot);
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
