//! Packets as a client sees them, taken apart so that two of them can be compared field by field.

use std::fmt;

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::session_state::{self, Change};
use ido_proxy_protocol::status::StatusFlags;

/// One packet, or another thing that a client notices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    /// The kind of packet: "ok", "row", "closed" and so on.
    pub(crate) kind: &'static str,
    /// The packet's fields by name.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Whether the answer to one statement ends with it.
    pub(crate) ends: bool,
}

impl Packet {
    /// Without fields.
    pub(crate) fn bare(kind: &'static str) -> Self {
        Self { kind, fields: Vec::new(), ends: false }
    }

    /// With one field.
    pub(crate) fn with(kind: &'static str, name: &'static str, value: impl fmt::Display) -> Self {
        Self { kind, fields: vec![(name, value.to_string())], ends: false }
    }

    /// An OK, or the end of rows that looks like one.
    pub(crate) fn ok(payload: &[u8], capabilities: Capabilities) -> (Self, StatusFlags) {
        let Ok(ok) = OkPacket::decode(payload, capabilities) else {
            return (Self::malformed(payload), StatusFlags::empty());
        };
        let fields = vec![
            ("affected", ok.affected_rows.to_string()),
            ("id", ok.last_insert_id.to_string()),
            ("status", status(ok.status)),
            ("warnings", ok.warnings.to_string()),
            ("info", shown(ok.info)),
            ("reports", reports(ok.session_state)),
        ];
        let kind = if ok.ends_rows { "end" } else { "ok" };
        (Self { kind, fields, ends: true }, ok.status)
    }

    /// An error.
    pub(crate) fn error(payload: &[u8]) -> Self {
        let Ok(error) = ErrPacket::decode(payload) else { return Self::malformed(payload) };
        let mut message = shown(&error.message);
        if [UNKNOWN_STATEMENT, NO_CURSOR].contains(&error.code) {
            // The number of a statement is the server's own affair.
            message.retain(|c| !c.is_ascii_digit());
        }
        let fields = vec![
            ("code", error.code.to_string()),
            ("state", shown(&error.sql_state)),
            ("message", message),
        ];
        Self { kind: "error", fields, ends: true }
    }

    /// An EOF of five bytes.
    pub(crate) fn eof(payload: &[u8]) -> (Self, StatusFlags) {
        let [_, warnings @ .., low, high] = payload else {
            return (Self::malformed(payload), StatusFlags::empty());
        };
        let flags = StatusFlags::from_bits(u16::from_le_bytes([*low, *high]));
        let warnings = warnings.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let fields = vec![("status", status(flags)), ("warnings", warnings.to_string())];
        (Self { kind: "eof", fields, ends: false }, flags)
    }

    /// A column definition.
    pub(crate) fn column(payload: &[u8], extended: bool) -> Self {
        let mut rest = payload;
        let mut fields = Vec::new();
        for name in ["catalog", "schema", "table", "org_table", "name", "org_name"] {
            let Some(text) = take_text(&mut rest) else { return Self::malformed(payload) };
            fields.push((name, shown(text)));
        }
        if extended {
            let Some(text) = take_text(&mut rest) else { return Self::malformed(payload) };
            fields.push(("extended", shown(text)));
        }
        let [_, c0, c1, l0, l1, l2, l3, kind, f0, f1, decimals, _, _, default @ ..] = rest else {
            return Self::malformed(payload);
        };
        fields.push(("charset", u16::from_le_bytes([*c0, *c1]).to_string()));
        fields.push(("length", u32::from_le_bytes([*l0, *l1, *l2, *l3]).to_string()));
        fields.push(("type", kind.to_string()));
        fields.push(("flags", format!("{:#x}", u16::from_le_bytes([*f0, *f1]))));
        fields.push(("decimals", decimals.to_string()));
        fields.push(("default", shown(default)));
        Self { kind: "column", fields, ends: false }
    }

    /// A row of the text protocol.
    pub(crate) fn text_row(payload: &[u8]) -> Self {
        let mut rest = payload;
        let mut values = Vec::new();
        while !rest.is_empty() {
            if let [NULL, tail @ ..] = rest {
                rest = tail;
                values.push("NULL".to_owned());
                continue;
            }
            let Some(text) = take_text(&mut rest) else { return Self::malformed(payload) };
            values.push(neutral(text));
        }
        Self::with("row", "values", values.join(", "))
    }

    /// A row of the binary protocol.
    pub(crate) fn binary_row(payload: &[u8]) -> Self {
        Self::with("row", "bytes", shown(payload))
    }

    /// Bytes that are none of these.
    pub(crate) fn malformed(payload: &[u8]) -> Self {
        Self { ends: true, ..Self::with("malformed", "bytes", shown(payload)) }
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str())
    }

    /// The packet with `#` in place of ids that a server has chosen.
    pub(crate) fn masked(&self) -> Self {
        let fields = self.fields.iter().map(|(name, value)| {
            let value = match *name {
                "values" => value.split(", ").map(masked).collect::<Vec<_>>().join(", "),
                "reports" | "message" => {
                    let parts = value.split_inclusive(|c: char| !c.is_ascii_digit());
                    parts.map(masked_part).collect()
                }
                _ => value.clone(),
            };
            (*name, value)
        });
        Self { fields: fields.collect(), ..self.clone() }
    }

    /// The kind of packet, with the code of an error.
    pub(crate) fn title(&self) -> String {
        match (self.kind, self.field("code")) {
            ("error", Some(code)) => format!("error {code}"),
            (kind, _) => kind.to_owned(),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        let said = self.fields.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in said {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// `#` in place of an id of a new row.
fn masked(value: &str) -> &str {
    let id = value.parse().is_ok_and(|id: u64| NEW_IDS.contains(&id));
    if id { "#" } else { value }
}

/// Masks digits, and keeps the character behind them.
fn masked_part(part: &str) -> String {
    let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
    format!("{}{}", masked(digits), &part[digits.len()..])
}

/// Reads a length-encoded integer from the front.
pub(crate) fn take_lenenc(rest: &mut &[u8]) -> Option<u64> {
    let (first, tail) = rest.split_first()?;
    let len = match first {
        0xFC => 2,
        0xFD => 3,
        0xFE => 8,
        0xFB | 0xFF => return None,
        small => {
            *rest = tail;
            return Some(u64::from(*small));
        }
    };
    let (bytes, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_lenenc(rest)?).ok()?;
    let (text, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(text)
}

fn reports(block: &[u8]) -> String {
    let changes = session_state::changes(block).map(|change| match change {
        Ok(Change::SystemVariable(b"timestamp", now)) if now.contains(&b'.') => {
            "timestamp=<now>".to_owned()
        }
        Ok(Change::SystemVariable(name, value)) => format!("{}={}", shown(name), shown(value)),
        Ok(Change::Schema(name)) => format!("schema={}", shown(name)),
        Ok(Change::StateChange(changed)) => format!("state_change={changed}"),
        Ok(Change::TransactionCharacteristics(text)) => format!("characteristics={}", shown(text)),
        Ok(Change::TransactionState(state)) => format!("{state:?}").replace(": false", ""),
        Ok(Change::Gtids(text)) => format!("gtids={}", shown(text)),
        Ok(Change::Other { kind, data }) => format!("{kind}:{}", shown(data)),
        Err(violation) => format!("!{violation}"),
    });
    changes.collect::<Vec<_>>().join("; ")
}

/// Flags by name, without those that depend on the time a statement took and on what the optimizer chose.
fn status(flags: StatusFlags) -> String {
    let left_out =
        StatusFlags::QUERY_WAS_SLOW | StatusFlags::NO_GOOD_INDEX_USED | StatusFlags::NO_INDEX_USED;
    let flags = flags.difference(left_out);
    let text = format!("{flags:?}");
    text.trim_start_matches("StatusFlags(").trim_end_matches(')').to_owned()
}

/// A value without what differs by nature.
fn neutral(text: &[u8]) -> String {
    let mut value = if is_duration(text) { "<time>".to_owned() } else { shown(text) };
    if value.starts_with("The statement (") || value.starts_with("Unknown prepared statement") {
        value.retain(|c| !c.is_ascii_digit());
    }
    value
}

/// A time in seconds as SHOW PROFILES has it.
fn is_duration(text: &[u8]) -> bool {
    let (seconds, digits) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => return false,
    };
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    digits.len() == 8 && all_digits(digits) && all_digits(seconds)
}

/// Bytes for people, on one line.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control()) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// The ids that tables give; programs name none of them.
pub(crate) const NEW_IDS: std::ops::Range<u64> = 2000..6000;

const NULL: u8 = 0xFB;

/// ER_UNKNOWN_STMT_HANDLER.
const UNKNOWN_STATEMENT: u16 = 1243;

/// ER_STMT_HAS_NO_OPEN_CURSOR.
const NO_CURSOR: u16 = 1421;
