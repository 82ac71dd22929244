//! Properties of every batch.

use proptest::prelude::*;

use super::*;
use crate::fuzz::fuzz_statements;
use crate::statement::Charset;
use crate::statement::scanner::{Scanner, TokenKind};

proptest! {
    /// Lost otherwise: a client's batch gets more or fewer replies than it has statements.
    #[test]
    fn statements_joined_by_semicolons_come_apart_again((dialect, statements) in batches()) {
        let batch = statements.join(&b";"[..]);
        let found: Vec<_> =
            Statements::new(&batch, dialect).map(|found| (found.sql, found.open_ended)).collect();
        let expected: Vec<_> =
            statements.iter().map(|sql| (sql.as_slice(), false)).collect();
        prop_assert_eq!(shown(&found), shown(&expected));
    }

    /// Lost otherwise: bytes of a batch are sent twice or not at all; or a client's odd bytes end
    /// the proxy for all.
    #[test]
    fn no_byte_is_lost_or_doubled(choice: u8, data in soup()) {
        fuzz_statements(&[&[choice], data.as_slice()].concat());
    }

    /// Lost otherwise: a batch is cut in the middle of a string.
    #[test]
    fn to_go_over_many_tokens_at_once_is_to_go_over_each(dialect in dialects(), data in soup()) {
        let marks = |at_once: bool| {
            let (mut scanner, mut end, mut marks) = (Scanner::new(&data, dialect), 0, Vec::new());
            loop {
                if at_once {
                    end = scanner.skip_plain().unwrap_or(end);
                }
                match scanner.next() {
                    None => break,
                    Some(token) if token.kind == TokenKind::Semicolon => marks.push((end, token)),
                    Some(token) => end = token.range.end,
                }
            }
            (marks, end)
        };
        prop_assert_eq!(marks(true), marks(false));
    }

    #[test]
    fn no_bytes_make_us_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_statements(&data);
    }
}

/// Lost otherwise: one client's batch keeps all the others waiting.
#[test]
fn a_batch_of_any_shape_is_read_in_time_that_grows_with_its_length() {
    for unit in [
        "'",
        "\"",
        "`",
        "\\",
        "(",
        ")",
        ";",
        "a",
        "@",
        "1",
        ",",
        "#",
        "#\n",
        "-",
        "-- ",
        "-- \n",
        "/*",
        "/* */",
        "/*!",
        "/*!40000 ",
        "/*!999999 ",
        "*/",
        "/",
        "SELECT 1;",
        "SELECT (",
        "SET a=1,",
        "SET sql_mode=1;",
        "SET STATEMENT a=1 FOR ",
        "WITH a AS (",
        "CREATE ",
        "ALTER DEFINER=",
        "BEGIN ",
        "COMMIT AND ",
        "ROLLBACK WORK ",
        "ANALYZE ",
        "CALL p();",
        "SELECT '\\'';",
        "\u{a0}",
        "START ",
        "SELECT 1--",
        "x'",
    ] {
        let batch = unit.repeat(100_000 / unit.len());
        for mode in [SqlMode::default(), ansi_quotes(), no_backslash_escapes()] {
            let before = scanned();
            let count = Statements::new(batch.as_bytes(), with_mode(mode)).count();
            let read = scanned() - before;
            assert!(read <= 4 * batch.len(), "{read} bytes read of {count} times {unit:?}");
        }
    }
}

/// Statements that end where they end whatever is in their quotes and comments.
fn batches() -> impl Strategy<Value = (Dialect, Vec<Vec<u8>>)> {
    dialects().prop_flat_map(|dialect| {
        (Just(dialect), proptest::collection::vec(statement(dialect), 1..6))
    })
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let charset = prop::sample::select(vec![
        Charset::Big5,
        Charset::Gbk,
        Charset::Plain,
        Charset::Sjis,
        Charset::Spaced(0xA0),
    ]);
    (charset, any::<[bool; 3]>()).prop_map(|(charset, [ansi_quotes, brackets, escapes])| Dialect {
        charset,
        mode: SqlMode { ansi_quotes, brackets, no_backslash_escapes: !escapes },
        ..Dialect::default()
    })
}

fn statement(dialect: Dialect) -> impl Strategy<Value = Vec<u8>> {
    let verb = prop::sample::select(vec!["SELECT", "insert", "UPDATE", "(SELECT", "DO", "XA"]);
    let tokens = proptest::collection::vec((gap(), token(dialect)), 1..6);
    (verb, tokens).prop_map(|(verb, tokens)| {
        let mut sql = verb.as_bytes().to_vec();
        for (gap, token) in tokens {
            sql.extend(gap);
            sql.extend(token);
        }
        sql
    })
}

/// White space, or a comment with any bytes that don't end it.
fn gap() -> impl Strategy<Value = Vec<u8>> {
    let without = |unwanted: &'static [u8]| {
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(move |mut bytes| {
            bytes.retain(|byte| *byte != 0 && !unwanted.contains(byte));
            bytes
        })
    };
    prop_oneof![
        3 => Just(b" ".to_vec()),
        1 => without(b"!*M").prop_map(|inner| [b" /*", inner.as_slice(), b"*/ "].concat()),
        1 => without(b"*/").prop_map(|inner| [b" /*!999999", inner.as_slice(), b"*/ "].concat()),
        1 => without(b"\n").prop_map(|inner| [b"#", inner.as_slice(), b"\n"].concat()),
        1 => without(b"\n").prop_map(|inner| [b" -- ", inner.as_slice(), b"\n"].concat()),
    ]
}

fn token(dialect: Dialect) -> impl Strategy<Value = Vec<u8>> {
    let plain = prop::sample::select(vec!["1", "t.a", "@b", "@@c", "=", ",", "-1", "NULL", "1e-3"]);
    let quotes = if dialect.mode.brackets { &b"'\"`["[..] } else { b"'\"`" };
    let quoted =
        (prop::sample::select(quotes), proptest::collection::vec(character(dialect), 0..8));
    prop_oneof![
        plain.prop_map(|text| text.as_bytes().to_vec()),
        quoted.prop_map(move |(quote, text)| quote_with(quote, &text, dialect)),
    ]
}

/// One character as a client may have it, most of them such as a lexer may stumble over.
fn character(dialect: Dialect) -> impl Strategy<Value = Vec<u8>> {
    let tricky = prop::sample::select(&b"'\"`[]\\;-#/*!\n @"[..]).prop_map(|byte| vec![byte]);
    let ascii = (1..0x80_u8).prop_map(|byte| vec![byte]);
    let (first, pairs) = match dialect.charset {
        Charset::Big5 => (0xA1..=0xF9_u8, true),
        Charset::Gbk => (0x81..=0xFE, true),
        Charset::Sjis => (0xE0..=0xFC, true),
        _ => (0x80..=0xFF, false),
    };
    let second = prop_oneof![Just(b'\\'), Just(b'`'), Just(b']'), 0x40..=0x7E_u8, 0xA1..=0xFC_u8];
    let wide = (first, second).prop_map(move |(first, second)| match pairs {
        true => vec![first, second],
        false => vec![first],
    });
    prop_oneof![3 => tricky, 1 => ascii, 2 => wide]
}

/// Quotes a text as a client does: a quote is doubled, and a backslash where it would be an escape.
fn quote_with(quote: u8, text: &[Vec<u8>], dialect: Dialect) -> Vec<u8> {
    let end = if quote == b'[' { b']' } else { quote };
    let string = quote == b'\'' || (quote == b'"' && !dialect.mode.ansi_quotes);
    let escapes = string && !dialect.mode.no_backslash_escapes;
    let mut quoted = vec![quote];
    for character in text {
        if *character == [end] || (escapes && *character == [b'\\']) {
            quoted.extend(character);
        }
        quoted.extend(character);
    }
    quoted.push(end);
    quoted
}

/// Bytes of which most mean something to a lexer.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        "SELECT",
        "SET",
        "BEGIN",
        "COMMIT",
        "CALL",
        "CREATE",
        "PROCEDURE",
        "NOT",
        "STATEMENT",
        "FOR",
        "sql_mode",
        "/*",
        "*/",
        "/*!",
        "/*!40000 ",
        "/*!999999 ",
        "/*M!",
        "--",
        "-- ",
        "''",
        "\\'",
        ";;",
    ];
    let bytes = prop::sample::select(&b"'\"`[]\\;;;-#/*!\n @(),=1aN\0"[..]);
    let piece = prop_oneof![
        3 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        6 => bytes.prop_map(|byte| vec![byte]),
        2 => (0x7F..=0xFF_u8).prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}
