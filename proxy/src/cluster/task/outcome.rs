//! A decision as others see it: the topology of the sessions, and lines in the log.

use crate::cluster::decide::decision::Decision;
use crate::cluster::model::agreement::Agreement;
use crate::cluster::model::cause::Cause;
use crate::cluster::model::node_view::NodeView;
use crate::cluster::model::pin::Pin;
use crate::cluster::model::topology::{Node, Stall, Topology};
use crate::cluster::model::verdict::{Reason, Verdict};

/// The topology that sessions see.
pub(super) fn topology(decision: &Decision, views: &[NodeView]) -> Topology {
    let nodes = views
        .iter()
        .map(|view| {
            let verdict = decision.verdicts.get(&view.address);
            let report = view.report.as_ref();
            Node {
                address: view.address,
                name: view.name().map(str::to_owned),
                state: view.state(),
                usable: match verdict {
                    Some(Verdict::Usable) => true,
                    Some(Verdict::LastResort(_)) => decision.primary == Some(view.address),
                    Some(Verdict::Unusable(_)) | None => false,
                },
                reason: verdict.and_then(Verdict::reason).map(ToString::to_string),
                version: report.and_then(|report| report.version.clone()),
                max_allowed_packet: report.and_then(|report| report.max_allowed_packet),
                kills: view.kills.map(|kills| kills.settled),
                stall: match verdict {
                    Some(Verdict::Unusable(Reason::Silent)) => Some(Stall::Silent),
                    Some(Verdict::LastResort(Reason::Donor)) => Some(Stall::Donating),
                    _ => None,
                },
                has_room: report.is_some_and(|report| report.has_room()),
            }
        })
        .collect();
    Topology {
        primary: decision.primary,
        next: decision.next,
        epoch: decision.epoch,
        cause: decision.cause.clone(),
        agreement: decision.agreement.clone(),
        nodes,
    }
}

/// Logs what a decision has changed.
pub(super) fn log_changes(before: &Decision, after: &Decision) {
    for (node, verdict) in &after.verdicts {
        if before.verdicts.get(node) == Some(verdict) {
            continue;
        }
        match verdict {
            Verdict::Usable => tracing::info!(%node, "node is usable"),
            Verdict::LastResort(reason) => {
                tracing::warn!(%node, %reason, "node is only a last resort");
            }
            Verdict::Unusable(Reason::NotProbed) => {}
            Verdict::Unusable(reason) => tracing::warn!(%node, %reason, "node is not usable"),
        }
    }
    match (&before.agreement, &after.agreement) {
        (before, after) if before == after => {}
        (_, Agreement::BestEffort(reason)) => tracing::warn!(
            reason,
            "no pin: each proxy chooses the primary for itself; run `ido-proxy setup | mariadb` on one node"
        ),
        (_, Agreement::Pinned(Some(Pin { node, epoch, by, reason, .. }))) => {
            tracing::info!(%node, epoch, by, reason, "pinned");
        }
        _ => {}
    }
    if before.primary == after.primary {
        return;
    }
    let (epoch, reason) = (after.epoch, &after.cause);
    match (after.primary, reason) {
        (None, _) => tracing::error!(%reason, "no primary: no node is usable"),
        (Some(node), Cause::Lost { .. }) => tracing::warn!(%node, %reason, epoch, "new primary"),
        (Some(node), _) => tracing::info!(%node, %reason, epoch, "new primary"),
    }
}
