//! `[admin]`: where operators look in.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::address::{ListenAddress, TcpListen, is_public};
use crate::keys::{Key, key};
use crate::listen::Listen;
use crate::report::Report;
use crate::text;

/// `[admin]`: addresses that nothing else in the file uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Status, metrics and health over HTTP; the port is not 0. Default: 127.0.0.1:9306.
    #[serde(deserialize_with = "text::one::<_, TcpListen, _>")]
    pub http: SocketAddr,
    /// The SQL console; the port is not 0. Default: 127.0.0.1:6032.
    #[serde(deserialize_with = "text::one::<_, TcpListen, _>")]
    pub console: SocketAddr,
    /// Whether these addresses may be public although nothing encrypts what passes there.
    /// Default: false.
    pub allow_public: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 9306)),
            console: SocketAddr::from((Ipv4Addr::LOCALHOST, 6032)),
            allow_public: false,
        }
    }
}

impl Admin {
    pub(crate) fn check(&self, listen: &Listen, report: &mut Report<'_>) {
        let of_clients = listen.addresses.iter().chain(&listen.replica_addresses);
        let mut taken: Vec<ListenAddress> = of_clients.cloned().collect();
        for (path, address) in [("admin.http", self.http), ("admin.console", self.console)] {
            if is_public(address) && !self.allow_public {
                report.error(
                    path,
                    &format!("{address} can be reached by other machines"),
                    "a public address",
                    "use a loopback address such as 127.0.0.1, or accept the risk with \
                     allow_public = true in [admin]",
                );
            }
            let address = ListenAddress::Tcp(address);
            if taken.contains(&address) {
                report.error(
                    path,
                    &format!("{address} is used twice"),
                    "used for something else already",
                    "give it another port",
                );
            }
            taken.push(address);
        }
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("admin.http", "\"IP:PORT\", as in \"127.0.0.1:9306\""),
    key("admin.console", "\"IP:PORT\", as in \"127.0.0.1:6032\""),
    key("admin.allow_public", "true or false; true lets http and console use public addresses"),
];
