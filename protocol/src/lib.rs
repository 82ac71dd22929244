//! The MySQL wire protocol as a proxy needs it. Sans-IO: bytes in, values and bytes out. No
//! sockets, no clock, no tasks; the same input always gives the same output.
//!
//! # Layout
//! Framing and the words both sides speak:
//! - [`packet`] cuts the byte stream into packets.
//! - [`capabilities`] and [`status`] are the two sets of flags.
//! - [`violation`] is what a peer did wrong, and what to do about it.
//!
//! Login:
//! - [`greeting`], [`login`] are the first packet of the server and the answer of the client.
//! - [`auth`] proves passwords; [`auth::server`] and [`auth::client`] are the two ends of a login.
//!
//! Commands and replies:
//! - [`command`] follows what a client sends.
//! - [`reply`] follows what a server answers, and says what carries status.
//! - [`ok`], [`eof`], [`err`] are the packets that carry status; [`prepare`] is the answer to a
//!   COM_STMT_PREPARE.
//! - [`session_state`] reads the changes an OK packet reports.
//!
//! [`fuzz`] holds one entry function for each decoder of bytes from a socket.

pub mod auth;
mod auth_plugin;
pub mod capabilities;
pub mod command;
pub mod eof;
pub mod err;
pub mod error_code;
mod flags;
pub mod fuzz;
pub mod greeting;
pub mod login;
pub mod ok;
pub mod packet;
pub mod prepare;
pub mod reply;
pub mod session_state;
pub mod statement;
pub mod status;
pub mod violation;
mod wire;

pub use violation::Violation;
