//! `[listen]`: where clients are awaited.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::address::ListenAddress;
use crate::keys::{Key, key};
use crate::report::Report;
use crate::text;

/// `[listen]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Where clients reach the primary: at least one address, each once. No default.
    #[serde(deserialize_with = "text::list::<_, ListenAddress, _>")]
    pub addresses: Vec<ListenAddress>,
    /// Where read-only clients reach the other synced nodes. Default: none.
    #[serde(deserialize_with = "text::list::<_, ListenAddress, _>")]
    pub replica_addresses: Vec<ListenAddress>,
    /// Whether each read there waits until its node has applied what was committed before. Default: false.
    pub replica_sync_wait: bool,
    /// Whether addresses may be public although nothing encrypts what passes there. Default: false.
    pub allow_plaintext: bool,
    /// Clients served at a time, 1 to 100,000; more are refused. Default: 4096.
    pub max_connections: usize,
    /// How long a client may take to log in, 100 ms to 10 min. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub login_timeout: Duration,
    /// Permissions of the Unix sockets. Default: everybody may connect (`0666`), as at MariaDB's own.
    #[serde(deserialize_with = "text::one::<_, SocketMode, _>")]
    pub socket_mode: SocketMode,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            replica_addresses: Vec::new(),
            replica_sync_wait: false,
            allow_plaintext: false,
            max_connections: 4096,
            login_timeout: Duration::from_secs(10),
            socket_mode: SocketMode(0o666),
        }
    }
}

impl Listen {
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        if self.addresses.is_empty() {
            report.missing(
                "listen.addresses",
                "no address to listen at",
                "no addresses here",
                "add addresses = [\"127.0.0.1:3306\", \"/run/mysqld/mysqld.sock\"] to [listen]; \
                 a client that says host = \"localhost\" comes to the Unix socket",
            );
        }
        let primary = self.addresses.iter().map(|address| ("listen.addresses", address));
        let replica = self.replica_addresses.iter();
        let replica = replica.map(|address| ("listen.replica_addresses", address));
        let all: Vec<_> = primary.enumerate().chain(replica.enumerate()).collect();
        for (nth, (index, (key, address))) in all.iter().enumerate() {
            let path = format!("{key}.{index}");
            if all[..nth].iter().any(|(_, (_, earlier))| earlier == address) {
                report.wrong_value(&path, "listed before");
            }
            if address.is_public() && !self.allow_plaintext {
                report.error(
                    &path,
                    &format!("{address} can be reached by other machines, and nothing encrypts it"),
                    "a public address",
                    "listen at a loopback address such as 127.0.0.1:3306, or accept the risk with \
                     allow_plaintext = true in [listen]",
                );
            }
        }
        if self.replica_sync_wait && self.replica_addresses.is_empty() {
            report.warning(
                "listen.replica_sync_wait",
                "nobody reads: listen.replica_addresses is empty",
                "without effect",
                "add replica_addresses = [\"127.0.0.1:3307\"] to [listen], or delete this line",
            );
        }
        if !(1..=100_000).contains(&self.max_connections) {
            report.wrong_value("listen.max_connections", "not in 1 to 100000");
        }
        report.duration(
            "listen.login_timeout",
            self.login_timeout,
            Duration::from_millis(100)..=Duration::from_secs(600),
        );
    }
}

/// The permission bits of a Unix socket (chmod(2)), of which write permission lets a user connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The bits, at most `0o777`.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for SocketMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match u32::from_str_radix(text, 8) {
            Ok(bits) if bits <= 0o777 && !text.starts_with('+') => Ok(Self(bits)),
            _ => Err("not octal permission bits"),
        }
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("listen.addresses", ADDRESSES),
    key("listen.replica_addresses", ADDRESSES),
    key(
        "listen.replica_sync_wait",
        "true or false; true makes reads at replica_addresses wait for what was committed before",
    ),
    key("listen.allow_plaintext", "true or false; true lets public addresses be used without TLS"),
    key("listen.max_connections", "a number from 1 to 100000, as in 4096"),
    key("listen.login_timeout", "a time from \"100ms\" to \"10m\", as in \"10s\""),
    key("listen.socket_mode", "octal permission bits in quotes, as in \"0666\" or \"0660\""),
];

const ADDRESSES: &str = "an array of \"IP:PORT\" and paths of Unix sockets, each once, as in \
                         [\"127.0.0.1:3306\", \"/run/mysqld/mysqld.sock\"]";
