//! Things that a session takes from its server for itself alone, and gives back, by a name.

use super::scanner::{Scanner, TokenKind};
use super::{Kind, Statement};

/// Thing that a server keeps for one session, and knows by a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Belonging {
    /// `GET_LOCK('name', …)`: as often as it was taken.
    NamedLock,
    /// `PREPARE name FROM …`
    SqlStatement,
    /// `CREATE TEMPORARY TABLE name`
    TemporaryTable,
    /// `SET timestamp`, which has no name.
    Timestamp,
}

/// Effect of a statement on what its session holds, as far as its words tell.
///
/// Sources: MariaDB documentation, "GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "PREPARE", "DEALLOCATE / DROP PREPARE",
/// "CREATE TABLE", "DROP TABLE", "timestamp".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holding {
    /// Takes the thing of this name.
    Takes(Belonging, Vec<u8>),
    /// Gives back the things of these names, once the server says OK.
    Gives(Belonging, Vec<Vec<u8>>),
    /// Gives back each thing of this kind.
    GivesAll(Belonging),
}

impl Holding {
    /// Puts the schema in which the statement is done before each name of a table that has none.
    #[must_use]
    pub fn within(self, schema: Option<&[u8]>) -> Self {
        let full = |name: Vec<u8>| match name.contains(&b'.') {
            true => name,
            false => [schema.unwrap_or_default(), b".", &name].concat(),
        };
        let table = Belonging::TemporaryTable;
        match self {
            Self::Takes(kind, name) if kind == table => Self::Takes(kind, full(name)),
            Self::Gives(kind, names) if kind == table => {
                Self::Gives(kind, names.into_iter().map(full).collect())
            }
            other => other,
        }
    }
}

impl Statement<'_> {
    /// The thing that it takes or gives back. `None`: nothing, or what its words do not tell for sure.
    ///
    /// A name keeps its case, and so does what it is compared with: a server that ignores the case is no worse for it.
    /// A table's name has the schema before a `.`, where the statement has it.
    pub fn holding(&self) -> Option<Holding> {
        if self.open_ended {
            return None;
        }
        let mut words = Words { scanner: Scanner::new(self.sql, self.dialect) };
        match self.kind {
            Kind::TemporaryTable => words.temporary_table(),
            Kind::Prepare => words.prepared(),
            Kind::Deallocate => words.deallocated(),
            Kind::Set(_) => words.timestamp(),
            Kind::Select | Kind::Other => words.lock(),
            _ => None,
        }
    }

    /// Whether it is an EXECUTE IMMEDIATE of a text that may take a thing.
    pub fn executes_what_takes(&self) -> bool {
        let mut words = Words { scanner: Scanner::new(self.sql, self.dialect) };
        let immediate =
            self.kind == Kind::Execute && words.word(b"EXECUTE") && words.word(b"IMMEDIATE");
        immediate && words.string().is_none_or(|text| may_take(&text))
    }
}

/// Whether a text within a text may take what its session then holds. An escape may hide any word.
fn may_take(text: &[u8]) -> bool {
    let has = |word: &[u8]| text.windows(word.len()).any(|here| here.eq_ignore_ascii_case(word));
    let words: [&[u8]; 6] = [b"TEMPORARY", b"LOCK", b"HANDLER", b"BACKUP", b"PREPARE", b"XA"];
    text.iter().any(|byte| matches!(byte, b'@' | b'\\' | b'/')) || words.into_iter().any(has)
}

/// Bytes of the longest name that is read: more than any that a server takes.
const LONGEST_NAME: usize = 256;

/// The tokens of a statement, from the left.
#[derive(Clone, Copy)]
struct Words<'a> {
    scanner: Scanner<'a>,
}

impl Words<'_> {
    /// Goes over the next token if it is this keyword.
    fn word(&mut self, keyword: &[u8]) -> bool {
        self.token(|kind, text| kind == TokenKind::Word && text.eq_ignore_ascii_case(keyword))
    }

    /// Goes over the next token if it is this byte.
    fn symbol(&mut self, byte: u8) -> bool {
        self.token(|kind, _| kind == TokenKind::Symbol(byte))
    }

    fn token(&mut self, wanted: impl Fn(TokenKind, &[u8]) -> bool) -> bool {
        let mut ahead = self.scanner;
        let found = ahead.next().is_some_and(|token| wanted(token.kind, ahead.text(&token)));
        if found {
            self.scanner = ahead;
        }
        found
    }

    /// Whether the statement ends here.
    fn ended(mut self) -> bool {
        self.scanner.next().is_none_or(|token| token.kind == TokenKind::Semicolon)
    }

    /// An identifier, without its quotes. One that has a quote in it is left out.
    fn name(&mut self) -> Option<Vec<u8>> {
        self.text(TokenKind::Word).or_else(|| self.text(TokenKind::Name))
    }

    /// A token of this kind, without its quotes.
    fn text(&mut self, kind: TokenKind) -> Option<Vec<u8>> {
        let mut ahead = self.scanner;
        let token = ahead.next().filter(|token| token.kind == kind)?;
        let text = match (kind, ahead.text(&token)) {
            (TokenKind::Word, word) => word,
            (_, [_, text @ .., _]) => text,
            _ => return None,
        };
        // Bytes from 0x80 on are other letters in another character set.
        let odd = |byte: &u8| matches!(byte, b'`' | b'"' | b'\'' | b'\\' | b'.' | 0x80..);
        if text.len() > LONGEST_NAME || text.iter().any(odd) {
            return None;
        }
        self.scanner = ahead;
        Some(text.to_vec())
    }

    /// A literal, without its quotes.
    fn string(&mut self) -> Option<Vec<u8>> {
        let mut ahead = self.scanner;
        let token = ahead.next().filter(|token| token.kind == TokenKind::String)?;
        let [_, text @ .., _] = ahead.text(&token) else { return None };
        self.scanner = ahead;
        Some(text.to_vec())
    }

    /// `PREPARE name FROM 'text'`, where nothing but the statement itself is taken.
    fn prepared(mut self) -> Option<Holding> {
        let name = self.word(b"PREPARE").then(|| self.name()).flatten()?;
        let text = self.word(b"FROM").then(|| self.string()).flatten()?;
        let alone = self.ended() && !may_take(&text);
        alone.then_some(Holding::Takes(Belonging::SqlStatement, name))
    }

    /// The name of a table.
    fn table(&mut self) -> Option<Vec<u8>> {
        let name = self.name()?;
        if !self.symbol(b'.') {
            return Some(name);
        }
        let table = self.name()?;
        Some([&name[..], b".", &table].concat())
    }

    fn temporary_table(&mut self) -> Option<Holding> {
        if self.word(b"CREATE") {
            let plain = !self.word(b"OR") || self.word(b"REPLACE");
            let table = plain && self.word(b"TEMPORARY") && self.word(b"TABLE");
            let ready = table && (!self.word(b"IF") || (self.word(b"NOT") && self.word(b"EXISTS")));
            let name = ready.then(|| self.table()).flatten()?;
            return Some(Holding::Takes(Belonging::TemporaryTable, name));
        }
        let table = self.word(b"DROP") && self.word(b"TEMPORARY") && self.word(b"TABLE");
        if !table || (self.word(b"IF") && !self.word(b"EXISTS")) {
            return None;
        }
        let mut names = vec![self.table()?];
        while self.symbol(b',') {
            names.push(self.table()?);
        }
        self.ended().then_some(Holding::Gives(Belonging::TemporaryTable, names))
    }

    fn deallocated(&mut self) -> Option<Holding> {
        let verb = self.word(b"DEALLOCATE") || self.word(b"DROP");
        let name = (verb && self.word(b"PREPARE")).then(|| self.name()).flatten()?;
        self.ended().then(|| Holding::Gives(Belonging::SqlStatement, vec![name]))
    }

    /// Goes over a number.
    fn number(&mut self) -> bool {
        self.symbol(b'-');
        self.text(TokenKind::Word).is_some_and(|text| text.iter().all(u8::is_ascii_digit))
    }

    /// Goes over the name that a column is given.
    fn renamed(mut self) -> Self {
        self.word(b"AS");
        self.name();
        self
    }

    /// A lone `SELECT` or `DO` of one function, whose name is all that it has been asked for.
    fn lock(&mut self) -> Option<Holding> {
        if !self.word(b"SELECT") && !self.word(b"DO") {
            return None;
        }
        let takes = self.word(b"GET_LOCK");
        let gives = !takes && self.word(b"RELEASE_LOCK");
        let all = !takes && !gives && self.word(b"RELEASE_ALL_LOCKS");
        if !(takes || gives || all) || !self.symbol(b'(') {
            return None;
        }
        if all {
            let alone = self.symbol(b')') && self.ended();
            return alone.then_some(Holding::GivesAll(Belonging::NamedLock));
        }
        let name = self.text(TokenKind::String)?;
        let seconds = !takes || (self.symbol(b',') && self.number());
        let alone = seconds && self.symbol(b')') && self.renamed().ended();
        alone.then(|| match takes {
            true => Holding::Takes(Belonging::NamedLock, name),
            false => Holding::Gives(Belonging::NamedLock, vec![name]),
        })
    }

    /// `SET [SESSION] timestamp = DEFAULT`.
    fn timestamp(&mut self) -> Option<Holding> {
        let names: [&[u8]; 3] = [b"@@timestamp", b"@@session.timestamp", b"@@local.timestamp"];
        let set = self.word(b"SET");
        let scoped = self.word(b"SESSION") || self.word(b"LOCAL");
        let named = self.word(b"TIMESTAMP")
            || (!scoped
                && self.token(|kind, text| {
                    kind == TokenKind::Variable
                        && names.iter().any(|name| name.eq_ignore_ascii_case(text))
                }));
        self.symbol(b':');
        let reset = set && named && self.symbol(b'=') && self.word(b"DEFAULT") && self.ended();
        reset.then_some(Holding::GivesAll(Belonging::Timestamp))
    }
}
