//! Greeting of a client: the lowest common of the nodes it may end up on. Otherwise a session could rely on what its
//! next node lacks.

use ido_proxy_protocol::auth::{AuthPlugin, Scramble};
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::greeting::Greeting;
use ido_proxy_protocol::status::StatusFlags;

/// Version, character set and capabilities as clients see them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClientGreeting {
    version: Vec<u8>,
    capabilities: Capabilities,
    collation: u8,
}

impl ClientGreeting {
    /// The greeting for clients of a cluster whose nodes greeted like this; of none, the most modest one.
    pub(crate) fn lowest_common(greetings: &[&Greeting]) -> Self {
        let Some(oldest) =
            greetings.iter().min_by_key(|greeting| version_number(&greeting.server_version))
        else {
            return Self::default();
        };
        Self {
            version: oldest.server_version.clone(),
            capabilities: greetings
                .iter()
                .fold(RELAYED, |common, greeting| common.intersection(greeting.capabilities)),
            collation: oldest.collation,
        }
    }

    /// The first packet for a client that is known by the id of this thread.
    pub(crate) fn greeting(&self, thread: u32, scramble: Scramble) -> Greeting {
        Greeting {
            server_version: self.version.clone(),
            connection_id: thread,
            scramble,
            capabilities: self.capabilities,
            collation: self.collation,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin: AuthPlugin::NativePassword,
        }
    }
}

/// Before any node was seen: what every MariaDB since 10.3 has.
impl Default for ClientGreeting {
    fn default() -> Self {
        Self {
            version: b"5.5.5-10.3.0-MariaDB".to_vec(),
            capabilities: RELAYED,
            collation: LATIN1_SWEDISH_CI,
        }
    }
}

/// `10.11.6` of `5.5.5-10.11.6-MariaDB`, for comparison. (MariaDB before 11 puts `5.5.5-` in front
/// for the sake of old replication clients.)
fn version_number(version: &[u8]) -> Vec<u32> {
    let version = version.strip_prefix(b"5.5.5-").unwrap_or(version);
    let end = version
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.')
        .unwrap_or(version.len());
    version[..end]
        .split(|byte| *byte == b'.')
        .filter_map(|part| std::str::from_utf8(part).ok()?.parse().ok())
        .collect()
}

/// Capabilities that this version relays. Left out: compression and TLS, which end here; query attributes and
/// optional metadata of MySQL 8, which change the layout of commands and rows; COM_MULTI, which no server has any
/// more; multi-factor login.
const RELAYED: Capabilities = Capabilities::FOUND_ROWS
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::NO_SCHEMA)
    .union(Capabilities::ODBC)
    .union(Capabilities::LOCAL_FILES)
    .union(Capabilities::IGNORE_SPACE)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::INTERACTIVE)
    .union(Capabilities::IGNORE_SIGPIPE)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::RESERVED)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC)
    .union(Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF)
    .union(Capabilities::PROGRESS_OBSOLETE)
    .union(Capabilities::REMEMBER_OPTIONS)
    .union(Capabilities::LONG_PASSWORD)
    .union(Capabilities::PROGRESS)
    .union(Capabilities::STMT_BULK)
    .union(Capabilities::EXTENDED_METADATA)
    .union(Capabilities::CACHE_METADATA)
    .union(Capabilities::BULK_UNIT_RESULTS);

const LATIN1_SWEDISH_CI: u8 = 8;
