//! The fields packets are made of.
//!
//! Source: MariaDB documentation, "Protocol Data Types".

use crate::violation::Violation;

/// Reads one payload from front to back. A read past its end is a [`Violation`], never a panic.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// The kind of packet, for the violation.
    packet: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8], packet: &'static str) -> Self {
        Self { rest: payload, packet }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn bytes(&mut self, len: u64) -> Result<&'a [u8], Violation> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, rest) = split.ok_or(Violation::Truncated {
            packet: self.packet,
            expected: len,
            got: self.rest.len(),
        })?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N as u64)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Violation> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Violation> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A length-encoded integer.
    pub(crate) fn lenenc(&mut self) -> Result<u64, Violation> {
        match self.u8()? {
            small @ 0..=0xFA => Ok(u64::from(small)),
            0xFC => Ok(u64::from(self.u16()?)),
            0xFD => {
                let [a, b, c] = self.array()?;
                Ok(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xFE => Ok(u64::from_le_bytes(self.array()?)),
            got => Err(Violation::Length { got }),
        }
    }

    /// A string preceded by its length-encoded length.
    pub(crate) fn lenenc_bytes(&mut self) -> Result<&'a [u8], Violation> {
        let len = self.lenenc()?;
        self.bytes(len)
    }

    /// A string that ends with a NUL byte.
    pub(crate) fn until_nul(&mut self) -> Result<&'a [u8], Violation> {
        let nul = self.rest.iter().position(|byte| *byte == 0);
        let text = self.bytes(nul.unwrap_or(self.rest.len()) as u64)?;
        self.u8()?;
        Ok(text)
    }

    /// A string that ends with a NUL byte or, as some peers have it, with the packet.
    pub(crate) fn until_nul_or_end(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == 0).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        text
    }
}

pub(crate) fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match value {
        0..=0xFA => out.push(bytes[0]),
        0xFB..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(crate) fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes `text` and its NUL byte. A NUL inside `text` ends it, or what follows would be read as
/// the next field.
pub(crate) fn put_until_nul(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().take_while(|byte| **byte != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn length_encoded_integers_round_trip(value: u64, shift in 0..64u32) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            let mut reader = Reader::new(&out, "test");
            prop_assert_eq!(reader.lenenc(), Ok(value));
            prop_assert!(reader.is_empty());
            for end in 0..out.len() {
                prop_assert!(Reader::new(&out[..end], "test").lenenc().is_err());
            }
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_a_violation() {
        let mut reader =
            Reader::new(&[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "test");
        assert_eq!(
            reader.lenenc_bytes(),
            Err(Violation::Truncated { packet: "test", expected: u64::MAX, got: 0 })
        );
        assert_eq!(Reader::new(&[0xFB], "test").lenenc(), Err(Violation::Length { got: 0xFB }));
    }

    #[test]
    fn a_nul_inside_a_text_cannot_reach_the_next_field() {
        let mut out = Vec::new();
        put_until_nul(&mut out, b"ici\0nga");
        assert_eq!(out, b"ici\0");
        assert!(Reader::new(b"icinga", "test").until_nul().is_err());
        assert_eq!(Reader::new(b"icinga", "test").until_nul_or_end(), b"icinga");
    }
}
