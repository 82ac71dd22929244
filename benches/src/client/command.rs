//! Commands, encoded once.

use ido_proxy_protocol::packet::{self, HEADER_LEN};

/// A COM_QUERY with these statements, as the bytes to send.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    framed(&[&[COM_QUERY], sql.as_bytes()].concat())
}

/// A COM_STMT_PREPARE of this statement, as the bytes to send.
pub(crate) fn prepare(sql: &str) -> Vec<u8> {
    framed(&[&[COM_STMT_PREPARE], sql.as_bytes()].concat())
}

/// A parameter of a prepared statement.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// BIGINT.
    Number(i64),
    /// Text or bytes.
    Bytes(Vec<u8>),
}

/// A COM_STMT_EXECUTE with these values, as the bytes to send once [`set_statement`] has named the
/// statement.
pub(crate) fn execute(values: &[Value]) -> Vec<u8> {
    let mut payload = vec![COM_STMT_EXECUTE];
    payload.extend([0; 4]);
    payload.push(NO_CURSOR);
    payload.extend(1_u32.to_le_bytes());
    // No value is NULL, and the types follow.
    payload.extend(vec![0; values.len().div_ceil(8)]);
    payload.push(1);
    for value in values {
        let kind = match value {
            Value::Number(_) => LONGLONG,
            Value::Bytes(_) => STRING,
        };
        payload.extend([kind, 0]);
    }
    for value in values {
        match value {
            Value::Number(number) => payload.extend(number.to_le_bytes()),
            Value::Bytes(bytes) => {
                payload.extend(length(bytes.len()));
                payload.extend(bytes);
            }
        }
    }
    framed(&payload)
}

/// Names the statement that `command` executes; any other command stays as it is.
pub(crate) fn set_statement(command: &mut [u8], id: u32) {
    if command.get(HEADER_LEN) == Some(&COM_STMT_EXECUTE) {
        command[HEADER_LEN + 1..HEADER_LEN + 5].copy_from_slice(&id.to_le_bytes());
    }
}

/// A length-encoded number below 64 Ki.
fn length(value: usize) -> Vec<u8> {
    match value {
        0..=0xFA => vec![value as u8],
        _ => [&[0xFC], &(value as u16).to_le_bytes()[..]].concat(),
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + payload.len());
    packet::frame(payload, 0, &mut out);
    out
}

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;

const NO_CURSOR: u8 = 0;
const LONGLONG: u8 = 0x08;
const STRING: u8 = 0xFE;

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers take misplaced values for others, and may not complain.
    #[test]
    fn an_execute_is_laid_out_as_the_protocol_has_it() {
        let mut command = execute(&[Value::Number(-2), Value::Bytes(vec![b'x'; 251])]);
        set_statement(&mut command, 0x0102);
        let head = [0x17, 2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0, 0xFE, 0];
        assert_eq!(command[HEADER_LEN..HEADER_LEN + head.len()], head);
        let values = &command[HEADER_LEN + head.len()..];
        assert_eq!(values[..11], [0xFE, 255, 255, 255, 255, 255, 255, 255, 0xFC, 251, 0]);
        assert_eq!(values.len(), 8 + 3 + 251);
    }

    #[test]
    fn a_text_has_no_statement_to_name() {
        let mut command = query("DO 1234567890");
        set_statement(&mut command, 7);
        assert_eq!(command, query("DO 1234567890"));
    }
}
