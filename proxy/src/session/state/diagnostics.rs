//! Diagnostics that a client can read about its last statement, besides the reply: ROW_COUNT() and the list of
//! warnings.
//!
//! Statements of ours overwrite both. Where a client is about to read them, the server is brought to what it would say
//! without us.

use ido_proxy_protocol::err::ErrPacket;

use crate::session::state::text_rows::text_rows;

/// The diagnostics of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnostics {
    /// ROW_COUNT() as of the client's last statement; -1: it returned rows, or failed.
    rows: i64,
    /// How many warnings that statement had.
    warnings: u16,
    /// A statement of ours ran since.
    disturbed: bool,
    /// Warnings to be raised again.
    kept: Vec<Warning>,
    /// The error of the client's last statement.
    error: Option<LastError>,
    /// The client has read how often its statements ran.
    counted_by_client: bool,
    /// The list has an error that is not the client's.
    foreign: bool,
}

/// The error of a statement of the client's.
#[derive(Clone, Debug)]
struct LastError {
    packet: ErrPacket,
    place: Place,
}

/// Whether an error can be read in the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// The list at the server has it.
    InList,
    /// The list has none, or has it otherwise than the client knows it.
    Lost,
}

/// Grammar of a block of statements that is no routine.
///
/// Source: MariaDB documentation, "BEGIN END", "SQL_MODE=ORACLE".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BlockGrammar {
    /// `BEGIN NOT ATOMIC … END`
    MariaDb,
    /// `DECLARE … BEGIN … END`
    Oracle,
}

/// An entry of the list of warnings.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Warning {
    code: u16,
    message: Vec<u8>,
    is_error: bool,
}

impl Diagnostics {
    /// A statement of the client's changed so many rows, with so many warnings.
    pub(crate) fn counted(&mut self, rows: u64, warnings: u16) {
        self.learn(rows.try_into().unwrap_or(i64::MAX), warnings);
    }

    /// A statement of the client's that touches no table was done: it leaves the list of warnings as that was.
    pub(crate) fn counted_beside(&mut self, rows: u64, warnings: u16) {
        self.learn_beside(rows.try_into().unwrap_or(i64::MAX), warnings);
    }

    /// A statement of the client's that touches no table returned rows: it leaves the list of warnings as that was.
    pub(crate) fn returned_rows_beside(&mut self) {
        self.learn_beside(-1, 0);
    }

    /// A statement of the client's returned rows, with so many warnings.
    pub(crate) fn returned_rows(&mut self, warnings: u16) {
        self.learn(-1, warnings);
    }

    /// A statement of the client's failed.
    pub(crate) fn failed(&mut self) {
        self.learn(-1, 1);
    }

    /// A statement of the client's failed with this error.
    pub(crate) fn failed_with(&mut self, error: &ErrPacket) {
        self.failed();
        self.error = Some(LastError { packet: error.clone(), place: Place::InList });
    }

    /// The session is on another link, or a part of a way back was gone: the list is not the client's.
    pub(crate) fn moved(&mut self) {
        self.disturbed = true;
        if let Some(error) = &mut self.error {
            error.place = Place::Lost;
        }
    }

    fn learn(&mut self, rows: i64, warnings: u16) {
        (self.rows, self.warnings, self.disturbed) = (rows, warnings, false);
        (self.error, self.foreign) = (None, false);
        self.kept.clear();
    }

    fn learn_beside(&mut self, rows: i64, warnings: u16) {
        (self.rows, self.warnings) = (rows, warnings.max(self.warnings));
        self.disturbed = self.list_differs();
    }

    /// The client's last statement is done, and a statement of ours behind it has left an error that is not the client's.
    pub(crate) fn left_an_error(&mut self) {
        (self.foreign, self.disturbed) = (true, true);
    }

    /// The server has cleared the list, as it does for COM_STMT_PREPARE. Seen on MariaDB 11.8.
    pub(crate) fn list_cleared(&mut self) {
        (self.warnings, self.error, self.foreign) = (0, None, false);
    }

    /// A statement of ours failed behind the client's, which had failed with `error`.
    pub(crate) fn lose_error(&mut self, error: &ErrPacket) {
        self.error = Some(LastError { packet: error.clone(), place: Place::Lost });
    }

    /// The client reads how often its statements ran.
    pub(crate) fn counts_statements(&mut self) {
        self.counted_by_client = true;
    }

    /// Whether the client has read how often its statements ran, and may do so again.
    pub(crate) fn are_counted(&self) -> bool {
        self.counted_by_client
    }

    /// A statement of ours was run.
    pub(crate) fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// The server says again what the client expects, but for ROW_COUNT() where an error was `raised` for the list.
    pub(crate) fn restored(&mut self, raised: bool) {
        self.disturbed = raised && self.rows >= 0;
        if let Some(error) = self.error.as_mut().filter(|_| raised) {
            error.place = Place::InList;
            self.foreign = false;
        }
    }

    /// Whether ROW_COUNT() is not what the client expects.
    pub(crate) fn is_row_count_lost(&self) -> bool {
        self.disturbed && self.rows <= MOST_ROWS
    }

    /// Whether the list has an error that is not the client's, or has the client's otherwise.
    pub(crate) fn list_differs(&self) -> bool {
        self.lost_error().is_some() || self.foreign
    }

    /// The error of the client's last statement, unless the list has it.
    fn lost_error(&self) -> Option<&ErrPacket> {
        let error = self.error.as_ref().filter(|error| error.place == Place::Lost)?;
        Some(&error.packet)
    }

    /// The statement that makes ROW_COUNT() what the client expects, or the list, if it is the list that is read.
    ///
    /// A block counts the rows of all statements in it. What reads from a table, be it a derived one, clears the list of
    /// warnings. Seen on MariaDB 10.11.
    pub(crate) fn count_rows(&self, grammar: BlockGrammar, lists: bool) -> Vec<u8> {
        if let Some(ErrPacket { code, sql_state, message }) = self.lost_error()
            && (lists || self.rows < 0)
        {
            return signal("SIGNAL", &String::from_utf8_lossy(sql_state), *code, message);
        }
        match self.rows {
            ..0 if self.foreign => b"SELECT 1 FROM (SELECT 1) x".to_vec(),
            ..0 => b"SELECT 1".to_vec(),
            0 if self.foreign => CLEAR.into(),
            0 => b"DO 0".to_vec(),
            rows => {
                let clear = if self.foreign { format!("{CLEAR}; ") } else { String::new() };
                match grammar {
                    BlockGrammar::MariaDb => format!(
                        "BEGIN NOT ATOMIC DECLARE i INT DEFAULT {rows}; DECLARE x INT; {clear}WHILE i > 0 DO \
                         SELECT 1 INTO x; SET i = i - 1; END WHILE; END"
                    ),
                    BlockGrammar::Oracle => format!(
                        "DECLARE i INT := {rows}; x INT; BEGIN {clear}WHILE i > 0 LOOP \
                         SELECT 1 INTO x; i := i - 1; END LOOP; END"
                    ),
                }
                .into_bytes()
            }
        }
    }

    /// Whether the client's last statement had warnings that can still be read.
    pub(crate) fn has_warnings(&self) -> bool {
        self.warnings > 0
    }

    /// Whether warnings are kept that the server has lost.
    pub(crate) fn keeps_warnings(&self) -> bool {
        !self.kept.is_empty()
    }

    /// A command begins: what an earlier one kept is not to be raised any more.
    pub(crate) fn forget_kept(&mut self) {
        self.kept.clear();
    }

    /// Keeps the warnings in the packets of a reply to SHOW WARNINGS, but for the last packet.
    pub(crate) fn keep_warnings(&mut self, packets: &[u8]) {
        self.kept = text_rows(packets, COLUMNS).filter_map(Warning::read).collect();
    }

    /// The statement that raises the kept warnings again, once. SIGNAL clears the list, and RESIGNAL adds to it.
    ///
    /// Source: MariaDB documentation, "RESIGNAL".
    pub(crate) fn raise_warnings(&mut self, grammar: BlockGrammar) -> Vec<u8> {
        if let [Warning { code, message, is_error: true }] = &self.kept[..] {
            let sql = signal("SIGNAL", "HY000", *code, message);
            self.kept.clear();
            return sql;
        }
        let mut warnings = std::mem::take(&mut self.kept).into_iter();
        let Some(first) = warnings.next() else { return b"DO 0".to_vec() };
        // In either grammar, what is declared stands at the place of its own.
        let mut sql = match grammar {
            BlockGrammar::MariaDb => b"BEGIN NOT ATOMIC ".to_vec(),
            BlockGrammar::Oracle => Vec::new(),
        };
        if warnings.len() > 0 {
            sql.extend_from_slice(b"DECLARE EXIT HANDLER FOR SQLWARNING BEGIN ");
            warnings.for_each(|warning| sql.extend(warning.raised("RESIGNAL")));
            sql.extend_from_slice(b"END; ");
        }
        if grammar == BlockGrammar::Oracle {
            sql.extend_from_slice(b"BEGIN ");
        }
        sql.extend(first.raised("SIGNAL"));
        sql.extend_from_slice(b"END");
        sql
    }
}

impl Warning {
    /// The statement of a block that raises it.
    fn raised(&self, verb: &str) -> Vec<u8> {
        [&signal(verb, "01000", self.code, &self.message)[..], b"; "].concat()
    }

    /// From a row: level, code, message.
    fn read(row: Vec<Option<&[u8]>>) -> Option<Self> {
        let [level, code, message] = row[..] else { return None };
        let is_error = level == Some(b"Error");
        let code = std::str::from_utf8(code?).ok()?.parse().ok()?;
        Some(Self { code, message: message?.to_vec(), is_error })
    }
}

/// The statement that raises an error or a warning. Its text is a hexadecimal literal, which no `sql_mode` reads
/// otherwise.
fn signal(verb: &str, state: &str, code: u16, message: &[u8]) -> Vec<u8> {
    let head = format!("{verb} SQLSTATE '{state}' SET MYSQL_ERRNO={code}, MESSAGE_TEXT=0x");
    let digits = message.iter().flat_map(|byte| format!("{byte:02x}").into_bytes());
    head.into_bytes().into_iter().chain(digits).collect()
}

/// Clears the list of warnings and errors.
pub(crate) const CLEAR: &str = "DO (SELECT 1 FROM (SELECT 1) x)";

/// Level, code, message.
const COLUMNS: usize = 3;

/// Rows up to which a count is put back: it takes the server about a microsecond each.
const MOST_ROWS: i64 = 100_000;

#[cfg(test)]
mod tests {
    use ido_proxy_protocol::packet;

    use super::*;

    /// Otherwise a client would read an error of long ago in the list, in place of the warning of its last statement.
    #[test]
    fn a_statement_with_warnings_of_its_own_replaces_the_list() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.failed();
        diagnostics.lose_error(&ErrPacket::new(1064, *b"42000", "near"));
        diagnostics.returned_rows_beside();
        assert!(diagnostics.list_differs(), "SELECT 1 leaves it");
        diagnostics.returned_rows(1);
        assert!(!diagnostics.list_differs() && diagnostics.has_warnings());
    }

    /// Otherwise a client that reads both behind a COMMIT would find either as the proxy has left it.
    #[test]
    fn the_list_and_the_count_of_rows_are_put_back_one_after_the_other() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.failed_with(&ErrPacket::new(1062, *b"23000", "twice"));
        diagnostics.moved();
        diagnostics.counted_beside(0, 0);
        let raised = diagnostics.count_rows(BlockGrammar::MariaDb, true);
        assert!(raised.starts_with(b"SIGNAL SQLSTATE '23000'"));
        diagnostics.restored(true);
        assert!(diagnostics.is_row_count_lost(), "the error has made it -1");
        assert_eq!(diagnostics.count_rows(BlockGrammar::MariaDb, true), b"DO 0");
        diagnostics.restored(false);
        assert!(!diagnostics.is_row_count_lost() && !diagnostics.list_differs());
    }

    /// Otherwise warnings of a statement before would be raised behind one that has cleared the list.
    #[test]
    fn a_statement_that_clears_the_list_makes_what_was_kept_forgotten() {
        let kept = || vec![Warning { code: 1264, message: b"b".to_vec(), is_error: false }];
        let mut diagnostics = Diagnostics { kept: kept(), ..Diagnostics::default() };
        diagnostics.counted_beside(0, 0);
        assert!(diagnostics.keeps_warnings(), "a COMMIT leaves the list");
        diagnostics.returned_rows(0);
        assert!(!diagnostics.keeps_warnings());
    }

    /// Otherwise a client that reads the warnings of its transaction behind the COMMIT would find none.
    #[test]
    fn kept_warnings_are_raised_again_once() {
        let row = b"\x07Warning\x041264\x07it's a%";
        let payloads: [&[u8]; 5] = [b"\x03", b"\x03def1", b"\x03def2", b"\x03def3", row];
        let mut packets = Vec::new();
        payloads.iter().zip(1..).for_each(|(payload, id)| {
            packet::frame(payload, id, &mut packets);
        });
        let mut diagnostics = Diagnostics::default();
        diagnostics.keep_warnings(&packets);
        assert!(diagnostics.keeps_warnings());
        let raised = "BEGIN NOT ATOMIC SIGNAL SQLSTATE '01000' SET MYSQL_ERRNO=1264, \
            MESSAGE_TEXT=0x69742773206125; END";
        assert_eq!(
            String::from_utf8(diagnostics.raise_warnings(BlockGrammar::MariaDb)).unwrap(),
            raised
        );
        assert!(!diagnostics.keeps_warnings());
        let other: &[u8] = b"\x07Warning\x041265\x01b";
        [row, other].into_iter().for_each(|row| {
            packet::frame(row, 6, &mut packets);
        });
        diagnostics.keep_warnings(&packets);
        let raised = String::from_utf8(diagnostics.raise_warnings(BlockGrammar::MariaDb)).unwrap();
        let handler = "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLWARNING BEGIN \
            RESIGNAL SQLSTATE '01000' SET MYSQL_ERRNO=1264, MESSAGE_TEXT=0x69742773206125; \
            RESIGNAL SQLSTATE '01000' SET MYSQL_ERRNO=1265, MESSAGE_TEXT=0x62; END; SIGNAL ";
        assert!(raised.starts_with(handler), "{raised}");
    }

    /// Otherwise the list would have a syntax error that is not the client's. Tried on MariaDB 10.11.
    #[test]
    fn a_block_is_written_in_the_grammar_of_the_mode() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.counted(2, 0);
        let counted = diagnostics.count_rows(BlockGrammar::Oracle, false);
        assert!(counted.starts_with(b"DECLARE i INT := 2; x INT; BEGIN WHILE i > 0 LOOP "));
        diagnostics.kept = vec![Warning { code: 1264, message: b"b".to_vec(), is_error: false }];
        let raised = diagnostics.raise_warnings(BlockGrammar::Oracle);
        let one = b"BEGIN SIGNAL SQLSTATE '01000' SET MYSQL_ERRNO=1264, MESSAGE_TEXT=0x62; END";
        assert_eq!(raised, one);
    }

    /// Otherwise a client that reads the errors of its transaction behind the COMMIT would find a warning.
    #[test]
    fn an_error_is_raised_again_as_one() {
        let row = b"\x05Error\x041062\x01b";
        let payloads: [&[u8]; 5] = [b"\x03", b"\x03def1", b"\x03def2", b"\x03def3", row];
        let mut packets = Vec::new();
        payloads.iter().zip(1..).for_each(|(payload, id)| {
            packet::frame(payload, id, &mut packets);
        });
        let mut diagnostics = Diagnostics::default();
        diagnostics.failed();
        assert!(diagnostics.has_warnings());
        diagnostics.keep_warnings(&packets);
        let raised = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO=1062, MESSAGE_TEXT=0x62";
        assert_eq!(
            String::from_utf8(diagnostics.raise_warnings(BlockGrammar::MariaDb)).unwrap(),
            raised
        );
        assert!(!diagnostics.keeps_warnings());
    }

    /// Otherwise an ORM would take its UPDATE for one that found nothing.
    #[test]
    fn the_count_of_rows_is_put_back_where_a_statement_of_ours_came_between() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.counted(3, 0);
        assert!(!diagnostics.is_row_count_lost());
        diagnostics.disturb();
        assert!(diagnostics.is_row_count_lost());
        assert!(
            diagnostics
                .count_rows(BlockGrammar::MariaDb, false)
                .starts_with(b"BEGIN NOT ATOMIC DECLARE i INT DEFAULT 3;")
        );
        diagnostics.left_an_error();
        assert!(
            diagnostics
                .count_rows(BlockGrammar::MariaDb, false)
                .windows(CLEAR.len())
                .any(|sql| sql == CLEAR.as_bytes())
        );
        diagnostics.counted(0, 0);
        diagnostics.left_an_error();
        assert_eq!(diagnostics.count_rows(BlockGrammar::MariaDb, false), CLEAR.as_bytes());
        diagnostics.failed();
        assert_eq!(diagnostics.count_rows(BlockGrammar::MariaDb, false), b"SELECT 1");
        diagnostics.left_an_error();
        assert_eq!(
            diagnostics.count_rows(BlockGrammar::MariaDb, false),
            b"SELECT 1 FROM (SELECT 1) x"
        );
        diagnostics.counted(1 << 40, 0);
        diagnostics.disturb();
        assert!(!diagnostics.is_row_count_lost(), "it would take the server minutes");
    }
}
