//! The kinds of command: one byte names each.
//!
//! Sources: MariaDB documentation, "2 - Text Protocol" and "3 - Binary Protocol (Prepared
//! Statements)"; MySQL source documentation, "Command Phase".

use std::fmt;

macro_rules! commands {
    ($($(#[$meta:meta])* $name:ident = $byte:literal, $text:literal;)*) => {
        /// The kind of a command, named by the first byte of its payload.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Command {
            $($(#[$meta])* $name,)*
            /// A packet without even the byte that names the command. Servers answer with an error.
            Empty,
            /// A byte that names no command here. Servers answer with an error.
            Unknown(u8),
        }

        impl Command {
            /// The command that `byte` names.
            pub const fn from_byte(byte: u8) -> Self {
                match byte {
                    $($byte => Self::$name,)*
                    unknown => Self::Unknown(unknown),
                }
            }

            /// The byte that names the command; none for [`Self::Empty`].
            pub const fn byte(self) -> Option<u8> {
                match self {
                    $(Self::$name => Some($byte),)*
                    Self::Empty => None,
                    Self::Unknown(byte) => Some(byte),
                }
            }
        }

        /// The name as the documentation has it.
        impl fmt::Display for Command {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str($text),)*
                    Self::Empty => f.write_str("an empty command"),
                    Self::Unknown(byte) => write!(f, "unknown command {byte:#04x}"),
                }
            }
        }
    };
}

commands! {
    /// Refused by servers.
    Sleep = 0x00, "COM_SLEEP";
    /// Ends the connection.
    Quit = 0x01, "COM_QUIT";
    /// Changes the default database.
    InitDb = 0x02, "COM_INIT_DB";
    /// One batch of SQL.
    Query = 0x03, "COM_QUERY";
    /// The columns of a table, without a column count.
    FieldList = 0x04, "COM_FIELD_LIST";
    /// Refused by current servers.
    CreateDb = 0x05, "COM_CREATE_DB";
    /// Refused by current servers.
    DropDb = 0x06, "COM_DROP_DB";
    /// FLUSH, in its old form.
    Refresh = 0x07, "COM_REFRESH";
    /// Shuts the server down.
    Shutdown = 0x08, "COM_SHUTDOWN";
    /// One line of statistics, as bare text.
    Statistics = 0x09, "COM_STATISTICS";
    /// SHOW PROCESSLIST, in its old form.
    ProcessInfo = 0x0A, "COM_PROCESS_INFO";
    /// Refused by servers.
    Connect = 0x0B, "COM_CONNECT";
    /// KILL, in its old form.
    ProcessKill = 0x0C, "COM_PROCESS_KILL";
    /// The server dumps its state into its own log.
    Debug = 0x0D, "COM_DEBUG";
    /// Is anybody there?
    Ping = 0x0E, "COM_PING";
    /// Refused by servers.
    Time = 0x0F, "COM_TIME";
    /// Refused by servers.
    DelayedInsert = 0x10, "COM_DELAYED_INSERT";
    /// Logs in again on the same connection.
    ChangeUser = 0x11, "COM_CHANGE_USER";
    /// Streams the binary log.
    BinlogDump = 0x12, "COM_BINLOG_DUMP";
    /// Streams a table.
    TableDump = 0x13, "COM_TABLE_DUMP";
    /// Refused by servers.
    ConnectOut = 0x14, "COM_CONNECT_OUT";
    /// Announces a replica.
    RegisterSlave = 0x15, "COM_REGISTER_SLAVE";
    /// Prepares a statement.
    StmtPrepare = 0x16, "COM_STMT_PREPARE";
    /// Runs a prepared statement.
    StmtExecute = 0x17, "COM_STMT_EXECUTE";
    /// A part of a long parameter. Not answered.
    StmtSendLongData = 0x18, "COM_STMT_SEND_LONG_DATA";
    /// Forgets a prepared statement. Not answered.
    StmtClose = 0x19, "COM_STMT_CLOSE";
    /// Forgets the long parameters and the cursor of a prepared statement.
    StmtReset = 0x1A, "COM_STMT_RESET";
    /// Turns CLIENT_MULTI_STATEMENTS on or off.
    SetOption = 0x1B, "COM_SET_OPTION";
    /// Rows from the cursor of a prepared statement.
    StmtFetch = 0x1C, "COM_STMT_FETCH";
    /// Refused by servers.
    Daemon = 0x1D, "COM_DAEMON";
    /// Streams the binary log (MySQL).
    BinlogDumpGtid = 0x1E, "COM_BINLOG_DUMP_GTID";
    /// Makes the session as new.
    ResetConnection = 0x1F, "COM_RESET_CONNECTION";
    /// Streams all data (MySQL).
    Clone = 0x20, "COM_CLONE";
    /// Joins a replication group (MySQL).
    SubscribeGroupReplicationStream = 0x21, "COM_SUBSCRIBE_GROUP_REPLICATION_STREAM";
    /// Runs a prepared statement with many rows of parameters (MariaDB).
    StmtBulkExecute = 0xFA, "COM_STMT_BULK_EXECUTE";
    /// Internal to servers (MariaDB).
    SlaveWorker = 0xFB, "COM_SLAVE_WORKER";
    /// Internal to servers (MariaDB).
    SlaveIo = 0xFC, "COM_SLAVE_IO";
    /// Internal to servers (MariaDB).
    SlaveSql = 0xFD, "COM_SLAVE_SQL";
    /// Several commands in one (MariaDB 10.2 only).
    Multi = 0xFE, "COM_MULTI";
    /// Refused by servers.
    End = 0xFF, "COM_END";
}

impl Command {
    /// Whether the server answers it.
    pub const fn has_reply(self) -> bool {
        !matches!(self, Self::Quit | Self::StmtClose | Self::StmtSendLongData)
    }

    /// Whether it turns the connection into a stream for a replica or a copy, which ends only with
    /// the connection.
    pub const fn is_replication(self) -> bool {
        matches!(
            self,
            Self::BinlogDump
                | Self::BinlogDumpGtid
                | Self::Clone
                | Self::ConnectOut
                | Self::RegisterSlave
                | Self::SlaveIo
                | Self::SlaveSql
                | Self::SlaveWorker
                | Self::SubscribeGroupReplicationStream
                | Self::TableDump
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_names_a_command_and_is_named_by_it() {
        for byte in 0..=u8::MAX {
            assert_eq!(Command::from_byte(byte).byte(), Some(byte));
        }
        assert_eq!(Command::from_byte(0x03), Command::Query);
        assert_eq!(Command::from_byte(0xFA).to_string(), "COM_STMT_BULK_EXECUTE");
        assert_eq!(Command::from_byte(0x42).to_string(), "unknown command 0x42");
        assert_eq!(Command::Empty.byte(), None);
    }

    #[test]
    fn waiting_for_an_answer_that_never_comes_would_hang_the_client() {
        for byte in 0..=u8::MAX {
            let silent = matches!(byte, 0x01 | 0x18 | 0x19);
            assert_eq!(Command::from_byte(byte).has_reply(), !silent, "{byte:#04x}");
        }
    }
}
