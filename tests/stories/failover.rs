//! The node that a client writes to is lost: killed, frozen, ended, cut off. The client sees a pause and
//! nothing else: no error, nothing lost, nothing twice, no id but the one it was told.
//!
//! Each story has a cluster of its own, so that they run side by side.

mod client;
mod doubt;
mod eviction;
mod gone;
mod icinga;
mod loss;
mod ordinary;
mod outage;
mod paths;
mod random;
mod replay;
mod session;
mod sizes;
mod stage;
mod variables;
mod writers;
