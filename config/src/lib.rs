//! The configuration file of ido-proxy: read once, checked whole, then plain typed values.
//!
//! # Layout
//! From the top down; a module uses those below it alone:
//! - [`setup`]: the SQL that prepares a cluster for this configuration
//! - `config`: the whole file, and every key of it
//! - [`listen`], [`discovery`], [`tls`], [`monitor`], [`users`], [`control`], [`failover`], [`journal`],
//!   [`admin`], [`logs`]: one table of the file each, with its defaults
//! - [`consul`]: the keys of [`discovery`] for Consul's HTTP interface
//! - [`certificates`]: files of certificates to trust
//! - [`address`], [`service_name`], [`topology`], `account_name`: values of single keys
//! - `secret`: passwords and tokens from the file itself, from a file of their own, or from systemd
//! - `report`, `strays`, `syntax`, `tree`: how all problems are found at once, each with its place
//! - [`problem`]: what can be wrong, and how it is shown
//! - `keys`: what a key is, and what it takes, for the help that errors give
//! - `text`: values that stand in the file as text
//! - `redact`: keeps passwords out of the lines that errors quote
//!
//! Every value is checked while it is read: what holds for a [`Config`] is stated by its types and
//! field docs, and nobody needs to check it again.

pub mod address;
pub mod admin;
pub mod certificates;
pub mod consul;
pub mod control;
pub mod discovery;
pub mod failover;
pub mod journal;
pub mod listen;
pub mod logs;
pub mod monitor;
pub mod problem;
pub mod service_name;
pub mod setup;
pub mod tls;
pub mod topology;
pub mod users;

mod account_name;
mod config;
mod keys;
mod redact;
mod report;
mod secret;
mod strays;
mod syntax;
mod text;
mod tree;

pub use crate::config::{Config, Environment};
pub use crate::problem::{Errors, Problem, render};
pub use crate::topology::Topology;

#[cfg(test)]
mod tests;
