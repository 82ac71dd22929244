//! Purposes of the requests of a recovery.

use crate::session::state::journal::record::Told;
use crate::session::state::settings::State;

/// Purpose of a request of the way back.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Statement that need not succeed.
    Attempt,
    /// Reads the fence, once all that was committed is applied.
    Barrier,
    /// Statement that must succeed.
    Must,
    /// Gives the link the variables of this state, all in one statement.
    Settings(State),
    /// Gives it this one variable, with this value; by another name, or as NULL, if it was tried otherwise before.
    Setting {
        /// Name of the variable.
        name: Vec<u8>,
        /// Value of the variable.
        value: Vec<u8>,
        /// The second try.
        again: bool,
    },
    /// Brings the link into the state in which the client's statement of this number was prepared.
    Stage(u32),
    /// Turns the guard on.
    Guard,
    /// The client's prepared statement of this number.
    Prepare(u32),
    /// Statements that were done already.
    Replay {
        /// Results that the statements told; `None` stands for one of ours between them.
        expected: Vec<Option<Told>>,
        /// Whether the client knows.
        known: bool,
    },
}
