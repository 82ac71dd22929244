//! Words of a write that bear on the id in its reply.

use std::hash::{DefaultHasher, Hasher as _};

use crate::session::plan::{begins_with, chooses_insert_id};
use crate::session::state::fence::KeptReply;
use crate::session::state::write_ids::WriteIds;

/// Table of a write, and the id that it may tell.
#[derive(Clone, Copy, Debug)]
pub(in crate::session::engine) struct Target {
    /// Fingerprint of the table, and of the words before it.
    table: u64,
    gives: Gives,
}

/// The id that a write may tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gives {
    /// One that its own words choose.
    Chosen,
    /// Id of the first row that the write adds.
    OfRows,
    /// None: an UPDATE, or a DELETE.
    Nothing,
}

impl Target {
    /// The target of a write.
    pub(super) fn of(sql: &[u8]) -> Self {
        let gives = match adds_none(sql) {
            _ if chooses_insert_id(sql) => Gives::Chosen,
            true => Gives::Nothing,
            false => Gives::OfRows,
        };
        Self { table: table_of(sql), gives }
    }

    /// The target of a write that has told this, where that tells anything of its table.
    pub(in crate::session::engine) fn of_told(
        sql: &[u8],
        affected_rows: u64,
        id: u64,
    ) -> Option<Self> {
        // An UPDATE tells one by LAST_INSERT_ID(n) alone.
        let tells = id != 0 || (affected_rows > 0 && !adds_none(sql));
        tells.then(|| Self::of(sql))
    }

    /// Takes in what the write has told.
    pub(in crate::session::engine) fn told(self, affected_rows: u64, id: u64, ids: &mut WriteIds) {
        if self.may_tell(affected_rows) {
            ids.told(self.table, id);
        }
    }

    /// Whether a reply that counts so many rows may have an id.
    fn may_tell(self, affected_rows: u64) -> bool {
        match self.gives {
            Gives::Chosen => true,
            Gives::OfRows => affected_rows > 0,
            Gives::Nothing => false,
        }
    }

    /// Whether the client could be told the id, were the reply lost.
    pub(super) fn id_would_be_known(self, ids: &WriteIds) -> bool {
        self.gives != Gives::OfRows || ids.would_be_known(self.table)
    }

    /// The id in a reply that was lost, where `LAST_INSERT_ID()` was `before` in front of the write; 0 for none.
    pub(super) fn id_of(self, kept: &KeptReply, before: u64, ids: &WriteIds) -> u64 {
        match self.may_tell(kept.affected_rows) {
            true => ids.of_lost_reply(self.table, before, kept.last_insert_id),
            false => 0,
        }
    }
}

/// Whether a write adds no row.
fn adds_none(sql: &[u8]) -> bool {
    begins_with(sql, b"UPDATE") || begins_with(sql, b"DELETE")
}

/// Fingerprint of the words before the columns or values of a write: writes to one table that are written alike have the
/// same.
fn table_of(sql: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let words = sql.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for word in words.take(MOST_WORDS) {
        let name = word.split(|byte| *byte == b'(').next().unwrap_or_default();
        let ends = [&b"VALUES"[..], b"VALUE", b"SELECT", b"SET"];
        if ends.iter().any(|end| name.eq_ignore_ascii_case(end)) {
            break;
        }
        name.iter().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
        hasher.write_u8(b' ');
        if name.len() < word.len() {
            break;
        }
    }
    hasher.finish()
}

/// Words of a write before its columns or values, at most.
const MOST_WORDS: usize = 8;
