//! Which node is the primary? Pure functions of the previous decision, of what is known of the nodes, and of the
//! time.
//!
//! The rule, in this order:
//! 1. The primary stays the primary while it is usable. Nothing ever moves back by itself.
//! 2. A primary that is merely silent to us, or turns our probe away, and is still a member in the
//!    eyes of the others, is given [`Policy::path_timeout`](rule::Policy): more likely our way to it is
//!    broken than the node is.
//! 3. Otherwise the node that was primary last, if it is usable again; else the first usable node
//!    by [preference](rank); else, where there is no usable node, one that is a last resort.
//!    Where the proxies share a pin (see [`pin`](super::model::pin)), that is the primary, and what the rule
//!    would choose instead is proposed to all.
//!    Of two that are equally well the one is better that more of the proxies reach; and a node that only
//!    some of them reach is not left for one that fewer reach.
//! 4. Nothing is chosen at all before every node was heard, or counts as silent, so that proxies
//!    that start at different times choose alike, and do not take the one that happened to answer
//!    first.
//!
//! [`rule`] carries the rule out: it lets [`judge`] judge each node, takes the cluster from [`membership`], and
//! has [`choice`] choose. The result is a [`decision`], which the next one begins with; [`recent_pins`] are its
//! memory of changes. [`history`] keeps the last hundred for operators. [`death`] says which node its cluster need not
//! wait for.

mod choice;
pub(crate) mod death;
pub(crate) mod decision;
pub(crate) mod history;
pub(crate) mod judge;
mod membership;
pub(crate) mod rank;
mod recent_pins;
pub(crate) mod rule;

#[cfg(test)]
mod tests;
