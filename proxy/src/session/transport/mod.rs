//! Bytes: sockets, buffers, packets of a login, and when reads and writes may wait.
//!
//! - [`stream`], [`unix_stream`] — TCP, TLS and Unix sockets as one type; [`wire`] — such a stream with its buffers.
//! - [`packet_io`] — one packet at a time, for logins.
//! - [`write_coalescing`], [`read_low_water`], [`busy_poll`] — fewer wakes, without delay; [`timer`] — their time.

pub(crate) mod busy_poll;
pub(crate) mod packet_io;
pub(crate) mod read_low_water;
pub(crate) mod stream;
pub(crate) mod timer;
pub(crate) mod unix_stream;
pub(crate) mod wire;
pub(crate) mod write_coalescing;
