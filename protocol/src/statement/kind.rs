//! Effects of a statement, as far as a proxy must know them.

use crate::flags::flags;

/// The effect of a statement, told by its keywords alone. The server may still refuse the statement, and what
/// a procedure, a function or a trigger does inside stays unseen.
///
/// `SET STATEMENT … FOR x` and executable comments (`/*!40000 x */`) count as x.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `BEGIN [WORK]`, `START TRANSACTION …`. Commits an open transaction first.
    Begin,
    /// `CALL`. May answer with any number of results.
    Call,
    /// `COMMIT`.
    Commit(Completion),
    /// Whatever else commits an open transaction: `CREATE`, `ALTER`, `DROP`, `GRANT`, `ANALYZE
    /// TABLE`, `FLUSH`, `BACKUP` … Not so `CHANGE MASTER`, `START SLAVE`, `STOP SLAVE`, `CACHE
    /// INDEX` and `LOAD INDEX`: documented to commit, they do not on MariaDB 10.11.
    ///
    /// Source: MariaDB documentation, "SQL statements That Cause an Implicit Commit", each tried
    /// on MariaDB 10.11.
    Ddl,
    /// `DEALLOCATE PREPARE`, `DROP PREPARE`.
    Deallocate,
    /// `INSERT`, `UPDATE`, `DELETE`, `REPLACE`, `LOAD DATA`, `LOAD XML`; also below `WITH` and
    /// `ANALYZE`.
    Dml,
    /// Nothing but white space and comments, at the end of a batch. See
    /// [`Statements`](super::Statements) for how the server answers it.
    Empty,
    /// `EXECUTE`, `EXECUTE IMMEDIATE`. May do anything, and answer with any number of results.
    Execute,
    /// `LOCK TABLES`. Commits an open transaction.
    LockTables,
    /// Anything else, known or not.
    Other,
    /// `PREPARE`.
    Prepare,
    /// `ROLLBACK` of the whole transaction.
    Rollback(Completion),
    /// `SAVEPOINT`, `ROLLBACK TO`, `RELEASE SAVEPOINT`.
    Savepoint,
    /// `SELECT`, `VALUES`, `TABLE`; also below `WITH` and `ANALYZE`.
    Select,
    /// `SET`, and of what.
    Set(SetTargets),
    /// `SHOW`, `DESCRIBE`, `EXPLAIN`, `HELP`.
    Show,
    /// `CREATE TEMPORARY …`, `DROP TEMPORARY …`: no commit (but `CREATE TEMPORARY SEQUENCE`
    /// commits), and the session can't move while the table exists.
    TemporaryTable,
    /// `UNLOCK TABLES`. Commits, if `LOCK TABLES` was in force.
    UnlockTables,
    /// `USE`.
    Use,
}

/// Continuation after the end of a transaction. Where neither is said, the session's variable
/// `completion_type` decides.
///
/// Source: MariaDB documentation, "COMMIT".
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Completion {
    /// `AND CHAIN`: another transaction begins at once.
    pub chain: bool,
    /// `RELEASE`: the server closes the connection.
    pub release: bool,
}

flags! {
    /// Targets of a `SET`; several at once if it has several assignments.
    pub struct SetTargets(u8) {
        /// `autocommit`, or a variable whose name is quoted. Turning it on commits.
        AUTOCOMMIT = 0x01,
        /// A global variable.
        GLOBAL = 0x02,
        /// `NAMES`, `CHARACTER SET`.
        NAMES = 0x04,
        /// `PASSWORD` and `DEFAULT ROLE` (both commit), `ROLE`.
        OTHER = 0x08,
        /// A session variable.
        SESSION = 0x10,
        /// `sql_mode`, the client's character set, or a variable whose name is quoted: how the
        /// next text is read may change.
        SYNTAX = 0x20,
        /// `TRANSACTION`: isolation level or access mode, of the next transaction alone unless
        /// [`Self::SESSION`] or [`Self::GLOBAL`] is there too.
        TRANSACTION = 0x40,
        /// A user variable (`@name`).
        USER = 0x80,
    }
}
