//! The TLS state of one connection: a handshake, then two pairs of keys, then nothing.
//!
//! Invariant: sealed records are sent in the order in which they were sealed, and no plaintext is delivered of a
//! modified record. A link never holds plaintext, and ciphertext only of an incomplete record.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::Fault;
use super::handshake::{Agreed, Handshake, HandshakeSetup, INTERNAL_ERROR, put_alert_in_the_clear};
use super::keys::{Keys, Secret, Version};
use super::news::{CLOSE_NOTIFY, KEY_UPDATE, News, Unfinished};
use super::record::{self, ContentType, HEADER_BYTES};
use super::schedules::Schedules;

/// The TLS state of one connection.
pub struct Link {
    state: State,
    /// The beginning of an incomplete record.
    held: Box<[u8]>,
    /// The incomplete message behind the handshake.
    unfinished: Unfinished,
    is_client: bool,
    /// Whether the peer was told that no more data follows.
    said_goodbye: bool,
    /// Whether the keys are worn out and there are no others: only the last output is sealed now.
    is_parting: bool,
}

enum State {
    /// The client has not sent anything yet.
    Fresh(Arc<HandshakeSetup>),
    Handshake(Box<Handshake>),
    Open {
        receiving: Keys,
        sending: Keys,
    },
    /// Over: nothing more is sealed or opened.
    Over,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Fresh(_) => "Link(fresh)",
            State::Handshake(_) => "Link(handshake)",
            State::Open { .. } => "Link(open)",
            State::Over => "Link(over)",
        })
    }
}

/// The source of a link's key schedules.
#[derive(Debug)]
pub struct Hot<'a> {
    /// The schedules of the shard.
    pub schedules: &'a mut Schedules,
    /// The link's number, unique for ever among the links that share these schedules.
    pub id: u64,
}

impl Hot<'_> {
    fn seal(
        &mut self,
        keys: &mut Keys,
        kind: ContentType,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let schedule = self.schedules.sealer(self.id, keys)?;
        keys.seal(kind, schedule, [body].into_iter(), out)
    }
}

/// The result of received bytes.
#[derive(Debug, Default)]
pub struct Received {
    /// Consumed bytes of the input. The rest is to be passed in again, with more bytes.
    pub consumed: usize,
    /// Range of the plaintext in the input.
    pub plain: Range<usize>,
    /// The result of the handshake, if these bytes completed it.
    pub opened: Option<Opened>,
    /// Whether the peer has announced that it sends nothing more.
    pub is_end: bool,
}

/// The result of a handshake.
#[derive(Debug)]
pub struct Opened {
    /// The client's certificate, if it was requested and sent.
    pub certificate: Option<CertificateDer<'static>>,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
}

impl Link {
    pub(super) fn new(setup: Arc<HandshakeSetup>) -> Self {
        Self::with(State::Fresh(setup), false)
    }

    fn with(state: State, is_client: bool) -> Self {
        Self {
            state,
            held: Box::default(),
            unfinished: Unfinished::default(),
            is_client,
            said_goodbye: false,
            is_parting: false,
        }
    }

    /// Makes a client's link, from the result of its handshake and, in TLS 1.3, the secrets of both directions.
    /// `None` when the cipher is unknown.
    pub fn of_client(
        secrets: &rustls::ExtractedSecrets,
        client_and_server: Option<(&[u8], &[u8])>,
    ) -> Option<Self> {
        let (client, server) = match client_and_server {
            Some((client, server)) => (Some(Secret::new(client)?), Some(Secret::new(server)?)),
            None => (None, None),
        };
        let receiving = Keys::new(secrets.rx.0, &secrets.rx.1, server)?;
        let sending = Keys::new(secrets.tx.0, &secrets.tx.1, client)?;
        Some(Self::with(State::Open { receiving, sending }, true))
    }

    /// Whether the handshake is complete and no fault has occurred since.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether the client has not sent anything yet.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh(_))
    }

    /// Bytes of an incomplete record.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Drops an abandoned handshake and its kept bytes.
    pub fn give_up(&mut self) {
        if !self.is_open() {
            self.state = State::Over;
            self.held = Box::default();
        }
    }

    /// Returns the kept bytes of an incomplete record to the start of `input`; returns their number.
    pub fn unhold(&mut self, input: &mut [u8]) -> usize {
        let held = std::mem::take(&mut self.held);
        input[..held.len()].copy_from_slice(&held);
        held.len()
    }

    /// Keeps the beginning of an incomplete record.
    pub fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() && !matches!(self.state, State::Over) {
            self.held = rest.into();
        }
    }

    /// Takes input. Plaintext replaces it in place; output of TLS itself is appended to `out`, to be sent before
    /// anything that is sealed later.
    ///
    /// # Errors
    /// When the peer violates the protocol; the alert for it is in `out`, and the link is over.
    pub fn receive(
        &mut self,
        mut hot: Hot<'_>,
        input: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Received, Fault> {
        let mut received = Received::default();
        let outcome = self.receive_inner(&mut hot, input, out, &mut received);
        if let Err(fault) = &outcome {
            self.fail(&mut hot, fault, out);
        }
        outcome.map(|()| received)
    }

    fn receive_inner(
        &mut self,
        hot: &mut Hot<'_>,
        input: &mut [u8],
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> Result<(), Fault> {
        if let State::Fresh(setup) = &self.state {
            self.state = State::Handshake(Box::new(Handshake::new(Arc::clone(setup))?));
        }
        if let State::Handshake(handshake) = &mut self.state {
            let (consumed, is_over) = handshake.advance(input, out)?;
            received.consumed = consumed;
            if !is_over {
                return Ok(());
            }
            let State::Handshake(handshake) = std::mem::replace(&mut self.state, State::Over) else {
                return Err(Fault::Broken);
            };
            let Agreed { receiving, sending, certificate, is_resumed } = handshake.agree()?;
            self.state = State::Open { receiving, sending };
            received.opened = Some(Opened { certificate, is_resumed });
        }
        self.open_records(hot, input, out, received)
    }

    fn open_records(
        &mut self,
        hot: &mut Hot<'_>,
        input: &mut [u8],
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> Result<(), Fault> {
        let is_tls13 = match &self.state {
            State::Open { receiving, .. } => receiving.version() == Version::Tls13,
            State::Fresh(_) | State::Handshake(_) => return Ok(()),
            State::Over => {
                received.consumed = input.len();
                return Ok(());
            }
        };
        let mut news = News::new(self.is_client, is_tls13);
        while let Some((kind, bytes)) = record::first(&input[received.consumed..])? {
            let State::Open { receiving, .. } = &mut self.state else { break };
            let (start, end) = (received.consumed, received.consumed + bytes);
            if kind != ContentType::ApplicationData && is_tls13 {
                return Err(Fault::Unexpected);
            }
            let schedule = hot.schedules.opener(hot.id, receiving)?;
            // The first record's plaintext stays in place; the others are moved behind it.
            let from = start + HEADER_BYTES;
            let to = if received.plain.is_empty() { from } else { received.plain.end };
            let (kind, length) = receiving.open(schedule, kind, &mut input[to..end], from - to)?;
            received.consumed = end;
            let is_rekeyed = news.take(kind, &input[to..to + length], &mut self.unfinished)?;
            if kind == ContentType::ApplicationData {
                if received.plain.is_empty() {
                    received.plain = to..to;
                }
                received.plain.end += length;
                continue;
            }
            if is_rekeyed {
                hot.schedules.forget(hot.id);
                self.rekey_receiving()?;
            }
            if news.is_end {
                received.is_end = true;
                received.consumed = input.len();
                break;
            }
        }
        if news.wants_update {
            self.update_sending(hot, out)?;
        }
        Ok(())
    }

    fn rekey_receiving(&mut self) -> Result<(), Fault> {
        match &mut self.state {
            State::Open { receiving, .. } if receiving.version() == Version::Tls13 => receiving.update(),
            State::Open { .. } | State::Fresh(_) | State::Handshake(_) | State::Over => {
                Err(Fault::Unexpected)
            }
        }
    }

    /// Announces the next sealing keys to the peer, and changes to them.
    fn update_sending(&mut self, hot: &mut Hot<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let State::Open { sending, .. } = &mut self.state else { return Ok(()) };
        if sending.version() == Version::Tls12 {
            return Err(Fault::Worn);
        }
        // The peer need not update its keys (RFC 8446, section 4.6.3).
        const NOT_REQUESTED: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];
        hot.seal(sending, ContentType::Handshake, &NOT_REQUESTED, out)?;
        hot.schedules.forget(hot.id);
        sending.update()
    }

    /// Appends `plain` to `out` as records, many pieces in one record if they fit.
    ///
    /// # Errors
    /// [`Fault::Worn`], once, when the keys of TLS 1.2 have reached their limit: the connection must end, for which
    /// there is a reserve. Before the handshake is complete, and after the link is over, nothing can be sealed:
    /// [`Fault::Closed`].
    pub fn seal<'a>(
        &mut self,
        mut hot: Hot<'_>,
        plain: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if !self.is_parting && matches!(&self.state, State::Open { sending, .. } if sending.is_worn()) {
            let outcome = self.update_sending(&mut hot, out);
            self.is_parting = outcome.is_err();
            outcome?;
        }
        match &mut self.state {
            State::Open { sending, .. } if !self.said_goodbye => {
                let schedule = hot.schedules.sealer(hot.id, sending)?;
                sending.seal(ContentType::ApplicationData, schedule, plain, out)
            }
            State::Open { .. } | State::Fresh(_) | State::Handshake(_) | State::Over => Err(Fault::Closed),
        }
    }

    /// Tells the peer, once, that no more data follows (RFC 8446, section 6.1).
    pub fn say_goodbye(&mut self, mut hot: Hot<'_>, out: &mut Vec<u8>) {
        if let State::Open { sending, .. } = &mut self.state
            && !std::mem::replace(&mut self.said_goodbye, true)
        {
            // Worn-out keys seal no alert.
            hot.seal(sending, ContentType::Alert, &[1, CLOSE_NOTIFY], out).ok();
        }
    }

    /// Simulates the sealing of many records.
    #[cfg(test)]
    pub(super) fn wear(&mut self) {
        if let State::Open { receiving, sending } = &mut self.state {
            receiving.wear();
            sending.wear();
        }
    }

    #[cfg(test)]
    pub(super) fn sequences(&mut self) -> [u64; 2] {
        let State::Open { receiving, sending } = &mut self.state else { return [0; 2] };
        [receiving, sending].map(|keys| *keys.sequence_mut())
    }

    #[cfg(test)]
    pub(super) fn set_sequences(&mut self, sequences: [u64; 2]) {
        let State::Open { receiving, sending } = &mut self.state else { return };
        for (keys, sequence) in [receiving, sending].into_iter().zip(sequences) {
            *keys.sequence_mut() = sequence;
        }
    }

    #[cfg(test)]
    pub(super) fn is_worn(&self) -> bool {
        matches!(&self.state, State::Open { sending, .. } if sending.is_worn())
    }

    /// Requests the peer's next keys, by a message in two records.
    #[cfg(test)]
    pub(super) fn update_in_pieces(&mut self, mut hot: Hot<'_>, cut: usize, out: &mut Vec<u8>) {
        let State::Open { sending, .. } = &mut self.state else { return };
        let (front, back) = [KEY_UPDATE, 0, 0, 1, 1].split_at(cut);
        hot.seal(sending, ContentType::Handshake, front, out).unwrap();
        hot.seal(sending, ContentType::Handshake, back, out).unwrap();
        hot.schedules.forget(hot.id);
        sending.update().unwrap();
    }

    /// Sends so many zeros, without a content type.
    #[cfg(test)]
    pub(super) fn say_zeros(&mut self, count: usize, out: &mut Vec<u8>) {
        if let State::Open { sending, .. } = &mut self.state {
            sending.seal_zeros(count, out);
        }
    }

    #[cfg(test)]
    pub(super) fn update_now(&mut self, mut hot: Hot<'_>, out: &mut Vec<u8>) {
        self.update_sending(&mut hot, out).unwrap();
    }

    /// Ends the link; an alert tells the peer the reason, if there is one and keys to seal it.
    fn fail(&mut self, hot: &mut Hot<'_>, fault: &Fault, out: &mut Vec<u8>) {
        let state = std::mem::replace(&mut self.state, State::Over);
        self.held = Box::default();
        match state {
            State::Open { mut sending, .. } if !self.said_goodbye => {
                let Some(alert) = fault.alert() else { return };
                hot.seal(&mut sending, ContentType::Alert, &[2, alert], out).ok();
            }
            // A handshake that could not begin.
            State::Fresh(_) => put_alert_in_the_clear(INTERNAL_ERROR, out),
            // A handshake sends the alert for its own failure.
            State::Open { .. } | State::Handshake(_) | State::Over => {}
        }
    }
}
