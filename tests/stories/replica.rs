//! Clients that only read: Icinga Web and Grafana read beside Icinga, and not at its cost.

#[path = "replica/choice.rs"]
mod choice;
#[path = "replica/loss.rs"]
mod loss;
#[path = "replica/reader.rs"]
mod reader;
#[path = "replica/refused.rs"]
mod refused;
#[path = "replica/stage.rs"]
mod stage;
