//! Control tables of the proxies in Galera: the pin, and a row for each proxy.
//!
//! - [`connect`] logs the monitor in; [`control_tables`] keeps its connections to the tables.
//! - [`pin_table`] reads and changes the pin, [`pin_watch`] waits for another proxy's change.
//! - [`eviction`] cuts a dead node off from its cluster.
//! - [`proxy_table`] tells the other proxies what we reach, and reads what they do.

pub(crate) mod connect;
pub(crate) mod control_tables;
pub(crate) mod eviction;
pub(crate) mod pin_table;
pub(crate) mod pin_watch;
pub(crate) mod proxy_table;
mod sql_text;
