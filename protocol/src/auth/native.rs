//! `mysql_native_password`: SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password))).
//!
//! Source: MariaDB documentation, "Authentication Plugin - mysql_native_password".

use std::hint::black_box;

use sha1::{Digest, Sha1};

use crate::auth::Scramble;

/// The proof of `password`; empty for an empty one.
pub fn scramble(password: &[u8], nonce: &Scramble) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mask = Sha1::new().chain_update(nonce).chain_update(twice).finalize();
    once.iter().zip(mask).map(|(once, mask)| once ^ mask).collect()
}

/// Whether `response` proves `password`. Takes the same time wherever the bytes differ.
pub fn verify(password: &[u8], nonce: &Scramble, response: &[u8]) -> bool {
    let expected = scramble(password, nonce);
    let difference = expected.iter().zip(response).fold(0, |acc, (a, b)| black_box(acc | (a ^ b)));
    expected.len() == response.len() && black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_proof_is_the_one_that_servers_expect() {
        let proof = scramble(b"secret", b"abcdefghijklmnopqrst");
        let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "8817c50fa779daef010ee7577825b0847df9842e");
        assert!(scramble(b"", b"abcdefghijklmnopqrst").is_empty());
    }

    proptest! {
        #[test]
        fn only_the_right_password_is_accepted(password: Vec<u8>, other: Vec<u8>, nonce: [u8; 20]) {
            let proof = scramble(&password, &nonce);
            prop_assert!(verify(&password, &nonce, &proof));
            prop_assert_eq!(verify(&other, &nonce, &proof), password == other);
            let empty_proves = password.is_empty();
            prop_assert_eq!(verify(&password, &nonce, b""), empty_proves);
            for end in 0..proof.len() {
                prop_assert!(!verify(&password, &nonce, &proof[..end]));
            }
            prop_assert!(!verify(&password, &nonce, &[proof, vec![0]].concat()));
        }
    }
}
