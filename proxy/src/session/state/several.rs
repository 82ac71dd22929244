//! Whether the link takes several statements in one text.
//!
//! Every link does where its client can tell several results apart, whatever the client itself may send: so a frame of
//! ours goes in one text with the statement in it. A text of a client that may send one statement only, and that has
//! or may have several, is given to the link as to one that takes one: the server refuses it in its own words.

use crate::session::plan::{Step, What};

/// The setting of one link, which COM_SET_OPTION changes.
///
/// Source: MariaDB documentation, "COM_SET_OPTION".
#[derive(Debug, Default)]
pub(crate) struct Several {
    /// The setting that the link has between two commands, where it is ours to choose.
    usual: bool,
    now: bool,
}

impl Several {
    /// Setting of a link after its login.
    pub(crate) fn of_link(multi: bool) -> Self {
        Self { usual: multi, now: multi }
    }

    /// Whether the setting is ours to choose, so that each frame of ours can be one text.
    pub(crate) fn is_usual(&self) -> bool {
        self.usual
    }

    /// Whether the link takes several statements now.
    pub(crate) fn is_on(&self) -> bool {
        self.now
    }

    /// Whether the link takes several statements now, where the client may send several if `multi`.
    pub(crate) fn is_on_for(&self, multi: bool) -> bool {
        if self.usual { self.now } else { multi }
    }

    /// Notes that the setting was turned on or off.
    pub(crate) fn turned(&mut self, on: bool) {
        self.now = on;
    }

    /// Whether the setting must be turned on or off before a step is sent. A step of one statement of ours, which is as
    /// good with either, leaves it as it is.
    pub(crate) fn turn_before(&self, step: &Step) -> Option<bool> {
        let several = step.pieces.len() > 1 || step.fence_at.is_some();
        let wanted = match step.what {
            What::Single(_) => false,
            What::Close | What::Framed(_) | What::Wrapped(_) => true,
            What::Part(_) | What::Whole if several => true,
            _ => return None,
        };
        (self.usual && wanted != self.now).then_some(wanted)
    }
}
