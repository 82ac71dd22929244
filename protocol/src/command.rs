//! Commands of a client: one COM_* packet (or several, if it is long) is one command.

mod kind;
mod stream;

pub use kind::Command;
pub use stream::{CommandStep, CommandStream};
