//! Clients that only read: Icinga Web and Grafana read beside Icinga, and not at its cost.

mod choice;
mod loss;
mod reader;
mod refused;
mod stage;
