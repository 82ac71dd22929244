//! The MySQL wire protocol.
