//! Tells the kind of a statement by its first keywords.

use super::scanner::{Scanner, TokenKind};
use super::{Completion, Kind, SetTargets};

/// The kind of the statement that begins at the scanner's place, and whether it may hold a body with
/// a `;` inside. Reads no further than the next `;`.
pub(super) fn classify(scanner: Scanner<'_>) -> (Kind, bool) {
    let mut reader = Reader { scanner, ended: false };
    let mut next = reader.next();
    if next.is_none() {
        return (Kind::Empty, false);
    }
    loop {
        while let Some(Lexeme::Symbol(b'(')) = next {
            next = reader.next();
        }
        let Some(Lexeme::Word(word)) = next else {
            return (Kind::Other, false);
        };
        let kind = match word.as_bytes() {
            b"ALTER" | b"CREATE" => return reader.create(),
            b"ANALYZE" => reader.analyze(),
            b"BEGIN" => return reader.begin(),
            b"BACKUP" | b"CHECK" | b"FLUSH" | b"GRANT" | b"INSTALL" | b"OPTIMIZE" | b"RENAME"
            | b"REPAIR" | b"RESET" | b"REVOKE" | b"TRUNCATE" | b"UNINSTALL" => Kind::Ddl,
            b"CALL" => Kind::Call,
            b"CASE" | b"DECLARE" | b"FOR" | b"IF" | b"LOOP" | b"REPEAT" | b"WHILE" => {
                return (Kind::Other, true);
            }
            b"COMMIT" => Kind::Commit(reader.completion()),
            b"DEALLOCATE" => Kind::Deallocate,
            b"DELETE" | b"INSERT" | b"REPLACE" | b"UPDATE" => Kind::Dml,
            b"DESC" | b"DESCRIBE" | b"EXPLAIN" | b"HELP" | b"SHOW" => Kind::Show,
            b"DROP" => match reader.word().as_bytes() {
                b"PREPARE" => Kind::Deallocate,
                b"TEMPORARY" => Kind::TemporaryTable,
                _ => Kind::Ddl,
            },
            b"EXECUTE" => Kind::Execute,
            b"LOAD" => match reader.word().as_bytes() {
                b"INDEX" => Kind::Other,
                _ => Kind::Dml,
            },
            b"LOCK" => match reader.word().as_bytes() {
                b"TABLE" | b"TABLES" => Kind::LockTables,
                _ => Kind::Other,
            },
            b"PREPARE" => Kind::Prepare,
            b"RELEASE" | b"SAVEPOINT" => Kind::Savepoint,
            b"ROLLBACK" => reader.rollback(),
            b"SELECT" | b"TABLE" | b"VALUES" => Kind::Select,
            b"SET" => match reader.set() {
                Some(targets) => Kind::Set(targets),
                None => {
                    next = reader.next();
                    continue;
                }
            },
            b"START" => match reader.word().as_bytes() {
                b"TRANSACTION" => Kind::Begin,
                _ => Kind::Other,
            },
            b"UNLOCK" => match reader.word().as_bytes() {
                b"TABLE" | b"TABLES" => Kind::UnlockTables,
                _ => Kind::Other,
            },
            b"USE" => Kind::Use,
            b"WITH" => reader.verb(),
            _ => Kind::Other,
        };
        return (kind, false);
    }
}

/// The tokens of one statement that carry meaning.
#[derive(Clone, Copy)]
struct Reader<'a> {
    scanner: Scanner<'a>,
    /// The `;` was read: what the scanner has next belongs to another statement.
    ended: bool,
}

impl<'a> Reader<'a> {
    /// The next token of the statement; none at its end.
    fn next(&mut self) -> Option<Lexeme<'a>> {
        while !self.ended {
            let token = self.scanner.next()?;
            match token.kind {
                TokenKind::Mark => {}
                TokenKind::Name | TokenKind::String => return Some(Lexeme::Quoted),
                TokenKind::Semicolon | TokenKind::Unclear => self.ended = true,
                TokenKind::Symbol(byte) => return Some(Lexeme::Symbol(byte)),
                TokenKind::Variable => return Some(Lexeme::Variable(self.scanner.text(&token))),
                TokenKind::Word => {
                    return Some(Lexeme::Word(Keyword::new(self.scanner.text(&token))));
                }
            }
        }
        None
    }

    /// The next token if it is a word, else no keyword at all.
    fn word(&mut self) -> Keyword {
        match self.next() {
            Some(Lexeme::Word(word)) => word,
            _ => Keyword::default(),
        }
    }

    /// After `ANALYZE`: of a table, or of a statement that is run.
    fn analyze(&mut self) -> Kind {
        let mut ahead = *self;
        match ahead.word().as_bytes() {
            b"LOCAL" | b"NO_WRITE_TO_BINLOG" | b"TABLE" | b"TABLES" => Kind::Ddl,
            _ => self.verb(),
        }
    }

    /// After `BEGIN`: a transaction if nothing but `WORK` follows. Anything else begins a block
    /// (`NOT ATOMIC`, or any in `sql_mode` ORACLE), or is an error.
    fn begin(&mut self) -> (Kind, bool) {
        match self.next() {
            None => (Kind::Begin, false),
            Some(Lexeme::Word(word)) if word.as_bytes() == b"WORK" && self.next().is_none() => {
                (Kind::Begin, false)
            }
            Some(_) => (Kind::Other, true),
        }
    }

    /// After `COMMIT` or `ROLLBACK`: `[WORK] [AND [NO] CHAIN] [[NO] RELEASE]`.
    fn completion(&mut self) -> Completion {
        let mut completion = Completion::default();
        let mut wanted = true;
        while let Some(Lexeme::Word(word)) = self.next() {
            match word.as_bytes() {
                b"AND" | b"WORK" => continue,
                b"CHAIN" => completion.chain = wanted,
                b"NO" => {
                    wanted = false;
                    continue;
                }
                b"RELEASE" => completion.release = wanted,
                _ => break,
            }
            wanted = true;
        }
        completion
    }

    /// After `CREATE` or `ALTER`: looks for the word that says of what. Routines, triggers and
    /// events have a body.
    fn create(&mut self) -> (Kind, bool) {
        let mut kind = Kind::Ddl;
        while let Some(lexeme) = self.next() {
            match lexeme {
                // DEFINER = name: a name may be any of the words below.
                Lexeme::Symbol(b'=') => {
                    self.next();
                }
                Lexeme::Word(word) => match word.as_bytes() {
                    b"DATABASE" | b"INDEX" | b"ROLE" | b"SCHEMA" | b"SEQUENCE" | b"SERVER"
                    | b"TABLE" | b"TABLESPACE" | b"USER" | b"VIEW" => break,
                    b"EVENT" | b"FUNCTION" | b"PACKAGE" | b"PROCEDURE" | b"TRIGGER" => {
                        return (kind, true);
                    }
                    b"TEMPORARY" => kind = Kind::TemporaryTable,
                    _ => {}
                },
                _ => {}
            }
        }
        (kind, false)
    }

    /// After `ROLLBACK`.
    fn rollback(&mut self) -> Kind {
        let mut ahead = *self;
        let mut word = ahead.word();
        if word.as_bytes() == b"WORK" {
            word = ahead.word();
        }
        match word.as_bytes() {
            b"TO" => Kind::Savepoint,
            _ => Kind::Rollback(self.completion()),
        }
    }

    /// After `SET`. None for `SET STATEMENT … FOR`, and then the reader stands behind the `FOR`.
    fn set(&mut self) -> Option<SetTargets> {
        let mut targets = SetTargets::empty();
        // GLOBAL and SESSION hold for the assignments that follow, too.
        let mut scope = SetTargets::empty();
        while let Some(lexeme) = self.next() {
            match lexeme {
                Lexeme::Word(word) => match word.as_bytes() {
                    b"CHAR" | b"CHARACTER" | b"CHARSET" | b"NAMES" => {
                        targets.insert(SetTargets::NAMES | SetTargets::SYNTAX);
                    }
                    b"DEFAULT" | b"PASSWORD" | b"ROLE" => targets.insert(SetTargets::OTHER),
                    b"GLOBAL" | b"PERSIST" | b"PERSIST_ONLY" => {
                        scope = SetTargets::GLOBAL;
                        continue;
                    }
                    b"LOCAL" | b"SESSION" => {
                        scope = SetTargets::SESSION;
                        continue;
                    }
                    b"STATEMENT" => {
                        self.skip_to(|lexeme| lexeme.is_word(b"FOR"));
                        return None;
                    }
                    b"TRANSACTION" => {
                        targets.insert(scope | SetTargets::TRANSACTION);
                        break;
                    }
                    name => targets.insert(or_session(scope) | meaning(name)),
                },
                Lexeme::Quoted => targets.insert(or_session(scope) | meaning(b"")),
                Lexeme::Symbol(_) => {}
                Lexeme::Variable(name) => targets.insert(variable(name)),
            }
            self.skip_to(|lexeme| matches!(lexeme, Lexeme::Symbol(b',')));
        }
        Some(targets)
    }

    /// Reads to the first word outside brackets that says what is done with the rows.
    fn verb(&mut self) -> Kind {
        let writes = |lexeme: &Lexeme<'_>| {
            [&b"DELETE"[..], b"INSERT", b"REPLACE", b"UPDATE"]
                .iter()
                .any(|verb| lexeme.is_word(verb))
        };
        let verb = self.skip_to(|lexeme| writes(lexeme) || lexeme.is_word(b"SELECT"));
        if verb.as_ref().is_some_and(writes) { Kind::Dml } else { Kind::Select }
    }

    /// Reads up to and including the first lexeme outside brackets that is `wanted`.
    fn skip_to(&mut self, wanted: impl Fn(&Lexeme<'a>) -> bool) -> Option<Lexeme<'a>> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Lexeme::Symbol(b'(') => depth += 1,
                Lexeme::Symbol(b')') => depth = depth.saturating_sub(1),
                lexeme if depth == 0 && wanted(&lexeme) => return Some(lexeme),
                _ => {}
            }
        }
    }
}

/// A token of a statement.
enum Lexeme<'a> {
    Quoted,
    Symbol(u8),
    Variable(&'a [u8]),
    Word(Keyword),
}

impl Lexeme<'_> {
    fn is_word(&self, keyword: &[u8]) -> bool {
        matches!(self, Self::Word(word) if word.as_bytes() == keyword)
    }
}

/// A word in upper case, cut where it is longer than all that matter.
#[derive(Default)]
struct Keyword {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl Keyword {
    /// One more than the length of `CHARACTER_SET_CLIENT`, the longest to compare with.
    const MAX_LEN: usize = 21;

    fn new(word: &[u8]) -> Self {
        let mut keyword = Self { len: word.len().min(Self::MAX_LEN), ..Self::default() };
        for (to, from) in keyword.bytes.iter_mut().zip(word) {
            *to = from.to_ascii_uppercase();
        }
        keyword
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The targets of an assignment to `@name` or `@@[scope.]name`.
fn variable(name: &[u8]) -> SetTargets {
    let Some(system) = name.strip_prefix(b"@@") else {
        return SetTargets::USER;
    };
    let (scope, name) = match system.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&system[..dot], &system[dot + 1..]),
        // The name may follow: `@@global . name`, @@`name`.
        None if Keyword::new(system).as_bytes() == b"GLOBAL" => (system, &b""[..]),
        None => (&b""[..], system),
    };
    let scope = match Keyword::new(scope).as_bytes() {
        b"GLOBAL" | b"PERSIST" | b"PERSIST_ONLY" => SetTargets::GLOBAL,
        _ => SetTargets::SESSION,
    };
    scope | meaning(Keyword::new(name).as_bytes())
}

/// The targets of an assignment to this variable, beside its scope. An unknown name may mean anything.
fn meaning(name: &[u8]) -> SetTargets {
    match name {
        b"" | b"LOCAL" | b"SESSION" => SetTargets::AUTOCOMMIT | SetTargets::SYNTAX,
        b"AUTOCOMMIT" => SetTargets::AUTOCOMMIT,
        b"CHARACTER_SET_CLIENT" | b"SQL_MODE" => SetTargets::SYNTAX,
        _ => SetTargets::empty(),
    }
}

fn or_session(scope: SetTargets) -> SetTargets {
    if scope.is_empty() { SetTargets::SESSION } else { scope }
}
