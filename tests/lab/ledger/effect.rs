//! The statements a writer sends: each does one thing that can be seen afterwards.

use mysql_async::{Params, Value};

use super::SLOTS;

/// The effect of one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Adds a row of history. The client is told its id.
    History(u64),
    /// Writes the token to a row of status and counts the update.
    Status {
        /// Which of the writer's rows.
        slot: u32,
        /// The token that the row shows from now on.
        token: u64,
    },
    /// Changes nothing. The client is told that it matched one row, if it asked for matched rows.
    Touch {
        /// Which of the writer's rows.
        slot: u32,
    },
    /// Takes the writer's one row of program status away.
    Clear,
    /// Puts it there again. A second time is a duplicate key.
    Program(u64),
    /// Adds one to the writer's counter.
    Count,
}

impl Effect {
    /// Whether the reply tells the id of a new row.
    pub(super) fn tells_id(self) -> bool {
        matches!(self, Self::History(_) | Self::Program(_))
    }

    /// The statement, as Icinga writes statements: single quotes, backslashes, times in seconds.
    pub(super) fn text(self, writer: u32) -> String {
        match self {
            Self::History(token) => {
                let time = time_of(token);
                format!(
                    "INSERT INTO story_history (token, writer, state_time, output) \
                     VALUES ({token}, {writer}, FROM_UNIXTIME({time}), '{OUTPUT}')"
                )
            }
            Self::Status { slot, token } => format!(
                "UPDATE story_status SET token = {token}, updates = updates + 1 \
                 WHERE writer = {writer} AND slot = {slot}"
            ),
            Self::Touch { slot } => format!(
                "UPDATE story_status SET active = 1 WHERE writer = {writer} AND slot = {slot}"
            ),
            Self::Clear => format!("DELETE FROM story_program WHERE writer = {writer}"),
            Self::Program(token) => {
                format!("INSERT INTO story_program (writer, token) VALUES ({writer}, {token})")
            }
            Self::Count => {
                format!("UPDATE story_counter SET value = value + 1 WHERE writer = {writer}")
            }
        }
    }

    /// The statement with placeholders, to be prepared, and its parameters.
    pub(super) fn prepared(self, writer: u32) -> (&'static str, Params) {
        let writer = Value::from(writer);
        let (text, values) = match self {
            Self::History(token) => (
                "INSERT INTO story_history (token, writer, state_time, output) \
                 VALUES (?, ?, FROM_UNIXTIME(?), ?)",
                vec![token.into(), writer, time_of(token).into(), OUTPUT.into()],
            ),
            Self::Status { slot, token } => (
                "UPDATE story_status SET token = ?, updates = updates + 1 \
                 WHERE writer = ? AND slot = ?",
                vec![token.into(), writer, slot.into()],
            ),
            Self::Touch { slot } => (
                "UPDATE story_status SET active = 1 WHERE writer = ? AND slot = ?",
                vec![writer, slot.into()],
            ),
            Self::Clear => ("DELETE FROM story_program WHERE writer = ?", vec![writer]),
            Self::Program(token) => (
                "INSERT INTO story_program (writer, token) VALUES (?, ?)",
                vec![writer, token.into()],
            ),
            Self::Count => {
                ("UPDATE story_counter SET value = value + 1 WHERE writer = ?", vec![writer])
            }
        };
        (text, Params::Positional(values))
    }
}

/// A transaction of about `statements` statements, with tokens from `next` on. The counter is in it once.
pub(super) fn transaction(statements: usize, next: &mut u64) -> Vec<Effect> {
    let mut effects = vec![Effect::Clear, Effect::Program(take(next)), Effect::Count];
    for turn in 0..statements.saturating_sub(effects.len()).max(2) {
        effects.push(match turn % 4 {
            0 | 2 => Effect::History(take(next)),
            1 => status(next),
            _ => Effect::Touch { slot: slot_of(*next) },
        });
    }
    effects
}

/// One statement that is a transaction by itself: history, status and counter in turn.
pub(super) fn alone(next: &mut u64) -> Vec<Effect> {
    vec![match *next % 3 {
        0 => Effect::History(take(next)),
        1 => status(next),
        _ => {
            take(next);
            Effect::Count
        }
    }]
}

fn status(next: &mut u64) -> Effect {
    let token = take(next);
    Effect::Status { slot: slot_of(token), token }
}

fn take(next: &mut u64) -> u64 {
    *next += 1;
    *next
}

fn slot_of(token: u64) -> u32 {
    u32::try_from(token % u64::from(SLOTS)).unwrap_or(0)
}

fn time_of(token: u64) -> u64 {
    1_700_000_000 + token % 10_000_000
}

/// Has in it what could be taken for the end of a statement or of a transaction. As a parameter it is
/// another text of the same length; nobody reads it.
const OUTPUT: &str = "CRITICAL - it said \\'no\\'; COMMIT;BEGIN; -- \\\\ | time=0.1s;1;2;0";
