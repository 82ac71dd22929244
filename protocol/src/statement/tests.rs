use std::cell::Cell;

thread_local! {
    static SCANNED: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that were made into tokens.
pub(super) fn tally(bytes: usize) {
    SCANNED.set(SCANNED.get() + bytes);
}
