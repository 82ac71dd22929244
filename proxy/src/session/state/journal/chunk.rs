//! Many records in one piece: packed, written to a file, and brought back. The functions that
//! work on all the bytes of a chunk, or on a file, are for the threads that may block.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::Arc;

use lz4_flex::block;
use tokio::runtime::Handle;

use super::budget::{Budget, DiskShare, MemoryShare};

/// Bytes in memory, with the memory that was taken for them.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) share: MemoryShare,
}

impl Held {
    /// No bytes.
    pub(super) fn empty(budget: &Arc<Budget>) -> Self {
        Self { bytes: Vec::new(), share: MemoryShare::force(budget, 0) }
    }

    fn of(bytes: Vec<u8>, budget: &Arc<Budget>) -> Self {
        let share = MemoryShare::force(budget, bytes.capacity());
        Self { bytes, share }
    }
}

/// A chunk that no record is added to any more.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The length of its records, in bytes, before it was packed.
    pub(super) len: usize,
    packing: Packing,
    place: Place,
}

/// How the bytes that are kept come from the records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packing {
    /// The bytes are the records.
    Plain,
    /// An LZ4 block.
    Lz4,
}

#[derive(Debug)]
enum Place {
    /// Shared with the work that packs, writes or reads it.
    Memory(Arc<Held>),
    File(Extent),
}

/// Where in a file a chunk is.
#[derive(Debug)]
struct Extent {
    file: Arc<SpillFile>,
    offset: u64,
    len: usize,
    /// Held for its drop.
    _share: DiskShare,
}

impl Chunk {
    /// The chunk of these records.
    pub(super) fn new(records: Held) -> Self {
        let len = records.bytes.len();
        Self { len, packing: Packing::Plain, place: Place::Memory(Arc::new(records)) }
    }

    /// The records, if they lie in memory as they are.
    pub(super) fn records(&self) -> Option<&[u8]> {
        match (&self.place, self.packing) {
            (Place::Memory(held), Packing::Plain) => Some(&held.bytes),
            _ => None,
        }
    }

    /// Bytes of the chunk in memory, packed or not.
    pub(super) fn held(&self) -> Option<&Arc<Held>> {
        match &self.place {
            Place::Memory(held) => Some(held),
            Place::File(_) => None,
        }
    }

    /// Takes in what [`pack`] made of it.
    pub(super) fn set_packed(&mut self, packed: Held, packing: Packing) {
        self.packing = packing;
        let place = mem::replace(&mut self.place, Place::Memory(Arc::new(packed)));
        if let Place::Memory(held) = place
            && let Some(Held { bytes, mut share }) = Arc::into_inner(held)
        {
            share.release();
            share.budget().give_buffer(bytes);
        }
    }

    /// Takes in that its bytes are in `file` at `offset`, and returns how many there are. Their
    /// memory is free from now on.
    pub(super) fn set_spilled(
        &mut self,
        file: Arc<SpillFile>,
        offset: u64,
        share: DiskShare,
    ) -> usize {
        let len = match &self.place {
            Place::Memory(held) => held.bytes.len(),
            Place::File(extent) => extent.len,
        };
        self.place = Place::File(Extent { file, offset, len, _share: share });
        len
    }

    /// Where its records can be had from.
    pub(super) fn source(&self) -> Source {
        let bytes = match &self.place {
            Place::Memory(held) => Bytes::Memory(Arc::clone(held)),
            Place::File(extent) => Bytes::File(Arc::clone(&extent.file), extent.offset, extent.len),
        };
        Source { bytes, packing: self.packing, len: self.len }
    }
}

/// Means to bring the records of a chunk into memory.
#[derive(Debug)]
pub(super) struct Source {
    bytes: Bytes,
    packing: Packing,
    len: usize,
}

#[derive(Debug)]
enum Bytes {
    Memory(Arc<Held>),
    File(Arc<SpillFile>, u64, usize),
}

impl Source {
    /// The records. Blocks on the disk.
    ///
    /// # Errors
    /// Whatever the file system says, or the bytes are not those that were kept.
    pub(super) fn load(self, budget: &Arc<Budget>) -> io::Result<Held> {
        let read = match &self.bytes {
            Bytes::Memory(held) => Cow::Borrowed(&held.bytes[..]),
            Bytes::File(file, offset, len) => Cow::Owned(file.read(*offset, *len)?),
        };
        let records = match self.packing {
            Packing::Plain => read.into_owned(),
            Packing::Lz4 => block::decompress(&read, self.len).map_err(io::Error::other)?,
        };
        if records.len() != self.len {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Held::of(records, budget))
    }
}

/// Packs records, unless that is not worth it. The bytes returned have no slack.
pub(super) fn pack(records: &Held) -> (Held, Packing) {
    let budget = records.share.budget();
    let packed = block::compress(&records.bytes);
    if packed.len() < records.bytes.len() / 10 * 9 {
        (Held::of(packed, budget), Packing::Lz4)
    } else {
        (Held::of(records.bytes.clone(), budget), Packing::Plain)
    }
}

/// A file without a name: it is gone when it is closed, be it by a crash.
#[derive(Debug)]
pub(super) struct SpillFile(Option<File>);

impl SpillFile {
    /// A new one in `folder`, which is made if it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => tempfile::tempfile_in(folder).map(|file| Self(Some(file))),
        }
    }

    /// Writes `bytes` at `offset`. Blocks on the disk.
    ///
    /// # Errors
    /// Whatever the file system says; then any part of them may be written.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file().write_all_at(bytes, offset)
    }

    /// Reads `len` bytes at `offset`. Blocks on the disk.
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file().read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Empties the file, as a broken disk may do.
    #[cfg(test)]
    pub(super) fn truncate(&self) {
        self.file().set_len(0).unwrap();
    }

    fn file(&self) -> &File {
        self.0.as_ref().expect("it is taken by the drop alone")
    }
}

impl Drop for SpillFile {
    /// Closing frees the blocks of the file, which takes a while when they are many.
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            let file = self.0.take();
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// Mode of the folder: what clients write may be secret.
const FOLDER_MODE: u32 = 0o700;
