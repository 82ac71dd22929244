//! Nodes that cannot be trusted are left alone for a while: a server that has seen a hundred logins of a
//! host break off, one after the other, lets nobody in from there any more (error 1129).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::model::node_addr::NodeAddr;

/// The nodes, and how long each has to wait.
#[derive(Debug, Default)]
pub(super) struct Backoff(BTreeMap<NodeAddr, Wait>);

#[derive(Debug)]
struct Wait {
    flaw: String,
    /// How often in a row, at least 1.
    times: u32,
    /// When that was found last, or somebody was let through to look.
    since: Instant,
}

impl Wait {
    fn until(&self) -> Instant {
        // The first ones may come from a certificate that is just being exchanged.
        let factor = 2u32.saturating_pow(self.times.saturating_sub(SHORT));
        self.since + FIRST.saturating_mul(factor).min(LONGEST)
    }
}

impl Backoff {
    /// Whether somebody may connect to `node` now. Of those who wait for one that is left alone, the first to
    /// come after the time is let through.
    ///
    /// # Errors
    /// The flaw found at the node the last time.
    pub(super) fn admit(&mut self, node: NodeAddr, now: Instant) -> Result<(), String> {
        match self.0.get_mut(&node) {
            Some(wait) if now < wait.until() => Err(wait.flaw.clone()),
            Some(wait) => {
                wait.since = now;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether it could not be trusted the last time.
    pub(super) fn contains(&self, node: NodeAddr) -> bool {
        self.0.contains_key(&node)
    }

    /// Takes in how a connection to `node` came out that was begun at `begun`: with a flaw, or otherwise.
    /// What was begun together counts once, and nothing what is older than what is known.
    pub(super) fn note(
        &mut self,
        node: NodeAddr,
        flaw: Option<String>,
        begun: Instant,
        now: Instant,
    ) {
        let times = match self.0.get(&node) {
            Some(wait) if begun < wait.since => return,
            Some(wait) => wait.times.saturating_add(1),
            None => 1,
        };
        match flaw {
            Some(flaw) => self.0.insert(node, Wait { flaw, times, since: now }),
            None => self.0.remove(&node),
        };
    }

    /// Everybody is to be judged anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// How long at first, so many times, and how long at most.
const FIRST: Duration = Duration::from_secs(1);
const SHORT: u32 = 8;
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::model::testing::address;

    const FLAW: &str = "its certificate has expired";

    fn backed_off(now: Instant) -> (Backoff, NodeAddr) {
        let (mut backoff, node) = (Backoff::default(), address(1));
        backoff.note(node, Some(FLAW.into()), now, now);
        (backoff, node)
    }

    /// A node whose certificate expires at night would have blocked our host by the morning.
    #[test]
    fn a_node_is_asked_the_more_seldom_the_longer_it_cannot_be_trusted() {
        let mut now = Instant::now();
        let (mut backoff, node) = backed_off(now);
        let end = now + Duration::from_secs(3600);
        let mut logins = 1;
        while now < end {
            now += Duration::from_millis(20);
            match backoff.admit(node, now) {
                Ok(()) => {
                    logins += 1;
                    backoff.note(node, Some(FLAW.into()), now, now);
                }
                Err(flaw) => assert_eq!(flaw, FLAW),
            }
        }
        assert!((60..=75).contains(&logins), "{logins} in an hour");
        backoff.note(node, None, now, now);
        assert_eq!(backoff.admit(node, now), Ok(()), "it was mended");
    }

    #[test]
    fn one_of_many_who_wait_tries_and_the_others_go_by_that() {
        let start = Instant::now();
        let (mut backoff, node) = backed_off(start);
        let now = start + FIRST;
        let through = (0..1000).filter(|_| backoff.admit(node, now).is_ok()).count();
        assert_eq!(through, 1);
        assert_eq!(backoff.admit(address(2), now), Ok(()), "nobody else is meant");
    }

    /// A thousand links that fail in one moment would make it wait for the longest time.
    #[test]
    fn what_was_begun_together_counts_once() {
        let (mut backoff, node) = (Backoff::default(), address(1));
        let begun = Instant::now();
        let found = begun + Duration::from_millis(10);
        for _ in 0..1000 {
            backoff.note(node, Some(FLAW.into()), begun, found);
        }
        assert_eq!(backoff.admit(node, found + FIRST), Ok(()));
    }

    /// A primary whose certificate is exchanged in two steps would be left for it.
    #[test]
    fn a_flaw_of_a_moment_costs_a_moment() {
        let mut now = Instant::now();
        let (mut backoff, node) = backed_off(now);
        for _ in 0..3 {
            now += FIRST;
            assert_eq!(backoff.admit(node, now), Ok(()));
            backoff.note(node, Some(FLAW.into()), now, now);
        }
    }

    /// A client that leaves while its link is being made says nothing of the node.
    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let begun = Instant::now();
        let (mut backoff, node) = backed_off(begun + FIRST);
        backoff.note(node, None, begun, begun + 2 * FIRST);
        assert!(backoff.contains(node));
    }

    #[test]
    fn other_certificates_to_trust_are_tried_at_once() {
        let now = Instant::now();
        let (mut backoff, node) = backed_off(now);
        backoff.clear();
        assert_eq!(backoff.admit(node, now), Ok(()));
    }
}
