//! State of a session that outlives its link.
//!
//! - [`session_state`] — all of it, and how it changes with each packet; [`link_facts`] — what a link is like.
//! - [`settings`] — variables, schema, prepared statements; [`reports`] — what the server reports of them.
//! - [`transaction`], [`guard`] — what is open; [`journal`] — what was said in it; [`digest`] — rows in eight bytes.
//! - [`fence`] — the proof of a COMMIT; [`reserved_ids`] — ids that a lost transaction had been given.
//! - [`write_ids`] — which writes tell ids; [`holdings`] — what keeps the session at its node.
//! - [`diagnostics`] — what the client may still ask about its last statement; [`several`] — statements in one text.
//! - [`text_rows`] — rows of the text protocol.

pub(crate) mod diagnostics;
pub(crate) mod digest;
pub(crate) mod fence;
pub(crate) mod guard;
pub(crate) mod holdings;
pub(crate) mod journal;
pub(crate) mod link_facts;
pub(crate) mod reports;
pub(crate) mod reserved_ids;
pub(crate) mod session_state;
pub(crate) mod settings;
pub(crate) mod several;
pub(crate) mod text_rows;
pub(crate) mod transaction;
pub(crate) mod write_ids;
