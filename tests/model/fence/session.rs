//! Steps of the proxy for the session.

use super::rules::{Commit, Fence, GivingUp, Rule, Rules};
use super::scope::Scope;
use super::step::{Step, Successors};
use super::world::{Answer, Link, Name, Pending, Phase, Stage, Standing, Work, World};

/// Everything that the session can do now. Its client sends each token once the one before it has been
/// answered.
pub(crate) fn steps(world: &World, rules: &Rules, scope: Scope, out: &mut Successors) {
    if is_done(world, scope) {
        return;
    }
    let proxy = Proxy { world, rules };
    match world.link {
        None => proxy.connect(out),
        Some(link) => {
            proxy.lose(link, out);
            if world.session.phase == Phase::Ready {
                proxy.send(out);
            } else if let Some(answer) = link.answer {
                let link = Link { answer: None, ..link };
                proxy.hear(link, answer, out);
            }
        }
    }
}

/// Whether the client has got an answer for each of its tokens.
pub(crate) fn is_done(world: &World, scope: Scope) -> bool {
    world.session.token > scope.tokens
}

struct Proxy<'a> {
    world: &'a World,
    rules: &'a Rules,
}

impl Proxy<'_> {
    /// The link ends, or the node is found to be silent or out of the group. With a healthy node at
    /// its other end this takes a fault.
    fn lose(&self, link: Link, out: &mut Successors) {
        let give_up = |next: &mut World| {
            next.haunt();
            next.session.phase = Phase::Lost;
        };
        let node = Name::of(link.node());
        if self.world.nodes[link.node()].healthy() && link.stage != Stage::Reset {
            out.add_fault(Step::PathDies(node), self.world, give_up);
        } else {
            out.add(Step::Loses(node), self.world, give_up);
        }
    }

    /// Any node that runs and does not refuse will do, even one whose eviction nobody has noticed.
    fn connect(&self, out: &mut Successors) {
        for (node, state) in self.world.nodes.iter().enumerate() {
            if state.running() && state.standing != Standing::NonPrimary {
                out.add(Step::Connects(Name::of(node)), self.world, |next| {
                    next.link = Some(Link::to(node, Work::NONE, Stage::ReadAsked));
                    next.session.phase = self.first_phase();
                });
            }
        }
    }

    fn first_phase(&self) -> Phase {
        match self.world.session.pending {
            Pending::Nothing => Phase::Restoring,
            Pending::Token if !self.rules.keep(Rule::ReadBeforeReplay) => Phase::Restoring,
            Pending::Token | Pending::Burn => Phase::Reading,
        }
    }

    fn send(&self, out: &mut Successors) {
        out.add(Step::Sends(self.world.session.token), self.world, |next| {
            next.session.pending = Pending::Token;
            let work = self.first_attempt(next);
            self.start(next, work);
        });
    }

    fn hear(&self, link: Link, answer: Answer, out: &mut Successors) {
        match (self.world.session.phase, answer) {
            (Phase::Restoring, Answer::Fence(_)) => self.restored(out),
            (Phase::Reading, Answer::Fence(fence)) => self.judge(fence, out),
            (Phase::Reading | Phase::Restoring, _) => self.lose_at_once(link, out),
            (_, Answer::Executed { matched }) => self.executed(link, matched, out),
            (_, Answer::Committed) => self.committed(link, out),
            (phase, Answer::Error) => self.failed(link, phase, out),
            (_, Answer::Duplicate) if self.rules.keep(Rule::DifferencesProveNothing) => {
                self.reread(out)
            }
            (_, Answer::Duplicate) => self.refuse(out),
            (_, Answer::LockTimeout) => self.locked_out(link, out),
            (_, Answer::Fence(_)) => {}
        }
    }

    fn lose_at_once(&self, link: Link, out: &mut Successors) {
        out.add(Step::Loses(Name::of(link.node())), self.world, |next| {
            next.link = None;
            next.session.phase = Phase::Lost;
        });
    }

    /// Whoever has the row may keep it for as long as it likes. Going back to the same node is no use.
    fn locked_out(&self, link: Link, out: &mut Successors) {
        if self.rules.keep(Rule::MovesOnAtLockTimeout) {
            self.lose_at_once(link, out);
        } else {
            self.reread(out);
        }
    }

    fn restored(&self, out: &mut Successors) {
        match self.world.session.pending {
            Pending::Nothing => {
                out.add(Step::Restored, self.world, be_ready);
            }
            Pending::Token | Pending::Burn => self.replay(out),
        }
    }

    /// The fence says what became of the transaction.
    fn judge(&self, fence: u8, out: &mut Successors) {
        let session = &self.world.session;
        let (mine, burnt) = (session.base + 1, session.base + 2);
        if fence == mine {
            self.acknowledge(out);
        } else if fence == burnt && session.pending == Pending::Burn {
            self.refuse(out);
        } else if fence != session.base {
            self.reread(out);
        } else if session.pending == Pending::Burn {
            self.burn(Step::Burns, out);
        } else {
            self.replay(out);
            self.give_up(out);
        }
    }

    fn executed(&self, link: Link, matched: bool, out: &mut Successors) {
        let burning = self.world.session.pending == Pending::Burn;
        if matched || !self.rules.keep(Rule::MatchedRowsChecked) {
            out.add(Step::Commits, self.world, |next| {
                next.link = Some(Link { stage: commit_asked(link.stage), ..link });
                next.session.phase = Phase::Committing;
            });
        } else if self.rules.keep(Rule::ZeroRowsProveNothing) || burning {
            self.reread(out);
        } else {
            self.acknowledge(out);
        }
    }

    fn committed(&self, link: Link, out: &mut Successors) {
        if self.world.session.pending == Pending::Burn {
            self.refuse(out);
        } else if let Some(work) = self.second_part(link.work) {
            out.add(Step::MovesOn, self.world, |next| self.start(next, work));
        } else {
            self.acknowledge(out);
        }
    }

    /// An error tells that this attempt is over *here*. What is pipelined behind the failed command
    /// must be answered before the link can be used again.
    fn failed(&self, link: Link, phase: Phase, out: &mut Successors) {
        if phase == Phase::Committing && !self.rules.keep(Rule::ErrorsProveNothing) {
            self.refuse(out);
        } else if is_answered(link.stage) {
            self.reread(out);
        }
    }

    fn reread(&self, out: &mut Successors) {
        out.add(Step::Rereads, self.world, |next| {
            next.link = next.link.map(|link| link.asks(Work::NONE, Stage::ReadAsked));
            next.session.phase = Phase::Reading;
        });
    }

    fn acknowledge(&self, out: &mut Successors) {
        let token = self.world.session.token;
        out.add(Step::Acknowledges(token), self.world, |next| {
            next.session.acknowledged.insert(token);
            next.session.base += 1;
            next_token(next);
        });
    }

    /// Tells the client "rolled back". If the fence was burnt, the next transaction goes on from there.
    fn refuse(&self, out: &mut Successors) {
        let token = self.world.session.token;
        out.add(Step::Refuses(token), self.world, |next| {
            next.session.refused.insert(token);
            if next.session.pending == Pending::Burn {
                next.session.base += 2;
            }
            next_token(next);
        });
    }

    fn replay(&self, out: &mut Successors) {
        out.add(Step::Replays(self.world.session.token), self.world, |next| {
            let mut work = self.first_attempt(next);
            if !self.rules.keep(Rule::FenceInReplay) {
                work.to = 0;
            }
            self.start(next, work);
        });
    }

    /// The transaction is not replayed.
    fn give_up(&self, out: &mut Successors) {
        match self.rules.giving_up {
            GivingUp::BurnFirst => self.burn(Step::GivesUp, out),
            GivingUp::TellAtOnce => {
                out.add_fault(Step::GivesUp, self.world, |next| {
                    next.session.refused.insert(next.session.token);
                    next_token(next);
                });
            }
            GivingUp::ReuseAtOnce => out.add_fault(Step::GivesUp, self.world, next_token),
        }
    }

    fn burn(&self, step: Step, out: &mut Successors) {
        let change = |next: &mut World| {
            let from = next.session.base;
            next.session.pending = Pending::Burn;
            self.start(next, Work { token: 0, from, to: from + 2 });
        };
        if step.is_work() {
            out.add(step, self.world, change);
        } else {
            out.add_fault(step, self.world, change);
        }
    }

    /// The transaction that an attempt begins with: with a fence inside, the only one.
    fn first_attempt(&self, world: &World) -> Work {
        let (token, from) = (world.session.token, world.session.base);
        match self.rules.fence {
            Fence::Inside => Work { token, from, to: from + 1 },
            Fence::Before => Work { token: 0, from, to: from + 1 },
            Fence::After => Work { token, from, to: 0 },
        }
    }

    /// The work after `first` has committed, with a fence in a transaction of its own.
    fn second_part(&self, first: Work) -> Option<Work> {
        let (token, from) = (self.world.session.token, self.world.session.base);
        match self.rules.fence {
            Fence::Before if first.token == 0 => Some(Work { token, from, to: 0 }),
            Fence::After if first.to == 0 => Some(Work { token: 0, from, to: from + 1 }),
            _ => None,
        }
    }

    fn start(&self, world: &mut World, work: Work) {
        world.link = world.link.map(|link| link.asks(work, Stage::Asked));
        world.session.phase = match self.rules.commit {
            Commit::AfterReply => Phase::Executing,
            Commit::Behind | Commit::BehindFailingFence => Phase::Committing,
        };
    }
}

/// Whether nothing is left in the node's socket. A transaction that is still open is rolled back first.
fn is_answered(stage: Stage) -> bool {
    matches!(stage, Stage::Open { .. } | Stage::Aborted | Stage::Over)
}

/// COMMIT follows. If the transaction is gone already, it gets an error.
fn commit_asked(stage: Stage) -> Stage {
    match stage {
        Stage::Open { saw, matched } => Stage::CommitAsked { saw, matched },
        Stage::Aborted => Stage::Failed,
        other => other,
    }
}

fn next_token(world: &mut World) {
    world.session.token += 1;
    world.session.pending = Pending::Nothing;
    be_ready(world);
}

fn be_ready(world: &mut World) {
    world.session.phase = Phase::Ready;
    world.link = world.link.map(|link| link.asks(Work::NONE, Stage::Over));
}
