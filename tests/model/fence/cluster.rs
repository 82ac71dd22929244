//! Steps of nodes and the group: faults, views, the order, certification, applying.

use super::step::{Place, Step, Successors};
use super::world::{Link, Name, Node, Run, Stage, Standing, Which, World, WriteSet};

/// Everything that can happen to the cluster itself.
pub(crate) fn steps(world: &World, out: &mut Successors) {
    for (node, state) in world.nodes.iter().enumerate() {
        faults(world, node, state, out);
        repairs(world, node, state, out);
        views(world, node, state, out);
        if can_apply(world, state) {
            out.add(Step::Applies(Name::of(node)), world, |next| apply(next, node));
        }
    }
    for (which, link) in world.links() {
        if let Stage::Sent { .. } = link.stage {
            order(world, which, link, out);
        }
    }
}

/// A fault may hit any member, as long as the others can go on.
fn faults(world: &World, node: usize, state: &Node, out: &mut Successors) {
    let name = Name::of(node);
    let mut add = |step, hit: Node| {
        let mut after = *world;
        after.nodes[node] = hit;
        if state.member() && has_majority(&after) {
            out.add_fault(step, world, |next| next.nodes[node] = hit);
        }
    };
    if state.run != Run::Dead {
        add(Step::Kill(name), Node { run: Run::Dead, cut: false, applied: 0, ..*state });
    }
    if state.running() {
        add(Step::Freeze(name), Node { run: Run::Frozen, ..*state });
    }
    if state.present() {
        add(Step::Cut(name), Node { cut: true, ..*state });
    }
}

fn repairs(world: &World, node: usize, state: &Node, out: &mut Successors) {
    let name = Name::of(node);
    if state.run == Run::Frozen {
        out.add(Step::Thaw(name), world, |next| next.nodes[node].run = Run::Running);
    }
    if state.cut {
        out.add(Step::Heal(name), world, |next| next.nodes[node].cut = false);
    }
    if state.standing == Standing::NonPrimary {
        match state.run {
            Run::Running if !state.cut => {
                out.add(Step::Rejoin(name), world, |next| rejoin(next, node));
            }
            Run::Dead => out.add(Step::Restart(name), world, |next| rejoin(next, node)),
            _ => {}
        }
    }
}

/// Whether more than half of the members are well, so that they can go on without the rest.
fn has_majority(world: &World) -> bool {
    let count = |is: fn(&Node) -> bool| world.nodes.iter().filter(|node| is(node)).count();
    count(Node::healthy) * 2 > count(Node::member)
}

/// The group leaves a node behind, and the node finds out.
fn views(world: &World, node: usize, state: &Node, out: &mut Successors) {
    let name = Name::of(node);
    if state.member() && !state.present() && has_majority(world) {
        out.add(Step::Evict(name), world, |next| evict(next, node));
    }
    if let (Standing::Evicted { .. }, Run::Running) = (state.standing, state.run) {
        out.add(Step::Learns(name), world, |next| {
            next.nodes[node].standing = Standing::NonPrimary;
        });
    }
}

/// Fails the write sets that the node had sent and that are not ordered by now.
fn evict(world: &mut World, node: usize) {
    let heard = world.history.len();
    let dead = world.nodes[node].run == Run::Dead;
    world.nodes[node].standing =
        if dead { Standing::NonPrimary } else { Standing::Evicted { heard } };
    world.restage(node, |link| matches!(link.stage, Stage::Sent { .. }).then_some(Stage::Failed));
}

/// An incremental state transfer: the process and its clients' links live on. (A dead node has no links.)
fn rejoin(world: &mut World, node: usize) {
    world.nodes[node].standing = Standing::Member;
    world.nodes[node].run = Run::Running;
    while world.nodes[node].applied < world.history.len() {
        apply(world, node);
    }
}

fn can_apply(world: &World, state: &Node) -> bool {
    let limit = match state.standing {
        Standing::Member if !state.cut => world.history.len(),
        Standing::Evicted { heard } => heard,
        _ => 0,
    };
    state.running() && state.applied < limit
}

/// Applies the next write set. Open transactions that have its row locked give way.
fn apply(world: &mut World, node: usize) {
    let applied = &mut world.nodes[node].applied;
    let set = world.history.write_sets()[usize::from(*applied)];
    *applied += 1;
    if set.fence != 0 {
        world.restage(node, |link| give_way(&link));
    }
}

fn give_way(link: &Link) -> Option<Stage> {
    match link.stage {
        _ if !link.locks_fence() => None,
        Stage::Open { .. } => Some(Stage::Aborted),
        Stage::CommitAsked { .. } => Some(Stage::Failed),
        _ => None,
    }
}

/// The group orders a write set, which decides about it on all nodes at once: the first committer wins.
fn order(world: &World, which: Which, link: Link, out: &mut Successors) {
    let Stage::Sent { saw, matched } = link.stage else { return };
    if !world.nodes[link.node()].member() {
        return;
    }
    let at = Place::of(link.node(), which);
    let set = WriteSet { token: link.work.token, fence: if matched { link.work.to } else { 0 } };
    let unseen = &world.history.write_sets()[usize::from(saw)..];
    if set.fence != 0 && unseen.iter().any(|other| other.fence != 0) {
        out.add(Step::FailsCertification(at), world, |next| {
            next.set(which, Link { stage: Stage::Failed, ..link });
        });
    } else {
        out.add(Step::Orders(at), world, |next| {
            if set != WriteSet::default() {
                next.history.push(set);
            }
            next.set(which, Link { stage: Stage::Ordered { at: next.history.len() }, ..link });
        });
    }
}
