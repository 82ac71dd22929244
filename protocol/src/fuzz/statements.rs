//! The entry for batches of statements.

use crate::statement::{Charset, Dialect, Kind, SqlMode, Statements};

/// Splits `data` behind its first byte, which chooses the dialect. Panics only on a fault of ours:
/// ranges must be in order and inside, between them may be nothing but white space, comments and
/// `;`, and each statement alone, or with another behind, must be read as it was in the batch.
pub fn fuzz_statements(data: &[u8]) {
    let [choice, sql @ ..] = data else {
        return;
    };
    let charset = match choice >> 2 & 7 {
        0 => Charset::Big5,
        1 => Charset::Gbk,
        2 => Charset::Sjis,
        3 => Charset::Spaced(0xA0),
        _ => Charset::Plain,
    };
    let mode = SqlMode {
        ansi_quotes: choice & 1 != 0,
        brackets: choice & 0x20 != 0,
        no_backslash_escapes: choice & 2 != 0,
    };
    let dialect = Dialect { charset, mode, ..Dialect::default() };

    let mut end = 0;
    for (index, statement) in Statements::new(sql, dialect).enumerate() {
        let gap = &sql[end..statement.range.start];
        let mut between = Statements::new(gap, dialect);
        assert!(between.all(|piece| piece.kind == Kind::Empty), "{:?}", gap.escape_ascii());
        assert_eq!(statement.sql, &sql[statement.range.clone()]);
        assert!(index == 0 || end < statement.range.start, "no `;` before {statement:?}");
        if !statement.open_ended {
            let mut alone = Statements::new(statement.sql, dialect);
            let again = alone.next().expect("a text is one statement at least");
            assert_eq!((again.kind, again.open_ended), (statement.kind, false));
            assert!(again.sql == statement.sql || again.kind == Kind::Empty, "{statement:?}");
            assert!(alone.next().is_none());
        }
        if !statement.open_ended && statement.kind != Kind::Empty {
            let followed = [statement.sql, b";SELECT 1"].concat();
            let mut pieces = Statements::new(&followed, dialect).map(|piece| piece.range);
            assert_eq!(pieces.next(), Some(0..statement.sql.len()));
            assert_eq!(pieces.next(), Some(statement.sql.len() + 1..followed.len()));
            assert_eq!(pieces.next(), None);
        }
        let _ = statement.mentions(b"GET_LOCK") || statement.mentions_user_variable();
        end = statement.range.end;
    }
    assert!(Statements::new(&sql[end..], dialect).all(|piece| piece.kind == Kind::Empty));
}
