//! A session of the daemon, as the commands that ask for sessions show it.

use std::fmt;

use serde::Deserialize;

/// The fields of a session in `/status` that are needed here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Session {
    id: u32,
    user: Option<String>,
    pub(super) node: Option<String>,
    pub(super) role: String,
    in_transaction: bool,
    /// Why it cannot move, whatever it does.
    pub(super) stays: Option<String>,
}

/// One line: who it is, where, and why it cannot move.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().unwrap_or("-");
        let node = self.node.as_deref().unwrap_or("no node");
        let open = if self.in_transaction { ", in a transaction" } else { "" };
        write!(f, "{:>6}  {user} at {node}{open}", self.id)?;
        match &self.stays {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
impl Session {
    /// One with a link to `node`, if that has a name.
    pub(super) fn at(id: u32, node: &str, role: &str, stays: Option<&str>) -> Self {
        Self {
            id,
            user: Some("icinga".into()),
            node: Some(node.to_owned()).filter(|node| !node.is_empty()),
            role: role.into(),
            in_transaction: false,
            stays: stays.map(str::to_owned),
        }
    }
}
