//! The bytes of a request: the client's, with ours around them.

use std::ops::Range;

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet::{self, HEADER_LEN};

use super::Exchange;
use crate::session::engine::{COM_QUERY, SET_OPTION};
use crate::session::plan::{Risk, What};
use crate::session::state::book::{Book, statement_id};
use crate::session::state::carried::Carried;
use crate::session::state::fence::Fence;
use crate::session::state::reports::{self, Reports};

impl Exchange {
    /// Appends the request of the step at `at`.
    pub(super) fn put_request(&mut self, at: usize, carried: &mut Carried, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        self.put_payload(at, carried, out);
        packet::frame_in_place(out, start, 0);
    }

    fn put_payload(&mut self, at: usize, carried: &mut Carried, out: &mut Vec<u8>) {
        let Some(step) = self.steps.get(at) else { return };
        let part = |range: &Range<usize>| {
            let sql = self.request.get(1..).unwrap_or_default();
            sql.get(range.clone()).unwrap_or_default()
        };
        if step.what == What::Whole {
            let known = matches!(self.request[..], [_, 0 | 1, 0]);
            if self.command == Command::SetOption && carried.several.is_usual() && known {
                // The link takes several statements whatever the client may send.
                return out.extend_from_slice(&[SET_OPTION, 0, 0]);
            }
            if !NUMBERED.contains(&self.command) {
                return out.extend_from_slice(&self.request);
            }
            let mut payload = self.request.clone();
            translate(self.command, &mut payload, &mut carried.book);
            return out.extend_from_slice(&payload);
        }
        if let What::Several(on) = step.what {
            return out.extend_from_slice(&[SET_OPTION, u8::from(!on), 0]);
        }
        out.push(COM_QUERY);
        match &step.what {
            What::Begin => out.extend_from_slice(BEGIN),
            What::Commit => out.extend_from_slice(COMMIT),
            What::Rollback => out.extend_from_slice(ROLLBACK),
            What::Fence => out.extend_from_slice(carried.fence.statement().as_bytes()),
            What::Guard(true) => out.extend_from_slice(GUARD_ON),
            What::Guard(false) => out.extend_from_slice(GUARD_OFF),
            What::Part(range) => {
                // A fence is shorter.
                out.reserve(range.len() + 256);
                let commits = matches!(step.risk, Risk::Commit { .. });
                let fence = &carried.fence;
                let wanted = fence.is_available()
                    && !(commits
                        && (fence.is_set()
                            || fence.is_in_doubt()
                            || !carried.transaction.is_dirty()));
                let fence_at = step.fence_at.filter(|_| wanted);
                let place = fence_at.and_then(|at| step.pieces.get(at));
                let place = place.map_or(range.start, |piece| piece.start);
                out.extend_from_slice(part(&(range.start..place)));
                if fence_at.is_some() {
                    let statement = match commits {
                        true => carried.fence.checked_statement(),
                        false => carried.fence.statement(),
                    };
                    out.extend_from_slice(statement.as_bytes());
                    out.push(b';');
                }
                out.extend_from_slice(part(&(place..range.end)));
                // The fence may have turned out to be missing since the command was planned.
                self.steps[at].fence_at = fence_at;
            }
            What::AskState => out.extend_from_slice(ASK_STATE),
            What::ShowReports => {
                let reports = carried.book.reports();
                out.extend(reports.map_or_else(|| b"DO 0".to_vec(), Reports::statement));
            }
            What::AskReports => out.extend_from_slice(reports::ASK),
            What::ReportAll => out.extend_from_slice(reports::ALL),
            What::KeepWarnings => out.extend_from_slice(b"SHOW WARNINGS"),
            What::PutWarningsBack => {
                out.extend_from_slice(&carried.book.diagnostics().raise_warnings())
            }
            What::PutRowCountBack => {
                out.extend_from_slice(&carried.book.diagnostics().count_rows())
            }
            What::Wrapped(range) => {
                out.extend_from_slice(BEGIN);
                out.push(b';');
                out.extend_from_slice(carried.fence.statement().as_bytes());
                out.push(b';');
                out.extend_from_slice(part(range));
            }
            What::Framed(range) => {
                out.extend_from_slice(BEGIN);
                out.push(b';');
                out.extend_from_slice(part(range));
                if may_end_in_comment(part(range)) {
                    out.push(b'\n');
                }
                out.push(b';');
                put_close(&mut carried.fence, out);
            }
            What::Close => put_close(&mut carried.fence, out),
            What::Single(range) => out.extend_from_slice(part(range)),
            What::Several(_) | What::Whole => {}
        }
    }
}

/// Whether a text may have a comment at its end, which goes on to the end of the line. A line more would be counted in the
/// messages of errors.
fn may_end_in_comment(sql: &[u8]) -> bool {
    sql.contains(&b'#') || sql.windows(2).any(|two| two == b"--")
}

/// Check, fence and COMMIT.
fn put_close(fence: &mut Fence, out: &mut Vec<u8>) {
    out.extend_from_slice(Fence::check().as_bytes());
    out.push(b';');
    out.extend_from_slice(fence.framed_statement().as_bytes());
    out.push(b';');
    out.extend_from_slice(COMMIT);
}

/// Our own words. `completion_type` gives COMMIT and ROLLBACK another meaning, but not these; and in `sql_mode` ORACLE,
/// BEGIN begins a block.
///
/// Source: MariaDB documentation, "COMMIT" and "SQL_MODE=ORACLE".
const BEGIN: &[u8] = b"START TRANSACTION";
const COMMIT: &[u8] = b"COMMIT AND NO CHAIN NO RELEASE";
pub(in crate::session::engine) const ROLLBACK: &[u8] = b"ROLLBACK AND NO CHAIN NO RELEASE";

/// Source: MariaDB documentation, "CURRENT_ROLE".
const ASK_STATE: &[u8] = b"SELECT @@collation_connection, CURRENT_ROLE()";

/// Turns the guard on. A transaction that is open stays so.
///
/// Source: MariaDB documentation, "Server System Variables" (`autocommit`).
pub(in crate::session::engine) const GUARD_ON: &[u8] = b"SET autocommit=0";
/// Turns it off. A transaction that is open would be committed.
pub(in crate::session::engine) const GUARD_OFF: &[u8] = b"SET autocommit=1";

/// Commands that name a prepared statement, by a number that may be another one on the link.
pub(in crate::session::engine) const NUMBERED: [Command; 6] = [
    Command::StmtBulkExecute,
    Command::StmtClose,
    Command::StmtExecute,
    Command::StmtFetch,
    Command::StmtReset,
    Command::StmtSendLongData,
];

/// Puts the link's own number of a prepared statement in place of the client's.
pub(in crate::session::engine) fn translate(
    command: Command,
    payload: &mut Vec<u8>,
    book: &mut Book,
) {
    match command {
        Command::StmtExecute => book.translate_execute(payload),
        Command::StmtBulkExecute
        | Command::StmtClose
        | Command::StmtFetch
        | Command::StmtReset
        | Command::StmtSendLongData => {
            if let Some(id) = statement_id(payload)
                && let Some(statement) = book.statement(id)
            {
                payload[1..5].copy_from_slice(&statement.link_id.to_le_bytes());
            }
        }
        _ => {}
    }
}
