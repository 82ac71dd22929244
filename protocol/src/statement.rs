//! Splits a batch into statements and tells what each does.
//!
//! A proxy must know where the COMMIT in a batch stands, and how many replies to await. So the
//! boundaries here are exactly those of the server, or openly none
//! ([`Statement::open_ended`]): the pieces of a batch sent one after the other must get the
//! replies that the whole batch gets. Nothing is allocated, every byte is read at most a few times,
//! and no bytes are assumed to be UTF-8.
//!
//! # Layout
//! - [`Dialect`] is what decides how a text is read; [`Charset`] is the worst part of it.
//! - [`Kind`] is what a statement does.
//!
//! Sources: MariaDB documentation, "Comment Syntax", "String Literals", "Identifier Names",
//! "SQL_MODE", "Using Compound Statements Outside of Stored Programs"; MySQL reference manual,
//! "Comments".
//!
//! Seen on MariaDB 10.11 by sending batches in one piece and cut: every row of the table in the
//! tests, and some hundred thousand random batches in latin1, cp866, utf8mb4, gbk, big5, sjis and
//! cp932, with and without `ANSI_QUOTES`, `MSSQL` and `NO_BACKSLASH_ESCAPES`.

mod charset;
mod classify;
mod dialect;
mod holding;
mod kind;
mod scanner;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::LazyLock;

pub use charset::Charset;
pub use dialect::{Dialect, ServerVersion, SqlMode};
pub use holding::{Belonging, Holding};
pub use kind::{Completion, Kind, SetTargets};
use scanner::{Scanner, TokenKind};

/// The statements of a batch, in order.
///
/// Each is one the server answers, so without an [open-ended](Statement::open_ended) one there
/// are as many replies as statements (`CALL` and `EXECUTE` may have several), unless one fails: an
/// error ends the batch. Seen on MariaDB 10.11:
/// - Behind the last statement any number of `;` and white space is silently left out; but a
///   comment there is a statement that gets an OK, and counts as [`Kind::Empty`].
/// - Between two statements, or before the first, an empty one is a syntax error (1064), with or
///   without a comment. Alone it would not be, so it is open-ended.
/// - A batch of nothing at all gets error 1065, and is one [`Kind::Empty`]; of comments alone, an
///   OK.
///
/// The server splits only for a client with the capability `MULTI_STATEMENTS`, and a proxy must
/// not split for another: that a second statement is an error protects against injected SQL. See
/// [`Statement::single`].
#[derive(Clone)]
pub struct Statements<'a> {
    scanner: Scanner<'a>,
    dialect: Dialect,
    /// The batch without the `;` and white space at its end.
    sql: &'a [u8],
    reading: Reading,
    finished: bool,
}

/// Whether the dialect is still the one the batch began with.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reading {
    /// No statement can have changed it.
    Certain,
    /// The statement before may have changed it.
    Doubtful,
    /// The dialect may have changed, but the rest reads the same in every dialect.
    Indifferent,
}

impl<'a> Statements<'a> {
    /// Splits `sql`, the text of a COM_QUERY, as it is read in `dialect`.
    pub fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        let sql = trim_end(sql, |byte| byte == b';' || dialect.charset.is_space(byte));
        Self {
            scanner: Scanner::new(sql, dialect),
            dialect,
            sql,
            reading: Reading::Certain,
            finished: false,
        }
    }

    /// The open-ended statement that begins at `start`.
    fn rest(&mut self, start: usize, kind: Kind) -> Statement<'a> {
        self.finished = true;
        self.statement(start..self.sql.len(), kind, true, None)
    }

    fn statement(
        &self,
        range: Range<usize>,
        kind: Kind,
        open_ended: bool,
        user_variable: Option<bool>,
    ) -> Statement<'a> {
        let sql = self.sql.get(range.clone()).unwrap_or_default();
        Statement { sql, range, kind, open_ended, dialect: self.dialect, user_variable }
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Statement<'a>> {
        if self.finished {
            return None;
        }
        let start = self.scanner.skip_space();
        if self.reading == Reading::Doubtful {
            if self.sql.iter().skip(start).copied().any(depends_on_dialect) {
                return Some(self.rest(start, Kind::Other));
            }
            self.reading = Reading::Indifferent;
        }
        let (kind, body) = classify::classify(self.scanner);
        if body {
            return Some(self.rest(start, kind));
        }
        if self.reading == Reading::Certain && may_change_dialect(kind) {
            self.reading = Reading::Doubtful;
        }

        let mut code_end = start;
        let mut user_variable = false;
        self.finished = loop {
            code_end = self.scanner.skip_plain().unwrap_or(code_end);
            match self.scanner.next() {
                None => break true,
                Some(token) => match token.kind {
                    TokenKind::Semicolon => break false,
                    TokenKind::Unclear => return Some(self.rest(start, Kind::Other)),
                    kind => {
                        user_variable |= is_user_variable(kind, self.scanner.text(&token));
                        code_end = token.range.end;
                    }
                },
            }
        };
        let code = self.sql.get(start..code_end).unwrap_or_default();
        let empty = kind == Kind::Empty;
        if code.ends_with(b"--") || (empty && !self.finished) {
            return Some(self.rest(start, Kind::Other));
        }
        let end = if empty { self.sql.len() } else { code_end };
        Some(self.statement(start..end, kind, false, Some(user_variable)))
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement<'a> {
    /// The statement's text, fit to be sent alone or with a `;` and more behind. White space around it is left
    /// out, and so are comments behind it: one of them could swallow what is put there. Comments before it stay.
    /// A [`Kind::Empty`] is a comment to its end, and may only be sent alone.
    pub sql: &'a [u8],
    /// Where [`Self::sql`] stands in the batch.
    pub range: Range<usize>,
    /// The effect of the statement.
    pub kind: Kind,
    /// The statement takes the rest of the batch, since only the server knows where it ends, or
    /// how many it really is; so the number of replies is unknown, and the kind is
    /// [`Kind::Ddl`] or [`Kind::Other`]. That is so
    /// - where a body begins, whose `;` only the server's grammar can tell from the one behind it:
    ///   `BEGIN NOT ATOMIC`, a bare `IF`, `CASE`, `FOR`, `LOOP`, `REPEAT`, `WHILE` or `DECLARE`,
    ///   and `CREATE` or `ALTER` of a procedure, function, package, trigger or event, even if its
    ///   body is one plain statement;
    /// - after a `SET` of `sql_mode` or the character set, a `CALL` or an `EXECUTE`, if the rest
    ///   has a byte that may now be read in another way: a backslash, a `"`, a `[`, or one from
    ///   0x7F on;
    /// - where the server will find an error that a cut might hide: an empty statement before a
    ///   `;`, a quote or a comment without an end, a NUL byte, a `--` that would be a comment at
    ///   the end of a text;
    /// - after a `--` followed by a byte of which the character set says whether it is a control
    ///   character, and from a `/*!99997` on, whose content only a Galera node reads as code.
    pub open_ended: bool,
    dialect: Dialect,
    /// Whether it has an `@name`, where that is known.
    user_variable: Option<bool>,
}

impl<'a> Statement<'a> {
    /// The whole of `sql` as one statement, neither split nor trimmed: the text of a
    /// COM_STMT_PREPARE, or of a COM_QUERY of a client without `MULTI_STATEMENTS`. It is
    /// [open-ended](Self::open_ended) only where it has a body.
    pub fn single(sql: &'a [u8], dialect: Dialect) -> Self {
        let (kind, open_ended) = classify::classify(Scanner::new(sql, dialect));
        Self { sql, range: 0..sql.len(), kind, open_ended, dialect, user_variable: None }
    }

    /// Whether `name` (any case) is used as an identifier or a keyword, such as `GET_LOCK`. The
    /// name may be quoted as an identifier: `` `get_lock`('x', 1) `` takes the lock, too. What a
    /// routine does is not seen. In an [open-ended](Self::open_ended) statement the name counts
    /// anywhere.
    pub fn mentions(&self, name: &[u8]) -> bool {
        if self.open_ended {
            let mut windows = self.sql.windows(name.len().max(1));
            return windows.any(|window| window.eq_ignore_ascii_case(name));
        }
        self.any_token(|kind, text| match (kind, text) {
            (TokenKind::Name, [_, quoted @ .., _]) => quoted.eq_ignore_ascii_case(name),
            (TokenKind::Word, word) => word.eq_ignore_ascii_case(name),
            _ => false,
        })
    }

    /// Whether it reads or sets the system variable `name` (any case) as `@@name`, `@@session.name` or the like.
    pub fn mentions_system_variable(&self, name: &[u8]) -> bool {
        if self.open_ended {
            return self.mentions(name);
        }
        self.any_token(|kind, text| {
            let text = text.strip_prefix(b"@@").filter(|_| kind == TokenKind::Variable);
            let last = text.and_then(|text| text.rsplit(|byte| *byte == b'.').next());
            last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(name))
        })
    }

    /// Whether it has an `@name`, and so may read or set a user variable. The `@` of an account
    /// (`'icinga'@'localhost'`) counts as well.
    pub fn mentions_user_variable(&self) -> bool {
        self.user_variable.unwrap_or_else(|| {
            self.sql.contains(&b'@') && (self.open_ended || self.any_token(is_user_variable))
        })
    }

    /// Whether it calls a function that the server may not have built in: one that somebody has stored, and that may write.
    ///
    /// A name before a parenthesis counts, if no server has it among its words and functions. One that is missing in the
    /// list counts as well, and so does what cannot be read. The names are those of `information_schema.KEYWORDS` and
    /// `SQL_FUNCTIONS` on MariaDB 10.11 and 11.8.
    pub fn may_call_stored(&self) -> bool {
        if self.open_ended {
            return true;
        }
        let mut scanner = Scanner::new(self.sql, self.dialect);
        let mut name: Option<&[u8]> = None;
        let mut qualified = false;
        while let Some(token) = scanner.next() {
            let text = scanner.text(&token);
            match (token.kind, name) {
                (TokenKind::Unclear, _) => return true,
                (TokenKind::Symbol(b'('), Some(name)) if qualified || !is_built_in(name) => {
                    return true;
                }
                _ => {}
            }
            qualified = match token.kind {
                TokenKind::Symbol(b'.') => true,
                TokenKind::Word | TokenKind::Name => qualified && name.is_none(),
                _ => false,
            };
            name = matches!(token.kind, TokenKind::Word | TokenKind::Name).then_some(text);
        }
        false
    }

    fn any_token(&self, wanted: impl Fn(TokenKind, &[u8]) -> bool) -> bool {
        let mut scanner = Scanner::new(self.sql, self.dialect);
        while let Some(token) = scanner.next() {
            if token.kind == TokenKind::Unclear || wanted(token.kind, scanner.text(&token)) {
                return true;
            }
        }
        false
    }
}

/// Whether the servers have a word or a function of this name, in any case.
fn is_built_in(name: &[u8]) -> bool {
    let name = || name.iter().map(u8::to_ascii_lowercase);
    FUNCTIONS.binary_search_by(|one| one.bytes().cmp(name())).is_ok()
}

/// Names of [`Statement::may_call_stored`] in lower case, in the order of their bytes.
static FUNCTIONS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("statement/functions.txt").lines().collect());

fn is_user_variable(kind: TokenKind, text: &[u8]) -> bool {
    kind == TokenKind::Variable && !text.starts_with(b"@@")
}

/// Whether a statement of this kind may change `sql_mode` or the client's character set.
fn may_change_dialect(kind: Kind) -> bool {
    match kind {
        Kind::Call | Kind::Execute => true,
        Kind::Set(targets) => targets.contains(SetTargets::SYNTAX),
        _ => false,
    }
}

/// Whether `byte` may be read differently after a change of `sql_mode` or the character set.
fn depends_on_dialect(byte: u8) -> bool {
    matches!(byte, b'"' | b'[' | b'\\' | 0x7F..)
}

fn trim_end(text: &[u8], unwanted: impl Fn(u8) -> bool) -> &[u8] {
    let kept = text.iter().rposition(|&byte| !unwanted(byte)).map_or(0, |last| last + 1);
    &text[..kept]
}
