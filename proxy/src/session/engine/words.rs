//! Words that we say to a node.

/// The code of an error that no node has sent.
pub(super) const OURS: u16 = 0;

/// COM_QUERY.
pub(super) const COM_QUERY: u8 = 0x03;

/// COM_SET_OPTION. 0 is on, and 1 is off.
///
/// Source: MariaDB documentation, "COM_SET_OPTION".
pub(super) const SET_OPTION: u8 = 0x1B;

pub(super) fn query(sql: impl AsRef<[u8]>) -> Vec<u8> {
    [&[COM_QUERY], sql.as_ref()].concat()
}

/// Our own words. `completion_type` gives COMMIT and ROLLBACK another meaning, but not these; and in `sql_mode` ORACLE,
/// BEGIN begins a block.
///
/// Source: MariaDB documentation, "COMMIT" and "SQL_MODE=ORACLE".
pub(super) const BEGIN: &[u8] = b"START TRANSACTION";
pub(super) const COMMIT: &[u8] = b"COMMIT AND NO CHAIN NO RELEASE";
pub(super) const ROLLBACK: &[u8] = b"ROLLBACK AND NO CHAIN NO RELEASE";

/// Source: MariaDB documentation, "CURRENT_ROLE".
pub(super) const ASK_STATE: &[u8] = b"SELECT @@collation_connection, CURRENT_ROLE()";

/// Turns the guard on. A transaction that is open stays so.
///
/// Source: MariaDB documentation, "Server System Variables" (`autocommit`).
pub(super) const GUARD_ON: &[u8] = b"SET autocommit=0";
/// Turns it off. A transaction that is open would be committed.
pub(super) const GUARD_OFF: &[u8] = b"SET autocommit=1";

/// One read that waits until the node has applied whatever the cluster has committed.
///
/// Source: MariaDB documentation, "Galera Cluster System Variables" (`wsrep_sync_wait`).
pub(super) const CAUSALLY: &str = "SET STATEMENT wsrep_sync_wait=15 FOR ";

/// Ends what a replay has set: its time, and an id.
pub(super) const NOW: &[u8] = b"SET timestamp=DEFAULT, insert_id=0";
/// Ends what a replay has set, where the time cannot be set.
pub(super) const NO_INSERT_ID: &[u8] = b"SET insert_id=0";

/// A node that is not ready refuses this, but not a SELECT without a table. Seen on MariaDB 10.11.
pub(super) const READY: &[u8] = b"DO 0";

pub(super) const READ_ONLY: &[u8] = b"SELECT @@global.read_only";
