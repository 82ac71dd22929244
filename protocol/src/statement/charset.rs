//! How a connection character set makes the server read bytes from 0x80 on.

/// Quirks of the client's character set that the lexer must know. Of all sets that MariaDB and MySQL accept
/// from a client, most read every quote, backslash and `;` as itself; these are the others.
///
/// The session's `character_set_client` decides. A login whose collation names a set that no
/// client may use (`ucs2`, `utf16`, `utf32`) gets the server's default, so the value that the
/// server reports is the one to use where there is one.
///
/// Sources: MariaDB documentation, "Supported Character Sets and Collations"; MySQL reference
/// manual, "The gb18030 Character Set". Byte ranges and white space were tried one by one on
/// MariaDB 10.11.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Charset {
    /// big5: two bytes, the second of which may be a backslash or a backquote.
    Big5,
    /// gbk, and gb18030: as [`Self::Big5`], with other first and second bytes. The four-byte
    /// characters of gb18030 hold no byte that a lexer takes for something else.
    Gbk,
    /// Every byte from 0x80 on is part of a word: utf8mb4, binary and most others.
    #[default]
    Plain,
    /// sjis and cp932: as [`Self::Big5`], with other first and second bytes.
    Sjis,
    /// A set of single bytes where this one byte from 0x80 on is white space, as 0xA0 is in latin1.
    Spaced(u8),
}

impl Charset {
    /// The character set of a collation id, as a login (low byte) or COM_CHANGE_USER carries it.
    pub fn from_collation(id: u16) -> Self {
        let Ok(id) = u8::try_from(if id & !0xFF == NO_PAD { id & 0xFF } else { id }) else {
            return Self::Plain;
        };
        CHARSETS
            .iter()
            .find(|(_, _, ids)| ids.contains(&id))
            .map_or(Self::Plain, |(_, charset, _)| *charset)
    }

    /// The character set of this name, as `SET NAMES` takes it and the server reports it in
    /// `character_set_client`. Upper and lower case are the same.
    pub fn from_name(name: &[u8]) -> Self {
        CHARSETS
            .iter()
            .find(|(known, _, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .map_or(Self::Plain, |(_, charset, _)| *charset)
    }

    /// How many bytes the character at the start of `text` has: 2 for a well-formed pair, else 1.
    /// `text` is not empty.
    pub(super) fn char_len(self, text: &[u8]) -> usize {
        let &[first, second, ..] = text else {
            return 1;
        };
        let pair = match self {
            Self::Big5 => {
                matches!(first, 0xA1..=0xF9) && matches!(second, 0x40..=0x7E | 0xA1..=0xFE)
            }
            Self::Gbk => {
                matches!(first, 0x81..=0xFE) && matches!(second, 0x40..=0x7E | 0x80..=0xFE)
            }
            Self::Plain | Self::Spaced(_) => false,
            Self::Sjis => {
                matches!(first, 0x81..=0x9F | 0xE0..=0xFC)
                    && matches!(second, 0x40..=0x7E | 0x80..=0xFC)
            }
        };
        if pair { 2 } else { 1 }
    }

    /// Whether `byte` is white space between words.
    pub(super) fn is_space(self, byte: u8) -> bool {
        matches!(byte, b'\t'..=b'\r' | b' ') || self == Self::Spaced(byte)
    }
}

/// MariaDB's NO PAD variant of a collation has the same id plus this.
const NO_PAD: u16 = 0x400;

/// Every set that is not [`Charset::Plain`], with the ids of its collations.
const CHARSETS: [(&str, Charset, &[u8]); 18] = [
    ("armscii8", Charset::Spaced(0xA0), &[32, 64]),
    ("big5", Charset::Big5, &[1, 84]),
    ("cp1250", Charset::Spaced(0xA0), &[26, 34, 44, 66, 99]),
    ("cp852", Charset::Spaced(0xFF), &[40, 81]),
    ("cp866", Charset::Spaced(0xFF), &[36, 68]),
    ("cp932", Charset::Sjis, &[95, 96]),
    ("dec8", Charset::Spaced(0xA0), &[3, 69]),
    ("gb18030", Charset::Gbk, &[248, 249, 250]),
    ("gbk", Charset::Gbk, &[28, 87]),
    ("geostd8", Charset::Spaced(0xA0), &[92, 93]),
    ("greek", Charset::Spaced(0xA0), &[25, 70]),
    ("hebrew", Charset::Spaced(0xA0), &[16, 71]),
    ("keybcs2", Charset::Spaced(0xFF), &[37, 73]),
    ("latin1", Charset::Spaced(0xA0), &[5, 8, 15, 31, 47, 48, 49, 94]),
    ("latin2", Charset::Spaced(0xA0), &[2, 9, 21, 27, 77]),
    ("latin5", Charset::Spaced(0xA0), &[30, 78]),
    ("latin7", Charset::Spaced(0xA0), &[20, 41, 42, 79]),
    ("sjis", Charset::Sjis, &[13, 88]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost otherwise: a batch of such a client is cut inside a string.
    #[test]
    fn a_login_and_set_names_tell_the_same_charset() {
        for (id, name, charset) in [
            (1, "big5", Charset::Big5),
            (8, "LATIN1", Charset::Spaced(0xA0)),
            (28, "gbk", Charset::Gbk),
            (88, "sjis", Charset::Sjis),
            (95, "cp932", Charset::Sjis),
            (250, "gb18030", Charset::Gbk),
            (1111, "Gbk", Charset::Gbk),
            (45, "utf8mb4", Charset::Plain),
            (63, "binary", Charset::Plain),
            (24, "gb2312", Charset::Plain),
        ] {
            assert_eq!(Charset::from_collation(id), charset, "{id}");
            assert_eq!(Charset::from_name(name.as_bytes()), charset, "{name}");
        }
        // utf8mb4_uca1400_ai_ci, whose low byte is that of big5's neighbours.
        assert_eq!(Charset::from_collation(2304 + 1), Charset::Plain);
    }
}
