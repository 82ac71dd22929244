//! The `oracle` command: random programs, run directly and through the proxy, and compared.
//!
//! - [`program`] is what clients say, [`grammar`] and [`generate`] make it from a number.
//! - [`packet`] is what a client sees, [`wire`] a connection that shows all of it, [`client`] who speaks.
//! - [`scratch`] is where programs work, [`run`] runs them, [`compare`] finds what differs.
//! - [`shrink`] makes a program smaller, [`known`] lists what is documented, [`ledger`] counts.
//! - [`relay`] breaks links, [`faulty`] judges what became of a program whose link broke.
//! - [`stand`] are the servers, [`campaign`] runs many programs, [`cli`] is the command line.

use std::process::ExitCode;

use clap::Parser;

mod campaign;
mod cli;
mod client;
mod compare;
mod faulty;
mod generate;
mod grammar;
mod killer;
mod known;
mod ledger;
mod packet;
mod program;
mod relay;
mod run;
mod scratch;
mod shrink;
mod stand;
mod wire;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cli::Cli::parse().execute().await
}
