//! Laws that must be true in every state.

use super::world::{Phase, World};

/// A law that a state breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A token stands twice.
    Doubled,
    /// A token was acknowledged and does not stand.
    Lost,
    /// The client was told "rolled back", and the token stands.
    Revived,
    /// The session serves its client from a node that lacks a token acknowledged to that client.
    Forgotten,
}

/// The law that `world` breaks, if any.
pub(crate) fn broken(world: &World) -> Option<Broken> {
    let session = &world.session;
    let stands = |token| world.history.count(token) > 0;
    if (1..=session.token).any(|token| world.history.count(token) > 1) {
        Some(Broken::Doubled)
    } else if !session.acknowledged.iter().all(stands) {
        Some(Broken::Lost)
    } else if session.refused.iter().any(stands) {
        Some(Broken::Revived)
    } else if forgets(world) {
        Some(Broken::Forgotten)
    } else {
        None
    }
}

/// Whether a SELECT of the client would now miss what it was told is committed.
fn forgets(world: &World) -> bool {
    let (Phase::Ready, Some(link)) = (world.session.phase, world.link) else { return false };
    let node = &world.nodes[link.node()];
    let visible = &world.history.write_sets()[..usize::from(node.applied)];
    let missing = |token| visible.iter().all(|set| set.token != token);
    node.running() && world.session.acknowledged.iter().any(missing)
}
