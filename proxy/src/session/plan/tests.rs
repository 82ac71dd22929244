use ido_proxy_protocol::statement::Dialect;

use super::*;

fn icinga(open: bool) -> Scene {
    Scene {
        texts: Texts::Several,
        autocommit: true,
        transaction: if open { Current::Clean } else { Current::Nothing },
        fence: FenceUse::Usable,
        ..Scene::default()
    }
}

/// A client that may send one statement a text, on a link that takes several.
fn one_at_a_time() -> Scene {
    Scene { texts: Texts::Joined, ..icinga(false) }
}

/// The steps as text: `^` for our BEGIN, `#` for the fence, `$` for our COMMIT, `!` before what is
/// committed by it, `?` before what is doubtful.
fn shown(sql: &str, scene: Scene) -> Vec<String> {
    let plan = Plan::of_query(sql.as_bytes(), scene);
    let text = |range: &Range<usize>| sql[range.clone()].to_owned();
    let seen = |step: &&Step| !matches!(step.what, What::KeepWarnings | What::PutWarningsBack);
    plan.steps
        .iter()
        .filter(seen)
        .map(|step| {
            let what = match &step.what {
                What::Begin => "^".to_owned(),
                What::KeepWarnings => "(".to_owned(),
                What::PutWarningsBack => ")".to_owned(),
                What::PutRowCountBack => "=".to_owned(),
                What::AskState | What::ShowReports | What::AskReports | What::ReportAll => {
                    "*".to_owned()
                }
                What::Close => "#$".to_owned(),
                What::Commit => "$".to_owned(),
                What::Fence => "#".to_owned(),
                What::Guard(on) => format!("guard {on}"),
                What::Part(range) => text(range),
                What::Rollback => "%".to_owned(),
                What::Whole => sql.to_owned(),
                What::Wrapped(range) => format!("^#{}", text(range)),
                What::Framed(range) => format!("^{}#$", text(range)),
                What::Single(range) => format!("1{}", text(range)),
                What::Several(on) => format!("several {on}"),
            };
            let risk = match step.risk {
                Risk::Commit { .. } => "!",
                Risk::Doubtful(_) => "?",
                Risk::Repeatable => "",
                Risk::Rollback => "~",
            };
            let fence = step.fence_at.and_then(|at| step.pieces.get(at));
            let start = fence.map(|piece| piece.start - step.pieces[0].start);
            let (before, behind) = what.split_at(start.unwrap_or_default());
            format!("{risk}{before}{}{behind}", if start.is_some() { "#" } else { "" })
        })
        .collect()
}

/// Else a lost reply leaves open whether the batch was committed; and with more behind it, Galera answers
/// a COMMIT with OK that it then cannot do.
#[test]
fn icingas_batch_is_split_around_its_commit() {
    let batch = "UPDATE a SET b=1;INSERT INTO c VALUES (';');COMMIT;BEGIN";
    let steps = ["#UPDATE a SET b=1;INSERT INTO c VALUES (';')", "!COMMIT", "BEGIN"];
    assert_eq!(shown(batch, icinga(true)), steps);
    let older = "UPDATE a SET b=1;COMMIT;BEGIN;DELETE FROM d;INSERT INTO d VALUES (1)";
    let steps = ["#UPDATE a SET b=1", "!COMMIT", "BEGIN;DELETE FROM d;INSERT INTO d VALUES (1)"];
    assert_eq!(shown(older, icinga(true)), steps);
}

/// Icinga sends this each second: it must stay one round trip.
#[test]
fn a_commit_of_nothing_is_sent_as_it_came() {
    assert_eq!(shown("COMMIT;BEGIN", icinga(true)), ["COMMIT;BEGIN"]);
    let dirty = Scene { transaction: Current::Written, ..icinga(true) };
    assert_eq!(shown("COMMIT;BEGIN", dirty), ["#", "!COMMIT", "BEGIN"]);
    assert_eq!(shown("COMMIT", dirty), ["!#COMMIT"], "in one text with its fence");
    let single = Scene { texts: Texts::Single, ..dirty };
    assert_eq!(shown("COMMIT", single), ["#", "!COMMIT"]);
}

/// Otherwise each frame of ours would cost a client without MULTI_STATEMENTS two more round trips.
#[test]
fn the_frame_of_a_client_of_one_statement_is_one_text_too() {
    let insert = "INSERT INTO t VALUES (1)";
    let framed = [format!("!^{insert}#$")];
    assert_eq!(shown(insert, one_at_a_time()), framed);
    assert_eq!(shown("SELECT 1", one_at_a_time()), ["SELECT 1"]);
    let dirty = Scene { transaction: Current::Written, ..one_at_a_time() };
    assert_eq!(shown("COMMIT", dirty), ["!#COMMIT"]);
}

/// Otherwise whoever smuggles a statement into a string would have it done by the proxy, and not without.
#[test]
fn a_text_that_may_have_a_second_statement_meets_a_link_that_takes_one() {
    let block = "BEGIN NOT ATOMIC SELECT 1; END; COMMIT";
    assert_eq!(shown(block, one_at_a_time()), [format!("?1{block}")]);
    for sql in ["SELECT 1;DROP TABLE t", "SELECT 'a\\';b'", "SELECT 1 /* ; */"] {
        let single = format!("1{sql}");
        assert_eq!(shown(sql, one_at_a_time()), [single], "{sql}");
    }
    let insert = "INSERT INTO t VALUES ('it\\'s;')";
    let apart = ["^".to_owned(), "#".to_owned(), format!("1{insert}"), "!$".to_owned()];
    assert_eq!(shown(insert, one_at_a_time()), apart);
    for sql in ["SELECT 'a;b'", "SELECT 'it\\'s';", "SELECT 1 /* none */ ; "] {
        assert_eq!(shown(sql, one_at_a_time()), [sql], "{sql}");
    }
}

#[test]
fn what_commits_in_passing_is_fenced_too() {
    let dirty = Scene { transaction: Current::Written, ..icinga(true) };
    assert_eq!(shown("BEGIN", dirty), ["#", "!BEGIN"]);
    assert_eq!(shown("CREATE TABLE t (a INT)", dirty), ["#", "?CREATE TABLE t (a INT)"]);
    // Nothing was written: the statement is in doubt all the same, and not to be done twice.
    let begun = "BEGIN;CREATE TABLE t (a INT)";
    assert_eq!(shown(begun, icinga(false)), ["BEGIN", "?CREATE TABLE t (a INT)"]);
    let off = Scene { autocommit: false, ..dirty };
    assert_eq!(shown("SET autocommit=1", off), ["#", "!SET autocommit=1"]);
    // Neither commits: autocommit is on already, or is turned off.
    assert_eq!(shown("SET autocommit=1", dirty), ["SET autocommit=1"]);
    assert_eq!(shown("SET @@session.autocommit = OFF", dirty), ["SET @@session.autocommit = OFF"]);
}

/// Otherwise a block that is sent under the guard could turn autocommit off, and the guard's end would turn it on.
#[test]
fn a_block_that_names_autocommit_may_set_it() {
    for sql in
        ["IF 1 THEN DO 1; END IF; SET autocommit = 0", "DO 1; IF 1 THEN SET autocommit = 0; END IF"]
    {
        assert!(Plan::of_query(sql.as_bytes(), icinga(true)).sets_autocommit, "{sql}");
    }
    assert!(!Plan::of_query(b"IF 1 THEN DO 1; END IF", icinga(true)).sets_autocommit);
}

/// Else a connection that breaks in the middle of it leaves one row or two, or one is committed that was to be rolled
/// back.
#[test]
fn what_a_text_sets_autocommit_to_holds_for_what_comes_behind_it() {
    let off = Scene { autocommit: false, ..icinga(false) };
    let wrapped = ["!^INSERT INTO t VALUES (1)#$"];
    let on = shown("SET autocommit=1;INSERT INTO t VALUES (1)", off);
    assert_eq!(on, ["SET autocommit=1", wrapped[0]]);
    assert_eq!(shown("SET autocommit=1;INSERT INTO t VALUES (1)", icinga(false)), on);
    let left = "SET autocommit=0;INSERT INTO t VALUES (1)";
    assert_eq!(shown(left, icinga(false)), [left]);
    let guards = Scene { guard: GuardUse::Free, ..icinga(false) };
    assert_eq!(shown(left, guards), ["SET autocommit=0", "INSERT INTO t VALUES (1)"]);
    // Only a SET counts: somebody's text must not make a batch go one by one.
    let told = "INSERT INTO t VALUES ('autocommit=0');INSERT INTO t VALUES (2)";
    assert_eq!(shown(told, Scene { transaction: Current::Clean, ..guards }), [told]);
    // A quoted name is not looked at: it may be that of autocommit, and a frame commit what is open then.
    let quoted = "SET `sql_mode`='';BEGIN;DELETE FROM t;COMMIT;INSERT INTO t VALUES (1)";
    let begun = "SET `sql_mode`='';BEGIN;#DELETE FROM t";
    let steps = [begun, "!COMMIT", "?INSERT INTO t VALUES (1)"];
    assert_eq!(shown(quoted, icinga(false)), steps);
    // A write behind a mode that is not known is a step of its own, which commits by itself or does not.
    let global = "SET GLOBAL autocommit=1;INSERT INTO t VALUES (1)";
    assert_eq!(shown(global, off), ["SET GLOBAL autocommit=1", "INSERT INTO t VALUES (1)"]);
}

/// Else a connection that breaks in the middle of an INSERT leaves one row or two.
#[test]
fn a_write_that_commits_by_itself_is_wrapped() {
    let insert = "INSERT INTO t VALUES (1)";
    assert_eq!(shown(insert, icinga(false)), ["!^INSERT INTO t VALUES (1)#$"]);
    let alone = Scene { texts: Texts::Single, ..icinga(false) };
    assert_eq!(shown(insert, alone), ["^", "#", insert, "!$"]);
    let unfenced = Scene { fence: FenceUse::InTheWay, ..icinga(false) };
    assert_eq!(shown(insert, unfenced), ["?INSERT INTO t VALUES (1)"]);
    assert_eq!(shown("SELECT 1", icinga(false)), ["SELECT 1"]);
    let several = "SELECT 1;DELETE FROM t;SELECT 2";
    assert_eq!(shown(several, icinga(false)), ["SELECT 1", "!^DELETE FROM t#$", "SELECT 2"]);
}

#[test]
fn a_rollback_begins_a_step() {
    let batch = "INSERT INTO t VALUES (1);ROLLBACK;BEGIN;INSERT INTO t VALUES (2)";
    let steps = ["INSERT INTO t VALUES (1)", "~ROLLBACK;BEGIN;INSERT INTO t VALUES (2)"];
    assert_eq!(shown(batch, icinga(true)), steps);
}

#[test]
fn a_whole_transaction_in_one_batch_is_split() {
    let batch = "BEGIN;INSERT INTO t VALUES (1);COMMIT";
    assert_eq!(shown(batch, icinga(false)), ["BEGIN;#INSERT INTO t VALUES (1)", "!COMMIT"]);
    let read = "BEGIN;SELECT 1;COMMIT";
    assert_eq!(shown(read, icinga(false)), [read]);
}

/// The second fence would be written as if the first transaction were not committed, and refused.
#[test]
fn a_transaction_behind_another_begins_when_that_one_is_known_to_be_committed() {
    let batch = "INSERT INTO t VALUES (1);COMMIT;BEGIN;INSERT INTO t VALUES (2);COMMIT";
    let second = "BEGIN;#INSERT INTO t VALUES (2)";
    let steps = ["#INSERT INTO t VALUES (1)", "!COMMIT", second, "!COMMIT"];
    assert_eq!(shown(batch, icinga(true)), steps);
}

/// A session that lost its temporary table or its lock would go on with wrong results.
#[test]
fn reasons_against_a_move_are_seen() {
    for (sql, reason) in [
        ("CREATE TEMPORARY TABLE t (a INT)", Blocker::TemporaryTable),
        ("SELECT get_lock('x', 1)", Blocker::NamedLock),
        ("SELECT @a", Blocker::UserVariable),
        ("SET @a = 1", Blocker::UserVariable),
        ("PREPARE p FROM 'SELECT 1'", Blocker::SqlPrepare),
        ("XA START 'x'", Blocker::Exotic),
    ] {
        let plan = Plan::of_query(sql.as_bytes(), icinga(false));
        assert_eq!(plan.session.first(), Some(reason), "{sql}");
    }
    for sql in ["SELECT '@a', a.get_locks FROM a", "SELECT @@sql_mode", "DO 1"] {
        let plan = Plan::of_query(sql.as_bytes(), icinga(false));
        assert_eq!(plan.session.first(), None, "{sql}");
    }
    let plan = Plan::of_query(b"CALL p()", icinga(true));
    assert_eq!(plan.transaction.first(), Some(Blocker::Call));
}

/// Otherwise a tool that shows what a statement has cost would show ours beside it, or each client's monitoring query
/// would take its writes the fence.
#[test]
fn what_reads_the_counters_of_statements_is_told_from_other_status() {
    let reads = |sql: &str| reads_counters(sql.as_bytes(), Dialect::default());
    for sql in [
        "SHOW STATUS",
        "show session status",
        "SELECT 1; SHOW LOCAL STATUS LIKE 'Com\\_insert'",
        "SHOW SESSION STATUS WHERE Variable_name IN ('Com_begin')",
        "SHOW STATUS LIKE 'Questions'",
        "SELECT * FROM information_schema.SESSION_STATUS",
    ] {
        assert!(reads(sql), "{sql}");
    }
    for sql in [
        "SHOW GLOBAL STATUS",
        "SHOW STATUS LIKE 'wsrep_%'",
        "SHOW SESSION STATUS LIKE 'Threads_connected'",
        "SELECT status FROM t WHERE a='Com'",
        "INSERT INTO t VALUES ('SHOW STATUS')",
    ] {
        assert!(!reads(sql), "{sql}");
    }
}

/// Read in parts, a batch whose check results have such a word in them would take a hundred round trips.
#[test]
fn what_reads_autocommit_is_told_from_what_only_has_the_word_in_it() {
    let reads = |sql: &str| {
        let scene = Scene { guard: GuardUse::Free, ..icinga(true) };
        Plan::of_query(sql.as_bytes(), scene).reads_autocommit
    };
    for sql in [
        "SELECT @@autocommit",
        "SELECT 1, @@session.AutoCommit;SELECT 2",
        "SHOW VARIABLES LIKE 'autocommit'",
        "SHOW SESSION VARIABLES",
        "SELECT * FROM information_schema.session_variables",
    ] {
        assert!(reads(sql), "{sql}");
    }
    for sql in [
        "INSERT INTO t VALUES ('@@autocommit is in SHOW VARIABLES')",
        "UPDATE autocommit SET a=1 /* variables */",
        "SELECT @autocommit",
        "SELECT @@autocommit_mode",
    ] {
        assert!(!reads(sql), "{sql}");
    }
}

/// Otherwise what comes behind the end of a transaction would be done under the guard, and be lost with a ROLLBACK.
#[test]
fn a_file_that_is_loaded_is_a_step_of_its_own() {
    let load = "LOAD DATA LOCAL INFILE 'f' INTO TABLE t";
    let text = format!("COMMIT;{load};DELETE FROM t;ROLLBACK");
    let scene = Scene { guard: GuardUse::Free, ..icinga(true) };
    let plan = Plan::of_query(text.as_bytes(), scene);
    let step = plan.steps.iter().find(|step| step.what == What::Part(7..7 + load.len()));
    assert_eq!(step.map(|step| step.risk), Some(Risk::Doubtful(Doubt::Statement)), "{plan:?}");
    assert_eq!(plan.unguards, None);
    let text = format!("BEGIN;{load};COMMIT");
    let plan = Plan::of_query(text.as_bytes(), icinga(false));
    let step = plan.steps.iter().find(|step| step.what == What::Part(6..6 + load.len()));
    assert_eq!(step.map(|step| step.risk), Some(Risk::Repeatable), "{plan:?}");
    assert!(plan.steps.iter().any(|step| step.what == What::Fence), "{plan:?}");
}

/// Otherwise the client would wait for a result that never comes.
#[test]
fn a_comment_behind_the_statement_of_a_client_of_one_goes_to_a_link_of_one() {
    let sql = "BEGIN; -- nothing";
    assert_eq!(shown(sql, one_at_a_time()), ["1BEGIN; -- nothing"]);
}

/// Otherwise a client would read the warnings of an earlier statement, or another count of rows.
#[test]
fn warnings_are_put_back_behind_a_commit_for_who_reads_them_at_once() {
    let scene = Scene { transaction: Current::Written, ..icinga(true) };
    for (rest, back) in [
        ("SHOW WARNINGS", Some(3)),
        ("SELECT ROW_COUNT()", Some(4)),
        ("BEGIN;UPDATE t SET a=1;SHOW WARNINGS", None),
    ] {
        let plan = Plan::of_query(format!("COMMIT;{rest}").as_bytes(), scene);
        let puts = plan.steps.iter().position(|step| step.what == What::PutWarningsBack);
        assert_eq!(puts, back, "{rest}: {:?}", plan.steps);
    }
}

/// Otherwise a list of warnings that is still there would be taken for lost, and the other way round.
#[test]
fn what_touches_no_table_leaves_the_list_of_warnings() {
    for sql in ["SELECT 1", "select @@warning_count", "SHOW WARNINGS", "SHOW ERRORS LIMIT 1"] {
        assert!(reads_no_table(sql.as_bytes()), "{sql}");
    }
    for sql in ["SELECT a FROM t", "SHOW TABLES", "INSERT INTO t VALUES (1)", "TABLE t"] {
        assert!(!reads_no_table(sql.as_bytes()), "{sql}");
    }
    let works = |sql: &str| works_on_no_table(sql.as_bytes(), Dialect::default());
    for sql in ["USE a", "SET @a = 1", "DO LAST_INSERT_ID(4)", "do 0"] {
        assert!(works(sql), "{sql}");
    }
    for sql in ["SET @a = (SELECT b FROM t)", "DO (SELECT b FROM t)", "DO f(1)", "DELETE t"] {
        assert!(!works(sql), "{sql}");
    }
}

/// Otherwise a transaction would use up other ids where it is done again for nothing but to hide the guard.
#[test]
fn writes_that_waste_ids_are_known_by_their_words() {
    assert!(wastes_ids(b"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1", 7));
    assert!(wastes_ids(b"insert ignore into t values (1)", 0));
    assert!(!wastes_ids(b"INSERT IGNORE INTO t VALUES (1)", 7), "its id is known");
    assert!(!wastes_ids(b"INSERT INTO t VALUES (1)", 0));
}

/// Otherwise a write would be done twice: nobody knows whether it commits by itself.
#[test]
fn a_write_behind_an_unknown_mode_is_a_step_of_its_own() {
    let text = "SET autocommit = 1 - @@autocommit;INSERT INTO t VALUES (1);BEGIN";
    let scene = Scene { autocommit: false, ..icinga(false) };
    let plan = Plan::of_query(text.as_bytes(), scene);
    let insert = plan.steps.iter().position(|step| step.what == What::Part(34..58));
    let insert = insert.unwrap_or_else(|| panic!("{plan:?}"));
    assert_eq!(plan.steps[insert].fence_at, Some(0), "{plan:?}");
    assert_eq!(plan.steps[insert - 1].what, What::Part(0..33), "{plan:?}");
}

/// Otherwise a session whose link is lost right behind its SET would compare by another collation, or lack its role.
#[test]
fn what_no_report_tells_is_read_from_the_words() {
    let untold = |sql: &str| {
        let Untold { collation, role } = untold_in(sql.as_bytes());
        [collation, role].map(|name| name.map(|name| String::from_utf8(name).unwrap()))
    };
    let name = |name: &str| Some(name.to_owned());
    let collated = [name("utf8mb4_bin"), None];
    assert_eq!(untold("SET NAMES utf8mb4 COLLATE utf8mb4_bin"), collated);
    assert_eq!(untold("\nset names 'utf8mb4' collate \"utf8mb4_bin\", @a = 1"), collated);
    assert_eq!(untold("SET NAMES utf8mb4"), [None, None]);
    assert_eq!(untold("SET NAMES utf8mb4 COLLATE DEFAULT"), [None, None]);
    assert_eq!(untold("SET @a = 'a' COLLATE utf8mb4_bin"), [None, None]);
    assert_eq!(untold("SET ROLE `the role`"), [None, name("the role")]);
    assert_eq!(untold("SET ROLE NONE"), [None, name("")]);
    assert_eq!(untold("SELECT 1"), [None, None]);
}

/// Otherwise what a block has committed within itself would be done a second time.
#[test]
fn a_block_in_a_transaction_is_not_done_again() {
    let block = "BEGIN NOT ATOMIC INSERT INTO t VALUES (1); COMMIT; END";
    for sql in [block.to_owned(), format!("BEGIN; {block}"), format!("COMMIT; {block}")] {
        let plan =
            Plan::of_query(sql.as_bytes(), Scene { texts: Texts::Several, ..Scene::default() });
        assert_eq!(plan.transaction.first(), Some(Blocker::Compound), "{sql}");
    }
}

/// Otherwise a client whose COMMIT begins the next transaction would be told that it has not, and write each row for good.
#[test]
fn a_commit_behind_a_set_of_completion_type_is_doubtful() {
    let scene = Scene {
        texts: Texts::Several,
        autocommit: true,
        fence: FenceUse::Usable,
        ..Scene::default()
    };
    let text = |set: &str| format!("BEGIN;INSERT INTO t VALUES (1);SET {set};COMMIT;SELECT 1");
    let risks = |set: &str| {
        let plan = Plan::of_query(text(set).as_bytes(), scene);
        Vec::from_iter(plan.steps.iter().map(|step| step.risk))
    };
    assert!(risks("completion_type=1").contains(&Risk::Doubtful(Doubt::Statement)));
    assert!(!risks("sql_notes=1").contains(&Risk::Doubtful(Doubt::Statement)));
}

/// Otherwise a session of a driver that sets all in one statement would lose its mode with its link.
#[test]
fn what_is_set_beside_the_reports_is_asked_for() {
    let unreported = |sql: &str| {
        let Unreported { variables, other } = Unreported::of(sql.as_bytes(), Dialect::default());
        let names = variables.into_iter().map(|name| String::from_utf8(name).unwrap());
        (Vec::from_iter(names), other)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let driver = "set autocommit=1, session_track_schema=1, SQL_MODE = concat(@@sql_mode,',ANSI')";
    assert_eq!(unreported(driver), (names(&["autocommit", "sql_mode"]), false));
    let several = "SET completion_type := 'CHAIN'; SET session_track_transaction_info = 'STATE'";
    assert_eq!(unreported(several), (names(&["completion_type"]), false));
    assert_eq!(unreported("SET @a = 1, session_track_schema=1").0, names(&[]));
    assert!(unreported("USE other; SET session_track_schema=0").1);
    assert!(unreported("SET TRANSACTION READ ONLY, session_track_schema=0").1);
    assert!(unreported("SET @@tx_read_only = 1; SET session_track_schema=0").1, "the next alone");
    assert_eq!(unreported("SET NAMES latin1, session_track_schema=0").0.len(), 4);
}

/// Otherwise the rows that a function wrote would be written twice, where the reply to the COMMIT is lost.
#[test]
fn a_text_that_may_write_by_a_function_has_a_fence() {
    for end in ["COMMIT", "BEGIN"] {
        let steps = shown(&format!("SELECT 1;SELECT f_write('q');{end}"), icinga(true));
        assert_eq!(steps[0], "SELECT 1;#SELECT f_write('q')", "{steps:?}");
    }
    let reads = shown("SELECT COUNT(*) FROM t;COMMIT", icinga(true));
    assert!(!reads.concat().contains('#'), "nothing is replicated for who only reads: {reads:?}");
}

/// Otherwise the writes before it would be done twice, where the reply to such a text is lost: KILL has committed them.
#[test]
fn a_text_that_kills_is_not_done_again() {
    let plan = Plan::of_query(b"INSERT INTO t VALUES (1);KILL QUERY 5", icinga(true));
    assert_eq!(plan.transaction.first(), Some(Blocker::Ddl));
}
