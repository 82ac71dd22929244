//! State that a session cannot take along. The session ends with its link then, and the client is told which it was.

use super::losses::packets;
use super::run::Run;
use super::*;
use crate::session::plan::LONG;

/// The reply of a statement without rows, which reports this.
fn reports(state: &[u8]) -> Vec<u8> {
    ok(1, in_transaction(), state)
}

/// A client in a transaction that has written.
fn in_a_transaction() -> Play {
    let mut play = Play::new(icinga());
    play.client_sends(&query("BEGIN")).node_sends(&reports(EMPTY));
    play.client_sends(&query("INSERT INTO t VALUES (1)")).node_sends(&reports(WROTE));
    play
}

/// The session does not get past the loss of its link, and says why.
#[track_caller]
fn assert_stuck(play: &mut Play, reason: Blocker) {
    let stuck = play.machine.link_lost().expect_err("it cannot move");
    assert_eq!(stuck, Stuck::Blocker(reason));
    assert_eq!(stuck.to_string(), format!("the session cannot move: {reason}"));
}

/// The transaction ends, and with it what kept the session from moving.
#[track_caller]
fn assert_free_after_rollback(play: &mut Play) {
    play.client_sends(&query("ROLLBACK")).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, NONE));
    assert_eq!(play.machine.link_lost(), Ok(()));
}

/// Otherwise it would be told that somebody has killed its connection.
#[test]
fn a_connection_that_completion_type_closes_is_closed_behind_a_chain_too() {
    let report = b"\x00\x18\x0fcompletion_type\x07RELEASE";
    for (sql, end) in
        [("ROLLBACK AND CHAIN", Err(Stuck::Released)), ("ROLLBACK AND NO CHAIN NO RELEASE", Ok(()))]
    {
        let mut play = Play::new(icinga());
        play.client_sends(&query("SET completion_type=2"));
        play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, report));
        play.client_sends(&query(sql));
        assert_eq!(play.machine.link_lost(), end, "{sql}");
    }
}

/// Otherwise a client that closes its connection, behind what only the server can take apart, would be told an error in
/// place of the replies.
#[test]
fn a_connection_that_is_released_behind_a_compound_statement_is_closed_behind_its_replies() {
    let text = "BEGIN NOT ATOMIC SELECT 1; END; COMMIT RELEASE";
    let mut play = Play::new(icinga());
    play.client_sends(&query(text)).node_sends(&rows(1, true));
    assert_eq!(play.machine.link_lost(), Err(Stuck::Released));
    let mut play = Play::new(icinga());
    let text = "BEGIN NOT ATOMIC SELECT 1; END; COMMIT; RELEASE SAVEPOINT a";
    play.client_sends(&query(text)).node_sends(&rows(1, true));
    assert_eq!(play.machine.link_lost(), Err(Stuck::Doubt(Doubt::Statement)));
}

/// Otherwise a client whose session cannot move would be told of a write that is rolled back behind that, or lose its
/// connection for an error that a server just tells.
#[test]
fn a_write_that_its_commit_refuses_is_told_as_refused_where_a_part_of_the_text_was_told() {
    let mut run = Run::new(icinga(), []);
    let refused = ErrPacket::new(1180, *b"HY000", "not now");
    run.cluster.refusals = [("COMMIT", refused)].into();
    let texts = ["SET @x=1;INSERT INTO t VALUES ('a')", "INSERT INTO t VALUES ('b')"];
    run.all(&texts.map(query)).expect("the session goes on");
    let told = packets(&run.to_client);
    assert!(told[0].starts_with("1 \\x00") && told[1].starts_with("2 \\xff"), "{told:#?}");
    assert!(told[2].starts_with("1 \\x00"), "{told:#?}");
    let tokens = run.cluster.tokens();
    assert_eq!(tokens.iter().map(|(_, token)| &token[..]).collect::<Vec<_>>(), ["b"]);
}

/// Otherwise the connection of a client, of whose text no part waits for the rest, would be closed for a slip in its text.
#[test]
fn a_statement_that_fails_behind_its_own_commit_is_told_its_error() {
    let mut run = Run::new(icinga(), []);
    let denied = ErrPacket::new(1044, *b"42000", "Access denied");
    run.cluster.refusals = [("SET PASSWORD", denied)].into();
    run.cluster.rolls_back_for = Some(1044);
    let texts = [
        "BEGIN;INSERT INTO t VALUES ('a');SET PASSWORD FOR absent@absent = ''",
        "INSERT INTO t VALUES ('b')",
    ];
    run.all(&texts.map(query)).expect("the session goes on");
    let told = packets(&run.to_client);
    assert_eq!(told.iter().filter(|packet| packet.contains("Access denied")).count(), 1);
    assert_eq!(run.cluster.tokens().last().map(|(_, token)| &token[..]), Some("b"));
}

/// On another node they would not be there, and results be wrong without an error.
#[test]
fn what_a_statement_leaves_in_the_session_keeps_it_where_it_is() {
    for (sql, reason) in [
        ("CREATE TEMPORARY TABLE x (a INT)", Blocker::TemporaryTable),
        ("SET @a = 1", Blocker::UserVariable),
        ("PREPARE p FROM 'SELECT 1'", Blocker::SqlPrepare),
        ("DO GET_LOCK('a', 1)", Blocker::NamedLock),
        ("HANDLER t OPEN", Blocker::Exotic),
        ("XA START 'x'", Blocker::Exotic),
    ] {
        let mut play = Play::new(icinga());
        play.client_sends(&query(sql)).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
        assert_stuck(&mut play, reason);
    }
}

/// A driver's table or lock would be lost without a word, since drivers prepare what they send.
#[test]
fn what_a_prepared_statement_leaves_keeps_the_session_where_it_is() {
    for (sql, reason) in [
        ("CREATE TEMPORARY TABLE x (a INT)", Blocker::TemporaryTable),
        ("SELECT @a", Blocker::UserVariable),
        ("DO GET_LOCK('a', 1)", Blocker::NamedLock),
    ] {
        let mut play = Play::new(icinga());
        prepare(&mut play, sql);
        assert_eq!(play.machine.session.stuck(), None, "{sql}: it was not done");
        play.client_sends(&execute(1)).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
        assert_stuck(&mut play, reason);
    }
}

/// A planned move would leave the session where it is, and it would end with its node.
#[test]
fn what_is_given_back_sets_the_session_free() {
    for (taken, given) in [
        ("CREATE TEMPORARY TABLE x (a INT)", "DROP TEMPORARY TABLE x"),
        ("PREPARE p FROM 'SELECT 1'", "DEALLOCATE PREPARE p"),
        ("DO GET_LOCK('a', 1)", "DO RELEASE_LOCK('a')"),
    ] {
        let mut play = Play::new(icinga());
        play.client_sends(&query(taken)).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
        play.client_sends(&query(given));
        assert!(play.machine.session.stuck().is_some(), "{given} is not done yet");
        play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
        assert_eq!(play.machine.session.stuck(), None, "{given}");
    }
}

/// The loss may come while the statement is under way: it counts from the moment it is sent.
#[test]
fn a_statement_under_way_counts_already() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("SET @a = 1"));
    assert_stuck(&mut play, Blocker::UserVariable);
}

#[test]
fn what_the_server_reports_keeps_the_session_where_it_is() {
    let variable = |name: &str, value: &str| {
        let [name, value] =
            [name, value].map(|text| [&[text.len() as u8], text.as_bytes()].concat());
        let inner = [name, value].concat();
        [&[0, inner.len() as u8], &inner[..]].concat()
    };
    for (state, reason) in [
        (b"\x05\x09\x08_______L".to_vec(), Blocker::LockedTables),
        (variable("session_track_schema", "OFF"), Blocker::Untracked),
        (variable("timestamp", "1700000000"), Blocker::Timestamp),
    ] {
        let mut play = Play::new(icinga());
        play.client_sends(&query("SELECT 1")).node_sends(&rows(1, false));
        play.client_sends(&query("SET lc_time_names='de_DE'"));
        play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, &state));
        assert_stuck(&mut play, reason);
    }
}

/// Nothing would be known of its variables or its transaction.
#[test]
fn a_server_that_reports_nothing_has_sessions_that_stay() {
    let mut play = Play::new(without_tracking());
    let untracked = LinkFacts { capabilities: without_tracking(), ..facts(without_tracking()) };
    play.machine.link_up(untracked);
    assert_stuck(&mut play, Blocker::Untracked);
}

#[test]
fn tables_that_are_unlocked_let_the_session_go() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("LOCK TABLES t WRITE"));
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b"\x05\x09\x08_______L"));
    play.client_sends(&query("UNLOCK TABLES"));
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, NONE));
    assert_eq!(play.machine.link_lost(), Ok(()));
}

/// Done again, they might do something else: the transaction must end where it is, and only that.
#[test]
fn what_cannot_be_done_again_keeps_the_session_until_its_transaction_ends() {
    for (sql, reply, reason) in [
        ("CALL p()", reports(b""), Blocker::Call),
        ("IF 1 THEN DO 1; END IF", reports(b""), Blocker::Compound),
        ("INSERT INTO m VALUES (1)", reports(b"\x05\x09\x08T__wW___"), Blocker::UnsafeWrite),
    ] {
        let mut play = in_a_transaction();
        play.client_sends(&query(sql)).node_sends(&reply);
        assert_stuck(&mut play, reason);
        let mut play = in_a_transaction();
        play.client_sends(&query(sql)).node_sends(&reply);
        assert_free_after_rollback(&mut play);
    }
}

/// A table without transactions would get the rows of each try, up to a hundred of them.
#[test]
fn what_a_failed_statement_wrote_for_good_is_told_by_the_answer_to_a_question() {
    let client = icinga() | Capabilities::DEPRECATE_EOF;
    let mut play = Play::new(client);
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    play.client_sends(&query("INSERT INTO m VALUES (1), (1)")).node_sends(&error(1));
    let mut answer = ok_packet(in_transaction(), b"\x05\x09\x08T__w____");
    answer.ends_rows = true;
    play.node_sends(&framed(&answer.encode(Capabilities::SESSION_TRACK), 1));
    assert_stuck(&mut play, Blocker::UnsafeWrite);
}

/// Only the client has the file.
#[test]
fn a_file_of_the_client_keeps_the_session_until_its_transaction_ends() {
    let load = |play: &mut Play| {
        play.client_sends(&query("LOAD DATA LOCAL INFILE 'file.csv' INTO TABLE t"));
        play.node_sends(&framed(b"\xfbfile.csv", 1));
        play.client_sends(&[framed(b"a\n", 2), framed(b"", 3)].concat());
        play.node_sends(&ok(4, in_transaction(), b""));
    };
    let mut play = in_a_transaction();
    load(&mut play);
    assert_stuck(&mut play, Blocker::File);
    let mut play = in_a_transaction();
    load(&mut play);
    assert_free_after_rollback(&mut play);
}

#[test]
fn a_command_too_long_to_keep_keeps_the_session_until_its_transaction_ends() {
    let long = |play: &mut Play| {
        let mut payload = b"\x03INSERT INTO t VALUES (1)".to_vec();
        payload.resize(MOST_KEPT + 1000, b' ');
        let command = framed(&payload, 0);
        let (start, rest) = command.split_at(MOST_KEPT);
        play.client_sends(start).client_sends(rest).node_sends(&ok(3, in_transaction(), b""));
    };
    let mut play = in_a_transaction();
    long(&mut play);
    assert_stuck(&mut play, Blocker::LongCommand);
    let mut play = in_a_transaction();
    long(&mut play);
    assert_free_after_rollback(&mut play);
}

/// Limits are there so that one client cannot take all memory; that must cost no more than its move.
#[test]
fn a_journal_that_is_full_keeps_the_session_until_its_transaction_ends() {
    let full = || {
        let settings = SessionSettings::new(icinga(), 8, None);
        let journal = Store::new(Arc::new(Budget::new(0, 0, None)));
        let fence = Fence::new(Arc::new(FencePool::new("ido_proxy", 7)), b"icinga");
        let mut play = Play::new(icinga());
        play.machine = Machine::new(icinga(), SessionState::new(settings, journal, fence));
        play.machine.link_up(facts(icinga()));
        play.client_sends(&query("BEGIN")).node_sends(&reports(EMPTY));
        play.client_sends(&query("INSERT INTO t VALUES (1)")).node_sends(&reports(WROTE));
        play
    };
    assert_stuck(&mut full(), Blocker::JournalFull);
    assert_free_after_rollback(&mut full());
}

/// COM_STMT_PREPARE, and its answer.
fn prepare(play: &mut Play, sql: &str) {
    let ok = ido_proxy_protocol::prepare::PrepareOk {
        statement_id: 1,
        columns: 0,
        parameters: 0,
        warnings: 0,
        definitions_follow: true,
    };
    play.client_sends(&framed(&[b"\x16", sql.as_bytes()].concat(), 0))
        .node_sends(&framed(&ok.encode(), 1));
}

/// A stored function may write, which would be done twice.
#[test]
fn a_read_that_may_write_is_not_done_again() {
    let lost = |sql| {
        let mut play = Play::new(icinga());
        play.client_sends(&query(sql));
        play.machine.link_lost()
    };
    assert_eq!(lost("SELECT COUNT(*) FROM t"), Ok(()));
    assert_eq!(lost("SELECT f_write(1)"), Err(Stuck::Doubt(Doubt::Statement)));
}

/// The rows that were not fetched are at the old node.
#[test]
fn an_open_cursor_keeps_the_session_until_it_is_closed() {
    let open = |play: &mut Play| {
        prepare(play, "SELECT a FROM t");
        let status = StatusFlags::AUTOCOMMIT | StatusFlags::CURSOR_EXISTS;
        let eof = EofPacket { warnings: 0, status }.encode();
        play.client_sends(&framed(b"\x17\x01\0\0\0\x01\x01\0\0\0", 0));
        for (payload, sequence) in [b"\x01", COLUMN, &eof].into_iter().zip(1..) {
            play.node_sends(&framed(payload, sequence));
        }
        assert!(play.machine.is_idle());
    };
    let mut play = Play::new(icinga());
    open(&mut play);
    assert_stuck(&mut play, Blocker::OpenCursor);
    // Another statement is closed.
    let mut play = Play::new(icinga());
    open(&mut play);
    play.client_sends(&framed(b"\x19\x07\0\0\0", 0));
    assert_stuck(&mut play, Blocker::OpenCursor);
    // Without EOF packets, an OK packet says so.
    let mut play = Play::new(icinga() | Capabilities::DEPRECATE_EOF);
    prepare(&mut play, "SELECT a FROM t");
    play.client_sends(&framed(b"\x17\x01\0\0\0\x01\x01\0\0\0", 0));
    let status = (StatusFlags::AUTOCOMMIT | StatusFlags::CURSOR_EXISTS).bits().to_le_bytes();
    let end = [&[0xFE, 0, 0][..], &status, &[0, 0]].concat();
    for (payload, sequence) in [b"\x01", COLUMN, &end].into_iter().zip(1..) {
        play.node_sends(&framed(payload, sequence));
    }
    assert_stuck(&mut play, Blocker::OpenCursor);
    let mut play = Play::new(icinga());
    open(&mut play);
    play.client_sends(&framed(b"\x19\x01\0\0\0", 0));
    assert_eq!(play.machine.link_lost(), Ok(()));
}

/// A statement that runs without the parameter that was sent before it writes something else.
#[test]
fn a_long_parameter_keeps_the_session_until_its_statement_has_run() {
    let send = |play: &mut Play| {
        prepare(play, "SELECT a FROM t");
        play.client_sends(&framed(b"\x18\x01\0\0\0\0\0text", 0));
    };
    let mut play = Play::new(icinga());
    send(&mut play);
    assert_stuck(&mut play, Blocker::LongData);
    // Another statement runs, which the server does not know.
    let mut play = Play::new(icinga());
    send(&mut play);
    play.client_sends(&framed(b"\x17\x07\0\0\0\0\x01\0\0\0", 0)).node_sends(&error(1));
    assert_stuck(&mut play, Blocker::LongData);
    let mut play = Play::new(icinga());
    send(&mut play);
    play.client_sends(&framed(b"\x17\x01\0\0\0\0\x01\0\0\0", 0));
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
    assert_eq!(play.machine.link_lost(), Ok(()));
}

/// Sent before the link is set up, it would go to a statement that is not there.
#[test]
fn a_long_parameter_waits_until_its_statement_is_prepared_on_a_new_link() {
    let mut play = Play::new(icinga());
    prepare(&mut play, "SELECT a FROM t");
    let parameter = framed(b"\x18\x01\0\0\0\0\0text", 0);
    let execute = framed(b"\x17\x01\0\0\0\0\x01\0\0\0", 0);
    play.goes_on_elsewhere(&[parameter, execute].concat());
    assert_eq!(play.requests(), ["SELECT a FROM t"]);
    let ok = ido_proxy_protocol::prepare::PrepareOk {
        statement_id: 9,
        columns: 0,
        parameters: 0,
        warnings: 0,
        definitions_follow: true,
    };
    play.node_sends(&framed(&ok.encode(), 1));
    let sent = [framed(b"\x18\x09\0\0\0\0\0text", 0), framed(b"\x17\x09\0\0\0\0\x01\0\0\0", 0)];
    assert_eq!(play.to_node, sent.concat());
}

/// Clients keep statements that they never use again; the table of one may be gone.
#[test]
fn a_statement_that_cannot_be_prepared_anew_fails_where_it_is_used_and_not_before() {
    let mut play = Play::new(icinga());
    prepare(&mut play, "SELECT a FROM t");
    play.goes_on_elsewhere(&query("SELECT 1"));
    assert_eq!(play.requests(), ["SELECT a FROM t"]);
    play.node_sends(&framed(&ErrPacket::new(1146, *b"42S02", "no such table").encode(), 1));
    assert_eq!(play.requests(), ["SELECT 1"]);
    play.node_sends(&rows(1, false));
    play.client_sends(&framed(b"\x17\x01\0\0\0\0\x01\0\0\0", 0));
    assert_eq!(
        play.to_node,
        framed(b"\x17\0\0\0\0\0\x01\0\0\0", 0),
        "no statement has this number"
    );
}

/// Done twice, or not at all: nobody can tell, so nobody may guess.
#[test]
fn a_statement_that_commits_by_itself_is_in_doubt_until_it_is_answered() {
    for (sql, doubt) in [
        ("CREATE TABLE x (a INT)", Doubt::Statement),
        ("DO f()", Doubt::Statement),
        ("CALL p()", Doubt::Statement),
    ] {
        let mut play = Play::new(icinga());
        play.client_sends(&query(sql));
        assert_eq!(play.machine.link_lost(), Err(Stuck::Doubt(doubt)), "{sql}");
        let mut play = Play::new(icinga());
        play.client_sends(&query(sql)).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
        assert_eq!(play.machine.link_lost(), Ok(()), "{sql}");
    }
}

/// The answer to a read that finds nothing.
fn no_row() -> Vec<u8> {
    let eof = EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT }.encode();
    let packets = [b"\x01", COLUMN, &eof, &eof].into_iter().zip(1..);
    packets.flat_map(|(part, number)| framed(part, number)).collect()
}

/// The frozen node may wake up in the middle of a text, and write the same fence: what is behind that in the
/// text would be committed by itself, and once more when it is done again.
#[test]
fn a_write_whose_commit_is_in_doubt_is_not_done_again_in_one_text_with_its_fence() {
    let mut play = Play::new(icinga());
    let insert = "INSERT INTO t VALUES (1)";
    play.client_sends(&query(insert));
    let frame = play.requests().concat();
    assert!(frame.starts_with("BEGIN;") && frame.ends_with(";COMMIT"), "{frame}");
    assert_eq!(play.machine.link_lost(), Ok(()));
    play.machine.link_up(facts(icinga()));
    play.client_sends(b"");
    assert!(play.requests()[0].contains("SELECT seq, reply FROM"));
    play.node_sends(&no_row());
    let mut sent = play.requests();
    while sent.last().is_none_or(|sql| sql != insert) {
        assert!(sent.len() < 9 && !sent.iter().any(|sql| sql.contains(';')), "{sent:#?}");
        let begun = sent.iter().any(|sql| sql == "BEGIN");
        let status = if begun { in_transaction() } else { StatusFlags::AUTOCOMMIT };
        let is_fence = sent.last().is_some_and(|sql| sql.contains("fence"));
        play.node_sends(&if is_fence { fenced(1) } else { ok(1, status, b"") });
        sent.extend(play.requests());
    }
    assert!(sent.iter().any(|sql| sql == "BEGIN"), "{sent:#?}");
    assert!(sent.iter().any(|sql| sql.contains("fence")), "{sent:#?}");
}

/// Told that the session cannot move, a client takes its transaction for rolled back and does it again.
#[test]
fn that_a_commit_is_in_doubt_is_told_before_any_other_reason() {
    let committing = |sql: &str, state: &[u8]| {
        let mut play = in_a_transaction();
        play.client_sends(&query(sql)).node_sends(&reports(state));
        play.requests();
        play.client_sends(&query("COMMIT"));
        let sent = play.requests();
        assert!(sent[0].ends_with("COMMIT"), "alone, or behind its fence: {sent:?}");
        let mut lost = play.machine.link_lost();
        if lost.is_ok() {
            // The fence may tell. It says that nothing is committed, so far.
            play.machine.link_up(facts(icinga()));
            play.client_sends(b"");
            assert!(play.requests()[0].contains("SELECT seq FROM"));
            let down = play.machine.downward(&no_row()).expect("a reply");
            lost = down.stuck.map_or(Ok(()), Err);
        }
        lost
    };
    let fenced = committing("CALL p()", b"");
    assert_eq!(fenced, Err(Stuck::Doubt(Doubt::Statement)));
    let unfenced = committing("SET @a = 1", b"");
    assert_eq!(unfenced, Err(Stuck::Doubt(Doubt::Statement)));
}

/// A replay that was broken off has set the link up as it was when the transaction began, and for texts of
/// several statements: a client that is not to send those would be open to injected SQL.
#[test]
fn a_session_whose_transaction_is_given_up_is_as_it_was_when_its_link_was_lost() {
    let mut play = in_a_transaction();
    play.client_sends(&query("SELECT 1")).node_sends(&rows(1, true));
    play.client_sends(&query("SET lc_time_names='de_DE'"));
    play.node_sends(&ok(1, in_transaction(), VARIABLE));
    play.requests();
    assert_eq!(play.machine.link_lost(), Ok(()));
    play.machine.link_up(LinkFacts { galera: false, ..facts(icinga()) });
    play.client_sends(b"");
    let mut sent = play.requests();
    let mut rounds = 0;
    while !play.machine.is_idle() {
        let last = sent.last().expect("a request").clone();
        if last.contains(';') {
            // The replay.
            play.node_sends(&framed(&ErrPacket::new(1146, *b"42S02", "gone").encode(), 1));
        } else {
            play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, NONE));
        }
        sent.extend(play.requests());
        rounds += 1;
        assert!(rounds < 20, "{sent:#?}");
    }
    let rollback = sent.iter().position(|sql| sql == "ROLLBACK").expect("it is rolled back");
    let set = sent.iter().rposition(|sql| sql.contains("de_DE"));
    assert!(set > Some(rollback), "{sent:#?}");
}

/// The next node may lack the database, or the right to it.
#[test]
fn what_the_next_node_refuses_is_named() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("USE test")).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, SCHEMA));
    assert_eq!(play.machine.link_lost(), Ok(()));
    play.machine.link_up(facts(icinga()));
    play.client_sends(&query("SELECT 1")).node_sends(&rows(1, false));
    let refusal = ErrPacket::new(1049, *b"42000", "Unknown database 'test'");
    let down = play.machine.downward(&framed(&refusal.encode(), 1)).expect("a reply");
    let stuck = down.stuck.expect("it cannot go on");
    assert!(stuck.to_string().contains("Unknown database 'test'"), "{stuck}");
    assert_eq!(stuck, Stuck::Refused(refusal));
}

/// One that does not wait for the end of its reply.
fn long_row() -> Vec<u8> {
    [&b"\xfd\x00\x00\x01"[..], &[b'x'; 1 << 16]].concat()
}

/// A batch in the middle of whose rows the link is lost, after `row`.
fn batch_cut_after(row: &[u8]) -> Play {
    let mut play = in_a_transaction();
    play.to_client.clear();
    play.client_sends(&query("INSERT INTO t VALUES (2);SELECT 1;COMMIT"));
    // The guard.
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, b""));
    let more = in_transaction() | StatusFlags::MORE_RESULTS;
    let eof = EofPacket { warnings: 0, status: more }.encode();
    let fence = OkPacket { affected_rows: 1, status: more, ..OkPacket::default() };
    play.node_sends(&framed(&fence.encode(Capabilities::SESSION_TRACK), 1));
    play.node_sends(&ok(2, more, b""));
    for (payload, sequence) in [b"\x01", COLUMN, &eof, row].into_iter().zip(3..) {
        play.node_sends(&framed(payload, sequence));
    }
    play
}

/// Told twice, or told otherwise, a part of a batch would shift every result behind it.
#[test]
fn a_batch_of_which_rows_are_told_is_not_begun_again() {
    let many = long_row();
    let mut play = batch_cut_after(&many);
    assert!(play.to_client.len() > many.len());
    assert_eq!(play.machine.link_lost(), Err(Stuck::Told));
}

/// The rest of the reply would be taken for what the client has already: it would wait for ever.
#[test]
fn a_commit_that_fails_behind_rows_that_are_told_ends_the_session() {
    let many = long_row();
    let mut play = batch_cut_after(&many);
    let eof = EofPacket { warnings: 0, status: in_transaction() }.encode();
    play.requests();
    play.node_sends(&framed(&eof, 7));
    assert_eq!(play.requests(), ["COMMIT"]);
    let deadlock = ErrPacket::new(1213, *b"40001", "Deadlock found when trying to get lock");
    let down = play.machine.downward(&framed(&deadlock.encode(), 1)).expect("a reply");
    assert_eq!(down.stuck, Some(Stuck::Told));
}

/// Otherwise the write would be taken for fenced, and a COMMIT of ours in doubt for one that was not done.
#[test]
fn a_long_write_whose_fence_cannot_be_written_goes_by_itself() {
    let mut play = Play::new(icinga());
    let insert = format!("INSERT INTO t VALUES ('{}')", "x".repeat(LONG));
    play.client_sends(&query(&insert));
    let sent = play.requests();
    assert!(sent[0] == "BEGIN" && sent[1].contains("fence"), "both in one write: {sent:?}");
    play.node_sends(&ok(1, in_transaction(), EMPTY));
    let denied = ErrPacket::new(1142, *b"42000", "INSERT command denied");
    play.node_sends(&framed(&denied.encode(), 1));
    assert_eq!(play.requests(), ["ROLLBACK"]);
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, NONE));
    assert_eq!(play.requests(), [insert]);
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
    assert!(play.machine.is_idle() && play.requests().is_empty());
}

/// Most are, and their clients need not know.
#[test]
fn a_batch_that_reads_a_few_rows_is_done_again() {
    let mut play = batch_cut_after(b"\x011");
    assert_eq!(play.to_client, [0; 0]);
    assert_eq!(play.machine.link_lost(), Ok(()));
}

/// Otherwise the next statement would commit what a procedure has begun before it failed, and the client rolls back later.
#[test]
fn a_transaction_that_a_procedure_has_begun_before_it_failed_is_known() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("CALL begins_and_fails()"));
    let failed = ErrPacket::new(1205, *b"HY000", "Lock wait timeout exceeded").encode();
    play.requests();
    play.node_sends(&framed(&failed, 1));
    assert!(play.to_client.is_empty(), "the server is asked first");
    let eof = EofPacket { warnings: 0, status: in_transaction() }.encode();
    play.node_sends(&framed(&eof, 1));
    assert_eq!(play.to_client, framed(&failed, 1));
    assert!(play.machine.in_transaction());
    play.to_node.clear();
    play.client_sends(&query("INSERT INTO t VALUES (1)"));
    assert_eq!(play.requests(), ["INSERT INTO t VALUES (1)"]);
    play.node_sends(&reports(WROTE));
    assert_stuck(&mut play, Blocker::Call);
}
