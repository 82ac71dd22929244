//! Two proxies before one cluster whose nodes and ways are in every state that operators, backups and
//! networks bring about: both go to the same node at any time, and move only where it is right.

mod certificate;
mod node;
mod outage;
mod pair;
mod path;
