//! Commands that a reader may not send.
//!
//! Every link of a reader is set to read-only transactions, and the server then refuses whatever would
//! write: DML, DDL, grants, sequences, `FOR UPDATE`, and functions that write. What is refused here is
//! the rest. Seen on MariaDB 10.11, a session in that mode may still
//! - leave it: `SET SESSION TRANSACTION READ WRITE`, `START TRANSACTION READ WRITE`, `SET tx_read_only=0`,
//!   `SET STATEMENT tx_read_only=0 FOR …`, and a procedure or a block that does one of these;
//! - change the server: `SET GLOBAL`, `FLUSH`, `RESET`, `PURGE`, `CHANGE MASTER`, `SHUTDOWN`;
//! - keep the node from applying what others commit: `LOCK TABLES`, `FLUSH TABLES WITH READ LOCK`;
//! - write statistics (`ANALYZE TABLE`) and files (`INTO OUTFILE`).
//!
//! So what is not known to read is refused. What the server would refuse by itself is refused too, for the
//! sake of an error that says where to go instead.
//!
//! Not seen is what a function does inside. One that turns the mode off makes room for another one that
//! writes, both in statements that only read by their text. Only the grants of the account stop that.

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::statement::{Kind, SetTargets, Statement, Statements};

use crate::session::plan::{Scene, contains};

/// The error for a command that a reader may not send; `None`: it goes on. `payload` is the whole of it,
/// unless it is too long to be kept.
pub(crate) fn refusal(command: Command, payload: Option<&[u8]>, scene: Scene) -> Option<ErrPacket> {
    let what = match (command, payload.and_then(|payload| payload.get(1..))) {
        (Command::Query | Command::StmtPrepare, None) => Some("a text that long"),
        (Command::Query, Some(sql)) if scene.takes_several() => {
            Statements::new(sql, scene.dialect).find_map(|statement| unread(&statement))
        }
        (Command::Query | Command::StmtPrepare, Some(sql)) => {
            unread(&Statement::single(sql, scene.dialect))
        }
        (Command::CreateDb | Command::DropDb, _) => Some("a change of the schema"),
        (Command::Refresh, _) => Some("FLUSH"),
        (Command::Shutdown, _) => Some("a shutdown"),
        _ => None,
    };
    what.map(error)
}

/// Names the part of a statement that is not known to be reading.
fn unread(statement: &Statement<'_>) -> Option<&'static str> {
    if statement.open_ended {
        return Some("a block, or a text whose statements cannot be told apart,");
    }
    let sql = statement.sql;
    let names = |name: &[u8]| contains(sql, name) && statement.mentions(name);
    let what = match statement.kind {
        Kind::Begin => names(b"WRITE").then_some("a transaction that may write"),
        Kind::Call => Some("CALL, since what a procedure does is not seen,"),
        Kind::Commit(_)
        | Kind::Deallocate
        | Kind::Empty
        | Kind::Rollback(_)
        | Kind::Savepoint
        | Kind::Show
        | Kind::UnlockTables
        | Kind::Use => None,
        Kind::Ddl => Some("a change of the schema or of the server"),
        Kind::Dml => Some("a statement that writes"),
        Kind::Execute | Kind::Prepare => {
            Some("a statement prepared in SQL, since its text is not seen,")
        }
        Kind::LockTables => Some("LOCK TABLES"),
        Kind::Other => (!reads(sql)).then_some("a statement that is not known to be reading"),
        Kind::Select => {
            (names(b"OUTFILE") || names(b"DUMPFILE")).then_some("a SELECT that writes a file")
        }
        Kind::Set(targets) => match () {
            () if targets.contains(SetTargets::GLOBAL) => Some("a global setting"),
            () if targets.contains(SetTargets::OTHER)
                && (names(b"PASSWORD") || names(b"DEFAULT")) =>
            {
                Some("a change of an account")
            }
            // In whatever way the variable is named.
            () if contains(sql, b"read_only") => Some("a change of the access mode"),
            () => (targets.contains(SetTargets::TRANSACTION) && names(b"WRITE"))
                .then_some("a transaction that may write"),
        },
        Kind::TemporaryTable => Some("a temporary table"),
    };
    // SET STATEMENT … FOR a statement of any kind. A SELECT asks for them with an @@.
    let mode = [&b"tx_read_only"[..], b"transaction_read_only"];
    what.or_else(|| mode.iter().any(|name| names(name)).then_some("a change of the access mode"))
}

/// Whether a statement of no kind of its own begins with a word that is known to be reading, or to concern no
/// data at all.
fn reads(sql: &[u8]) -> bool {
    let end = sql.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(sql.len());
    let word = sql.get(..end).unwrap_or_default();
    READING.iter().any(|reading| word.eq_ignore_ascii_case(reading))
}

fn error(what: &str) -> ErrPacket {
    let message = format!(
        "ido-proxy: {what} is refused at this address, which is for reading only \
         (listen.replica_addresses): connect to one of listen.addresses to write"
    );
    ErrPacket::new(READ_ONLY_TRANSACTION, *b"25006", message)
}

const READING: [&[u8]; 4] = [b"CHECKSUM", b"DO", b"HANDLER", b"KILL"];

/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: what the server itself says.
const READ_ONLY_TRANSACTION: u16 = 1792;

#[cfg(test)]
mod tests;
