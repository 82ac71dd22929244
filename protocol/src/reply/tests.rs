//! Replies are built from [`script`] and followed cut in every way.

mod script;

use proptest::prelude::*;
use script::{Script, Seen, follow, status};

use super::*;
use crate::packet::frame;

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const NO_EOF: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF);
const BOTH: [Capabilities; 2] = [PLAIN, NO_EOF];

const MORE: StatusFlags = StatusFlags::MORE_RESULTS;
const AUTOCOMMIT: StatusFlags = StatusFlags::AUTOCOMMIT;

/// Checks that `script` is followed alike in one piece, cut in two anywhere, and byte for byte.
#[track_caller]
fn check(command: Command, script: &Script) {
    let tracker = ReplyTracker::new(command, script.capabilities);
    let bytes = &script.bytes;
    let expected = Seen { steps: script.steps.clone(), passed: bytes.len(), violation: None };
    for cut in 0..=bytes.len() {
        assert_eq!(follow(tracker.clone(), bytes, &[cut]), expected, "cut at {cut}");
    }
    let every_byte: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(follow(tracker, bytes, &every_byte), expected, "byte for byte");
}

#[test]
fn commands_without_a_reply_are_done_at_once() {
    for command in [Command::Quit, Command::StmtClose, Command::StmtSendLongData] {
        let mut tracker = ReplyTracker::new(command, PLAIN);
        assert!(tracker.is_done());
        assert_eq!(tracker.step(b""), Ok(ReplyStep::Incomplete));
        assert_eq!(tracker.step(b"\x01"), Err(Violation::Unsolicited));
    }
}

#[test]
fn a_statement_without_rows() {
    for capabilities in BOTH {
        for command in [Command::Query, Command::Ping, Command::InitDb, Command::StmtExecute] {
            check(command, Script::new(capabilities).ok(AUTOCOMMIT));
            check(command, Script::new(capabilities).err(1064));
        }
    }
}

#[test]
fn the_real_bytes_of_a_query_as_the_documentation_has_them() {
    // SELECT @@version_comment LIMIT 1, text protocol, with EOF packets.
    let bytes = b"\x01\0\0\x01\x01\x27\0\0\x02\x03def\0\0\0\x11@@version_comment\0\x0c\x08\0\x1c\
        \0\0\0\xfd\0\0\x1f\0\0\x05\0\0\x03\xfe\0\0\x02\0\x1d\0\0\x04\x1cMySQL Community Server \
        (GPL)\x05\0\0\x05\xfe\0\0\x02\0";
    let mut tracker = ReplyTracker::new(Command::Query, PLAIN);
    let mut steps = Vec::new();
    let mut passed = 0;
    while !tracker.is_done() {
        let step = tracker.step(&bytes[passed..]).expect("no violation");
        passed += step.covered();
        assert_eq!(tracker.is_within_result(), passed < bytes.len());
        steps.push(step);
    }
    assert_eq!(
        steps,
        [
            ReplyStep::Pass(5),
            ReplyStep::Pass(43),
            ReplyStep::Eof { len: 9, status: AUTOCOMMIT, last: false },
            ReplyStep::Pass(33),
            ReplyStep::Eof { len: 9, status: AUTOCOMMIT, last: true },
        ]
    );
    assert_eq!(passed, bytes.len());
    assert_eq!((tracker.results(), tracker.status_flags()), (1, Some(AUTOCOMMIT)));
}

#[test]
fn rows_of_both_protocols_with_and_without_eof_packets() {
    for capabilities in BOTH {
        for (columns, rows) in [(1, 0), (1, 1), (3, 4), (300, 1)] {
            let script = &mut Script::new(capabilities);
            script.columns(columns, StatusFlags::empty()).rows(rows, 9).end(AUTOCOMMIT);
            check(Command::Query, script);
            check(Command::StmtExecute, script);
        }
    }
}

#[test]
fn rows_are_passed_in_one_step_however_many_there_are() {
    for capabilities in BOTH {
        let script = &mut Script::new(capabilities);
        script.columns(2, StatusFlags::empty());
        let start = script.bytes.len();
        script.rows(10_000, 20);
        let mut tracker = ReplyTracker::new(Command::Query, capabilities);
        let seen = follow_with(&mut tracker, &script.bytes[..start]);
        assert_eq!(seen, start);
        let rows = &script.bytes[start..];
        assert_eq!(tracker.step(rows), Ok(ReplyStep::Pass(rows.len())));
    }
}

/// Steps until `tracker` asks for more; returns the bytes covered.
fn follow_with(tracker: &mut ReplyTracker, bytes: &[u8]) -> usize {
    let mut passed = 0;
    loop {
        match tracker.step(&bytes[passed..]).expect("no violation").covered() {
            0 => return passed,
            len => passed += len,
        }
    }
}

#[test]
fn rows_that_look_like_status_packets_are_rows() {
    for capabilities in BOTH {
        let script = &mut Script::new(capabilities);
        script.columns(1, StatusFlags::empty());
        // An empty string, a NULL, strings whose length has two and three bytes.
        for row in [&b"\0"[..], b"\xfb", b"\xfc\x01\x00x", b"\xfd\x01\x00\x00x"] {
            script.raw(row);
        }
        check(Command::Query, script.end(AUTOCOMMIT));
    }
    // Without DEPRECATE_EOF only a short packet that begins with 0xFE ends the rows.
    let script = &mut Script::new(PLAIN);
    script.columns(1, StatusFlags::empty()).raw(b"\xfe\x01\0\0\0\0\0\0\0x");
    check(Command::Query, script.end(AUTOCOMMIT));
}

#[test]
fn several_results_in_one_reply() {
    for capabilities in BOTH {
        let script = &mut Script::new(capabilities);
        script.ok(MORE).columns(2, MORE).rows(3, 5).end(MORE).ok(MORE | StatusFlags::IN_TRANS);
        script.columns(1, StatusFlags::empty()).end(MORE).ok(AUTOCOMMIT);
        check(Command::Query, script);
        check(Command::StmtExecute, script);
    }
}

#[test]
fn an_error_ends_a_reply_wherever_it_comes() {
    for capabilities in BOTH {
        check(Command::Query, Script::new(capabilities).ok(MORE).err(1062));
        let script = &mut Script::new(capabilities);
        check(Command::Query, script.columns(2, StatusFlags::empty()).rows(3, 5).err(1317));

        let script = &mut Script::new(capabilities);
        script.raw(b"\x03").raw(b"\x03def").err(1053);
        check(Command::Query, script);
    }
    let script = &mut Script::new(PLAIN);
    check(Command::Query, script.raw(b"\x01").raw(b"\x03def").err(1053));
}

#[test]
fn progress_reports_are_no_errors_where_they_were_agreed_on() {
    for progress in [Capabilities::PROGRESS, Capabilities::PROGRESS_OBSOLETE] {
        for capabilities in BOTH {
            let script = &mut Script::new(capabilities | progress);
            script.progress().progress().ok(MORE).progress();
            check(Command::Query, script.columns(1, MORE).progress().rows(1, 1).end(AUTOCOMMIT));
        }
    }
    check(Command::Query, Script::new(PLAIN).err(0xFFFF));
}

#[test]
fn a_reply_goes_on_after_the_file_was_sent() {
    for capabilities in BOTH {
        check(Command::Query, Script::new(capabilities).infile(b"/tmp/a.csv").ok(AUTOCOMMIT));
        check(Command::Query, Script::new(capabilities).infile(b"x").err(1148));
        let script = &mut Script::new(capabilities);
        script.ok(MORE).infile(b"a").ok(MORE).infile(b"").ok(MORE);
        check(Command::Query, script.columns(1, MORE).rows(2, 2).end(AUTOCOMMIT));
    }
}

#[test]
fn the_answer_to_prepare_in_both_forms() {
    for capabilities in BOTH {
        for (columns, parameters) in [(0, 0), (0, 2), (3, 0), (1, 1), (2, 300)] {
            let script = &mut Script::new(capabilities);
            check(Command::StmtPrepare, script.prepare_ok(columns, parameters));
        }
        check(Command::StmtPrepare, Script::new(capabilities).err(1064));
    }
    let optional = PLAIN | Capabilities::OPTIONAL_RESULTSET_METADATA;
    let script = &mut Script::new(optional);
    script.packet(b"\0\x01\0\0\0\x02\0\x02\0\0\0\0\0", |len| ReplyStep::Raw { len, last: true });
    check(Command::StmtPrepare, script);
}

#[test]
fn an_error_among_the_definitions_of_a_prepared_statement() {
    for capabilities in BOTH {
        let script = &mut Script::new(capabilities);
        script.packet(b"\0\x01\0\0\0\x01\0\0\0\0\0\0", |len| ReplyStep::Raw { len, last: false });
        check(Command::StmtPrepare, script.err(1317));
    }
}

#[test]
fn no_rows_follow_where_a_cursor_was_opened() {
    let open = AUTOCOMMIT | StatusFlags::CURSOR_EXISTS;
    let script = &mut Script::new(PLAIN);
    script.raw(b"\x02").raw(b"\x03def").raw(b"\x03def").eof(open, true);
    check(Command::StmtExecute, script);
    // Without EOF packets the OK that would end the rows says the same.
    check(Command::StmtExecute, Script::new(NO_EOF).columns(2, open).end(open));
    // A text query opens no cursor, whatever flags an earlier statement left.
    check(Command::Query, Script::new(PLAIN).columns(1, open).rows(1, 1).end(open));
}

#[test]
fn fetched_rows_come_without_definitions() {
    for capabilities in BOTH {
        let script = &mut Script::new(capabilities);
        check(Command::StmtFetch, script.rows(3, 7).end(StatusFlags::LAST_ROW_SENT));
        check(Command::StmtFetch, Script::new(capabilities).end(StatusFlags::CURSOR_EXISTS));
        check(Command::StmtFetch, Script::new(capabilities).err(1243));
    }
}

#[test]
fn bulk_results_are_an_ok_or_rows() {
    for capabilities in BOTH {
        let capabilities = capabilities | Capabilities::BULK_UNIT_RESULTS;
        check(Command::StmtBulkExecute, Script::new(capabilities).ok(AUTOCOMMIT));
        let script = &mut Script::new(capabilities);
        script.columns(2, StatusFlags::empty()).rows(3, 10).end(AUTOCOMMIT);
        check(Command::StmtBulkExecute, script);
    }
}

#[test]
fn definitions_may_be_left_out_where_that_was_agreed_on() {
    for extra in [Capabilities::CACHE_METADATA, Capabilities::OPTIONAL_RESULTSET_METADATA] {
        for capabilities in BOTH {
            let script = &mut Script::new(capabilities | extra);
            script.raw(b"\x02\x00").definitions_end(AUTOCOMMIT).rows(2, 8).end(MORE);
            script.raw(b"\x02\x01").raw(b"\x03def").raw(b"\x03def").definitions_end(AUTOCOMMIT);
            check(Command::StmtExecute, script.rows(1, 1).end(AUTOCOMMIT));
        }
    }
}

#[test]
fn answers_of_other_forms() {
    for capabilities in BOTH {
        check(Command::FieldList, Script::new(capabilities).rows(2, 30).end(AUTOCOMMIT));
        check(Command::FieldList, Script::new(capabilities).err(1146));
        check(Command::SetOption, Script::new(capabilities).end(AUTOCOMMIT));
        check(Command::Debug, Script::new(capabilities).end(AUTOCOMMIT));
        check(Command::ResetConnection, Script::new(capabilities).ok(AUTOCOMMIT));
        check(Command::Unknown(0x77), Script::new(capabilities).err(1047));

        let script = &mut Script::new(capabilities);
        script.packet(b"Uptime: 1  Threads: 1", |len| ReplyStep::Raw { len, last: true });
        check(Command::Statistics, script);
        check(Command::Statistics, Script::new(capabilities).err(1227));
    }
    // A server may send the short form all the same.
    check(Command::SetOption, Script::new(NO_EOF).eof(AUTOCOMMIT, true));
}

#[test]
fn a_change_of_user_asks_the_client_before_it_ends() {
    let exchange = |len| ReplyStep::AuthExchange { len };
    let switch = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0";
    for capabilities in BOTH {
        check(Command::ChangeUser, Script::new(capabilities).ok(AUTOCOMMIT));
        check(Command::ChangeUser, Script::new(capabilities).packet(switch, exchange).err(1045));
        let script = &mut Script::new(capabilities);
        script.packet(switch, exchange).packet(b"\x01\x03", exchange).ok(AUTOCOMMIT);
        check(Command::ChangeUser, script);
        check(Command::ChangeUser, Script::new(capabilities).packet(b"\xfe", exchange).err(1045));
    }
}

#[test]
fn reported_changes_of_state_are_told() {
    let changed = AUTOCOMMIT | StatusFlags::SESSION_STATE_CHANGED;
    let payload = b"\0\0\0\x02\x40\0\0\0\x04\x01\x02\x01a";
    for (capabilities, state_changed) in
        [(PLAIN, false), (PLAIN | Capabilities::SESSION_TRACK, true)]
    {
        let script = &mut Script::new(capabilities);
        script.packet(payload, |len| ReplyStep::Ok {
            len,
            status: changed,
            state_changed,
            last: true,
        });
        check(Command::Query, script);
    }
}

#[test]
fn sequence_ids_are_never_looked_at() {
    let script = &mut Script::new(PLAIN);
    script.columns(1, MORE).rows(2, 3).end(MORE).ok(AUTOCOMMIT);
    let expected =
        Seen { steps: script.steps.clone(), passed: script.bytes.len(), violation: None };
    let mut bytes = script.bytes.clone();
    let mut at = 0;
    while let Some(header) = Header::parse(&bytes[at..]) {
        bytes[at + 3] = 0xA5;
        at += HEADER_LEN + header.payload_len;
    }
    assert_eq!(follow(ReplyTracker::new(Command::Query, PLAIN), &bytes, &[]), expected);
}

/// Rows of more than one packet are too long for a cut at every byte.
#[test]
fn rows_over_16_mib_pass_whatever_their_parts_begin_with() {
    for capabilities in BOTH {
        for len in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD] {
            // 0xFE begins a value of more than 16 MiB, and would begin the end of the rows; with
            // it everywhere, each continuation looks like the end as well.
            let first = if len < MAX_PAYLOAD { 0xFD } else { 0xFE };
            let mut row = vec![0xFE; len];
            row[0] = first;
            let script = &mut Script::new(capabilities);
            script.columns(1, StatusFlags::empty()).raw(&row).rows(1, 3).raw(&row).end(AUTOCOMMIT);
            let bytes = &script.bytes;
            let expected =
                Seen { steps: script.steps.clone(), passed: bytes.len(), violation: None };
            let tracker = ReplyTracker::new(Command::Query, capabilities);
            let mut cuts: Vec<usize> = (0..bytes.len()).step_by(1_000_003).collect();
            assert_eq!(follow(tracker.clone(), bytes, &[]), expected);
            assert_eq!(follow(tracker.clone(), bytes, &cuts), expected);
            // Around each header.
            let mut at = 0;
            cuts.clear();
            while let Some(header) = Header::parse(&bytes[at..]) {
                cuts.extend((at..at + 6).filter(|cut| *cut < bytes.len()));
                at += HEADER_LEN + header.payload_len;
            }
            cuts.sort_unstable();
            assert_eq!(follow(tracker, bytes, &cuts), expected);
        }
    }
}

#[test]
fn a_stream_that_cannot_be_followed_is_a_violation() {
    let cases: [(&[u8], Violation); 7] = [
        (b"", Violation::Empty { expected: "an answer" }),
        (b"\x01 and much more text", Violation::TooLong { limit: 10, got: 20 }),
        (b"\xfc\x01", Violation::Truncated { packet: "column count", expected: 2, got: 1 }),
        (b"\0\x01", Violation::Truncated { packet: "OK packet", expected: 1, got: 0 }),
        (b"\xff\x01", Violation::Truncated { packet: "ERR packet", expected: 2, got: 1 }),
        (b"\xfe", Violation::Truncated { packet: "EOF packet", expected: 2, got: 0 }),
        (b"\xfd\x01", Violation::Truncated { packet: "column count", expected: 3, got: 1 }),
    ];
    for (payload, violation) in cases {
        let mut bytes = Vec::new();
        frame(payload, 1, &mut bytes);
        let mut tracker = ReplyTracker::new(Command::Query, PLAIN);
        assert_eq!(tracker.step(&bytes), Err(violation), "{payload:?}");
    }

    let script = &mut Script::new(PLAIN);
    script.raw(b"\x01").raw(b"\x03def").raw(b"not an EOF");
    let seen = follow(ReplyTracker::new(Command::Query, PLAIN), &script.bytes, &[]);
    let expected = "the end of the definitions";
    assert_eq!(seen.violation, Some(Violation::Unexpected { expected, got: b'n' }));
}

#[test]
fn bytes_after_the_end_are_told_from_the_reply() {
    let script = &mut Script::new(PLAIN);
    script.ok(AUTOCOMMIT);
    let len = script.bytes.len();
    // A server that shuts down says so without being asked.
    script.err(1053);
    let mut tracker = ReplyTracker::new(Command::Query, PLAIN);
    assert_eq!(tracker.step(&script.bytes).map(|step| step.covered()), Ok(len));
    assert!(tracker.is_done());
    assert_eq!(tracker.step(&script.bytes[len..]), Err(Violation::Unsolicited));
    assert_eq!(tracker.step(b""), Ok(ReplyStep::Incomplete));
}

proptest! {
    #[test]
    fn any_sequence_of_results_cut_anywhere_is_followed(
        script in script::scripts(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> =
            cuts.iter().map(|cut| cut.index(script.bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let expected =
            Seen { steps: script.steps.clone(), passed: script.bytes.len(), violation: None };
        let tracker = ReplyTracker::new(Command::Query, script.capabilities);
        prop_assert_eq!(follow(tracker, &script.bytes, &cuts), expected);
    }

    #[test]
    fn flags_are_the_servers(flags: u16) {
        let flags = StatusFlags::from_bits(flags);
        let script = &mut Script::new(PLAIN);
        script.ok(flags);
        let mut tracker = ReplyTracker::new(Command::Query, PLAIN);
        tracker.step(&script.bytes).expect("an OK");
        prop_assert_eq!(tracker.status_flags(), Some(flags));
        prop_assert_eq!(tracker.is_done(), !flags.contains(MORE));
        prop_assert_eq!(status(&script.steps[0].1), Some(flags));
    }
}
