//! The commands of the console, and which one a text means.

use std::borrow::Cow;

use super::shim::Client;
use super::table::Table;
use super::{chatter, show_commands, show_decisions, show_nodes, show_sessions, show_version};
use crate::admin::status::AdminState;

/// One command. Each has its own file.
#[derive(Debug)]
pub(super) struct Command {
    /// The words to type, in capitals.
    pub(super) words: &'static str,
    /// The description for `SHOW COMMANDS`.
    pub(super) help: &'static str,
    /// Computes the answer.
    pub(super) run: fn(&AdminState) -> Table,
}

/// Every command, in the order in which they are taught.
pub(super) const COMMANDS: [Command; 6] = [
    show_nodes::COMMAND,
    show_sessions::COMMAND,
    show_decisions::COMMAND,
    show_version::COMMAND,
    show_commands::COMMAND,
    show_commands::HELP,
];

/// Answer to one text.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// OK, without a result.
    Done,
    /// A result set.
    Rows(Table),
    /// No command; the text says what exists.
    Unknown(String),
}

/// Answers one text of `client`, whatever it is.
pub(super) fn answer(text: &str, state: &AdminState, client: Client, user: &str) -> Answer {
    let text = bare(text);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let known = COMMANDS.iter().find(|command| command.words.eq_ignore_ascii_case(&words));
    if let Some(command) = known {
        return Answer::Rows((command.run)(state));
    }
    chatter::answer(&words, client, user).unwrap_or_else(|| Answer::Unknown(teach(&words)))
}

/// The text without comments around it and without the semicolon at its end.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    while let Some((_, after)) = text.strip_prefix("/*").and_then(|text| text.split_once("*/")) {
        text = after.trim_start();
    }
    text.trim_end_matches(|c: char| c == ';' || c.is_whitespace())
}

fn teach(words: &str) -> String {
    let known = COMMANDS.map(|command| command.words).join(", ");
    let mut shown: Cow<'_, str> = words.into();
    if let Some((end, _)) = words.char_indices().nth(SHOWN_CHARS) {
        shown = format!("{}…", &words[..end]).into();
    }
    format!("unknown command '{shown}'; this console knows {known}")
}

/// How much of an unknown text is repeated in the error.
const SHOWN_CHARS: usize = 60;
