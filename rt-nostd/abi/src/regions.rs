//! The guest's memory map.

use crate::Prot;
use hartlog_format::layout::{GUEST_END, GUEST_MIN, PAGE};

/// Most regions that a guest can have; a call that would need more gets ENOMEM.
pub const MAX_REGIONS: usize = 1024;

/// A run of pages with the same protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// What the guest may do there.
    pub prot: Prot,
}

/// There is no room for another region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Sorted, disjoint; neighbours that touch differ in protection. All bounds are multiples of the
/// page size inside the guest's window.
#[derive(Clone, Debug)]
pub(crate) struct Regions {
    list: [Region; MAX_REGIONS],
    len: usize,
}

impl Regions {
    pub(crate) const fn new() -> Regions {
        let empty = Region {
            start: 0,
            end: 0,
            prot: Prot::None,
        };
        Regions {
            list: [empty; MAX_REGIONS],
            len: 0,
        }
    }

    pub(crate) fn as_slice(&self) -> &[Region] {
        &self.list[..self.len]
    }

    /// Index of the first region that ends after `addr`.
    fn first_after(&self, addr: u64) -> usize {
        self.as_slice().partition_point(|r| r.end <= addr)
    }

    /// The region that holds `addr`.
    pub(crate) fn find(&self, addr: u64) -> Option<Region> {
        let region = *self.as_slice().get(self.first_after(addr))?;
        (region.start <= addr).then_some(region)
    }

    /// Whether no page of the range is mapped.
    pub(crate) fn is_free(&self, start: u64, end: u64) -> bool {
        let next = self.as_slice().get(self.first_after(start));
        start >= end || next.is_none_or(|r| r.start >= end)
    }

    /// Whether every page of the range is mapped.
    pub(crate) fn is_mapped(&self, start: u64, end: u64) -> bool {
        self.covered(start, end, Prot::None)
    }

    /// Whether all `len` bytes at `addr` are mapped and can be read (written if `write`).
    pub(crate) fn accessible(&self, addr: u64, len: u64, write: bool) -> bool {
        let least = if write { Prot::ReadWrite } else { Prot::Read };
        addr.checked_add(len)
            .is_some_and(|end| self.covered(addr, end, least))
    }

    fn covered(&self, start: u64, end: u64, least: Prot) -> bool {
        let mut at = start;
        for region in &self.as_slice()[self.first_after(start)..] {
            if at >= end || region.start > at || region.prot < least {
                break;
            }
            at = region.end;
        }
        at >= end
    }

    /// Start of the first region at or above `addr`, or the end of the window.
    pub(crate) fn next_start(&self, addr: u64) -> u64 {
        self.as_slice()
            .get(self.first_after(addr))
            .map_or(GUEST_END, |r| r.start.max(addr))
    }

    /// End of the highest gap below `top` that has room for `len` bytes.
    pub(crate) fn highest_gap(&self, top: u64, len: u64) -> Option<u64> {
        let mut end = top;
        for region in self.as_slice().iter().rev() {
            if region.start >= top {
                continue;
            }
            let low = region.end.min(top);
            if end - low >= len {
                return Some(end);
            }
            end = region.start;
        }
        (end.saturating_sub(GUEST_MIN) >= len).then_some(end)
    }

    /// Maps the range with this protection (`None`: unmaps it), whatever was there.
    pub(crate) fn set(&mut self, start: u64, end: u64, prot: Option<Prot>) -> Result<(), Full> {
        debug_assert!(start.is_multiple_of(PAGE) && end.is_multiple_of(PAGE));
        debug_assert!(GUEST_MIN <= start && end <= GUEST_END);
        if start >= end {
            return Ok(());
        }
        let first = self.first_after(start);
        let last = self.as_slice().partition_point(|r| r.start < end);
        // What is left of the regions that reach over the bounds, and the new one in between.
        let mut parts = [None; 3];
        if let Some(r) = self.as_slice()[..last].get(first) {
            parts[0] = (r.start < start).then_some(Region { end: start, ..*r });
        }
        parts[1] = prot.map(|prot| Region { start, end, prot });
        if let Some(r) = self.as_slice()[first.min(last)..last].last() {
            parts[2] = (r.end > end).then_some(Region { start: end, ..*r });
        }
        let count = parts.iter().flatten().count();
        let len = self.len - (last - first) + count;
        if len > MAX_REGIONS {
            return Err(Full);
        }
        self.list.copy_within(last..self.len, first + count);
        for (slot, part) in self.list[first..].iter_mut().zip(parts.iter().flatten()) {
            *slot = *part;
        }
        self.len = len;
        self.merge(first.saturating_sub(1), first + count + 1);
        Ok(())
    }

    /// Merges neighbours of equal protection among the regions `from..to`.
    fn merge(&mut self, from: usize, to: usize) {
        let mut i = from;
        let mut to = to.min(self.len);
        while i + 1 < to {
            let (a, b) = (self.list[i], self.list[i + 1]);
            if a.end == b.start && a.prot == b.prot {
                self.list[i].end = b.end;
                self.list.copy_within(i + 2..self.len, i + 1);
                self.len -= 1;
                to -= 1;
            } else {
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use quickcheck::quickcheck;
    use std::vec;
    use std::vec::Vec;

    const FIRST: u64 = GUEST_MIN;

    fn contents(regions: &Regions, pages: usize) -> Vec<Option<Prot>> {
        (0..pages as u64)
            .map(|p| regions.find(FIRST + p * PAGE).map(|r| r.prot))
            .collect()
    }

    quickcheck! {
        /// Against one protection per page.
        fn agrees_with_a_page_array(edits: Vec<(u8, u8, u8)>) -> bool {
            let mut regions = Regions::new();
            let mut model = vec![None; 512];
            for (start, len, prot) in edits {
                let (start, end) = (start as usize, start as usize + len as usize);
                let prot = [None, Some(Prot::None), Some(Prot::Read), Some(Prot::ReadWrite)]
                    [prot as usize % 4];
                let set = regions.set(
                    FIRST + start as u64 * PAGE,
                    FIRST + end as u64 * PAGE,
                    prot,
                );
                if set.is_err() {
                    return false;
                }
                model[start..end].fill(prot);
                let list = regions.as_slice();
                let sorted = list.iter().all(|r| r.start < r.end)
                    && list.windows(2).all(|w| {
                        w[0].end < w[1].start || (w[0].end == w[1].start && w[0].prot != w[1].prot)
                    });
                if !sorted || contents(&regions, 512) != model {
                    return false;
                }
                let free = model[start..end].iter().all(Option::is_none);
                let mapped = model[start..end].iter().all(Option::is_some);
                let (a, b) = (FIRST + start as u64 * PAGE, FIRST + end as u64 * PAGE);
                if regions.is_free(a, b) != free || regions.is_mapped(a, b) != mapped {
                    return false;
                }
            }
            true
        }
    }

    #[test]
    fn refuses_more_regions_than_it_can_hold() {
        let mut regions = Regions::new();
        for i in 0..MAX_REGIONS as u64 {
            let start = FIRST + 2 * i * PAGE;
            regions
                .set(start, start + PAGE, Some(Prot::Read))
                .expect("there is room");
        }
        let before = regions.as_slice().to_vec();
        let far = FIRST + 5000 * PAGE;
        assert_eq!(
            regions.set(far, far + PAGE, Some(Prot::Read)),
            Err(Full),
            "one more"
        );
        assert_eq!(regions.as_slice(), before, "nothing changed");
        regions
            .set(FIRST, FIRST + 3 * PAGE, Some(Prot::Read))
            .expect("merging needs no room");
        assert_eq!(regions.as_slice().len(), MAX_REGIONS - 1);
    }

    #[test]
    fn finds_the_highest_gap() {
        let mut regions = Regions::new();
        regions
            .set(GUEST_END - 4 * PAGE, GUEST_END - 2 * PAGE, Some(Prot::Read))
            .expect("there is room");
        assert_eq!(regions.highest_gap(GUEST_END, 2 * PAGE), Some(GUEST_END));
        assert_eq!(
            regions.highest_gap(GUEST_END, 3 * PAGE),
            Some(GUEST_END - 4 * PAGE)
        );
        assert_eq!(
            regions.highest_gap(GUEST_END - 3 * PAGE, PAGE),
            Some(GUEST_END - 4 * PAGE)
        );
        assert_eq!(regions.highest_gap(GUEST_END, u64::MAX), None);
    }

    #[test]
    fn access_needs_every_byte() {
        let mut regions = Regions::new();
        let (a, b) = (FIRST, FIRST + PAGE);
        regions.set(a, b, Some(Prot::Read)).expect("there is room");
        regions
            .set(b, b + PAGE, Some(Prot::ReadWrite))
            .expect("there is room");
        assert!(regions.accessible(b - 1, 2, false));
        assert!(!regions.accessible(b - 1, 2, true));
        assert!(regions.accessible(b, PAGE, true));
        assert!(!regions.accessible(b, PAGE + 1, false));
        assert!(!regions.accessible(u64::MAX, 2, false));
        assert!(regions.accessible(0, 0, true), "no byte, no fault");
    }
}
