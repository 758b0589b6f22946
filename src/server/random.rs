//! Random values of a process: the seed of its names, and its id.

use std::io;

use ring::rand::{SecureRandom, SystemRandom};

use crate::base::seed::Seed;

fn draw() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let outcome = SystemRandom::new().fill(&mut bytes);
    outcome.map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(bytes)
}

/// Draws the seed of this process's names.
///
/// # Errors
/// When the system returns no random numbers.
pub(super) fn seed() -> io::Result<Seed> {
    draw().map(Seed::from_bytes)
}

/// Draws a unique id of the process: a UUID of version 4 (RFC 9562 §5.4).
///
/// # Errors
/// When the system returns no random numbers.
pub(super) fn uid() -> io::Result<String> {
    let bits = u128::from_le_bytes(draw()?) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_names_of_its_own() {
        let [one, other] = [uid().unwrap(), uid().unwrap()];
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"), "{one}");
        assert!(["8", "9", "a", "b"].contains(&&one[19..20]), "{one}");
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
