//! Steps of a running node on a link, whether anybody still listens or not.

use super::rules::{Commit, Framing, Rule, Rules};
use super::scope::Scope;
use super::step::{Place, Step, Successors};
use super::world::{Answer, Link, Run, Stage, Standing, Which, World};

/// Everything that nodes can do on their links.
pub(crate) fn steps(world: &World, rules: &Rules, scope: Scope, out: &mut Successors) {
    for (which, link) in world.links() {
        if world.nodes[link.node()].running() {
            let at = Place::of(link.node(), which);
            Server { world, rules, scope, which, link, at }.steps(out);
        }
    }
}

/// Forgets what can have no effect any more, so that states that differ only in that are one.
pub(crate) fn tidy(world: &mut World, rules: &Rules) {
    let nodes = world.nodes;
    let gone = |link: &Link| {
        nodes[link.node()].run == Run::Dead && !matches!(link.stage, Stage::Sent { .. })
    };
    if let Some(link) = world.link.as_mut().filter(|link| gone(link)) {
        link.stage = Stage::Reset;
    }
    world.lay_ghosts(|link| !gone(&link) && can_haunt(&link, rules));
}

/// Whether a link that was given up can still do something, or is in the way of something.
fn can_haunt(link: &Link, rules: &Rules) -> bool {
    match link.stage {
        Stage::Asked => rules.commit != Commit::AfterReply || rules.framing != Framing::Batch,
        Stage::Open { .. } => link.locks_fence(),
        Stage::FenceLeft | Stage::CommitAsked { .. } | Stage::Sent { .. } => true,
        _ => false,
    }
}

/// One link, seen from its node.
struct Server<'a> {
    world: &'a World,
    rules: &'a Rules,
    scope: Scope,
    which: Which,
    link: Link,
    at: Place,
}

impl Server<'_> {
    fn steps(&self, out: &mut Successors) {
        match self.link.stage {
            Stage::Asked => self.execute(out),
            Stage::FenceLeft => self.execute_fence_alone(out),
            Stage::CommitAsked { saw, matched } => self.commit(saw, matched, out),
            Stage::Ordered { at } => self.finish(at, out),
            Stage::Failed => self.say(Step::SaysError(self.at), Answer::Error, out),
            Stage::ReadAsked => self.read(out),
            Stage::ReadWaiting { upto } => self.wait(upto, out),
            Stage::Open { .. }
            | Stage::Aborted
            | Stage::Sent { .. }
            | Stage::Over
            | Stage::Reset => {}
        }
        let noticed = self.which != Which::Own && self.scope.lost_links_noticed;
        if noticed && !matches!(self.link.stage, Stage::Sent { .. }) {
            self.go_to(Stage::Over, Step::Notices(self.at), out);
        }
    }

    /// Executes body and fence.
    fn execute(&self, out: &mut Successors) {
        if self.refuses() {
            return self.fail(Step::RefusesBody(self.at), out);
        }
        if self.link.work.token != 0 && self.world.faults > 0 {
            self.fail(Step::BodyFails(self.at), out);
        }
        if self.scope.unique_tokens && self.token_is_there() {
            return self.say(Step::SaysDuplicate(self.at), Answer::Duplicate, out);
        }
        if self.fence_is_locked() {
            return self.say(Step::SaysLockTimeout(self.at), Answer::LockTimeout, out);
        }
        let (saw, matched) = (self.applied(), self.matches());
        let step = Step::Executes(self.at, matched);
        match self.rules.commit {
            Commit::AfterReply => {
                self.go(
                    Stage::Open { saw, matched },
                    Some(Answer::Executed { matched }),
                    step,
                    out,
                );
            }
            Commit::BehindFailingFence if !matched => self.say(step, Answer::Error, out),
            Commit::Behind | Commit::BehindFailingFence => {
                self.go_to(Stage::CommitAsked { saw, matched }, step, out);
            }
        }
    }

    /// The body gets an error, which in a batch ends all.
    fn fail(&self, step: Step, out: &mut Successors) {
        let stage = match self.rules.framing {
            Framing::Commands | Framing::CommandsWithoutAutocommit => Stage::FenceLeft,
            Framing::Batch => Stage::Over,
        };
        let link = self.becomes(stage, Some(Answer::Error));
        if step.is_work() {
            out.add(step, self.world, |next| next.set(self.which, link));
        } else {
            out.add_fault(step, self.world, |next| next.set(self.which, link));
        }
    }

    /// No transaction is open: the fence commits by itself, or opens one.
    fn execute_fence_alone(&self, out: &mut Successors) {
        let matched = !self.refuses() && self.matches();
        if matched && self.fence_is_locked() {
            return;
        }
        let mut link = self.becomes(Stage::Over, None);
        link.work.token = 0;
        let saw = self.applied();
        if self.rules.framing == Framing::CommandsWithoutAutocommit {
            link.stage = Stage::Open { saw, matched };
        } else if matched && self.node_is_member() {
            link.stage = Stage::Sent { saw, matched };
        }
        out.add(Step::ExecutesFenceAlone(self.at, matched), self.world, |next| {
            next.set(self.which, link);
        });
    }

    fn commit(&self, saw: u8, matched: bool, out: &mut Successors) {
        if self.node_is_member() {
            self.go_to(Stage::Sent { saw, matched }, Step::SendsWriteSet(self.at), out);
        } else {
            self.go_to(Stage::Failed, Step::CannotCommit(self.at), out);
        }
    }

    /// Says OK when it has got as far as the write set. A node that is out of the group and never will says
    /// error 1180, although the write set *is* committed.
    fn finish(&self, at: u8, out: &mut Successors) {
        if self.applied() >= at {
            self.say(Step::SaysCommitted(self.at), Answer::Committed, out);
        } else if self.refuses() {
            self.say(Step::SaysError(self.at), Answer::Error, out);
        }
    }

    /// A causal wait asks the group how far the order is, so it takes a node that hears the group.
    fn read(&self, out: &mut Successors) {
        let upto = self.world.history.len();
        if self.refuses() {
            self.say(Step::SaysError(self.at), Answer::Error, out);
        } else if !self.rules.keep(Rule::CausalWait) {
            self.say_fence(out);
        } else if self.world.nodes[self.link.node()].healthy() {
            self.go_to(Stage::ReadWaiting { upto }, Step::StartsCausalWait(self.at), out);
        }
    }

    fn wait(&self, upto: u8, out: &mut Successors) {
        if self.refuses() {
            self.say(Step::SaysError(self.at), Answer::Error, out);
        } else if self.applied() >= upto {
            self.say_fence(out);
        }
    }

    fn say_fence(&self, out: &mut Successors) {
        let fence = self.world.fence_at(self.link.node());
        self.say(Step::SaysFence(self.at, fence), Answer::Fence(fence), out);
    }

    fn say(&self, step: Step, answer: Answer, out: &mut Successors) {
        self.go(Stage::Over, Some(answer), step, out);
    }

    fn go_to(&self, stage: Stage, step: Step, out: &mut Successors) {
        self.go(stage, None, step, out);
    }

    fn go(&self, stage: Stage, answer: Option<Answer>, step: Step, out: &mut Successors) {
        let link = self.becomes(stage, answer);
        out.add(step, self.world, |next| next.set(self.which, link));
    }

    /// The session acts on the first answer; what comes behind it makes no difference.
    fn becomes(&self, stage: Stage, answer: Option<Answer>) -> Link {
        let heard = if self.which == Which::Own { self.link.answer.or(answer) } else { None };
        Link { stage, answer: heard, ..self.link }
    }

    fn refuses(&self) -> bool {
        self.world.nodes[self.link.node()].standing == Standing::NonPrimary
    }

    fn node_is_member(&self) -> bool {
        self.world.nodes[self.link.node()].member()
    }

    fn applied(&self) -> u8 {
        self.world.nodes[self.link.node()].applied
    }

    fn matches(&self) -> bool {
        self.link.work.to == 0 || self.world.fence_at(self.link.node()) == self.link.work.from
    }

    fn token_is_there(&self) -> bool {
        let applied = &self.world.history.write_sets()[..usize::from(self.applied())];
        let token = self.link.work.token;
        token != 0 && applied.iter().any(|set| set.token == token)
    }

    /// Whether another transaction on the same node has the row of the fence locked.
    fn fence_is_locked(&self) -> bool {
        self.link.work.to != 0
            && self.world.links().any(|(which, other)| {
                which != self.which && other.node() == self.link.node() && other.locks_fence()
            })
    }
}
