//! Messages as bytes: numbers are little-endian with 64 bits, what has a length is led by it.

use super::range::{Finding, OwnCall, Segment, Sum};
use crate::shadow::{LINE, Line};
use hartlog_isa::Hart;
use std::ops::Range;
use std::time::Duration;

/// What rank 0 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Re-execute these chunks.
    Work(Range<u64>),
    /// Rank 0 is still there.
    Wait,
    /// It is over.
    Stop,
}

/// What the others say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Ready.
    Hello {
        digest: [u8; 32],
        compiled: bool,
        host: String,
    },
    /// Not ready, and never will be.
    Failed {
        status: u8,
        host: String,
        text: String,
    },
    /// A range is done.
    Done(Box<Finding>),
    /// The last message.
    Bye,
}

const WORK: u64 = 1;
const STOP: u64 = 2;
const HELLO: u64 = 3;
const FAILED: u64 = 4;
const DONE: u64 = 5;
const BYE: u64 = 6;
const WAIT: u64 = 7;

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, value: u64) -> &mut Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn numbers(&mut self, values: &[u64]) -> &mut Writer {
        values.iter().for_each(|value| {
            self.number(*value);
        });
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn hart(&mut self, x: &[u64; 32], pc: u64) -> &mut Writer {
        self.numbers(x).number(pc)
    }

    /// Values of bytes that were neither read nor written are left out where that is easy.
    fn line(&mut self, line: &Line) {
        self.numbers(&[line.addr, line.reads, line.writes]);
        if line.reads != 0 {
            self.0.extend_from_slice(&line.first);
        }
        if line.writes != 0 {
            self.0.extend_from_slice(&line.last);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        self.number(segment.lines.len() as u64);
        segment.lines.iter().for_each(|line| self.line(line));
        self.number(segment.call.is_some().into());
        if let Some(call) = &segment.call {
            self.numbers(&[call.chunk, call.step])
                .hart(&call.x, call.pc)
                .bytes(&call.raw);
        }
    }
}

type Read<T> = Result<T, &'static str>;

const SHORT: &str = "it ends too early";

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    fn number(&mut self) -> Read<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn flag(&mut self) -> Read<bool> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither 0 nor 1"),
        }
    }

    fn range(&mut self) -> Read<Range<u64>> {
        Ok(self.number()?..self.number()?)
    }

    /// A number of things of at least `size` bytes that follow.
    fn count(&mut self, size: usize) -> Read<usize> {
        let count = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        if count > self.0.len() / size {
            return Err(SHORT);
        }
        Ok(count)
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let len = self.count(1)?;
        self.take(len)
    }

    fn text(&mut self) -> Read<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn hart(&mut self) -> Read<([u64; 32], u64)> {
        let mut x = [0; 32];
        for value in &mut x {
            *value = self.number()?;
        }
        Ok((x, self.number()?))
    }

    fn line(&mut self) -> Read<Line> {
        let (addr, reads, writes) = (self.number()?, self.number()?, self.number()?);
        if !addr.is_multiple_of(LINE) {
            return Err("a line of memory is not aligned");
        }
        let mut values = |mask| {
            if mask == 0 {
                Ok([0; LINE as usize])
            } else {
                self.array()
            }
        };
        Ok(Line {
            addr,
            reads,
            writes,
            first: values(reads)?,
            last: values(writes)?,
        })
    }

    fn segment(&mut self) -> Read<Segment> {
        let lines = self.count(24)?;
        let lines = (0..lines).map(|_| self.line()).collect::<Read<_>>()?;
        let call = if self.flag()? {
            let (chunk, step) = (self.number()?, self.number()?);
            let (x, pc) = self.hart()?;
            let raw = self.bytes()?.to_vec();
            Some(OwnCall {
                chunk,
                step,
                pc,
                x,
                raw,
            })
        } else {
            None
        };
        Ok(Segment { lines, call })
    }

    fn end(&self) -> Read<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("it is too long")
        }
    }
}

impl Order {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Order::Work(range) => out.numbers(&[WORK, range.start, range.end]),
            Order::Wait => out.number(WAIT),
            Order::Stop => out.number(STOP),
        };
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Read<Order> {
        let mut reader = Reader(bytes);
        let order = match reader.number()? {
            WORK => Order::Work(reader.range()?),
            WAIT => Order::Wait,
            STOP => Order::Stop,
            _ => return Err("not an order"),
        };
        reader.end().map(|()| order)
    }
}

impl Said {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Said::Hello {
                digest,
                compiled,
                host,
            } => {
                out.number(HELLO).0.extend_from_slice(digest);
                out.number((*compiled).into()).bytes(host.as_bytes());
            }
            Said::Failed { status, host, text } => {
                out.numbers(&[FAILED, u64::from(*status)]);
                out.bytes(host.as_bytes()).bytes(text.as_bytes());
            }
            Said::Done(finding) => {
                let busy = u64::try_from(finding.busy.as_nanos()).unwrap_or(u64::MAX);
                out.numbers(&[DONE, finding.range.start, finding.range.end, busy]);
                out.number(finding.sum.is_some().into());
                if let Some(sum) = &finding.sum {
                    out.numbers(&[sum.steps, sum.log_bytes, sum.event_bytes]);
                    out.hart(&sum.hart.x, sum.hart.pc);
                    out.numbers(&[sum.hart.reservation, sum.segments.len() as u64]);
                    sum.segments.iter().for_each(|s| out.segment(s));
                }
            }
            Said::Bye => {
                out.number(BYE);
            }
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Read<Said> {
        let mut reader = Reader(bytes);
        let said = match reader.number()? {
            HELLO => Said::Hello {
                digest: reader.array()?,
                compiled: reader.flag()?,
                host: reader.text()?,
            },
            FAILED => Said::Failed {
                status: u8::try_from(reader.number()?).map_err(|_| "not a status")?,
                host: reader.text()?,
                text: reader.text()?,
            },
            DONE => Said::Done(Box::new(finding(&mut reader)?)),
            BYE => Said::Bye,
            _ => return Err("no such message"),
        };
        reader.end().map(|()| said)
    }
}

fn finding(reader: &mut Reader<'_>) -> Read<Finding> {
    let range = reader.range()?;
    let busy = Duration::from_nanos(reader.number()?);
    let mut sum = None;
    if reader.flag()? {
        let (steps, log_bytes, event_bytes) =
            (reader.number()?, reader.number()?, reader.number()?);
        let (x, pc) = reader.hart()?;
        let mut hart = Hart::new(pc);
        (hart.x, hart.reservation) = (x, reader.number()?);
        let segments = reader.count(16)?;
        let segments = (0..segments)
            .map(|_| reader.segment())
            .collect::<Read<_>>()?;
        sum = Some(Sum {
            steps,
            log_bytes,
            event_bytes,
            hart,
            segments,
        });
    }
    Ok(Finding { range, busy, sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn messages() -> Vec<Said> {
        let line = |addr, reads, writes| Line {
            addr,
            reads,
            writes,
            first: if reads == 0 { [0; 64] } else { [7; 64] },
            last: if writes == 0 { [0; 64] } else { [9; 64] },
        };
        let mut hart = Hart::new(0x1_0000);
        (hart.x[5], hart.reservation) = (0x1234_5678_9abc_def0, u64::MAX);
        let call = OwnCall {
            chunk: 3,
            step: 50,
            pc: 0x1_0004,
            x: hart.x,
            raw: vec![1, 2, 3],
        };
        let sum = Sum {
            steps: 32,
            log_bytes: 100,
            event_bytes: 24,
            hart,
            segments: vec![
                Segment {
                    lines: vec![line(64, 1, 0), line(0, 0, 2), line(128, 3, 3)],
                    call: Some(call),
                },
                Segment {
                    lines: Vec::new(),
                    call: None,
                },
            ],
        };
        let finding = |sum| {
            Said::Done(Box::new(Finding {
                range: 2..4,
                busy: Duration::from_micros(5),
                sum,
            }))
        };
        vec![
            Said::Hello {
                digest: [5; 32],
                compiled: true,
                host: "a".to_owned(),
            },
            Said::Failed {
                status: 5,
                host: "b".to_owned(),
                text: "no file".to_owned(),
            },
            finding(Some(sum)),
            finding(None),
            Said::Bye,
        ]
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        for said in messages() {
            assert_eq!(Said::decode(&said.encode()), Ok(said));
        }
        for order in [Order::Work(3..9), Order::Wait, Order::Stop] {
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_malformed() {
        for said in messages() {
            let mut bytes = said.encode();
            for len in 0..bytes.len() {
                assert!(Said::decode(&bytes[..len]).is_err(), "{len} of {said:?}");
            }
            bytes.push(0);
            assert_eq!(Said::decode(&bytes), Err("it is too long"));
        }
    }

    quickcheck! {
        /// No panic, and no memory for what is not there.
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, kind: u8) -> bool {
            let mut message = u64::from(kind % 8).to_le_bytes().to_vec();
            message.extend(bytes);
            Said::decode(&message).is_err() || Order::decode(&message).is_err()
        }
    }
}
