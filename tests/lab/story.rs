//! How a story ends.

use std::fmt;

use crate::error::LabError;

/// How a story ends. A test prints what it returns in the form for programmers; this one is to be read.
pub type Story = Result<(), Failed>;

/// Why a story failed.
pub struct Failed(LabError);

impl From<LabError> for Failed {
    fn from(error: LabError) -> Self {
        Self(error)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
