//! `caching_sha2_password`:
//! SHA256(password) XOR SHA256(SHA256(SHA256(password)) + scramble).
//!
//! The server that has the password in its cache accepts the proof ([`FAST_SUCCESS`]); one that has
//! not asks for the password itself ([`FULL_AUTHENTICATION`]), which is never sent.
//!
//! Source: MySQL source documentation, "Caching_sha2_password information".

use sha2::{Digest, Sha256};

use crate::auth::Scramble;

/// The server found the password in its cache, and the proof was right.
pub const FAST_SUCCESS: u8 = 0x03;

/// The server wants the password itself.
pub const FULL_AUTHENTICATION: u8 = 0x04;

/// The proof of `password`; empty for an empty one.
pub fn scramble(password: &[u8], nonce: &Scramble) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mask = Sha256::new().chain_update(twice).chain_update(nonce).finalize();
    once.iter().zip(mask).map(|(once, mask)| once ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_one_that_servers_expect() {
        let proof = scramble(b"secret", b"abcdefghijklmnopqrst");
        let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c76e2898612a4cf042c77fa8c4702c4c64c0c2c557c53c4d75595aaa6abae809");
        assert!(scramble(b"", b"abcdefghijklmnopqrst").is_empty());
    }
}
