//! The journal's work on disk, between two packets.

use super::Session;
use crate::session::driver::end::End;
use crate::session::engine::Stuck;
use crate::session::plan::blocker::Blocker;
use crate::session::state::journal::store::Cursor;

impl Session {
    /// Lets a journal that has grown large be packed, or written to disk.
    pub(super) async fn settle_journal(&mut self) {
        if let Err(overflow) = self.machine.session.journal.settle().await
            && self.machine.session.cannot_replay(Blocker::JournalFull)
        {
            tracing::warn!(session = %self.entry.id(), %overflow, "the journal is lost");
        }
    }

    pub(super) async fn load_journal(&mut self, cursor: Cursor) -> Result<(), End> {
        let loaded = self.machine.session.journal.load(&cursor).await;
        loaded.map_err(|error| {
            tracing::error!(%error, "cannot read the journal");
            self.stuck(Stuck::Blocker(Blocker::JournalFull), "was lost")
        })
    }
}
