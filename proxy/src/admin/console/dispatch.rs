//! The way from a text to its answer: a command, or what a client library asks by itself.

use std::borrow::Cow;

use super::answer::Answer;
use super::client::Client;
use super::client_queries;
use super::show_commands::COMMANDS;
use crate::admin::status::AdminState;

/// Answers one text of `client`, whatever it is.
pub(super) fn answer(text: &str, state: &AdminState, client: Client, user: &str) -> Answer {
    let text = bare(text);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let known = COMMANDS.iter().find(|command| command.words.eq_ignore_ascii_case(&words));
    if let Some(command) = known {
        return Answer::Rows((command.run)(state));
    }
    client_queries::answer(&words, client, user).unwrap_or_else(|| Answer::Unknown(teach(&words)))
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
