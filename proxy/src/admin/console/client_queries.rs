//! Statements that client libraries send by themselves, on connecting and around transactions. With errors as
//! answers those libraries could not use the console.

use super::answer::Answer;
use super::client::Client;
use super::table::{Table, cell};

mod select;
mod variables;

pub(super) use variables::SERVER_VERSION;

/// The answer to `words` (one space between two words) if it is something libraries send, `None` if
/// it is not.
pub(super) fn answer(words: &str, client: Client, user: &str) -> Option<Answer> {
    let upper = words.to_ascii_uppercase();
    let mut tokens = upper.split(' ');
    match tokens.next()? {
        "" | "SET" | "USE" | "BEGIN" | "START" | "COMMIT" | "ROLLBACK" => Some(Answer::Done),
        "SELECT" => {
            let items = words.get("SELECT ".len()..)?;
            select::answer(items, client, user).map(Answer::Rows)
        }
        "SHOW" => match tokens.find(|token| !matches!(*token, "GLOBAL" | "SESSION"))? {
            "ERRORS" | "WARNINGS" => Some(Answer::Rows(Table::new(["Level", "Code", "Message"]))),
            "VARIABLES" => Some(Answer::Rows(show_variables(words))),
            _ => None,
        },
        _ => None,
    }
}

/// Every variable, or the one named after LIKE.
fn show_variables(words: &str) -> Table {
    let pattern = words.split('\'').nth(1);
    let mut table = Table::new(["Variable_name", "Value"]);
    for (name, value) in variables::ALL {
        if pattern.is_none_or(|pattern| variables::matches(pattern, name)) {
            table.push([cell(name), cell(value)]);
        }
    }
    table
}
