//! A KILL names its victim by the number that a client was greeted with, or by that of a thread.

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet::HEADER_LEN;

/// The thread that the command at the start of `input` is to kill.
pub(super) fn killed_by(command: Command, input: &[u8]) -> Option<u32> {
    let payload = input.get(HEADER_LEN..)?;
    let number = match command {
        Command::ProcessKill => payload.get(1..5)?.try_into().ok().map(u32::from_le_bytes)?,
        Command::Query => {
            let sql = payload.get(1..MOST_OF_A_KILL.min(payload.len()))?.trim_ascii();
            sql.get(..5).filter(|word| word.eq_ignore_ascii_case(b"KILL "))?;
            let digits = sql.rsplit(|byte| !byte.is_ascii_digit()).find(|word| !word.is_empty())?;
            std::str::from_utf8(digits).ok()?.parse().ok()?
        }
        _ => return None,
    };
    Some(number)
}

/// Bytes of the longest KILL that is looked at.
const MOST_OF_A_KILL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a client that has moved since its greeting could be killed by nobody who knows that number.
    #[test]
    fn a_kill_names_the_number_in_whatever_form() {
        let of = |payload: &[u8]| {
            let packet = [&[0; HEADER_LEN], payload].concat();
            killed_by(Command::from_byte(payload[0]), &packet)
        };
        assert_eq!(of(b"\x03KILL QUERY 42"), Some(42));
        assert_eq!(of(b"\x03kill hard connection 42 ;"), Some(42));
        assert_eq!(of(b"\x0C\x2a\0\0\0"), Some(42));
        for other in
            [&b"\x03KILL USER icinga"[..], b"\x03SELECT 42", b"\x03KILL 99999999999", b"\x0e"]
        {
            assert_eq!(of(other), None, "{}", other.escape_ascii());
        }
    }
}
