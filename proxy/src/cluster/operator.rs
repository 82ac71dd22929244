//! Orders of operators: which node is the primary, and which ones are drained. They are written into the pin,
//! and every proxy follows the pin.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use super::control::control_tables::ControlTables;
use super::control::pin_table::{ProposeError, propose};
use super::discovery::sources::SourceError;

use super::model::agreement::Agreement;
use super::model::cause::Cause;
use super::model::node_addr::NodeAddr;
use super::model::pin::{Pin, Reading};
use super::model::proposal::Proposal;
use super::model::settings::Settings;
use super::model::verdict::{Reason, Verdict};
use super::snapshot::{Snapshot, take_snapshot};
use super::tls::node_tls::NodeTls;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum OrderError {
    /// A source of nodes cannot be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The node is not known by this name or address.
    #[error("no node is called {wanted}; there are: {}", .known.join(", "))]
    Unknown {
        /// The name or address that the operator gave.
        wanted: String,
        /// The nodes there are.
        known: Vec<String>,
    },
    /// Writes may not go there.
    #[error("{node} cannot be the primary: {reason}")]
    Unusable {
        /// The node.
        node: NodeAddr,
        /// Why not.
        reason: Reason,
    },
    /// The proxies share no pin.
    #[error("the proxies share no pin ({0}): run `ido-proxy setup | mariadb` on one node")]
    NoPin(String),
    /// Nobody has pinned a node yet, and no node can be it.
    #[error("no node is the primary, and none is usable")]
    NoPrimary,
    /// The change failed. It may be tried again.
    #[error("the pin was not changed: {0}")]
    Failed(#[from] ProposeError),
    /// Somebody else has changed it in the same moment.
    #[error("the pin was changed meanwhile, to {}, by {}: {}", .0.node, .0.by, .0.reason)]
    Overtaken(Pin),
}

/// An operator's order about a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Make the node the primary.
    Primary,
    /// Use the node only if there is no other.
    Drain,
    /// Use the node as any other again.
    Undrain,
}

/// Carries out an `order` about the node called `wanted`, which is its name, its address, or its address without
/// the port, and returns the node with the pin as it is then. `by` is told to whoever reads the pin.
///
/// # Errors
/// [`OrderError`]; nothing was changed then.
pub(crate) async fn carry_out(
    order: Order,
    mut settings: Settings,
    tls: Option<Arc<NodeTls>>,
    wanted: &str,
    by: String,
) -> Result<(NodeAddr, Pin), OrderError> {
    settings.name = by;
    let tables = ControlTables::new(&settings, tls.clone());
    let seen = take_snapshot(settings, tls).await?;
    let node = find(&seen, wanted)?;
    let Some(proposal) = proposal(order, node, &seen)? else {
        return match seen.agreement {
            Agreement::Pinned(Some(pin)) => Ok((node, pin)),
            _ => Err(OrderError::NoPrimary),
        };
    };
    match propose(&tables, &proposal).await? {
        Reading::Set(pin) if proposal.became(&pin) && pin.by == tables.name => Ok((node, pin)),
        Reading::Set(pin) => Err(OrderError::Overtaken(pin)),
        Reading::Missing(words) => Err(OrderError::NoPin(words)),
        Reading::Unset | Reading::Unread => {
            Err(OrderError::NoPin("it is not there after the change".into()))
        }
    }
}

/// The change of the pin that carries an order out; `None` if it is as it should be.
fn proposal(order: Order, node: NodeAddr, seen: &Snapshot) -> Result<Option<Proposal>, OrderError> {
    let pin = match &seen.agreement {
        Agreement::Pinned(pin) => pin.as_ref(),
        Agreement::BestEffort(words) => return Err(OrderError::NoPin(words.clone())),
        Agreement::Unknown => return Err(OrderError::NoPin("nobody could read it".into())),
    };
    let now = pin.map(|pin| pin.node);
    let before = pin.map(|pin| pin.drained.clone()).unwrap_or_default();
    let (primary, cause, drained) = match order {
        Order::Primary => {
            let verdict = seen.nodes.iter().find(|(address, ..)| *address == node);
            if let Some((.., Verdict::Unusable(reason) | Verdict::LastResort(reason))) = verdict {
                return Err(OrderError::Unusable { node, reason: reason.clone() });
            }
            (Some(node), Cause::Ordered, before.clone())
        }
        Order::Drain => {
            let drained: BTreeSet<_> = before.iter().copied().chain([node]).collect();
            let may_stay = now.filter(|now| !drained.contains(now));
            let best = seen.preferred.iter().copied().find(|other| !drained.contains(other));
            // Where there is no other it stays, until there is one.
            (may_stay.or(best).or(now), Cause::Drained { node }, drained)
        }
        Order::Undrain => {
            let drained = before.iter().copied().filter(|other| *other != node).collect();
            let best = seen.preferred.first().copied();
            (now.or(best), Cause::Undrained { node }, drained)
        }
    };
    if primary == now && drained == before {
        return Ok(None);
    }
    let primary = primary.ok_or(OrderError::NoPrimary)?;
    Ok(Some(Proposal {
        cluster: seen.clusters.get(&primary).cloned().unwrap_or_default(),
        expected: pin.map(|pin| pin.epoch),
        node: primary,
        cause,
        drained: Some(drained).filter(|drained| *drained != before),
    }))
}

fn find(seen: &Snapshot, wanted: &str) -> Result<NodeAddr, OrderError> {
    let is_it = |address: &NodeAddr, name: &Option<String>| {
        name.as_deref() == Some(wanted)
            || address.to_string() == wanted
            || address.0.ip().to_string() == wanted
    };
    let found = seen.nodes.iter().find(|(address, name, _)| is_it(address, name));
    found.map(|(node, ..)| *node).ok_or_else(|| {
        let known = seen.nodes.iter().map(|(address, name, _)| match name {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        });
        OrderError::Unknown { wanted: wanted.to_owned(), known: known.collect() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::model::testing::address;

    fn seen(usable: &[u8], primary: u8, drained: &[u8]) -> Snapshot {
        let drained: BTreeSet<_> = drained.iter().map(|node| address(*node)).collect();
        let pin =
            Pin { node: address(primary), epoch: 7, reason: "".into(), by: "".into(), drained };
        let agreement = Agreement::Pinned(Some(pin));
        let verdict = |node| match usable.contains(&node) {
            true => Verdict::Usable,
            false => Verdict::Unusable(Reason::Silent),
        };
        let nodes = (1..=3).map(|node| (address(node), Some(format!("node{node}")), verdict(node)));
        Snapshot {
            service: None,
            consul: None,
            preferred: usable.iter().map(|node| address(*node)).collect(),
            nodes: nodes
                .map(|(node, name, verdict)| (node, name, agreement.applied(node, verdict)))
                .collect(),
            clusters: (1..=3).map(|node| (address(node), "ours".to_owned())).collect(),
            agreement,
        }
    }

    fn ordered(
        order: Order,
        node: u8,
        seen: &Snapshot,
    ) -> Option<(NodeAddr, Option<Vec<NodeAddr>>)> {
        let proposal = proposal(order, address(node), seen).unwrap()?;
        assert_eq!(proposal.expected, Some(7));
        Some((proposal.node, proposal.drained.map(|nodes| nodes.into_iter().collect())))
    }

    /// A node would be taken down while all proxies write to it.
    #[test]
    fn a_primary_that_is_drained_is_left_in_the_same_change() {
        let seen = seen(&[1, 2, 3], 1, &[2]);
        let both = vec![address(1), address(2)];
        assert_eq!(ordered(Order::Drain, 1, &seen), Some((address(3), Some(both))));
    }

    /// Whoever drains one node moves nobody who is elsewhere.
    #[test]
    fn a_node_that_is_not_the_primary_is_drained_without_a_move() {
        let seen = seen(&[1, 2, 3], 1, &[]);
        assert_eq!(ordered(Order::Drain, 2, &seen), Some((address(1), Some(vec![address(2)]))));
    }

    /// Clients would have no database.
    #[test]
    fn the_last_usable_node_stays_the_primary_though_it_is_drained() {
        let seen = seen(&[1], 1, &[]);
        assert_eq!(ordered(Order::Drain, 1, &seen), Some((address(1), Some(vec![address(1)]))));
    }

    /// Nothing moves back by itself.
    #[test]
    fn a_node_that_is_given_back_is_not_the_primary_for_that() {
        let seen = seen(&[1, 2, 3], 3, &[1, 2]);
        assert_eq!(ordered(Order::Undrain, 1, &seen), Some((address(3), Some(vec![address(2)]))));
    }

    /// A script may say it twice.
    #[test]
    fn an_order_that_is_carried_out_already_changes_nothing() {
        let seen = seen(&[1, 2, 3], 3, &[1]);
        assert_eq!(ordered(Order::Drain, 1, &seen), None);
        assert_eq!(ordered(Order::Undrain, 2, &seen), None);
        assert_eq!(ordered(Order::Primary, 3, &seen), None);
    }

    /// The proxies would leave it again at once.
    #[test]
    fn a_drained_node_cannot_be_made_the_primary() {
        let seen = seen(&[1, 2, 3], 3, &[1]);
        let refused = proposal(Order::Primary, address(1), &seen);
        assert!(matches!(refused, Err(OrderError::Unusable { reason: Reason::Drained, .. })));
    }
}
