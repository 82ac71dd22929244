//! `SELECT` of system variables, of who one is, and of plain numbers: no more SQL than libraries
//! and health checks use by themselves.

use super::variables::{self, SERVER_VERSION};
use crate::admin::console::client::Client;
use crate::admin::console::table::{Cell, Table, cell};

/// One row with the value of each of `items`, or `None` if one of them is beyond the console.
pub(super) fn answer(items: &str, client: Client, user: &str) -> Option<Table> {
    let items = without_limit(items);
    let row = items.split(',').map(|item| {
        let (expression, name) = named(item.trim())?;
        Some((name.to_owned(), value(expression, client, user)?))
    });
    row.collect::<Option<Vec<_>>>().map(Table::of_one_row)
}

fn without_limit(items: &str) -> &str {
    let upper = items.to_ascii_uppercase();
    upper.rfind(" LIMIT ").map_or(items, |at| &items[..at])
}

/// An expression and the name of its column: `@@version AS v`, `@@version v` or `@@version`.
fn named(item: &str) -> Option<(&str, &str)> {
    let words: Vec<_> = item.split(' ').collect();
    match words[..] {
        [expression] => Some((expression, expression)),
        [expression, name] => Some((expression, name)),
        [expression, word, name] if word.eq_ignore_ascii_case("AS") => Some((expression, name)),
        _ => None,
    }
    .map(|(expression, name)| (expression, name.trim_matches(['`', '\'', '"'])))
}

/// The value of an expression, `None` if it is none of ours.
fn value(expression: &str, client: Client, user: &str) -> Option<Cell> {
    let lower = expression.to_ascii_lowercase();
    if let Some(variable) = lower.strip_prefix("@@") {
        let name = variable.rsplit('.').next().unwrap_or(variable);
        return Some(variables::value(name).and_then(cell));
    }
    match lower.as_str() {
        "connection_id()" => Some(cell(client.id)),
        "current_user" | "current_user()" | "session_user()" | "user()" => {
            Some(cell(format_args!("{user}@{}", client.peer.ip())))
        }
        "database()" | "schema()" | "null" => Some(None),
        "version()" => Some(cell(SERVER_VERSION)),
        number => number.parse::<u64>().ok().map(cell),
    }
}
