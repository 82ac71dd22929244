//! Findings about what a run of Icinga left behind, by its log, the tables and the nodes.
//!
//! Icinga has to be ended first, since it writes what it still has on its way out. Only then do its log
//! and the tables agree.

use crate::error::Result;
use crate::galera::Node;
use crate::sql;
use crate::whole::Lab;

/// Something that was to be shown, and whether it was.
#[derive(Debug)]
pub struct Finding {
    /// Whether it is as it should be.
    pub holds: bool,
    /// The finding in words.
    pub text: String,
}

/// The machine's own resolver configuration, as it was at some moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolver(Vec<u8>);

impl Resolver {
    /// The configuration as of now.
    pub fn now() -> Self {
        Self(std::fs::read("/etc/resolv.conf").unwrap_or_default())
    }
}

/// Everything that must hold after Icinga has written through the proxy for a while. `resolver` is what
/// was read before the lab began.
///
/// # Errors
/// When a log cannot be read, or node 1 does not answer.
pub async fn all(lab: &Lab, resolver: &Resolver) -> Result<Vec<Finding>> {
    Ok(vec![history(lab).await?, errors(lab)?, writes(lab)?, same_resolver(resolver)])
}

/// Everything that must hold where nodes were lost meanwhile; `node` is one that is left.
///
/// # Errors
/// When a log cannot be read, or `node` does not answer.
pub async fn all_after_a_loss(lab: &Lab, node: &Node, resolver: &Resolver) -> Result<Vec<Finding>> {
    Ok(vec![
        history_at(lab, node).await?,
        no_duplicates(node).await?,
        errors(lab)?,
        one_connection(lab)?,
        same_resolver(resolver),
    ])
}

fn same_resolver(resolver: &Resolver) -> Finding {
    let text = "/etc/resolv.conf is as it was".into();
    Finding { holds: *resolver == Resolver::now(), text }
}

/// Every state change in Icinga's log is one row of history.
///
/// # Errors
/// When the log cannot be read, or node 1 does not answer.
pub async fn history(lab: &Lab) -> Result<Finding> {
    history_at(lab, lab.galera.node(1)).await
}

/// Compares as [`history`] does, with the rows of `node` once it has applied all there is.
///
/// # Errors
/// The log cannot be read, or `node` does not answer.
pub async fn history_at(lab: &Lab, node: &Node) -> Result<Finding> {
    let changes = lab.icinga().state_changes()?;
    let mut conn = node.hold(CAUSAL).await?;
    let rows: usize =
        sql::value(&mut conn, "SELECT COUNT(*) FROM icinga.icinga_statehistory").await?;
    let lost = changes.saturating_sub(rows);
    let text = format!(
        "{changes} state changes in Icinga's log, {rows} rows of history; rows lost: {lost}"
    );
    Ok(Finding { holds: changes == rows && changes > 0, text })
}

/// Nothing stands twice in those of Icinga's tables that have no key against it.
///
/// # Errors
/// When `node` does not answer.
pub async fn no_duplicates(node: &Node) -> Result<Finding> {
    let mut conn = node.hold(CAUSAL).await?;
    let mut doubled = Vec::new();
    for (table, columns) in [
        ("icinga_statehistory", "object_id, state_time, state_time_usec"),
        ("icinga_objects", "instance_id, objecttype_id, name1, name2"),
    ] {
        let query = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM icinga.{table} GROUP BY {columns}
             HAVING COUNT(*) > 1) AS doubled"
        );
        let rows: u64 = sql::value(&mut conn, &query).await?;
        doubled.extend((rows > 0).then(|| format!("{rows} things stand twice in {table}")));
    }
    let holds = doubled.is_empty();
    let text = if holds { "nothing stands twice".into() } else { doubled.join(", ") };
    Ok(Finding { holds, text })
}

/// Icinga has connected to its database once, and never again.
///
/// # Errors
/// When the log cannot be read.
pub fn one_connection(lab: &Lab) -> Result<Finding> {
    let connected = lab.icinga().connections()?;
    let text = format!("Icinga has connected {connected} times");
    Ok(Finding { holds: connected == 1, text })
}

/// Icinga saw no trouble with its database.
///
/// # Errors
/// When the log cannot be read.
pub fn errors(lab: &Lab) -> Result<Finding> {
    let errors = lab.icinga().ido_errors()?;
    let text = match errors.first() {
        None => "no error of its database connection in Icinga's log".to_owned(),
        Some(first) => format!("{} errors in Icinga's log, the first: {first}", errors.len()),
    };
    Ok(Finding { holds: errors.is_empty(), text })
}

/// Every write went to one node, as the nodes' own general logs say.
///
/// # Errors
/// When a log cannot be read.
pub fn writes(lab: &Lab) -> Result<Finding> {
    let mut counts = Vec::new();
    for node in lab.galera.nodes() {
        counts.push((node.name(), node.recorded_writes()?));
    }
    let written = counts.iter().filter(|(_, writes)| *writes > 0).count();
    let counts = counts.iter().map(|(node, writes)| format!("{writes} on {node}"));
    let text = format!("statements that write: {}", counts.collect::<Vec<_>>().join(", "));
    Ok(Finding { holds: written == 1, text })
}

/// From here on every read waits until all that the cluster has committed is applied.
const CAUSAL: &str = "SET SESSION wsrep_sync_wait = 7";
