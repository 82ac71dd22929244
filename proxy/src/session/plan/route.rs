//! Which commands go to the node, and what becomes of the others.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::status::StatusFlags;

/// Destination of a command.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// The client gets this payload from us; the node never sees the command.
    Answer(Vec<u8>),
    /// Another user logs in on the same connection.
    ChangeUser,
    /// Nothing is to be done and nothing to be said.
    Drop,
    /// The client leaves.
    Quit,
    /// Not carried; the client is told so.
    Refuse(ErrPacket),
    /// To the node, which must be there.
    Relay,
}

/// The route of `command` for a session that has a link, or has none.
pub(crate) fn route(command: Command, linked: bool) -> Route {
    match command {
        Command::Quit => Route::Quit,
        Command::ChangeUser => Route::ChangeUser,
        // A client that only wants to know whether we live need not wait for a primary.
        Command::Ping if !linked => Route::Answer(pong()),
        // Without a link there is nothing to close, and no reply is expected.
        Command::StmtClose if !linked => Route::Drop,
        command if command.is_replication() => Route::Refuse(ErrPacket::new(
            NOT_SUPPORTED,
            *b"42000",
            format!("ido-proxy does not carry {command}: replicate from a node directly"),
        )),
        Command::Empty | Command::Multi | Command::Unknown(_) => {
            Route::Refuse(ErrPacket::new(UNKNOWN_COMMAND, *b"08S01", "Unknown command"))
        }
        _ => Route::Relay,
    }
}

/// The OK that a server sends for COM_PING.
pub(crate) fn pong() -> Vec<u8> {
    OkPacket { status: StatusFlags::AUTOCOMMIT, ..OkPacket::default() }
        .encode(Capabilities::PROTOCOL_41)
}

/// ER_NOT_SUPPORTED_YET.
const NOT_SUPPORTED: u16 = 1235;
/// ER_UNKNOWN_COM_ERROR.
const UNKNOWN_COMMAND: u16 = 1047;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_answered_here_only_while_there_is_no_link() {
        assert!(matches!(route(Command::Ping, false), Route::Answer(_)));
        assert_eq!(route(Command::Ping, true), Route::Relay);
    }

    #[test]
    fn replication_is_refused_by_name() {
        let Route::Refuse(error) = route(Command::BinlogDump, true) else {
            panic!("a binlog stream would never end, and would block every failover")
        };
        assert!(String::from_utf8_lossy(&error.message).contains("COM_BINLOG_DUMP"));
    }

    #[test]
    fn statements_wait_for_a_link_and_goodbyes_do_not() {
        assert_eq!(route(Command::Query, false), Route::Relay);
        assert_eq!(route(Command::StmtClose, false), Route::Drop);
        // Dropped, its statement would run without it.
        assert_eq!(route(Command::StmtSendLongData, false), Route::Relay);
        assert_eq!(route(Command::Quit, false), Route::Quit);
    }
}
