//! Two proxies before one cluster whose nodes and ways are in every state that operators, backups and
//! networks bring about: both go to the same node at any time, and move only where it is right.

#[path = "states/node.rs"]
mod node;
#[path = "states/outage.rs"]
mod outage;
#[path = "states/pair.rs"]
mod pair;
#[path = "states/path.rs"]
mod path;
