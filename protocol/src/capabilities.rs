//! Capabilities of the two ends of a connection. Both name theirs at login, and from then on those are in
//! force that both have.
//!
//! Sources: MariaDB documentation, "Connection" (Capabilities); MySQL source documentation,
//! "Capabilities Flags".

use crate::flags::flags;

flags! {
    /// A set of capabilities: the low 32 bits are MySQL's, the high 32 bits MariaDB's extension.
    ///
    /// The extension is sent only by a peer that does not set [`Self::LONG_PASSWORD`], in bytes
    /// that MySQL leaves zero.
    pub struct Capabilities(u64) {
        /// MySQL: improved old passwords. MariaDB calls it CLIENT_MYSQL: its *absence* says that
        /// the sender is MariaDB's and sends the extended capabilities.
        LONG_PASSWORD = 1 << 0,
        /// Affected rows are the rows found, not the rows changed.
        FOUND_ROWS = 1 << 1,
        /// Column flags have two bytes.
        LONG_FLAG = 1 << 2,
        /// The login names a database.
        CONNECT_WITH_DB = 1 << 3,
        /// `database.table.column` is refused.
        NO_SCHEMA = 1 << 4,
        /// Packets are compressed with zlib after login.
        COMPRESS = 1 << 5,
        /// Unused by servers.
        ODBC = 1 << 6,
        /// LOAD DATA LOCAL INFILE may ask the client for a file.
        LOCAL_FILES = 1 << 7,
        /// The parser ignores spaces before `(`.
        IGNORE_SPACE = 1 << 8,
        /// The protocol of MySQL 4.1, the only one spoken here.
        PROTOCOL_41 = 1 << 9,
        /// `interactive_timeout` applies instead of `wait_timeout`.
        INTERACTIVE = 1 << 10,
        /// The client goes on with TLS after a short login packet.
        SSL = 1 << 11,
        /// A private matter of client libraries.
        IGNORE_SIGPIPE = 1 << 12,
        /// Status flags are sent.
        TRANSACTIONS = 1 << 13,
        /// Formerly the protocol of MySQL 4.1.
        RESERVED = 1 << 14,
        /// Passwords are proved with a 20-byte scramble.
        SECURE_CONNECTION = 1 << 15,
        /// One COM_QUERY may hold several statements.
        MULTI_STATEMENTS = 1 << 16,
        /// A COM_QUERY may be answered by several results.
        MULTI_RESULTS = 1 << 17,
        /// A COM_STMT_EXECUTE may be answered by several results.
        PS_MULTI_RESULTS = 1 << 18,
        /// The login names an authentication plugin.
        PLUGIN_AUTH = 1 << 19,
        /// The login carries connection attributes.
        CONNECT_ATTRS = 1 << 20,
        /// The response of the plugin has a length-encoded length in the login.
        PLUGIN_AUTH_LENENC = 1 << 21,
        /// An account with an expired password may log in to change it.
        CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22,
        /// OK packets report changes of the session's state.
        SESSION_TRACK = 1 << 23,
        /// Rows end with an OK packet, and column definitions end without any.
        DEPRECATE_EOF = 1 << 24,
        /// MySQL: column definitions may be left out.
        OPTIONAL_RESULTSET_METADATA = 1 << 25,
        /// MySQL: packets are compressed with zstd after login.
        ZSTD_COMPRESSION = 1 << 26,
        /// MySQL: COM_QUERY and COM_STMT_EXECUTE carry attributes.
        QUERY_ATTRIBUTES = 1 << 27,
        /// MySQL: up to three authentication plugins, one after the other.
        MULTI_FACTOR_AUTHENTICATION = 1 << 28,
        /// MariaDB's progress reports, before the extended capabilities.
        PROGRESS_OBSOLETE = 1 << 29,
        /// A private matter of client libraries.
        SSL_VERIFY_SERVER_CERT = 1 << 30,
        /// A private matter of client libraries.
        REMEMBER_OPTIONS = 1 << 31,
        /// MariaDB: progress of long statements is reported in packets of error 0xFFFF.
        PROGRESS = 1 << 32,
        /// MariaDB: COM_MULTI, which servers from 10.3 on do not have.
        COM_MULTI = 1 << 33,
        /// MariaDB: COM_STMT_BULK_EXECUTE.
        STMT_BULK = 1 << 34,
        /// MariaDB: column definitions carry extended type information.
        EXTENDED_METADATA = 1 << 35,
        /// MariaDB: column definitions that the client has seen at prepare may be left out.
        CACHE_METADATA = 1 << 36,
        /// MariaDB: COM_STMT_BULK_EXECUTE may answer with one result for each row.
        BULK_UNIT_RESULTS = 1 << 37,
    }
}

impl Capabilities {
    /// Capabilities that are never offered nor agreed on. Compression makes packets look different. MariaDB's
    /// COM_MULTI and MySQL's several factors in one login are not followed here.
    pub const NOT_FOLLOWED: Self = Self::COMPRESS
        .union(Self::ZSTD_COMPRESSION)
        .union(Self::COM_MULTI)
        .union(Self::MULTI_FACTOR_AUTHENTICATION);

    /// The 32 bits that MySQL and MariaDB share.
    pub const fn low(self) -> u32 {
        self.bits() as u32
    }

    /// The 32 bits of MariaDB's extension.
    pub const fn extended(self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// The set made of both halves. The extension counts only when the low half says that it was
    /// sent.
    pub const fn from_halves(low: u32, extended: u32) -> Self {
        let low = Self::from_bits(low as u64);
        if low.contains(Self::LONG_PASSWORD) {
            low
        } else {
            Self::from_bits(low.bits() | (extended as u64) << 32)
        }
    }

    /// The extension as it goes on the wire: zero for a sender that is not MariaDB's.
    pub(crate) const fn extended_on_wire(self) -> u32 {
        if self.contains(Self::LONG_PASSWORD) { 0 } else { self.extended() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_survive_and_are_shown() {
        let odd = Capabilities::FOUND_ROWS | Capabilities::from_bits(1 << 63);
        assert_eq!(odd.bits(), 1 << 63 | 2);
        assert_eq!(format!("{odd:?}"), "Capabilities(FOUND_ROWS | 0x8000000000000000)");
        assert_eq!(format!("{:?}", Capabilities::empty()), "Capabilities()");
    }

    #[test]
    fn the_extension_of_a_mysql_peer_is_not_read() {
        let mysql = Capabilities::from_halves(Capabilities::LONG_PASSWORD.low(), 0xFFFF);
        assert_eq!(mysql, Capabilities::LONG_PASSWORD);
        let mariadb = Capabilities::from_halves(0, 0b100);
        assert_eq!(mariadb, Capabilities::STMT_BULK);
    }

    #[test]
    fn sets_combine() {
        let mut set = Capabilities::SSL | Capabilities::COMPRESS;
        assert!(set.contains(Capabilities::SSL));
        assert!(!set.contains(Capabilities::SSL | Capabilities::ODBC));
        assert!(set.intersects(Capabilities::SSL | Capabilities::ODBC));
        assert_eq!(set.difference(Capabilities::SSL), Capabilities::COMPRESS);
        assert_eq!(set.intersection(Capabilities::SSL), Capabilities::SSL);
        set.remove(Capabilities::SSL);
        set.insert(Capabilities::ODBC);
        assert_eq!(set, Capabilities::COMPRESS.union(Capabilities::ODBC));
        set.remove(Capabilities::COMPRESS | Capabilities::ODBC);
        assert!(set.is_empty());
    }
}
