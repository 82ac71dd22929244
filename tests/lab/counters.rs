//! Counting, to find what was lost, doubled or sent to the wrong node.

/// The `State Change:` lines in Icinga's log: each is one row in `icinga_statehistory`.
pub fn state_changes(icinga_log: &str) -> usize {
    let lines = icinga_log.lines();
    lines.filter(|line| line.contains("notice/Checkable: State Change: ")).count()
}

/// The lines of Icinga's log in which its IDO connection warns or fails.
pub fn ido_errors(icinga_log: &str) -> Vec<&str> {
    let lines = icinga_log.lines();
    lines.filter(|line| TROUBLE.iter().any(|mark| line.contains(mark))).collect()
}

/// The statements that write rows in a general log of MariaDB.
///
/// One entry is one command of a client: `261122 12:15:34\t   270 Query\tBEGIN;INSERT …`, the time only
/// where it changed, and a batch whole. Rows that come from other nodes leave no entry.
pub fn writes_in_general_log(log: &[u8]) -> usize {
    let mut writes = 0;
    let mut batch: Option<Vec<u8>> = None;
    for line in log.split(|byte| *byte == b'\n') {
        if let Some(text) = entry(line) {
            writes += batch.take().map_or(0, |batch| writes_in(&batch));
            batch = text.map(<[u8]>::to_vec);
        } else if let Some(batch) = &mut batch {
            batch.push(b'\n');
            batch.extend_from_slice(line);
        }
    }
    writes + batch.map_or(0, |batch| writes_in(&batch))
}

/// The statements of one batch that write rows.
fn writes_in(batch: &[u8]) -> usize {
    // A proxy reports about itself every few seconds: those statements are no client's.
    let of_itself =
        |statement: &&[u8]| statement.windows(OWN_TABLE.len()).any(|words| words == OWN_TABLE);
    statements(batch)
        .filter(|statement| writes_rows(statement) && !of_itself(&&statement[..]))
        .count()
}

/// Where it says so.
const OWN_TABLE: &[u8] = b"`ido_proxy`.`proxy`";

/// `None` where `line` begins no entry; `Some(None)` where it begins one that carries no statement.
#[expect(clippy::option_option, reason = "two questions, asked in this order")]
fn entry(line: &[u8]) -> Option<Option<&[u8]>> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let (time, rest) = line.split_at(tab);
    if !time.iter().all(|byte| byte.is_ascii_digit() || b" :".contains(byte)) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let (id, rest) = rest.split_at(space);
    if id.is_empty() || !id.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let tab = rest.iter().position(|byte| *byte == b'\t')?;
    let (command, text) = rest.split_at(tab);
    match command.trim_ascii() {
        b"Query" | b"Execute" => Some(Some(text.trim_ascii())),
        command if command.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b' ') => {
            Some(None)
        }
        _ => None,
    }
}

/// Splits at the semicolons outside quotes.
fn statements(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quote, mut escaped) = (None, false);
    batch.split(move |byte| {
        match (quote, *byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (None, b'\'' | b'"' | b'`') => quote = Some(*byte),
            (None, b';') => return true,
            _ => {}
        }
        false
    })
}

fn writes_rows(statement: &[u8]) -> bool {
    let statement = statement.trim_ascii_start();
    let end = statement.iter().position(|byte| !byte.is_ascii_alphabetic());
    let verb = &statement[..end.unwrap_or(statement.len())];
    WRITES.iter().any(|write| verb.eq_ignore_ascii_case(write.as_bytes()))
}

const WRITES: [&str; 5] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD"];

const TROUBLE: [&str; 4] = [
    "critical/IdoMysqlConnection:",
    "warning/IdoMysqlConnection:",
    "critical/DbConnection:",
    "warning/DbConnection:",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every lost or doubled history row is found by this count; a wrong one accuses or hides.
    #[test]
    fn state_changes_are_counted_once_each() {
        let log = "\
[2026-11-22 12:16:14 +0000] information/DbConnection: 'ido-mysql' started.
[2026-11-22 12:16:14 +0000] notice/Checkable: State Change: Checkable 'host0!service4' hard state change from UNKNOWN to CRITICAL detected.
[2026-11-22 12:16:15 +0000] notice/Checkable: State Change: Checkable 'host9' hard state change from UP to DOWN detected.
[2026-11-22 12:16:15 +0000] critical/IdoMysqlConnection: Error \"Lost connection\" when executing query \"INSERT INTO icinga_logentries VALUES ('State Change: x')\"
";
        assert_eq!(state_changes(log), 2);
        assert_eq!(ido_errors(log).len(), 1);
        assert!(ido_errors("[x] information/IdoMysqlConnection: Pending queries: 7").is_empty());
    }

    /// "All writes went to one node" is shown by this count being zero on the others.
    #[test]
    fn writes_are_found_in_batches_and_not_in_literals() {
        let log = b"/usr/sbin/mariadbd, Version: 10.11. started with:
Tcp port: 3306  Unix socket: /tmp/mysqld.sock
Time\t\t    Id Command\tArgument
261122 12:15:34\t   270 Connect\ticinga@127.0.0.1 on icinga using TCP/IP
\t\t   270 Query\tCREATE TABLE t (a bigint)
\t\t   270 Query\tBEGIN;INSERT INTO t (b) VALUES ('x;
DELETE FROM t; it\\'s;UPDATE');update t SET b=\"`\" WHERE a=1;SELECT 1;COMMIT;BEGIN
261122 12:15:35\t   271 Execute\tREPLACE INTO t VALUES (1)
\t\t   271 Close stmt\t
\t\t   272 Init DB\tUPDATE
";
        assert_eq!(writes_in_general_log(log), 3);
        assert_eq!(writes_in_general_log(b""), 0);
    }
}
