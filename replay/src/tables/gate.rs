//! Brings rows of chunks that are done side by side into order, in bounded memory.
//!
//! A thread keeps the rows of its chunk, as long as all threads together keep no more than a budget.
//! Beyond it, it waits until all chunks before its own are written; then it writes its rows as they
//! come. The chunk whose turn it is never waits, so somebody always goes on.

use super::TableError;
use super::sink::{Piece, Sink};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct Gate<'w> {
    state: Mutex<State>,
    changed: Condvar,
    budget: usize,
    sinks: Mutex<Vec<Sink<'w>>>,
}

struct State {
    /// The chunk after those that are written.
    turn: u64,
    /// Bytes that are kept.
    kept: usize,
    /// Something is wrong: whatever comes is void.
    failed: bool,
    /// Why writing failed, for the thread that takes the chunks.
    error: Option<TableError>,
}

/// What becomes of a piece.
enum Admission {
    Keep,
    Write,
    Drop,
}

/// Rows of a chunk that are kept.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    bytes: usize,
}

/// A thread that panics leaves nothing half done behind these locks that anybody would use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'w> Gate<'w> {
    pub(super) fn new(first: u64, budget: usize, sinks: Vec<Sink<'w>>) -> Gate<'w> {
        Gate {
            state: Mutex::new(State {
                turn: first,
                kept: 0,
                failed: false,
                error: None,
            }),
            changed: Condvar::new(),
            budget,
            sinks: Mutex::new(sinks),
        }
    }

    fn admit(&self, chunk: u64, bytes: usize) -> Admission {
        let mut state = lock(&self.state);
        loop {
            if state.failed {
                return Admission::Drop;
            }
            if state.turn == chunk {
                return Admission::Write;
            }
            if state.kept.saturating_add(bytes) <= self.budget {
                state.kept += bytes;
                return Admission::Keep;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the next rows of a chunk, of which `kept` are kept so far. Whether anybody still wants
    /// them.
    pub(super) fn submit(&self, chunk: u64, kept: &mut Pieces, piece: Piece) -> bool {
        let bytes = piece.bytes();
        match self.admit(chunk, bytes) {
            Admission::Keep => {
                kept.bytes += bytes;
                kept.pieces.push(piece);
                true
            }
            Admission::Write => {
                let written = self
                    .write(std::mem::take(kept))
                    .and_then(|()| self.put(piece));
                let ok = written.is_ok();
                if let Err(error) = written {
                    self.fail(Some(error));
                }
                ok
            }
            Admission::Drop => false,
        }
    }

    /// Nothing will come of it any more.
    pub(super) fn fail(&self, error: Option<TableError>) {
        let mut state = lock(&self.state);
        state.failed = true;
        if state.error.is_none() {
            state.error = error;
        }
        self.changed.notify_all();
    }

    /// Takes what is left of the chunk whose turn it is.
    pub(super) fn finish_chunk(&self, chunk: u64, rest: Pieces) -> Result<(), TableError> {
        if let Some(error) = lock(&self.state).error.take() {
            return Err(error);
        }
        let written = self.write(rest);
        let mut state = lock(&self.state);
        state.turn = chunk + 1;
        state.failed |= written.is_err();
        self.changed.notify_all();
        written
    }

    fn write(&self, pieces: Pieces) -> Result<(), TableError> {
        for piece in pieces.pieces {
            self.put(piece)?;
        }
        lock(&self.state).kept -= pieces.bytes;
        Ok(())
    }

    fn put(&self, piece: Piece) -> Result<(), TableError> {
        let table = piece.table();
        let mut sinks = lock(&self.sinks);
        match sinks.iter_mut().find(|s| s.table() == table) {
            Some(sink) => sink.put(piece),
            None => Err(TableError::Encode {
                table,
                what: "there is no file for it".to_owned(),
            }),
        }
    }

    pub(super) fn into_sinks(self) -> Vec<Sink<'w>> {
        self.sinks
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    #[test]
    fn only_the_chunk_whose_turn_it_is_goes_beyond_the_budget() {
        let gate = Gate::new(3, 10, Vec::new());
        assert!(matches!(gate.admit(4, 10), Admission::Keep));
        assert!(matches!(gate.admit(3, 1000), Admission::Write));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.admit(5, 1));
            let kept = Pieces {
                pieces: Vec::new(),
                bytes: 0,
            };
            assert!(gate.finish_chunk(3, kept).is_ok());
            assert!(!waiting.is_finished());
            let kept = Pieces {
                pieces: Vec::new(),
                bytes: 10,
            };
            assert!(gate.finish_chunk(4, kept).is_ok());
            assert!(matches!(waiting.join(), Ok(Admission::Write)));
        });
    }

    #[test]
    fn a_failure_ends_all_waiting() {
        let gate = Gate::new(0, 0, Vec::new());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.admit(5, 1));
            let what = "full".to_owned();
            let table = Table::Memory;
            gate.fail(Some(TableError::Encode { table, what }));
            assert!(matches!(waiting.join(), Ok(Admission::Drop)));
        });
        assert!(gate.finish_chunk(0, Pieces::default()).is_err());
    }
}
