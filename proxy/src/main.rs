//! ido-proxy: keeps Icinga's database connection alive on a MariaDB Galera cluster.

mod admin;
mod cluster;
mod session;
mod telemetry;

fn main() {}
