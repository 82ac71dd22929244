//! Programs at random, with up to three losses, at the way back among them.

use super::losses::{check, check_ids};
use super::run::{Cut, Run};
use super::*;

/// One command of a program.
#[derive(Clone, Debug)]
enum Act {
    /// So many rows in one text.
    Insert(usize),
    /// So many rows in one text, and then this.
    InsertAnd(usize, &'static str),
    Say(&'static str),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    acts_with(prop::sample::select(vec!["SELECT 1"]), 1)
}

/// Those too that depend on what was before.
fn dependent_acts() -> impl Strategy<Value = Vec<Act>> {
    let says = vec![
        "SET mode=1",
        "SET mode=2",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;BEGIN;INSERT INTO t VALUES (@@level)",
        "INSERT INTO t VALUES (@@mode)",
        "INSERT INTO t VALUES (@@level)",
        "INSERT INTO t VALUES (LAST_INSERT_ID())",
        "INSERT INTO t VALUES (LAST_INSERT_ID());INSERT INTO t VALUES (LAST_INSERT_ID());COMMIT",
        "BEGIN;INSERT INTO t VALUES (@@mode);SET mode=3;INSERT INTO t VALUES (@@mode)",
        "BEGIN;INSERT INTO t VALUES (@@mode);INSERT INTO t VALUES (@@mode);SET mode=7",
        "SET mode=4;BEGIN;INSERT INTO t VALUES (@@mode);SET mode=5;COMMIT;SET mode=6",
    ];
    acts_with(prop::sample::select(says), 6)
}

fn acts_with(
    others: impl Strategy<Value = &'static str>,
    weight: u32,
) -> impl Strategy<Value = Vec<Act>> {
    let ends = prop::sample::select(vec![
        "COMMIT",
        "COMMIT;BEGIN",
        "ROLLBACK;BEGIN",
        "BEGIN",
        "SET lc_time_names='de_DE'",
    ]);
    let says = prop::sample::select(vec![
        "BEGIN",
        "COMMIT",
        "COMMIT;BEGIN",
        "ROLLBACK",
        "SELECT 1",
        "SELECT token FROM t",
        "SELECT nothing",
        "SET lc_time_names='de_DE'",
        "UPDATE u SET a=LAST_INSERT_ID(99)",
        "BEGIN;INSERT INTO t VALUES ('whole');COMMIT",
        "SET lc_time_names='de_DE';BEGIN;INSERT INTO t VALUES ('set')",
        "SELECT 1;COMMIT;BEGIN;INSERT INTO t VALUES ('read');SELECT 1;INSERT INTO t VALUES ('on')",
        "INSERT INTO t VALUES ('one');COMMIT;BEGIN;INSERT INTO t VALUES ('two');COMMIT;BEGIN",
        "INSERT INTO t VALUES ('before');SELECT nothing;COMMIT",
        "INSERT INTO t VALUES ('before');COMMIT;SELECT nothing;COMMIT",
    ]);
    let act = prop_oneof![
        2 => (1..4_usize).prop_map(Act::Insert),
        2 => (1..4_usize, ends).prop_map(|(rows, end)| Act::InsertAnd(rows, end)),
        3 => says.prop_map(Act::Say),
        weight => others.prop_map(Act::Say),
    ];
    prop::collection::vec(act, 1..14)
}

/// The commands; every row has another token.
fn program(acts: &[Act]) -> Vec<Vec<u8>> {
    let mut row = 0;
    let mut rows = |count: usize| {
        let insert = |_| {
            row += 1;
            format!("INSERT INTO t VALUES ('{row}')")
        };
        (0..count).map(insert).collect::<Vec<_>>().join(";")
    };
    let command = |act: &Act| match act {
        Act::Insert(count) => rows(*count),
        Act::InsertAnd(count, end) => format!("{};{end}", rows(*count)),
        Act::Say(sql) => (*sql).to_owned(),
    };
    acts.iter().map(command).map(|sql| query(&sql)).collect()
}

/// On a link with at most so many bytes: near its beginning, where the way back is, as often as not.
fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let at = || prop_oneof![0..300_usize, 0..1500_usize];
    let cut = prop_oneof![
        at().prop_map(Cut::Down),
        at().prop_map(|at| Cut::Up(at + 1)),
        (at(), 0..30_usize).prop_map(|(up, answers)| Cut::Late { up: up + 1, answers }),
    ];
    prop::collection::vec(cut, 0..4)
}

/// Nodes that die for good, or a single one that is frozen: of two in a row that may have committed the
/// same statement, nobody can tell which one's id counts.
fn plain_cuts() -> impl Strategy<Value = Vec<Cut>> {
    let frozen = |cut: &Cut| matches!(cut, Cut::Late { .. });
    cuts().prop_map(move |cuts| {
        if cuts.iter().any(frozen) {
            cuts.into_iter().filter(frozen).take(1).collect()
        } else {
            cuts
        }
    })
}

fn clients() -> impl Strategy<Value = Capabilities> {
    let plain = without_tracking();
    prop::sample::select(vec![plain, plain | Capabilities::DEPRECATE_EOF, icinga()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// Where a client does something that nobody thought of, it would lose or double a row, or hang.
    #[test]
    fn whatever_a_client_does_and_whenever_links_are_lost_it_does_not_notice(
        acts in acts(),
        cuts in cuts(),
        sizes in prop::collection::vec(1..60_usize, 1..8),
        client in clients(),
        same_node: bool,
        eager: bool,
        gives_up in prop::collection::vec(1..20_usize, 0..3),
    ) {
        let mut run = Run::new(client, cuts).in_pieces(sizes);
        (run.same_node, run.eager) = (same_node, eager);
        run.cluster.gives_up = gives_up.into();
        check(&program(&acts), &mut run, "at random");
    }

    /// Written values may depend on what was set before, or on the last id: a statement done again must find the
    /// same.
    #[test]
    fn whatever_a_client_has_set_before_is_what_its_statements_find(
        acts in dependent_acts(),
        cuts in cuts(),
        client in clients(),
        eager: bool,
        gives_up in prop::collection::vec(1..20_usize, 0..3),
    ) {
        let mut run = Run::new(client, cuts);
        run.eager = eager;
        run.cluster.gives_up = gives_up.into();
        check(&program(&acts), &mut run, "at random");
    }

    /// Icinga goes on with an id that it was told: it would hang rows on another host's.
    #[test]
    fn whatever_ids_a_client_is_told_its_rows_have_them(
        acts in acts(),
        cuts in plain_cuts(),
        same_node: bool,
        eager: bool,
    ) {
        let mut run = Run::new(without_tracking(), cuts);
        (run.same_node, run.eager) = (same_node, eager);
        check_ids(&program(&acts), &mut run, "at random");
    }
}
