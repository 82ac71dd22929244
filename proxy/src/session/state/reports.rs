//! Which changes of its state a session's client wants to hear of, and which we do.
//!
//! The server reports every change to us, since that is how the session's state is known. A client that understands
//! reports gets those that its own settings ask for; and these are what it finds where it looks at them.
//!
//! Source: MariaDB documentation, "Server System Variables" (`session_track_…`).

use std::collections::BTreeSet;

use ido_proxy_protocol::session_state::Change;

use crate::session::state::text_rows::text_rows;

/// Reports that one client gets, as its variables say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reports {
    /// The variables as the server shows them: those of [`ASK`], in its order.
    values: [Vec<u8>; 4],
    /// The names of the variables that are reported; `None`: all are.
    variables: Option<BTreeSet<Vec<u8>>>,
}

impl Reports {
    /// Reads the packets of the reply to [`ASK`], without the last packet. Returns the values of so many `others` too, which
    /// were asked for behind.
    pub(crate) fn read(packets: &[u8], others: usize) -> Option<(Self, Vec<Vec<u8>>)> {
        let row = text_rows(packets, COLUMNS + others).next()?;
        let values = row.into_iter().map(|value| value.unwrap_or_default().to_vec());
        let mut values = Vec::from_iter(values);
        let others = values.split_off(COLUMNS.min(values.len()));
        let values: [Vec<u8>; 4] = values.try_into().ok()?;
        let names = values[0]
            .split(|byte| *byte == b',')
            .map(|name| name.trim_ascii().to_ascii_lowercase());
        let names: BTreeSet<_> = names.filter(|name| !name.is_empty()).collect();
        let variables = Some(names).filter(|names| !names.contains(&b"*"[..]));
        Some((Self { values, variables }, others))
    }

    /// Whether the client is told of a change.
    pub(crate) fn keeps(&self, change: &Change<'_>) -> bool {
        let [_, schema, state, transaction] = &self.values;
        let is_on = |value: &[u8]| value == b"1" || value.eq_ignore_ascii_case(b"ON");
        let info = transaction.to_ascii_uppercase();
        match change {
            Change::SystemVariable(name, _) => {
                self.variables.as_ref().is_none_or(|names| names.contains(*name))
            }
            Change::Schema(_) => is_on(schema),
            Change::StateChange(_) => is_on(state),
            Change::TransactionState(_) => info == b"STATE" || info == b"CHARACTERISTICS",
            Change::TransactionCharacteristics(_) => info == b"CHARACTERISTICS",
            Change::Gtids(_) | Change::Other { .. } => true,
        }
    }

    /// The statement that gives the link these settings.
    pub(crate) fn statement(&self) -> Vec<u8> {
        let [variables, schema, state, transaction] = &self.values;
        let mut sql = b"SET session_track_system_variables='".to_vec();
        // Names of variables, which no quote can be in.
        sql.extend(variables.iter().filter(|byte| !matches!(byte, b'\'' | b'\\')));
        for (name, value) in [
            ("', session_track_schema=", schema),
            (", session_track_state_change=", state),
            (", session_track_transaction_info=", transaction),
        ] {
            sql.extend_from_slice(name.as_bytes());
            sql.extend(value.iter().filter(|byte| byte.is_ascii_alphanumeric()));
        }
        sql
    }
}

/// Asks what the client is told.
pub(crate) const ASK: &[u8] = b"SELECT @@session_track_system_variables, @@session_track_schema, \
    @@session_track_state_change, @@session_track_transaction_info";

const COLUMNS: usize = 4;

/// Turns all reports on: every variable that is set, the schema and the transaction's state are then told in the OK
/// packet of the statement that changed them. Seen on MariaDB 10.11.
pub(crate) const ALL: &[u8] = b"SET session_track_system_variables='*', session_track_schema=1, \
    session_track_state_change=1, session_track_transaction_info='CHARACTERISTICS'";

#[cfg(test)]
mod tests {
    use ido_proxy_protocol::packet;
    use ido_proxy_protocol::session_state::TransactionState;

    use super::*;

    fn reports(values: [&str; 4]) -> Reports {
        let row = values.map(|value| [&[value.len() as u8], value.as_bytes()].concat()).concat();
        let payloads = [
            b"\x04".to_vec(),
            b"\x03def".to_vec(),
            b"\x03def".to_vec(),
            b"\x03def".to_vec(),
            b"\x03def".to_vec(),
            vec![0xFE, 0, 0, 2, 0],
            row,
        ];
        let mut packets = Vec::new();
        payloads.iter().zip(1..).for_each(|(payload, id)| {
            packet::frame(payload, id, &mut packets);
        });
        Reports::read(&packets, 0).expect("a row").0
    }

    /// Otherwise a connector would be told more, or less, than it has asked for.
    #[test]
    fn a_client_is_told_what_its_variables_say() {
        let usual = reports(["autocommit,time_zone", "1", "0", "OFF"]);
        let state = Change::TransactionState(TransactionState::default());
        assert!(usual.keeps(&Change::SystemVariable(b"time_zone", b"+00:00")));
        assert!(!usual.keeps(&Change::SystemVariable(b"sql_mode", b"ANSI")));
        assert!(usual.keeps(&Change::Schema(b"icinga")));
        assert!(!usual.keeps(&Change::StateChange(true)) && !usual.keeps(&state));
        let all = reports(["*", "0", "1", "STATE"]);
        assert!(all.keeps(&Change::SystemVariable(b"sql_mode", b"ANSI")));
        assert!(!all.keeps(&Change::Schema(b"icinga")) && all.keeps(&state));
        assert!(!all.keeps(&Change::TransactionCharacteristics(b"START TRANSACTION;")));
        let expected = "SET session_track_system_variables='autocommit,time_zone', \
            session_track_schema=1, session_track_state_change=0, session_track_transaction_info=OFF";
        assert_eq!(String::from_utf8(usual.statement()).unwrap(), expected);
    }
}
