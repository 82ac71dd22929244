//! Character sets in which a byte may be half of a character.

use super::Piece::{One, Rest};
use super::*;
use crate::statement::Charset;

/// Lost otherwise: where the second byte of a character is a backslash, a string seems to go on,
/// and the COMMIT behind it is not seen.
#[test]
fn the_second_byte_of_a_character_is_no_backslash() {
    for (charset, first, name) in [
        (Charset::Big5, 0xA5, "big5"),
        (Charset::Gbk, 0x95, "gbk"),
        (Charset::Gbk, 0x95, "gb18030"),
        (Charset::Sjis, 0x83, "sjis"),
        (Charset::Sjis, 0x83, "cp932"),
    ] {
        assert_eq!(Charset::from_name(name.as_bytes()), charset);
        let string = [b"SELECT '", &[first, b'\\'][..], b"'"].concat();
        let batch = [&string, &b";COMMIT"[..]].concat();
        let split = |charset| -> Vec<_> {
            Statements::new(&batch, Dialect { charset, ..Dialect::default() })
                .map(|statement| (statement.sql, statement.open_ended))
                .collect()
        };
        let commit = &b"COMMIT"[..];
        assert_eq!(shown(&split(charset)), shown(&[(&string, false), (commit, false)]), "{name}");
        assert_eq!(shown(&split(Charset::Plain)), shown(&[(&batch, true)]), "{name}");
    }
}

/// Lost otherwise: a backquote or a bracket that is half of a character ends a name.
#[test]
fn the_second_byte_of_a_character_is_no_quote() {
    let sjis = Dialect { charset: Charset::Sjis, ..Dialect::default() };
    check(
        sjis,
        &[
            (b"SELECT 1 AS `\x83`;`;SELECT 2", &[One(b"SELECT 1 AS `\x83`;`"), One(b"SELECT 2")]),
            (b"SELECT 1 AS \x83`;SELECT 2", &[One(b"SELECT 1 AS \x83`"), One(b"SELECT 2")]),
            (b"SELECT 1 AS 1\x83`;SELECT 2", &[One(b"SELECT 1 AS 1\x83`"), One(b"SELECT 2")]),
            // The name of a variable is read byte by byte.
            (b"SELECT @\x83`;`;SELECT 2", &[One(b"SELECT @\x83`;`"), One(b"SELECT 2")]),
            // So is a comment; and a backslash hides one byte, not one character.
            (b"SELECT 1 /*\x83*/;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT '\\\x83\\';SELECT 2", &[Rest(b"SELECT '\\\x83\\';SELECT 2")]),
        ],
    );
    let brackets = SqlMode { brackets: true, ..ansi_quotes() };
    check(
        Dialect { charset: Charset::Gbk, ..with_mode(brackets) },
        &[(b"SELECT 1 AS [\x81];];SELECT 2", &[One(b"SELECT 1 AS [\x81];]"), One(b"SELECT 2")])],
    );
}

/// Lost otherwise: a check that prints half a character swallows the statements behind it.
#[test]
fn bytes_that_are_no_character_stand_for_themselves() {
    for charset in [Charset::Big5, Charset::Gbk, Charset::Plain, Charset::Sjis] {
        let dialect = Dialect { charset, ..Dialect::default() };
        check(
            dialect,
            &[
                (b"SELECT '\xC3';SELECT 2", &[One(b"SELECT '\xC3'"), One(b"SELECT 2")]),
                (b"SELECT '\xFF';SELECT 2", &[One(b"SELECT '\xFF'"), One(b"SELECT 2")]),
                (b"SELECT '\xF0\x9F';SELECT 2", &[One(b"SELECT '\xF0\x9F'"), One(b"SELECT 2")]),
                (b"SELECT `\x81\"`;SELECT 2", &[One(b"SELECT `\x81\"`"), One(b"SELECT 2")]),
            ],
        );
    }
    // In utf8mb4 an unfinished character hides no backslash.
    check(Dialect::default(), &[(b"SELECT '\xE3\x83\\';'", &[One(b"SELECT '\xE3\x83\\';'")])]);
}

/// Lost otherwise: a space that an editor made unbreakable joins two statements, or hides a COMMIT.
#[test]
fn white_space_of_a_charset_is_white_space() {
    let latin1 = Dialect { charset: Charset::from_collation(8), ..Dialect::default() };
    check(
        latin1,
        &[(b"\xA0SELECT\xA01;\xA0COMMIT\xA0;\xA0", &[One(b"SELECT\xA01"), One(b"COMMIT")])],
    );
    check(
        Dialect { charset: Charset::from_name(b"cp866"), ..Dialect::default() },
        &[(b"SELECT 1;\xFFCOMMIT\xFF", &[One(b"SELECT 1"), One(b"COMMIT")])],
    );
    // Behind `--` only the server's table knows what is a control character.
    check(
        latin1,
        &[
            (
                b"SELECT 1;SELECT 2--\xA0;\n;COMMIT",
                &[One(b"SELECT 1"), Rest(b"SELECT 2--\xA0;\n;COMMIT")],
            ),
            (b"SELECT 2--\x7F;\n+1;COMMIT", &[Rest(b"SELECT 2--\x7F;\n+1;COMMIT")]),
            (b"SELECT 2--\xA0;", &[One(b"SELECT 2")]),
        ],
    );
}
