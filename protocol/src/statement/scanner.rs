//! The tokens of a text, as the server's own scanner cuts them.

use std::ops::Range;

use super::Dialect;

/// A cursor over a text. It skips white space and comments, and reads every byte once.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    sql: &'a [u8],
    at: usize,
    dialect: Dialect,
    /// Inside `/*! … */`, whose content is code: the next `*/` ends it.
    executable: bool,
}

/// One token, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

/// The kinds of token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// The opening or the end of an executable comment: no code, but what it marks is.
    Mark,
    /// A quoted identifier.
    Name,
    /// The `;` between statements.
    Semicolon,
    /// A quoted string.
    String,
    /// Any other byte.
    Symbol(u8),
    /// The rest of the text: from here on it can't be told what the server reads. Either it
    /// answers with an error (a quote or a comment without an end, a NUL byte), or it depends on
    /// a table of the character set (`--` before a byte that may be a control character).
    Unclear,
    /// `@name`, `@@name` or `@@global.name`; the bare `@` before a quote.
    Variable,
    /// A keyword, an unquoted identifier or a number.
    Word,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect, executable: false }
    }

    /// The bytes of a token of this scanner.
    pub(super) fn text(&self, token: &Token) -> &'a [u8] {
        self.sql.get(token.range.clone()).unwrap_or_default()
    }

    /// Goes over white space, not over comments. Returns the place reached.
    pub(super) fn skip_space(&mut self) -> usize {
        while let Some(byte) = self.peek(0)
            && self.dialect.charset.is_space(byte)
        {
            self.at += 1;
        }
        self.at
    }

    /// Goes over all that is neither quoted, nor a comment, nor a `;`, however many tokens it is: nearly
    /// all of a long batch. Returns the end of the last of them; none if there is none.
    pub(super) fn skip_plain(&mut self) -> Option<usize> {
        let start = self.at;
        let rest = self.sql.get(start..).unwrap_or_default();
        let plain = if self.executable { &PLAIN_IN_COMMENT } else { &PLAIN };
        let end = rest.iter().position(|&byte| !plain[usize::from(byte)]);
        let len = end.unwrap_or(rest.len());
        tally(len);
        self.at += len;
        let last = rest[..len].iter().rposition(|&byte| !self.dialect.charset.is_space(byte))?;
        Some(start + last + 1)
    }

    /// The next token; none at the end of the text.
    pub(super) fn next(&mut self) -> Option<Token> {
        let from = self.at;
        let token = self.scan();
        tally(self.at - from);
        token
    }

    fn scan(&mut self) -> Option<Token> {
        loop {
            let start = self.skip_space();
            let kind = match (self.peek(0)?, self.peek(1)) {
                (b'\'', _) => self.quoted(b'\'', TokenKind::String),
                (b'"', _) if self.dialect.mode.ansi_quotes => self.quoted(b'"', TokenKind::Name),
                (b'"', _) => self.quoted(b'"', TokenKind::String),
                (b'`', _) => self.quoted(b'`', TokenKind::Name),
                (b'[', _) if self.dialect.mode.brackets => self.quoted(b']', TokenKind::Name),
                (b'@', _) => self.variable(),
                (b';', _) => {
                    self.executable = false;
                    self.pass(1, TokenKind::Semicolon)
                }
                (b'#', _) => {
                    self.skip_line();
                    continue;
                }
                (b'-', Some(b'-')) => match self.peek(2) {
                    None | Some(0..=b' ') => {
                        self.skip_line();
                        continue;
                    }
                    Some(0x7F..) => self.give_up(),
                    Some(_) => self.pass(1, TokenKind::Symbol(b'-')),
                },
                (b'/', Some(b'*')) => match self.comment() {
                    Some(kind) => kind,
                    None => continue,
                },
                (b'*', Some(b'/')) if self.executable => {
                    self.executable = false;
                    self.pass(2, TokenKind::Mark)
                }
                (0, _) => self.give_up(),
                (byte, _) if is_word(byte) => self.word(),
                (byte, _) => self.pass(1, TokenKind::Symbol(byte)),
            };
            return Some(Token { kind, range: start..self.at });
        }
    }

    /// Reads a string or a quoted identifier. A doubled quote is one inside; only in a string is a
    /// backslash an escape, and it hides one byte, not one character.
    fn quoted(&mut self, quote: u8, kind: TokenKind) -> TokenKind {
        let name = kind == TokenKind::Name;
        let escapes = !name && !self.dialect.mode.no_backslash_escapes;
        self.at += 1;
        loop {
            let rest = self.sql.get(self.at..).unwrap_or_default();
            let end = rest.iter().position(|&byte| !PLAIN_IN_QUOTES[usize::from(byte)]);
            self.at += end.unwrap_or(rest.len());
            let Some(byte) = self.peek(0) else { break };
            match byte {
                b'\\' if escapes => self.at += 2,
                0 if name => break,
                0x80.. => self.skip_char(),
                _ if byte != quote => self.at += 1,
                _ if self.peek(1) == Some(quote) => self.at += 2,
                _ => return self.pass(1, kind),
            }
        }
        self.give_up()
    }

    /// Reads what follows `@`. The server takes it byte by byte, whatever the character set.
    fn variable(&mut self) -> TokenKind {
        self.at += if self.peek(1) == Some(b'@') { 2 } else { 1 };
        while let Some(byte) = self.peek(0)
            && (is_word(byte) || byte == b'.')
            && !self.dialect.charset.is_space(byte)
        {
            self.at += 1;
        }
        TokenKind::Variable
    }

    fn word(&mut self) -> TokenKind {
        while let Some(byte) = self.peek(0)
            && is_word(byte)
            && !self.dialect.charset.is_space(byte)
        {
            self.skip_char();
        }
        TokenKind::Word
    }

    /// Goes over a comment that begins with `/*`, and then there is no token; or only over the
    /// opening of one whose content is code.
    fn comment(&mut self) -> Option<TokenKind> {
        let mariadb = self.dialect.server.is_mariadb();
        let opening = match (self.peek(2), self.peek(3)) {
            (Some(b'!'), _) => 3,
            (Some(b'M'), Some(b'!')) if mariadb => 4,
            _ => return self.skip_comment(2, false),
        };
        let digits = self.sql[self.at + opening..]
            .iter()
            .take(VERSION_DIGITS_MAX)
            .take_while(|byte| byte.is_ascii_digit());
        let (len, version) = digits.fold((0, 0), |(len, version), digit| {
            (len + 1, version * 10 + u32::from(digit - b'0'))
        });
        let versioned = len >= VERSION_DIGITS_MIN;
        if versioned && !self.dialect.server.runs(version, opening == 4) {
            if version == GALERA_VERSION && self.peek(opening + len) != Some(b'*') {
                return Some(self.give_up());
            }
            return self.skip_comment(opening, true);
        }
        self.executable = true;
        Some(self.pass(if versioned { opening + len } else { opening }, TokenKind::Mark))
    }

    /// Goes `opening` bytes further and then behind the next `*/`. With `nested`, one comment
    /// inside is left out: the server allows it where the outer one is for another version.
    fn skip_comment(&mut self, opening: usize, nested: bool) -> Option<TokenKind> {
        self.at += opening;
        let mut inside = false;
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return Some(TokenKind::Unclear),
                (Some(b'*'), Some(b'/')) => {
                    self.at += 2;
                    if !inside {
                        return None;
                    }
                    inside = false;
                }
                (Some(b'/'), Some(b'*')) if nested && !inside => {
                    self.at += 2;
                    inside = true;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Goes behind the end of the line. A NUL byte ends it too, and is an error then.
    fn skip_line(&mut self) {
        while let Some(byte) = self.peek(0)
            && byte != 0
        {
            self.at += 1;
            if byte == b'\n' {
                break;
            }
        }
    }

    fn give_up(&mut self) -> TokenKind {
        self.at = self.sql.len();
        TokenKind::Unclear
    }

    fn pass(&mut self, len: usize, kind: TokenKind) -> TokenKind {
        self.at += len;
        kind
    }

    fn skip_char(&mut self) {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        self.at += self.dialect.charset.char_len(rest);
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }
}

/// Bytes that begin and end nothing longer than a word.
static PLAIN: [bool; 256] = plain(true);

/// Such bytes in an executable comment, where a `*` may be the first half of its end.
static PLAIN_IN_COMMENT: [bool; 256] = plain(false);

/// Such bytes between quotes of any kind.
static PLAIN_IN_QUOTES: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 1;
    while byte < 0x80 {
        plain[byte as usize] = !matches!(byte, b'\'' | b'"' | b'`' | b']' | b'\\');
        byte += 1;
    }
    plain
};

const fn plain(star: bool) -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 0x7F {
        plain[byte as usize] = match byte {
            b'\'' | b'"' | b'`' | b'[' | b'@' | b';' | b'#' | b'-' | b'/' | b'\\' => false,
            b'*' => star,
            // White space, and all that is printed.
            b'\t'..=b'\r' | b' '.. => true,
            _ => false,
        };
        byte += 1;
    }
    plain
}

/// Whether `byte` may stand in an unquoted identifier.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// Counts the bytes that tokens were made of, so that a test can tell linear from quadratic.
#[cfg(not(test))]
fn tally(_: usize) {}

#[cfg(test)]
use super::tests::tally;

/// How many digits a version in a comment has at least; fewer are code.
const VERSION_DIGITS_MIN: usize = 5;

/// How many digits a version in a comment has at most; more are code.
const VERSION_DIGITS_MAX: usize = 6;

/// MariaDB leaves this version's comments out; a Galera node reads them as code. Tools write them
/// without content, as in `REPLACE /*!99997*/ INTO`.
const GALERA_VERSION: u32 = 99_997;
