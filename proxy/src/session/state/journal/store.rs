//! The records of one open transaction: appended, kept small, and read in order any number of times.
//!
//! ```text
//!   append ──► open chunk ── full ──► sealed ── pack ──► packed ── memory is short ──► spilled
//!               memory                memory             memory                         file
//! ```
//!
//! Appending only copies. Packing and spilling happen on threads that may block, one chunk at a
//! time, oldest first, driven by [`Store::settle`]. A chunk stays readable, and counts as memory,
//! until its new form is there.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::task::{JoinHandle, spawn_blocking};

use super::budget::{Budget, DiskShare};
use super::chunk::{self, Chunk, Held, Packing, SpillFile};

/// The journal's storage of one session.
///
/// What it takes of the [`Budget`] goes back when it is cleared, dropped or overflows; bytes that
/// another thread is working on then, as soon as that is done.
#[derive(Debug)]
pub(crate) struct Store {
    budget: Arc<Budget>,
    /// Chunk that records are added to.
    open: Held,
    sealed: Sealed,
    /// The records of a chunk that does not lie in memory as they are.
    loaded: Option<(usize, Held)>,
    overflow: Option<Overflow>,
    /// The length of a full chunk, in bytes. A longer record has a chunk of its own.
    chunk_size: usize,
}

/// Why the records of a transaction are no longer kept.
#[derive(Clone, Debug, Error)]
pub(crate) enum Overflow {
    /// All sessions together reached both limits.
    #[error("journal.memory and journal.disk are used up")]
    Limits,
    /// All sessions together reached the limit of memory, and there is no folder for more.
    #[error("journal.memory is used up, and there is no folder for more")]
    NoFolder,
    /// A write to disk failed.
    #[error("cannot write to {}: {source}", folder.display())]
    Disk {
        /// Where.
        folder: PathBuf,
        /// Error of the file system.
        source: Arc<io::Error>,
    },
    /// The work on a chunk ended early, as when the daemon ends.
    #[error("the journal was interrupted: {0}")]
    Interrupted(Arc<io::Error>),
}

/// A place between two records. It is good until the store is cleared. The default is before the
/// first record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cursor {
    chunk: usize,
    offset: usize,
}

/// Result of reading at a [`Cursor`].
#[derive(Debug)]
pub(crate) enum Fetch<'a> {
    /// The record at the cursor; [`Store::advance`] goes behind it.
    Record(&'a [u8]),
    /// A record that [`Store::load`] must bring into memory first.
    Load,
    /// No record: more may be appended.
    End,
    /// Nothing can be read, since the store overflowed.
    Lost(&'a Overflow),
}

impl Store {
    /// An empty store. Costs nothing until something is appended.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        let chunk_size = budget.chunk_size();
        Self::with_chunk_size(budget, chunk_size)
    }

    fn with_chunk_size(budget: Arc<Budget>, chunk_size: usize) -> Self {
        let open = Held::empty(&budget);
        let (sealed, loaded, overflow) = Default::default();
        Self { budget, open, sealed, loaded, overflow, chunk_size }
    }

    /// Adds one record, the concatenation of `parts`. Never blocks: [`Self::settle`] has to follow
    /// before long, since without it memory is filled to the sum of both limits.
    ///
    /// # Errors
    /// The limits are reached. Then nothing is kept any more, neither this record nor the earlier
    /// ones, and every call says so again until [`Self::clear`].
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Result<(), Overflow> {
        self.fail_if_overflowed()?;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let Ok(header) = u32::try_from(len) else {
            return Err(self.overflow_at_limits());
        };
        // A replay has come to its end before there is more to append.
        self.loaded = None;
        let framed = HEADER_LEN + len;
        if self.open.bytes.len() + framed > self.chunk_size {
            self.seal();
        }
        if !self.make_room(framed) {
            return Err(self.overflow_at_limits());
        }
        self.open.bytes.extend_from_slice(&header.to_le_bytes());
        for part in parts {
            self.open.bytes.extend_from_slice(part);
        }
        if self.open.bytes.len() >= self.chunk_size {
            self.seal();
        }
        Ok(())
    }

    /// Packs and spills what is due; to be called after records were appended. Costs next to
    /// nothing when nothing is due. Waits only while memory is short, for as long as there is
    /// something of this session that takes less of it then: that slows down clients which
    /// write faster than the disk. May be cancelled at any time.
    ///
    /// # Errors
    /// As [`Self::append`], or the disk failed.
    pub(crate) async fn settle(&mut self) -> Result<(), Overflow> {
        self.fail_if_overflowed()?;
        loop {
            let strained = self.budget.is_strained();
            if let Some(work) = &mut self.sealed.work {
                if !strained && !work.0.is_finished() {
                    return Ok(());
                }
                let done = (&mut work.0).await.map_err(io::Error::from);
                self.sealed.work = None;
                match done {
                    Ok(done) => self.take_in(done)?,
                    Err(error) => return Err(self.fail(Overflow::Interrupted(Arc::new(error)))),
                }
            } else {
                // Small chunks pack badly and are slow to read: a small transaction keeps its memory.
                if strained && self.open.bytes.len() >= self.chunk_size / LEAST_TO_SEAL {
                    self.seal();
                }
                if !self.sealed.begin_work(&self.budget) {
                    return Ok(());
                }
            }
        }
    }

    /// Forgets all records and an overflow, for the next transaction.
    pub(crate) fn clear(&mut self) {
        self.wipe();
        self.overflow = None;
    }

    /// Reads at `cursor`, and changes nothing of what is kept.
    pub(crate) fn peek(&self, cursor: &Cursor) -> Fetch<'_> {
        if let Some(overflow) = &self.overflow {
            return Fetch::Lost(overflow);
        }
        let Some(Cursor { chunk, offset }) = self.find(cursor) else { return Fetch::End };
        self.records(chunk).map_or(Fetch::Load, |records| Fetch::Record(record(records, offset)))
    }

    /// Moves `cursor` behind the record that [`Self::peek`] returns; if it returns none, does nothing.
    pub(crate) fn advance(&self, cursor: &mut Cursor) {
        if let Fetch::Record(record) = self.peek(cursor)
            && let Some(Cursor { chunk, offset }) = self.find(cursor)
        {
            *cursor = Cursor { chunk, offset: offset + HEADER_LEN + record.len() };
        }
    }

    /// Brings the record at `cursor` into memory, if it is not, with those around it. They stay
    /// there until others are loaded or appended. May be cancelled at any time.
    ///
    /// # Errors
    /// The disk failed, or the store overflowed. The records are still kept.
    pub(crate) async fn load(&mut self, cursor: &Cursor) -> io::Result<()> {
        self.fail_if_overflowed().map_err(io::Error::other)?;
        let Some(Cursor { chunk, .. }) = self.find(cursor) else { return Ok(()) };
        if self.records(chunk).is_some() {
            return Ok(());
        }
        self.loaded = None;
        let source = self.sealed.chunks[chunk].source();
        let budget = Arc::clone(&self.budget);
        self.loaded = Some((chunk, spawn_blocking(move || source.load(&budget)).await??));
        Ok(())
    }

    /// Where the next record at or behind `cursor` begins.
    fn find(&self, cursor: &Cursor) -> Option<Cursor> {
        let Cursor { chunk, offset } = *cursor;
        let next = if offset < self.len_of(chunk) {
            *cursor
        } else {
            Cursor { chunk: chunk + 1, offset: 0 }
        };
        (next.offset < self.len_of(next.chunk)).then_some(next)
    }

    /// The length of the records of a chunk; the open one comes after the sealed ones.
    fn len_of(&self, chunk: usize) -> usize {
        match self.sealed.chunks.get(chunk) {
            Some(sealed) => sealed.len,
            None if chunk == self.sealed.chunks.len() => self.open.bytes.len(),
            None => 0,
        }
    }

    /// The records of a chunk, if they are in memory.
    fn records(&self, chunk: usize) -> Option<&[u8]> {
        match (self.sealed.chunks.get(chunk), &self.loaded) {
            (None, _) => Some(&self.open.bytes),
            (Some(_), Some((loaded, held))) if *loaded == chunk => Some(&held.bytes),
            (Some(sealed), _) => sealed.records(),
        }
    }

    /// Makes room for so many bytes in the open chunk.
    fn make_room(&mut self, len: usize) -> bool {
        if self.open.bytes.capacity() == 0 {
            let buffer = self.budget.take_buffer();
            if self.open.share.grow(buffer.capacity()) {
                self.open.bytes = buffer;
            }
        }
        let Held { bytes, share } = &mut self.open;
        let (old, needed) = (bytes.capacity(), bytes.len() + len);
        if needed <= old {
            return true;
        }
        // A transaction that filled one chunk is likely to fill another.
        let usual = if self.sealed.chunks.is_empty() { 2 * old } else { self.chunk_size };
        let wanted = usual.min(self.chunk_size).max(needed);
        for capacity in [wanted, needed] {
            if share.grow(capacity - old) {
                bytes.reserve_exact(capacity - bytes.len());
                return true;
            }
        }
        false
    }

    fn seal(&mut self) {
        if !self.open.bytes.is_empty() {
            let open = mem::replace(&mut self.open, Held::empty(&self.budget));
            self.sealed.chunks.push(Chunk::new(open));
        }
    }

    fn take_in(&mut self, done: Done) -> Result<(), Overflow> {
        match done {
            Done::Packed(held, packing) => self.sealed.set_packed(held, packing),
            Done::Spilled(Ok(file), share) => self.sealed.set_spilled(file, share),
            Done::Spilled(Err(error), _) => {
                let folder = self.budget.folder().map(PathBuf::from).unwrap_or_default();
                return Err(self.fail(Overflow::Disk { folder, source: Arc::new(error) }));
            }
        }
        Ok(())
    }

    fn overflow_at_limits(&mut self) -> Overflow {
        let no_folder = self.budget.folder().is_none();
        self.fail(if no_folder { Overflow::NoFolder } else { Overflow::Limits })
    }

    fn fail(&mut self, overflow: Overflow) -> Overflow {
        self.wipe();
        self.overflow.insert(overflow).clone()
    }

    fn fail_if_overflowed(&self) -> Result<(), Overflow> {
        self.overflow.clone().map_or(Ok(()), Err)
    }

    /// Lets go of all that is kept. What another thread works on goes when that is done.
    fn wipe(&mut self) {
        self.sealed = Sealed::default();
        self.loaded = None;
        self.open.share.release();
        self.budget.give_buffer(mem::take(&mut self.open.bytes));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The chunks that are full, in order. Invariant: `spilled <= packed <= chunks.len()`.
#[derive(Debug, Default)]
struct Sealed {
    chunks: Vec<Chunk>,
    /// The first chunks, this many, are packed, or were found not to be worth it.
    packed: usize,
    /// The first chunks, this many, are in the file.
    spilled: usize,
    file: Option<Arc<SpillFile>>,
    file_len: u64,
    work: Option<Work>,
}

impl Sealed {
    /// Begins with what is due, and says whether anything is. Packing comes first: it may spare
    /// the spilling. To be called without work in hand.
    fn begin_work(&mut self, budget: &Arc<Budget>) -> bool {
        self.work = if self.packed < self.chunks.len() {
            self.packing()
        } else if self.spilled < self.chunks.len() && budget.is_filling() {
            self.spilling(budget)
        } else {
            None
        };
        self.work.is_some()
    }

    fn packing(&self) -> Option<Work> {
        let held = Arc::clone(self.chunks[self.packed].held()?);
        Some(Work(spawn_blocking(move || {
            let (packed, packing) = chunk::pack(&held);
            Done::Packed(packed, packing)
        })))
    }

    fn spilling(&self, budget: &Arc<Budget>) -> Option<Work> {
        let folder = budget.folder()?.to_owned();
        let held = Arc::clone(self.chunks[self.spilled].held()?);
        let share = DiskShare::take(budget, held.bytes.len())?;
        let (file, offset) = (self.file.clone(), self.file_len);
        Some(Work(spawn_blocking(move || {
            let write = || {
                let file = file.map_or_else(|| SpillFile::create(&folder).map(Arc::new), Ok)?;
                file.write(offset, &held.bytes)?;
                Ok(file)
            };
            Done::Spilled(write(), share)
        })))
    }

    fn set_packed(&mut self, held: Held, packing: Packing) {
        self.chunks[self.packed].set_packed(held, packing);
        self.packed += 1;
    }

    fn set_spilled(&mut self, file: Arc<SpillFile>, share: DiskShare) {
        let len = self.chunks[self.spilled].set_spilled(Arc::clone(&file), self.file_len, share);
        self.file = Some(file);
        self.file_len += len as u64;
        self.spilled += 1;
    }
}

/// Work of another thread on a chunk. If nobody wants it any more, it is not begun.
#[derive(Debug)]
struct Work(JoinHandle<Done>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
enum Done {
    /// The first chunk that was not packed before.
    Packed(Held, Packing),
    /// The first chunk that was not in the file before.
    Spilled(io::Result<Arc<SpillFile>>, DiskShare),
}

/// The record that begins at `offset`.
fn record(records: &[u8], offset: usize) -> &[u8] {
    let (header, rest) = records[offset..]
        .split_first_chunk::<HEADER_LEN>()
        .expect("a cursor stands where a record begins");
    &rest[..u32::from_le_bytes(*header) as usize]
}

/// While memory is short, an open chunk is sealed from this part of a full one on.
const LEAST_TO_SEAL: usize = 16;

/// Length of the header of each record, which holds the record's length.
const HEADER_LEN: usize = size_of::<u32>();

#[cfg(test)]
mod tests;
