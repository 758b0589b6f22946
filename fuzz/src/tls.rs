//! The record layer of TLS: what was sealed, changed on its way and cut into pieces; and what never was a record.

use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};
use throng::tls::{Fault, Hot, Link, Schedules};

use super::cut;

/// One end, and what it heard.
struct End {
    link: Link,
    schedules: Schedules,
    heard: Vec<u8>,
}

impl End {
    fn hot(&mut self) -> (&mut Link, Hot<'_>) {
        (&mut self.link, Hot { schedules: &mut self.schedules, id: 1 })
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let mut input = vec![0; self.link.held_bytes() + piece.len()];
        let held = self.link.unhold(&mut input);
        input[held..].copy_from_slice(piece);
        let (link, hot) = self.hot();
        let received = link.receive(hot, &mut input, &mut Vec::new())?;
        assert!(received.consumed <= input.len() && received.plain.end <= received.consumed);
        self.link.hold(&input[received.consumed..]);
        self.heard.extend_from_slice(&input[received.plain]);
        Ok(())
    }
}

/// Two ends that share keys: of the first three ciphers, and both versions.
fn ends(number: u8) -> [End; 2] {
    let secrets = |tx: u8, rx: u8| {
        let keys = |byte: u8| {
            let (key, iv) = (AeadKey::from([byte; 32]), Iv::new([byte; 12]));
            let agreed = match number & 1 {
                0 => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
                _ => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
            };
            (0, agreed)
        };
        ExtractedSecrets { tx: keys(tx), rx: keys(rx) }
    };
    let both: [(&[u8], &[u8]); 2] = [(&[1; 32], &[2; 32]), (&[2; 32], &[1; 32])];
    let is_tls13 = number & 2 == 0;
    [(1, 2, both[0]), (2, 1, both[1])].map(|(tx, rx, both)| {
        let link =
            Link::of_client(&secrets(tx, rx), is_tls13.then_some(both)).expect("keys of known ciphers");
        End { link, schedules: Schedules::default(), heard: Vec::new() }
    })
}

/// The first bytes say which cipher and version, where a bit is turned (or none), and how the rest is sealed and cut.
///
/// # Panics
/// When something does not hold that must.
pub fn tls_records(data: &[u8]) {
    let Some((&[number, at, bit, size, ref plan @ ..], payload)) = data.split_first_chunk::<8>() else {
        return;
    };
    let [mut a, mut b] = ends(number);
    let mut wire = Vec::new();
    for message in payload.chunks(usize::from(size) + 1) {
        let (link, hot) = a.hot();
        link.seal(hot, message.chunks(5), &mut wire).expect("keys that are fresh");
    }
    let is_changed = bit & 8 != 0 && !wire.is_empty();
    if is_changed {
        let at = usize::from(at) * 7 % wire.len();
        wire[at] ^= 1 << (bit & 7);
    }
    let outcome = cut(&wire, plan).into_iter().try_for_each(|piece| b.take(piece));
    assert!(payload.starts_with(&b.heard), "what is heard was said");
    if !is_changed {
        assert_eq!((outcome, b.heard.len()), (Ok(()), payload.len()), "and all of it");
        assert_eq!(b.link.held_bytes(), 0);
    }
    // What nobody sealed says nothing.
    let [mut fresh, _] = ends(number);
    cut(payload, plan).into_iter().try_for_each(|piece| fresh.take(piece)).ok();
    assert!(fresh.heard.is_empty());
}
