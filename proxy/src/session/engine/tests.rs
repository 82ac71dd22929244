//! The machine is fed as sockets feed it: by pieces of any size, on both sides.

use std::sync::Arc;

use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::status::StatusFlags;
use proptest::prelude::*;

use super::*;
use crate::session::plan::Doubt;
use crate::session::state::fence::{Fence, FencePool};
use crate::session::state::journal::budget::Budget;
use crate::session::state::journal::store::Store;
use crate::session::state::settings::SessionSettings;

mod behind;
mod cuts;
mod fake_node;
mod flight;
mod guarded;
mod losses;
mod ordinary;
mod programs;
mod reading;
mod run;
mod stuck;

/// Both sides of one session, with what each got so far.
struct Play {
    machine: Machine,
    /// Bytes that the client sent and nobody has dealt with.
    client: Vec<u8>,
    /// Bytes that the node sent and nobody has dealt with.
    node: Vec<u8>,
    to_node: Vec<u8>,
    to_client: Vec<u8>,
    done: Vec<Command>,
}

impl Play {
    fn new(client: Capabilities) -> Self {
        Self::linked(client, client)
    }

    /// The link is that of another client.
    fn linked(client: Capabilities, link: Capabilities) -> Self {
        let mut machine = machine(client);
        machine.link_up(facts(link));
        let (client, node, to_node, to_client) = Default::default();
        Self { machine, client, node, to_node, to_client, done: Vec::new() }
    }

    /// The client sends; everything that may go on goes on.
    fn client_sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.client.extend_from_slice(bytes);
        loop {
            match self.machine.upward(&self.client) {
                Upward::Wait => match self.machine.poll_send(&mut self.to_node) {
                    Sending::Finished(told, command) => {
                        self.to_client.extend(told);
                        self.done.push(command);
                    }
                    // Nothing comes in reply.
                    Sending::Request if self.machine.is_idle() => {}
                    Sending::Replayed => {}
                    Sending::Nothing | Sending::Request => return self,
                    other => panic!("nothing was lost: {other:?}"),
                },
                Upward::Begin { command, .. } => self.machine.begin(command, &self.client, 0),
                Upward::Forward(len) => {
                    self.machine.renumber_file(&mut self.client[..len]).expect("in order");
                    self.to_node.extend(self.client.drain(..len));
                }
                Upward::Drop { len, answer } => {
                    drop(self.client.drain(..len));
                    self.to_client.extend(answer.unwrap_or_default());
                }
            }
        }
    }

    fn node_sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.node.extend_from_slice(bytes);
        if !self.node.is_empty() {
            let down = self.machine.downward(&self.node).expect("a reply that can be followed");
            let taken: Vec<u8> = self.node.drain(..down.taken).collect();
            self.to_client.extend(down.edited.unwrap_or(taken));
            self.done.extend(down.done);
        }
        // A finished reply lets the next command through.
        self.client_sends(&[])
    }

    /// The link is lost, and the client sends this: the next node has applied all that is committed.
    #[track_caller]
    fn goes_on_elsewhere(&mut self, command: &[u8]) {
        self.requests();
        assert_eq!(self.machine.link_lost(), Ok(()));
        self.machine.link_up(facts(icinga()));
        self.client_sends(command);
        assert_eq!(self.requests(), ["SET STATEMENT wsrep_sync_wait=15 FOR SELECT 1"]);
        self.node_sends(&rows(1, false));
    }

    /// The requests that the node got since this was last asked.
    fn requests(&mut self) -> Vec<String> {
        texts(&std::mem::take(&mut self.to_node))
    }
}

/// The machine of a client that has logged in like this, in a daemon that has nothing else to do.
fn machine(client: Capabilities) -> Machine {
    let settings = SessionSettings::new(client, 8, None);
    let journal = Store::new(Arc::new(Budget::new(1 << 30, 0, None)));
    let fence = Fence::new(Arc::new(FencePool::new("ido_proxy", 7)), b"icinga");
    Machine::new(client, SessionState::new(settings, journal, fence))
}

/// A link of that client to a node of a cluster.
fn facts(client: Capabilities) -> LinkFacts {
    LinkFacts {
        capabilities: client | Capabilities::SESSION_TRACK,
        version: b"5.5.5-10.11.6-MariaDB".to_vec(),
        backslashes: true,
        galera: true,
        ..LinkFacts::default()
    }
}

/// The payloads of whole packets, without the byte that names the command.
fn texts(mut packets: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((header, payload)) = packet::whole(packets, 1 << 20).expect("packets") {
        let text = String::from_utf8_lossy(&payload[1..]);
        texts.push(Vec::from_iter(text.split(';').map(fake_node::short)).join(";"));
        packets = &packets[HEADER_LEN + header.payload_len..];
    }
    assert!(packets.is_empty(), "half a packet");
    texts
}

fn prepare(sql: &str) -> Vec<u8> {
    framed(&[b"\x16", sql.as_bytes()].concat(), 0)
}

fn execute(id: u32) -> Vec<u8> {
    framed(&[&b"\x17"[..], &id.to_le_bytes(), b"\0\x01\0\0\0"].concat(), 0)
}

fn query(text: &str) -> Vec<u8> {
    framed(&[b"\x03", text.as_bytes()].concat(), 0)
}

fn framed(payload: &[u8], sequence: u8) -> Vec<u8> {
    let mut out = Vec::new();
    packet::frame(payload, sequence, &mut out);
    out
}

fn ok(sequence: u8, status: StatusFlags, session_state: &[u8]) -> Vec<u8> {
    framed(&ok_packet(status, session_state).encode(Capabilities::SESSION_TRACK), sequence)
}

fn ok_packet(status: StatusFlags, session_state: &[u8]) -> OkPacket<'_> {
    let status =
        if session_state.is_empty() { status } else { status | StatusFlags::SESSION_STATE_CHANGED };
    OkPacket { affected_rows: 3, status, session_state, ..OkPacket::default() }
}

/// The answer to the fence, where it is the only statement.
fn fenced(sequence: u8) -> Vec<u8> {
    let ok = OkPacket { affected_rows: 1, status: in_transaction(), ..OkPacket::default() };
    framed(&ok.encode(Capabilities::SESSION_TRACK), sequence)
}

/// A session in whose transaction this batch of one statement, COMMIT and BEGIN was done up to its COMMIT.
fn up_to_its_commit(batch: &str) -> Play {
    let mut play = Play::new(icinga());
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    play.client_sends(&query(batch));
    assert_eq!(play.requests(), ["BEGIN", "SET autocommit=0"]);
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, b""));
    assert_eq!(play.requests().len(), 1, "the INSERT and the fence");
    let more = StatusFlags::IN_TRANS | StatusFlags::MORE_RESULTS;
    let fence = OkPacket { affected_rows: 1, status: StatusFlags::IN_TRANS, ..OkPacket::default() };
    let fence = OkPacket { status: more, ..fence };
    let fence = framed(&fence.encode(Capabilities::SESSION_TRACK), 1);
    play.node_sends(&[fence, ok(2, StatusFlags::IN_TRANS, WROTE)].concat());
    play
}

fn error(sequence: u8) -> Vec<u8> {
    framed(&ErrPacket::new(1064, *b"42000", "no").encode(), sequence)
}

/// One column, two rows, with EOF packets.
fn rows(sequence: u8, more: bool) -> Vec<u8> {
    let more = if more { StatusFlags::MORE_RESULTS } else { StatusFlags::default() };
    rows_with(sequence, StatusFlags::AUTOCOMMIT | more)
}

/// These rows, with these flags.
fn rows_with(sequence: u8, status: StatusFlags) -> Vec<u8> {
    let eof = EofPacket { warnings: 0, status }.encode();
    let payloads: [&[u8]; 6] = [b"\x01", COLUMN, &eof, b"\x011", b"\x0212", &eof];
    payloads.iter().zip(sequence..).flat_map(|(payload, id)| framed(payload, id)).collect()
}

/// The definition of a column.
const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x21\0\x0b\0\0\0\x03\0\0\0\0\0";
/// `SET lc_time_names`, as tracked.
const VARIABLE: &[u8] = b"\x00\x14\x0dlc_time_names\x05de_DE";
/// `USE test`, as tracked.
const SCHEMA: &[u8] = b"\x01\x05\x04test";
/// An open transaction in which nothing has happened.
const EMPTY: &[u8] = b"\x05\x09\x08T_______";
/// No transaction.
const NONE: &[u8] = b"\x05\x09\x08________";
/// One that no BEGIN began.
const IMPLICIT: &[u8] = b"\x05\x09\x08I_______";
/// An open transaction that wrote.
const WROTE: &[u8] = b"\x05\x09\x08T___W___";

fn in_transaction() -> StatusFlags {
    StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS
}

/// Icinga's flags, as far as they matter here.
fn icinga() -> Capabilities {
    Capabilities::PROTOCOL_41 | Capabilities::MULTI_STATEMENTS | Capabilities::SESSION_TRACK
}

fn without_tracking() -> Capabilities {
    Capabilities::PROTOCOL_41 | Capabilities::MULTI_STATEMENTS
}

/// A batch that goes out as it came.
const BATCH: &str = "SET lc_time_names='de_DE';SELECT 1;USE test;SELECT nothing";

/// The reply to it: one of each kind, the error last.
fn long_reply() -> Vec<u8> {
    let more = StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS;
    [ok(1, more, VARIABLE), rows(2, true), ok(8, more, &[SCHEMA, EMPTY].concat()), error(9)]
        .concat()
}

#[test]
fn not_a_byte_is_lost_or_changed_for_a_client_that_tracks_its_session() {
    let (request, reply) = (query(BATCH), long_reply());
    for cut in 0..=reply.len() {
        let mut play = Play::new(icinga());
        play.client_sends(&request[..cut % request.len()]);
        play.client_sends(&request[cut % request.len()..]);
        play.node_sends(&reply[..cut]);
        assert_eq!(play.done.len(), usize::from(cut == reply.len()), "cut at {cut}");
        play.node_sends(&reply[cut..]);
        assert_eq!(play.to_node, request);
        assert_eq!(play.to_client, reply, "cut at {cut}");
        assert_eq!(play.done, [Command::Query]);
    }
}

/// Otherwise the client would take the reported changes for the text of the message, or for the next packet.
#[test]
fn a_client_that_does_not_track_its_session_sees_no_trace_of_ours() {
    let (request, reply) = (query(BATCH), long_reply());
    let more = StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS;
    let plain = [ok(1, more, b""), rows(2, true), ok(8, more, b""), error(9)].concat();
    for cut in 0..=reply.len() {
        let mut play = Play::new(without_tracking());
        play.client_sends(&request).node_sends(&reply[..cut]).node_sends(&reply[cut..]);
        assert_eq!(play.to_client, plain, "cut at {cut}");
    }
}

/// Withheld, the last OK of a batch would cost every batch a millisecond.
#[test]
fn an_ok_that_announces_another_result_continues_and_nothing_else_does() {
    let more = StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS;
    let start = |reply: &[u8]| {
        let mut play = Play::new(icinga());
        play.client_sends(&query("SELECT 1;SELECT 2"));
        play.machine.downward(reply).expect("a reply").continues
    };
    assert!(start(&ok(1, more, b"")));
    assert!(start(&[ok(1, more, b""), ok(2, more, b"")[..5].to_vec()].concat()));
    assert!(!start(&[ok(1, more, b""), ok(2, StatusFlags::AUTOCOMMIT, b"")].concat()));
    assert!(!start(&[ok(1, more, b""), error(2)].concat()));
    assert!(!start(&[ok(1, more, b""), rows(2, false)[..10].to_vec()].concat()));
}

/// Two commands at the node at once, and a reply could no longer be told from the next.
#[test]
fn the_next_command_waits_for_the_reply_to_this_one() {
    let mut play = Play::new(icinga());
    play.client_sends(&[query("SELECT 1"), query("SELECT 2")].concat());
    assert_eq!(play.to_node, query("SELECT 1"));
    assert!(play.machine.awaits_reply());
    play.node_sends(&rows(1, false));
    assert_eq!(play.to_node, [query("SELECT 1"), query("SELECT 2")].concat());
    play.node_sends(&error(1));
    assert_eq!(play.done, [Command::Query, Command::Query]);
    assert!(play.machine.is_idle());
}

/// Icinga is always in a transaction: after `COMMIT;BEGIN` it must count as free to move.
#[test]
fn an_open_transaction_without_a_statement_is_a_boundary_and_one_that_wrote_is_not() {
    let mut play = Play::new(icinga());
    assert!(play.machine.at_boundary());
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    assert!(play.machine.in_transaction() && play.machine.at_boundary());
    play.client_sends(&query("INSERT …"));
    assert!(!play.machine.at_boundary(), "its reply is to come");
    play.node_sends(&ok(1, in_transaction(), WROTE));
    assert!(!play.machine.at_boundary());
    play.client_sends(&query("UPDATE …")).node_sends(&ok(1, in_transaction(), b""));
    assert!(!play.machine.at_boundary(), "no news is no change");
    play.requests();
    play.client_sends(&query("COMMIT;BEGIN")).node_sends(&fenced(1));
    assert!(!play.machine.at_boundary());
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, NONE));
    assert!(!play.machine.at_boundary(), "its BEGIN is to come");
    play.node_sends(&ok(1, in_transaction(), EMPTY));
    assert!(play.machine.at_boundary());
}

/// EOF packets have no room for a report: the rows of the function would be written twice, were the COMMIT's reply lost.
#[test]
fn a_transaction_in_which_a_function_may_have_written_is_fenced() {
    for (sql, fenced) in [("SELECT f_write('q')", true), ("SELECT COUNT(*) FROM t", false)] {
        let mut play = Play::new(icinga());
        play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
        play.client_sends(&query(sql)).node_sends(&rows_with(1, in_transaction()));
        play.requests();
        play.client_sends(&query("COMMIT"));
        let requests = play.requests();
        let is_fenced = requests.iter().any(|sql| sql != "COMMIT");
        assert_eq!(is_fenced, fenced, "{sql}: {requests:?}");
    }
}

/// A node that reports no state leaves us to assume the worst of an open transaction.
#[test]
fn without_reports_an_open_transaction_is_no_boundary() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), b""));
    assert!(!play.machine.at_boundary());
    play.client_sends(&query("COMMIT")).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
    assert!(play.machine.at_boundary());
}

/// `SELECT … FOR UPDATE` holds locks, and the EOF packets around its rows cannot tell so.
#[test]
fn rows_read_in_a_transaction_are_no_boundary() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    let eof = EofPacket { warnings: 0, status: in_transaction() }.encode();
    let payloads: [&[u8]; 5] = [b"\x01", COLUMN, &eof, b"\x011", &eof];
    let reply = payloads.iter().zip(1..).flat_map(|(payload, id)| framed(payload, id));
    play.client_sends(&query("SELECT …")).node_sends(&reply.collect::<Vec<_>>());
    assert!(play.machine.is_idle() && !play.machine.at_boundary());
    let committed = StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS;
    let reply = [ok(1, committed, b""), ok(2, in_transaction(), EMPTY)].concat();
    play.client_sends(&query("COMMIT;BEGIN")).node_sends(&reply);
    assert!(play.machine.at_boundary());
}

#[test]
fn the_status_page_names_the_schema_of_a_session_after_each_change() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("USE test")).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, SCHEMA));
    assert_eq!(play.machine.take_new_schema().as_deref(), Some(&b"test"[..]));
    assert_eq!(play.machine.take_new_schema(), None);
}

/// The file's packets have no command byte: taken for commands they would be garbage, or worse.
#[test]
fn a_file_that_the_node_asks_for_goes_through_and_its_reply_comes_after() {
    let mut play = Play::new(icinga());
    let file = [framed(b"\x01shutdown\n", 2), framed(b"", 3)].concat();
    play.client_sends(&query("LOAD DATA LOCAL …"));
    play.node_sends(&framed(b"\xfbfile.csv", 1));
    assert!(!play.machine.awaits_reply(), "the client's turn");
    for byte in &file {
        play.client_sends(std::slice::from_ref(byte));
    }
    assert_eq!(play.to_node, [query("LOAD DATA LOCAL …"), file].concat());
    play.node_sends(&ok(4, StatusFlags::AUTOCOMMIT, b""));
    assert_eq!(play.done, [Command::Query]);
}

/// Otherwise the session of a client that is gone in the middle of a file would keep its locks for ever.
#[test]
fn nothing_is_waited_for_in_the_middle_of_a_file_but_the_client() {
    let mut play = Play::new(icinga());
    assert!(play.machine.awaits_client());
    play.client_sends(&query("LOAD DATA LOCAL …"));
    assert!(!play.machine.awaits_client(), "the node is to answer");
    play.node_sends(&framed(b"\xfbfile.csv", 1));
    play.client_sends(&framed(b"1\n", 2));
    assert!(play.machine.awaits_client());
    play.client_sends(&framed(b"", 3));
    assert!(!play.machine.awaits_client());
}

/// The node would take the packet for a part of the file, and wait for the rest.
#[test]
fn a_command_in_place_of_a_file_is_out_of_order() {
    let mut play = Play::new(icinga());
    play.client_sends(&query("LOAD DATA LOCAL …"));
    play.node_sends(&framed(b"\xfbfile.csv", 1));
    let mut bytes = query("BEGIN");
    let refused = play.machine.renumber_file(&mut bytes);
    assert_eq!(refused, Err(Violation::OutOfOrder { expected: 2, got: 0 }));
}

/// The node would take the file's packets for out of order, and end the connection.
#[test]
fn a_file_behind_results_of_another_request_has_the_numbers_that_the_node_expects() {
    let mut play = Play::new(icinga());
    let compound = "FOR i IN 1..2 DO DO i; END FOR;LOAD DATA LOCAL …";
    play.client_sends(&query(&format!("SELECT 1;{compound}")));
    play.node_sends(&rows(1, false));
    assert_eq!(play.requests().last().map(String::as_str), Some(compound));
    let more = StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS;
    play.node_sends(&ok(1, more, b"")).node_sends(&framed(b"\xfbfile.csv", 2));
    assert!(play.to_client.ends_with(&framed(b"\xfbfile.csv", 8)), "six packets came before");
    let file = |sequence| [framed(b"1\n", sequence), framed(b"", sequence + 1)].concat();
    play.client_sends(&file(9));
    assert!(play.to_node.ends_with(&file(3)));
    play.node_sends(&ok(5, StatusFlags::AUTOCOMMIT, b""));
    assert!(play.to_client.ends_with(&ok(11, StatusFlags::AUTOCOMMIT, b"")));
    assert_eq!(play.done, [Command::Query]);
}

#[test]
fn a_command_without_a_reply_is_over_when_it_is_sent() {
    let mut play = Play::new(icinga());
    let close = framed(b"\x19\x01\0\0\0", 0);
    play.client_sends(&[close.clone(), query("SELECT 1")].concat());
    assert_eq!(play.to_node, [close, query("SELECT 1")].concat());
    assert!(!play.machine.is_idle());
    play.node_sends(&error(1));
    assert!(play.machine.is_idle());
}

/// An early error (packet too large, say) is passed on, and the rest of the command still goes where
/// it belongs.
#[test]
fn a_node_may_answer_before_it_has_the_whole_command() {
    let mut play = Play::new(icinga());
    let request = very_long();
    let (start, rest) = request.split_at(request.len() / 2 + 1000);
    play.client_sends(start).node_sends(&error(1));
    assert_eq!(play.to_client, error(1));
    assert!(!play.machine.is_idle(), "the command is still on its way");
    play.client_sends(rest);
    assert!(play.to_node == request, "not a byte is missing");
    assert!(play.machine.is_idle());
}

/// A command that is longer than the proxy keeps.
fn very_long() -> Vec<u8> {
    let mut payload = b"\x03LOAD DATA LOCAL INFILE 'file.csv' INTO TABLE t".to_vec();
    payload.resize(MOST_KEPT + 1000, b' ');
    framed(&payload, 0)
}

#[test]
fn our_own_answer_comes_after_the_last_byte_of_the_command_and_the_node_sees_none_of_it() {
    let request = query("anything");
    let mut machine = machine(icinga());
    assert!(matches!(machine.upward(&request), Upward::Begin { .. }));
    machine.answer(b"\x00pong".to_vec());
    let half = machine.upward(&request[..6]);
    assert_eq!(half, Upward::Drop { len: 6, answer: None });
    let rest = machine.upward(&request[6..]);
    let answer = Some(framed(b"\x00pong", 1));
    assert_eq!(rest, Upward::Drop { len: request.len() - 6, answer });
    assert!(machine.is_idle());
}

/// An ERR in the middle of a reply would be taken for a row, or for another statement's error.
#[test]
fn an_error_of_ours_can_be_told_until_the_reply_has_begun() {
    let mut play = Play::new(icinga());
    assert_eq!(play.machine.error_sequence(), None, "nobody waits");
    play.client_sends(&query("SELECT 1"));
    assert_eq!(play.machine.error_sequence(), Some(1));
    let reply = rows(1, false);
    play.node_sends(&reply[..20]);
    assert_eq!(play.machine.error_sequence(), None);
    play.node_sends(&reply[20..]);
    assert_eq!(play.machine.error_sequence(), None);
}

/// With another id the client says "packets out of order" instead of what went wrong.
#[test]
fn our_words_bear_the_id_after_the_last_packet_of_a_long_command() {
    let mut request = Vec::new();
    packet::frame(&[b"\x03", vec![b' '; packet::MAX_PAYLOAD].as_slice()].concat(), 0, &mut request);
    let mut play = Play::new(icinga());
    play.client_sends(&request);
    assert_eq!(play.machine.error_sequence(), Some(2));

    let mut machine = machine(icinga());
    assert!(matches!(machine.upward(&request), Upward::Begin { .. }));
    machine.answer(b"\x00pong".to_vec());
    let Upward::Drop { answer: Some(answer), .. } = machine.upward(&request) else {
        panic!("the whole command is there")
    };
    assert_eq!(answer, framed(b"\x00pong", 2));
}

#[test]
fn a_node_that_talks_out_of_turn_or_nonsense_is_a_violation() {
    let mut machine = machine(icinga());
    let unasked = machine.downward(b"\x01\0\0\0\0").map(|down| down.taken);
    assert_eq!(unasked, Err(Violation::Unsolicited));
    let mut play = Play::new(icinga());
    play.client_sends(&query("SELECT 1"));
    assert!(play.machine.downward(&framed(b"\x00", 1)).is_err(), "an OK without its fields");
    let mut play = Play::new(icinga());
    play.client_sends(&very_long()[..MOST_KEPT]);
    let early = play.machine.downward(&framed(b"\xfbfile.csv", 1));
    assert!(early.is_err(), "the rest of the command would be taken for the file");
}

proptest! {
    /// However the bytes of a conversation arrive, both sides get all of them, in order.
    #[test]
    fn pieces_make_no_difference(
        cuts_up in prop::collection::vec(1usize..40, 1..40),
        cuts_down in prop::collection::vec(1usize..40, 1..40),
    ) {
        let requests = [query(BATCH), query("SELECT 1"), query("x"), query("BEGIN")];
        let replies =
            [long_reply(), rows(1, false), error(1), ok(1, in_transaction(), EMPTY)];
        let mut play = Play::new(icinga());
        let (mut up, mut cuts) = (requests.concat(), cuts_up.into_iter().cycle());
        while !up.is_empty() {
            let rest = up.split_off(cuts.next().unwrap_or(1).min(up.len()));
            play.client_sends(&up);
            up = rest;
        }
        let mut cuts = cuts_down.into_iter().cycle();
        for reply in &replies {
            for piece in reply.chunks(cuts.next().unwrap_or(1)) {
                play.node_sends(piece);
            }
        }
        prop_assert_eq!(&play.to_node, &requests.concat());
        prop_assert_eq!(&play.to_client, &replies.concat());
        prop_assert_eq!(play.done.len(), requests.len());
        prop_assert!(play.machine.is_idle());
    }
}
