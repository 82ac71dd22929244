//! Limits on what the journals of all sessions may take together, in memory and on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limits of the whole daemon and what is taken of them. One for all sessions.
///
/// A record must be kept before anything can be written to disk, so memory may be exceeded for a
/// moment, but never by more than the disk still has room for. Both together are exceeded by at
/// most two chunks for each session at work: one that is being packed, and one loaded to be read.
#[derive(Debug)]
pub(crate) struct Budget {
    memory: Limit,
    disk: Limit,
    folder: Option<PathBuf>,
    /// Buffers for open chunks. A transaction that ends leaves its own to the next one of whatever
    /// session, so a session without a transaction owns none, and none is allocated for every
    /// transaction. They do not count as used.
    free: Mutex<Vec<Vec<u8>>>,
}

impl Budget {
    /// Limits in bytes for `memory` and for files in `folder`; without a folder nothing is
    /// written to disk. The folder is made when it is needed; what contains it must exist.
    pub(crate) fn new(memory: u64, disk: u64, folder: Option<PathBuf>) -> Self {
        let disk = if folder.is_some() { disk } else { 0 };
        Self { memory: Limit::new(memory), disk: Limit::new(disk), folder, free: Mutex::default() }
    }

    /// Bytes of memory that journals take now.
    pub(crate) fn memory_used(&self) -> u64 {
        self.memory.used()
    }

    /// Bytes on disk that journals take now.
    pub(crate) fn disk_used(&self) -> u64 {
        self.disk.used()
    }

    /// Where files go.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// How long a chunk should be, in bytes: so short that a few of them are no large part of the
    /// memory.
    pub(super) fn chunk_size(&self) -> usize {
        let part = usize::try_from(self.memory.most / 32).unwrap_or(usize::MAX);
        part.clamp(SHORTEST_CHUNK, LONGEST_CHUNK)
    }

    /// Whether chunks should go from memory to disk, beside the work of the session.
    pub(super) fn is_filling(&self) -> bool {
        self.memory.used() > self.memory.most / 4 * 3
    }

    /// Whether sessions should wait until their chunks take less memory. What is left then is for
    /// the records that come before they can.
    pub(super) fn is_strained(&self) -> bool {
        self.memory.used() > self.memory.most / 8 * 7
    }

    /// An empty buffer, perhaps with a capacity.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        // When memory is short, a large buffer for what may be a small transaction is too much.
        if self.is_strained() { Vec::new() } else { self.free().pop().unwrap_or_default() }
    }

    /// Keeps `buffer` for another transaction.
    pub(super) fn give_buffer(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free();
        if free.len() < MOST_FREE && (1..=self.chunk_size()).contains(&buffer.capacity()) {
            free.push(buffer);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that was taken of a [`Budget`]. Dropping it gives it back, so it lives with the bytes.
#[derive(Debug)]
pub(super) struct MemoryShare {
    budget: Arc<Budget>,
    bytes: u64,
}

impl MemoryShare {
    /// Takes `bytes`, whatever the limit says: for what exists already in another form, which it
    /// replaces, or for what has to be read.
    pub(super) fn force(budget: &Arc<Budget>, bytes: usize) -> Self {
        let bytes = bytes as u64;
        budget.memory.add(bytes);
        Self { budget: Arc::clone(budget), bytes }
    }

    /// Takes so much more, or nothing and says false if the limits do not allow it.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let taken = self.budget.memory.take(bytes, self.budget.disk.free());
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Budget that the bytes are taken from.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Gives all of it back.
    pub(super) fn release(&mut self) {
        self.budget.memory.give(self.bytes);
        self.bytes = 0;
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.release();
    }
}

/// Room on disk that was taken of a [`Budget`]; as [`MemoryShare`].
#[derive(Debug)]
pub(super) struct DiskShare {
    budget: Arc<Budget>,
    bytes: u64,
}

impl DiskShare {
    /// Takes `bytes`, if the limit allows it.
    pub(super) fn take(budget: &Arc<Budget>, bytes: usize) -> Option<Self> {
        let bytes = bytes as u64;
        budget.disk.take(bytes, 0).then(|| Self { budget: Arc::clone(budget), bytes })
    }
}

impl Drop for DiskShare {
    fn drop(&mut self) {
        self.budget.disk.give(self.bytes);
    }
}

/// One limit and what is taken of it, in bytes. Nothing else hangs on the number, so its order
/// among other memory accesses does not matter.
#[derive(Debug)]
struct Limit {
    used: AtomicU64,
    most: u64,
}

impl Limit {
    fn new(most: u64) -> Self {
        Self { used: AtomicU64::new(0), most }
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn free(&self) -> u64 {
        self.most.saturating_sub(self.used())
    }

    fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` if no more than `beyond` of what is used is then over the limit.
    fn take(&self, bytes: u64, beyond: u64) -> bool {
        let most = self.most.saturating_add(beyond);
        let taken = |used: u64| used.checked_add(bytes).filter(|&used| used <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How many buffers are kept for the next transactions: few have more than a few statements at
/// the same time.
const MOST_FREE: usize = 4;

/// Shorter chunks would pack badly: LZ4 finds what repeats within so much.
const SHORTEST_CHUNK: usize = 64 * 1024;

/// Longer chunks would pack no better, and take longer than a millisecond or two.
const LONGEST_CHUNK: usize = 1024 * 1024;
