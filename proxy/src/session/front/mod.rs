//! The way of a client from a bound address to its session, in this order.
//!
//! - [`listener`], [`port_owner`] — the address, and who holds it already.
//! - [`acceptor`], [`worker`] — from the address to a thread of the data path.
//! - [`greeting_probe`] — how nodes greet, and so how clients are greeted.
//! - [`login`] — the client proves who it is; [`change_user`] — and does so again.
//! - [`serve`] — a session from the accepted socket to its last log line.

pub(crate) mod acceptor;
pub(crate) mod change_user;
pub(crate) mod greeting_probe;
pub(crate) mod listener;
pub(crate) mod login;
pub(crate) mod port_owner;
pub(crate) mod serve;
pub(crate) mod worker;
