//! Agreement of the proxies on a primary: what all nodes together say of the pin.

use super::node_addr::NodeAddr;
use super::node_view::NodeView;
use super::pin::{Pin, Reading};
use super::verdict::{Reason, Verdict};

/// Whether the proxies can agree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Agreement {
    /// By the pin, which is not set yet where it is `None`.
    Pinned(Option<Pin>),
    /// No pin exists: each proxy goes by its own view. The text is the server's.
    BestEffort(String),
    /// Nobody has told yet.
    #[default]
    Unknown,
}

impl Agreement {
    /// The agreement after `views`. A pin that was once read is not forgotten while nobody can read it. No older
    /// pin takes its place, as a node may lag behind.
    pub(crate) fn after(self, views: &[NodeView], cluster: Option<&str>) -> Self {
        let ours = |view: &&NodeView| {
            view.member().is_some_and(|galera| Some(&*galera.cluster) == cluster)
        };
        let readings = views.iter().filter(ours).filter_map(|view| view.report.as_ref());
        let mut known = self;
        for reading in readings.map(|report| &report.pin) {
            known = match (known, reading) {
                (known, Reading::Unread) => known,
                (known @ Self::Pinned(_), Reading::Missing(_) | Reading::Unset) => known,
                (_, Reading::Missing(words)) => Self::BestEffort(words.clone()),
                (_, Reading::Unset) => Self::Pinned(None),
                (Self::Pinned(Some(pin)), Reading::Set(read)) if pin.epoch >= read.epoch => {
                    Self::Pinned(Some(pin))
                }
                (_, Reading::Set(read)) => Self::Pinned(Some(read.clone())),
            };
        }
        known
    }

    /// The `verdict` on `node` in view of the pin: a drained node is used if there is no other.
    pub(crate) fn applied(&self, node: NodeAddr, verdict: Verdict) -> Verdict {
        let drained = self.pin().is_some_and(|pin| pin.drained.contains(&node));
        match verdict {
            Verdict::Usable | Verdict::LastResort(Reason::Desynced) if drained => {
                Verdict::LastResort(Reason::Drained)
            }
            verdict => verdict,
        }
    }

    /// The pin, where there is one.
    pub(crate) fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Pinned(pin) => pin.as_ref(),
            Self::BestEffort(_) | Self::Unknown => None,
        }
    }
}
