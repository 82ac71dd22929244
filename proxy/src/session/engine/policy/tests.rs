use super::*;

const FAULTS: [Fault; 18] = [
    Fault::Conflict,
    Fault::Killed,
    Fault::Duplicate,
    Fault::LockWait,
    Fault::CausalRead,
    Fault::Lag,
    Fault::Missing,
    Fault::UnknownColumn,
    Fault::NodeUnusable,
    Fault::NodeReadOnly,
    Fault::ReadOnly,
    Fault::OutOfRange,
    Fault::UnknownVariable,
    Fault::WrongValue,
    Fault::NotOfSession,
    Fault::OptionPrevents,
    Fault::Syntax,
    Fault::Statement,
];

/// Otherwise a new fault would go untested: it does not compile here before it has a number, and is found missing then.
#[test]
fn every_fault_is_tried() {
    let number = |fault: Fault| match fault {
        Fault::Conflict => 0,
        Fault::Killed => 1,
        Fault::Duplicate => 2,
        Fault::LockWait => 3,
        Fault::CausalRead => 4,
        Fault::Lag => 5,
        Fault::Missing => 6,
        Fault::UnknownColumn => 7,
        Fault::NodeUnusable => 8,
        Fault::NodeReadOnly => 9,
        Fault::ReadOnly => 10,
        Fault::OutOfRange => 11,
        Fault::UnknownVariable => 12,
        Fault::WrongValue => 13,
        Fault::NotOfSession => 14,
        Fault::OptionPrevents => 15,
        Fault::Syntax => 16,
        Fault::Statement => 17,
    };
    assert_eq!(FAULTS.map(number).to_vec(), (0..FAULTS.len()).collect::<Vec<_>>());
}

const OWN: [Position; 14] = [
    Position::FlightBegin,
    Position::Check,
    Position::LateCheck,
    Position::Fence,
    Position::ReplyFence,
    Position::Commit,
    Position::UnsafeCommit,
    Position::Guard,
    Position::Rollback,
    Position::Look,
    Position::PutBack,
    Position::RaiseAgain,
    Position::ReportAll,
    Position::Own,
];

const RECOVERY: [Position; 8] = [
    Position::Barrier,
    Position::Settings,
    Position::Setting,
    Position::SettingAgain,
    Position::Prepare,
    Position::Must,
    Position::Replay,
    Position::ReplayOwn,
];

/// Every combination of facts.
fn all_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for effect in [Effect::Nothing, Effect::Doubtful, Effect::Passing, Effect::Commit] {
        for within in [Within::Nothing, Within::Maybe, Within::Clients, Within::Ours] {
            for answer in [Answer::NotAsked, Answer::Open, Answer::Closed, Answer::ReadOnly] {
                for redo in [Redo::Never, Redo::Elsewhere, Redo::Here] {
                    for (may_choose_anew, exhausted) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        all.push(Facts {
                            effect,
                            within,
                            answer,
                            redo,
                            may_choose_anew,
                            exhausted,
                        });
                    }
                }
            }
        }
    }
    all
}

/// Calls `check` with every combination at these positions.
fn every(positions: &[Position], mut check: impl FnMut(Position, Fault, Facts, Reaction)) {
    for &at in positions {
        for fault in FAULTS {
            for facts in all_facts() {
                check(at, fault, facts, react(at, fault, facts));
            }
        }
    }
}

const STATEMENTS: [Position; 2] = [Position::Statement, Position::Abandoned];

/// Otherwise a client that raises errors of its own would move every session to another node.
#[test]
fn an_error_of_a_client_condemns_no_node_before_the_server_was_asked() {
    every(&STATEMENTS, |_, fault, facts, reaction| {
        if reaction == Reaction::NextLink {
            let lags = fault == Fault::Lag && facts.answer == Answer::NotAsked;
            assert!(lags || facts.answer == Answer::ReadOnly, "{fault:?} {facts:?}");
        }
    });
}

/// Otherwise rows would be doubled.
#[test]
fn a_statement_that_may_have_committed_is_never_done_again() {
    every(&STATEMENTS, |_, fault, facts, reaction| {
        if facts.effect == Effect::Doubtful {
            assert!(!matches!(reaction, Reaction::Retry(_)), "{fault:?} {facts:?}");
        }
    });
}

/// Otherwise a client would do a transaction again that was committed.
#[test]
fn an_error_of_a_commit_is_told_only_after_the_fence_was_read() {
    every(&STATEMENTS, |_, fault, facts, reaction| {
        if facts.effect == Effect::Commit {
            let told = matches!(reaction, Reaction::Tell(_) | Reaction::Drop | Reaction::GiveUp);
            assert!(!told, "{fault:?} {facts:?}");
        }
    });
}

/// Otherwise a part of a transaction would be done again, and the rest be lost.
#[test]
fn what_cannot_be_done_again_is_at_most_looked_up() {
    every(&STATEMENTS, |_, fault, facts, reaction| {
        if let (Redo::Never, Reaction::Retry(why)) = (facts.redo, reaction) {
            assert_eq!(why, Why::InDoubt, "{fault:?} {facts:?}");
        }
    });
    every(&[Position::Fence, Position::ReplyFence], |at, fault, facts, reaction| {
        if let (Redo::Never, Reaction::Retry(_)) = (facts.redo, reaction) {
            panic!("{at:?} {fault:?} {facts:?}");
        }
    });
}

/// Otherwise a client would go on in a transaction that is gone, or commit the rest of it.
#[test]
fn whether_a_transaction_has_ended_is_what_the_server_says() {
    every(&STATEMENTS, |_, fault, facts, reaction| {
        let Reaction::Tell(transaction) = reaction else { return };
        match (facts.within, facts.answer) {
            (Within::Clients, Answer::NotAsked) => panic!("{fault:?} {facts:?}"),
            (_, Answer::Open) => assert_eq!(transaction, Transaction::Stays),
            (Within::Clients, _) => assert_eq!(transaction, Transaction::Ends),
            _ => {}
        }
    });
}

/// Otherwise a session would stay with a node that is going down, or go in circles.
#[test]
fn the_word_of_a_node_about_itself_is_believed_in_answer_to_our_own_statements() {
    every(&OWN, |at, fault, facts, reaction| {
        let indifferent = [Position::Look, Position::RaiseAgain, Position::LateCheck].contains(&at);
        if fault.doubts_node() && !indifferent {
            assert_eq!(reaction, Reaction::NextLink, "{at:?} {fault:?} {facts:?}");
        }
    });
    every(&RECOVERY, |at, fault, facts, reaction| {
        let replays = [Position::Replay, Position::ReplayOwn].contains(&at);
        match fault.doubts_node() {
            true if replays && facts.exhausted => assert_ne!(reaction, Reaction::NextLink),
            true => assert_eq!(reaction, Reaction::NextLink, "{at:?} {fault:?} {facts:?}"),
            false => {}
        }
    });
}

/// Otherwise a client would see errors of statements that it has not sent.
#[test]
fn an_error_of_ours_is_told_to_nobody_as_it_is() {
    every(&[&OWN[..], &RECOVERY].concat(), |at, fault, facts, reaction| {
        assert!(
            !matches!(reaction, Reaction::Tell(_) | Reaction::Ask | Reaction::Drop),
            "{at:?} {fault:?} {facts:?}"
        );
    });
}

/// Faults that share a column of the page, the first of which is shown.
const COLUMNS: [(&str, &[Fault]); 7] = [
    ("Conflict", &[Fault::Conflict]),
    ("about the node", &[Fault::NodeUnusable, Fault::Killed, Fault::NodeReadOnly]),
    ("Duplicate", &[Fault::Duplicate]),
    ("LockWait", &[Fault::LockWait]),
    ("Missing", &[Fault::Missing]),
    ("ReadOnly", &[Fault::ReadOnly]),
    ("Statement", &[Fault::Statement, Fault::Syntax]),
];

/// Rows of the page.
fn rows() -> Vec<(&'static str, Position, Facts)> {
    use Position as P;
    const PLAIN: Facts = Facts::PLAIN;
    let asked = |answer| Facts { within: Within::Clients, answer, ..PLAIN };
    let effect = |effect| Facts { effect, ..PLAIN };
    let never = Facts { redo: Redo::Never, ..PLAIN };
    let exhausted = Facts { exhausted: true, ..PLAIN };
    vec![
        ("client's statement, no transaction", P::Statement, PLAIN),
        ("in the client's transaction", P::Statement, asked(Answer::NotAsked)),
        ("… asked: still open", P::Statement, asked(Answer::Open)),
        ("… asked: gone", P::Statement, asked(Answer::Closed)),
        (
            "… gone, and it cannot be done again",
            P::Statement,
            Facts { redo: Redo::Never, ..asked(Answer::Closed) },
        ),
        ("in a frame of ours", P::Statement, Facts { within: Within::Ours, ..PLAIN }),
        ("that may have committed, no fence", P::Statement, effect(Effect::Doubtful)),
        ("that commits in passing, fence set", P::Statement, effect(Effect::Passing)),
        (
            "… asked: gone, and it cannot be done again",
            P::Statement,
            Facts { effect: Effect::Passing, redo: Redo::Never, ..asked(Answer::Closed) },
        ),
        ("client's COMMIT, fence set", P::Statement, effect(Effect::Commit)),
        ("behind a silent abort", P::Abandoned, PLAIN),
        ("BEGIN of a flight", P::FlightBegin, PLAIN),
        ("check of a frame", P::Check, PLAIN),
        ("… its BEGIN had failed", P::LateCheck, PLAIN),
        ("fence", P::Fence, PLAIN),
        ("… the third time", P::Fence, exhausted),
        ("… the session cannot be done again", P::Fence, never),
        ("our COMMIT", P::Commit, PLAIN),
        ("… of a write that cannot be undone", P::UnsafeCommit, PLAIN),
        ("… of what a procedure left open", P::Commit, never),
        ("guard", P::Guard, PLAIN),
        ("our ROLLBACK", P::Rollback, PLAIN),
        ("warnings, reports or state are read", P::Look, PLAIN),
        ("… within a transaction", P::Look, Facts { within: Within::Clients, ..PLAIN }),
        ("… are put back", P::PutBack, PLAIN),
        ("the client's error is raised again", P::RaiseAgain, PLAIN),
        ("all variables are to be reported", P::ReportAll, PLAIN),
        ("our BEGIN, a question, all else of ours", P::Own, PLAIN),
        ("barrier", P::Barrier, PLAIN),
        ("… a COMMIT in doubt", P::Barrier, effect(Effect::Commit)),
        ("all variables in one statement", P::Settings, PLAIN),
        ("one variable", P::Setting, PLAIN),
        ("prepared statement, and its state", P::Prepare, PLAIN),
        ("schema, role, guard, last id", P::Must, PLAIN),
        ("replay", P::Replay, PLAIN),
        ("… the client knows no id of it", P::Replay, Facts { may_choose_anew: true, ..PLAIN }),
        ("… a COMMIT in doubt", P::Replay, effect(Effect::Commit)),
    ]
}

/// The word of the page for a reaction.
fn word(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Tell(Transaction::Stays) => "tell",
        Reaction::Tell(Transaction::Ends) => "tell: ended",
        Reaction::Ask => "ask",
        Reaction::Drop => "drop",
        Reaction::Retry(Why::InDoubt) => "fence",
        Reaction::Retry(Why::RolledBack) => "retry",
        Reaction::Retry(Why::Hearsay) => "retry: node works",
        Reaction::Retry(Why::Anew) => "retry: new ids",
        Reaction::Retry(Why::Overtaken) => "retry or fence",
        Reaction::NextLink => "next link",
        Reaction::GiveUp => "give up",
        Reaction::Ignore => "ignore",
        Reaction::Gone => "done",
        Reaction::Unfenced => "unfenced",
        Reaction::RetryParted => "retry: parted",
        Reaction::Disturbed => "disturbed",
        Reaction::Settled => "settled",
        Reaction::Untracked => "cannot move",
        Reaction::Unknown => "end: unknown",
        Reaction::OneByOne => "one by one",
        Reaction::OtherWay => "other way",
        Reaction::PassOver => "pass over",
        Reaction::LeaveOut => "leave out",
        Reaction::RetryNow => "retry: own time",
        Reaction::Differs => "differs",
        Reaction::Refuse => "refuse",
    }
}

/// Otherwise whoever reads the page at night would believe what is not so.
#[test]
fn the_page_shows_the_table() {
    let heads: Vec<&str> = COLUMNS.iter().map(|(head, _)| *head).collect();
    let mut table = format!("| position | {} |\n", heads.join(" | "));
    table += &format!("|{}\n", "---|".repeat(COLUMNS.len() + 1));
    for (row, at, facts) in rows() {
        let cell = |(_, faults): &(&str, &[Fault])| {
            let reactions: Vec<_> = faults.iter().map(|fault| react(at, *fault, facts)).collect();
            assert!(reactions.iter().all(|reaction| *reaction == reactions[0]), "{row}");
            word(reactions[0])
        };
        let cells: Vec<_> = COLUMNS.iter().map(cell).collect();
        table += &format!("| {row} | {} |\n", cells.join(" | "));
    }
    let page = include_str!("../../../../../docs/dev/session.md");
    let shown = page.split("<!-- policy -->\n").nth(1).expect("a table between two marks");
    assert_eq!(shown.trim(), table.trim(), "docs/dev/session.md is to show:\n{table}");
}
