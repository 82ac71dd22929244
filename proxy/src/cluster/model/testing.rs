//! Answers of real servers to a probe (MariaDB 10.11, Galera 26.4), and views made from them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::node_addr::NodeAddr;
use super::node_view::{Contact, NodeView};
use super::report::{Galera, Report, Sync};

/// The rows of both statements, one after the other.
pub(crate) const SYNCED: &str = include_str!("testdata/synced.tsv");
/// With `SET GLOBAL wsrep_desync=ON`.
pub(crate) const DESYNCED: &str = include_str!("testdata/desynced.tsv");
/// While it gave its state to another node.
pub(crate) const DONOR: &str = include_str!("testdata/donor.tsv");
/// While it caught up after it had received its state.
pub(crate) const JOINING: &str = include_str!("testdata/joining.tsv");
/// While both other nodes were frozen.
pub(crate) const NON_PRIMARY: &str = include_str!("testdata/non_primary.tsv");
/// After it had been pointed at a cluster that does not exist.
pub(crate) const DISCONNECTED: &str = include_str!("testdata/disconnected.tsv");
/// A server without Galera.
pub(crate) const PLAIN: &str = include_str!("testdata/plain.tsv");

/// The rows of a capture.
pub(crate) fn rows(capture: &str) -> Vec<(String, String)> {
    let pair =
        |line: &str| line.split_once('\t').map(|(name, value)| (name.to_owned(), value.to_owned()));
    capture.lines().filter_map(pair).collect()
}

/// The rows of a capture, with some values changed.
pub(crate) fn rows_with(capture: &str, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut rows = rows(capture);
    for (name, value) in changes {
        rows.retain(|(known, _)| known != name);
        rows.push(((*name).to_owned(), (*value).to_owned()));
    }
    rows
}

/// Node `n` of a cluster: `192.0.2.n`, called `node<n>`.
pub(crate) fn address(n: u8) -> NodeAddr {
    NodeAddr(SocketAddr::from(([192, 0, 2, n], 3306)))
}

/// Node `n` in its best state, in a cluster of three.
pub(crate) fn synced(n: u8) -> NodeView {
    let galera = Galera {
        cluster: "ours".into(),
        view_id: Some(3),
        primary_component: true,
        ready: true,
        sync: Sync::Synced,
        members: [1, 2, 3].map(address).into(),
        ..Galera::default()
    };
    let report =
        Report { name: Some(format!("node{n}")), galera: Some(galera), ..Report::default() };
    NodeView {
        contact: Contact::Answering,
        report: Some(Arc::new(report)),
        ..NodeView::new(address(n), 0)
    }
}

/// The node's last report, to be changed.
pub(crate) fn said(view: &mut NodeView) -> &mut Report {
    Arc::make_mut(view.report.get_or_insert_default())
}

/// Node `n`, with a change to what it says of its cluster.
pub(crate) fn galera(n: u8, change: impl FnOnce(&mut Galera)) -> NodeView {
    let mut view = synced(n);
    said(&mut view).galera.as_mut().map(change);
    view
}
