//! Question of a probe: one text for all that a node is asked.

use std::sync::Arc;

use crate::cluster::control::pin_table;
use crate::cluster::model::report::{GALERA_STATUS, STATUS, VARIABLES};
use crate::cluster::model::settings::ClusterKind;

/// All that a probe asks, in one text: most of a probe's cost is its round trip and wakeup.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The statements, with semicolons between.
    pub(super) text: Arc<str>,
    /// Whether the last one reads the pin.
    pub(super) for_pin: bool,
}

impl Question {
    /// The question to a server of this kind. A Galera node is asked for the pin in the database `schema`, too.
    pub(crate) fn new(kind: ClusterKind, schema: &str) -> Self {
        let for_pin = kind == ClusterKind::Galera;
        let galera: &[&str] = if for_pin { &GALERA_STATUS } else { &[] };
        let status = names(STATUS.iter().chain(galera));
        let variables = names(&VARIABLES);
        let mut text = format!(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ({status});\
             SHOW GLOBAL VARIABLES WHERE Variable_name IN ({variables})"
        );
        if for_pin {
            text = format!("{text};{}", pin_table::query(schema));
        }
        Self { text: text.into(), for_pin }
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> String {
    names.into_iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",")
}
