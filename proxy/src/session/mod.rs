//! One client's conversation, from its login to its end.
//!
//! Layout, in the order a client meets it:
//! - [`listener`], [`holder`], [`acceptor`], [`worker`] — from a bound address to a thread of the
//!   data path.
//! - [`facade`], [`survey`] — what clients are greeted with, and how it is learned from the nodes.
//! - [`serve`], [`login`], [`welcome`] — the client proves who it is and is answered.
//! - [`driver`] — the loop: waits, and moves bytes as the machine says; [`polling`] — how it waits.
//! - [`route`], [`plan`] — which commands go to a node, and in which steps.
//! - [`role`], [`replica`], [`reading`], [`read_only`] — sessions that only read: where they go, and what
//!   they may not say.
//! - [`machine`] — the decisions, without sockets: replies, and the way back after a loss.
//! - [`carried`] — what goes from link to link: [`book`] (variables, schema, prepared statements),
//!   [`transaction`], [`journal`], [`fence`]; [`digest`] — rows in eight bytes; [`reason`] — why not.
//! - [`link`], [`hold`], [`change_user`] — the connection to a node, and waiting for one; [`warm`] — those
//!   that lie ready at the next one.
//! - [`owed`], [`failover`] — ids that are not to be had after a failover, and how long it took.
//! - [`end`] — why a session ended.
//! - [`wire`], [`stream`], [`unix_stream`], [`exchange`] — bytes; [`withhold`], [`low_water`] — when they may wait.
//! - [`orders`], [`context`], [`registry`], [`clock`] — what sessions share with the rest of the daemon.

pub(crate) mod acceptor;
mod book;
mod carried;
mod change_user;
pub(crate) mod clock;
pub(crate) mod context;
mod diagnostics;
mod digest;
mod driver;
mod end;
mod exchange;
pub(crate) mod facade;
pub(crate) mod failover;
pub(crate) mod fence;
pub(crate) mod greeted;
mod guard;
pub(crate) mod hold;
mod holder;
pub(crate) mod journal;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod login;
mod low_water;
mod machine;
pub(crate) mod orders;
pub(crate) mod owed;
mod plan;
pub(crate) mod polling;
mod read_only;
mod reading;
mod reason;
pub(crate) mod registry;
mod replica;
mod reports;
pub(crate) mod role;
mod route;
mod serve;
mod several;
mod stream;
pub(crate) mod survey;
#[cfg(test)]
mod testing;
mod text_rows;
mod transaction;
mod unix_stream;
mod warm;
mod welcome;
mod wire;
mod withhold;
pub(crate) mod worker;
