//! Reading standard input, writing standard output and error.

use crate::event::{begin, guest_range};
use crate::{Abi, Errno, Host, MAX_TRANSFER};
use hartlog_format::trace::range;

/// Most buffers of a vectored call (`UIO_MAXIOV`, `linux/uio.h`).
pub(crate) const MAX_IOV: u64 = 1024;

/// Bytes of a `struct iovec`: address and length.
const IOV_BYTES: u64 = 16;

/// The buffers of a vectored call that take part in it.
#[derive(Clone, Copy)]
struct Buffers {
    list: u64,
    /// Bytes that were read from the list.
    list_len: u64,
    /// Buffers that take part.
    count: u64,
    /// Bytes in them, at most [`MAX_TRANSFER`].
    total: u64,
}

fn iov<H: Host>(host: &mut H, list: u64, index: u64) -> (u64, u64) {
    let mut bytes = [0; 16];
    host.read(list + index * IOV_BYTES, &mut bytes);
    let value = u128::from_le_bytes(bytes);
    (value as u64, (value >> 64) as u64)
}

impl Abi {
    /// `read(fd, buf, len)`.
    pub(crate) fn read<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        fd: u64,
        buf: u64,
        len: u64,
    ) -> Result<u64, H::Error> {
        let len = len.min(MAX_TRANSFER);
        let result = if fd as u32 != 0 {
            Err(Errno::EBADF)
        } else if !self.regions.accessible(buf, len, true) {
            Err(Errno::EFAULT)
        } else {
            fill(host, buf, len)
        };
        let count = result.unwrap_or(0);
        let value = result.unwrap_or_else(Errno::result);
        begin(host, step, value, (count > 0).into())?;
        if count > 0 {
            guest_range(host, buf, count, range::WRITTEN)?;
        }
        Ok(value)
    }

    /// `write(fd, buf, len)`.
    pub(crate) fn write<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        fd: u64,
        buf: u64,
        len: u64,
    ) -> Result<u64, H::Error> {
        let len = len.min(MAX_TRANSFER);
        let error = if !matches!(fd as u32, 1 | 2) {
            Some(Errno::EBADF)
        } else if !self.regions.accessible(buf, len, false) {
            Some(Errno::EFAULT)
        } else {
            None
        };
        if let Some(error) = error {
            begin(host, step, error.result(), 0)?;
            return Ok(error.result());
        }
        if len > 0 {
            host.output(fd as u32, buf, len)?;
        }
        begin(host, step, len, (len > 0).into())?;
        if len > 0 {
            guest_range(host, buf, len, range::READ)?;
        }
        Ok(len)
    }

    /// `readv(fd, list, count)`.
    pub(crate) fn readv<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        fd: u64,
        list: u64,
        count: u64,
    ) -> Result<u64, H::Error> {
        let buffers = match self.buffers(host, fd as u32 == 0, list, count, true) {
            Ok(buffers) => buffers,
            Err((error, list_len)) => return refuse(host, step, error, list, list_len),
        };
        let mut done = 0;
        let mut result = Ok(());
        for i in 0..buffers.count {
            let (addr, len) = iov(host, list, i);
            let len = len.min(buffers.total - done);
            match fill(host, addr, len) {
                Ok(got) => {
                    done += got;
                    if got < len {
                        break;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let value = match result {
            Err(error) if done == 0 => error.result(),
            _ => done,
        };
        emit(host, step, value, &buffers, done, range::WRITTEN)?;
        Ok(value)
    }

    /// `writev(fd, list, count)`.
    pub(crate) fn writev<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        fd: u64,
        list: u64,
        count: u64,
    ) -> Result<u64, H::Error> {
        let open = matches!(fd as u32, 1 | 2);
        let buffers = match self.buffers(host, open, list, count, false) {
            Ok(buffers) => buffers,
            Err((error, list_len)) => return refuse(host, step, error, list, list_len),
        };
        let mut left = buffers.total;
        for i in 0..buffers.count {
            let (addr, len) = iov(host, list, i);
            let len = len.min(left);
            if len > 0 {
                host.output(fd as u32, addr, len)?;
            }
            left -= len;
        }
        emit(
            host,
            step,
            buffers.total,
            &buffers,
            buffers.total,
            range::READ,
        )?;
        Ok(buffers.total)
    }

    /// Checks a list of buffers. Those before the first that is not accessible take part; none is
    /// an error. With an error comes the number of bytes of the list that it depends on.
    fn buffers<H: Host>(
        &mut self,
        host: &mut H,
        open: bool,
        list: u64,
        count: u64,
        write: bool,
    ) -> Result<Buffers, (Errno, u64)> {
        if !open {
            return Err((Errno::EBADF, 0));
        }
        if count > MAX_IOV {
            return Err((Errno::EINVAL, 0));
        }
        let list_len = count * IOV_BYTES;
        if !self.regions.accessible(list, list_len, false) {
            return Err((Errno::EFAULT, 0));
        }
        let mut buffers = Buffers {
            list,
            list_len,
            count: 0,
            total: 0,
        };
        for i in 0..count {
            let (addr, len) = iov(host, list, i);
            if len > i64::MAX as u64 {
                return Err((Errno::EINVAL, list_len));
            }
            let taken = len.min(MAX_TRANSFER - buffers.total);
            // The list must still be what it was when the event is written.
            let overlaps = write && addr < list + list_len && list < addr.saturating_add(taken);
            if !self.regions.accessible(addr, taken, write) || overlaps {
                if buffers.total == 0 {
                    return Err((Errno::EFAULT, list_len));
                }
                break;
            }
            buffers.count = i + 1;
            buffers.total += taken;
        }
        Ok(buffers)
    }
}

/// Fills guest memory from standard input: all of it, unless the input ends, fails or is a
/// terminal. Pipes hand over what happens to be in them, and that must not show.
fn fill<H: Host>(host: &mut H, addr: u64, len: u64) -> Result<u64, Errno> {
    let mut done = 0;
    while done < len {
        match host.input(addr + done, len - done) {
            Ok(0) => break,
            Ok(got) => done += got.min(len - done),
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        if host.is_terminal() {
            break;
        }
    }
    Ok(done)
}

/// The event of a vectored call that failed.
fn refuse<H: Host>(
    host: &mut H,
    step: u64,
    error: Errno,
    list: u64,
    list_len: u64,
) -> Result<u64, H::Error> {
    begin(host, step, error.result(), (list_len > 0).into())?;
    if list_len > 0 {
        guest_range(host, list, list_len, range::READ)?;
    }
    Ok(error.result())
}

/// The event of a vectored call: the list, then `done` bytes of its buffers.
fn emit<H: Host>(
    host: &mut H,
    step: u64,
    result: u64,
    buffers: &Buffers,
    done: u64,
    kind: u32,
) -> Result<(), H::Error> {
    // Buffers after the last byte that was transferred are not part of the event.
    let (mut parts, mut left) = (0, done);
    for i in 0..buffers.count {
        let len = iov(host, buffers.list, i).1.min(left);
        left -= len;
        parts += u32::from(len > 0);
    }
    begin(host, step, result, parts + u32::from(buffers.list_len > 0))?;
    if buffers.list_len > 0 {
        guest_range(host, buffers.list, buffers.list_len, range::READ)?;
    }
    let mut left = done;
    for i in 0..buffers.count {
        let (addr, len) = iov(host, buffers.list, i);
        let len = len.min(left);
        left -= len;
        if len > 0 {
            guest_range(host, addr, len, kind)?;
        }
    }
    Ok(())
}
