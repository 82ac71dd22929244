//! The status flags that OK and EOF packets and the greeting carry.
//!
//! Sources: MariaDB documentation, "OK_Packet" (Server Status Flag); MySQL source documentation,
//! "SERVER_STATUS_flags_enum".

use crate::flags::flags;

flags! {
    /// Status of the session after a statement, as the server tells it.
    pub struct StatusFlags(u16) {
        /// A transaction is open.
        IN_TRANS = 0x0001,
        /// Autocommit is on.
        AUTOCOMMIT = 0x0002,
        /// Another result of the same command follows.
        MORE_RESULTS = 0x0008,
        /// The statement used no good index.
        NO_GOOD_INDEX_USED = 0x0010,
        /// The statement used no index.
        NO_INDEX_USED = 0x0020,
        /// A cursor was opened: rows come only when fetched.
        CURSOR_EXISTS = 0x0040,
        /// The last row of a cursor was sent.
        LAST_ROW_SENT = 0x0080,
        /// The current database was dropped.
        DB_DROPPED = 0x0100,
        /// A backslash in a string is an ordinary character.
        NO_BACKSLASH_ESCAPES = 0x0200,
        /// The statement was prepared again, and its columns differ.
        METADATA_CHANGED = 0x0400,
        /// The statement was slower than `long_query_time`.
        QUERY_WAS_SLOW = 0x0800,
        /// The row holds the OUT parameters of a procedure.
        PS_OUT_PARAMS = 0x1000,
        /// The open transaction is read-only.
        IN_TRANS_READONLY = 0x2000,
        /// The OK packet reports changes of the session's state, if that was negotiated.
        SESSION_STATE_CHANGED = 0x4000,
        /// MariaDB: `"` quotes identifiers, not strings.
        ANSI_QUOTES = 0x8000,
    }
}
