//! The node that a client writes to is lost: killed, frozen, ended, cut off. The client sees a pause and
//! nothing else: no error, nothing lost, nothing twice, no id but the one it was told.
//!
//! Each story has a cluster of its own, so that they run side by side.

#[path = "failover/client.rs"]
mod client;
#[path = "failover/doubt.rs"]
mod doubt;
#[path = "failover/gone.rs"]
mod gone;
#[path = "failover/icinga.rs"]
mod icinga;
#[path = "failover/loss.rs"]
mod loss;
#[path = "failover/outage.rs"]
mod outage;
#[path = "failover/paths.rs"]
mod paths;
#[path = "failover/random.rs"]
mod random;
#[path = "failover/replay.rs"]
mod replay;
#[path = "failover/session.rs"]
mod session;
#[path = "failover/sizes.rs"]
mod sizes;
#[path = "failover/stage.rs"]
mod stage;
#[path = "failover/writers.rs"]
mod writers;
