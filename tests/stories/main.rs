//! Stories of users, told on real servers: each says what a user would lose if it failed.
//!
//! All stories are one program, so that they run side by side: most of their time they wait for Galera. A
//! story has servers of its own, at addresses of its own.
//!
//! `cargo test -p ido-proxy-tests --test stories failover::doubt` tells some of them.

mod abuse;
mod agreement;
mod clients;
mod configuration;
mod discovery;
mod ending;
mod failover;
mod hold;
mod icinga;
mod replica;
mod states;
