//! Losses of a user if a batch were read otherwise than the server reads it.

mod boundaries;
mod charsets;
mod holdings;
mod kinds;
mod open_ended;
mod properties;

use std::cell::Cell;

use super::{Dialect, SqlMode, Statements};

/// A batch, and the statements in it.
type Row = (&'static [u8], &'static [Piece]);

/// A statement as a table has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Piece {
    /// One that the server answers once.
    One(&'static [u8]),
    /// An open-ended one: the rest of the batch.
    Rest(&'static [u8]),
}

/// Splits each batch and compares.
fn check(dialect: Dialect, rows: &[Row]) {
    for (batch, expected) in rows {
        let found: Vec<_> =
            Statements::new(batch, dialect).map(|found| (found.sql, found.open_ended)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|piece| match *piece {
                Piece::One(sql) => (sql, false),
                Piece::Rest(sql) => (sql, true),
            })
            .collect();
        assert_eq!(shown(&found), shown(&expected), "{}", batch.escape_ascii());
    }
}

fn shown(pieces: &[(&[u8], bool)]) -> Vec<String> {
    let shown = |(sql, open_ended): &(&[u8], bool)| {
        format!("{}{}", sql.escape_ascii(), if *open_ended { " …" } else { "" })
    };
    pieces.iter().map(shown).collect()
}

fn with_mode(mode: SqlMode) -> Dialect {
    Dialect { mode, ..Dialect::default() }
}

fn ansi_quotes() -> SqlMode {
    SqlMode { ansi_quotes: true, ..SqlMode::default() }
}

fn no_backslash_escapes() -> SqlMode {
    SqlMode { no_backslash_escapes: true, ..SqlMode::default() }
}

thread_local! {
    static SCANNED: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that were made into tokens.
pub(super) fn tally(bytes: usize) {
    SCANNED.set(SCANNED.get() + bytes);
}

/// How many bytes this thread has made into tokens so far.
fn scanned() -> usize {
    SCANNED.get()
}
