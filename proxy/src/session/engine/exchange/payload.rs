//! The bytes of a request: the client's, with ours around them.

use std::ops::Range;

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet::{self, HEADER_LEN};

use super::Exchange;
use crate::session::engine::words::{
    ASK_STATE, BEGIN, COM_QUERY, COMMIT, GUARD_OFF, GUARD_ON, ROLLBACK, SET_OPTION,
};
use crate::session::plan::{Risk, UnderGuard, What};
use crate::session::state::fence::Fence;
use crate::session::state::reports::{self, Reports};
use crate::session::state::session_state::SessionState;
use crate::session::state::settings::{
    LAST_STATEMENT, NO_STATEMENT, SessionSettings, statement_id,
};

impl Exchange {
    /// Appends the request of the step at `at`.
    pub(super) fn put_request(&mut self, at: usize, session: &mut SessionState, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        self.put_payload(at, session, out);
        packet::frame_in_place(out, start, 0);
    }

    /// Names no statement where the client means its last one, and there is none: on the next link the last one is one that we
    /// prepare there.
    pub(in crate::session::engine) fn name_last_statement(&mut self, session: &SessionState) {
        if NUMBERED.contains(&self.command)
            && statement_id(&self.request) == Some(LAST_STATEMENT)
            && session.settings.last_statement().is_none()
        {
            self.request[1..5].copy_from_slice(&NO_STATEMENT.to_le_bytes());
        }
    }

    fn put_payload(&mut self, at: usize, session: &mut SessionState, out: &mut Vec<u8>) {
        match self.under_guard(at, session) {
            Some(UnderGuard::On(sql) | UnderGuard::Reads(sql)) => {
                return out.extend([&[COM_QUERY], &sql[..]].concat());
            }
            Some(UnderGuard::Off) | None => {}
        }
        let Some(step) = self.script.get(at) else { return };
        match &step.what {
            What::Whole => return self.put_whole(session, out),
            What::Several(on) => return out.extend_from_slice(&[SET_OPTION, u8::from(!on), 0]),
            _ => out.push(COM_QUERY),
        }
        if let Some(words) = words_of(&step.what) {
            return out.extend_from_slice(words);
        }
        match &step.what {
            What::AskState => {
                out.extend_from_slice(ASK_STATE);
                let names = session.settings.confused().iter();
                names.for_each(|name| out.extend([b", @@", *name].concat()));
            }
            What::Fence => out.extend_from_slice(session.fence.statement().as_bytes()),
            What::Part(range) => {
                let range = range.clone();
                self.put_part(at, range, session, out);
            }
            What::AskReports => {
                out.extend_from_slice(reports::ASK);
                self.unreported.iter().for_each(|name| out.extend([b", @@", &name[..]].concat()));
            }
            What::ShowReports => {
                let reports = session.settings.reports();
                out.extend(reports.map_or_else(|| b"DO 0".to_vec(), Reports::statement));
            }
            What::PutWarningsBack => {
                let grammar = session.settings.block_grammar();
                out.extend_from_slice(&session.settings.diagnostics().raise_warnings(grammar));
            }
            What::PutRowCountBack => {
                let grammar = session.settings.block_grammar();
                let lists = self.reads_list_at(at + 1, session);
                out.extend_from_slice(&session.settings.diagnostics().count_rows(grammar, lists));
            }
            What::Wrapped(range) => {
                out.extend_from_slice(BEGIN);
                out.push(b';');
                out.extend_from_slice(session.fence.statement().as_bytes());
                out.push(b';');
                out.extend_from_slice(self.part(range));
            }
            What::Framed(range) => {
                let sql = self.part(range);
                out.extend_from_slice(BEGIN);
                out.push(b';');
                out.extend_from_slice(sql);
                if may_end_in_comment(sql) {
                    out.push(b'\n');
                }
                out.push(b';');
                put_close(&mut session.fence, out);
            }
            What::Close => put_close(&mut session.fence, out),
            What::Single(range) => out.extend_from_slice(self.part(range)),
            _ => {}
        }
    }

    /// Part of the client's text.
    fn part(&self, range: &Range<usize>) -> &[u8] {
        let sql = self.request.get(1..).unwrap_or_default();
        sql.get(range.clone()).unwrap_or_default()
    }

    /// The command as it came, but for the numbers of prepared statements.
    fn put_whole(&self, session: &mut SessionState, out: &mut Vec<u8>) {
        let known = matches!(self.request[..], [_, 0 | 1, 0]);
        if self.command == Command::SetOption && session.several.is_usual() && known {
            // The link takes several statements whatever the client may send.
            return out.extend_from_slice(&[SET_OPTION, 0, 0]);
        }
        if !NUMBERED.contains(&self.command) {
            return out.extend_from_slice(&self.request);
        }
        let mut payload = self.request.clone();
        translate(self.command, &mut payload, &mut session.settings);
        out.extend_from_slice(&payload);
    }

    /// Part of the client's text, with the fence in front of one of its statements if that is planned.
    fn put_part(
        &mut self,
        at: usize,
        range: Range<usize>,
        session: &mut SessionState,
        out: &mut Vec<u8>,
    ) {
        let Some(step) = self.script.get(at) else { return };
        // A fence is shorter.
        out.reserve(range.len() + 256);
        let commits = matches!(step.risk, Risk::Commit { .. });
        let fence = &session.fence;
        let needless = fence.is_set() || fence.is_in_doubt() || !session.transaction.is_dirty();
        let wanted = fence.is_available() && !(commits && needless);
        let fence_at = step.fence_at.filter(|_| wanted);
        let place = fence_at.and_then(|at| step.pieces.get(at));
        let place = place.map_or(range.start, |piece| piece.start);
        out.extend_from_slice(self.part(&(range.start..place)));
        if fence_at.is_some() {
            let statement = match commits {
                true => session.fence.checked_statement(),
                false => session.fence.statement(),
            };
            out.extend_from_slice(statement.as_bytes());
            out.push(b';');
        }
        out.extend_from_slice(self.part(&(place..range.end)));
        if let Some(step) = self.script.get_mut(at) {
            // The fence may have turned out to be missing since the command was planned.
            step.fence_at = fence_at;
        }
    }
}

/// The words of a statement of ours that are always the same.
fn words_of(what: &What) -> Option<&'static [u8]> {
    Some(match what {
        What::Begin => BEGIN,
        What::Commit => COMMIT,
        What::Rollback => ROLLBACK,
        What::Guard(true) => GUARD_ON,
        What::Guard(false) => GUARD_OFF,
        What::ReportAll => reports::ALL,
        What::KeepWarnings => b"SHOW WARNINGS",
        What::AskReports
        | What::AskState
        | What::PutWarningsBack
        | What::PutRowCountBack
        | What::ShowReports
        | What::Close
        | What::Fence
        | What::Several(_)
        | What::Single(_)
        | What::Part(_)
        | What::Whole
        | What::Wrapped(_)
        | What::Framed(_) => return None,
    })
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
    settings: &mut SessionSettings,
) {
    match command {
        Command::StmtExecute => settings.translate_execute(payload),
        Command::StmtBulkExecute
        | Command::StmtClose
        | Command::StmtFetch
        | Command::StmtReset
        | Command::StmtSendLongData => {
            if let Some(id) = statement_id(payload)
                && let Some(statement) = settings.statement(id)
            {
                payload[1..5].copy_from_slice(&statement.link_id.to_le_bytes());
            }
        }
        _ => {}
    }
}
