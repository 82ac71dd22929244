//! Error numbers of the server, by the names that its sources give them.
//!
//! Source: MariaDB documentation, "MariaDB Error Codes".

/// ER_HANDSHAKE_ERROR: a login that the two sides cannot agree on.
pub const BAD_HANDSHAKE: u16 = 1043;
/// ER_CON_COUNT_ERROR: `max_connections` is reached.
pub const TOO_MANY_CONNECTIONS: u16 = 1040;
/// ER_DBACCESS_DENIED_ERROR: the account has no right in this database.
pub const DATABASE_ACCESS_DENIED: u16 = 1044;
/// ER_UNKNOWN_COM_ERROR: an unknown command. With a message that begins with "WSREP", a Galera node that is
/// not ready.
pub const UNKNOWN_COMMAND: u16 = 1047;
/// ER_BAD_DB_ERROR: no such database.
pub const UNKNOWN_DATABASE: u16 = 1049;
/// ER_SERVER_SHUTDOWN: the server shuts down.
pub const SERVER_SHUTDOWN: u16 = 1053;
/// ER_BAD_FIELD_ERROR: no such column.
pub const UNKNOWN_COLUMN: u16 = 1054;
/// ER_DUP_ENTRY: a row with this key exists.
pub const DUPLICATE_ENTRY: u16 = 1062;
/// ER_PARSE_ERROR: a syntax error.
pub const PARSE_ERROR: u16 = 1064;
/// ER_NO_SUCH_THREAD: KILL of a connection that does not exist.
pub const NO_SUCH_THREAD: u16 = 1094;
/// ER_HOST_IS_BLOCKED: too many logins of this host broke off.
pub const HOST_BLOCKED: u16 = 1129;
/// ER_TABLEACCESS_DENIED_ERROR: the account has no right to do this to the table.
pub const TABLE_ACCESS_DENIED: u16 = 1142;
/// ER_COLUMNACCESS_DENIED_ERROR: the account has no right to do this to the column.
pub const COLUMN_ACCESS_DENIED: u16 = 1143;
/// ER_NO_SUCH_TABLE: no such table.
pub const NO_SUCH_TABLE: u16 = 1146;
/// ER_NET_PACKET_TOO_LARGE: a packet is longer than `max_allowed_packet`.
pub const PACKET_TOO_LARGE: u16 = 1153;
/// ER_KEY_DOES_NOT_EXITS: no such index.
pub const UNKNOWN_KEY: u16 = 1176;
/// ER_ERROR_DURING_COMMIT: the COMMIT failed; Galera uses it where the outcome is not known.
pub const ERROR_DURING_COMMIT: u16 = 1180;
/// ER_LOCK_OR_ACTIVE_TRANSACTION: not allowed while tables are locked or a transaction is open.
pub const ACTIVE_TRANSACTION: u16 = 1192;
/// ER_UNKNOWN_SYSTEM_VARIABLE: no such variable.
pub const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
/// ER_TOO_MANY_USER_CONNECTIONS: `max_user_connections` is reached.
pub const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
/// ER_LOCK_WAIT_TIMEOUT: a lock, or a causal read, was waited for too long.
pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// ER_LOCK_DEADLOCK: the transaction was rolled back for a deadlock, or for a conflict in Galera.
pub const DEADLOCK: u16 = 1213;
/// ER_USER_LIMIT_REACHED: the account has used up what it may do in an hour.
pub const USER_LIMIT_REACHED: u16 = 1226;
/// ER_WRONG_VALUE_FOR_VAR: a variable cannot have this value.
pub const WRONG_VALUE_FOR_VARIABLE: u16 = 1231;
/// ER_WRONG_TYPE_FOR_VAR: a variable cannot have a value of this type.
pub const WRONG_TYPE_FOR_VARIABLE: u16 = 1232;
/// ER_NOT_SUPPORTED_YET: not supported.
pub const NOT_SUPPORTED: u16 = 1235;
/// ER_INCORRECT_GLOBAL_LOCAL_VAR: the variable is read-only, or has another scope.
pub const INCORRECT_VARIABLE_SCOPE: u16 = 1238;
/// ER_UNKNOWN_STMT_HANDLER: no such prepared statement.
pub const UNKNOWN_STATEMENT: u16 = 1243;
/// ER_OPTION_PREVENTS_STATEMENT: an option of the server forbids the statement, such as `--read-only`.
pub const OPTION_PREVENTS_STATEMENT: u16 = 1290;
/// ER_SP_DOES_NOT_EXIST: no such routine, or no such savepoint.
pub const DOES_NOT_EXIST: u16 = 1305;
/// ER_VIEW_INVALID: a view refers to what is gone.
pub const INVALID_VIEW: u16 = 1356;
/// ER_PROCACCESS_DENIED_ERROR: the account may not run the routine.
pub const ROUTINE_ACCESS_DENIED: u16 = 1370;
/// ER_CHECKREAD: the row was changed since the transaction's snapshot. With `innodb_snapshot_isolation` the
/// transaction is rolled back.
pub const RECORD_CHANGED: u16 = 1020;
/// ER_DATA_OUT_OF_RANGE: the value of an expression is too great or too small for its type.
pub const DATA_OUT_OF_RANGE: u16 = 1690;
/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: a write in a read-only transaction.
pub const READ_ONLY_TRANSACTION: u16 = 1792;
/// ER_NET_PACKETS_OUT_OF_ORDER: a packet does not have the number that follows.
pub const PACKETS_OUT_OF_ORDER: u16 = 1156;
/// ER_MALFORMED_PACKET: a packet that does not keep to the protocol.
pub const MALFORMED_PACKET: u16 = 1835;
/// ER_READ_ONLY_MODE: the server is read-only.
pub const READ_ONLY_MODE: u16 = 1836;
/// ER_CONNECTION_KILLED: somebody has killed the connection, or the node rejects all
/// (`wsrep_reject_queries=ALL_KILL`).
pub const CONNECTION_KILLED: u16 = 1927;
