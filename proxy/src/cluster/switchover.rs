//! Makes another node the primary because somebody wants it: the pin is changed, and every proxy follows.

use thiserror::Error;

use super::decide::{Cause, Proposal};
use super::discover::SourceError;
use super::look::{Look, look};
use super::pin::{Agreement, Pin, Reading};
use super::propose::{ProposeError, Proposer};
use super::settings::Settings;
use super::topology::NodeAddr;
use super::verdict::{Reason, Verdict};

/// Why the primary is the same as before.
#[derive(Debug, Error)]
pub(crate) enum SwitchoverError {
    /// A source of nodes cannot be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The node is not known by this name or address.
    #[error("no node is called {wanted}; there are: {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
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
    /// There is nothing that all proxies would go by.
    #[error("the proxies share no pin ({0}): run `ido-proxy setup | mariadb` on one node")]
    NoPin(String),
    /// The change failed. It may be tried again.
    #[error("the pin was not changed: {0}")]
    Failed(#[from] ProposeError),
    /// Somebody else has changed it in the same moment.
    #[error("the pin was changed meanwhile, to {}, by {}: {}", .0.node, .0.by, .0.reason)]
    Overtaken(Pin),
}

/// Pins the node called `wanted`, which is its name, its address, or its address without the port.
///
/// # Errors
/// [`SwitchoverError`]; nothing was changed then.
pub(crate) async fn switch_over(
    mut settings: Settings,
    wanted: &str,
    by: String,
) -> Result<Pin, SwitchoverError> {
    settings.name = by;
    let proposer = Proposer::of(&settings);
    let seen = look(settings).await?;
    let (node, cluster) = find(&seen, wanted)?;
    let pin = match seen.agreement {
        Agreement::Pinned(pin) => pin,
        Agreement::BestEffort(words) => return Err(SwitchoverError::NoPin(words)),
        Agreement::Unknown => return Err(SwitchoverError::NoPin("nobody could read it".into())),
    };
    if let Some(pin) = pin.as_ref().filter(|pin| pin.node == node) {
        return Ok(pin.clone());
    }
    let expected = pin.map(|pin| pin.epoch);
    let proposal = Proposal { cluster, expected, node, cause: Cause::Ordered };
    match proposer.propose(&proposal).await? {
        Reading::Set(pin) if pin.node == node => Ok(pin),
        Reading::Set(pin) => Err(SwitchoverError::Overtaken(pin)),
        Reading::Missing(words) => Err(SwitchoverError::NoPin(words)),
        Reading::Unset | Reading::Unread => {
            Err(SwitchoverError::NoPin("it is not there after the change".into()))
        }
    }
}

/// The node, and its cluster.
fn find(seen: &Look, wanted: &str) -> Result<(NodeAddr, String), SwitchoverError> {
    let is_it = |address: &NodeAddr, name: &Option<String>| {
        name.as_deref() == Some(wanted)
            || address.to_string() == wanted
            || address.0.ip().to_string() == wanted
    };
    let found = seen.nodes.iter().find(|(address, name, _)| is_it(address, name));
    let Some((node, _, verdict)) = found else {
        let known = seen.nodes.iter().map(|(address, name, _)| match name {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        });
        return Err(SwitchoverError::Unknown { wanted: wanted.to_owned(), known: known.collect() });
    };
    if let Verdict::Unusable(reason) | Verdict::LastResort(reason) = verdict {
        return Err(SwitchoverError::Unusable { node: *node, reason: reason.clone() });
    }
    let cluster = seen.clusters.get(node).cloned().unwrap_or_default();
    Ok((*node, cluster))
}
