//! `ido-proxy explain`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;

use super::config_file::ConfigFile;
use super::daemon::{AskError, get};
use super::say::say;
use super::session_line::Session;
use crate::cluster::decide::history::utc;

/// Say why the primary is what it is, what was found of each node, and why a session can or cannot move.
///
/// Asks the daemon on this host. The same is at /status, and behind SHOW NODES, SHOW SESSIONS and SHOW
/// DECISIONS of the console.
#[derive(Args, Debug)]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigFile,
    /// How many of the last decisions to show, 100 at most
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    decisions: usize,
}

impl Explain {
    pub(super) fn execute(self) -> ExitCode {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        say(async {
            let status: Status = get(config.admin.http, "/status").await?;
            Ok::<_, AskError>(status.explain(self.decisions))
        })
    }
}

/// Fields of `/status` that the explanation needs.
#[derive(Debug, Deserialize)]
struct Status {
    primary: Option<String>,
    next: Option<String>,
    epoch: u64,
    reason: String,
    agreed: bool,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    decisions: Vec<Decision>,
}

#[derive(Debug, Deserialize)]
struct Node {
    address: String,
    name: Option<String>,
    state: String,
    usable: bool,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    at: f64,
    primary: Option<String>,
    epoch: u64,
    reason: String,
    proposal: Option<String>,
    nodes: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    address: String,
    name: Option<String>,
    state: String,
    reason: Option<String>,
}

impl Status {
    /// All of it in words, with the last `decisions` decisions.
    fn explain(&self, decisions: usize) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write(&mut text, decisions);
        text
    }

    fn write(&self, text: &mut String, decisions: usize) -> std::fmt::Result {
        match &self.primary {
            Some(primary) => writeln!(text, "The primary is {primary}: {}.", self.reason)?,
            None => writeln!(text, "There is no primary: {}.", self.reason)?,
        }
        match self.agreed {
            true => writeln!(text, "All proxies go by the same pin, epoch {}.", self.epoch)?,
            false => writeln!(
                text,
                "The proxies share no pin: each decides for itself (`ido-proxy check --live` says why)."
            )?,
        }

        writeln!(text, "\nNodes")?;
        for node in &self.nodes {
            let Node { address, state, .. } = node;
            let name = node.name.as_deref().unwrap_or("-");
            let role = self.role(node);
            write!(text, "  {address:<21}  {name:<12}  {state:<11}  {role}")?;
            match &node.reason {
                Some(reason) => writeln!(text, ": {reason}")?,
                None => writeln!(text)?,
            }
        }

        let staying = self.sessions.iter().filter(|session| session.stays.is_some()).count();
        let moving = self.sessions.len() - staying;
        writeln!(text, "\nSessions\n  {moving} can go on at another node, {staying} cannot")?;
        for session in self.sessions.iter().filter(|session| session.stays.is_some()) {
            writeln!(text, "  {session}")?;
        }

        let shown = &self.decisions[self.decisions.len().saturating_sub(decisions)..];
        writeln!(text, "\nThe last decisions")?;
        for decision in shown {
            let at = utc(decision.at);
            let primary = decision.primary.as_deref().unwrap_or("no primary");
            writeln!(text, "  {at}  epoch {}  {primary}: {}", decision.epoch, decision.reason)?;
            if let Some(proposal) = &decision.proposal {
                writeln!(text, "      wants {proposal}")?;
            }
            let nodes: Vec<_> = decision.nodes.iter().map(Found::describe).collect();
            writeln!(text, "      {}", nodes.join("; "))?;
        }
        Ok(())
    }

    fn role(&self, node: &Node) -> &'static str {
        if self.primary.as_ref() == Some(&node.address) {
            "primary"
        } else if self.next.as_ref() == Some(&node.address) {
            "would be next"
        } else if node.usable {
            "usable"
        } else {
            "not usable"
        }
    }
}

impl Found {
    fn describe(&self) -> String {
        let name = self.name.as_ref().unwrap_or(&self.address);
        format!("{name}: {}", self.reason.as_ref().unwrap_or(&self.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing;
    use crate::session::shared::registry::Registry;

    /// An operator would be told half of it, or nothing after the next change of `/status`.
    #[test]
    fn what_the_daemon_tells_is_put_into_words() {
        let (state, _topology) = testing::state();
        let sessions: &std::sync::Arc<Registry> = &state.registry;
        let session = sessions.register("client", crate::session::shared::role::RoleName::Writer);
        session.set_user(b"icinga");
        let told = serde_json::to_string(&state.status()).unwrap();
        let status: Status = serde_json::from_str(&told).unwrap();
        let text = status.explain(10);
        assert!(text.starts_with("The primary is 192.0.2.11:3306"), "{text}");
        assert!(text.contains("share no pin"), "{text}");
        assert!(text.contains("not usable: gives state to another node"), "{text}");
        assert!(text.contains("1 can go on at another node, 0 cannot"), "{text}");
    }
}
