//! Probes of the nodes: each is asked again and again how it is.
//!
//! [`prober`] asks one node a [`question`], at the [`pace`] it is given; [`meaning`] reads what the driver says.

mod meaning;
pub(crate) mod pace;
pub(crate) mod prober;
pub(crate) mod question;

#[cfg(test)]
mod tests;
