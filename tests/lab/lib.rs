//! The lab: real MariaDB Galera, Consul, Icinga 2 and ido-proxy on this machine's loopback range, and
//! faults to be done to them.
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn story() -> lab::Result<()> {
//! let lab = lab::Lab::builder().proxy().icinga(200, 1_000, Duration::from_secs(10)).start().await?;
//! lab.galera.node(1).kill().await?;
//! lab.galera.size(2, Duration::from_secs(30)).await?;
//! lab.end().await
//! # }
//! ```
//!
//! Layout:
//! - [`whole`] — all parts together: [`Lab`].
//! - [`run`] — one run: its [`number`], addresses and folders.
//! - [`galera`], [`discovery`] ([`consul`], [`dns`]), [`proxy`], [`icinga`] — the parts.
//! - [`plain`] — one server that is no cluster, for stories that need none.
//! - [`certificates`] — who signs for nodes that are spoken to by TLS.
//! - [`faults`], [`firewall`] — broken networks, [`delay`] — slow ones; signals are methods of the parts.
//! - [`story`] — how a test that tells a story ends.
//! - [`counters`], [`findings`] — what Icinga's log and the nodes' general logs say: counted, judged.
//! - [`agreement`] — whether several proxies name the same primary.
//! - [`ledger`] — writers with unique tokens, and an audit of what became of them.
//! - [`part`], [`process`], [`leftovers`] — programs, and their end whatever happens;
//!   [`system`] — whose they are; [`tool`] — those that end by themselves.
//! - [`wait`], [`error`], [`sql`], [`raw`], [`http`] — asking, and saying what was heard.

pub mod agreement;
pub mod certificates;
pub mod consul;
pub mod counters;
pub mod delay;
pub mod discovery;
pub mod dns;
pub mod error;
pub mod faults;
pub mod findings;
pub mod firewall;
pub mod galera;
pub mod http;
pub mod icinga;
pub mod ledger;
pub mod leftovers;
pub mod number;
pub mod part;
pub mod plain;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod run;
pub mod sql;
pub mod story;
pub mod system;
pub mod tool;
pub mod wait;
pub mod whole;

pub use self::error::{LabError, Result};
pub use self::whole::{Builder, Lab, Step};
