//! Formatted output with a small buffer, so that a line is one environment call and not one per fragment.

use core::fmt;

use crate::host;

const CAPACITY: usize = 512;

/// Buffered text to one file descriptor; written when full and when dropped.
pub struct Output {
    fd: usize,
    used: usize,
    buffer: [u8; CAPACITY],
}

impl Output {
    /// Output to file descriptor `fd` (1: standard output, 2: standard error).
    pub fn new(fd: usize) -> Self {
        Self {
            fd,
            used: 0,
            buffer: [0; CAPACITY],
        }
    }

    /// Adds raw bytes.
    pub fn write_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.used == CAPACITY {
                self.flush();
            }
            let count = bytes.len().min(CAPACITY - self.used);
            let (now, later) = bytes.split_at(count);
            self.buffer[self.used..self.used + count].copy_from_slice(now);
            self.used += count;
            bytes = later;
        }
    }

    fn flush(&mut self) {
        host::write_all(self.fd, &self.buffer[..self.used]);
        self.used = 0;
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.flush();
    }
}
