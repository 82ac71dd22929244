//! Text that somebody else wrote.

/// `text` as it may stand in one line of a log: not too long, and without control characters.
pub(crate) fn legible(text: &impl ToString) -> String {
    let legible = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.to_string().chars().take(LONGEST_MESSAGE).map(legible).collect()
}

/// In characters; a server's own messages are at most 512 bytes long.
const LONGEST_MESSAGE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_fit_one_line_of_a_log() {
        let long = format!("no\nway\x1b{}", "x".repeat(100_000));
        let text = legible(&long);
        assert!(text.starts_with("no way x"), "{text}");
        assert_eq!(text.chars().count(), LONGEST_MESSAGE);
    }
}
