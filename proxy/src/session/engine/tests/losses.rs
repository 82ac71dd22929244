//! A link is lost at every byte, in both directions: the client must not notice, and what it wrote must
//! be there once.

use super::fake_node::Token;
use super::fake_node::deadlock;
use super::run::{Cut, Run, direct};
use super::*;

/// A little of all that Icinga and others do.
fn program() -> Vec<Vec<u8>> {
    [
        "INSERT INTO t VALUES ('a')",
        "INSERT INTO t VALUES (LAST_INSERT_ID())",
        "BEGIN;INSERT INTO t VALUES (LAST_INSERT_ID());INSERT INTO t VALUES ('x');COMMIT",
        "INSERT INTO t VALUES ('y');INSERT INTO t VALUES (LAST_INSERT_ID())",
        "BEGIN",
        "INSERT INTO t VALUES ('p');BEGIN;INSERT INTO t VALUES (LAST_INSERT_ID());COMMIT",
        "BEGIN",
        "SELECT LAST_INSERT_ID()",
        "INSERT INTO t VALUES ('b')",
        "INSERT INTO t VALUES ('c')",
        "COMMIT",
        "INSERT INTO t VALUES ('d');INSERT INTO t VALUES ('e');COMMIT;BEGIN",
        "INSERT INTO t VALUES ('f');INSERT INTO t VALUES ('g');COMMIT;BEGIN",
        "INSERT INTO t VALUES ('h')",
        "SELECT token FROM t",
        "COMMIT",
        "SELECT token FROM t",
        "SELECT LAST_INSERT_ID()",
    ]
    .map(query)
    .into()
}

/// Prepared statements, which have other numbers on every link, and a rollback.
fn prepared() -> Vec<Vec<u8>> {
    let execute = execute(11);
    vec![
        prepare("INSERT INTO t VALUES ('p')"),
        execute.clone(),
        query("BEGIN"),
        execute.clone(),
        query("ROLLBACK"),
        query("BEGIN"),
        query("INSERT INTO t VALUES ('q')"),
        execute,
        framed(b"\x19\x0b\0\0\0", 0),
        query("SELECT token FROM t"),
        query("COMMIT"),
    ]
}

/// Otherwise a conflict would be told as a fault of a node that works: the link does not know the statement any more.
#[test]
fn a_statement_that_was_closed_is_there_for_a_replay_on_its_link() {
    let mut run = Run::new(without_tracking(), []);
    run.cluster.refusals.push_back(("SELECT token FROM t", deadlock()));
    check(&prepared(), &mut run, "a conflict");
    assert_eq!(run.links, 1);
}

/// A prepared BEGIN commits, and begins the next transaction.
fn prepared_begin() -> Vec<Vec<u8>> {
    let begin = execute(11);
    vec![
        prepare("BEGIN"),
        begin.clone(),
        query("INSERT INTO t VALUES ('r')"),
        query("SELECT token FROM t"),
        begin.clone(),
        query("INSERT INTO t VALUES ('s')"),
        query("INSERT INTO t VALUES ('t')"),
        begin,
        query("INSERT INTO t VALUES ('u')"),
        query("ROLLBACK"),
    ]
}

/// Program in which each setting holds for what comes after it, and for that alone.
fn settings() -> Vec<Vec<u8>> {
    [
        "INSERT INTO t VALUES ('a')",
        "BEGIN",
        "INSERT INTO t VALUES (@@mode)",
        "SET mode=1",
        "INSERT INTO t VALUES (@@mode)",
        "COMMIT",
        "BEGIN",
        "INSERT INTO t VALUES (@@mode)",
        "SET mode=2",
        "INSERT INTO t VALUES (@@mode);COMMIT;BEGIN",
        "INSERT INTO t VALUES (@@mode)",
        "COMMIT",
        "BEGIN;INSERT INTO t VALUES (@@mode);SET mode=3;INSERT INTO t VALUES (@@mode)",
        "COMMIT",
        "BEGIN;INSERT INTO t VALUES (@@mode);INSERT INTO t VALUES (@@mode);SET mode=4",
        "COMMIT",
        "INSERT INTO t VALUES (@@mode)",
    ]
    .map(query)
    .into()
}

/// Without autocommit, where a read opens a transaction and nobody says so.
fn without_autocommit() -> Vec<Vec<u8>> {
    [
        "INSERT INTO t VALUES ('a')",
        "SET autocommit=0",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "INSERT INTO t VALUES (@@level)",
        "INSERT INTO t VALUES (@@level);INSERT INTO t VALUES ('b')",
        "COMMIT",
        "INSERT INTO t VALUES (@@level)",
        "SELECT token FROM t",
        "COMMIT",
        "SET autocommit=1;INSERT INTO t VALUES (@@level);INSERT INTO t VALUES ('c')",
        "SET autocommit=0;INSERT INTO t VALUES ('d')",
        "SET autocommit=1;INSERT INTO t VALUES ('e')",
        "SET autocommit=1;INSERT INTO t VALUES ('f')",
        "INSERT INTO t VALUES ('g')",
        "BEGIN;INSERT INTO t VALUES ('h');SET autocommit=1;INSERT INTO t VALUES ('i');COMMIT",
        "INSERT INTO t VALUES ('j')",
    ]
    .map(query)
    .into()
}

/// The programs, and clients that differ in what their replies look like.
fn clients() -> Vec<(Vec<Vec<u8>>, Capabilities)> {
    let plain = without_tracking();
    let single: Vec<Vec<u8>> = program().into_iter().filter(|sql| !sql.contains(&b';')).collect();
    vec![
        ([vec![query("SELECT 1")], program()].concat(), plain),
        (program(), plain | Capabilities::DEPRECATE_EOF),
        (program(), icinga()),
        (prepared(), plain),
        (prepared_begin(), plain),
        (settings(), plain),
        (without_autocommit(), plain),
        (single, Capabilities::PROTOCOL_41),
    ]
}

/// A run without loss, of the first command alone and of all: it tells how many bytes there are to be
/// cut. (What the first command is told of may depend on the link.)
fn undisturbed(program: &[Vec<u8>], client: Capabilities) -> (Run, Run) {
    let [mut first, mut all] = [0; 2].map(|_| Run::new(client, []));
    first.command(&program[0]).expect("nothing is lost");
    all.all(program).expect("nothing is lost");
    (first, all)
}

/// Packets in `bytes`, as a client would get them that does not track its session.
fn without_reports(bytes: &[u8], client: Capabilities) -> Vec<u8> {
    if !client.contains(Capabilities::SESSION_TRACK) {
        return bytes.to_vec();
    }
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some((header, payload)) = packet::whole(rest, 1 << 20).expect("packets") {
        let plain = match OkPacket::decode(payload, client) {
            Ok(ok) => ok.encode(client.difference(Capabilities::SESSION_TRACK)),
            Err(_) => payload.to_vec(),
        };
        packet::frame(&plain, header.sequence, &mut out);
        rest = &rest[HEADER_LEN + header.payload_len..];
    }
    [&out, rest].concat()
}

/// Each packet by itself, for people to compare.
pub(super) fn packets(bytes: &[u8]) -> Vec<String> {
    let mut packets = Vec::new();
    let mut rest = bytes;
    while let Some((header, payload)) = packet::whole(rest, 1 << 20).expect("packets") {
        packets.push(format!("{} {}", header.sequence, payload.escape_ascii()));
        rest = &rest[HEADER_LEN + header.payload_len..];
    }
    packets.push(rest.escape_ascii().to_string());
    packets
}

pub(super) fn check(program: &[Vec<u8>], run: &mut Run, what: &str) {
    // Reports of the session's state tell of the way back, too.
    let plain = run.client.difference(Capabilities::SESSION_TRACK);
    let (told, tokens) = direct(program, plain);
    let result = run.all(program);
    run.thaw();
    run.to_client = without_reports(&run.to_client, run.client);
    assert_eq!(result, Ok(()), "{what}: {:#?}", run.cluster.log);
    assert_eq!(run.cluster.tokens(), tokens, "{what}: {:#?}", run.cluster.log);
    assert_eq!(packets(&run.to_client), packets(&told), "{what}: {:#?}", run.cluster.log);
}

/// Checks a program where every node generates other ids: what the client was told is what is in the table.
pub(super) fn check_ids(program: &[Vec<u8>], run: &mut Run, what: &str) {
    run.skewed = true;
    let (told, tokens) = direct(program, without_tracking());
    let result = run.all(program);
    run.thaw();
    assert_eq!(result, Ok(()), "{what}: {:#?}", run.cluster.log);
    let (wanted, got) = (ids(&told, without_tracking()), ids(&run.to_client, without_tracking()));
    assert_eq!(wanted.len(), got.len(), "{what}: {:#?}", run.cluster.log);
    // An id that was rolled back is given to the next one.
    let told = |id| wanted.iter().rposition(|wanted| *wanted == id).map(|at| got[at]);
    let expected = tokens.into_iter().map(|(id, token)| (told(id).expect("it was told"), token));
    let expected: Vec<Token> = expected.collect();
    assert_eq!(run.cluster.tokens(), expected, "{what}: {:#?}", run.cluster.log);
}

/// The ids that a client was told.
pub(super) fn ids(mut packets: &[u8], client: Capabilities) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some((header, payload)) = packet::whole(packets, 1 << 20).expect("packets") {
        if payload[0] == 0 {
            let ok = OkPacket::decode(payload, client).expect("an OK");
            ids.extend(Some(ok.last_insert_id).filter(|id| *id > 0));
        }
        packets = &packets[HEADER_LEN + header.payload_len..];
    }
    ids
}

/// A client would see that there is a proxy.
#[test]
fn without_a_loss_a_client_is_told_what_the_node_would_tell_it() {
    for (program, client) in clients() {
        let mut run = Run::new(client, []);
        check(&program, &mut run, "no loss");
        assert_eq!(run.links, 1);
    }
}

/// A row of Icinga's history would be missing, or stand there twice.
#[test]
fn wherever_the_way_to_the_node_is_cut_all_is_done_once_and_the_client_is_told_the_same() {
    for (program, client) in clients() {
        let (first, all) = undisturbed(&program, client);
        for cut in first.up + 1..=all.up {
            for same_node in [false, true] {
                let mut run = Run::new(client, [Cut::Up(cut)]);
                run.same_node = same_node;
                check(&program, &mut run, &format!("up {cut}, same node: {same_node}"));
                assert_eq!(run.links, 2);
            }
        }
    }
}

/// Otherwise a node that has done its work, and whose answer is lost, would do it twice.
#[test]
fn wherever_the_way_from_the_node_is_cut_all_is_done_once_and_the_client_is_told_the_same() {
    for (program, client) in clients() {
        let (first, all) = undisturbed(&program, client);
        for cut in first.down..=all.down {
            for same_node in [false, true] {
                let mut run = Run::new(client, [Cut::Down(cut)]);
                run.same_node = same_node;
                check(&program, &mut run, &format!("down {cut}, same node: {same_node}"));
            }
        }
    }
}

/// A frozen node commits what it was told when its session has long been elsewhere.
#[test]
fn whatever_a_frozen_node_does_later_all_is_done_once_and_the_client_is_told_the_same() {
    for (program, client) in clients() {
        let (first, all) = undisturbed(&program, client);
        for up in all.requests.into_iter().filter(|up| *up > first.up) {
            for answers in 0..40 {
                for eager in [false, true] {
                    let mut run = Run::new(client, [Cut::Late { up, answers }]);
                    run.eager = eager;
                    let what = format!("late {up}, after {answers}, eager: {eager}");
                    check(&program, &mut run, &what);
                }
            }
        }
    }
}

/// A second node may be lost on the way back from the first: all that came before must still hold.
#[test]
fn wherever_the_way_back_is_cut_the_next_one_leads_back() {
    let (program, client) = (program(), without_tracking());
    // At each request of the first link, and after each of its answers begins.
    let (_, all) = undisturbed(&program, client);
    for first in all.requests {
        let mut once = Run::new(client, [Cut::Up(first)]);
        once.all(&program).expect("one loss");
        let back = 700;
        for second in (1..once.up.min(back)).step_by(7) {
            for cut in [Cut::Up(second), Cut::Down(second)] {
                let mut run = Run::new(client, [Cut::Up(first), cut]);
                check(&program, &mut run, &format!("up {first}, then {cut:?}"));
            }
        }
    }
}

/// Galera gives a transaction up for the sake of another node's write, and MariaDB tells nobody if a text of
/// several statements is at hand: its first part would be missing, and the client be told that all is there.
#[test]
fn wherever_the_server_gives_a_transaction_up_all_is_done_once_and_the_client_is_told_the_same() {
    for (program, client) in clients() {
        let mut given_up = 0;
        for (first, second) in
            (1..40).flat_map(|first| [(first, None), (first, Some(1)), (first, Some(4))])
        {
            let mut run = Run::new(client, []);
            run.cluster.gives_up = [Some(first), second].into_iter().flatten().collect();
            let planned = run.cluster.gives_up.len();
            check(&program, &mut run, &format!("given up at {first}, then at {second:?}"));
            given_up += planned - run.cluster.gives_up.len();
        }
        assert!(given_up > 20, "it was put to the test");
    }
}
