//! What becomes of the reply to a request: told to the client as it comes, held until the rest is
//! there, taken out where it is ours; and what it says of the transaction.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::ok::{self, OkPacket};
use ido_proxy_protocol::packet::{self, HEADER_LEN};
use ido_proxy_protocol::prepare::PrepareOk;
use ido_proxy_protocol::reply::{ReplyStep, ReplyTracker};
use ido_proxy_protocol::statement::Statement;
use ido_proxy_protocol::status::StatusFlags;

use smallvec::SmallVec;

use super::Stuck;
use super::edits::Edits;
use super::exchange::Exchange;
use super::recovery::Recovery;
use super::running::{Behind, Job, Owner, Running};
use crate::session::book::Prepared;
use crate::session::carried::Carried;
use crate::session::digest::{PacketWalk, PayloadDigest};
use crate::session::end::CONNECTION_KILLED;
use crate::session::fence::FENCELESS;
use crate::session::journal::record::Told;
use crate::session::plan::{PieceKind, Risk, Step, What};
use crate::session::reason::Reason;

/// Takes in one piece of what comes from the link.
pub(super) struct Replies<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) carried: &'a mut Carried,
    pub(super) link: Capabilities,
    pub(super) client: Capabilities,
    pub(super) input: &'a [u8],
    pub(super) taken: usize,
    pub(super) edits: Edits,
    /// The default database, if it has changed.
    pub(super) schema: Option<Vec<u8>>,
    /// The last packet is an OK of the client's that announces another result.
    pub(super) continues: bool,
    /// The node said, by this error, that it cannot be worked with any more.
    pub(super) lost: Option<ErrPacket>,
    /// The server asks the client for a file.
    pub(super) wants_file: bool,
    /// The session cannot go on.
    pub(super) stuck: Option<Stuck>,
}

impl Replies<'_> {
    /// Goes through all of it.
    ///
    /// # Errors
    /// It cannot be followed.
    pub(super) fn take_in(&mut self) -> Result<(), Violation> {
        while self.lost.is_none() && self.stuck.is_none() {
            let Some(running) = &mut self.exchange.running else { return self.drop_unwanted() };
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let results = running.tracker.results();
            let step = running.tracker.step(rest)?;
            let len = step.covered();
            if len == 0 {
                break;
            }
            let bytes = rest.get(..len).unwrap_or_default();
            let ended = running.tracker.results() > results
                || matches!(step, ReplyStep::Err { .. } | ReplyStep::Raw { last: true, .. });
            let done = running.tracker.is_done();
            self.continues = false;
            let owner = running.owner();
            if let ReplyStep::Err { .. } = step {
                self.disown_behind();
            }
            match owner {
                Owner::Client => self.client_packet(step, bytes, ended)?,
                owner => self.own_packet(owner, step, bytes, ended)?,
            }
            self.taken += len;
            if ended && let Some(running) = &mut self.exchange.running {
                running.result += 1;
            }
            if done && self.lost.is_none() && self.stuck.is_none() {
                self.request_done();
            }
        }
        Ok(())
    }

    /// What was sent behind the request in hand should not be done: this one failed.
    fn disown_behind(&mut self) {
        if let Behind::Sent = self.exchange.behind {
            let unwanted = ReplyTracker::new(Command::Query, self.link);
            self.exchange.behind = Behind::Unwanted(unwanted);
        }
    }

    /// Drops the reply to what should not have been done.
    fn drop_unwanted(&mut self) -> Result<(), Violation> {
        while let Behind::Unwanted(tracker) = &mut self.exchange.behind {
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let len = tracker.step(rest)?.covered();
            if len == 0 {
                break;
            }
            if tracker.is_done() {
                self.exchange.behind = Behind::Nothing;
            }
            self.swallow(len);
            self.taken += len;
        }
        Ok(())
    }

    /// The reply to the request in hand is complete.
    fn request_done(&mut self) {
        let exchange = &mut *self.exchange;
        let Some(running) = exchange.running.take() else { return };
        if let Job::Task(_) = running.job {
            return;
        }
        if running.owed || running.given_up {
            let error = if running.given_up { given_up() } else { owed() };
            if !self.may_move() {
                return self.give_up(&error);
            }
            self.exchange.running = Some(running);
            let recovery = Recovery::in_doubt_or_not(self.carried);
            self.again(recovery, error);
            // Its reply is complete, be it told or not.
            self.exchange.running = None;
            return;
        }
        exchange.record(self.carried, running);
        exchange.step_done();
        if let Behind::Sent = exchange.behind {
            exchange.behind = Behind::Nothing;
            return exchange.run(self.carried, self.link);
        }
        let transaction = &self.carried.transaction;
        let ours = transaction.is_implicit() || (exchange.outside && transaction.is_open());
        if self.carried.guard.is_on() && ours {
            // A procedure has ended the client's transaction and gone on: without the guard, what it
            // did then is committed.
            exchange.outside = false;
            self.carried.committed();
            exchange.steps.insert(exchange.at, Step::commit());
        }
        if exchange.at >= exchange.steps.len() {
            self.end();
        }
    }

    /// All is done: what is held goes to the client.
    fn end(&mut self) {
        self.exchange.keep(self.carried);
        let held = std::mem::take(&mut self.exchange.held);
        if !held.is_empty() {
            self.edits.replace(self.input, self.taken..self.taken, &held);
        }
        self.exchange.over = true;
    }
}

// The client's results.
impl Replies<'_> {
    fn client_packet(
        &mut self,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        self.find_offset(bytes);
        match step {
            ReplyStep::Pass(_) => {
                if let Some(running) = &mut self.exchange.running
                    && self.exchange.keeps
                {
                    running.digest.get_or_insert_with(|| Box::new(PayloadDigest::new()));
                }
                if let Some(Running { digest: Some(digest), .. }) = &mut self.exchange.running {
                    digest.update(bytes);
                }
                self.rows(bytes, bytes);
            }
            ReplyStep::Ok { status, state_changed, last, .. } => {
                self.ok(bytes, payload, status, state_changed, last)?;
            }
            ReplyStep::Eof { status, .. } if ended => {
                self.settle(PieceEnd::Rows(status), payload)?;
                let wanted = self.shaped(status);
                if wanted == status {
                    self.tell(bytes);
                } else {
                    self.tell_with(bytes, EofPacket::STATUS_AT, wanted);
                }
            }
            // The one between the columns and the rows has flags, too.
            ReplyStep::Eof { status, .. } => {
                let wanted = self.shaped(status);
                let mut told = SmallVec::<[u8; 64]>::from_slice(bytes);
                put_status(&mut told, HEADER_LEN + EofPacket::STATUS_AT, wanted);
                self.rows(bytes, if wanted == status { bytes } else { &told });
            }
            ReplyStep::Err { .. } => self.error(bytes, payload)?,
            ReplyStep::Raw { last, .. } => {
                if self.exchange.command == Command::StmtPrepare {
                    return self.prepared(bytes, payload, last);
                }
                self.tell(bytes);
            }
            ReplyStep::Progress { .. } if self.exchange.hold => self.swallow(bytes.len()),
            ReplyStep::AuthExchange { .. } | ReplyStep::Progress { .. } => self.stream(bytes),
            ReplyStep::LocalInfile { .. } => {
                self.wants_file = true;
                self.stream(bytes);
            }
            ReplyStep::Incomplete => {}
        }
        Ok(())
    }

    fn ok(
        &mut self,
        bytes: &[u8],
        payload: &[u8],
        status: StatusFlags,
        state_changed: bool,
        last: bool,
    ) -> Result<(), Violation> {
        let owed = self.exchange.keeps && self.took_an_owed_id(payload)?;
        self.settle(PieceEnd::Ok { status, state_changed }, payload)?;
        if let Some(running) = &mut self.exchange.running {
            // A statement that has committed by itself keeps what it was given.
            running.owed |= owed && self.carried.transaction.is_open();
        }
        let wanted = self.shaped(status);
        let strip = state_changed && !self.client.contains(Capabilities::SESSION_TRACK);
        if wanted == status && !strip {
            self.tell(bytes);
        } else if !strip && wanted.contains(REPORTS) == status.contains(REPORTS) {
            self.tell_with(bytes, ok::status_at(payload)?, wanted);
        } else {
            let mut packet = OkPacket::decode(payload, self.link)?;
            packet.status = wanted;
            if !wanted.contains(StatusFlags::SESSION_STATE_CHANGED) {
                packet.session_state = &[];
            }
            self.tell_payload(bytes, &packet.encode(self.client));
        }
        self.after_cut();
        self.continues = !last && !self.exchange.hold;
        Ok(())
    }

    /// Whether an INSERT was given an id that another session must have. After some tries it may keep it:
    /// the number may well be that of another table.
    fn took_an_owed_id(&self, payload: &[u8]) -> Result<bool, Violation> {
        let packet = OkPacket::decode(payload, self.link)?;
        let id = packet.last_insert_id;
        Ok(id != 0
            && self.carried.owed.has(id, packet.affected_rows)
            && self.exchange.tries < MOST_TRIES
            && self.may_move())
    }

    /// The flags as the client expects them: what we put around a statement does not show.
    fn shaped(&self, status: StatusFlags) -> StatusFlags {
        let mut status = self.carried.guard.unguarded(status);
        let Some(step) = self.exchange.step() else { return status };
        if step.restart.is_some() {
            status.remove(StatusFlags::IN_TRANS);
            status.remove(StatusFlags::SESSION_STATE_CHANGED);
        }
        let later = self.exchange.steps.get(self.exchange.at + 1..).unwrap_or_default();
        if later.iter().any(|step| !step.is_ours()) {
            status = status | StatusFlags::MORE_RESULTS;
        }
        status
    }

    /// What a result without error means for transaction and session.
    fn settle(&mut self, end: PieceEnd, payload: &[u8]) -> Result<(), Violation> {
        let Self { exchange, carried, .. } = self;
        let Exchange { running: Some(running), steps, at, held, sequence, state, keeps, .. } =
            &mut **exchange
        else {
            return Ok(());
        };
        let Some(step) = steps.get(*at) else { return Ok(()) };
        let place = running.piece();
        let kind = step.pieces.get(place).map(|piece| piece.kind);
        let several = step.pieces.len() > 1 || step.fenced;
        if running.given_up {
            // All of it is done again.
            return Ok(());
        }
        let before = carried.transaction.clone();
        let was_open = before.is_open();
        match kind {
            Some(PieceKind::End) if step.risk == Risk::Rollback && place == 0 => {
                carried.rolled_back();
            }
            Some(PieceKind::End) => carried.committed(),
            Some(PieceKind::Begin) => {
                if was_open {
                    carried.committed();
                    if let Some(step) = steps.get_mut(*at) {
                        // What it was to commit is committed, and no longer in doubt.
                        step.risk = Risk::Repeatable;
                    }
                }
                *state = carried.book.now();
                running.cut_at(place, (held.len(), *sequence));
            }
            _ => {}
        }
        match end {
            PieceEnd::Ok { status, state_changed } => {
                let schema = carried.learn_ok(payload, status, state_changed, self.link)?;
                self.schema = schema.or_else(|| self.schema.take());
            }
            PieceEnd::Rows(status) => carried.learn_rows(status),
        }
        let closed = was_open && !carried.transaction.is_open();
        match kind {
            // Neither ends a transaction, and one that comes alone is told an error. For the client it is
            // open still.
            Some(PieceKind::Plain | PieceKind::Write) if closed && several => {
                running.given_up = true;
                carried.transaction = before;
            }
            Some(PieceKind::End) => {}
            _ if closed => carried.committed(),
            _ => {}
        }
        if !matches!(kind, Some(PieceKind::Begin | PieceKind::End | PieceKind::Plain)) {
            carried.transaction.may_have_written();
        }
        if *keeps {
            let told = match (running.digest.take(), end) {
                (Some(digest), _) => Told::Rows { digest: digest.finish() },
                (None, PieceEnd::Ok { .. }) => {
                    let packet = OkPacket::decode(payload, self.link)?;
                    running.shared |= packet.last_insert_id != 0 && wrote_several(packet.info);
                    Told::ok(&packet)
                }
                (None, PieceEnd::Rows(_)) => Told::Other,
            };
            running.told.push(told);
        }
        if exchange.command == Command::ResetConnection {
            carried.rolled_back();
        }
        Ok(())
    }

    /// Behind a COMMIT or ROLLBACK nothing of what is before is sent again.
    fn after_cut(&mut self) {
        let Exchange { running: Some(running), steps, at, held, sequence, state, .. } =
            &mut *self.exchange
        else {
            return;
        };
        if running.given_up {
            return;
        }
        let place = running.piece();
        let piece = steps.get(*at).and_then(|step| step.pieces.get(place));
        let ends = match piece.map(|piece| piece.kind) {
            Some(PieceKind::End) => true,
            Some(PieceKind::Implicit) => !self.carried.transaction.is_open(),
            _ => false,
        };
        if ends {
            running.cut_at(place + 1, (held.len(), *sequence));
            *state = self.carried.book.now();
            self.exchange.settle();
        }
    }

    fn prepared(&mut self, bytes: &[u8], payload: &[u8], last: bool) -> Result<(), Violation> {
        let first = self.exchange.running.as_ref().is_some_and(|running| running.told.is_empty());
        if !first {
            self.stream(bytes);
            return Ok(());
        }
        let mut ok = PrepareOk::decode(payload, self.link)?;
        let sql = self.exchange.request.get(1..).unwrap_or_default().to_vec();
        let single = Statement::single(&sql, self.carried.book.dialect());
        let link_id = ok.statement_id;
        let mut statement = Prepared::new(sql.clone(), single.kind, single.open_ended, link_id);
        statement.parameters = ok.parameters.into();
        // After a change of the link its numbers may be those of older statements.
        let id = self.carried.book.free_statement_id(link_id);
        self.carried.book.prepared(id, statement);
        if let Some(running) = &mut self.exchange.running {
            // What follows are definitions.
            running.told.push(Told::Other);
        }
        if id == link_id {
            self.stream(bytes);
        } else {
            ok.statement_id = id;
            self.release();
            self.tell_payload(bytes, &ok.encode());
        }
        if last {
            self.exchange.begun = true;
        }
        Ok(())
    }
}

/// How a result ended.
#[derive(Clone, Copy, Debug)]
enum PieceEnd {
    Ok { status: StatusFlags, state_changed: bool },
    Rows(StatusFlags),
}

// Errors.
impl Replies<'_> {
    /// The server refuses one of the client's statements.
    fn error(&mut self, bytes: &[u8], payload: &[u8]) -> Result<(), Violation> {
        let error = ErrPacket::decode(payload)?;
        let risk = self.exchange.step().map_or(Risk::Repeatable, |step| step.risk);
        let first = self.exchange.running.as_ref().is_some_and(|running| running.piece() == 0);
        let doubtful = matches!(risk, Risk::Doubtful(_)) && error.code != NOT_READY;
        // The read waited for a node that is too far behind: the primary is not.
        let lags = self.carried.may_lag && error.code == LOCK_WAIT_TIMEOUT;
        if (is_loss(&error) || lags) && self.may_move() && !doubtful {
            self.swallow(bytes.len());
            self.lost = Some(error);
            return Ok(());
        }
        if matches!(risk, Risk::Commit { .. }) && first && self.carried.fence.is_set() {
            self.swallow(bytes.len());
            self.again(Recovery::in_doubt(), error);
            return Ok(());
        }
        if self.exchange.running.as_ref().is_some_and(|running| running.given_up) {
            // It ends a reply that nobody is told.
            self.swallow(bytes.len());
            return Ok(());
        }
        if ROLLED_BACK.contains(&error.code)
            && self.exchange.keeps
            && self.may_move()
            && self.exchange.tries < self.most_tries()
            && !matches!(risk, Risk::Doubtful(_))
        {
            self.swallow(bytes.len());
            self.again(Recovery::rolled_back(), error);
            return Ok(());
        }
        // A write alone: what commits by itself, in part or in full, may have done so before it failed.
        let place = self.exchange.running.as_ref().map_or(0, Running::piece);
        let piece = self.exchange.step().and_then(|step| step.pieces.get(place));
        let kind = piece.map(|piece| piece.kind);
        let only_writes = kind == Some(PieceKind::Write)
            && !matches!(risk, Risk::Doubtful(_))
            && self.exchange.transaction.first().is_none();
        if error.code == DUPLICATE_ENTRY
            && only_writes
            && self.exchange.keeps
            && !self.exchange.begun
            && self.may_move()
            && self.exchange.tries < MOST_TRIES
            && self.carried.owed.is_named_in(&error.message)
        {
            // Of an id that the server chose, maybe. Done again, it chooses another one.
            self.swallow(bytes.len());
            self.again(Recovery::in_doubt_or_not(self.carried), error);
            return Ok(());
        }
        if ROLLED_BACK.contains(&error.code) {
            self.carried.transaction.gone();
            self.carried.rolled_back();
        }
        if matches!(kind, Some(PieceKind::Implicit | PieceKind::Begin))
            && self.carried.transaction.is_open()
        {
            // It may have committed before it failed, and an error has no flags that tell.
            self.carried.cannot_replay(Reason::Ddl);
        }
        self.tell(bytes);
        self.give_up_rest(error.code);
        Ok(())
    }

    /// An error ends a batch: nothing behind it is sent.
    fn give_up_rest(&mut self, code: u16) {
        let exchange = &mut *self.exchange;
        if let Some(running) = &mut exchange.running {
            running.told.push(Told::Error { code });
        }
        let wrapped = exchange.step().is_some_and(|step| step.restart.is_some());
        exchange.steps.truncate(exchange.at + 1);
        // Under the guard, what came behind the transaction that was given up is open still.
        let guarded = self.carried.guard.is_on() && ROLLED_BACK.contains(&code);
        if wrapped || guarded {
            exchange.steps.push(Step::rollback());
        }
    }

    fn may_move(&self) -> bool {
        let told = self.exchange.is_partly_told();
        self.carried.stuck().is_none() && !self.exchange.request.is_empty() && !told
    }

    /// How often it may be tried. A client that is told of a conflict does its transaction again by itself;
    /// one whose node was lost does not know of any, and while a COMMIT is in doubt it cannot be told.
    fn most_tries(&self) -> u32 {
        let patient = self.exchange.lost || self.carried.fence.is_in_doubt();
        if patient { MOST_TRIES_AFTER_A_LOSS } else { MOST_TRIES }
    }

    /// The same once more, on the same link; or, after many times, the error for which it failed. A reply to
    /// several steps of which the client has a part is not told anew.
    pub(super) fn again(&mut self, mut recovery: Recovery, error: ErrPacket) {
        if self.exchange.tries >= self.most_tries() || self.exchange.is_partly_told() {
            return self.give_up(&error);
        }
        let exchange = &mut *self.exchange;
        exchange.tries += 1;
        exchange.take_back();
        recovery.unsettled |= exchange.recovery.is_some();
        exchange.recovery = Some(Box::new(recovery));
        tracing::debug!(%error, tries = exchange.tries, "rolled back by the server: once more");
    }
}

// Results of our own.
impl Replies<'_> {
    fn own_packet(
        &mut self,
        owner: Owner,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        self.swallow(bytes.len());
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        if let Some(Running { job: Job::Task(_), .. }) = &self.exchange.running {
            return self.task_packet(step, bytes, ended);
        }
        match (owner, step) {
            (_, ReplyStep::Err { .. }) => self.own_error(owner, ErrPacket::decode(payload)?),
            (Owner::Fence, ReplyStep::Ok { status, state_changed, .. }) => {
                let packet = OkPacket::decode(payload, self.link)?;
                let before = self.carried.transaction.clone();
                let Some(running) = &mut self.exchange.running else { return Ok(()) };
                if running.given_up {
                    return Ok(());
                }
                self.carried.learn_ok(payload, status, state_changed, self.link)?;
                if !self.carried.transaction.is_open() {
                    running.given_up = true;
                    self.carried.transaction = before;
                    return Ok(());
                }
                if packet.affected_rows == 1 {
                    self.carried.fence.was_set();
                    return Ok(());
                }
                // Somebody has been here before. What else the request does is undone with the link,
                // and on the next one the row tells who it was.
                self.exchange.tries += 1;
                self.lost = Some(ErrPacket::new(0, *b"HY000", "the fence is not as it was left"));
                Ok(())
            }
            (_, ReplyStep::Ok { .. }) => {
                let what = self.exchange.step().map(|step| step.what.clone());
                let before = self.carried.transaction.clone();
                if what == Some(What::Guard(true)) {
                    self.carried.guard.turned(true);
                }
                self.learn_own(payload, step)?;
                let closed = before.is_open() && !self.carried.transaction.is_open();
                if closed
                    && what == Some(What::Guard(true))
                    && let Some(running) = &mut self.exchange.running
                {
                    running.given_up = true;
                    self.carried.transaction = before;
                }
                match what {
                    Some(What::Guard(false)) => self.carried.guard.turned(false),
                    Some(What::Commit) => {
                        self.carried.committed();
                        self.exchange.settle();
                    }
                    Some(What::Rollback) => self.carried.rolled_back(),
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in the flags, and the report, of an OK packet of ours.
    pub(super) fn learn_own(&mut self, payload: &[u8], step: ReplyStep) -> Result<(), Violation> {
        if let ReplyStep::Ok { status, state_changed, .. } = step {
            self.carried.learn_ok(payload, status, state_changed, self.link)?;
        }
        Ok(())
    }

    fn own_error(&mut self, owner: Owner, error: ErrPacket) -> Result<(), Violation> {
        let what = self.exchange.step().map(|step| step.what.clone());
        match (owner, what) {
            _ if is_loss(&error) => self.lost = Some(error),
            // With what is kept of it, only a part would be done again.
            (Owner::Fence, _)
                if self.carried.stuck().is_some() && !FENCELESS.contains(&error.code) =>
            {
                self.give_up(&error);
            }
            // It can be done again by nobody: a procedure, or a long command.
            (_, Some(What::Commit))
                if self.exchange.step().is_some_and(|step| step.restart.is_none()) =>
            {
                self.give_up(&error);
            }
            (_, Some(What::Commit)) => self.again(Recovery::in_doubt(), error),
            (_, Some(What::Guard(_))) if ROLLED_BACK.contains(&error.code) && self.may_move() => {
                self.again(Recovery::rolled_back(), error);
            }
            (_, Some(What::Guard(_))) if ROLLED_BACK.contains(&error.code) => self.give_up(&error),
            // There is no transaction any more, and so it is done.
            (_, Some(What::Rollback)) if ROLLED_BACK.contains(&error.code) => {
                self.carried.rolled_back();
                self.carried.transaction.gone();
            }
            (Owner::Fence, _) if error.code == DUPLICATE_ENTRY => {
                self.again(Recovery::in_doubt(), error);
            }
            (Owner::Fence, _)
                if ROLLED_BACK.contains(&error.code) || error.code == LOCK_WAIT_TIMEOUT =>
            {
                self.again(Recovery::rolled_back(), error);
            }
            (Owner::Fence, _) => self.without_fence(&error),
            // BEGIN and ROLLBACK do not fail on a link that lives.
            _ => self.lost = Some(error),
        }
        Ok(())
    }

    /// The fence cannot be written: the transaction goes on without.
    fn without_fence(&mut self, error: &ErrPacket) {
        if FENCELESS.contains(&error.code) && self.carried.fence.is_missing() {
            tracing::warn!(
                %error,
                "there is no fence: a COMMIT whose reply is lost will end in an error \
                 (ido-proxy setup prints the SQL that creates it)"
            );
        }
        self.exchange.go_unfenced();
    }
}

// Towards the client.
impl Replies<'_> {
    /// The first packet of a request for the client tells how far its numbers are from those expected.
    fn find_offset(&mut self, bytes: &[u8]) {
        let sequence = self.exchange.sequence;
        let Some(running) = &mut self.exchange.running else { return };
        if running.renumber.is_none() {
            let got = bytes.get(HEADER_LEN - 1).copied().unwrap_or_default();
            running.renumber = Some((PacketWalk::default(), sequence.wrapping_sub(got)));
        }
    }

    fn offset(&self) -> u8 {
        let running = self.exchange.running.as_ref();
        running.and_then(|running| running.renumber.as_ref()).map_or(0, |(_, offset)| *offset)
    }

    /// Rows. Those of one step among several wait for the rest, if they are few: a client that has some has to
    /// get the very same again, and none before them.
    fn rows(&mut self, bytes: &[u8], told: &[u8]) {
        let exchange = &mut *self.exchange;
        let waits = exchange.hold && exchange.steps.len() > 1;
        if !waits || exchange.held.len() + told.len() > MOST_ROWS {
            return self.stream_as(bytes, told);
        }
        let Some(running) = &mut exchange.running else { return };
        let (walk, offset) = running.renumber.get_or_insert_default();
        let start = exchange.held.len();
        exchange.held.extend_from_slice(told);
        walk.renumber(&mut exchange.held[start..], *offset);
        self.swallow(bytes.len());
    }

    /// Bytes that cannot wait: many rows, or a question to the client.
    fn stream(&mut self, bytes: &[u8]) {
        self.stream_as(bytes, bytes);
    }

    /// The same with other bytes in their place.
    fn stream_as(&mut self, bytes: &[u8], told: &[u8]) {
        let held = std::mem::take(&mut self.exchange.held);
        self.exchange.hold = false;
        self.exchange.begun = true;
        let Some(running) = &mut self.exchange.running else { return };
        let (walk, offset) = running.renumber.get_or_insert_default();
        if *offset == 0 && std::ptr::eq(bytes, told) {
            if !held.is_empty() {
                self.edits.replace(self.input, self.taken..self.taken, &held);
            }
            return;
        }
        let mut out = held;
        let start = out.len();
        out.extend_from_slice(told);
        walk.renumber(&mut out[start..], *offset);
        self.edits.replace(self.input, self.taken..self.taken + bytes.len(), &out);
    }

    /// A whole packet with which a result ends.
    fn tell(&mut self, bytes: &[u8]) {
        if self.exchange.step().is_some_and(|step| step.restart.is_some()) {
            // It is not done before our COMMIT is.
            self.exchange.hold = true;
        }
        let offset = self.offset();
        if offset == 0 && !self.exchange.hold {
            self.exchange.begun = true;
            let sequence = bytes.get(HEADER_LEN - 1).copied().unwrap_or_default();
            self.exchange.sequence = sequence.wrapping_add(1);
            return;
        }
        self.tell_payload(bytes, bytes.get(HEADER_LEN..).unwrap_or_default());
    }

    /// The same with another payload than that of the packet `bytes`.
    fn tell_payload(&mut self, bytes: &[u8], payload: &[u8]) {
        let got = bytes.get(HEADER_LEN - 1).copied().unwrap_or_default();
        let sequence = got.wrapping_add(self.offset());
        let range = self.taken..self.taken + bytes.len();
        let next = if self.exchange.hold {
            self.edits.replace(self.input, range, &[]);
            packet::frame(payload, sequence, &mut self.exchange.held)
        } else {
            self.exchange.begun = true;
            let mut framed = Vec::with_capacity(HEADER_LEN + payload.len());
            let next = packet::frame(payload, sequence, &mut framed);
            self.edits.replace(self.input, range, &framed);
            next
        };
        self.exchange.sequence = next;
    }

    /// The same as it came but for its flags, which begin at this offset of the payload.
    fn tell_with(&mut self, bytes: &[u8], at: usize, status: StatusFlags) {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        let mut payload = SmallVec::<[u8; 64]>::from_slice(payload);
        put_status(&mut payload, at, status);
        self.tell_payload(bytes, &payload);
    }

    fn release(&mut self) {
        let held = std::mem::take(&mut self.exchange.held);
        self.exchange.hold = false;
        self.edits.replace(self.input, self.taken..self.taken, &held);
    }

    /// Bytes that are not the client's.
    pub(super) fn swallow(&mut self, len: usize) {
        self.edits.replace(self.input, self.taken..self.taken + len, &[]);
    }
}

/// Bytes of a reply with rows that wait for its end.
const MOST_ROWS: usize = 64 << 10;

fn put_status(packet: &mut [u8], at: usize, status: StatusFlags) {
    if let Some(place) = packet.get_mut(at..at + 2) {
        place.copy_from_slice(&status.bits().to_le_bytes());
    }
}

/// Whether the text of an OK packet is that of an INSERT of several rows: "Records: 3  Duplicates: 0
/// Warnings: 0". There is none where it is one row.
fn wrote_several(info: &[u8]) -> bool {
    info.strip_prefix(b"Records: ").is_some_and(|rest| !rest.starts_with(b"1 "))
}

/// Whether an error says that the node cannot be worked with, rather than that a statement is wrong.
pub(super) fn is_loss(error: &ErrPacket) -> bool {
    match error.code {
        // The same number stands for an unknown command.
        NOT_READY => error.message.starts_with(b"WSREP"),
        CONNECTION_KILLED | SERVER_SHUTDOWN | READ_ONLY_MODE => true,
        // The same number stands for other options that forbid something.
        OPTION_PREVENTS => error.message.windows(11).any(|words| words == b"--read-only"),
        _ => false,
    }
}

const REPORTS: StatusFlags = StatusFlags::SESSION_STATE_CHANGED;

/// What the server would have said, had it said anything.
fn given_up() -> ErrPacket {
    let message = "Deadlock found when trying to get lock; try restarting transaction";
    ErrPacket::new(ROLLED_BACK[0], *b"40001", message)
}

fn owed() -> ErrPacket {
    ErrPacket::new(0, *b"HY000", "an id that belongs to a row of another session")
}

/// The whole transaction was rolled back with these: ER_LOCK_DEADLOCK, which also is what Galera says
/// of a conflict, and ER_ERROR_DURING_COMMIT.
pub(super) const ROLLED_BACK: [u16; 2] = [1213, 1180];

/// How often a transaction that the server rolled back is done again before the client is told.
pub(super) const MOST_TRIES: u32 = 10;

/// The same where the link was lost under it: many sessions do their transactions again at the same time,
/// and meet each other's locks. With the pauses between them this is some seconds.
const MOST_TRIES_AFTER_A_LOSS: u32 = 100;

// Error codes of the MariaDB documentation, "MariaDB Error Codes".
/// ER_UNKNOWN_COM_ERROR; with a message that begins with WSREP, Galera's "not ready".
const NOT_READY: u16 = 1047;
/// ER_SERVER_SHUTDOWN.
const SERVER_SHUTDOWN: u16 = 1053;
/// ER_DUP_ENTRY.
pub(super) const DUPLICATE_ENTRY: u16 = 1062;
/// ER_LOCK_WAIT_TIMEOUT.
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// ER_OPTION_PREVENTS_STATEMENT.
const OPTION_PREVENTS: u16 = 1290;
/// ER_READ_ONLY_MODE.
const READ_ONLY_MODE: u16 = 1836;
