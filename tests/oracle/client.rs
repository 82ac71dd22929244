//! A client of a program: turns actions into commands, and knows its prepared statements.

use std::collections::{BTreeSet, HashMap, VecDeque};

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::packet;

use crate::packet::Packet;
use crate::program::{Action, LAST, Login, Param, Slot, joined};
use crate::scratch::Names;
use crate::wire::{Account, Shape, Wire};

/// A client, logged in or not.
#[derive(Debug)]
pub(crate) struct Client {
    account: Account,
    login: Login,
    names: Names,
    wire: Option<Wire>,
    slots: HashMap<Slot, Statement>,
    /// The slot that was prepared last.
    latest: Option<Slot>,
    /// Answers that are not read yet: the step, and what each of its commands is answered by.
    pending: VecDeque<(usize, Vec<Awaited>)>,
}

/// A prepared statement.
#[derive(Clone, Debug, Default)]
struct Statement {
    id: u32,
    parameters: usize,
    /// Whether the types of its parameters are known to the server.
    bound: bool,
    types: Vec<u8>,
    /// Whether it is a SELECT: MariaDB 10.11.19 crashes at a cursor for DELETE … RETURNING.
    selects: bool,
    /// The parameters that were sent as long data.
    long: BTreeSet<usize>,
}

/// An answer to come.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    shape: Shape,
    slot: Option<Slot>,
}

/// A command and what answers it, if anything does.
struct Command {
    payload: Vec<u8>,
    awaited: Option<Awaited>,
}

impl Client {
    /// Logs in.
    pub(crate) async fn log_in(
        account: &Account,
        login: &Login,
        names: &Names,
    ) -> (Self, Vec<Packet>) {
        let neutral = names.neutral();
        let (wire, seen) = Wire::log_in(account, login, &names.database, &neutral).await;
        let (account, login, names) = (account.clone(), login.clone(), names.clone());
        let (slots, pending, latest) = (HashMap::new(), VecDeque::new(), None);
        (Self { account, login, names, wire, slots, latest, pending }, seen)
    }

    /// Does one action. What answers are read by then belong to the steps that are named.
    pub(crate) async fn act(&mut self, step: usize, action: &Action) -> Vec<(usize, Vec<Packet>)> {
        let mut told = self.drain().await;
        if matches!(action, Action::Reconnect) {
            if let Some(wire) = self.wire.take() {
                wire.quit().await;
            }
            let (again, seen) = Self::log_in(&self.account, &self.login, &self.names).await;
            *self = again;
            told.push((step, seen));
            return told;
        }
        let actions = match action {
            Action::Flight(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        let commands: Vec<_> = actions.iter().filter_map(|one| self.command(one)).collect();
        let mut bytes = Vec::new();
        for command in &commands {
            packet::frame(&command.payload, 0, &mut bytes);
        }
        let awaited = commands.iter().filter_map(|command| command.awaited).collect();
        self.pending.push_back((step, awaited));
        if let Some(wire) = &mut self.wire {
            wire.send_raw(&bytes).await;
        }
        told
    }

    /// Reads all answers that are to come.
    pub(crate) async fn drain(&mut self) -> Vec<(usize, Vec<Packet>)> {
        let mut told = Vec::new();
        while let Some((step, awaited)) = self.pending.pop_front() {
            let mut seen = Vec::new();
            for Awaited { shape, slot } in awaited {
                let Some(wire) = &mut self.wire else {
                    seen.push(Packet::bare("closed"));
                    break;
                };
                let (packets, prepared) = wire.answer(shape).await;
                seen.extend(packets);
                if let Some(statement) = slot.and_then(|slot| self.slots.get_mut(&slot)) {
                    statement.id = prepared.unwrap_or(NO_STATEMENT);
                }
                let end = seen.last().map(|packet| packet.kind);
                if matches!(end, Some("closed" | "silence")) {
                    self.wire = None;
                }
            }
            told.push((step, seen));
        }
        told
    }

    /// The number that the server greeted with, where the client is logged in.
    pub(crate) fn id(&self) -> Option<u32> {
        self.wire.as_ref().map(|wire| wire.id)
    }

    /// Says goodbye.
    pub(crate) async fn quit(self) {
        if let Some(wire) = self.wire {
            wire.quit().await;
        }
    }

    /// The command of an action, or `None` where there is nothing to send.
    fn command(&mut self, action: &Action) -> Option<Command> {
        let results = |binary| Some(Awaited { shape: Shape::Results { binary }, slot: None });
        let of = |shape| Some(Awaited { shape, slot: None });
        let (payload, awaited) = match action {
            Action::Query(text) => {
                (text_command(0x03, &self.names.expanded(&joined(text))), results(false))
            }
            Action::Prepare { slot, statement } => {
                let parameters = statement.sql.matches('?').count();
                self.latest = Some(*slot);
                let selects = statement.sql.starts_with("SELECT");
                let new = Statement { parameters, selects, ..Statement::default() };
                self.slots.insert(*slot, new);
                let awaited = Some(Awaited { shape: Shape::Prepared, slot: Some(*slot) });
                (text_command(0x16, &self.names.expanded(&statement.sql)), awaited)
            }
            Action::Execute { slot, params, types, cursor } => {
                (self.execute(*slot, params, *types, *cursor), results(true))
            }
            Action::Bulk { slot, rows } => (self.bulk(*slot, rows)?, results(true)),
            Action::LongData { slot, param, data } => {
                let mut out = self.statement_command(0x18, *slot);
                out.extend_from_slice(&param.to_le_bytes());
                out.extend_from_slice(data.as_bytes());
                let statement = self.slots.get_mut(slot);
                let statement = statement.filter(|one| usize::from(*param) < one.parameters);
                statement?.long.insert(usize::from(*param));
                (out, None)
            }
            Action::Fetch { slot, rows } => {
                let mut out = self.statement_command(0x1C, *slot);
                out.extend_from_slice(&rows.to_le_bytes());
                (out, of(Shape::Fetched))
            }
            Action::Close { slot } => {
                let payload = self.statement_command(0x19, *slot);
                self.slots.remove(slot);
                (payload, None)
            }
            Action::Reset { slot } => {
                self.slots.entry(*slot).and_modify(|one| one.long.clear());
                (self.statement_command(0x1A, *slot), results(false))
            }
            Action::Ping => (vec![0x0E], results(false)),
            Action::InitDb { database } => {
                (text_command(0x02, &self.names.expanded(database)), results(false))
            }
            Action::ResetConnection => (vec![0x1F], results(false)),
            Action::SetOption { on } => (vec![0x1B, u8::from(!*on), 0], results(false)),
            Action::FieldList { table } => {
                let mut out = text_command(0x04, table.as_bytes());
                out.push(0);
                (out, of(Shape::Fields))
            }
            Action::Statistics => (vec![0x09], of(Shape::Bare)),
            Action::ChangeUser { database, collation } => {
                let database = if *database { self.names.database.as_str() } else { "" };
                let payload = self.wire.as_ref()?.change_user(database, *collation);
                self.slots.clear();
                (payload, of(Shape::Login))
            }
            Action::Flight(_) | Action::Reconnect => return None,
        };
        Some(Command { payload, awaited })
    }

    fn statement_id(&self, slot: Slot) -> u32 {
        match self.slots.get(&slot) {
            _ if slot == LAST => u32::MAX,
            Some(statement) => statement.id,
            None => NO_STATEMENT,
        }
    }

    fn statement_command(&self, command: u8, slot: Slot) -> Vec<u8> {
        let mut out = vec![command];
        out.extend_from_slice(&self.statement_id(slot).to_le_bytes());
        out
    }

    fn execute(&mut self, slot: Slot, params: &[Param], types: bool, cursor: bool) -> Vec<u8> {
        let mut out = self.statement_command(0x17, slot);
        let slot = if slot == LAST { self.latest.unwrap_or(LAST) } else { slot };
        let selects = self.slots.get(&slot).is_some_and(|statement| statement.selects);
        out.push(u8::from(cursor && selects));
        out.extend_from_slice(&1u32.to_le_bytes());
        let Some(statement) = self.slots.get_mut(&slot) else { return out };
        let count = statement.parameters;
        if count == 0 {
            return out;
        }
        // Long data is sent once; a parameter without any is NULL.
        let long = std::mem::take(&mut statement.long);
        let given = params.iter().chain(std::iter::repeat(&Param::Null)).take(count);
        let params = given.enumerate().map(|(index, param)| match param {
            _ if long.contains(&index) => &Param::Long,
            Param::Long => &Param::Null,
            param => param,
        });
        let params: Vec<_> = params.collect();
        let mut nulls = vec![0u8; count.div_ceil(8)];
        for (index, _) in params.iter().enumerate().filter(|(_, one)| ***one == Param::Null) {
            nulls[index / 8] |= 1 << (index % 8);
        }
        out.extend_from_slice(&nulls);
        // The server knows types only if they were sent once, and then they are the same.
        let now: Vec<_> = params.iter().map(|one| type_of(one)).collect();
        let same = statement.types.iter().zip(&now).zip(&params);
        let same = same.filter(|((known, new), param)| known != new && ***param != Param::Null);
        let types = types || !statement.bound || !long.is_empty() || same.count() > 0;
        statement.bound = long.is_empty();
        out.push(u8::from(types));
        if types {
            now.iter().for_each(|one| out.extend_from_slice(&[*one, 0]));
            statement.types = now;
        }
        params.iter().for_each(|one| put_value(&mut out, one));
        out
    }

    fn bulk(&self, slot: Slot, rows: &[Param]) -> Option<Vec<u8>> {
        let wire = self.wire.as_ref()?;
        if !wire.capabilities.contains(Capabilities::STMT_BULK) {
            return None;
        }
        let statement = self.slots.get(&slot).filter(|_| slot != LAST);
        statement.filter(|statement| statement.parameters == 1)?;
        let mut out = self.statement_command(0xFA, slot);
        out.extend_from_slice(&BULK_TYPES.to_le_bytes());
        out.extend_from_slice(&[TYPE_LONGLONG, 0]);
        for row in rows {
            match row {
                Param::Int(value) => {
                    out.push(0);
                    out.extend_from_slice(&value.to_le_bytes());
                }
                _ => out.push(1),
            }
        }
        Some(out)
    }
}

fn text_command(command: u8, text: &[u8]) -> Vec<u8> {
    [&[command], text].concat()
}

fn type_of(param: &Param) -> u8 {
    match param {
        Param::Int(_) => TYPE_LONGLONG,
        Param::Long => TYPE_BLOB,
        Param::Null | Param::Text(_) => TYPE_VAR_STRING,
    }
}

fn put_value(out: &mut Vec<u8>, param: &Param) {
    match param {
        Param::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
        Param::Text(text) => {
            // Texts of programs are short.
            out.push(text.len().min(250) as u8);
            out.extend_from_slice(&text.as_bytes()[..text.len().min(250)]);
        }
        Param::Long | Param::Null => {}
    }
}

/// No server has prepared that many.
const NO_STATEMENT: u32 = 77_777;

const BULK_TYPES: u16 = 128;
const TYPE_LONGLONG: u8 = 0x08;
const TYPE_BLOB: u8 = 0xFC;
const TYPE_VAR_STRING: u8 = 0xFD;
