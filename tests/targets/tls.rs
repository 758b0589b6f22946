//! The record layer of TLS: what was sealed, changed on its way and cut into pieces; what no link of ours says; and what
//! never was a record.

use throng::parts::tls::{Fault, Hot, Link, Schedules};

use super::cut;
use super::sealer::{Agreed, Sealer};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// More updates of keys at once than these are too many.
const KEY_UPDATES_MAX: usize = 8;

/// One end, what it heard, and what it said of itself.
struct End {
    link: Link,
    schedules: Schedules,
    heard: Vec<u8>,
    said: Vec<u8>,
    is_over: bool,
}

impl End {
    fn hot(&mut self) -> (&mut Link, Hot<'_>, &mut Vec<u8>) {
        (&mut self.link, Hot { schedules: &mut self.schedules, id: 1 }, &mut self.said)
    }

    fn seal<'a>(&mut self, plain: impl Iterator<Item = &'a [u8]>) {
        let (link, hot, said) = self.hot();
        link.seal(hot, plain, said).expect("keys that are fresh");
    }

    /// As a shard does: what is behind a goodbye is not heard.
    fn take(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if self.is_over {
            return Ok(());
        }
        let mut input = vec![0; self.link.held_bytes() + piece.len()];
        let held = self.link.unhold(&mut input);
        input[held..].copy_from_slice(piece);
        let (link, hot, said) = self.hot();
        let received = link.receive(hot, &mut input, said)?;
        assert!(received.consumed <= input.len() && received.plain.end <= received.consumed);
        self.link.hold(&input[received.consumed..]);
        self.heard.extend_from_slice(&input[received.plain]);
        self.is_over = received.is_end;
        Ok(())
    }
}

/// Two ends that share keys.
fn ends(agreed: &Agreed) -> [End; 2] {
    [&agreed.client, &agreed.server].map(|secrets| {
        let both = agreed.client_and_server();
        // Each seals with what is its own.
        let both = if std::ptr::eq(secrets, &agreed.server) { both.map(|(c, s)| (s, c)) } else { both };
        let link = Link::of_client(secrets, both).expect("keys of known ciphers");
        End { link, schedules: Schedules::default(), heard: Vec::new(), said: Vec::new(), is_over: false }
    })
}

/// The first bytes say which cipher and version, whether the rest is what a link says or what records hold that are sealed
/// by hand, where a bit is turned (or none), and how the rest is sealed and cut.
///
/// # Panics
/// When something does not hold that must.
pub fn tls_records(data: &[u8]) {
    let Some((&[number, at, bit, size, ref plan @ ..], payload)) = data.split_first_chunk::<8>() else {
        return;
    };
    let agreed = Agreed::of(number & 7);
    if number & 8 == 0 {
        said_by_a_link(agreed, payload, at, bit, size, plan);
    } else {
        sealed_by_hand(agreed, payload, plan);
    }
    // What nobody sealed says nothing.
    let [mut fresh, _] = ends(agreed);
    cut(payload, plan).into_iter().try_for_each(|piece| fresh.take(piece)).ok();
    assert!(fresh.heard.is_empty());
}

fn said_by_a_link(agreed: &Agreed, payload: &[u8], at: u8, bit: u8, size: u8, plan: &[u8]) {
    let [mut a, mut b] = ends(agreed);
    for message in payload.chunks(usize::from(size) + 1) {
        a.seal(message.chunks(5));
    }
    let mut wire = a.said;
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
}

/// The expected result of some records.
#[derive(Default)]
struct Meaning {
    heard: Vec<u8>,
    /// The beginning of a message.
    begun: Vec<u8>,
    is_end: bool,
    key_updates: usize,
    wants_update: bool,
    fault: Option<Fault>,
}

impl Meaning {
    /// One more of them, as RFC 8446 says it, sections 4.6.3, 5.1, 5.4 and 6.
    fn of(&mut self, kind: u8, body: &[u8], is_tls13: bool) {
        match (kind, body) {
            (HANDSHAKE, [_, ..]) => {
                self.begun.extend(body);
                while self.message(is_tls13) {}
            }
            // Nothing comes within a message.
            _ if !self.begun.is_empty() => self.fault = Some(Fault::Unexpected),
            (DATA, body) => self.heard.extend(body),
            (ALERT, [_, 0]) => self.is_end = true,
            (ALERT, [_, 90]) => {}
            (ALERT, [_, alert]) => self.fault = Some(Fault::Alert(*alert)),
            _ => self.fault = Some(Fault::Unexpected),
        }
    }

    /// The message at the start of what has begun, if it is whole. Returns whether there was one, with more behind it.
    fn message(&mut self, is_tls13: bool) -> bool {
        let (kind, length) = match self.begun[..] {
            [] => return false,
            [kind, high, middle, low, ..] => {
                (kind, Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)))
            }
            [kind, ..] => (kind, None),
        };
        let is_known = match kind {
            4 => true,
            24 => is_tls13 && length.is_none_or(|length| length == 1),
            _ => false,
        };
        if !is_known {
            self.fault = Some(Fault::Unexpected);
            return false;
        }
        let Some(end) = length.map(|length| 4 + length).filter(|&end| end <= self.begun.len()) else {
            return false;
        };
        let message: Vec<u8> = self.begun.drain(..end).collect();
        if kind == 4 {
            return true;
        }
        self.fault = match message[4] {
            // Behind it the keys are others, within a record they cannot be.
            _ if !self.begun.is_empty() => Some(Fault::Unexpected),
            0 | 1 => None,
            _ => Some(Fault::Illegal),
        };
        if self.fault.is_none() {
            self.key_updates += 1;
            self.wants_update |= message[4] == 1;
        }
        false
    }

    fn is_last(&self) -> bool {
        self.is_end || self.fault.is_some()
    }
}

/// The payload says record by record what is in it: what it is, its padding, its length, and its bytes.
fn sealed_by_hand(agreed: &Agreed, mut payload: &[u8], plan: &[u8]) {
    let ([mut a, mut b], mut sealer) = (ends(agreed), Sealer::new(agreed));
    let (mut wire, mut meaning) = (Vec::new(), Meaning::default());
    while let Some((&[what, padding, length], rest)) = payload.split_first_chunk() {
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        payload = rest;
        let (kind, body) = match what % 8 {
            0 => (DATA, body.to_vec()),
            wish @ (1 | 2) => (HANDSHAKE, vec![24, 0, 0, 1, wish - 1]),
            3 => (ALERT, body.to_vec()),
            4 => (HANDSHAKE, body.to_vec()),
            // A ticket.
            5 => {
                (HANDSHAKE, [&[4, 0, 0, u8::try_from(body.len()).expect("one byte says it")], body].concat())
            }
            6 => (body.first().copied().unwrap_or(0), body.get(1..).unwrap_or(&[]).to_vec()),
            _ => (0, Vec::new()),
        };
        // A record that nothing shows the kind of is what the last of its bytes that are not 0 says it is.
        let (kind, body) = match body.iter().rposition(|&byte| byte != 0) {
            Some(last) if kind == 0 && sealer.is_tls13() => (body[last], body[..last].to_vec()),
            _ => (kind, body),
        };
        sealer.seal(kind, &body, usize::from(padding), &mut wire);
        if !meaning.is_last() {
            let before = meaning.key_updates;
            meaning.of(kind, &body, sealer.is_tls13());
            if meaning.key_updates > before {
                sealer.update();
            }
        }
    }
    let outcome = cut(&wire, plan).into_iter().try_for_each(|piece| b.take(piece));
    assert!(meaning.heard.starts_with(&b.heard), "what is heard was said");
    if meaning.key_updates > KEY_UPDATES_MAX && outcome == Err(Fault::Unexpected) {
        return;
    }
    assert_eq!(outcome.err(), meaning.fault);
    let alert = match &meaning.fault {
        None => {
            assert_eq!((&b.heard, b.is_over), (&meaning.heard, meaning.is_end), "all of it");
            assert_eq!(b.link.held_bytes(), 0);
            assert_eq!(b.said.is_empty(), !meaning.wants_update, "it answers who asks, and nobody else");
            // Whatever was asked, it goes on.
            b.seal([&b"and so on"[..]].into_iter());
            None
        }
        Some(Fault::Unexpected) => Some(10),
        Some(Fault::Illegal) => Some(47),
        Some(_) => None,
    };
    let told = a.take(&b.said);
    assert_eq!(told.err(), alert.map(Fault::Alert), "who broke a rule is told which");
    assert_eq!(a.heard, if meaning.fault.is_none() { &b"and so on"[..] } else { b"" });
    assert!(a.said.is_empty(), "an answer is not answered");
}
