//! Session tickets: what a client shows to come back without a whole handshake.
//!
//! The server keeps nothing of them but the key that they are sealed with, one for all shards. The keys are rustls' own, made
//! at random and never written anywhere; here they are only changed at the pace of the configuration.

use std::sync::Arc;

use rustls::Error;
use rustls::crypto::ring::Ticketer;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

/// The longest time between two keys, in seconds: rustls' own, which rotates underneath.
pub(crate) const ROTATION_S_MAX: u32 = 6 * 60 * 60;

/// Seals tickets with a key that is changed every `rotation_s` seconds, and opens those of this key and the one before:
/// a ticket is good for at least that long and at most twice as long.
///
/// # Errors
/// When there are no random numbers.
pub fn ticketer(rotation_s: u32) -> Result<Arc<dyn ProducesTickets>, Error> {
    let key = || {
        let key = Ticketer::new().map_err(|_| rustls::crypto::GetRandomFailed)?;
        Ok(Box::new(Key(key)) as Box<dyn ProducesTickets>)
    };
    Ok(Arc::new(TicketRotator::new(rotation_s.clamp(1, ROTATION_S_MAX), key)?))
}

/// One key of the rotation.
#[derive(Debug)]
struct Key(Arc<dyn ProducesTickets>);

impl ProducesTickets for Key {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_where_it_was_sealed_and_nowhere_else() {
        let (ours, theirs) = (ticketer(60).unwrap(), ticketer(60).unwrap());
        let ticket = ours.encrypt(b"session").unwrap();
        assert_eq!(ours.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        theirs.encrypt(b"as long as it").unwrap();
        assert_eq!(theirs.decrypt(&ticket), None);
        assert!(ours.enabled());
        assert_ne!(ours.encrypt(b"session").unwrap(), ticket, "no two tickets are alike");
    }

    #[test]
    fn clients_are_told_how_long_it_is_good() {
        for (rotation_s, lifetime_s) in
            [(60, 120), (ROTATION_S_MAX, 2 * ROTATION_S_MAX), (u32::MAX, 2 * ROTATION_S_MAX)]
        {
            let told = ticketer(rotation_s).unwrap().lifetime();
            assert!(told <= lifetime_s && told > 0, "{told}");
        }
    }
}
