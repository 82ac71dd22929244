//! A reply with some of its bytes replaced, copied only from the first replacement on.

use std::ops::Range;

/// The replacements in one piece of input, made from its start to its end.
#[derive(Debug, Default)]
pub(super) struct Edits {
    out: Option<Vec<u8>>,
    /// `input[..copied]` is in `out`, or stands replaced there.
    copied: usize,
}

impl Edits {
    /// Puts `bytes` in place of `range` of `input`.
    pub(super) fn replace(&mut self, input: &[u8], range: Range<usize>, bytes: &[u8]) {
        let out = self.out.get_or_insert_default();
        out.extend_from_slice(input.get(self.copied..range.start).unwrap_or_default());
        out.extend_from_slice(bytes);
        self.copied = range.end;
    }

    /// The first `taken` bytes of `input` as they go on; `None` if unchanged.
    pub(super) fn finish(self, input: &[u8], taken: usize) -> Option<Vec<u8>> {
        let mut out = self.out?;
        out.extend_from_slice(input.get(self.copied..taken).unwrap_or_default());
        Some(out)
    }
}
